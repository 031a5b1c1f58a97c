# SPDX-License-Identifier: GPL-3.0-or-later
"""``History``: writes the history of a site. What is not committed does not exist yet; one thread uses it at a time."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import keys
from ..sqlite_file import transaction
from .packing import Channels, pack_channels, pack_levels
from .reader import Reader
from .schema import PAGE_BYTES, open_to_write

BLOCK = 128  # channels in a row of the table at most
DAY_S, MINUTE_S, MB = 86400.0, 60.0, 1e6
_FREE_PAGES = 2000  # given back to the disk at a time
_STEPS = 200  # deletions at a time


@dataclass
class MinuteRow:
    """A minute of a run.

    Attributes:
        minute: POSIX time in whole minutes. part: counts up if a clock went back to a minute that was over.
        begin_s, end_s: of the signal in it. seconds, frames: of signal.
        floor_dbfs: mean noise floor across the bins.
        health: counters of this minute and figures, with the keys of the vocabulary.
        levels: of emitters that were above the floor: emitter_id, share of frames, mean and max level in dB over the floor.
        channels: (width in Hz, number of the first channel) -> channels.
    """

    minute: int
    part: int
    begin_s: float
    end_s: float
    seconds: float
    frames: int
    floor_dbfs: float
    health: Mapping[str, Any] = field(default_factory=dict)
    levels: list[tuple[int, float, float, float]] = field(default_factory=list)
    channels: Mapping[tuple[float, int], Channels] = field(default_factory=dict)


class History:
    """A history to write to; ``reader`` reads it.

    Args:
        path: the file, created if it is not there. max_days, max_mb: what ``trim`` keeps; 0: no limit.

    Raises:
        HistoryError: see ``schema.open_to_write``. All methods: sqlite3.Error, as of a full disk; nothing of it is written then.
    """

    def __init__(self, path: str | Path, max_days: float = 0.0, max_mb: float = 0.0):
        self.path, self._max_days, self._max_mb = Path(path), max_days, max_mb
        self._database = open_to_write(self.path)
        found = os.stat(self.path)
        self._inode = found.st_dev, found.st_ino
        self._reader: Reader | None = None

    @property
    def reader(self) -> Reader:
        if self._reader is None:
            self._reader = Reader(self.path)
        return self._reader

    @property
    def in_place(self) -> bool:
        """Whether the file is still at its path; false if somebody deleted or replaced it."""
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._inode

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._database.close()

    def __enter__(self) -> History:
        """Begins a transaction, which the end of ``with`` commits, or takes back after an error."""
        self._transaction = transaction(self._database)
        self._transaction.__enter__()
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._transaction.__exit__(kind, error, trace)

    def begin_run(self, run: Mapping[str, Any]) -> int:
        """Notes a run. Its number counts up.

        Args:
            run: keys SOURCE (its name), "band" (names the registry that its emitters are in), and any of "samp_rate",
                FREQ_CENTER_HZ, "fft_size", "average", MODEL, "is_radio", "settings" (a dict).
        """
        cursor = self._database.execute(
            "INSERT INTO runs (source, band, samp_rate, freq_center_hz, fft_size, average, model, is_radio, settings) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (run[keys.SOURCE], run["band"], run.get("samp_rate"), _finite(run.get(keys.FREQ_CENTER_HZ)), run.get("fft_size"),
             run.get("average"), run.get(keys.MODEL), run.get("is_radio"), to_json(run.get("settings", {}))))
        number = int(cursor.lastrowid or 0)
        if not run["band"]:
            self._database.execute("UPDATE runs SET band = ? WHERE run_id = ?", (f"run {number}", number))
        return number

    def has_run(self, run_id: int) -> bool:
        return bool(self._database.execute("SELECT count(*) FROM runs WHERE run_id = ?", (run_id,)).fetchone()[0])

    def mark_run(self, run_id: int, begin_s: float, end_s: float, why: str | None = None, notes: Iterable[str] = ()) -> None:
        """Notes how far a run has come, and why it ended (None: it has not)."""
        self._database.execute("UPDATE runs SET begin_s = ?, end_s = ?, why = ?, notes = ? WHERE run_id = ?",
                               (begin_s, end_s, why, to_json(list(notes)), run_id))

    def add_alert(self, run_id: int, message: Mapping[str, Any], now_s: float) -> None:
        """Takes a message of an alert: its fields take the place of those of the messages before.

        Args:
            now_s: POSIX time of the signal by now, for messages without a time.
        """
        begin = message.get(keys.TIMESTAMP)
        opened = now_s if begin is None else begin
        updated = message.get(keys.LAST_HEARD) or opened
        closed = max(updated, opened) if message.get(keys.STATE) == "close" else None
        self._database.execute(
            "INSERT INTO alerts VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, event_id) DO UPDATE SET "
            "opened_s = min(opened_s, excluded.opened_s), updated_s = max(updated_s, excluded.updated_s), "
            "closed_s = excluded.closed_s, fields = excluded.fields",
            (run_id, str(message.get(keys.EVENT_ID)), opened, max(updated, opened), closed, to_json(message)))

    def put_emitters(self, run_id: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Writes rows of ``emitters.listing.describe``; each takes the place of the one with its number."""
        band = self._database.execute("SELECT band FROM runs WHERE run_id = ?", (run_id,)).fetchone()[0]
        self._database.executemany(
            "INSERT OR REPLACE INTO emitters VALUES (?, ?, ?, ?)",
            [(band, row[keys.EMITTER_ID], row.get(keys.LAST_HEARD) or 0.0, to_json(row)) for row in rows])

    def put_minute(self, run_id: int, row: MinuteRow) -> None:
        """Writes a minute as far as it has come; it takes the place of what was written of it before."""
        place = row.minute, run_id, row.part
        self._database.execute(
            "INSERT OR REPLACE INTO minutes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*place, row.begin_s, row.end_s, row.seconds, row.frames, _finite(row.floor_dbfs), to_json(row.health),
             pack_levels(row.levels) or None))
        self._database.executemany(
            "INSERT OR REPLACE INTO occupancy VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(*place, width, first // BLOCK, first, pack_channels(part)) for (width, first), part in row.channels.items()])

    def size_mb(self) -> float:
        """Size of what is in the file, MB: without pages that are free."""
        pages, free = (self._database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        return (pages - free) * PAGE_BYTES / MB

    def trim(self, now_s: float) -> int:
        """Deletes the oldest minutes beyond the limits, with alerts, emitters and runs as old; gives their room back to the disk.

        Call it outside of a transaction. Returns the number of minutes deleted. What is left for the next call is little.
        """
        before = self._database.execute("SELECT count(*) FROM minutes").fetchone()[0] if self._over(now_s) else 0
        if not before:
            return 0
        if self._max_days > 0:
            self._delete_before(now_s - self._max_days * DAY_S)
        for _ in range(_STEPS):
            if not (self._max_mb > 0 and self.size_mb() > self._max_mb):
                break
            oldest, newest = self._ends()
            if oldest is None or newest - oldest < MINUTE_S:
                break
            self._delete_before(min(oldest + max(3600.0, 0.01 * (newest - oldest)), newest))
        self._database.executescript(f"PRAGMA incremental_vacuum({_FREE_PAGES})")  # a step frees one page: execute takes only one
        return before - self._database.execute("SELECT count(*) FROM minutes").fetchone()[0]

    def _over(self, now_s: float) -> bool:
        oldest, _ = self._ends()
        return (oldest is not None and 0 < self._max_days < (now_s - oldest) / DAY_S) or 0 < self._max_mb < self.size_mb()

    def _ends(self) -> tuple[float | None, float]:
        """The oldest and newest time in the file; None if it is empty."""
        low, high = self._database.execute("SELECT min(minute), max(minute) FROM minutes").fetchone()
        alert_low, alert_high = self._database.execute("SELECT min(updated_s), max(updated_s) FROM alerts").fetchone()
        lows = [value for value in (None if low is None else low * MINUTE_S, alert_low) if value is not None]
        highs = [value for value in (None if high is None else (high + 1) * MINUTE_S, alert_high) if value is not None]
        return (min(lows), max(highs)) if lows else (None, 0.0)

    def _delete_before(self, limit_s: float) -> None:
        """Deletes what is older, but for the newest run and the emitters of its band."""
        with self:
            minute = math.floor(limit_s / MINUTE_S)
            self._database.execute("DELETE FROM minutes WHERE minute < ?", (minute,))
            self._database.execute("DELETE FROM occupancy WHERE minute < ?", (minute,))
            self._database.execute("DELETE FROM alerts WHERE updated_s < ?", (limit_s,))
            self._database.execute("DELETE FROM runs WHERE end_s < ? AND run_id < (SELECT max(run_id) FROM runs)", (limit_s,))
            self._database.execute("DELETE FROM emitters WHERE last_heard < ? AND band NOT IN (SELECT band FROM runs)",
                                   (limit_s,))


def to_json(value: Any) -> str:
    """JSON without NaN and infinity, which are null; what is no JSON is text."""
    return json.dumps(_plain(value), separators=(",", ":"), default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
