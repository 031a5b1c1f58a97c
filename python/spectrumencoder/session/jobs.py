# SPDX-License-Identifier: GPL-3.0-or-later
"""The recordings of a run: one after the other, or several at a time, each in a process of its own.

What they give comes in the order of the recordings either way."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path

from ..lines_file import LinesFile
from .errors import SessionError
from .flowgraph import GRACE_S, RunSettings, run
from .outcome import Outcome
from .progress import Progress, no_progress
from .radio import SnippetPart

_LATE_S = 10.0  # after Ctrl-C: what has not ended by then is ended
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Plan:
    """The plan by which each recording is run.

    Attributes:
        settings: their model may be a name, or files already loaded.
        folder: the recordings come from a folder, so results carry the recording's name.
        plot, encoded, tracks, band_plot: files to write. survey: see ``session.run``.
        snippets: folder for the samples around each event; snippets_max_mb: MB of all of them.
        stated: what the user states about the recordings, as arguments of ``open_recording``.
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
        parts = [] if self.snippets is None else [SnippetPart(self.snippets, self.snippets_max_mb)]
        outcome = run(recording, self.settings, append=True, name_in_events=self.folder, watch=watch, plot=plot, encoded=encoded,
                      tracks=tracks, survey=self.survey, band_plot=band_plot, parts=parts, progress=progress)
        for part in parts:
            part.write(recording)
        return outcome


def loaded(plan: Plan) -> Plan:
    """The plan with its model files read, so that all recordings are run with the same ones. Loaded files pass as they are.

    Raises:
        ModelError: a file cannot be used.
    """
    from ..encoder.ensemble import load_models
    return replace(plan, settings=replace(plan.settings, model=load_models(plan.settings.model)))


def named_path(path: Path | None, name: str, folder: bool) -> Path | None:
    """The file of one recording; in a folder the recording's name is added to the file's."""
    return path.with_name(f"{path.stem}_{name}{path.suffix}") if path is not None and folder else path


def in_turn(plan: Plan, paths: list[Path], watch: Callable,
            progress: Progress = no_progress) -> Iterator[tuple[Path, Outcome | Exception]]:
    """One after the other, up to one that Ctrl-C has ended."""
    from ..recordings import RecordingError
    plan = loaded(plan)
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
        pool, done = _Pool(plan, paths, private, jobs), 0
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
    process: object
    connection: Connection
    number: int | None = None  # number of its current recording; None: idle


@dataclass(eq=False)
class _Pool:
    """Processes that work on the recordings. private: the files of each one's lines, by the name of their setting."""

    plan: Plan
    paths: list[Path]
    private: list[dict[str, Path]]
    jobs: int
    _workers: list[_Worker] = field(default_factory=list)
    _results: dict[int, Outcome | Exception] = field(default_factory=dict)
    _begun: int = 0

    def results(self) -> Iterator[tuple[int, Outcome | Exception]]:
        """(number, result) in the order of the recordings."""
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
        for worker in self._workers:
            worker.connection.close()  # a worker that waits for work then ends by itself
            if worker.number is not None:
                worker.process.kill()
        for worker in self._workers:
            worker.process.join(_LATE_S)
        self._workers.clear()

    def _give_work(self):
        idle = [worker for worker in self._workers if worker.number is None]
        while self._begun < len(self.paths) and (idle or len(self._workers) < self.jobs):
            worker = idle.pop() if idle else self._start()
            worker.number, self._begun = self._begun, self._begun + 1
            worker.connection.send((self.paths[worker.number], self.private[worker.number]))

    def _start(self) -> _Worker:
        context = get_context("spawn")  # a fork would inherit threads, and locks that they hold
        ours, its = context.Pipe()
        process = context.Process(target=_work, args=(its, os.getpid(), self.plan), daemon=True)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which it inherits: Ctrl-C is ours to pass on
        try:
            process.start()
        finally:
            signal.signal(signal.SIGINT, before)
        its.close()
        self._workers.append(_Worker(process, ours))
        return self._workers[-1]

    def _collect(self, timeout_s: float | None) -> bool:
        """Takes the results that are there, or the next ones that come. False: none came in time."""
        ready = wait([worker.connection for worker in self._workers if worker.number is not None], timeout_s)
        for worker in [w for w in self._workers if w.connection in ready]:
            try:
                self._results[worker.number] = worker.connection.recv()
            except (EOFError, OSError):
                worker.process.join(_LATE_S)
                self._results[worker.number] = SessionError(
                    f"{self.paths[worker.number].stem}: its process ended with {worker.process.exitcode}; "
                    "see whether memory was short, and run it alone")
                self._workers.remove(worker)
            worker.number = None
        return bool(ready)

    def _interrupt(self) -> bool:
        """Interrupts the running recordings and waits for them. False: none was running."""
        busy = [worker for worker in self._workers if worker.number is not None]
        for worker in busy:
            os.kill(worker.process.pid, signal.SIGINT)
        deadline = time.monotonic() + GRACE_S + _LATE_S
        while any(worker.number is not None for worker in busy) and self._collect(max(0.0, deadline - time.monotonic())):
            pass
        return bool(busy)


def _work(connection: Connection, parent: int, plan: Plan):
    """A process of the pool: runs the recordings sent to it, until the other end is closed."""
    os.setpgid(0, 0)  # the terminal's Ctrl-C goes to the parent alone, which passes it on
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # it ends with its parent
    if os.getppid() != parent:
        return
    while True:
        try:
            path, files = connection.recv()
        except EOFError:
            return
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            plan = loaded(plan)
            result = replace(plan, settings=replace(plan.settings, **files, events_max_mb=0.0)).run(path)
        except KeyboardInterrupt:
            result = SessionError(f"{path.stem}: interrupted before it began")
        except Exception as error:  # noqa: BLE001 (the parent raises it)
            result = error
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        connection.send(_sendable(result))
        if isinstance(result, Outcome) and result.hung:
            os._exit(1)  # a normal exit would wait for the thread that hangs


def _sendable(result):
    try:
        pickle.loads(pickle.dumps(result))
    except Exception as error:  # noqa: BLE001 (an exception's class may do anything)
        return SessionError(f"{type(result).__name__}: {result} ({error})")
    return result


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
