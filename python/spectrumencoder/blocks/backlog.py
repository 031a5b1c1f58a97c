# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames that a block takes at once, and its delay behind real time.

Both follow from the clock, the duration of the frames and the number of frames that wait."""

from __future__ import annotations

import math
import time

from .safe_block import AT_ONCE

FEW_FRAMES = 8  # half of GNU Radio's smallest buffer of frames: fewer wait if there is no backlog
MIN_FRAMES, MAX_FRAMES = 16, AT_ONCE  # per call, if as many wait
MAX_BUSY_S = 0.1  # in one call: live changes and a stop of the flowgraph wait for its end
SETTLED_S = 2.0
_STILL_CATCHING_UP = 0.02  # seconds of lag worked off per second


def frames_at_once(frame_s: float) -> int:
    """Number of frames that one call of work may take, if each frame needs frame_s seconds."""
    return int(min(max(MAX_BUSY_S / max(frame_s, 1e-9), MIN_FRAMES), MAX_FRAMES))


class Backlog:
    """Lag = wall clock - stream time. Delay = lag - its value when the block had caught up, which is the smallest lag so far.

    A pause between two calls proves nothing: other threads may hold the interpreter for any time. If at most ``FEW_FRAMES``
    waited at every call for ``SETTLED_S`` and the lag did not shrink, the current lag becomes the new zero. There is nothing
    left to catch up with: a radio has lost samples, or the clocks drift apart.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock=time.monotonic):
        self._clock = clock
        self._stream_s = 0.0
        self._caught_up_lag_s = math.inf
        self._last_lag_s = 0.0
        self._drained: tuple[float, float] | None = None  # clock and lag when the input became almost empty

    def enter(self, n_waiting: int, taken_s: float, gap_s: float = 0.0, lost: bool = False) -> float:
        """Delay in seconds at the start of a call of work.

        Args:
            n_waiting: frames in the input. taken_s: duration of the frames that this call takes.
            gap_s: duration of the signal skipped between the last call's frames and these.
            lost: a radio lost an unknown number of samples in the gap. Their duration is the growth of
                the lag since the last call.
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
