# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for power that the background does not explain: means over boxes of bins and frames against the law of noise.

Shape letters: F frames, N bins, H = HISTORY rows before the first frame.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .law import bin_correlation, box_variance, upper_quantile

WIDTHS = (1, 4, 16, 64, 256)  # bins
LENGTHS = (1, 2, 4, 8)  # frames
HISTORY = LENGTHS[-1] - 1
MODEL_ERROR = 0.02  # of a box's mean, that the law does not know of: standard deviation


def step_of(width: int) -> int:
    """Bins from one box of this width to the next."""
    return max(1, width // 4)


class Limits(NamedTuple):
    """What the mean of a box may reach: limit[i][j] of WIDTHS[i] bins and LENGTHS[j] frames; variance likewise."""

    limit: np.ndarray
    variance: np.ndarray


@lru_cache(maxsize=256)
def limits(window: str, n_bins: int, spectra: float, error: float, log_probability: float) -> Limits:
    """Limits that each box exceeds with this probability.

    Args:
        spectra: independent spectra in a frame. error: of a bin's background, a standard deviation over its mean.
    """
    correlation = bin_correlation(window, n_bins)
    variance = np.empty((len(WIDTHS), len(LENGTHS)))
    for i, width in enumerate(WIDTHS):
        lasting = box_variance(width, 1, spectra, correlation) * spectra * error**2 + MODEL_ERROR**2
        for j, length in enumerate(LENGTHS):
            variance[i, j] = box_variance(width, length, spectra, correlation) + lasting
    limit = np.array([[upper_quantile(v, log_probability) for v in row] for row in variance])
    return Limits(limit, variance)


def boxes_per_frame(n_bins: int) -> float:
    """How many boxes of a frame are about independent, for the budget of false alarms."""
    return sum(2.0 * n_bins / width for width in WIDTHS) * math.log2(2 * len(LENGTHS))


class Search:
    """The boxes of some frames. ``score`` (F,): the largest (mean - 1) / (limit - 1) of a frame; a frame above 1 has found."""

    def __init__(self, rows: np.ndarray, limit: np.ndarray):
        """rows: (H + F, N) powers over what is expected; the first H are of the frames before. limit: of ``Limits``."""
        self.rows, self.limit = rows, limit
        self.sums = [rows[HISTORY:]]
        running = rows
        for length in LENGTHS[1:]:
            half = length // 2
            longer = running.copy()
            longer[half:] += running[:-half]
            running = longer
            self.sums.append(running[HISTORY:] * np.float32(1.0 / length))
        self._over: dict[tuple[int, int], np.ndarray] = {}
        score = np.zeros(len(rows) - HISTORY, np.float32)
        for j, mean in enumerate(self.sums):
            cumulative = np.zeros((len(mean), mean.shape[1] + 1))
            np.cumsum(mean, axis=1, dtype=np.float64, out=cumulative[:, 1:])
            for i, width in enumerate(WIDTHS):
                if width > mean.shape[1]:
                    continue
                step = step_of(width)
                low = cumulative[:, :-width:step]
                high = cumulative[:, width::step]
                of_boxes = (high[:, :low.shape[1]] - low) * (1.0 / width)
                largest = (of_boxes.max(axis=1) - 1.0) / (limit[i, j] - 1.0)
                self._over[i, j] = of_boxes
                np.maximum(score, largest, out=score)
        self.score = score

    def exceeding(self, frame: int, j: int) -> list[tuple[int, int, float]]:
        """(first bin, width, score) of the boxes of LENGTHS[j] frames that exceed their limit."""
        found = []
        for i, width in enumerate(WIDTHS):
            if (i, j) in self._over:
                means = self._over[i, j][frame]
                for k in np.flatnonzero(means > self.limit[i, j]).tolist():
                    found.append((k * step_of(width), width, (float(means[k]) - 1.0) / (self.limit[i, j] - 1.0)))
        return found
