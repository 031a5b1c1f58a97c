# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments of successive frames to bursts. What is known to be on is followed by the power in its own bins.

Shape letters: F frames, N bins, L labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from .segment import Segment, occupied_bins, smoothed

NEAR = 2  # bins between a segment and a burst that are one
YOUNG = 3  # frames in which a burst may still find its edges
_STAYS = 0.3  # share of its mean height that a frame must show, for a burst to be on
_DEVIATIONS = 3.0  # of noise above which power counts
_WIDER = 1.5  # times a burst's width, that a segment over it may be and still be that burst
_STRONGER = 6.0  # times its height, from which a narrow segment within a burst is another one
_TWIN_BINS, _TWIN_DB = 64, 8.0  # gap and difference of level between parts of one emission that come and go together
_TWIN_SHARE = 0.8  # of their frames that are common


@dataclass(eq=False)
class Burst:
    """A burst that is open, or has ended.

    Attributes:
        low, high: first and last of its bins so far. first, last: numbers of its first and last frame.
        ratio: (N,) power over the noise, summed over the frames in which it was on. on: numbers of those frames.
        score: its highest. log_classes: (L + 1,) sum of the logarithms of class probabilities, over ``n_classes`` frames.
        presence: sum of the probabilities that it is no noise, likewise.
        signal_id: of the signal that it is a burst of; 0: not reported yet. told: frames taken when it was reported last.
    """

    low: int
    high: int
    first: int
    ratio: np.ndarray = field(repr=False)
    last: int = -1
    on: list[int] = field(default_factory=list)
    score: float = 0.0
    level: float = 0.0  # mean power over the noise, less 1
    log_classes: np.ndarray | None = field(default=None, repr=False)
    presence: float = 0.0
    n_classes: int = 0
    signal_id: int = 0
    told: int = -1

    @property
    def n_frames(self) -> int:
        """Frames in which it was on."""
        return len(self.on)

    def mean(self) -> np.ndarray:
        """(N,) mean power over the noise in its frames."""
        return self.ratio / max(self.n_frames, 1)

    def take(self, frame: int, ratio: np.ndarray, score: float = 0.0):
        """It is on in this frame (N,)."""
        if self.last == frame:
            return
        self.ratio += ratio
        self.last = frame
        self.on.append(frame)
        self.score = max(self.score, score)
        self.level = max(float(self.ratio[self.low:self.high + 1].mean()) / self.n_frames - 1.0, 1e-3)

    def classify(self, segment_probabilities: np.ndarray, presence: float):
        """Takes class probabilities (L + 1,) of one frame."""
        logs = np.log(np.maximum(segment_probabilities, 1e-6))
        self.log_classes = logs if self.log_classes is None else self.log_classes + logs
        self.presence += presence
        self.n_classes += 1

    def absorb(self, other: Burst):
        """Takes over a burst that is a part of the same emission."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        its = other.n_frames
        # Both hold the whole spectrum; frames that both know count once
        extra = len(set(other.on) - set(self.on))
        if extra and its:
            self.ratio = self.ratio + other.ratio * (extra / its)
        self.on = sorted(set(self.on) | set(other.on))
        self.score = max(self.score, other.score)
        self.level = max(float(self.ratio[self.low:self.high + 1].mean()) / max(self.n_frames, 1) - 1.0, 1e-3)
        if other.log_classes is not None:
            self.log_classes = other.log_classes if self.log_classes is None else self.log_classes + other.log_classes
        self.presence, self.n_classes = self.presence + other.presence, self.n_classes + other.n_classes
        self.signal_id = self.signal_id or other.signal_id

    def edges(self, deviation: float) -> tuple[int, int]:
        """First and last bin of its occupied band. deviation: of one bin in one frame of noise, over its mean."""
        mean = smoothed(self.mean())
        edge = 1.0 + max(_DEVIATIONS * deviation / math.sqrt(3.0 * self.n_frames), 0.1)
        low, high = self.low, self.high
        inside = np.flatnonzero(mean[low:high + 1] > edge)
        if inside.size:
            low, high = low + int(inside[0]), low + int(inside[-1])
        return occupied_bins(self.mean() - 1.0, low, high)


class Linker:
    """Joins segments of successive frames to bursts.

    Args:
        hold: frames that a burst may be unseen before it ends. deviation: of one bin of noise in one frame, over its mean.
    """

    def __init__(self, hold: int, deviation: float):
        self.hold, self.deviation = hold, deviation
        self.open: list[Burst] = []

    def follow(self, frame: int, ratio: np.ndarray) -> np.ndarray:
        """Takes a frame (N,) for the bursts that still are on; (N,) bool, the bins of those."""
        known = np.zeros(len(ratio), bool)
        if not self.open:
            return known
        cumulative = np.concatenate([[0.0], np.cumsum(ratio, dtype=np.float64)])
        low, high = np.array([b.low for b in self.open]), np.array([b.high + 1 for b in self.open])
        over = (cumulative[high] - cumulative[low]) / (high - low) - 1.0
        needed = np.maximum(_STAYS * np.array([b.level for b in self.open]),
                            _DEVIATIONS * self.deviation / np.sqrt(np.maximum((high - low) / 1.5, 1.0)))
        for number in np.flatnonzero(over > needed).tolist():
            burst = self.open[number]
            burst.take(frame, ratio)
            known[burst.low:burst.high + 1] = True
        return known

    def see(self, frame: int, ratio: np.ndarray, segments: list[Segment]):
        """Takes the segments of a frame (N,), after ``follow``."""
        for segment in segments:
            touching = [b for b in self.open if b.low - NEAR <= segment.high and segment.low <= b.high + NEAR]
            mine = self._burst_of(segment, touching, frame)
            if mine is None:
                mine = Burst(segment.low, segment.high, frame, np.zeros_like(ratio))
                self.open.append(mine)
            if mine.n_frames < YOUNG or segment.high - segment.low <= 2 * (mine.high - mine.low):
                mine.low, mine.high = self._grown(mine, segment)
            mine.score = max(mine.score, segment.score)
            mine.take(frame, ratio, segment.score)

    def _burst_of(self, segment: Segment, touching: list[Burst], frame: int) -> Burst | None:
        """The burst that a segment belongs to, of those that it touches; None for a new one."""
        if not touching:
            return None
        width = segment.high - segment.low + 1
        inside = [b for b in touching if b.low <= segment.low and segment.high <= b.high]
        if inside:
            burst = min(inside, key=lambda b: b.high - b.low)
            strong = 10.0 ** (0.1 * segment.level_db) - 1.0 > _STRONGER * burst.level
            return None if strong and 3 * width < burst.high - burst.low + 1 else burst
        best = max(touching, key=lambda b: min(b.high, segment.high) - max(b.low, segment.low))
        young = [b for b in touching if b.n_frames <= YOUNG]
        if len(touching) == len(young):
            for other in young:
                if other is not best:
                    best.absorb(other)
                    self.open.remove(other)
            return best
        covered = sum(max(0, min(b.high, segment.high) - max(b.low, segment.low) + 1) for b in touching)
        if len(touching) == 1 and (width <= _WIDER * (best.high - best.low + 1) + 6 or best in young):
            return best
        return None if covered < 0.5 * width else best

    def _grown(self, burst: Burst, segment: Segment) -> tuple[int, int]:
        """Edges of a burst with a segment, that do not reach into another burst."""
        low, high = min(burst.low, segment.low), max(burst.high, segment.high)
        for other in self.open:
            if other is burst or (other.low <= burst.high and burst.low <= other.high):
                continue
            if other.high < burst.low:
                low = max(low, other.high + 1)
            elif other.low > burst.high:
                high = min(high, other.low - 1)
        return low, high

    def twins(self, began: int):
        """Joins bursts that came and went together: parts of one emission, such as the tones of FSK.

        Args:
            began: number of the first frame of all. What began with it need not be one.
        """
        ordered = sorted(self.open, key=lambda b: b.low)
        for number, one in enumerate(ordered):
            for other in ordered[number + 1:]:
                if other.low - one.high > _TWIN_BINS:
                    break
                if one in self.open and other in self.open and self._are_one(one, other, began):
                    one.absorb(other)
                    self.open.remove(other)

    def _are_one(self, one: Burst, other: Burst, began: int) -> bool:
        gap = other.low - one.high - 1
        if gap < 0 and (other.high <= one.high or other.low <= one.low):
            return False  # one within the other: a collision
        if abs(one.first - other.first) > 1 or abs(10.0 * math.log10(one.level / other.level)) > _TWIN_DB:
            return False
        if min(one.first, other.first) <= began and gap > NEAR:
            return False
        mine, its = set(one.on), set(other.on)
        return len(mine & its) >= _TWIN_SHARE * len(mine | its)

    def ended(self, frame: int) -> list[Burst]:
        """Takes out the bursts that were last on more than ``hold`` frames before this one."""
        due = [b for b in self.open if frame - b.last > self.hold]
        if due:
            self.open = [b for b in self.open if frame - b.last <= self.hold]
        return due

    def end_all(self) -> list[Burst]:
        """Takes out all bursts."""
        due, self.open = self.open, []
        return due
