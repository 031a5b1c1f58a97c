# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports that no motion leads to: a target that calls itself by its name and is suddenly elsewhere.

A report is impossible when it lies farther from the prediction than the prediction's own spread, an unforeseen manoeuvre and
the rounding of time stamps can explain together. It is not used. When the next reports go on from the new place instead of
the old one, the motion itself is the anomaly: spoofed, or a receiver fed with false positions. When they alternate, two
targets use one name. A lone one is an error of the receiver.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

PERSISTENT_REPORTS = 3  # that go on from the new place, before the motion is called impossible
THRESHOLD = 1.0  # of the ratio to what can be explained
_SIGMAS = 6.0
_MANOEUVRE_MPS2 = 15.0
_MANOEUVRE_S = 10.0  # for so long at most
_TIME_STAMP_S = 3.0
_LEAST_M = 1000.0
_TOGETHER_S = 60.0  # within which reports at the new place must come


@dataclass(frozen=True)
class TrackAnomaly:
    """time_s of the first impossible report; distance_m from where the track was expected; score: that over what can be
    explained; kind: "jump" or "speed"."""

    time_s: float
    distance_m: float
    score: float
    kind: str


def score(residual_m: np.ndarray, covariance_m2: np.ndarray, dt_s: float, speed_mps: float) -> float:
    """How far a report lies off its prediction, as a ratio to what can be explained; above THRESHOLD it is impossible."""
    spread = _SIGMAS * np.sqrt(np.trace(covariance_m2))
    turn = 0.5 * _MANOEUVRE_MPS2 * min(max(dt_s, 0.0), _MANOEUVRE_S) ** 2
    return float(np.linalg.norm(residual_m) / max(_LEAST_M, spread + turn + speed_mps * _TIME_STAMP_S))


@dataclass
class MotionWatch:
    """Follows the impossible reports of one track."""

    waiting: list = field(default_factory=list)  # (time_s, position_m, distance_m, score)
    interleaved: int = 0

    def possible(self):
        """A report has come that the track explains."""
        self.interleaved += bool(self.waiting)
        self.waiting.clear()

    def impossible(self, time_s: float, position_m: np.ndarray, distance_m: float, value: float,
                   top_speed_mps: float) -> TrackAnomaly | None:
        """Takes an impossible report; gives the anomaly once enough of them go on from one another."""
        if self.waiting:
            last_s, last_m = self.waiting[-1][:2]
            apart_s = time_s - last_s
            reach_m = _LEAST_M + top_speed_mps * max(apart_s, 0)
            if apart_s > _TOGETHER_S or np.linalg.norm(position_m[:2] - last_m[:2]) > reach_m:
                self.waiting.clear()
        self.waiting.append((time_s, position_m, distance_m, value))
        if len(self.waiting) < PERSISTENT_REPORTS:
            return None
        first = self.waiting[0]
        self.waiting.clear()
        return TrackAnomaly(first[0], first[2], first[3], "jump")
