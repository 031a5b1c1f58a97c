# SPDX-License-Identifier: GPL-3.0-or-later
"""``Reader``: reads a history, also while it is written. It returns plain values that JSON takes, by keys of ``keys.py``."""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import keys
from .packing import unpack_channels, unpack_levels
from .schema import HistoryError, open_to_read

BAND = "band_file"  # of emitters and alerts: the registry that their numbers are of
MINUTE_S, MIN_GAP_S = 60.0, 5.0


class Reader:
    """A history to read. Methods may be called on any thread; times are POSIX seconds, and ranges are [since_s, until_s).

    Raises:
        HistoryError: see ``schema.open_to_read``. All methods: the file is damaged.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._database, self._lock = open_to_read(path), threading.Lock()

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def span(self) -> tuple[float, float] | None:
        """The oldest and the newest time in the history; None if it is empty."""
        (low, high), = self._rows("SELECT min(begin_s), max(end_s) FROM minutes")
        (alert_low, alert_high), = self._rows("SELECT min(opened_s), max(updated_s) FROM alerts")
        if low is None or alert_low is None:
            return (low, high) if low is not None else (alert_low, alert_high) if alert_low is not None else None
        return min(low, alert_low), max(high, alert_high)

    def runs(self, since_s: float = -math.inf, until_s: float = math.inf) -> list[dict[str, Any]]:
        """Runs that gave signal in this time, oldest first. WHY is absent from one that goes on, or was cut off."""
        rows = self._rows("SELECT run_id, source, band, begin_s, end_s, why, samp_rate, freq_center_hz, fft_size, average, "
                          "model, is_radio, settings, notes FROM runs WHERE end_s > ? AND begin_s < ? "
                          "ORDER BY begin_s, run_id", since_s, until_s)
        names = (keys.RUN_ID, keys.SOURCE, BAND, keys.TIMESTAMP, keys.TIMESTAMP_END, keys.WHY, "samp_rate", keys.FREQ_CENTER_HZ,
                 "fft_size", "average", keys.MODEL, "is_radio")
        return [_without_none(dict(zip(names, row, strict=False))) | {"settings": json.loads(row[-2] or "{}"),
                                                                     "notes": json.loads(row[-1] or "[]")} for row in rows]

    def alerts(self, since_s: float = -math.inf, until_s: float = math.inf, limit: int | None = None) -> list[dict[str, Any]]:
        """Alerts that were on in this time: the last message of each, with the times of the first and last; newest first.

        STATE is `close` if it is closed. TIMESTAMP is the time at which it opened, LAST_HEARD that of its emitter's last sign.
        TIMESTAMP_END is that of its end: it was closed, or its run is over. It is absent while the alert is on.
        """
        rows = self._rows(
            "SELECT a.fields, a.opened_s, a.updated_s, a.run_id, r.band, coalesce(a.closed_s, CASE WHEN r.why IS NOT NULL OR "
            "r.run_id < (SELECT max(run_id) FROM runs) THEN max(a.updated_s, coalesce(r.end_s, 0)) END) AS ended_s "
            "FROM alerts a JOIN runs r USING (run_id) WHERE (ended_s IS NULL OR ended_s >= ?) AND a.opened_s < ? "
            "ORDER BY a.opened_s DESC, a.rowid DESC LIMIT ?", since_s, until_s, -1 if limit is None else limit)
        return [{keys.LAST_HEARD: updated} | json.loads(fields) | _without_none({
            keys.TIMESTAMP: opened, keys.TIMESTAMP_END: ended, keys.RUN_ID: run, BAND: band})
            for fields, opened, updated, run, band, ended in rows]

    def emitters(self, since_s: float = -math.inf, until_s: float = math.inf) -> list[dict[str, Any]]:
        """Emitters that were heard in this time, in the order of their frequency, with the figures of now."""
        rows = [json.loads(fields) | {BAND: band} for fields, band in self._rows(
            "SELECT fields, band FROM emitters WHERE last_heard >= ?", since_s)]
        return sorted((row for row in rows if (row.get(keys.FIRST_HEARD) or 0.0) < until_s),
                      key=lambda row: (row[keys.FREQ_CENTER_HZ], row[keys.EMITTER_ID]))

    def occupancy(self, since_s: float = -math.inf, until_s: float = math.inf) -> list[dict[str, Any]]:
        """Rows of channels side by side in a minute, oldest first.

        TIMESTAMP: begin of the minute. FREQ_START_HZ: centre of the first channel; CHANNEL_HZ: their width and distance.
        FRAMES, OCCUPANCY (share of the frames), MEAN_DB, MAX_DB (over the floor): lists, a value for each channel; levels are
        None if it has no frames.
        """
        return [{keys.TIMESTAMP: minute * MINUTE_S, keys.FREQ_START_HZ: first * width, keys.CHANNEL_HZ: width,
                 keys.FRAMES: part.frames.tolist(), keys.OCCUPANCY: np.round(part.occupancy, 4).tolist(),
                 keys.MEAN_DB: _numbers(part.mean_db), keys.MAX_DB: _numbers(part.max_db)}
                for minute, width, first, part in self.channel_rows(since_s, until_s)]

    def channel_rows(self, since_s: float = -math.inf, until_s: float = math.inf):
        """As ``occupancy``, as an iterator: minute, width in Hz, number of the first channel, ``packing.Channels``."""
        for minute, width, first, content in self._rows(
                "SELECT minute, channel_hz, first, channels FROM occupancy WHERE minute >= ? AND minute < ? ORDER BY minute",
                since_s / MINUTE_S - 1 + 1e-9, until_s / MINUTE_S):
            yield minute, width, first, unpack_channels(content)

    def levels(self, emitter_id: int, since_s: float = -math.inf, until_s: float = math.inf,
               band: str | None = None) -> list[dict[str, Any]]:
        """Levels of an emitter in the minutes in which it was above the floor, oldest first.

        Args:
            band: the registry that the number is of; None: that of the newest run.

        Returns:
            Dicts: TIMESTAMP of the minute, OCCUPANCY (share of its frames), MEAN_DB and MAX_DB over the floor, of its strongest
            bin, the mean over the time that it was on.
        """
        rows = []
        for minute, ids, shares, means, highest in self.level_rows(since_s, until_s, band):
            for n in np.flatnonzero(ids == emitter_id).tolist():
                rows.append({keys.TIMESTAMP: minute * MINUTE_S, keys.OCCUPANCY: round(float(shares[n]), 4),
                             keys.MEAN_DB: float(means[n]), keys.MAX_DB: float(highest[n])})
        return rows

    def level_rows(self, since_s: float = -math.inf, until_s: float = math.inf, band: str | None = None):
        """As ``levels``, of all emitters, as an iterator: minute, and (E,) numbers, shares, means and maxima."""
        if band is None:
            band = next((row[0] for row in self._rows("SELECT band FROM runs ORDER BY run_id DESC LIMIT 1")), "")
        for minute, content in self._rows(
                "SELECT m.minute, m.levels FROM minutes m JOIN runs r USING (run_id) WHERE m.minute >= ? AND m.minute < ? "
                "AND r.band = ? AND m.levels IS NOT NULL ORDER BY m.minute", since_s / MINUTE_S - 1 + 1e-9, until_s / MINUTE_S,
                band):
            yield minute, *unpack_levels(content)

    def health(self, since_s: float = -math.inf, until_s: float = math.inf) -> list[dict[str, Any]]:
        """Minutes in which a run gave signal, oldest first.

        TIMESTAMP and TIMESTAMP_END of the signal in it; SECONDS of signal, FRAMES; FLOOR_DBFS; frames dropped, clipped and
        skipped, and overflows, in this minute; latency, queue and other figures of then; GAPS within it; LOSSES of the radio.
        """
        return [json.loads(health) | _without_none({
            keys.TIMESTAMP: begin, keys.TIMESTAMP_END: end, keys.SECONDS: seconds, keys.FRAMES: frames, keys.FLOOR_DBFS: floor,
            keys.RUN_ID: run}) for begin, end, seconds, frames, floor, health, run in self._rows(
                "SELECT begin_s, end_s, seconds, frames, floor_dbfs, health, run_id FROM minutes "
                "WHERE minute >= ? AND minute < ? ORDER BY begin_s", since_s / MINUTE_S - 1 + 1e-9, until_s / MINUTE_S)]

    def gaps(self, since_s: float, until_s: float, min_s: float = MIN_GAP_S) -> list[tuple[float, float]]:
        """Stretches of this time, min_s or longer, in which no signal came: nothing is known of them."""
        return gaps_of(self.health(since_s, until_s), since_s, until_s, min_s)

    def _rows(self, statement: str, *values) -> Iterator[tuple]:
        try:
            with self._lock:
                return iter(self._database.execute(statement, values).fetchall())
        except sqlite3.Error as error:
            raise HistoryError(f"{self.path} cannot be read: {error}; try again, or name another file") from error


def gaps_of(health: Sequence[dict[str, Any]], since_s: float, until_s: float, min_s: float = MIN_GAP_S
            ) -> list[tuple[float, float]]:
    """Stretches of this time, min_s or longer, that rows of ``Reader.health`` leave out."""
    parts = sorted(part for row in health for part in _with_signal(row))
    end, found = since_s, []
    for begin_s, end_s in parts:
        if begin_s - end >= min_s:
            found.append((end, begin_s))
        end = max(end, end_s)
    return [*found, (end, until_s)] if until_s - end >= min_s else found


def _with_signal(row: dict[str, Any]) -> list[tuple[float, float]]:
    """The stretches of a minute in which signal came."""
    ends = [row[keys.TIMESTAMP], *(end for gap in row.get(keys.GAPS, []) for end in gap), row[keys.TIMESTAMP_END]]
    return list(zip(ends[::2], ends[1::2], strict=True))


def _without_none(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}


def _numbers(values: np.ndarray) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]
