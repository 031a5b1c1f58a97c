# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions: the bins of one frame that hold power which the background does not explain."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .boxes import LENGTHS, WIDTHS, Search

_SMOOTH = 3  # bins of smoothing before edges are looked for
_EDGE = 3.5  # deviations of the smoothed power above which a bin belongs to a region
_NARROW = 16  # bins up to which a box points at the runs in it; a wider one is a region itself
_GAP = 3  # bins below that which a region may hold
_NOW = 0.5  # share of the height over a longer box that the frame itself must show


class Region(NamedTuple):
    """Bins low..high (both included) of one frame; score of its best box; length of that box in frames."""

    low: int
    high: int
    score: float
    length: int


def find_regions(search: Search, frame: int, variance: np.ndarray, covered: np.ndarray) -> list[Region]:
    """The regions of one frame, by their first bin.

    A longer box shows what is too weak for one frame. It counts only if it lies where nothing else is known, and if the frame
    itself still shows half of its height.

    Args:
        variance: of ``Limits``, of boxes. covered: (N,) bool, bins in which a signal is known from the frames before.
    """
    now = search.sums[0][frame]
    found: list[Region] = []
    taken = np.zeros(len(now), bool)
    for j, length in enumerate(LENGTHS if not covered.all() else LENGTHS[:1]):
        boxes = search.exceeding_by_width(frame, j)
        if not boxes:
            continue
        mean = search.sums[j][frame]
        deviation = math.sqrt(variance[0, j] / _SMOOTH * 2.0)
        runs = runs_of(_smoothed(mean) > 1.0 + _EDGE * deviation)
        for width, lows, scores in boxes:  # from the narrowest on, so that a wide one answers for what is left
            after = 0
            while after < len(lows):
                speaks = _speaking(mean, lows[after:], width, taken, search.limit[:, j])
                for n in (after + np.flatnonzero(speaks)).tolist():
                    after = n + 1
                    low, high = int(lows[n]), int(lows[n]) + width - 1
                    new = _regions_of(low, high, width, length, runs, taken, covered, now, mean)
                    found += [Region(a, b, float(scores[n]), length) for a, b in new]
                    if new:
                        break
                else:
                    break
    return sorted(found)


def _speaking(mean: np.ndarray, lows: np.ndarray, width: int, taken: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Which boxes (B,) still exceed their limit by bins that are not taken. One bin alone does not speak for a wide box."""
    free = ~taken
    counts = np.concatenate([[0], np.cumsum(free)])
    left = counts[lows + width] - counts[lows]
    speaks = 2 * left > width
    if width > 1:
        capped = np.concatenate([[0.0], np.cumsum(np.where(free, np.minimum(mean, limits[0]), 0.0), dtype=np.float64)])
        means = (capped[lows + width] - capped[lows]) / np.maximum(left, 1)
        speaks &= ((left == width) & (width <= _NARROW)) | (means > limits[WIDTHS.index(width)])
    return speaks


def _regions_of(low: int, high: int, width: int, length: int, runs: list[tuple[int, int]], taken: np.ndarray,
                covered: np.ndarray, now: np.ndarray, mean: np.ndarray) -> list[tuple[int, int]]:
    """The stretches of bins that a box of bins low..high points at; they are taken from here on."""
    inside = [run for run in runs if run[0] <= high and low <= run[1]] if width <= _NARROW else []
    new = []
    for first, last in inside or [(low, high)]:
        a, b = _shrunk(first, last, taken)
        if a > b or (length > 1 and covered[a:b + 1].any()):
            continue
        if length > 1 and now[a:b + 1].mean() - 1.0 < _NOW * (mean[a:b + 1].mean() - 1.0):
            continue
        taken[max(a - 1, 0):b + 2] = True
        new.append((a, b))
    return new


def _shrunk(low: int, high: int, taken: np.ndarray) -> tuple[int, int]:
    """The longest stretch of low..high that is not taken; empty if there is none."""
    free = runs_of(~taken[low:high + 1], gap=0)
    if not free:
        return 1, 0
    first, last = max(free, key=lambda run: run[1] - run[0])
    return low + first, low + last


def _smoothed(values: np.ndarray) -> np.ndarray:
    padded = np.concatenate([values[:1], values, values[-1:]])
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3.0


def runs_of(mask: np.ndarray, gap: int = _GAP) -> list[tuple[int, int]]:
    """First and last of each run of True, runs with short gaps joined."""
    at = np.flatnonzero(mask)
    if not at.size:
        return []
    cuts = np.flatnonzero(np.diff(at) > gap + 1)
    first, last = at[np.concatenate([[0], cuts + 1])], at[np.concatenate([cuts, [at.size - 1]])]
    return list(zip(first.tolist(), last.tolist(), strict=True))

