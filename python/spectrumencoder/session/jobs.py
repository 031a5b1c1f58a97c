# SPDX-License-Identifier: GPL-3.0-or-later
"""The recordings of a run: one after the other, or several at a time, each in a process of its own.

What they give comes in the order of the recordings either way."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from pathlib import Path

from ..lines_file import LinesFile
from .errors import SessionError, SettingError
from .flowgraph import GRACE_S, RunSettings, run
from .job_process import LATE_S, JobProcess
from .listening import Listener, listen_parts
from .outcome import Outcome
from .progress import Progress, no_progress
from .radio import SnippetPart
from .thumbnail import ThumbnailPart


@dataclass(frozen=True)
class Plan:
    """The plan by which each recording is run.

    Attributes:
        settings: their model may be a name, or files already loaded.
        folder: the recordings come from a folder, so results carry the recording's name.
        plot, encoded, tracks, band_plot: files to write. survey: see ``session.run``.
        thumbnail: file for a small picture of the recording; its name is taken as it is.
        snippets: folder for the samples around each event; snippets_max_mb: MB of all of them.
        stated: what the user states about the recordings, as arguments of ``open_recording``.
        model_digest: of the models that are meant (``model_file.digest``); "": whatever the name stands for.
        listeners: of ``listening``, for recordings that run in this process.
    """

    settings: RunSettings
    folder: bool = False
    plot: Path | None = None
    encoded: Path | None = None
    tracks: Path | None = None
    stated: dict = field(default_factory=dict)
    survey: bool = False
    band_plot: Path | None = None
    snippets: Path | None = None
    snippets_max_mb: float = 1000.0
    thumbnail: Path | None = None
    model_digest: str = ""
    listeners: tuple[Listener, ...] = ()

    def loaded(self) -> Plan:
        """The plan with its model files read, so that all recordings are run with the same ones. Loaded files pass as they are.

        Raises:
            ModelError: a file cannot be used. SettingError: it is not the model that is meant.
        """
        from ..encoder.ensemble import load_models
        from ..encoder.model_file import digest
        if not isinstance(self.settings.model, str):
            return self
        models = load_models(self.settings.model)
        if self.model_digest and digest(models) != self.model_digest:
            raise SettingError(f"the model {self.settings.model} of {platform.node()} is not the one of the machine that asks; "
                               "install the same release on both, or name a model file that both can read")
        return replace(self, settings=replace(self.settings, model=models))

    def into(self, files: dict[str, Path]) -> Plan:
        """The plan with other files: `events` and `signals`, without a limit of their size, and `thumbnail`."""
        of_settings = {name: file for name, file in files.items() if name in ("events", "signals")}
        return replace(self, settings=replace(self.settings, **of_settings, events_max_mb=0.0),
                       thumbnail=files.get("thumbnail", self.thumbnail))

    def run(self, path: Path, *, watch: Callable = lambda flowgraph: None,
            progress: Progress = no_progress) -> Outcome:
        """Runs one recording. Its events come after those that the file already holds.

        Raises:
            RecordingError: it cannot be opened. Others as ``session.run``.
        """
        from ..recordings import open_recording
        recording = open_recording(path, **self.stated)
        plot, encoded, tracks, band_plot = (named_path(file, recording.name, self.folder) for file in (
            self.plot, self.encoded, self.tracks, self.band_plot))
        written = [] if self.snippets is None else [SnippetPart(self.snippets, self.snippets_max_mb)]
        written += [] if self.thumbnail is None else [ThumbnailPart(self.thumbnail)]
        parts = [*written, *listen_parts(self.listeners, snippets=self.snippets)]
        outcome = run(recording, self.settings, append=True, name_in_events=self.folder, watch=watch, plot=plot, encoded=encoded,
                      tracks=tracks, survey=self.survey, band_plot=band_plot, parts=parts, progress=progress)
        for part in written:
            part.write(recording)
        return outcome


def named_path(path: Path | None, name: str, folder: bool) -> Path | None:
    """The file of one recording; in a folder the recording's name is added to the file's."""
    return path.with_name(f"{path.stem}_{name}{path.suffix}") if path is not None and folder else path


def in_turn(plan: Plan, paths: list[Path], watch: Callable,
            progress: Progress = no_progress) -> Iterator[tuple[Path, Outcome | Exception]]:
    """One after the other, up to one that Ctrl-C has ended."""
    from ..recordings import RecordingError
    plan = plan.loaded()
    for path in paths:
        try:
            outcome = plan.run(path, watch=watch, progress=progress)
        except (SessionError, RecordingError) as error:
            yield path, error
            continue
        yield path, outcome
        if outcome.interrupted:
            return


def at_once(plan: Plan, paths: list[Path], jobs: int,
            progress: Progress = no_progress) -> Iterator[tuple[Path, Outcome | Exception]]:
    """Runs `jobs` recordings at a time. Ctrl-C ends the running ones cleanly, and no other starts.

    Raises:
        KeyboardInterrupt: Ctrl-C while none was running.
    """
    with tempfile.TemporaryDirectory(prefix="spectrumencoder-") as folder:
        progress("recordings", 0, len(paths))
        private = [{name: Path(folder) / f"{number}-{name}.jsonl" for name, file in (("events", plan.settings.events), (
            "signals", plan.settings.signals)) if file is not None} for number in range(len(paths))]
        pool, done = Pool(plan, paths, private, jobs), 0
        try:
            for number, result in pool.results():
                for name, file in private[number].items():
                    _append_lines(file, getattr(plan.settings, name), plan.settings.events_max_mb)
                done += 1
                progress("recordings", done, len(paths))
                yield paths[number], result
        finally:
            pool.close()


@dataclass(eq=False)
class _Worker:
    process: JobProcess
    number: int | None = None  # number of its current recording; None: idle


@dataclass(eq=False)
class Pool:
    """Processes that work on the recordings, `jobs` at a time. Close it in the end.

    private: the files of each recording, by the names of ``Plan.into``.
    """

    plan: Plan
    paths: list[Path]
    private: list[dict[str, Path]]
    jobs: int
    _workers: list[_Worker] = field(default_factory=list)
    _results: dict[int, Outcome | Exception] = field(default_factory=dict)
    _begun: int = 0

    def finished(self) -> Iterator[tuple[int, Outcome | Exception]]:
        """(number, result) as they come."""
        while self._begun < len(self.paths) or self._busy():
            self._give_work()
            self._collect(None)
            while self._results:
                yield self._results.popitem()

    def results(self) -> Iterator[tuple[int, Outcome | Exception]]:
        """(number, result) in the order of the recordings. Ctrl-C ends the running ones cleanly, and no other starts.

        Raises:
            KeyboardInterrupt: Ctrl-C while none was running.
        """
        reported = 0
        try:
            while reported < len(self.paths):
                while reported in self._results:
                    yield reported, self._results[reported]
                    reported += 1
                self._give_work()
                if reported < len(self.paths) and reported not in self._results:
                    self._collect(None)
        except KeyboardInterrupt:
            if not self._interrupt():
                raise
            for number in sorted(n for n in self._results if n >= reported):  # any between these were never started
                yield number, self._results[number]

    def close(self):
        """Ends all processes; what they work on is lost."""
        for worker in self._workers:
            worker.process.close(busy=worker.number is not None)
        self._workers.clear()

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.number is not None]

    def _give_work(self):
        idle = [worker for worker in self._workers if worker.number is None]
        while self._begun < len(self.paths) and (idle or len(self._workers) < self.jobs):
            if not idle:
                idle.append(_Worker(JobProcess(self.plan)))
                self._workers.append(idle[-1])
            worker = idle.pop()
            worker.number, self._begun = self._begun, self._begun + 1
            worker.process.send(self.paths[worker.number], self.private[worker.number])

    def _collect(self, timeout_s: float | None) -> bool:
        """Takes the results that are there, or the next ones that come. False: none came in time."""
        ready = wait([worker.process.connection for worker in self._busy()], timeout_s)
        for worker in [w for w in self._workers if w.process.connection in ready]:
            result = worker.process.receive(self.paths[worker.number].stem)
            self._results[worker.number], worker.number = result, None
            if worker.process.is_spent:
                worker.process.close()
                self._workers.remove(worker)
        return bool(ready)

    def _interrupt(self) -> bool:
        """Interrupts the running recordings and waits for them. False: none was running."""
        busy = self._busy()
        for worker in busy:
            worker.process.interrupt()
        deadline = time.monotonic() + GRACE_S + LATE_S
        while any(worker.number is not None for worker in busy) and self._collect(max(0.0, deadline - time.monotonic())):
            pass
        return bool(busy)


def _append_lines(private: Path, common: Path, max_mb: float):
    """Moves the lines of one recording into the common file, with the result of a sequential run."""
    if not private.is_file():
        return
    into = LinesFile(common, max_bytes=round(max_mb * 1e6))
    try:
        with private.open(encoding="utf-8") as file:
            for line in file:
                into.write(line.rstrip("\n"))
    finally:
        into.close()
    private.unlink()
