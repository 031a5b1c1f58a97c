# SPDX-License-Identifier: GPL-3.0-or-later
"""A position report as the tracker takes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Fix:
    """Where something was at one moment, in local metres.

    time_s: POSIX. position_m (2,) or (3,): east, north, and height where known. covariance_m2 (2, 2) or (3, 3).
    identity: what the target calls itself (a Mode S address); None where nothing says. weak: too faint to start a track.
    source: what gave it, such as "adsb" or "tdoa". anomaly_id, freq_center_hz: of the emission it was heard by, where known.
    """

    time_s: float
    position_m: np.ndarray
    covariance_m2: np.ndarray
    identity: str | None = None
    weak: bool = False
    source: str = ""
    anomaly_id: str | None = None
    freq_center_hz: float | None = None
