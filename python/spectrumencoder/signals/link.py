# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments of successive frames to bursts. What is known to be on is followed by the power in its own bins.

Shape letters: F frames, N bins, L labels.
"""

from __future__ import annotations

import math

import numpy as np

from ..emitters.regions import runs_of
from .burst import MIN_EDGE, YOUNG, Burst, common_frames
from .segment import Segment, smoothed

NEAR = 2  # bins between a segment and a burst that are one
_UNSURE = 3  # frames that a burst which is not sure yet may be unseen, for each in which it was seen
_DOUBTFUL = 5.0  # times its usual power, from which a burst may have another one over it
_WIDER = 1.5  # times a burst's width, that a segment over it may be and still be that burst
_STRONGER = 6.0  # times its height, from which a narrow segment within a burst is another one
_TWIN_BINS, _TWIN_DB, _TWIN_WIDTH = 160, 10.0, 3.0  # gap, difference of level, and factor of width of parts of one emission
_TWIN_GAP, _TONE_GAP = 16, 6.0  # gap in bins, or in widths, of parts that come and go together
_ENDED = 2  # frames after which a burst that is not seen has ended, for its parts that lie apart
_TWIN_SHARE, _TONE_SHARE = 0.6, 0.75  # of their frames that are common: of parts side by side, and of those apart
_ROOM_BINS, _ROOM = 4, 0.15  # bins, and share of its width, by which an old burst may grow at each side
_ALIKE_FRAMES, _ALIKE_WIDTH, _ALIKE_DB = 4, 1.6, 3.0  # of two tones that may lie anywhere
_EDGE_SHARE = 0.08  # of a burst's width: how far a part may reach beyond it
_PEAKS = 1.5  # times the height of a burst, that its peaks have
_NARROWER = 0.6  # times its width, below which a burst has lost a part
_EDGE = 3.5  # deviations of the bins that a burst grows by


class Linker:
    """Joins segments of successive frames to bursts.

    Args:
        hold: frames that a burst may be unseen before it ends. deviation: of one bin of noise in one frame, over its mean.
    """

    def __init__(self, hold: int, deviation: float):
        self.hold, self.deviation = hold, deviation
        self.open: list[Burst] = []
        self._doubtful: list[Burst] = []  # bursts that ``follow`` found much stronger than they were

    def follow(self, frame: int, ratio: np.ndarray) -> np.ndarray:
        """Takes a frame (N,) for the bursts that still are on; (N,) bool, the bins of those."""
        known = np.zeros(len(ratio), bool)
        self._doubtful = []
        if not self.open:
            return known
        for burst in self.open:
            if burst.stays(ratio, self.deviation):
                doubtful = burst.n_frames >= YOUNG and burst.last < frame and burst.over(ratio) > _DOUBTFUL * burst.level
                burst.take(frame, burst.mean() if doubtful else ratio)
                if doubtful:
                    self._doubtful.append(burst)
                known[burst.low:burst.high + 1] = True
        return known

    def see(self, frame: int, ratio: np.ndarray, segments: list[Segment], known: np.ndarray):
        """Takes the segments of a frame (N,), and what ``follow`` gave."""
        for segment in segments:
            touching = [b for b in self.touching(segment, frame) if not b.is_covered(ratio)]
            mine = self._burst_of(segment, touching, frame)
            if mine is not None and frame - mine.first >= YOUNG:
                beyond = _beyond(segment, mine)
                if beyond is not None:  # a neighbour begins: the old one does not grow by it
                    mine.take(frame, ratio)
                    segment, mine = segment._replace(low=beyond[0], high=beyond[1]), None
            if mine is None:
                mine = Burst(*_unknown(segment, known), frame, np.zeros_like(ratio))
                if touching:
                    mine.others = known.copy()
                self.open.append(mine)
            if frame - mine.first < YOUNG or segment.high - segment.low <= 2 * (mine.high - mine.low):
                mine.low, mine.high = self._grown(mine, segment)
            mine.score = max(mine.score, segment.score)
            mine.take(frame, ratio, segment.score, not mine.is_remnant(segment))

    def judge_doubtful(self, frame: int, ratio: np.ndarray):
        """Takes a frame (N,) into the spectra of the bursts that have become stronger, if no other burst lies over them."""
        for burst in self._doubtful:
            if not any(_lies_over(other, burst, frame) for other in self.open):
                burst.amend(ratio)
        self._doubtful = []

    def touching(self, segment: Segment, frame: int) -> list[Burst]:
        """The open bursts that a segment of a frame touches, and may belong to."""
        near = (b for b in self.open if b.low - NEAR <= segment.high and segment.low <= b.high + NEAR)
        return [b for b in near if b.last == frame or frame - b.solid <= self.hold]

    def _burst_of(self, segment: Segment, touching: list[Burst], frame: int) -> Burst | None:
        """The burst that a segment belongs to, of those that it touches; None for a new one."""
        if not touching:
            return None
        width = segment.high - segment.low + 1
        inside = [b for b in touching if b.low <= segment.low and segment.high <= b.high]
        if inside:
            burst = min(inside, key=lambda b: b.high - b.low)
            if 2 * width < burst.high - burst.low + 1 and burst.last != frame and frame - burst.first >= YOUNG:
                return None  # the wide one is off, and this is something else in its place
            strong = 10.0 ** (0.1 * segment.level_db) - 1.0 > _STRONGER * burst.level
            return None if strong and 3 * width < burst.high - burst.low + 1 else burst
        best = max(touching, key=lambda b: min(b.high, segment.high) - max(b.low, segment.low))
        young = [b for b in touching if frame - b.first < YOUNG]
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

    def settle(self, began: int, taken: int):
        """Looks again at bursts that have become twice as long: for their edges, and for parts of one emission.

        Args:
            began: number of the first frame of all. What began with it need not be one. taken: frames so far.
        """
        for burst in list(self.open):
            if burst.n_frames >= 2 * burst.settled and burst.n_frames > 1:
                self._part(burst)
                burst.low, burst.high = self._regrown(burst)
                burst.settled, burst.settled_at = burst.n_frames, burst.last
                burst.recent[:] = 0.0
        self._take_in()
        ordered = sorted(self.open, key=lambda b: b.low)
        for number, one in enumerate(ordered):
            for other in ordered[number + 1:]:
                if one in self.open and other in self.open and _are_one(one, other, began, taken):
                    one.absorb(other)
                    self.open.remove(other)

    def _take_in(self):
        """Joins bursts that are a part of a wider one: no stronger than that in the same bins, in the same time."""
        for one in sorted(self.open, key=lambda b: b.high - b.low):
            for wide in self.open:
                if wide is not one and _lies_in(one, wide) and _is_part(one, wide):
                    wide.absorb(one)
                    self.open.remove(one)
                    break

    def _part(self, burst: Burst):
        """Parts a burst if it is much narrower since its edges were found: what it has lost was another one that has ended."""
        count = burst.n_frames - burst.settled
        if not burst.settled or count < 2:
            return
        edge = 1.0 + max(_EDGE * self.deviation / math.sqrt(1.5 * count), MIN_EDGE)
        now = burst.recent[burst.low:burst.high + 1] / count
        at = np.flatnonzero(smoothed(now) > edge)
        if not at.size or at[-1] - at[0] + 1 > _NARROWER * len(now):
            return
        later = burst.last - burst.settled_at  # frames since then
        before = burst.ratio - burst.recent
        gone = Burst(burst.low, burst.high, burst.first, before, last=burst.settled_at, solid=burst.settled_at,
                     n_frames=burst.settled, on=burst.on >> later, score=burst.score)
        gone.settled, gone.settled_at, gone.level = burst.settled, burst.settled_at, burst.level
        gone.log_classes, gone.presence, gone.n_classes = burst.log_classes, burst.presence, burst.n_classes
        low, high = burst.low + int(at[0]), burst.low + int(at[-1])
        if float(before[low:high + 1].mean()) / burst.settled < edge:  # it has begun where the other one was
            burst.on, burst.ratio, burst.n_frames = burst.on & ((1 << later) - 1), burst.recent.copy(), count
            burst.first = burst.last - burst.on.bit_length() + 1
        burst.low, burst.high = low, high
        burst.level = max(float(burst.ratio[low:high + 1].mean()) / burst.n_frames - 1.0, 1e-3)
        gone.signal_id, burst.signal_id = burst.signal_id, 0
        gone.told, burst.told = burst.told, -1
        self.open.append(gone)

    def _regrown(self, burst: Burst) -> tuple[int, int]:
        """First and last bin of what stands out of the noise, in the mean of its frames, without a gap to what it has."""
        mean = smoothed(burst.mean())
        above = mean > 1.0 + max(_EDGE * self.deviation / math.sqrt(1.5 * burst.n_frames), MIN_EDGE)
        if burst.others is not None:
            above &= ~burst.others
        for other in self.open:  # what has other frames is another one's
            if other is not burst and not _common(burst, other):
                above[other.low:other.high + 1] = False
        low, high = burst.low, burst.high
        for first, last in runs_of(above):
            if first <= high + NEAR and burst.low - NEAR <= last:
                low, high = min(low, first), max(high, last)
        return low, high

    def ended(self, frame: int) -> list[Burst]:
        """Takes out the bursts that were last on more than ``hold`` frames before this one."""
        due = [b for b in self.open if frame - b.solid > (self.hold if b.sure else min(self.hold, _UNSURE * b.n_frames))]
        for burst in due:
            if burst.last > burst.solid and frame - burst.last <= self.hold:  # what goes on is no tail
                burst.end_at_solid()
        if due:
            self.open = [b for b in self.open if b not in due]
        return due

    def end_all(self) -> list[Burst]:
        """Takes out all bursts."""
        due, self.open = self.open, []
        return due


def _lies_over(other: Burst, burst: Burst, frame: int) -> bool:
    """Whether a burst that began later fills the bins of another one in this frame."""
    return (other is not burst and other.last == frame and other.first - burst.first >= YOUNG
            and other.low - NEAR <= burst.low and burst.high <= other.high + NEAR)


def _unknown(segment: Segment, known: np.ndarray) -> tuple[int, int]:
    """First and last bin of a segment without what is known at its edges; all of it if nothing is left."""
    free = np.flatnonzero(~known[segment.low:segment.high + 1])
    return (segment.low + int(free[0]), segment.low + int(free[-1])) if free.size else (segment.low, segment.high)


def _beyond(segment: Segment, burst: Burst) -> tuple[int, int] | None:
    """First and last bin of the longer part of a segment beyond a burst; None if it is not long."""
    room = max(_ROOM_BINS, _ROOM * (burst.high - burst.low + 1))
    below, above = burst.low - segment.low, segment.high - burst.high
    if max(below, above) <= room:
        return None
    return (segment.low, burst.low - 1) if below > above else (burst.high + 1, segment.high)


def _lies_in(one: Burst, wide: Burst) -> bool:
    """Whether a burst lies in the bins of a wider one, but for a small part of that one's width at its edges."""
    width, own = wide.high - wide.low + 1, one.high - one.low + 1
    room = max(NEAR, _EDGE_SHARE * width)
    return own < width and wide.low - room <= one.low and one.high <= wide.high + room


def _is_part(one: Burst, wide: Burst) -> bool:
    """Whether a burst shows no more than a wider one in its place: at the same time, or while that fades for a moment."""
    if one.first < wide.first - 1 or one.last > wide.last + wide.n_frames:
        return False
    part = slice(one.low, one.high + 1)
    mine, its = float(one.mean()[part].mean()), float(wide.mean()[part].mean())
    if mine > _STRONGER * its:
        return False
    if common_frames(one, wide) >= 0.5 * one.n_frames:
        return True
    between = one.last <= wide.last and one.n_frames <= wide.n_frames
    return mine <= its and (between or its - 1.0 > _PEAKS * wide.level)


def _are_one(one: Burst, other: Burst, began: int, taken: int) -> bool:
    """Whether two bursts, the first of which begins at the lower bin, are parts of one emission."""
    if abs(one.first - other.first) > 2 or not _common(one, other):
        return False
    gap, widths = other.low - one.high - 1, (one.high - one.low + 1, other.high - other.low + 1)
    if gap <= NEAR:
        return True
    if min(one.first, other.first) <= began or max(abs(one.first - other.first), abs(one.last - other.last)) > 1:
        return False
    if taken - max(one.last, other.last) <= _ENDED:
        return False  # they have begun together, which may be chance
    if abs(10.0 * math.log10(one.level / other.level)) > _TWIN_DB or max(widths) > _TWIN_WIDTH * min(widths) + NEAR:
        return False
    near = gap <= min(max(_TWIN_GAP, _TONE_GAP * min(widths)), _TWIN_BINS)
    return (near or _are_alike(one, other, widths)) and _common(one, other, _TONE_SHARE)


def _are_alike(one: Burst, other: Burst, widths: tuple[int, int]) -> bool:
    """Whether two bursts are like the two tones of FSK: of one level and width, and some frames long."""
    return (min(one.n_frames, other.n_frames) >= _ALIKE_FRAMES and max(widths) <= _ALIKE_WIDTH * min(widths) + NEAR
            and abs(10.0 * math.log10(one.level / other.level)) <= _ALIKE_DB
            and abs(one.first - other.first) + abs(one.last - other.last) <= 1)


def _common(one: Burst, other: Burst, share: float = _TWIN_SHARE) -> bool:
    """Whether two bursts were on in the same frames, but for some."""
    if max(one.first, other.first) > min(one.last, other.last):
        return False
    common = common_frames(one, other)
    return common >= share * (one.on.bit_count() + other.on.bit_count() - common)
