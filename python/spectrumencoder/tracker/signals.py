# SPDX-License-Identifier: GPL-3.0-or-later
"""The dict of an anomaly event, or of a classified signal, becomes a ``Signal``."""

from __future__ import annotations

import math

from .. import keys
from .fixes import Refused
from .spectral import Signal

_MIN_BANDWIDTH_HZ = 1.0
_MAX_HZ = 1e13
_MAX_TEXT = 64
_NO_EMISSION = ("gone", "receiver")  # kinds of alerts
_MAX_EVENT_S = 7 * 86400.0


class SignalReader:
    """Reads signals, and learns the sample rate on the way.

    An event carries its first sample, its length in samples and the time of its first sample, but no rate. The rate follows from
    two events of one recording that began at different times. Until it is known, the length of an event is taken as 0 s.

    An alert of an emitter lives for long. An update tells that the emitter was heard again, at ``last_heard``: its time.
    """

    def __init__(self):
        self._rate_hz: float | None = None
        self._first: tuple[float, float] | None = None  # (timestamp, sample_start) of an event

    def read(self, fields: dict) -> Signal:
        """The signal of a dict.

        Raises:
            Refused: it has no usable time, frequency or bandwidth.
        """
        time_s = _number(fields, keys.TIMESTAMP, "time")
        frequency = _number(fields, keys.FREQ_CENTER_HZ, "frequency")
        bandwidth = _number(fields, keys.BANDWIDTH_HZ, "bandwidth")
        if abs(frequency) > _MAX_HZ or not 0 <= bandwidth <= _MAX_HZ:
            raise Refused("range", f"{frequency:g} Hz, {bandwidth:g} Hz wide, is no emission")
        power = fields.get(keys.POWER_DBFS)
        power = float(power) if _is_number(power) and math.isfinite(power) else math.nan
        event_id, label = fields.get(keys.EVENT_ID), fields.get(keys.LABEL)
        if fields.get(keys.ALERT) in _NO_EMISSION:
            raise Refused("no emission", f"an alert \"{fields[keys.ALERT]}\" is no emission")
        length_s = self._length_s(time_s, fields)
        heard_s = fields.get(keys.LAST_HEARD)
        if _is_number(heard_s) and time_s + length_s < heard_s < math.inf:
            time_s, length_s = float(heard_s), 0.0
        return Signal(time_s + length_s / 2, time_s + length_s, frequency, max(bandwidth, _MIN_BANDWIDTH_HZ), power,
                      str(event_id)[:_MAX_TEXT] if event_id is not None else None,
                      str(fields.get(keys.STATE) or "")[:_MAX_TEXT] or None,
                      str(label)[:_MAX_TEXT] if label else None, bool(fields.get(keys.IS_ANOMALY)),
                      bool(fields.get(keys.FREQ_RELATIVE)))

    def _length_s(self, time_s, fields) -> float:
        start, count = fields.get(keys.SAMPLE_START), fields.get(keys.SAMPLE_COUNT)
        if not (_is_number(start) and _is_number(count) and count >= 0):
            return 0.0
        if self._first is None or start < self._first[1] or time_s < self._first[0]:
            self._first = (time_s, start)
        elif start > self._first[1] and time_s > self._first[0]:
            self._rate_hz = (start - self._first[1]) / (time_s - self._first[0])
        length_s = count / self._rate_hz if self._rate_hz else 0.0
        return length_s if length_s <= _MAX_EVENT_S else 0.0


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(fields: dict, name: str, reason: str) -> float:
    value = fields.get(name)
    if not _is_number(value) or not abs(value) < math.inf:
        raise Refused(reason, f"{name} is {'missing' if value is None else 'not a finite number'}")
    return float(value)
