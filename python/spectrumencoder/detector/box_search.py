# SPDX-License-Identifier: GPL-3.0-or-later
"""The search of a band whose plan was learned: sums of neighbouring bins and successive frames, each against its own past.

A tone as strong as the noise in its one bin shows in no single frame, and yet within eight of them. A burst fills one frame. So
boxes of 1 to 256 bins by 1 to 8 frames are summed. There are boxes of the deviations that ``band_statistics`` gives, which are
left without the band's own components. And there are boxes of the power itself: a steady emitter's absence looks like one of the
components, and shows only there.

Boxes vary more than elsewhere if emitters come and go. The unit of each box is therefore the largest excursion that it, or its
neighbours, showed in the calibration. A busy channel then hides what is not louder than itself, and nothing in free bins. Scan
statistics: Kulldorff 1997 (windows of all sizes, the largest counts); here with a scale for each place.

Shape letters: F frames, N bins, P boxes of one frame, T lengths in frames, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..tokens.tokenize import optional_native_module
from .band_statistics import BandStatistics, standardise_numpy
from .decibels import decibels, powers

LENGTHS = (1, 2, 4, 8)  # frames; each twice the one before
EXCESS_SCALES = (1, 4, 16, 64, 256)  # bins, of deviations
POWER_SCALES = (4, 16, 64)  # bins, of power
EXCESS, POWER = "excess", "power"
HISTORY = LENGTHS[-1] - 1  # a frame's score reaches back to so many frames before it
PARTS = tuple((EXCESS, s) for s in EXCESS_SCALES) + tuple((POWER, s) for s in POWER_SCALES)
_STEP = 4  # boxes start every scale / _STEP bins
_NEAR = 5  # neighbouring boxes that share their largest excursion
# Lower bound on a box's unit, relative to the median box of its size: a short steady spell may have been chance
MIN_SHARE = {EXCESS: 1.0, POWER: 0.5}


def max_near(values: np.ndarray) -> np.ndarray:
    """The largest of each value (P,) and its neighbours, _NEAR in all."""
    beyond = np.pad(values, _NEAR // 2, constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(beyond, _NEAR).max(axis=1)


class BoxSize(NamedTuple):
    """The boxes of one kind and size; the largest of them is a channel. sign: 1 more than usual, -1 less."""

    kind: str
    scale: int
    length: int
    sign: int

    @property
    def name(self) -> str:
        kind = self.kind if self.sign > 0 else "missing" if self.kind == EXCESS else "power_missing"
        return f"{kind}_{self.scale}_{self.length}"


# in the order of the columns of BoxSearch.maxima
BOX_CHANNELS = {size.name: size for size in
                (BoxSize(kind, scale, length, sign) for length in LENGTHS for sign in (1, -1) for kind, scale in PARTS)}


class Boxes(NamedTuple):
    """The boxes of one frame of N bins.

    Attributes:
        low, high: (P,) first bin, and the one after the last. edges: (len(PARTS) + 1,), numbers of the boxes that part the parts.
    """

    low: np.ndarray
    high: np.ndarray
    edges: tuple[int, ...]

    def part(self, number: int) -> slice:
        return slice(self.edges[number], self.edges[number + 1])


@lru_cache(maxsize=8)
def boxes(n_bins: int) -> Boxes:
    """All boxes; the first N are the single bins. A scale wider than the band is cut to it."""
    low, high, edges = [], [], [0]
    for _, scale in PARTS:
        width = min(scale, n_bins)
        starts = np.arange(0, n_bins - width + 1, max(1, width // _STEP))
        low.append(starts)
        high.append(starts + width)
        edges.append(edges[-1] + len(starts))
    return Boxes(np.concatenate(low), np.concatenate(high), tuple(edges))


@dataclass(frozen=True, eq=False)
class BoxSearch:
    """Calibrated statistics of each box of a band.

    Attributes:
        n_bins: N. median: (T, P) float32.
        up, down: (T, P), largest excursion above and below it, at least ``MIN_SHARE`` of that of the median box of the size.

    Raises:
        ValueError: shapes do not fit, or values are out of range.
    """

    n_bins: int
    median: np.ndarray
    up: np.ndarray
    down: np.ndarray

    def __post_init__(self):
        shape = (len(LENGTHS), boxes(self.n_bins).edges[-1])
        if not self.median.shape == self.up.shape == self.down.shape == shape:
            raise ValueError(f"a band's box search of shapes {self.median.shape}, {self.up.shape} and {self.down.shape}, "
                             f"not {shape}; calibrate again")
        if not (np.isfinite(self.median).all() and (self.up > 0).all() and (self.down > 0).all()):
            raise ValueError("a band's box search with values that are not finite, or limits that are not positive; calibrate "
                             "again")
        object.__setattr__(self, "median", np.ascontiguousarray(self.median, np.float32))
        object.__setattr__(self, "_edges", np.array(boxes(self.n_bins).edges, np.uint32))
        object.__setattr__(self, "_per_up", (1.0 / self.up).astype(np.float32))
        object.__setattr__(self, "_per_down", (-1.0 / self.down).astype(np.float32))

    @classmethod
    def learn(cls, rows: np.ndarray, n_bins: int, chosen: np.ndarray | None = None) -> BoxSearch:
        """Learns from normal frames.

        Args:
            rows: (F, P) of frames that follow each other, as ``frame_rows`` gives them.
            chosen: (F,) bool, the frames at which the boxes that count end; None: all.

        Raises:
            ValueError: not more such frames than ``HISTORY``.
        """
        chosen = np.ones(len(rows), bool) if chosen is None else chosen.copy()
        chosen[:HISTORY] = False
        if not chosen.any():
            raise ValueError(f"a band's box search is learned from more than {HISTORY} frames, not {len(rows)}")
        plan = boxes(n_bins)
        median, up, down = (np.empty((len(LENGTHS), rows.shape[1]), np.float32) for _ in range(3))
        for number, sums in enumerate(_running(rows)):
            sums = sums[chosen]
            median[number] = np.median(sums, axis=0)
            for limits, most in ((up, sums.max(axis=0) - median[number]), (down, median[number] - sums.min(axis=0))):
                for part, (kind, _) in enumerate(PARTS):
                    mine = most[plan.part(part)]
                    least = max(MIN_SHARE[kind] * float(np.median(mine)), 1e-3)
                    limits[number, plan.part(part)] = np.maximum(max_near(mine), least)
        return cls(n_bins, median, up, down)

    def within(self, bins: slice) -> BoxSearch:
        """The same search, in which boxes that are not wholly within these bins never differ from their median."""
        plan = boxes(self.n_bins)
        inside = (plan.low >= bins.start) & (plan.high <= bins.stop)
        up, down = (np.where(inside, limit, np.float32(np.inf)) for limit in (self.up, self.down))
        return BoxSearch(self.n_bins, self.median, up, down)

    def begin(self) -> np.ndarray:
        """Rows (HISTORY, P) to stand before the first frame: the medians."""
        return np.repeat(self.median[:1], HISTORY, axis=0)

    def maxima(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The channels of ``BOX_CHANNELS``, in its order, (HISTORY + F, P) -> (F, C) float32.

        1 is the largest excursion of the calibration.

        Args:
            out: (F, C) float32, written and returned; it may be columns of a wider array.
        """
        out = np.empty((len(rows) - HISTORY, len(BOX_CHANNELS)), np.float32) if out is None else out
        native = optional_native_module()
        if native is None:
            out[:] = self.maxima_numpy(rows)
        else:
            native.box_maxima(np.ascontiguousarray(rows, np.float32), self._edges, self.median, self._per_up, self._per_down, out)
        return out

    def maxima_numpy(self, rows: np.ndarray) -> np.ndarray:
        """The same as ``maxima``, bit for bit, without the compiled module."""
        edges = boxes(self.n_bins).edges[:-1]
        out = []
        for number, sums in enumerate(_ending(rows)):
            over = sums - self.median[number]
            out += [np.maximum.reduceat(over * self._per_up[number], edges, axis=1),
                    np.maximum.reduceat(over * self._per_down[number], edges, axis=1)]
        return np.concatenate(out, axis=1)

    def at(self, rows: np.ndarray) -> np.ndarray:
        """Excess and deficit of each box of the last frame, (HISTORY + 1, P) -> (T, 2, P), in units of their limits."""
        over = np.concatenate(list(_ending(rows[-HISTORY - 1:]))) - self.median
        return np.stack((over * self._per_up, over * self._per_down), axis=1)


class BoxRows:
    """The rows of a band's frames in memory, each right behind those before it: they are seldom copied."""

    _ROOM = 32  # frames

    def __init__(self, search: BoxSearch):
        self._rows = np.empty((HISTORY + self._ROOM, search.median.shape[1]), np.float32)
        self.restart(search)

    def restart(self, search: BoxSearch):
        """Forgets the frames so far: the medians stand before the next frame."""
        self._rows[:HISTORY] = search.begin()
        self._stop = HISTORY

    def extend(self, count: int) -> np.ndarray:
        """Rows (HISTORY + count, P); the caller writes the last `count` (up to 32), which are the next frames'."""
        if self._stop + count > len(self._rows):
            self._rows[:HISTORY] = self._rows[self._stop - HISTORY:self._stop].copy()
            self._stop = HISTORY
        self._stop += count
        return self._rows[self._stop - count - HISTORY:self._stop]


def frame_rows(deviation: np.ndarray, level: np.ndarray, before: np.ndarray | None = None) -> np.ndarray:
    """The boxes of single frames, (F, N), (F, N) -> (F, P) float32; a row does not depend on its neighbours.

    Args:
        deviation: standardised. A box holds its sum / sqrt(bins). level: dB over the floor. A box holds its mean power in dB.
        before: rows that the result begins with.
    """
    n_bins, count = deviation.shape[1], 0 if before is None else len(before)
    rows = np.empty((count + len(deviation), boxes(n_bins).edges[-1]), np.float32)
    if count:
        rows[:count] = before
    native = optional_native_module()
    given = _box_rows_numpy if native is None else native.box_rows
    deviation, level = (np.ascontiguousarray(part, np.float32) for part in (deviation, level))
    given(deviation, level, _sizes(n_bins), len(EXCESS_SCALES), rows[count:])
    return rows


def band_rows(psd: np.ndarray, floor: np.ndarray, curve: np.ndarray, band: BandStatistics, levels: np.ndarray,
              rows: np.ndarray) -> int:
    """The same as ``frame_rows``, from a band's spectra, in one pass.

    Args:
        psd: (F, N) dBFS. floor: (F,) dBFS. curve: (N,) dB, of the band's drift, taken off.
        levels: (F, N) float32, written: dB over the floor, without the curve taken off. rows: (F, P) float32, written.

    Returns:
        The number of frames that are not finite; if there are any, `rows` mean nothing.
    """
    native = optional_native_module()
    given = _band_rows_numpy if native is None else native.band_rows
    return given(np.ascontiguousarray(psd, np.float32), floor, curve, band.mean, band.std, band.components,
                 _sizes(psd.shape[1]), len(EXCESS_SCALES), levels, rows)


def _band_rows_numpy(psd, floor, curve, mean, std, components, sizes, n_excess, levels, rows) -> int:
    """The same as the compiled module's, bit for bit."""
    np.subtract(psd, floor[:, None], out=levels)
    broken = int(np.count_nonzero(~np.isfinite(levels).all(axis=1)))
    if not broken:
        above = levels - curve
        _box_rows_numpy(standardise_numpy(above, mean, std, components), above, sizes, n_excess, rows)
    return broken


@lru_cache(maxsize=8)
def _sizes(n_bins: int) -> np.ndarray:
    """Width and step of the boxes of each of ``PARTS``, (parts, 2) uint32."""
    widths = [min(scale, n_bins) for _, scale in PARTS]
    return np.array([(width, max(1, width // _STEP)) for width in widths], np.uint32)


def _box_rows_numpy(deviation: np.ndarray, level: np.ndarray, sizes: np.ndarray, n_excess: int, rows: np.ndarray) -> None:
    """The same as the compiled module's, bit for bit: every sum in the order of the bins."""
    plan = boxes(deviation.shape[1])
    first = plan.edges[n_excess]
    width = (plan.high - plan.low).astype(np.float64)
    excess, mean = slice(None, first), slice(first, None)
    rows[:, excess] = _sums(deviation, plan.low[excess], plan.high[excess]) / np.sqrt(width[excess])
    rows[:, mean] = decibels((_sums(powers(level), plan.low[mean], plan.high[mean]) / width[mean]).astype(np.float32))


def _sums(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    cumulative = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values, axis=1, dtype=np.float64, out=cumulative[:, 1:])
    return cumulative[:, high] - cumulative[:, low]


def _ending(rows: np.ndarray):
    """The sums (F, P) of ``_running`` that end at the frames after the first HISTORY rows."""
    if len(rows) > HISTORY + 1:
        for sums in _running(rows):
            yield sums[HISTORY:]
        return
    sums = rows  # one frame: only the rows that its boxes are made of
    for length in LENGTHS:
        if length > 1:
            sums = sums[1::2] + sums[::2]
        yield sums[-1:] * np.float32(1.0 / np.sqrt(length))


def _running(rows: np.ndarray):
    """Sums over each of ``LENGTHS`` rows ending at each row, / sqrt(length). The first ones, not whole, are wrong.

    Each is made of two halves, so that a row's sum does not depend on where a batch began.
    """
    sums = rows
    for length in LENGTHS:
        if length > 1:
            half = length // 2
            longer = sums.copy()
            longer[half:] += sums[:-half]
            sums = longer
        yield sums * np.float32(1.0 / np.sqrt(length))

