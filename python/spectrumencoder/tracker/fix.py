# SPDX-License-Identifier: GPL-3.0-or-later
"""A position report in the form that the tracker takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Fix:
    """Position of something at one moment, in local metres.

    Attributes:
        time_s: POSIX.
        position_m: (2,) or (3,): east, north, and height if known.
        covariance_m2: (2, 2) or (3, 3), of the position.
        identity: name that the target reports, such as a Mode S address; None if it reports none.
        weak: whether it is too faint to start a track.
        source: kind of report, such as "adsb" or "tdoa".
        anomaly_id: event of the emission that was located; None if unknown.
        freq_center_hz: frequency of that emission; None if unknown.
    """

    time_s: float
    position_m: np.ndarray
    covariance_m2: np.ndarray
    identity: str | None = None
    weak: bool = False
    source: str = ""
    anomaly_id: str | None = None
    freq_center_hz: float | None = None
