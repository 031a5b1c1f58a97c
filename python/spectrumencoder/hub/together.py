# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else hears it: alerts of other sensors at the same frequency and time, and the level there in their spectra.

Two boxes are the same emission if they overlap in frequency, each widened by ``PPM`` of its frequency for the two crystals, and
in time, each widened by ``CLOCK_S`` for the two clocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .. import keys
from .fields import is_number

PPM = 20.0
CLOCK_S = 2.0
HEARD_DB = 6.0  # over the noise floor of its spectra: a sensor without an alert hears it, too


class Box(NamedTuple):
    """Of an emission: Hz, POSIX s."""

    low_hz: float
    high_hz: float
    begin_s: float
    end_s: float


def box_of(alert: Mapping[str, Any]) -> Box | None:
    """The box of an alert; None if it has no frequency or time, or its frequency counts from an unknown centre."""
    center, begin = alert.get(keys.FREQ_CENTER_HZ), alert.get(keys.TIMESTAMP)
    if not is_number(center) or not is_number(begin) or alert.get(keys.FREQ_RELATIVE):
        return None
    width, last = alert.get(keys.BANDWIDTH_HZ), alert.get(keys.LAST_HEARD)
    half = max(float(width) / 2 if is_number(width) else 0.0, 0.0) + PPM * 1e-6 * abs(center)
    return Box(center - half, center + half, begin - CLOCK_S, max(begin, last if is_number(last) else begin) + CLOCK_S)


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes have something in common."""
    return (one.low_hz <= other.high_hz and other.low_hz <= one.high_hz
            and one.begin_s <= other.end_s and other.begin_s <= one.end_s)


def same(own: str, box: Box | None, alerts: Iterable[tuple[Box | None, Mapping[str, Any]]]) -> dict[str, Mapping[str, Any]]:
    """Of each other sensor the alert that is about the same emission: the strongest over the noise.

    Args:
        own: the sensor whose alert has this box. alerts: of all sensors, with their boxes.
    """
    found: dict[str, Mapping[str, Any]] = {}
    if box is None:
        return found
    for place, other in alerts:
        sensor = other[keys.SENSOR]
        if sensor != own and place is not None and overlap(box, place):
            best = found.get(sensor)
            if best is None or (other.get(keys.SNR_DB) or -np.inf) > (best.get(keys.SNR_DB) or -np.inf):
                found[sensor] = other
    return found


def level_db(spectra: np.ndarray, times_s: np.ndarray, center_hz: float, rate_hz: float, box: Box) -> float | None:
    """The largest level in a box over the noise floor of its spectrum, dB; None if the spectra do not reach the box.

    The floor is the median of a spectrum's bins: spectra of a PDU have the noise of an average, not its tails.

    Args:
        spectra: (F, N) dBFS. times_s: (F,) POSIX s. center_hz, rate_hz: of the spectra.
    """
    freqs = center_hz + (np.arange(spectra.shape[1]) - spectra.shape[1] // 2) * (rate_hz / spectra.shape[1])
    bins = (freqs >= box.low_hz) & (freqs <= box.high_hz)
    frames = (times_s >= box.begin_s) & (times_s <= box.end_s)
    if not bins.any() or not frames.any():
        return None
    part = spectra[frames]
    return float((part[:, bins].max(axis=1) - np.median(part, axis=1)).max())
