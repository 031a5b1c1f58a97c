# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion field shared by a group: where a member is that is heard only now and then, from how its neighbours move.

The field of a group is affine in place and time about the group's middle,

    v(x, t) = V [1, x - x0, y - y0, t - t0],

and is solved by recursive least squares with forgetting on the velocities of the members that are heard, each weighted by its own
covariance; the prior says that the group moves as a whole (the columns for place and time start at 0). A member that has not
been heard takes the field's velocity as a measurement of its own, with the field's covariance and the members' scatter about it:
where the group tells little, or its members disagree, the prediction stays what it was.
"""

from __future__ import annotations

import numpy as np

_FORGET_S = 20.0
_GRADIENT_PER_S = 0.01  # prior standard deviation of the velocity's gradient in place: 10 m/s over a kilometre
_ACCELERATION_MPS2 = 1.0  # prior standard deviation of its change in time
_SPEED_MPS = 300.0
_SCATTER_MPS = 5.0  # of members about the field, before any has told


class GroupField:
    """The field of one group.

    Args:
        middle_m: (2,), x0, y0. time_s: t0.
    """

    def __init__(self, middle_m: np.ndarray, time_s: float):
        self.middle_m, self.time_s, self._seen_s = np.asarray(middle_m, float), float(time_s), float(time_s)
        self._prior = np.diag([_SPEED_MPS, _GRADIENT_PER_S, _GRADIENT_PER_S, _ACCELERATION_MPS2])**2
        self._information = np.linalg.inv(self._prior)
        self._right = np.zeros((4, 2))
        self._scatter, self._weight = _SCATTER_MPS**2, 1.0

    def add(self, time_s: float, position_m: np.ndarray, velocity_mps: np.ndarray, covariance: np.ndarray) -> None:
        """Takes how a member moved: velocity (2,) with covariance (2, 2)."""
        keep = np.exp(-max(time_s - self._seen_s, 0.0) / _FORGET_S)
        prior = np.linalg.inv(self._prior)
        self._information = prior + keep * (self._information - prior)
        self._right *= keep
        self._seen_s = max(self._seen_s, time_s)
        row = self._row(time_s, position_m)
        error = float(np.trace(covariance)) / 2 + self._scatter
        if self._weight > 1.0:  # an error that was foreseen
            expected, spread = self.at(time_s, position_m)
            surplus = np.mean((velocity_mps - expected)**2) - np.trace(covariance) / 2 - np.trace(spread) / 2 + self._scatter
            self._scatter += (max(surplus, 0.0) - self._scatter) / min(self._weight, 50.0)
        self._weight += 1.0
        self._information += np.outer(row, row) / error
        self._right += np.outer(row, velocity_mps) / error

    def at(self, time_s: float, position_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Velocity (2,) and its covariance (2, 2), of a member at a place and time."""
        row = self._row(time_s, position_m)
        spread = np.linalg.inv(self._information)
        variance = float(row @ spread @ row) + self._scatter
        return row @ (spread @ self._right), np.eye(2) * variance

    def _row(self, time_s, position_m) -> np.ndarray:
        return np.array([1.0, *(np.asarray(position_m, float)[:2] - self.middle_m), time_s - self.time_s])


def with_field(mean: np.ndarray, covariance: np.ndarray, velocity_mps: np.ndarray,
               field_covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A member's predicted mean (S,) and covariance (S, S) of [position, velocity, ...] with the field's velocity taken as a
    measurement of its own, by a Kalman update."""
    s = covariance[2:4, 2:4] + field_covariance
    gain = covariance[:, 2:4] @ np.linalg.inv(s)
    return mean + gain @ (velocity_mps - mean[2:4]), covariance - gain @ covariance[2:4]
