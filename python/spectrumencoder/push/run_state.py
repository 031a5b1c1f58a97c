# SPDX-License-Identifier: GPL-3.0-or-later
"""The present of a run in a few figures, as a broker retains them and a dashboard shows them."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from .. import keys
from .message import time_of_day

HOUR_S = 3600.0
PROBLEM_S = 60.0  # how long a loss is called a problem
_LOSSES = {keys.OVERFLOWS: "overflows", keys.DROPPED_FRAMES: "dropped spectra", keys.SKIPPED_FRAMES: "spectra not judged"}


class RunState:
    """Collects what ``figures`` says. Not for several threads."""

    def __init__(self):
        self._alerts_s = deque[float]()
        self._health: dict[str, Any] = {}
        self._noise_dbfs: float | None = None
        self._losses: dict[str, float] = {}  # when a counter last rose
        self._fault = ""

    def take_event(self, event: Mapping[str, Any], now_s: float):
        """An alert: its opening is counted."""
        if event.get(keys.STATE) == "open" and event.get(keys.IS_ANOMALY, True):
            self._alerts_s.append(now_s)

    def take_health(self, status: Mapping[str, Any], now_s: float):
        """A status with the counters of the chain."""
        for key in _LOSSES:
            if status.get(key, 0) > self._health.get(key, 0):
                self._losses[key] = now_s
        self._health = dict(status)

    def take_radio(self, lost_s: float | None):
        """The radio is lost since this time (POSIX, s); None: it is back."""
        self._health.pop(keys.RADIO_LOST, None)
        self._health |= {} if lost_s is None else {keys.RADIO_LOST: lost_s}

    def take_noise(self, dbfs: float):
        """The noise, dBFS per bin."""
        self._noise_dbfs = dbfs if math.isfinite(dbfs) else None

    def fail(self, why: str):
        """The run has ended because of this."""
        self._fault = why

    def begin(self):
        """Another run begins: its counters start anew."""
        self._health, self._losses, self._fault = {}, {}, ""

    def figures(self, emitters: int | None, waiting: int, dropped: int, now_s: float | None = None) -> dict[str, Any]:
        """The state as JSON takes it.

        Args:
            emitters: that are known; None: unknown. waiting, dropped: events in the spool, and dropped for lack of room.
        """
        now_s = time.time() if now_s is None else now_s
        while self._alerts_s and self._alerts_s[0] <= now_s - HOUR_S:
            self._alerts_s.popleft()
        problems = [self._fault] if self._fault else []
        lost_s = self._health.get(keys.RADIO_LOST)
        problems += [] if lost_s is None else [f"radio lost since {time_of_day(lost_s, now_s, None)}"]
        problems += [what for key, what in _LOSSES.items() if now_s - self._losses.get(key, -math.inf) < PROBLEM_S]
        rate = self._health.get(keys.FRAMES_PER_S)
        return {keys.ALERTS_HOUR: len(self._alerts_s), keys.EMITTERS: emitters,
                keys.FLOOR_DBFS: None if self._noise_dbfs is None else round(self._noise_dbfs, 1),
                keys.FRAMES_PER_S: None if rate is None else round(rate, 1),
                **{key: self._health.get(key, 0) for key in (keys.FRAMES, *_LOSSES, keys.CLIPPED_FRAMES)},
                keys.PROBLEM: ", ".join(problems), keys.WAITING: waiting, keys.DROPPED: dropped, keys.TIMESTAMP: now_s}
