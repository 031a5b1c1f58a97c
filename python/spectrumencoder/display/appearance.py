# SPDX-License-Identifier: GPL-3.0-or-later
"""The look of events in every picture: colours by threat level, and the line beside a box."""

from __future__ import annotations

import math

from .. import keys
from ..emitters.listing import count, frequency, what, width
from ..encoder.token_classes import UNKNOWN_SIGNAL

_COLORS = {"low": "#7fd1ff", "medium": "#ffc145", "high": "#ff6b4a", "critical": "#ff2d55"}
N_ALERTS = "n_alerts"  # in an event that stands for several, see ``grouping``
SIGNAL_COLOR = "#f2f2f2"  # of the boxes of signals: no colour of a threat
THREAT_COLORS = (*_COLORS.values(), "#ffffff")  # lowest level first; the last colour is for events without a level


def threat_color(event: dict) -> str:
    """Colour of an event's box."""
    return _COLORS.get(str(event.get(keys.THREAT_LEVEL)).lower(), THREAT_COLORS[-1])


def event_label(event: dict) -> str:
    """Two lines, as far as the event states it: the kind of alert with the class; frequency, width, SNR and p-value.

    The label of an event that is no alert is left out: it is the one of its whole frame. Several alerts that ``grouping`` has
    joined have their number instead of their level.
    """
    kind = f"{event[keys.ALERT]}: {what(event)}" if event.get(keys.ALERT) else ""
    parts = []
    if number(event.get(keys.FREQ_CENTER_HZ)) is not None:
        parts.append(frequency(event))
    if number(event.get(keys.BANDWIDTH_HZ)):
        parts.append(f"{width(event[keys.BANDWIDTH_HZ])} wide")
    if event.get(N_ALERTS):
        parts.append(count(event[N_ALERTS], "alert"))
    else:
        parts += [form.format(value) for form, key in (("{:.0f} dB", keys.SNR_DB), ("p {:.1e}", keys.P_VALUE))
                  if (value := number(event.get(key))) is not None]
    return "\n".join(filter(None, (kind, ", ".join(parts))))


def threat_rank(level) -> int:
    """Place of a threat level among the levels; -1 for what is none."""
    return {name: place for place, name in enumerate(_COLORS)}.get(str(level).lower(), -1)


def event_kind(event: dict) -> str:
    """The word for an event's colour in a legend."""
    level = str(event.get(keys.THREAT_LEVEL) or "").upper()
    return f"alert, {level}" if level else "alert"


def is_of_event(burst: dict, events: list[dict]) -> bool:
    """Whether an event marks the place of a burst of a signal: it lies there for some of its time. One of the two is drawn."""
    return any(same_place(burst, event) and _same_time(burst, event) for event in events)


def same_place(one: dict, other: dict) -> bool:
    """Whether the centre of one lies within the other: of bursts, events, and rows of the list of signals."""
    values = [number(part.get(key)) for part in (one, other) for key in (keys.FREQ_CENTER_HZ, keys.BANDWIDTH_HZ)]
    if values[0] is None or values[2] is None:
        return False
    return abs(values[0] - values[2]) <= 0.5 * max(values[1] or 0.0, values[3] or 0.0)


def place_difference_hz(one: dict, other: dict) -> float:
    """By how much the centres and the widths of two differ together, of those that are in the ``same_place``."""
    return sum(abs((number(one.get(key)) or 0.0) - (number(other.get(key)) or 0.0)) for key in (keys.FREQ_CENTER_HZ, keys.BANDWIDTH_HZ))


def _same_time(one: dict, other: dict) -> bool:
    """Whether two stretches have a sample in common."""
    values = [number(part.get(key)) for part in (one, other) for key in (keys.SAMPLE_START, keys.SAMPLE_COUNT)]
    if None in values:
        return False
    first, length, second, long = values
    return first < second + long and second < first + length


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
