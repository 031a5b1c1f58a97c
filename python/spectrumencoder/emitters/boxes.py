# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for power that the background does not explain: means over boxes of bins and frames against the law of noise.

Shape letters: F frames, N bins, H = HISTORY rows before the first frame.
"""

from __future__ import annotations

import math
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from ..tokens.tokenize import optional_native_module
from .law import bin_correlation, box_variance, upper_quantile

WIDTHS = (1, 4, 16, 64, 256)  # bins
LENGTHS = (1, 2, 4, 8)  # frames
HISTORY = LENGTHS[-1] - 1
MODEL_ERROR = 0.02  # standard deviation of a box's mean that the law does not know of


def step_of(width: int) -> int:
    """Bins from one box of this width to the next."""
    return max(1, width // 4)


class Limits(NamedTuple):
    """Limits of the mean of a box: limit[i][j] of WIDTHS[i] bins and LENGTHS[j] frames; variance likewise."""

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
    """Number of boxes of a frame that are about independent, for the budget of false alarms."""
    return sum(2.0 * n_bins / width for width in WIDTHS) * math.log2(2 * len(LENGTHS))


class Search:
    """The boxes of some frames. ``score`` (F,): the largest (mean - 1) / (limit - 1) of a frame; a frame above 1 has found.

    The score is made at once, all else when it is asked for: nearly all frames find nothing.
    """

    def __init__(self, rows: np.ndarray, limit: np.ndarray):
        """rows: (H + F, N) powers over what is expected; the first H are of the frames before. limit: of ``Limits``."""
        self.rows, self.limit = np.ascontiguousarray(rows, np.float32), limit
        native = optional_native_module()
        given = scores_numpy if native is None else native.excess_scores
        sizes = _sizes(rows.shape[1])
        self.score = given(self.rows, sizes, limit[:len(sizes)])

    @cached_property
    def sums(self) -> list[np.ndarray]:
        """Means over the last 1, 2, 4 and 8 frames, (F, N) each."""
        return means_of_lengths(self.rows)

    def exceeding(self, frame: int, j: int) -> list[tuple[int, int, float]]:
        """(first bin, width, score) of the boxes of LENGTHS[j] frames that exceed their limit."""
        return [(low, width, score) for width, lows, scores in self.exceeding_by_width(frame, j)
                for low, score in zip(lows.tolist(), scores.tolist(), strict=True)]

    def exceeding_by_width(self, frame: int, j: int) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """(width, first bins, scores) of the boxes of LENGTHS[j] frames that exceed their limit, from the narrowest on."""
        found, cumulative = [], _cumulative(self.sums[j][frame:frame + 1])
        for (width, step), limit in zip(_sizes(self.rows.shape[1]).tolist(), self.limit[:, j].tolist(), strict=False):
            means = _box_means(cumulative, width, step)[0]
            at = np.flatnonzero(means > limit)
            if at.size:
                found.append((width, at * step, (means[at] - 1.0) / (limit - 1.0)))
        return found


@lru_cache(maxsize=8)
def _sizes(n_bins: int) -> np.ndarray:
    """Width and step of the boxes that fit, (widths, 2) uint32."""
    return np.array([(width, step_of(width)) for width in WIDTHS if width <= n_bins], np.uint32)


def means_of_lengths(rows: np.ndarray) -> list[np.ndarray]:
    """Means of the rows (H + F, N) over the last of ``LENGTHS``, (F, N) each.

    Each sum is made of two halves, so that it does not depend on where a batch began.
    """
    means, running = [rows[HISTORY:]], rows
    for length in LENGTHS[1:]:
        half = length // 2
        longer = running.copy()
        longer[half:] += running[:-half]
        running = longer
        means.append(running[HISTORY:] * np.float32(1.0 / length))
    return means


def scores_numpy(rows: np.ndarray, sizes: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Scores (F,) of the frames, NaN if a row is not finite; the same as the compiled module's, bit for bit."""
    score = np.zeros(len(rows) - HISTORY)
    for j, mean in enumerate(means_of_lengths(rows)):
        cumulative = _cumulative(mean)
        for (width, step), limit in zip(sizes.tolist(), limits[:, j].tolist(), strict=True):
            np.maximum(score, (_box_means(cumulative, width, step).max(axis=1) - 1.0) / (limit - 1.0), out=score)
        score[~np.isfinite(cumulative[:, -1])] = np.nan
    return score.astype(np.float32)


def _cumulative(mean: np.ndarray) -> np.ndarray:
    """Running sums over the bins, (F, N) -> (F, N + 1) float64, from 0 on."""
    cumulative = np.zeros((len(mean), mean.shape[1] + 1))
    np.cumsum(mean, axis=1, dtype=np.float64, out=cumulative[:, 1:])
    return cumulative


def _box_means(cumulative: np.ndarray, width: int, step: int) -> np.ndarray:
    """Means of the boxes of one width, (F, N + 1) -> (F, boxes) float64."""
    low = cumulative[:, :-width:step]
    return (cumulative[:, width::step] - low) * (1.0 / width)


def means_of(ratio: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(F, P) means of bins low..high - 1, (P,) each, of frames (F, N)."""
    ends = np.cumsum(high - low)
    columns = np.repeat(low - (ends - (high - low)), high - low) + np.arange(ends[-1])
    return np.add.reduceat(ratio[:, columns].astype(np.float64), ends - (high - low), axis=1) / (high - low)
