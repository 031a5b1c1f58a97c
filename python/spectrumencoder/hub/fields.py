# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a sensor's JSON the hub shows and keeps in memory: known keys, short texts, numbers that are numbers.

A sensor is known, but not trusted: whatever it sends, page and histories go on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from .. import keys

MAX_TEXT, MAX_PART = 200, 2000  # characters of a text, and of a list or dict as JSON
MAX_KEYS = 60
ABOUT_FIELDS = (keys.SENSOR, "program", keys.SOURCE, keys.MODEL, keys.RX_RATE, keys.RX_FREQ, "fft_size", "frame_s",
                keys.LATITUDE, keys.LONGITUDE, keys.ALTITUDE)
_NUMBERS = frozenset((keys.TIMESTAMP, keys.FREQ_CENTER_HZ, keys.BANDWIDTH_HZ, keys.SNR_DB, keys.POWER_DBFS, keys.FIRST_HEARD,
                      keys.LAST_HEARD, keys.SAMPLE_START, keys.SAMPLE_COUNT, keys.CONFIDENCE, keys.ANOMALY_SCORE, keys.BURSTS,
                      keys.EMITTER_ID, keys.SIGNAL_ID, keys.DUTY_CYCLE, keys.LATITUDE, keys.LONGITUDE, keys.RX_RATE, keys.RX_FREQ,
                      keys.THRESHOLD, keys.LATENCY_MS, "fft_size", "frame_s"))
_MAX_NUMBER = 1e18


def bounded(fields: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The fields of these names, each of a size and kind that can be shown."""
    return {name: _value(name, fields[name]) for name in names if name in fields}


def numbers(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers and short texts of health, 60 at most."""
    plain = {str(name)[:MAX_TEXT]: _value("", value) for name, value in list(fields.items())[:MAX_KEYS]}
    return {name: value for name, value in plain.items() if value is None or isinstance(value, (bool, int, float, str))}


def is_number(value: Any) -> bool:
    """Whether it is a finite number, and no truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _MAX_NUMBER and math.isfinite(value)


def _value(name: str, value: Any) -> Any:
    if name in _NUMBERS:
        return value if is_number(value) else None
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return value if is_number(value) else None
    if isinstance(value, str):
        return value[:MAX_TEXT]
    return value if len(json.dumps(value)) <= MAX_PART else None
