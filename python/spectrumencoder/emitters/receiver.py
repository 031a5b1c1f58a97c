# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of the receiver's gain. A rise of the noise that is no step of the gain is a raised floor.

Impulses raise single frames, and leave those between them as they are.

A step of the gain changes carriers as much as noise. A raised floor leaves carriers as they are. Without a carrier the two
look alike when the power rises; that is then called a raised floor, since a barrage must not be missed.

Shape letters: N bins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..detector.notices import Notices
from .tuning import TuningState

STEP_DB = 1.0  # from what is usual, of the gain
RAISED_DB, RAISED_S = 3.0, 0.2  # of a raised floor
FOLLOW_DB_PER_S = 0.05  # of what is usual
_ALIKE_DB = 1.5  # within which carriers have changed as much as the noise
_IMPULSE_DB, _IMPULSES, _LOW_SHARE = 0.4, 3, 0.1  # rise of a frame; how many in a block; share of its frames that hold none

SAID = {  # of what the receiver does, the first time; {}: change in dB, or MHz
    "gain step": "the gain of signals and noise changed by {:+.1f} dB at once; switch automatic gain off, for a steady view",
    "impulses": "impulses in all of the band raise single frames, by {:.1f} dB (mains, ignition, radar); they hide weak signals",
    "drift": "carriers drift alike, one to {:.4f} MHz: its oscillator, or a converter's; they are followed",
    "dc line": "its own line at 0 Hz rose, at {:.4f} MHz; it is counted, and no emitter",
    "image": "what rose at {:.4f} MHz is the mirror image of a stronger signal; images are counted, and no emitters",
    "overload": "what rose at {:.4f} MHz came with clipped samples and a stronger signal; such are counted, and no emitters",
}

SAID_AFTER = {"impulses": 20}  # frames, before it is worth a line
RECEIVER_STATE = "receiver"  # of a notice


class Change(NamedTuple):
    """A change of all bins. kind: "gain step", "raised floor", "over" (the floor is as it was) or "impulses".

    change_db: of the noise. count: frames with impulses.
    """

    kind: str
    change_db: float
    count: int = 1


class GainWatch:
    """Watches the gain of one tuning, block by block.

    Attributes:
        raised_db: by how much the floor is raised in the last block; 0 if it is not, or if the gain has stepped.
    """

    def __init__(self):
        self._usual: float | None = None
        self._highest = 0.0  # that was usual
        self._kind = ""
        self._raised_s = 0.0
        self.raised_db = 0.0

    def take(self, tuning: TuningState, gains: np.ndarray, ratio: np.ndarray, block_s: float, learning: bool) -> list[Change]:
        """Takes a block: gains (F,) in dB, power over the background (F, N)."""
        gain, impulses = float(np.median(gains)), self._impulses(gains)
        if impulses:
            gain = float(np.quantile(gains, _LOW_SHARE))
        return impulses + self._changes(tuning, gain, ratio, block_s, learning)

    def _impulses(self, gains: np.ndarray) -> list[Change]:
        """Impulses of a block, if there are some, with frames as usual before and after each."""
        low = float(np.quantile(gains, _LOW_SHARE))
        high = np.flatnonzero(gains - low > _IMPULSE_DB)
        if high.size and np.count_nonzero(np.diff(high) > 1) + 1 >= _IMPULSES:
            return [Change("impulses", float(np.median(gains[high])) - low, int(high.size))]
        return []

    def _changes(self, tuning: TuningState, gain: float, ratio: np.ndarray, block_s: float, learning: bool) -> list[Change]:
        if self._usual is None:
            self._usual = self._highest = gain
        change = gain - self._usual
        if learning:
            self._highest = max(self._highest, gain)
            self._usual += max(min(change, 0.5), -0.5)
            return []
        step = FOLLOW_DB_PER_S * block_s
        self._usual += max(min(change, step), -step)
        over = gain - max(self._highest, self._usual)
        self._raised_s = self._raised_s + block_s if over >= RAISED_DB else 0.0
        self.raised_db = 0.0
        if abs(change) < STEP_DB:
            was, self._kind = self._kind, ""
            return [Change("over", change)] if was == "raised floor" else []
        if self._raised_s >= RAISED_S and not self._follows(tuning, ratio, change):
            self.raised_db = change
            if self._kind != "raised floor":
                self._kind = "raised floor"
                return [Change("raised floor", change)]
        elif not self._kind and (over < RAISED_DB or self._follows(tuning, ratio, change)):
            self._kind = "gain step"
            return [Change("gain step", change)]
        return []

    def _follows(self, tuning: TuningState, ratio: np.ndarray, change: float) -> bool:
        """Whether carriers have changed as the noise has. False if there is none."""
        levels = [10.0 * np.log10(max(float(ratio[:, low:high + 1].mean()), 1e-6)) for low, high in tuning.steady.carriers()]
        return bool(levels) and abs(float(np.median(levels))) < min(_ALIKE_DB, 0.5 * abs(change))


class ReceiverLog:
    """Counts what the receiver or a stronger signal explains, and says the first of each kind.

    Attributes:
        counts: by kind.
    """

    def __init__(self, notices: Notices):
        self._notices = notices
        self.counts: dict[str, int] = {}

    def did(self, kind: str, count: int = 1, said: str = ""):
        """Counts something of this kind. said: the line for the first one; empty: none."""
        self.counts[kind] = self.counts.get(kind, 0) + count
        if said and self.counts[kind] >= SAID_AFTER.get(kind, 1):
            self._notices.give(RECEIVER_STATE, kind, f"receiver: {said}")
