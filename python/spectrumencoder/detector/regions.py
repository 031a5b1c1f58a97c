# SPDX-License-Identifier: GPL-3.0-or-later
"""The regions of bins that speak for a frame's score: where in frequency it is anomalous."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .box_search import BOX_CHANNELS, EXCESS_SCALES, LENGTHS, PARTS, POWER, POWER_SCALES, BoxSearch, BoxSize, boxes
from .windows import WINDOWS, moving_sums

EXCESS, MISSING, LEVEL = "excess", "missing", "level"  # more power than expected, less, or the whole band's floor moved
MAX_REGIONS = 8  # in one frame
EDGE = 0.5  # a region reaches to where the residual has fallen to this share of its height (half the decibels)
GUARD_BINS = 4  # no other region is looked for so near to one that was found: the window's main lobe
_SIGNIFICANT = 4.0  # sum of a box's deviations over its own deviation
_SMOOTH = {1: 1, 4: 1, 16: 3, 64: 9, 256: 9}  # bins of smoothing before the edges are looked for, per scale


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
        normalisers: channel -> (median, spread); those of ``windows.WINDOWS`` count.
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
        sign, scale = WINDOWS[best.channel]
        region = grow(sign * residual, best, scale)
        found.append(region)
        for name, values in scores.items():
            if WINDOWS[name][0] == sign:
                first = max(0, region.low - GUARD_BINS - _scale(residual, name) + 1)
                values[first:region.high + GUARD_BINS + 1] = -np.inf
    return found


def strongest_excess(residual: np.ndarray, normalisers: dict[str, tuple[float, float]], score: float, channel: str) -> Region:
    """The one region with the largest excess, whatever its own score: for channels that have no place themselves.

    Args:
        residual: (N,) standardised. normalisers: window -> (median, spread), at least one of a positive sign.
        score, channel: put into the region.
    """
    scores = _window_scores(residual, {name: normalisers[name] for name, (sign, _) in WINDOWS.items()
                                       if sign > 0 and name in normalisers})
    best = _strongest(scores)
    return grow(residual, best, WINDOWS[best.channel][1])._replace(score=score, channel=channel)


def box_regions(search: BoxSearch, rows: np.ndarray, normalisers: dict[str, tuple[float, float]],
                threshold: float) -> list[Region]:
    """Regions of a frame whose boxes exceed the threshold, strongest first, if the frame itself still shows them.

    A box of several frames goes on speaking for a while after an emission ends. Such a region is left out: its bins have fallen
    below half of the height that they have over the box.

    Args:
        rows: (HISTORY + 1, P), of the frame and those before it.
        normalisers: channel -> (median, spread); those of ``BOX_CHANNELS`` count. threshold: of the fused score.

    Returns:
        At most MAX_REGIONS, none overlapping another of its kind.
    """
    plan, found = boxes(search.n_bins), []
    shown = search.at(rows)  # (T, 2, P)
    scores = np.full(shown.shape, -np.inf, np.float32)
    for name, size in BOX_CHANNELS.items():
        if name in normalisers:
            at = (LENGTHS.index(size.length), int(size.sign < 0), plan.part(PARTS.index((size.kind, size.scale))))
            median, spread = normalisers[name]
            scores[at] = (shown[at] - median) / spread
    for _ in range(MAX_REGIONS):
        length, down, box = np.unravel_index(int(scores.argmax()), scores.shape)
        score = float(scores[length, down, box])
        if not score > threshold:
            break
        kind, scale = PARTS[int(np.searchsorted(plan.edges, box, side="right")) - 1]
        sign = -1 if down else 1
        name = BoxSize(kind, scale, LENGTHS[length], sign).name
        low, high = int(plan.low[box]), int(plan.high[box]) - 1
        heights = sign * _heights(search, rows, kind, slice(low, high + 1), LENGTHS[length], sign)
        over_box = heights[-LENGTHS[length]:].mean(axis=0)
        region = grow(over_box, Region(MISSING if down else EXCESS, low, high, score, name), min(scale, search.n_bins))
        mine = slice(region.low, region.high + 1)
        if LENGTHS[length] == 1 or heights[-1, mine].mean() >= EDGE * over_box[mine].mean():
            found.append(region)
        covered = (plan.low <= max(region.high, high) + GUARD_BINS) & (plan.high > min(region.low, low) - GUARD_BINS)
        scores[:, down, covered] = -np.inf
    return found


def _heights(search: BoxSearch, rows: np.ndarray, kind: str, box: slice, length: int, sign: int) -> np.ndarray:
    """Distance of each bin from its median, (HISTORY + 1, N), in deviations.

    If a box of power has spoken and the deviations are silent, it is in dB of power over a few bins around the bin.
    """
    deviation = rows[:, :search.n_bins] - search.median[0, :search.n_bins]
    if kind != POWER or sign * deviation[-length:, box].sum() >= _SIGNIFICANT * np.sqrt(length * (box.stop - box.start)):
        return deviation
    part = boxes(search.n_bins).part(len(EXCESS_SCALES))  # of the narrowest power, one box from each bin on
    over = rows[:, part] - search.median[0, part]
    before = POWER_SCALES[0] // 2
    return np.pad(over, ((0, 0), (before, search.n_bins - over.shape[1] - before)), mode="edge")


def _scale(residual: np.ndarray, name: str) -> int:
    return min(WINDOWS[name][1], len(residual))


def _window_scores(residual: np.ndarray, normalisers: dict[str, tuple[float, float]]) -> dict[str, np.ndarray]:
    """Standardised moving sum at each position, by window."""
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


def grow(heights: np.ndarray, window: Region, scale: int) -> Region:
    """The bins around a window's peak that belong to it: contiguous, but for gaps as narrow as the smoothing.

    Args:
        heights: (N,), upwards in the region's direction. scale: bins of the window that found it.
    """
    smooth = _SMOOTH.get(scale, 1)
    heights = np.asarray(heights, np.float64)
    if smooth > 1:
        heights = np.convolve(np.pad(heights, smooth // 2, mode="edge"), np.full(smooth, 1.0 / smooth), mode="valid")
    inside = heights[window.low:window.high + 1]
    peak = window.low + int(inside.argmax())
    # the height of the emission: over many bins the largest is noise on top of it, and a wide window is not always filled
    height = float(inside.max() if scale <= 4 else np.quantile(inside, 0.8))
    above = np.flatnonzero(heights >= EDGE * height)
    groups = np.split(above, np.flatnonzero(np.diff(above) > max(2, smooth)) + 1)
    group = next((g for g in groups if g.size and g[0] <= peak <= g[-1]), np.array([peak]))
    return window._replace(low=int(group[0]), high=int(group[-1]))
