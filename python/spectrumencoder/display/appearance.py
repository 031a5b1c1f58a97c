# SPDX-License-Identifier: GPL-3.0-or-later
"""The look of events in every picture: colours by threat level, and the line beside a box."""

from __future__ import annotations

import math

from .. import keys
from ..encoder.token_classes import UNKNOWN_SIGNAL

_COLORS = {"low": "#7fd1ff", "medium": "#ffc145", "high": "#ff6b4a", "critical": "#ff2d55"}
SIGNAL_COLOR = "#f2f2f2"  # of the boxes of signals: no colour of a threat
THREAT_COLORS = (*_COLORS.values(), "#ffffff")  # lowest level first; the last colour is for events without a level


def threat_color(event: dict) -> str:
    """Colour of an event's box."""
    return _COLORS.get(str(event.get(keys.THREAT_LEVEL)).lower(), THREAT_COLORS[-1])


def event_label(event: dict) -> str:
    """Frequency, width, SNR and p-value, as far as the event states them."""
    place = ("{:+.1f} kHz from the centre", 1e-3) if event.get(keys.FREQ_RELATIVE) else ("{:.4f} MHz", 1e-6)
    parts = ((place[0], keys.FREQ_CENTER_HZ, place[1]), ("{:.3g} kHz wide", keys.BANDWIDTH_HZ, 1e-3),
             ("{:.0f} dB", keys.SNR_DB, 1), ("p {:.1e}", keys.P_VALUE, 1))
    return ", ".join(form.format(value * scale) for form, key, scale in parts
                     if (value := number(event.get(key))) is not None and (value or key != keys.BANDWIDTH_HZ))


def signal_label(signal: dict) -> str:
    """Class and confidence of a signal, as far as it states them."""
    label, confidence = str(signal.get(keys.LABEL) or UNKNOWN_SIGNAL), number(signal.get(keys.CONFIDENCE))
    return label if confidence is None or label == UNKNOWN_SIGNAL else f"{label} {100 * confidence:.0f} %"


def likeliest_threat(event: dict) -> str:
    """The most probable of the event's possible threats with its probability; "" if none is stated."""
    threats = event.get(keys.POSSIBLE_THREATS)
    stated = {name: p for name, p in threats.items() if number(p) is not None} if isinstance(threats, dict) else {}
    if not stated:
        return ""
    name = max(stated, key=stated.get)
    return f"{name} {100 * stated[name]:.0f} %"


def number(value) -> float | None:
    """The value if it is a finite real number, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value
