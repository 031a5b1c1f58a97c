# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of one target.

Height is filtered apart from the horizontal: its motion differs, its errors differ, and it may be missing.
"""

from __future__ import annotations

import numpy as np

from .estimate import Estimate, TargetFilter
from .imm import Imm, ImmState, Innovation
from .motion_field import Correction, MotionField, correct, learn, no_gains, no_past, remember
from .settings import SpatialSettings


class ImmFilter:
    """A ``TargetFilter``: an IMM of the horizontal and, in three dimensions, another of the height.

    Raises:
        ValueError: the dimensions are neither 2 nor 3.
    """

    def __init__(self, dimensions: int, settings: SpatialSettings):
        if dimensions not in (2, 3):
            raise ValueError(f"a target has 2 or 3 dimensions, not {dimensions}")
        self._parts = [_Part(settings.horizontal_imm(), slice(0, 2))]
        if dimensions == 3:
            self._parts.append(_Part(settings.vertical_imm(), slice(2, 3)))
        self._dimensions = dimensions
        self._time_s: float | None = None

    def update(self, time_s: float, position_m: np.ndarray, covariance_m2: np.ndarray) -> None:
        """Takes a position (D,) with its covariance (D, D).

        Raises:
            ValueError: it is older than the last one.
        """
        dt = 0.0 if self._time_s is None else float(time_s) - self._time_s
        if dt < 0:
            raise ValueError(f"a report at {time_s} s is {-dt:g} s older than the last")
        for part in self._parts:
            part.update(dt, np.asarray(position_m, float), np.asarray(covariance_m2, float))
        self._time_s = float(time_s)

    def state(self) -> Estimate:
        """The estimate at the last update."""
        return self.forecast(self._time_s)

    def forecast(self, time_s: float) -> Estimate:
        """The estimate at a later time.

        Raises:
            ValueError: there was no update yet.
        """
        if self._time_s is None:
            raise ValueError("a filter without a report has no state; call update first")
        return assemble(time_s, self._combined(float(time_s) - self._time_s))

    def _combined(self, dt: float) -> list[tuple[np.ndarray, np.ndarray]]:
        return [part.combined(dt) for part in self._parts]


class _Part:
    """One IMM of a target and the axes of the position that it filters."""

    def __init__(self, imm: Imm, axes: slice):
        self.imm, self.axes = imm, axes
        self.bank: ImmState | None = None
        self.innovation: Innovation | None = None  # of the last update; None after the first

    def update(self, dt, position_m, covariance_m2):
        position, covariance = position_m[None, self.axes], covariance_m2[None, self.axes, self.axes]
        if self.bank is None:
            self.bank = self.imm.start(position, covariance)
            return
        bank = self.imm.predict(self.bank, np.array([dt])) if dt > 0 else self.bank
        self.bank, self.innovation = self.imm.update(bank, position, covariance)

    def combined(self, dt) -> tuple[np.ndarray, np.ndarray]:
        bank = self.imm.predict(self.bank, np.array([dt])) if dt > 0 else self.bank
        mean, covariance = self.imm.combined(bank)
        return mean[0], covariance[0]


def assemble(time_s: float, parts: list[tuple[np.ndarray, np.ndarray]]) -> Estimate:
    """One estimate of all axes from the means (3 d,) and covariances (3 d, 3 d) of groups of d axes that are filtered apart."""
    dimensions = sum(len(mean) // 3 for mean, _ in parts)
    position, velocity = np.empty(dimensions), np.empty(dimensions)
    covariance, begin = np.zeros((2 * dimensions, 2 * dimensions)), 0
    for mean, spread in parts:
        d = len(mean) // 3
        axes = np.arange(begin, begin + d)
        position[axes], velocity[axes] = mean[:d], mean[d:2 * d]
        places = np.concatenate([axes, dimensions + axes])
        covariance[np.ix_(places, places)] = spread[:2 * d, :2 * d]
        begin += d
    return Estimate(float(time_s), position, velocity, covariance)


def add_field(correction: Correction, mean: np.ndarray, covariance: np.ndarray,
              horizon_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Adds the field's residual to the IMM's means (T, 6) and covariances (T, 6, 6), horizon_s (T,) after the update."""
    position, velocity = correction.at(horizon_s)
    moved = mean.copy()
    moved[:, :2] += position
    moved[:, 2:4] += velocity
    return moved, covariance * correction.factor(horizon_s)[:, None, None]


class FieldFilter(ImmFilter):
    """The IMM with a motion field's residual on its horizontal estimate. Its recursion is that of the IMM alone.

    Raises:
        ValueError: the field was trained with another number of models.
    """

    def __init__(self, dimensions: int, settings: SpatialSettings, field: MotionField):
        super().__init__(dimensions, settings)
        n_models = len(self._parts[0].imm.models)
        if field.n_models != n_models:
            raise ValueError(f"the motion field was trained with an IMM of {field.n_models} models, this one has {n_models}")
        self._field, self._past, self._gains = field, no_past(1, n_models), no_gains(1)
        self._correction: Correction | None = None

    def update(self, time_s, position_m, covariance_m2):
        dt = np.array([0.0 if self._time_s is None else float(time_s) - self._time_s])
        super().update(time_s, position_m, covariance_m2)
        flat = self._parts[0]
        mean, covariance = flat.imm.combined(flat.bank)
        if flat.innovation is not None:
            if self._correction is not None:
                self._gains = learn(self._gains, self._correction, flat.innovation, dt)
            self._past = remember(self._past, flat.innovation, dt, flat.bank.probability, mean[:, 2:4])
        self._correction = correct(self._field, mean, covariance, flat.bank.probability, self._past, self._gains)

    def _combined(self, dt):
        (mean, covariance), *others = super()._combined(dt)
        mean, covariance = add_field(self._correction, mean[None], covariance[None], np.array([dt]))
        return [(mean[0], covariance[0]), *others]


def make_filter(dimensions: int, settings: SpatialSettings, field: MotionField | None = None) -> TargetFilter:
    """A filter of one target in 2 or 3 dimensions; with a motion field, one that adds its residual."""
    return ImmFilter(dimensions, settings) if field is None else FieldFilter(dimensions, settings, field)
