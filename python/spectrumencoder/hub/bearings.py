# SPDX-License-Identifier: GPL-3.0-or-later
"""Bearings and times of arrival that sensors send one by one, joined to reports that the tracker can solve.

A report of a sensor about an emission, {freq_center_hz, timestamp, bearing: {azimuth, az_error}} or {..., toa_s, toa_error_s},
says in which direction, or when, one sensor heard it. With those of other sensors within ``JOIN_S`` and 20 ppm of the frequency,
and of the same `identity` if they have one, it becomes one report with `receivers`, which ``tracker.geo`` solves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import keys
from .together import PPM

JOIN_S = 1.0
MAX_OPEN = 1000
_MEASURED = (keys.BEARING, "toa_s", "toa_error_s")


@dataclass
class _Open:
    """Measurements of one emission: of each sensor the newest."""

    timestamp: float
    freq_hz: float
    identity: Any
    due_s: float
    receivers: dict[str, dict] = field(default_factory=dict)


class Joiner:
    """Joins measurements of several sensors. Not safe for threads.

    Attributes: n_alone: measurements that no other sensor joined in time: one alone gives no position.
    """

    def __init__(self):
        self._open: list[_Open] = []
        self.n_alone = 0

    def add(self, sensor: str, fields: Mapping[str, Any], position: Mapping[str, float], now_s: float) -> bool:
        """Takes a report if it is a measurement of one sensor; says whether it is one.

        Args:
            position: LATITUDE and LONGITUDE of the sensor, if the report has none. now_s: of a clock that runs on.

        Raises:
            ValueError: it is one and cannot be joined: it has no time, or nobody knows where the sensor is.
        """
        if keys.RECEIVERS in fields or not any(name in fields for name in _MEASURED):
            return False
        place = {key: fields.get(key, position.get(key)) for key in (keys.LATITUDE, keys.LONGITUDE)}
        time_s, freq_hz = fields.get(keys.TIMESTAMP), fields.get(keys.FREQ_CENTER_HZ, 0.0)
        if None in place.values():
            raise ValueError("a bearing without a place: run the sensor with --position, or state latitude and longitude")
        if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (time_s, freq_hz)):
            raise ValueError(f"a bearing needs {keys.TIMESTAMP}, in POSIX seconds, and {keys.FREQ_CENTER_HZ}, if given, in Hz")
        identity = fields.get(keys.IDENTITY)
        one = next((one for one in self._open if one.identity == identity and abs(one.timestamp - time_s) <= JOIN_S
                    and abs(one.freq_hz - freq_hz) <= PPM * 1e-6 * max(abs(one.freq_hz), abs(freq_hz))), None)
        if one is None:
            one = _Open(float(time_s), float(freq_hz), identity, now_s + JOIN_S)
            self._open = [*self._open[-MAX_OPEN + 1:], one]
        one.receivers[sensor] = place | {name: fields[name] for name in (keys.ALTITUDE, *_MEASURED) if name in fields}
        return True

    def due(self, now_s: float, n_sensors: int) -> list[dict]:
        """The reports that are complete: all sensors have measured, or the time is over."""
        reports, left = [], []
        for one in self._open:
            if now_s < one.due_s and len(one.receivers) < n_sensors:
                left.append(one)
            elif len(one.receivers) < 2:
                self.n_alone += 1
            else:
                reports.append(self._report(one))
        self._open = left
        return reports

    @staticmethod
    def _report(one: _Open) -> dict:
        fields: dict[str, Any] = {keys.TIMESTAMP: one.timestamp, keys.RECEIVERS: list(one.receivers.values())}
        if one.freq_hz:
            fields[keys.FREQ_CENTER_HZ] = one.freq_hz
        if one.identity is not None:
            fields[keys.IDENTITY] = one.identity
        return fields
