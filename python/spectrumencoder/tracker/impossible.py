# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports to which no motion leads: a target that reports its own name and is suddenly elsewhere.

A report is impossible if it lies farther from the prediction than three things can explain together: the prediction's own spread,
an unforeseen manoeuvre and the rounding of time stamps. It is not used. When the next reports go on from the new place instead of
the old one, the motion itself is the anomaly: spoofed, or a receiver fed with false positions. When they alternate, two
targets use one name. A lone one is an error of the receiver.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

PERSISTENT_REPORTS = 3  # that go on from the new place, before the motion is called impossible
# Threshold of the ratio to what can be explained. On the flights for tuning, as they were reported, the ratio is at most 1.2 in
# 12 hours. A jump of 5 km put into them, if it is seen at all, gives at least 2.4; one of 10 km gives at least 3.1 on each.
THRESHOLD = 2.0
_SIGMAS = 6.0
_MANOEUVRE_MPS2 = 15.0
_MAX_MANOEUVRE_S = 10.0
_TIME_STAMP_S = 3.0
_MIN_M = 1000.0
_MAX_APART_S = 60.0  # between two reports at the new place
_SPEED_SIGMAS = 5.0


@dataclass(frozen=True)
class TrackAnomaly:
    """An impossible motion.

    Attributes:
        time_s: time of the first impossible report, POSIX.
        distance_m: how far the report was from the expected place; 0 for a speed.
        score: the ratio to what can be explained.
        kind: "jump" or "speed".
    """

    time_s: float
    distance_m: float
    score: float
    kind: str


def score(residual_m: np.ndarray, covariance_m2: np.ndarray, dt_s: float, speed_mps: float) -> float:
    """Distance of a report from its prediction, as a ratio to what can be explained; above THRESHOLD it is impossible.

    Args:
        residual_m: (2,), east and north.
        covariance_m2: (2, 2), of the prediction and the report together.
        dt_s: time since the last report of the track.
        speed_mps: predicted speed.
    """
    spread = _SIGMAS * np.sqrt(np.trace(covariance_m2))
    turn = 0.5 * _MANOEUVRE_MPS2 * min(max(dt_s, 0.0), _MAX_MANOEUVRE_S) ** 2
    return float(np.linalg.norm(residual_m) / max(_MIN_M, spread + turn + speed_mps * _TIME_STAMP_S))


def speed_score(velocity_mps: np.ndarray, covariance: np.ndarray, top_speed_mps: float) -> float:
    """Lower bound of a track's speed as a ratio to the highest speed that a target has; above 1 it is impossible.

    Args:
        velocity_mps: (2,), east and north.
        covariance: (2, 2), of the velocity.
    """
    return float(np.hypot(*velocity_mps) - _SPEED_SIGMAS * np.sqrt(np.trace(covariance))) / top_speed_mps


@dataclass
class MotionWatch:
    """Follows the impossible reports of one track."""

    waiting: list = field(default_factory=list)  # (time_s, position_m, distance_m, score)
    interleaved: int = 0

    def possible(self):
        """Notes a report that the track explains."""
        self.interleaved += bool(self.waiting)
        self.waiting.clear()

    def impossible(self, time_s: float, position_m: np.ndarray, distance_m: float, value: float,
                   top_speed_mps: float) -> TrackAnomaly | None:
        """Takes an impossible report; returns the anomaly when enough of them go on from one another, else None."""
        if self.waiting:
            last_s, last_m = self.waiting[-1][:2]
            apart_s = time_s - last_s
            reach_m = _MIN_M + top_speed_mps * max(apart_s, 0)
            if apart_s > _MAX_APART_S or np.linalg.norm(position_m[:2] - last_m[:2]) > reach_m:
                self.waiting.clear()
        self.waiting.append((time_s, position_m, distance_m, value))
        if len(self.waiting) < PERSISTENT_REPORTS:
            return None
        first = self.waiting[0]
        self.waiting.clear()
        return TrackAnomaly(first[0], first[2], first[3], "jump")
