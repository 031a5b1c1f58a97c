# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of position tracks: motion models, and rules of association."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .imm import Imm
from .motion_models import MotionModel, scaled

HORIZONTAL_MODELS = (
    MotionModel("cv", noise=0.016, acceleration_mps2=1.4, leave_per_s=0.008),
    MotionModel("cv", noise=7.3, acceleration_mps2=0.7, leave_per_s=0.06, along=2.8),
    MotionModel("ca", acceleration_mps2=0.25, fade_s=6.6, leave_per_s=0.03, along=1.4),
    MotionModel("ct", noise=0.1, acceleration_mps2=1.8, leave_per_s=0.023, along=0.7),
)
VERTICAL_MODELS = (
    MotionModel("cv", noise=0.01, acceleration_mps2=0.5, leave_per_s=0.02),
    MotionModel("ca", acceleration_mps2=1.5, fade_s=8.0, leave_per_s=0.1),
)


@dataclass(frozen=True)
class SpatialSettings:
    """How targets are expected to move, and when a report is theirs.

    Attributes:
        horizontal, vertical: models of the IMMs.
        process_noise: factor on the noises of all models (densities and squared accelerations).
        start_speed_mps, start_climb_mps: standard deviation per axis of the velocity of a target seen once.
        gate_probability: share of a track's own reports that fall inside its gate.
        false_density: false reports and new targets expected per square metre and scan. A report that is less likely than that to
            be a track's own is not its own.
        confirm_hits, confirm_scans: a track is confirmed by this many reports in this many scans. For a track with an identity,
            only its own reports count as scans.
        death_sigma_m: a track without an identity ends when its predicted position is this uncertain.
        death_scans: it also ends after this many scans in a row without its report; 0 is never. This is for sensors that look at
            everything in each scan.
        silence_s: every track ends after this time without a report.
        max_tracks: at one time; a new target then takes the place of the one that was not heard for the longest time.
        reorder_s: max age of a late report that is still put into its place in the past.
        top_speed_mps: no target is faster (``impossible``).
        motion_field: whether the shipped motion field adds its residual to the IMM's estimates.
        group_radius_m: tracks as near as this that move alike form a group, which carries its silent members (``group_field``);
            0 is none.

    Raises:
        ValueError: a value is out of its range.
    """

    horizontal: tuple[MotionModel, ...] = HORIZONTAL_MODELS
    vertical: tuple[MotionModel, ...] = VERTICAL_MODELS
    process_noise: float = 1.0
    start_speed_mps: float = 150.0
    start_climb_mps: float = 10.0
    gate_probability: float = 0.999
    false_density: float = 1e-11
    confirm_hits: int = 3
    confirm_scans: int = 4
    death_sigma_m: float = 1000.0
    death_scans: int = 0
    silence_s: float = 120.0
    max_tracks: int = 10_000
    reorder_s: float = 10.0
    top_speed_mps: float = 1000.0
    motion_field: bool = True
    group_radius_m: float = 0.0

    def __post_init__(self):
        if not 0 < self.process_noise < np.inf:
            raise ValueError(f"process_noise {self.process_noise} must be a positive factor")
        if not 0 < self.gate_probability < 1:
            raise ValueError(f"gate_probability {self.gate_probability} is outside 0..1")
        if not 1 <= self.confirm_hits <= self.confirm_scans:
            raise ValueError(f"confirm_hits {self.confirm_hits} of confirm_scans {self.confirm_scans} cannot be")
        if self.max_tracks < 1:
            raise ValueError(f"max_tracks {self.max_tracks} must be 1 or more")
        if self.death_scans < 0:
            raise ValueError(f"death_scans {self.death_scans} must not be negative")
        for name in ("start_speed_mps", "start_climb_mps", "false_density", "death_sigma_m", "silence_s", "top_speed_mps"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} {getattr(self, name)} must be positive")
        for name in ("reorder_s", "group_radius_m"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name} {getattr(self, name)} must not be negative")

    def horizontal_imm(self) -> Imm:
        """The models of the motion east and north."""
        return Imm(scaled(self.horizontal, self.process_noise), 2, self.start_speed_mps)

    def vertical_imm(self) -> Imm:
        """The models of the height."""
        return Imm(scaled(self.vertical, self.process_noise), 1, self.start_climb_mps)
