# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive of recordings, run into one folder with one report: here or on a cluster, and taken up again after any end.

The folder holds the journal, the events and a picture of each recording, and the report over all (``archive_report``). Nothing
in it but the journal depends on a clock, on the machine that ran a recording, or on how often the run was interrupted."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .. import keys
from ..atomic_file import write_file
from ..recordings import RecordingError
from .archive_journal import Item, Journal, find_items, settings_digest
from .archive_row import recording_row
from .errors import SessionError, SettingError
from .jobs import Plan, Pool
from .outcome import Outcome
from .progress import Progress, no_progress

PARTS, PICTURES = "parts", "pictures"
_WORK = ".work-"
_OF_THE_HOST = (keys.TIMESTAMP, keys.FIRST_HEARD, keys.LAST_HEARD)  # if the recording states no time


@dataclass(frozen=True)
class Found:
    """What a recording gave: the outcome, the lines of its events, and its picture (PNG; empty if it had no frame)."""

    outcome: Outcome
    events: bytes
    picture: bytes


class Archive:
    """The recordings and the folder of one run; a context manager.

    Args:
        plan: how each recording is run; without files, and with a model's name.
        source, paths: what was asked for, and the recordings that it stands for.
        folder: of the results; made if it does not exist.

    Attributes:
        items: the recordings, in order. n_kept: how many of them an earlier run has finished.

    Raises:
        ModelError: the model cannot be used. ModuleNotFoundError: the extra "archive" is not installed.
        SessionError: the folder cannot be used. CannotWrite: another run writes into it.
    """

    def __init__(self, plan: Plan, source: str, paths: list[Path], folder: Path):
        _need_pyarrow()
        from ..encoder.ensemble import load_models
        from ..encoder.model_file import digest
        self.plan = replace(plan, folder=False, model_digest=digest(load_models(plan.settings.model)))
        self.source, self.folder = source, folder
        self.items = find_items(self.plan, source, paths, settings_digest(self.plan))
        try:
            for name in (".", PARTS, PICTURES):
                (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SessionError(f"cannot use {folder} for the report: {error.strerror}; name another folder") from error
        self._journal = Journal(folder)
        self.n_kept = sum(self.is_finished(item) for item in self.items)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *error) -> None:
        self._journal.close()

    def entry(self, item: Item) -> dict:
        """What the journal knows of a recording; empty if it knows nothing."""
        return self._journal.entries.get(item.key, {})

    def is_finished(self, item: Item) -> bool:
        """Whether there is a result. A recording that failed is tried again at the next start."""
        return "outcome" in self.entry(item) and self.events_of(item).is_file()

    def outcomes(self) -> list[Outcome]:
        """Of all finished recordings, in order; without the rows of ``on_air`` and ``signals``."""
        return [Outcome(**self.entry(item)["outcome"]) for item in self.items if self.is_finished(item)]

    def results(self, jobs: int, cluster: str = "", progress: Progress = no_progress,
                say: Callable[[str], None] = lambda note: None) -> Iterator[tuple[Path, Outcome | Exception]]:
        """Runs the recordings that are not finished, and yields what each gave, in their order.

        Args:
            jobs: how many to run at a time, each in a process of its own.
            cluster: address of a Dask scheduler, whose workers run them instead.
            progress: is called with the number of finished recordings. say: with lines that a user should read.

        Raises:
            SettingError: a setting that no recording can be run with. SessionError: the cluster cannot be used any more.
        """
        waiting = [item for item in self.items if not self.is_finished(item)]
        if cluster:
            from .archive_cluster import run_on_cluster
            found = run_on_cluster(self.plan, waiting, cluster, say)
        else:
            found = _run_here(self.plan, waiting, jobs, self.folder)
        results: dict[int, Outcome | Exception] = {}
        reported, done = 0, self.n_kept
        progress("recordings", done, len(self.items))
        try:
            for number, result in found:
                results[number] = self._keep(waiting[number], result)
                done += 1
                progress("recordings", done, len(self.items))
                while reported in results:
                    yield waiting[reported].path, results.pop(reported)
                    reported += 1
        finally:
            found.close()

    def events_of(self, item: Item) -> Path:
        """The file with the lines of its events."""
        return self.folder / PARTS / f"{item.stem}.jsonl"

    def picture_of(self, item: Item) -> Path:
        """The file with its picture."""
        return self.folder / PICTURES / f"{item.stem}.png"

    def write_report(self) -> None:
        """Writes the report over all recordings, finished or not.

        Raises:
            SessionError: the folder cannot be written.
        """
        from .archive_report import write_report
        try:
            write_report(self)
        except OSError as error:
            raise SessionError(f"cannot write the report into {self.folder}: {error.strerror}; make room, and run it again: "
                               "finished recordings are kept") from error

    def _keep(self, item: Item, result: Found | Exception) -> Outcome | Exception:
        """Puts a result on the disk: its files, then its line of the journal."""
        if isinstance(result, Found) and result.outcome.hung:
            result = SessionError(f"{item.name}: {result.outcome.hung}")
        if isinstance(result, SettingError) and not any(map(self.is_finished, self.items)):
            raise result  # most likely it is one for all
        if isinstance(result, Exception):
            known = isinstance(result, (SessionError, RecordingError))
            result = SessionError(str(result) if known else f"{item.name}: {type(result).__name__}: {result}")
            self._journal.add(item, error=str(result))
            return result
        outcome, events = result.outcome, _lines(result.events, item.name)
        try:
            write_file(self.events_of(item), "".join(json.dumps(event) + "\n" for event in events).encode())
            if result.picture:
                write_file(self.picture_of(item), result.picture)
        except OSError as error:
            raise SessionError(f"cannot write into {self.folder}: {error.strerror}; make room, and run it again: finished "
                               "recordings are kept") from error
        lean = asdict(replace(outcome, on_air=[], signals=None, news=()))
        self._journal.add(item, row=recording_row(item, outcome, events), outcome=json.loads(json.dumps(lean, default=str)))
        return replace(outcome, news=())  # a thousand tables help nobody; the report has the alerts


def private_files(folder: Path, number: int) -> dict[str, Path]:
    """The files that a recording is run into, for ``Plan.into``."""
    return {"events": folder / f"{number}.jsonl", "thumbnail": folder / f"{number}.png"}


def gather(result: Outcome | Exception, files: dict[str, Path]) -> Found | Exception:
    """The result with the content of its files, which are removed."""
    contents = {name: file.read_bytes() if file.is_file() else b"" for name, file in files.items()}
    for file in files.values():
        file.unlink(missing_ok=True)
    return Found(result, contents["events"], contents["thumbnail"]) if isinstance(result, Outcome) else result


def _need_pyarrow() -> None:
    """It is missed before the work, not after it."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ModuleNotFoundError:
        raise
    except ImportError as error:  # version 26 at the import, if NumPy is 1
        raise SettingError(f"the tables of a report cannot be written: {error}; install the extra \"archive\" with the "
                           "constraints file of this NumPy (docs/install.md)") from error


def _run_here(plan: Plan, items: list[Item], jobs: int, folder: Path) -> Iterator[tuple[int, Found | Exception]]:
    """(number, result) as they come. folder: of the report; work lies in it while it goes on."""
    for left in folder.glob(f"{_WORK}*"):  # by a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_WORK, dir=folder) as work:
        private = [private_files(Path(work), number) for number in range(len(items))]
        pool = Pool(plan, [item.path for item in items], private, jobs)
        try:
            for number, result in pool.finished():
                yield number, gather(result, private[number])
        finally:
            pool.close()


def _lines(content: bytes, name: str) -> list[dict]:
    """Messages of events with the recording's name, and without what depends on the host's clock."""
    events = []
    for line in content.decode().splitlines():
        event = json.loads(line)
        event.pop(keys.LATENCY_MS, None)
        if event.get(keys.TIME_SOURCE) == "host":
            for key in _OF_THE_HOST:
                event.pop(key, None)
        events.append(event | {keys.RECORDING: name})
    return events
