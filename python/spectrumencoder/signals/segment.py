# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments: the runs of bins in which one frame, or the mean of some, holds power that noise does not explain.

Edges come from the power, at bin precision. The model's tokens split what touches, and give the class.

Shape letters: N bins, M tokens, L labels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..emitters.boxes import LENGTHS, WIDTHS, Limits, step_of
from ..emitters.regions import runs_of

SMOOTH = 3  # bins of smoothing before edges are looked for
EDGE = 3.5  # deviations of the smoothed power above which a bin belongs to a run
MIN_OVER = 1.4  # times the noise (-4 dB of signal), that a run must have in the mean: a filter's ripple has less
_SURE = 0.5  # probability of a boundary, from which on it is believed
_TAIL = 0.005  # of the power at each side, outside the occupied band (99 %, ITU-R SM.328)
_UNDER_PEAK = 10**-2.5  # share of a segment's highest bin below which others do not count
WINDOW_BINS = 3  # that the window's main lobe adds to the width of a signal


class Segment(NamedTuple):
    """Bins low..high (both included).

    Attributes:
        level_db: mean power of its bins over the noise, in dB.
        score: power over the limit of noise, both less the noise; more than 1 has been found.
        probabilities: (L + 1,) float64 of the classes, ``unknown signal`` the last, without noise; empty without a model.
        presence: probability that it is no noise.
    """

    low: int
    high: int
    level_db: float
    score: float
    probabilities: np.ndarray
    presence: float


def find_segments(ratio: np.ndarray, limits: Limits, length: int = 1, tokens: np.ndarray | None = None,
                  noise: int = -1) -> list[Segment]:
    """The segments of one spectrum, by their first bin.

    Args:
        ratio: (N,) power over the noise. limits: of ``emitters.boxes.limits``. length: frames in its mean, of ``LENGTHS``.
        tokens: (M, L + 2) probabilities of the model, see ``encoder.token_classes``; None: without a model.
        noise: index of the label `noise` among the L.
    """
    j = LENGTHS.index(length)
    runs = power_runs(ratio, limits, j)
    if tokens is not None and runs:
        runs = [part for run in runs for part in split(run, tokens, len(ratio))]
    cumulative = np.concatenate([[0.0], np.cumsum(ratio, dtype=np.float64)])
    found = []
    for low, high in runs:
        mean = (cumulative[high + 1] - cumulative[low]) / (high - low + 1)
        score = _score(ratio[low:high + 1], mean, limits, j)
        if score > 1.0:
            probabilities, presence = classes_of(tokens, low, high, len(ratio), noise)
            found.append(Segment(low, high, 10.0 * math.log10(max(mean, 1e-3)), score, probabilities, presence))
    return found


def power_runs(ratio: np.ndarray, limits: Limits, j: int) -> list[tuple[int, int]]:
    """First and last bin of the runs above the edge of LENGTHS[j] frames, and of wide boxes beside them that stand out."""
    edge = max(1.0 + EDGE * math.sqrt(2.0 * limits.variance[0, j] / SMOOTH), MIN_OVER)
    above = smoothed(ratio) > edge
    wide = len(WIDTHS) - 2
    if len(ratio) >= WIDTHS[wide]:
        above = above | _wide(np.where(above, 1.0, ratio), WIDTHS[wide], max(limits.limit[wide, j], MIN_OVER))
    return runs_of(above)


def _wide(ratio: np.ndarray, width: int, limit: float) -> np.ndarray:
    """Bins (N,) bool of boxes of one width that exceed a limit."""
    cumulative, step = np.concatenate([[0.0], np.cumsum(ratio, dtype=np.float64)]), step_of(width)
    means = (cumulative[width::step] - cumulative[:-width:step]) / width
    out = np.zeros(len(ratio), bool)
    for at in np.flatnonzero(means > limit).tolist():
        out[at * step:at * step + width] = True
    return out


def _score(part: np.ndarray, mean: float, limits: Limits, j: int) -> float:
    """The largest excess over the limit's: of the whole run, and of its highest bin."""
    width = len(part)
    at = int(np.searchsorted(WIDTHS, width, side="right")) - 1
    whole = (mean - 1.0) / max(limits.limit[at, j] - 1.0, MIN_OVER - 1.0)
    return max(whole, (float(part.max()) - 1.0) / (limits.limit[0, j] - 1.0))


def split(run: tuple[int, int], tokens: np.ndarray, n_bins: int) -> list[tuple[int, int]]:
    """Parts of a run: it is cut where a boundary is likely between tokens that are of different classes."""
    stride = n_bins // len(tokens)
    low, high = run
    first, last = -(-low // stride), high // stride
    if last - first < 2:
        return [run]
    part = tokens[first:last + 1]
    cuts = [first + n for n in range(1, len(part))
            if part[n, -1] > _SURE and n >= 2 and n <= len(part) - 2]
    edges = [low, *(cut * stride for cut in cuts), high + 1]
    return [(a, b - 1) for a, b in zip(edges[:-1], edges[1:], strict=True) if b > a]


def classes_of(tokens: np.ndarray | None, low: int, high: int, n_bins: int, noise: int) -> tuple[np.ndarray, float]:
    """Mean probabilities (L + 1,) of the tokens under some bins, without noise, and the probability that there is a signal."""
    if tokens is None or not np.isfinite(tokens[0, 0]):
        return np.zeros(0), math.nan
    stride = n_bins // len(tokens)
    first, last = low // stride, high // stride
    share = np.full(last - first + 1, float(stride))
    share[0] -= low - first * stride
    share[-1] -= (last + 1) * stride - high - 1
    mean = share @ tokens[first:last + 1, :-1].astype(np.float64) / share.sum()
    presence = 1.0 - float(mean[noise]) if noise >= 0 else 1.0
    if noise >= 0:
        mean[noise] = 0.0
    return mean / max(mean.sum(), 1e-12), presence


def occupied_bins(excess: np.ndarray, low: int, high: int) -> tuple[int, int]:
    """First and last bin, within low..high, of the band that a signal occupies: 99 % of its power, less what the window adds.

    Args:
        excess: (N,) power over the noise, less the noise.
    """
    part = np.maximum(excess[low:high + 1], 0.0)
    part = np.where(part > _UNDER_PEAK * part.max(), part, 0.0)
    total = part.sum()
    if not total > 0.0:
        return low, high
    energy = np.cumsum(part)
    first = low + int(np.searchsorted(energy, _TAIL * total))
    last = low + min(int(np.searchsorted(energy, (1.0 - _TAIL) * total)), len(part) - 1)
    return (first + 1, last - 1) if last - first >= WINDOW_BINS else (first, last)


def smoothed(values: np.ndarray) -> np.ndarray:
    """Means of SMOOTH neighbours along the last axis, (..., N)."""
    padded = np.concatenate([values[..., :1], values, values[..., -1:]], axis=-1)
    return (padded[..., :-2] + padded[..., 1:-1] + padded[..., 2:]) * (1.0 / SMOOTH)
