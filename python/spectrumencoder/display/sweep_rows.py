# SPDX-License-Identifier: GPL-3.0-or-later
"""``SweepRows``: the rows of any number of sweeps in bounded memory, for a picture, and their mean and maximum."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .band_spectrum import Piece

MAX_ROWS, MAX_COLUMNS, MAX_RANGES = 400, 1600, 32


@dataclass
class RangeRows:
    """The sweeps of one range.

    Attributes: freq_start_hz: of the first bin; bin_hz; n_sweeps; starts: first sample of each row; stop: sample behind the last;
    rows: dBFS, neighbours in time and frequency merged by maximum.
    """

    freq_start_hz: float
    bin_hz: float
    total: np.ndarray  # linear power of all sweeps
    high: np.ndarray  # dBFS
    n_sweeps: int = 0
    starts: list[int] = field(default_factory=list)
    stop: int = 0
    rows: list[np.ndarray] = field(default_factory=list)
    merge: int = 1  # sweeps per row

    def add(self, row: np.ndarray, sample_start: int, sample_count: int):
        """A sweep, (B,) dBFS."""
        row = np.where(np.isfinite(row), row, -200.0)
        self.total += 10.0 ** (0.1 * row.astype(np.float64))
        np.maximum(self.high, row, out=self.high)
        shrunk = _shrink(row)
        if self.n_sweeps % self.merge:
            self.rows[-1] = np.maximum(self.rows[-1], shrunk)
        else:
            self.starts.append(sample_start)
            self.rows.append(shrunk)
        self.n_sweeps += 1
        self.stop = sample_start + sample_count
        if len(self.rows) > MAX_ROWS:
            self.rows = [np.max(self.rows[n:n + 2], axis=0) for n in range(0, len(self.rows), 2)]
            self.starts, self.merge = self.starts[::2], 2 * self.merge

    @property
    def edges_hz(self) -> tuple[float, float]:
        """Lower edge of the first bin, upper edge of the last."""
        return self.freq_start_hz - self.bin_hz / 2, self.freq_start_hz + self.bin_hz * (len(self.high) - 0.5)

    def piece(self) -> Piece:
        """Mean and maximum over all sweeps."""
        mean = 10.0 * np.log10(np.maximum(self.total / self.n_sweeps, 1e-20))
        return Piece(self.freq_start_hz + self.bin_hz * np.arange(len(mean)), mean, self.high)


class SweepRows:
    """Collects sweeps by range; the first MAX_RANGES ranges. Attributes: n_sweeps: rows taken."""

    def __init__(self):
        self._ranges: dict[tuple[float, float, int], RangeRows] = {}
        self.n_sweeps = 0

    def add(self, row: np.ndarray, freq_start_hz: float, bin_hz: float, sample_start: int, sample_count: int):
        """A sweep over one range, (B,) dBFS."""
        key = freq_start_hz, bin_hz, len(row)
        if key not in self._ranges and len(self._ranges) < MAX_RANGES:
            self._ranges[key] = RangeRows(freq_start_hz, bin_hz, np.zeros(len(row)), np.full(len(row), -200.0))
        if key in self._ranges:
            self._ranges[key].add(row, sample_start, sample_count)
            self.n_sweeps += 1

    def ranges(self) -> list[RangeRows]:
        """By frequency."""
        return [self._ranges[key] for key in sorted(self._ranges)]


def _shrink(row: np.ndarray) -> np.ndarray:
    """A row of MAX_COLUMNS columns at most, each the maximum of its bins."""
    step = -(-len(row) // MAX_COLUMNS)
    return np.maximum.reduceat(row, np.arange(0, len(row), step)).astype(np.float32)
