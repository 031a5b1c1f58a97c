# SPDX-License-Identifier: GPL-3.0-or-later
"""``Waterfall``: any number of spectra in bounded memory, for a picture. Neighbours in time and frequency merge by maximum,
so that a burst of one frame is still seen in a picture of a long recording."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

MAX_COLUMNS = 768  # with MAX_ROWS the size that a picture shows pixel for pixel, so that drawing loses nothing
MAX_ROWS = 800


@dataclass
class WaterfallSegment:
    """Rows at one centre frequency and rate.

    Attributes: start_sample of row 0; row_samples from one row to the next; center_hz, rate_hz (of all bins);
    psd, residual: rows (R, C) float32, dBFS and standard deviations; n_samples: of its frames, which may end within the last row.
    """

    start_sample: int
    row_samples: int
    center_hz: float
    rate_hz: float
    psd: list = field(default_factory=list)
    residual: list = field(default_factory=list)
    n_samples: int = 0

    @property
    def stop_sample(self) -> int:
        return self.start_sample + len(self.psd) * self.row_samples


class Waterfall:
    """Collects frames; holds at most ``2 * max_rows`` rows.

    Args:
        max_rows: maximum rows of a picture.
    """

    def __init__(self, max_rows: int = MAX_ROWS):
        if max_rows < 1:
            raise ValueError(f"max_rows {max_rows} must be at least 1")
        self.max_rows = max_rows
        self.merge = 1  # frames per row
        self.segments: list[WaterfallSegment] = []
        self._pending: tuple[np.ndarray, np.ndarray] | None = None  # maximum of the frames that wait to be a row
        self._n_pending = 0
        self._hop = 1

    def begin(self, start_sample: int, frame_hop: int, center_hz: float, rate_hz: float):
        """A run of frames, ``frame_hop`` samples apart, starts at ``start_sample``."""
        self.flush()
        self._hop = max(1, frame_hop)
        self.segments.append(WaterfallSegment(start_sample, self._hop * self.merge, center_hz, rate_hz))

    def add(self, psd: np.ndarray, residual: np.ndarray):
        """Frames (F, N) of both; ``begin`` was called before."""
        columns = _columns(psd.shape[1])
        self.segments[-1].n_samples += self._hop * len(psd)
        for frame in zip(_shrink(psd, columns), _shrink(residual, columns), strict=True):
            self._pending = frame if self._pending is None else tuple(map(np.maximum, self._pending, frame))
            self._n_pending += 1
            if self._n_pending >= self.merge:
                self.flush()

    def flush(self):
        """Makes a row of the frames that wait for their neighbours."""
        if self._pending is None:
            return
        segment = self.segments[-1]
        segment.psd.append(self._pending[0])
        segment.residual.append(self._pending[1])
        self._pending, self._n_pending = None, 0
        if self._n_rows() > 2 * self.max_rows:
            self._halve()

    def rows(self) -> list[WaterfallSegment]:
        """The segments that hold rows, shrunk to max_rows in total if every segment allows it."""
        self.flush()
        while self._n_rows() > self.max_rows and any(len(s.psd) > 1 for s in self.segments):
            self._halve()
            self.flush()
        return [segment for segment in self.segments if segment.psd]

    def _n_rows(self) -> int:
        return sum(len(segment.psd) for segment in self.segments)

    def _halve(self):
        last = self.segments[-1]
        if len(last.psd) % 2:  # waits for its neighbour, which is still to come
            self._pending, self._n_pending = (last.psd.pop(), last.residual.pop()), self.merge
        self.merge *= 2
        for segment in self.segments:
            segment.row_samples *= 2
            segment.psd = _merge_pairs(segment.psd)
            segment.residual = _merge_pairs(segment.residual)


def _merge_pairs(rows: list) -> list:
    return [np.max(rows[i:i + 2], axis=0) for i in range(0, len(rows), 2)]


def _columns(n_bins: int) -> int:
    """The largest divisor of n_bins that is at most MAX_COLUMNS."""
    return next(n_bins // k for k in range(1, n_bins + 1) if n_bins % k == 0 and n_bins // k <= MAX_COLUMNS)


def _shrink(frames: np.ndarray, columns: int) -> np.ndarray:
    return frames.reshape(len(frames), columns, -1).max(axis=2)
