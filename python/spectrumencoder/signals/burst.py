# SPDX-License-Identifier: GPL-3.0-or-later
"""A burst: the frames and bins in which something was on, and the power that it had there.

Shape letters: F frames, N bins, L labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from .segment import Segment, occupied_bins, smoothed

REMEMBERED = 256  # frames
_ALL = (1 << REMEMBERED) - 1
SURE = 1.5  # score from which one frame is enough for a burst
YOUNG = 3  # frames in which a burst may still find its edges
_STAYS = 0.2  # share of its mean height that a frame must show, for a burst to be on
_COVERED = 100.0  # times its usual power, from which a segment over a burst is another one
_REMNANT = 0.01  # share of a burst's usual power, below which a segment in its place does not keep it on
_MORE = 2.0  # times a bin's usual power, above which it counts for no more: that is another signal
_OWN_SHARE = 0.15  # of its bins, which must be its own for them to speak for it
_DEVIATIONS = 3.0  # of noise above which power counts
MIN_EDGE = 0.2  # power over the noise, of the bins that count


@dataclass(eq=False)
class Burst:
    """A burst that is open, or has ended.

    Attributes:
        low, high: first and last of its bins so far. first, last: numbers of its first and last frame.
        ratio: (N,) power over the noise, summed over the frames in which it was on. n_frames: their number.
        solid: number of the last frame in which it had a fair share of its usual power.
        on: bits of the last REMEMBERED frames in which it was on; bit 0 is frame ``last``.
        score: its highest. log_classes: (L + 1,) sum of the logarithms of class probabilities, over ``n_classes`` frames.
        presence: sum of the probabilities that it is no noise, likewise.
        others: (N,) bool, bins in which something else was on when it began; None: nowhere.
        signal_id: of the signal that it is a burst of; 0: not reported yet. told: frames taken when it was reported last.
        settled: frames in which it was on when its edges were looked for.
        settled_at: number of the last of those. taken_in: signals of reported bursts that turned out to be parts of this one.
        recent: as ratio, over the frames since then.
    """

    low: int
    high: int
    first: int
    ratio: np.ndarray = field(repr=False)
    last: int = -1
    solid: int = -1
    n_frames: int = 0
    on: int = 0
    score: float = 0.0
    level: float = 0.0  # mean power over the noise, less 1
    log_classes: np.ndarray | None = field(default=None, repr=False)
    presence: float = 0.0
    n_classes: int = 0
    signal_id: int = 0
    told: int = -1
    settled: int = 0
    settled_at: int = -1
    taken_in: list[int] = field(default_factory=list)
    recent: np.ndarray = field(default=None, repr=False)  # type: ignore[assignment]
    others: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self):
        self.recent = np.zeros_like(self.ratio)

    @property
    def sure(self) -> bool:
        """Whether it is more than a chance of the noise."""
        return self.score >= SURE or self.n_frames > YOUNG

    def mean(self) -> np.ndarray:
        """(N,) mean power over the noise in its frames."""
        return self.ratio / max(self.n_frames, 1)

    def take(self, frame: int, ratio: np.ndarray, score: float = 0.0, solid: bool = True):
        """It is on in this frame (N,). solid: with a fair share of its usual power."""
        if solid:
            self.solid = max(self.solid, frame)
        if self.last == frame:
            return
        self.ratio += ratio
        self.recent += ratio
        self.on = ((self.on << frame - self.last | 1) & _ALL) if self.on else 1
        self.last = frame
        self.n_frames += 1
        self.score = max(self.score, score)
        self.level = max(float(self.ratio[self.low:self.high + 1].mean()) / self.n_frames - 1.0, 1e-3)

    def was_on(self, frame: int) -> bool:
        """Whether it was on in a frame, of the last REMEMBERED."""
        return frame <= self.last and bool(self.on >> self.last - frame & 1)

    def stays(self, ratio: np.ndarray, deviation: float) -> bool:
        """Whether it is on in a frame (N,): by its own bins, none of which counts for more than it had."""
        part = slice(self.low, self.high + 1)
        usual = self.ratio[part] * (_MORE / max(self.n_frames, 1))
        now = np.minimum(ratio[part], usual)
        if self.others is not None:
            own = ~self.others[part]
            if own.mean() >= _OWN_SHARE:
                now, usual = now[own], usual[own]
        over = float(now.mean()) - 1.0
        return over > max(_STAYS * (float(usual.mean()) / _MORE - 1.0), MIN_EDGE,
                          _DEVIATIONS * deviation / math.sqrt(max(len(now) / 1.5, 1.0)))

    def over(self, ratio: np.ndarray) -> float:
        """Mean power of its bins over the noise in a frame (N,), less 1."""
        return float(ratio[self.low:self.high + 1].mean()) - 1.0

    def is_covered(self, ratio: np.ndarray) -> bool:
        """Whether something much stronger lies over it in a frame (N,)."""
        return self.n_frames >= YOUNG and self.over(ratio) > _COVERED * self.level

    def amend(self, ratio: np.ndarray):
        """The spectrum (N,) of its last frame is its own, which ``take`` had for its mean."""
        more = ratio - self.mean()
        self.ratio += more
        self.recent += more
        self.level = max(self.over(self.mean()), 1e-3)

    def is_remnant(self, segment: Segment) -> bool:
        """Whether a segment in its place has so little of its usual power that it need not be its own."""
        over = (10.0 ** (0.1 * segment.level_db) - 1.0) * (segment.high - segment.low + 1)
        return self.n_frames > 0 and over < _REMNANT * self.level * (self.high - self.low + 1)

    def end_at_solid(self):
        """What was in its place since the last solid frame was another signal, and hardly more than noise to this one."""
        since = self.last - self.solid
        taken = (self.on & ((1 << since) - 1)).bit_count()
        self.on >>= since
        self.n_frames, self.last = self.n_frames - taken, self.solid
        self.ratio -= taken

    def classify(self, segment_probabilities: np.ndarray, presence: float):
        """Takes class probabilities (L + 1,) of one frame."""
        logs = np.log(np.maximum(segment_probabilities, 1e-6))
        self.log_classes = logs if self.log_classes is None else self.log_classes + logs
        self.presence += presence
        self.n_classes += 1

    def absorb(self, other: Burst):
        """Takes over a burst that is a part of the same emission."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        # Both hold the whole spectrum; frames that both know count once
        extra = other.n_frames - common_frames(self, other)
        if extra > 0:
            share = extra / other.n_frames
            self.ratio = self.ratio + other.ratio * share
            self.recent = self.recent + other.ratio * share
            self.n_frames += extra
        last = max(self.last, other.last)
        self.on = (self.on << last - self.last | other.on << last - other.last) & _ALL
        self.first, self.last, self.solid = min(self.first, other.first), last, max(self.solid, other.solid)
        self.score = max(self.score, other.score)
        self.level = max(float(self.ratio[self.low:self.high + 1].mean()) / max(self.n_frames, 1) - 1.0, 1e-3)
        if other.log_classes is not None:
            self.log_classes = other.log_classes if self.log_classes is None else self.log_classes + other.log_classes
        self.presence, self.n_classes = self.presence + other.presence, self.n_classes + other.n_classes
        self.taken_in += other.taken_in
        if self.signal_id and other.signal_id:
            self.taken_in.append(other.signal_id)
        elif other.signal_id:
            self.signal_id, self.told = other.signal_id, other.told

    def edges(self, deviation: float) -> tuple[int, int]:
        """First and last bin of its occupied band. deviation: of one bin in one frame of noise, over its mean."""
        mean = smoothed(self.mean())
        edge = 1.0 + max(_DEVIATIONS * deviation / math.sqrt(3.0 * self.n_frames), 0.1)
        low, high = self.low, self.high
        inside = np.flatnonzero(mean[low:high + 1] > edge)
        if inside.size:
            low, high = low + int(inside[0]), low + int(inside[-1])
        return occupied_bins(self.mean() - 1.0, low, high)


def common_frames(one: Burst, other: Burst) -> int:
    """Number of the frames (of the last REMEMBERED) in which both were on."""
    last = max(one.last, other.last)
    return ((one.on << last - one.last) & (other.on << last - other.last)).bit_count()
