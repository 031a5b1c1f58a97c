# SPDX-License-Identifier: GPL-3.0-or-later
"""Adaptive dropout: which frames are of interest, and which are quiet. NumPy, in the order of the frames.

A frame is described by a few levels: of each token the mean power, the strongest bin and the max-hold, in dB over the floor;
and the floor itself, in dBFS. Each level has a slow background, its running median. A frame is of interest in these cases:

* a level stands out of its background by more than noise does once in 1 / ``P_ON`` frames. How far that is follows from the
  law of an averaged spectrum. The mean of K windows is gamma distributed with shape K, that of a token with a larger one. The
  max-hold is the largest of K S exponential variables. A level that fluctuates more than its law, as of a modulated carrier,
  has a threshold that is as many times as wide;
* a token's mean, or the floor, falls below its background as far: what was there is missing;
* a token lies in a band that is to be kept (``keep_bands_hz``);
* it is the first of a tuning, or the last full frame is ``REFRESH_S`` old.

Hysteresis: once a frame was of interest, a lower threshold (``P_OFF``) keeps the state. It ends ``HOLD`` frames after the last
such frame. So the state changes at most twice in HOLD + 2 frames, whatever the signal does.

The running median moves by steps of ``SLEW_DB_PER_S``, up while more frames lie above it than below. So what is on for less than
half of the time never enters it. A carrier that comes and stays is background after its height / SLEW_DB_PER_S. Steps are taken
once in ``BLOCK`` frames of a tuning, by counts of frames. So the result is the same, bit for bit, however frames are batched.

Shape letters: F frames, M tokens, S bins of a token, L = 3 M + 1 levels.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from functools import lru_cache
from itertools import groupby
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from ..settings import SETTINGS
from ..tokens import layout
from ..tokens.layout import FrameLayout

OFF, FEW, HELD = SETTINGS["adaptive_dropout"].choices
P_ON, P_OFF = 1e-3, 2e-2  # share of noise frames that start interest, and that keep it
HOLD = 4  # frames encoded in full after the last one of interest
REFRESH_S = 1.0  # a frame is encoded in full at least so often
SLEW_DB_PER_S = 2.0  # of the background
WIDEN_PER_S = 0.25  # how fast the scale of a level may change, in units of its law
MAX_SCALE = 3.0  # of a fluctuating level, in units of its law
FLOOR_ON_DB, FLOOR_OFF_DB = 1.0, 0.7
BLOCK = 16  # frames between two steps of the background
PLACES = 64  # tunings remembered; the one unseen for longest is forgotten first
_INDEPENDENT = 0.36  # of the powers of neighbouring bins (Blackman-Harris): independent values to a bin, for a mean ...
_TRIALS = 0.7  # ... and for the largest
_FLOOR_QUANTILE = 0.25  # of the bins, from which the floor is computed
_MIN_LEVEL_DB = -30.0  # lower levels are of a filter's stop band, or of zeros


class Law(NamedTuple):
    """The levels of noise, each (L,) float32 dB: typical value, and how far above and below it interest begins and ends."""

    median: np.ndarray
    above_on: np.ndarray
    above_off: np.ndarray
    below_on: np.ndarray  # inf: a fall of this level means nothing
    below_off: np.ndarray
    spread: np.ndarray  # median distance from the median


class AdaptiveDropout:
    """Judges frames in the order of time.

    Args:
        frame: sizes of a frame of tokens.

    Attributes:
        n_interest: number of frames of interest so far, without those of hold and refresh.
    """

    def __init__(self, frame: FrameLayout):
        self._layout = frame
        self.reset()

    def reset(self) -> None:
        """Forgets all frames so far."""
        self._places: OrderedDict[Hashable, _Background] = OrderedDict()
        self._place: Hashable = None  # of the last frame
        self._remaining = 0  # frames of the hold that are left; 0: quiet
        self._age_s = math.inf  # time since the last full frame
        self.n_interest = 0

    def refresh(self) -> None:
        """Makes the next frame a full one."""
        self._age_s = math.inf

    def full(self, items: np.ndarray, wanted: np.ndarray | None = None, places: Sequence[Hashable] | None = None) -> np.ndarray:
        """Judges the next frames.

        Args:
            items: (F, item_size) float32 from the tokenizer.
            wanted: (F, M) bool, tokens in bands to be kept.
            places: of each frame, any key that tells one tuning from another, such as the centre frequency. None: all alike.

        Returns:
            (F,) bool: frames to encode in full. The others are quiet.
        """
        tokens, side = self._layout.split(items)
        on, off = np.zeros(len(items), bool), np.zeros(len(items), bool)
        levels = _levels(tokens, side)
        widths, windows = side[:, layout.BIN_WIDTH_HZ].tolist(), side[:, layout.K_EFF].tolist()
        keys = list(zip(places or [None] * len(items), widths, strict=True))
        first = 0
        for (place, n_windows), run in groupby(zip(keys, windows, strict=True)):
            stop = first + sum(1 for _ in run)
            frame_s = n_windows / place[1] if place[1] > 0 else 0.0  # overlapping frames come sooner
            background = self._background(place, levels[first])
            law = noise_law(self._layout.n_tokens, self._layout.stride, max(1, round(n_windows)))
            on[first:stop], off[first:stop] = background.judge(levels[first:stop], law, frame_s)
            first = stop
        if wanted is not None:
            on |= wanted.any(axis=1)
        return self._follow(on, off, keys, windows)

    def _background(self, place: Hashable, levels: np.ndarray) -> _Background:
        found = self._places.pop(place, None) or _Background(levels)
        self._places[place] = found
        if len(self._places) > PLACES:
            self._places.popitem(last=False)
        return found

    def _follow(self, on: np.ndarray, off: np.ndarray, keys: list, windows: list[float]) -> np.ndarray:
        """Hysteresis, hold and refresh: (F,) bool."""
        full = np.zeros(len(on), bool)
        for number, (starts, keeps, key, n_windows) in enumerate(zip(on.tolist(), off.tolist(), keys, windows, strict=True)):
            frame_s = n_windows / key[1] if key[1] > 0 else REFRESH_S
            self._age_s += frame_s
            if starts or (keeps and self._remaining):
                self._remaining, full[number] = HOLD, True
                self.n_interest += 1
            elif self._remaining:
                self._remaining -= 1
                full[number] = True
            else:
                full[number] = key != self._place or self._age_s + frame_s > REFRESH_S
            self._place = key
            if full[number]:
                self._age_s = 0.0
        return full


class _Background:
    """The running medians of the levels of one tuning, and their scales.

    Args:
        levels: (L,) of its first frame.
    """

    def __init__(self, levels: np.ndarray):
        self._first: np.ndarray | None = levels
        self._n_frames = 0  # in the present block
        self._seconds = 0.0

    def judge(self, levels: np.ndarray, law: Law, frame_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Whether each frame has a level that starts interest, and one that keeps it: (F,) bool each. levels: (F, L)."""
        if self._first is not None:
            self._begin(self._first, law)
            self._first = None
        on, off = np.empty(len(levels), bool), np.empty(len(levels), bool)
        place = 0
        while place < len(levels):
            some = slice(place, min(len(levels), place + BLOCK - self._n_frames))
            away = levels[some] - self.median
            on[some] = ((away > law.above_on * self.scale) | (away < -law.below_on * self.scale)).any(axis=1)
            off[some] = ((away > law.above_off * self.scale) | (away < -law.below_off * self.scale)).any(axis=1)
            self._take(away, law, frame_s)
            place = some.stop
        return on, off

    def _begin(self, first: np.ndarray, law: Law) -> None:
        """Begins at noise, so that what is there at the start is of interest at first; lower outside of the receiver's filter."""
        low = first < law.median - law.below_on
        n_tokens = len(low) // 3
        low[n_tokens:-1] = np.tile(low[:n_tokens], 2)
        low[-1] = True  # the floor has no law
        self.median = np.where(low, first, law.median)
        self.scale = np.ones_like(law.median)
        self._above = np.zeros(len(low), np.int64)
        self._outside, self._far = self._above.copy(), self._above.copy()

    def _take(self, away: np.ndarray, law: Law, frame_s: float) -> None:
        """Counts frames; at the end of a block the background takes its step."""
        size = np.abs(away)
        self._above += np.count_nonzero(away > 0, axis=0)
        self._outside += np.count_nonzero(size > law.spread * self.scale, axis=0)
        self._far += np.count_nonzero(size > law.above_on * MAX_SCALE, axis=0)  # of another signal: says nothing about the spread
        self._n_frames += len(away)
        for _ in range(len(away)):  # one by one: a sum must not depend on the batch
            self._seconds += frame_s
        if self._n_frames < BLOCK:
            return
        balance = (2 * self._above - BLOCK) / BLOCK
        self.median = (self.median + SLEW_DB_PER_S * self._seconds * balance).astype(np.float32)
        wide = (2 * (self._outside - self._far) - (BLOCK - self._far)) / BLOCK
        self.scale = np.clip(self.scale + WIDEN_PER_S * self._seconds * wide, 1.0, MAX_SCALE).astype(np.float32)
        self._n_frames, self._seconds = 0, 0.0
        for counts in (self._above, self._outside, self._far):
            counts[:] = 0


def _levels(tokens: np.ndarray, side: np.ndarray) -> np.ndarray:
    """(F, L) float32: mean power, strongest bin, max-hold of each token, dB over the floor; the floor, dBFS."""
    n_frames, n_tokens, _ = tokens.shape
    out = np.empty((n_frames, 3 * n_tokens + 1), np.float32)
    bins = np.ascontiguousarray(np.moveaxis(tokens[..., :-2], 2, 0))  # (S, F, M): plain sums, in one order
    strongest = bins[0].copy()
    power = np.zeros_like(strongest)
    for one in bins:
        np.maximum(strongest, one, out=strongest)
        power += np.exp(np.minimum(one, 120.0) * np.float32(math.log(10.0) / 10.0))
    out[:, :n_tokens] = np.log(np.maximum(power / np.float32(len(bins)), 1e-20)) * np.float32(10.0 / math.log(10.0))
    out[:, n_tokens:2 * n_tokens] = strongest
    out[:, 2 * n_tokens:-1] = tokens[..., -2]
    out[:, -1] = side[:, layout.FLOOR_DBFS]
    np.maximum(out[:, :-1], _MIN_LEVEL_DB, out=out[:, :-1])
    return out


@lru_cache(maxsize=64)
def noise_law(n_tokens: int, stride: int, n_windows: int) -> Law:
    """The levels of noise of K = n_windows averaged windows.

    Quantiles of the gamma law are those of Wilson and Hilferty (1931); a largest of n has the quantile of the n-th part of p.
    """
    n_levels, n_bins = 3 * n_tokens, n_tokens * stride
    bins, heard = max(1.0, stride * _TRIALS), max(1.0, n_windows * stride * _TRIALS)
    parts = []
    for quantile in (lambda p, tail: gamma_quantile_db(max(1.0, n_windows * stride * _INDEPENDENT), p, tail),
                     lambda p, _: gamma_quantile_db(n_windows, _part(p, bins), 1),
                     lambda p, _: 10.0 * math.log10(-math.log(_part(p, heard)))):
        median = quantile(0.5, 1)
        on, off, quarter = (quantile(p, 1) - median for p in (P_ON / n_levels, P_OFF / n_levels, 0.25))
        below = [median - quantile(p / n_levels, -1) for p in (P_ON, P_OFF)] if not parts else [math.inf, math.inf]
        parts.append((median, on, off, *below, quarter))
    each = [np.repeat(np.float32(column), n_tokens) for column in zip(*parts, strict=True)]
    floor_on, floor_off = (-NormalDist().inv_cdf(p / n_levels) * floor_error_db(n_bins, n_windows) for p in (P_ON, P_OFF))
    each[1:5] = [np.hypot(away, np.float32(error)) for away, error in zip(each[1:5], 2 * (floor_on, floor_off), strict=True)]
    on, off = max(FLOOR_ON_DB, floor_on), max(FLOOR_OFF_DB, floor_off)
    return Law(*(np.append(column, np.float32(value)) for column, value in zip(each, (0.0, on, off, on, off, on), strict=True)))


def floor_error_db(n_bins: int, n_windows: int) -> float:
    """Standard deviation of the noise floor of N bins, dB: that of a sample quantile, sqrt(p (1 - p) / n) / f(q)."""
    p, step = _FLOOR_QUANTILE, 0.01
    low, high = gamma_quantile_db(n_windows, 1 - p + step, 1), gamma_quantile_db(n_windows, 1 - p - step, 1)
    return math.sqrt(p * (1 - p) / max(1.0, n_bins * _INDEPENDENT)) * (high - low) / (2 * step)


def gamma_quantile_db(shape: float, p: float, tail: int) -> float:
    """Quantile, in dB, of a unit-mean gamma variable: p is the share above it (tail 1) or below it (tail -1)."""
    z = -tail * NormalDist().inv_cdf(p)
    return 30.0 * math.log10(max(1.0 - 1.0 / (9.0 * shape) + z / (3.0 * math.sqrt(shape)), 1e-3))


def _part(p: float, count: float) -> float:
    """The share above a level of one variable, if p is that of the largest of `count`."""
    return -math.expm1(math.log1p(-p) / count)
