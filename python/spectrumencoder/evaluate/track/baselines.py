# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of one target to compare ours with: a constant-velocity Kalman filter and filterpy's IMM.

All were tuned on the tune split only, for each sigma apart (``tune``); `TUNED` has the settings. They start like ours: at the
first report, with a velocity of zero and a stated standard deviation. One IMM has two constant velocities. The other has a
constant velocity and a constant acceleration, the best of five sets of models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...tracker.estimate import Estimate, TargetFilter

START_SPEED_MPS = 150.0


@dataclass(frozen=True)
class ImmSettings:
    """Settings of an IMM.

    `noise` has a value for each model: white acceleration (m2/s3) of a constant velocity or, if `jerk` says so, white jerk
    (m2/s5) of a constant acceleration. `stay_s` is the mean time in each model.
    """

    noise: tuple[float, ...]
    stay_s: tuple[float, ...]
    jerk: tuple[bool, ...]


KALMAN, IMM_CV, IMM_CA = "CV Kalman", "filterpy IMM, CV + CV", "filterpy IMM, CV + CA"
TUNED = {  # by sigma in metres: q of the Kalman filter, or the IMM's settings
    50.0: {KALMAN: 16.0, IMM_CV: ImmSettings((0.012, 77.4), (204.0, 70.2), (False, False)),
           IMM_CA: ImmSettings((0.013, 0.224), (210.0, 37.4), (False, True))},
    10.0: {KALMAN: 16.0, IMM_CV: ImmSettings((0.442, 61.1), (62.5, 184.0), (False, False)),
           IMM_CA: ImmSettings((0.577, 0.189), (189.0, 31.4), (False, True))},
}


def baselines(sigma_m: float) -> dict[str, Callable[[], TargetFilter]]:
    """Name -> function that makes a new filter of two dimensions, tuned for a sigma of `TUNED`."""
    tuned = TUNED[sigma_m]
    return {KALMAN: lambda: CvKalman(2, tuned[KALMAN]), IMM_CV: lambda: FilterpyImm(2, tuned[IMM_CV]),
            IMM_CA: lambda: FilterpyImm(2, tuned[IMM_CA])}


class CvKalman:
    """The Kalman filter of a constant velocity with white acceleration of density q (m2/s3), all axes together."""

    def __init__(self, dimensions: int, q: float):
        self._d, self._q, self._time_s = dimensions, q, None

    def update(self, time_s: float, position_m: np.ndarray, covariance_m2: np.ndarray) -> None:
        d = self._d
        if self._time_s is None:
            self._x = np.concatenate([position_m, np.zeros(d)])
            self._p = np.diag(np.full(2 * d, START_SPEED_MPS**2))
            self._p[:d, :d] = covariance_m2
        else:
            x, p = self._predict(time_s)
            gain = p[:, :d] @ np.linalg.inv(p[:d, :d] + covariance_m2)
            self._x, self._p = x + gain @ (position_m - x[:d]), p - gain @ p[:d]
        self._time_s = time_s

    def state(self) -> Estimate:
        return self.forecast(self._time_s)

    def forecast(self, time_s: float) -> Estimate:
        x, p = self._predict(time_s)
        return Estimate(time_s, x[:self._d], x[self._d:], p)

    def _predict(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        f, q = _motion(time_s - self._time_s, self._q, 2, self._d)
        return f @ self._x, f @ self._p @ f.T + q


class FilterpyImm:
    """filterpy's ``IMMEstimator`` over its ``KalmanFilter``, with irregular steps: F, Q and the transition matrix are those of
    the step. Models with and without acceleration share one state; those without hold it at zero."""

    def __init__(self, dimensions: int, settings: ImmSettings):
        self._d, self._settings, self._imm, self._time_s = dimensions, settings, None, None
        self._order = 3 if any(settings.jerk) else 2

    def update(self, time_s: float, position_m: np.ndarray, covariance_m2: np.ndarray) -> None:
        if self._imm is None:
            self._start(position_m, covariance_m2)
        else:
            step = time_s - self._time_s
            self._imm.M = self._switch(step)
            self._imm._compute_mixing_probabilities()  # its own are of the matrix of the step before
            for kalman, (f, q) in zip(self._imm.filters, self._models(step), strict=True):
                kalman.F, kalman.Q, kalman.R = f, q, covariance_m2
            self._imm.predict()
            self._imm.update(position_m)
        self._time_s = time_s

    def state(self) -> Estimate:
        return self._estimate(self._time_s, self._imm.x, self._imm.P)

    def forecast(self, time_s: float) -> Estimate:
        step = time_s - self._time_s
        mixing = self._imm.mu[:, None] * self._switch(step)
        weight = mixing.sum(axis=0)
        means = np.array([k.x for k in self._imm.filters])
        spreads = np.array([k.P for k in self._imm.filters])
        ahead, covariances = [], []
        for j, (f, q) in enumerate(self._models(step)):
            mean, spread = _combined(mixing[:, j] / weight[j], means, spreads)
            ahead.append(f @ mean)
            covariances.append(f @ spread @ f.T + q)
        return self._estimate(time_s, *_combined(weight, np.array(ahead), np.array(covariances)))

    def _start(self, position_m, covariance_m2):
        from filterpy.kalman import IMMEstimator, KalmanFilter

        d, size, count = self._d, self._order * self._d, len(self._settings.noise)
        filters = []
        for jerk in self._settings.jerk:
            kalman = KalmanFilter(dim_x=size, dim_z=d)
            kalman.x = np.concatenate([position_m, np.zeros(size - d)])
            kalman.P = np.diag(np.repeat([0.0, START_SPEED_MPS**2, 9.0 * jerk][:self._order], d))
            kalman.P[:d, :d] = covariance_m2
            kalman.H = np.eye(d, size)
            filters.append(kalman)
        stay = np.array(self._settings.stay_s)
        self._imm = IMMEstimator(filters, stay / stay.sum(), np.full((count, count), 1 / count))

    def _models(self, step: float):
        for noise, jerk in zip(self._settings.noise, self._settings.jerk, strict=True):
            f, q = _motion(step, noise, 3 if jerk else 2, self._d)
            if len(f) < self._order * self._d:
                f, q = (np.pad(m, (0, self._d)) for m in (f, q))  # the acceleration becomes zero
            yield f, q

    def _switch(self, step: float) -> np.ndarray:
        """Row: from which model, column: to which."""
        leave = 1 - np.exp(-step / np.array(self._settings.stay_s))
        switch = np.repeat(leave[:, None] / (len(leave) - 1), len(leave), axis=1)
        np.fill_diagonal(switch, 1 - leave)
        return switch

    def _estimate(self, time_s, x, p) -> Estimate:
        d = self._d
        return Estimate(time_s, x[:d].copy(), x[d:2 * d].copy(), p[:2 * d, :2 * d].copy())


def _combined(weight, means, spreads):
    mean = weight @ means
    away = means - mean
    return mean, np.tensordot(weight, spreads, 1) + (weight[:, None] * away).T @ away


def _motion(step: float, noise: float, order: int, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """F and Q of [position, velocity(, acceleration)], driven by white noise of the derivative after the last one."""
    if order == 2:
        f = np.array([[1.0, step], [0.0, 1.0]])
        q = np.array([[step**3 / 3, step**2 / 2], [step**2 / 2, step]])
    else:
        f = np.array([[1.0, step, step**2 / 2], [0.0, 1.0, step], [0.0, 0.0, 1.0]])
        q = np.array([[step**5 / 20, step**4 / 8, step**3 / 6], [step**4 / 8, step**3 / 3, step**2 / 2],
                      [step**3 / 6, step**2 / 2, step]])
    axes = np.eye(dimensions)
    return np.kron(f, axes), np.kron(noise * q, axes)
