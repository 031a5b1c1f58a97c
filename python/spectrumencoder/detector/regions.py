# SPDX-License-Identifier: GPL-3.0-or-later
"""Where in frequency a frame is anomalous: the regions of bins that speak for its score."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .scores import WINDOWS, moving_sums

EXCESS, MISSING, LEVEL = "excess", "missing", "level"  # more power than expected, less, or the whole band's floor moved
MAX_REGIONS = 8  # in one frame
EDGE = 0.5  # a region reaches to where the residual has fallen to this share of its height (half the decibels)
GUARD_BINS = 4  # around a found region no other is looked for: the window's main lobe
_SMOOTH = {1: 1, 4: 1, 16: 3, 64: 9}  # bins of smoothing before the edges are looked for, per scale


class Region(NamedTuple):
    """Bins low..high (both included) of one frame; score in units of the fused score; channel that found it."""

    kind: str
    low: int
    high: int
    score: float
    channel: str


def find_regions(residual: np.ndarray, normalisers: dict[str, tuple[float, float]], threshold: float) -> list[Region]:
    """Regions whose own standardised moving sum exceeds the threshold, strongest first.

    Args:
        residual: (N,) standardised.
        normalisers: channel -> (median, spread); those of ``scores.WINDOWS`` are looked at.
        threshold: of the fused score.

    Returns:
        At most MAX_REGIONS, none overlapping another of its kind.
    """
    found = []
    scores = _window_scores(residual, {name: of for name, of in normalisers.items() if name in WINDOWS})
    while len(found) < MAX_REGIONS:
        best = _strongest(scores)
        if best is None or best.score <= threshold:
            break
        region = grow(residual, best)
        found.append(region)
        sign = WINDOWS[best.channel][0]
        for name, values in scores.items():
            if WINDOWS[name][0] == sign:
                first = max(0, region.low - GUARD_BINS - _scale(residual, name) + 1)
                values[first:region.high + GUARD_BINS + 1] = -np.inf
    return found


def strongest_excess(residual: np.ndarray, normalisers: dict[str, tuple[float, float]], score: float, channel: str) -> Region:
    """The one region that shows the largest excess, whatever its own score: for channels that have no place themselves."""
    scores = _window_scores(residual, {name: normalisers[name] for name, (sign, _) in WINDOWS.items() if sign > 0})
    return grow(residual, _strongest(scores))._replace(score=score, channel=channel)


def _scale(residual: np.ndarray, name: str) -> int:
    return min(WINDOWS[name][1], len(residual))


def _window_scores(residual: np.ndarray, normalisers: dict[str, tuple[float, float]]) -> dict[str, np.ndarray]:
    """Channel -> standardised moving sum at each position."""
    sums = moving_sums(residual[None])
    return {name: (WINDOWS[name][0] * sums[WINDOWS[name][1]][0] - median) / spread
            for name, (median, spread) in normalisers.items()}


def _strongest(scores: dict[str, np.ndarray]) -> Region | None:
    best = None
    for name, values in scores.items():
        position = int(values.argmax())
        if np.isfinite(values[position]) and (best is None or values[position] > best.score):
            sign, scale = WINDOWS[name]
            best = Region(EXCESS if sign > 0 else MISSING, position, position + scale - 1, float(values[position]), name)
    return best


def grow(residual: np.ndarray, window: Region) -> Region:
    """The bins around a window's peak that belong to it: contiguous, but for gaps as narrow as the smoothing."""
    sign, scale = WINDOWS[window.channel]
    smooth = _SMOOTH[scale]
    heights = np.asarray(sign * residual, np.float64)
    if smooth > 1:
        heights = np.convolve(np.pad(heights, smooth // 2, mode="edge"), np.full(smooth, 1.0 / smooth), mode="valid")
    inside = heights[window.low:window.high + 1]
    peak = window.low + int(inside.argmax())
    # the height of what is there: over many bins the largest is noise on top of it, and a wide window is not always filled
    height = float(inside.max() if scale <= 4 else np.quantile(inside, 0.8))
    above = np.flatnonzero(heights >= EDGE * height)
    groups = np.split(above, np.flatnonzero(np.diff(above) > max(2, smooth)) + 1)
    group = next((g for g in groups if g.size and g[0] <= peak <= g[-1]), np.array([peak]))
    return window._replace(low=int(group[0]), high=int(group[-1]))
