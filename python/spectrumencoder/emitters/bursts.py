# SPDX-License-Identifier: GPL-3.0-or-later
"""Bursts: regions of successive frames in the same place, with what separates a signal from a side effect of another one.

Shape letters: N bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .boxes import HISTORY
from .regions import Region

MERGE_BINS = 4  # regions as near as that are one burst
WHOLE_GAP = 8  # bins without power that one emission may have
WINDOW_BINS = 3  # that the window's main lobe adds to the width of a signal
# A burst may come from a stronger signal that is on in the same frames. Its peak is then at least so much lower, dB:
SIDE_EFFECTS = {"image": 18.0, "skirt": 12.0, "sideline": 20.0, "splatter": 40.0, "overload": 3.0}
REACH_BINS = {"skirt": 32, "sideline": 128, "splatter": 0, "overload": 0}  # how far away the stronger one may be; 0: anywhere
_NEARLY_ALL = 0.75
_TAIL = 0.005  # of the excess power outside the occupied band, at each side (99 %, ITU-R SM.328)
_MIN_EXCESS = 1e-3
CLIPPED = 1e-3  # share of samples at full scale, from which a frame is clipped, and no part of a longer box
_STRONG = 30.0  # power over expected, from which a burst's skirt shows


@dataclass(eq=False)
class FrameView:
    """One frame as bursts see it.

    Attributes:
        index: number of the frame, among those of all tunings. sample_start, sample_stop: of its samples.
        power, expected: (N,) linear. ratio: (N,) power over expected. risen: (N,) linear, power over what it was a moment ago.
        clipped: share of samples at full scale. probabilities: (C,) of classes. residual: (N,) of the encoder, carried along.
        model: that answered. tokens: (M, L + 1) class probabilities of its tokens; M = 0: there are none.
    """

    index: int
    sample_start: int
    sample_stop: int
    power: np.ndarray
    expected: np.ndarray
    ratio: np.ndarray
    risen: np.ndarray
    clipped: float = 0.0
    probabilities: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    residual: np.ndarray | None = None
    dropout_rate: float = 0.0
    model: str = ""
    tokens: np.ndarray = field(default_factory=lambda: np.zeros((0, 1), np.float32))


@dataclass(eq=False)
class Burst:
    """A burst that is open or has ended.

    Attributes:
        low, high: first and last bin of its regions. first, last: numbers of its frames. n_frames: those in which it was seen.
        excess: (N,) power over what was expected, summed over its frames. noise: expected power, likewise.
        peak: (N,) largest power over expected. best: its highest score. max_snr_db: of a frame in that frame's own bins.
        side: frames in which it could be a side effect of a stronger signal, by kind of ``SIDE_EFFECTS``.
        labels: (C,) probabilities of the whole frame, summed. tokens: (M, L + 1) of each token, likewise; None without any.
        residual, dropout_rate, model: of its best frame.
        verdict, alert: of the detector. counted: the registry knows it already.
    """

    low: int
    high: int
    first: int
    sample_start: int
    n_bins: int
    last: int = 0
    sample_stop: int = 0
    n_frames: int = 0
    best: float = 0.0
    max_snr_db: float = -math.inf
    excess: np.ndarray = field(default=None, repr=False)
    noise: np.ndarray = field(default=None, repr=False)
    power: np.ndarray = field(default=None, repr=False)
    peak: np.ndarray = field(default=None, repr=False)
    labels: np.ndarray = field(default=None, repr=False)
    tokens: np.ndarray | None = field(default=None, repr=False)
    side: dict[str, int] = field(default_factory=dict)
    residual: np.ndarray | None = field(default=None, repr=False)
    dropout_rate: float = 0.0
    model: str = ""
    verdict: Any = None
    alert: Any = None
    counted: bool = False

    def __post_init__(self):
        self.excess, self.noise, self.power = np.zeros(self.n_bins), np.zeros(self.n_bins), np.zeros(self.n_bins)
        self.peak = np.ones(self.n_bins, np.float32)

    def add(self, frame: FrameView, regions: list[Region]):
        """Takes its regions in one frame."""
        for low, high, score, _ in regions:
            self.low, self.high = min(self.low, low), max(self.high, high)
            if score >= self.best:
                self.best, self.residual, self.dropout_rate, self.model = score, frame.residual, frame.dropout_rate, frame.model
            part = slice(low, high + 1)
            over = frame.power[part] - frame.expected[part]
            self.excess[part] += np.maximum(over, 0.0)
            np.maximum(self.peak[part], frame.ratio[part], out=self.peak[part])
            self.max_snr_db = max(self.max_snr_db, _snr_db(over, frame.expected[part]))
        self._lasts(frame, min(r.low for r in regions), max(r.high for r in regions))

    def goes_on(self, frame: FrameView) -> bool:
        """Whether a frame without a region of it still shows half of its height; takes the frame if so."""
        low, high = self.extent()
        height = self.excess[low:high + 1].sum() / max(self.noise[low:high + 1].sum(), 1e-30)
        now = (frame.power[low:high + 1] - frame.expected[low:high + 1]).sum() / frame.expected[low:high + 1].sum()
        if now < 0.5 * height:
            return False
        part = slice(low, high + 1)
        self.excess[part] += np.maximum(frame.power[part] - frame.expected[part], 0.0)
        np.maximum(self.peak[part], frame.ratio[part], out=self.peak[part])
        self._lasts(frame, low, high)
        return True

    def _lasts(self, frame: FrameView, low: int, high: int):
        self.noise += frame.expected
        self.power += frame.power
        self.last, self.sample_stop = frame.index, frame.sample_stop
        self.n_frames += 1
        over, count = frame.power - frame.expected, self.n_bins
        own = float(frame.power[low:high + 1].max())
        first, last = max(count - high - 2, 0), min(count - low + 2, count)  # bin b mirrors to N - b
        left, right = max(low - 2, 0), min(high + 3, count)
        for name, limit_db in SIDE_EFFECTS.items():
            if name == "image":
                parts = [over[first:last]] if last <= low or first > high else []
            else:
                reach, power = REACH_BINS[name] or count, over if name == "overload" else frame.risen
                parts = [power[max(left - reach, 0):left], power[right:right + reach]]
            if name == "overload" and not frame.clipped > 0.0:
                continue
            if any(p.size and float(p.max()) > own * 10.0 ** (0.1 * limit_db) for p in parts):
                self.side[name] = self.side.get(name, 0) + 1
        self.labels = frame.probabilities.astype(np.float64) if self.labels is None else self.labels + frame.probabilities
        if len(frame.tokens):
            self.tokens = frame.tokens.astype(np.float64) if self.tokens is None else self.tokens + frame.tokens

    def absorb(self, other: Burst):
        """Takes over a younger burst that it has met."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.excess += other.excess
        np.maximum(self.peak, other.peak, out=self.peak)
        self.first, self.sample_start = min(self.first, other.first), min(self.sample_start, other.sample_start)
        self.best, self.max_snr_db = max(self.best, other.best), max(self.max_snr_db, other.max_snr_db)
        self.verdict, self.alert = self.verdict or other.verdict, self.alert or other.alert
        self.counted = self.counted or other.counted

    def extent(self) -> tuple[int, int]:
        """First and last bin of its occupied band so far."""
        low, high = occupied(self.excess[self.low:self.high + 1])
        return self.low + low, self.low + high

    def side_effect(self) -> str:
        """The kind of side effect that it is in nearly all of its frames; empty if none."""
        return next((name for name, count in self.side.items() if count >= round(_NEARLY_ALL * self.n_frames)), "")

    def whole(self, spectra: float) -> tuple[int, int]:
        """First and last bin of all power around it that stands out of the background in its frames, known or not."""
        above = stands_out(self.power / np.maximum(self.noise, 1e-30), spectra * max(self.n_frames, 1))
        above[self.low:self.high + 1] = True
        at = np.flatnonzero(above)
        cuts = np.flatnonzero(np.diff(at) > WHOLE_GAP)
        first, last = at[np.concatenate([[0], cuts + 1])], at[np.concatenate([cuts, [at.size - 1]])]
        mine = int(np.searchsorted(first, self.low, side="right")) - 1
        return int(first[mine]), int(last[mine])

    def level_db(self, low: int, high: int) -> float:
        """As ``snr_db``, of these bins."""
        part = slice(low, high + 1)
        return _snr_db(self.power[part] - self.noise[part], self.noise[part])

    def snr_db(self) -> float:
        """Power over the background in its occupied band, in dB, less what the window adds to that."""
        low, high = self.extent()
        return _snr_db(self.excess[low:high + 1], self.noise[low:high + 1])


class BurstBuilder:
    """Joins regions of successive frames into bursts. hold: frames that a burst may be unseen before it ends."""

    def __init__(self, n_bins: int, hold: int):
        self.n_bins, self.hold = n_bins, hold
        self.open: list[Burst] = []  # oldest first
        self._over: list[Burst] = []  # that ended, and are still in the longest box of the next frame
        self._clipped = -HISTORY - 1  # number of the last clipped frame

    def covered(self, mask: np.ndarray, frame: FrameView):
        """Marks the bins (N,) of bursts that a box which ends with this frame may hold: it must not open another one of them.

        A strong one has a skirt. A clipped frame may have power anywhere.
        """
        if frame.clipped > CLIPPED:
            self._clipped = frame.index
        if frame.index - self._clipped <= HISTORY:
            mask[:] = True
            return
        self._over = [burst for burst in self._over if frame.index - burst.last <= HISTORY]
        for burst in (*self._over, *self.open):
            reach = REACH_BINS["skirt"] if float(burst.peak.max()) > _STRONG else MERGE_BINS
            mask[max(burst.low - reach, 0):burst.high + reach + 1] = True

    def see(self, frame: FrameView, regions: list[Region]) -> list[Burst]:
        """Takes a frame with its regions; the bursts that have ended before it."""
        ended = self.expire(frame.index)
        mine: dict[int, list[Region]] = {}
        for region in regions:
            near = [b for b in self.open if b.low - MERGE_BINS <= region.high and region.low <= b.high + MERGE_BINS]
            if near:
                burst = near[0]
                for younger in near[1:]:
                    burst.absorb(younger)
                    self.open.remove(younger)
                    mine.setdefault(id(burst), []).extend(mine.pop(id(younger), []))
            else:
                burst = Burst(region.low, region.high, frame.index, frame.sample_start, self.n_bins)
                self.open.append(burst)
            burst.low, burst.high = min(burst.low, region.low), max(burst.high, region.high)
            mine.setdefault(id(burst), []).append(region)
        for burst in self.open:
            if id(burst) in mine:
                burst.add(frame, mine[id(burst)])
            else:
                burst.goes_on(frame)
        return ended

    def expire(self, index: int) -> list[Burst]:
        """Ends the bursts that were last seen more than `hold` frames before frame `index`."""
        due = [b for b in self.open if index - b.last > self.hold]
        if due:
            self.open = [b for b in self.open if index - b.last <= self.hold]
            self._over += due
        return due

    def end_all(self) -> list[Burst]:
        """Ends every burst."""
        due, self.open = self.open, []
        return due


def stands_out(ratio: np.ndarray, spectra: float) -> np.ndarray:
    """Bins (N,) bool whose mean power over the background, of so many spectra, is more than noise."""
    smooth = np.convolve(ratio, np.full(3, 1.0 / 3.0), "same")
    return smooth > 1.0 + max(4.0 * math.sqrt(2.0 / (3.0 * spectra)), 0.25)


def occupied(excess: np.ndarray) -> tuple[int, int]:
    """First and last of the bins that hold 99 % of the power (ITU-R SM.328); all if there is none."""
    total = excess.sum()
    if not total > 0.0:
        return 0, len(excess) - 1
    energy = np.cumsum(excess)
    return (int(np.searchsorted(energy, _TAIL * total)),
            min(int(np.searchsorted(energy, (1.0 - _TAIL) * total)), len(excess) - 1))


def _snr_db(excess: np.ndarray, expected: np.ndarray) -> float:
    """Excess power of some bins over the background in the signal's own band.

    The window spreads a signal over WINDOW_BINS more bins than it has. The background of those does not count.
    """
    count = len(excess)
    own = max(count - WINDOW_BINS, 1) / count
    return _decibels(excess.sum() / max(own * expected.sum(), 1e-30))


def _decibels(ratio: float) -> float:
    return 10.0 * math.log10(max(float(ratio), _MIN_EXCESS))
