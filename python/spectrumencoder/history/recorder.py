# SPDX-License-Identifier: GPL-3.0-or-later
"""``Recorder``: takes what a run gives, and writes it into a history on a thread of its own, with a commit each second.

A full disk, or a file that another process holds, does not stop the run: what is not written yet is kept in memory, up to a
bound, and written later. One line says so, and what is lost beyond the bound is counted.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .run import Run, Source
from .schema import HistoryError
from .store import History

if TYPE_CHECKING:
    import numpy as np

    from ..display.history import Tuning

COMMIT_S = 0.8  # a second, less what a frame needs to get here
END_S = 10.0  # for the last commit
TRIM_S = 60.0


class Recorder:
    """Writes a history. ``begin``, ``alert``, ``end`` are called on one thread, ``frames`` on another.

    Args:
        path, max_days, max_mb: see ``History``. say: called with a line if it cannot write, and when it can again.

    Attributes: lost_alerts, lost_minutes, lost_frames: of runs that have ended, dropped since the file could not be written for
    long; failures: commits that failed.

    Raises:
        HistoryError: the history cannot be opened.
    """

    def __init__(self, path: str | Path, max_days: float = 0.0, max_mb: float = 0.0,
                 say: Callable[[str], None] = lambda line: None):
        self._open = lambda: History(path, max_days, max_mb)
        self.path, self._say = Path(path), say
        self._history: History | None = self._open()
        self._run: Run | None = None
        self._lock = threading.RLock()  # of what the thread writes
        self._wake, self._closing, self._tried = threading.Event(), False, threading.Condition()
        self._n_tried = 0
        self.lost_alerts = self.lost_minutes = self.lost_frames = self.failures = 0
        self._failing_since: float | None = None
        self._trim_at = 0.0
        self._thread = threading.Thread(target=self._write_each_second, name="history", daemon=True)
        self._thread.start()

    def begin(self, source: Source) -> None:
        """A run begins."""
        with self._lock:
            self._run = Run(source)

    def frames(self, psd: np.ndarray, tuning: Tuning, posix_s: float, frame_s: float) -> None:
        """Takes frames (F, N) dBFS; see ``Meter.add``."""
        run = self._run
        if run is not None:
            run.meter.add(psd, tuning, posix_s, frame_s)

    def alert(self, message: Mapping[str, Any]) -> None:
        """Takes a message of an alert; it is committed at once."""
        run = self._run
        if run is not None:
            run.add_alert(message)
            self._wake.set()

    def radio_lost(self, posix_s: float, why: str) -> None:
        """The radio gave its last sample then; why: one line."""
        run = self._run
        if run is not None:
            run.add_loss(posix_s, why)

    def end(self, why: str, notes: Sequence[str] = ()) -> bool:
        """The run has ended. Returns whether all of it is written; it waits some seconds for that."""
        with self._lock:
            if self._run is None:
                return True
            self._run.why, self._run.notes = why, list(notes)
        limit = time.monotonic() + END_S
        while time.monotonic() < limit and self._thread.is_alive():
            with self._tried:
                tried = self._n_tried
                self._wake.set()
                self._tried.wait_for(lambda before=tried: self._n_tried > before, timeout=1.0)
            if self._run.done:
                break
        with self._lock:
            run, self._run = self._run, None
            if not run.done:
                run.give_up()
            self.lost_alerts += run.lost_alerts
            self.lost_minutes += run.lost_minutes
            self.lost_frames += run.meter.lost_frames
        return run.done

    def close(self) -> None:
        """Ends the thread and closes the file."""
        self._closing = True
        self._wake.set()
        self._thread.join(END_S)
        if self._history is not None and not self._thread.is_alive():
            self._history.close()

    def _write_each_second(self) -> None:
        next_s = time.monotonic()
        while not self._closing:
            self._wake.wait(max(0.0, next_s - time.monotonic()))
            self._wake.clear()
            next_s = time.monotonic() + COMMIT_S
            try:
                with self._lock:
                    if self._run is not None:
                        self._write(self._run)
            except Exception as error:  # noqa: BLE001 (a thread: the user must learn of it)
                self._say(f"the history {self.path} has ended: {type(error).__name__}: {error}")
                return
            with self._tried:
                self._n_tried += 1
                self._tried.notify_all()
            if self._failing_since is not None:
                time.sleep(0.2)  # messages may come often

    def _write(self, run: Run) -> None:
        run.collect()
        try:
            history = self._opened(run)
            with history:
                written = run.write(history)
            run.forget(written)
            if time.monotonic() >= self._trim_at and run.end_s is not None:
                self._trim_at = time.monotonic() + TRIM_S
                history.trim(run.end_s)
        except (sqlite3.Error, HistoryError, OSError) as error:
            self._failed(error, run)
        else:
            if self._failing_since is not None:
                self._say(f"the history {self.path} is written again, after {time.monotonic() - self._failing_since:.0f} s")
                self._failing_since = None

    def _opened(self, run: Run) -> History:
        """The history; it is opened anew if it failed, or if its file is no longer there. Then the run is noted in it again."""
        if self._history is not None and self._history.in_place:
            return self._history
        if self._history is not None:
            self._history.close()
            self._history = None
        self._history = self._open()
        run.noted_in(self._history)
        return self._history

    def _failed(self, error: Exception, run: Run) -> None:
        self.failures += 1
        run.bound()
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            self._say(f"the history {self.path} cannot be written: {error}; the run goes on, and it is tried again each second")
        if self._history is not None and not isinstance(error, sqlite3.OperationalError):
            with contextlib.suppress(sqlite3.Error):
                self._history.close()
            self._history = None
