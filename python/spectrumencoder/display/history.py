# SPDX-License-Identifier: GPL-3.0-or-later
"""The last seconds of spectra over absolute frequency, and of scores: what the waterfall and the score trace show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

MAX_ROWS = 400
MAX_COLUMNS = 4096
EMPTY_DBFS = -200.0  # fills places without reception; the tokenizer outputs nothing lower


@dataclass(frozen=True)
class Tuning:
    """Centre frequency and rate in Hz, and number of bins of a spectrum. Bins are centred on their frequency."""

    center_hz: float
    rate_hz: float
    n_bins: int

    @property
    def bin_hz(self) -> float:
        return self.rate_hz / self.n_bins

    @property
    def low_hz(self) -> float:
        """Lower edge of the lowest bin."""
        return self.center_hz - self.bin_hz * (self.n_bins // 2 + 0.5)

    @property
    def high_hz(self) -> float:
        return self.low_hz + self.rate_hz

    def frequencies_hz(self) -> np.ndarray:
        """(n_bins,) of the bins, ascending."""
        return self.low_hz + self.bin_hz * (np.arange(self.n_bins) + 0.5)


class TimeScale(NamedTuple):
    """Duration of a row, s, and number of rows shown."""

    row_s: float
    n_rows: int

    @classmethod
    def of(cls, history_s: float, frame_s: float) -> TimeScale:
        """At most MAX_ROWS rows for `history_s`, none shorter than a frame."""
        row_s = max(frame_s, history_s / MAX_ROWS)
        return cls(row_s, min(MAX_ROWS, math.ceil(history_s / row_s)))


class Row(NamedTuple):
    """The frames of `scale.row_s` seconds from stream time `slot * row_s` on, merged: the maximum per bin and of the scores."""

    slot: int
    scale: TimeScale
    tuning: Tuning
    psd: np.ndarray  # (n_bins,) dBFS
    score: float  # NaN: none was judged


class History:
    """Rows in the order of their time, each at its place on one frequency axis that covers all tunings of the time shown."""

    def __init__(self):
        self.clear()

    def clear(self):
        self.scale = TimeScale(0.0, 0)
        self.low_hz = self.column_hz = 0.0
        self._last_slot: int | None = None
        self._seen: dict[Tuning, int] = {}  # -> slot of its last row
        self._levels = self._scores = None

    @property
    def empty(self) -> bool:
        return self._last_slot is None

    @property
    def row_s(self) -> float:
        return self.scale.row_s

    @property
    def levels(self) -> np.ndarray:
        """(rows, columns) dBFS, oldest row first, EMPTY_DBFS in places without reception; a view."""
        return self._levels.rows

    @property
    def scores(self) -> np.ndarray:
        """(rows,), NaN if no frame of the row was judged."""
        return self._scores.rows[:, 0]

    @property
    def high_hz(self) -> float:
        return self.low_hz + self.column_hz * self.levels.shape[1]

    @property
    def frequencies_hz(self) -> np.ndarray:
        """(columns,) centres."""
        return self.low_hz + self.column_hz * (np.arange(self.levels.shape[1]) + 0.5)

    @property
    def begin_s(self) -> float:
        """Stream time at which the oldest row begins."""
        return self.end_s - len(self.levels) * self.row_s

    @property
    def end_s(self) -> float:
        """Stream time at which the newest row ends."""
        return (self._last_slot + 1) * self.row_s

    def add(self, row: Row):
        """Takes a row; slots never go back. Another time scale begins a new history."""
        if row.scale != self.scale:
            self.clear()
            self.scale = row.scale
        self._seen = {tuning: slot for tuning, slot in self._seen.items() if row.slot - slot < row.scale.n_rows}
        self._seen[row.tuning] = row.slot
        self._fit()
        if self._last_slot is None:
            self._levels.advance(1)
            self._scores.advance(1)
        elif row.slot > self._last_slot:
            self._levels.advance(row.slot - self._last_slot)
            self._scores.advance(row.slot - self._last_slot)
        self._last_slot = row.slot
        _place(self._levels.rows[-1:], self.low_hz, self.column_hz, row.psd[None], row.tuning.low_hz, row.tuning.bin_hz)
        self._scores.rows[-1] = np.fmax(self._scores.rows[-1], row.score)

    def _fit(self):
        """Makes the axis cover what has been seen, and no more; keeps what is already there."""
        low, high = min(t.low_hz for t in self._seen), max(t.high_hz for t in self._seen)
        column = max(max(t.bin_hz for t in self._seen), (high - low) / MAX_COLUMNS)
        n_columns = round((high - low) / column)
        old, old_low, old_column = self._levels, self.low_hz, self.column_hz
        if old is not None and (old_low, old_column, old.rows.shape[1]) == (low, column, n_columns):
            return
        self.low_hz, self.column_hz = low, column
        self._levels = _Ring(self.scale.n_rows, n_columns, EMPTY_DBFS)
        if old is None:
            self._scores = _Ring(self.scale.n_rows, 1, np.nan)
            return
        _place(self._levels.rows, low, column, old.rows, old_low, old_column)


class _Ring:
    """(n_rows, n_columns) float32 that forgets its oldest rows; `rows` is contiguous and oldest first."""

    def __init__(self, n_rows: int, n_columns: int, empty: float):
        self._buffer = np.full((2 * n_rows, n_columns), empty, np.float32)
        self._n, self._end, self._empty = n_rows, n_rows, empty

    @property
    def rows(self) -> np.ndarray:
        return self._buffer[self._end - self._n:self._end]

    def advance(self, count: int):
        """Puts `count` empty rows behind the newest."""
        count = min(count, self._n)
        if self._end + count > 2 * self._n:
            self._buffer[:self._n] = self.rows
            self._end = self._n
        self._buffer[self._end:self._end + count] = self._empty
        self._end += count


def _place(target: np.ndarray, target_low: float, column_hz: float, values: np.ndarray, low_hz: float, step_hz: float):
    """Puts rows of levels, `step_hz` apart from the edge `low_hz` on, into their columns. A column takes the maximum.

    `column_hz` is at least `step_hz`. Levels outside the target's range are left out.
    """
    places = (low_hz - target_low + step_hz * (np.arange(values.shape[1]) + 0.5)) / column_hz
    columns = np.floor(places + 1e-6).astype(int)  # a centre on a column's edge belongs to the upper column
    inside = (columns >= 0) & (columns < target.shape[1])
    columns, values = columns[inside], values[:, inside]
    if not len(columns):
        return
    starts = np.flatnonzero(np.diff(columns, prepend=-1))
    taken = columns[starts]
    target[:, taken] = np.maximum(target[:, taken], np.maximum.reduceat(values, starts, axis=1))
