# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface of filters of one target, which our filters share with those they are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """Position and velocity of a target at one moment, in local east-north-up metres; D is 2 or 3.

    Attributes:
        time_s: POSIX.
        position_m: (D,).
        velocity_mps: (D,).
        covariance: (2D, 2D), of [position, velocity].
    """

    time_s: float
    position_m: np.ndarray
    velocity_mps: np.ndarray
    covariance: np.ndarray

    @property
    def dimensions(self) -> int:
        """D."""
        return len(self.position_m)

    @property
    def position_covariance_m2(self) -> np.ndarray:
        """The position's part (D, D) of the covariance."""
        return self.covariance[:self.dimensions, :self.dimensions]


class TargetFilter(Protocol):
    """A filter of one target. The first ``update`` starts it; times may be irregular."""

    def update(self, time_s: float, position_m: np.ndarray, covariance_m2: np.ndarray) -> None:
        """Takes a position (D,) with its covariance (D, D)."""

    def state(self) -> Estimate:
        """The estimate at the last update."""

    def forecast(self, time_s: float) -> Estimate:
        """The estimate at a later time; changes nothing."""
