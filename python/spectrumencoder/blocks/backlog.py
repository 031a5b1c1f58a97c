# SPDX-License-Identifier: GPL-3.0-or-later
"""How many frames a block takes at once, and how far it is behind real time: from the clock, the duration of its frames and how
many of them wait for it."""

from __future__ import annotations

import math
import time

from .safe_block import AT_ONCE

FEW_FRAMES = 8  # the smallest buffers that GNU Radio makes for frames hold twice as many: fewer wait where there is no backlog
MIN_FRAMES, MAX_FRAMES = 16, AT_ONCE  # where as many wait
MAX_BUSY_S = 0.1  # in one call: live changes wait for its end, and so does whoever stops the flowgraph
SETTLED_S = 2.0
_STILL_CATCHING_UP = 0.02  # seconds of lag worked off per second


def frames_at_once(frame_s: float) -> int:
    """How many frames one call of work may take, where a frame takes it frame_s seconds."""
    return int(min(max(MAX_BUSY_S / max(frame_s, 1e-9), MIN_FRAMES), MAX_FRAMES))


class Backlog:
    """Lag is the clock less the stream's own time; being behind is the lag less its value when the block had caught up.

    That value is the least lag so far; a pause between two calls says nothing, since other threads hold the interpreter
    as long as they please. It is taken anew when for ``SETTLED_S`` only few frames waited at every call and the lag did not
    fall all the same: nothing is left to catch up with, so the rest was samples that a radio lost, or clocks that drift apart.

    Args:
        clock: gives seconds.
    """

    def __init__(self, clock=time.monotonic):
        self._clock = clock
        self._stream_s = 0.0
        self._caught_up_lag_s = math.inf
        self._last_lag_s = 0.0
        self._drained: tuple[float, float] | None = None  # clock and lag since when only few frames have waited

    def enter(self, n_waiting: int, taken_s: float, gap_s: float = 0.0, lost: bool = False) -> float:
        """Seconds behind at the start of a call of work.

        Args:
            n_waiting: frames in the input. taken_s: how long the frames last that this call takes.
            gap_s: how long the stretch lasted that was left out between the last call's frames and these.
            lost: a radio lost samples there, nobody knows how many: what the lag has grown by since the last call was they.
        """
        now = self._clock()
        lag_s = now - self._stream_s - gap_s
        self._stream_s += gap_s + taken_s
        if lost:
            self._caught_up_lag_s += max(0.0, lag_s - self._last_lag_s)
        self._last_lag_s = lag_s
        self._caught_up_lag_s = min(self._caught_up_lag_s, lag_s)
        if n_waiting > FEW_FRAMES:
            self._drained = None
        elif self._drained is None:
            self._drained = (now, lag_s)
        elif now - self._drained[0] >= SETTLED_S:
            since, then_s = self._drained
            if then_s - lag_s < _STILL_CATCHING_UP * (now - since):
                self._caught_up_lag_s = lag_s
            self._drained = (now, lag_s)
        return lag_s - self._caught_up_lag_s
