# SPDX-License-Identifier: GPL-3.0-or-later
"""Events as a person reads them on a phone: a line each, several in one message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from .. import keys
from ..emitters.listing import frequency, what
from ..history.times import length
from .rules import FAULT

MAX_LINES = 30
OLD_S = 12 * 3600.0  # a message older than this states its date
CLOSE = "close"
_WORDS = {"new": "New at", "gone": "Gone from", "louder": "Louder at", "moved": "Moved to", "changed": "Changed at",
          "raised floor": "Noise floor raised around", "receiver": "Receiver, at", "burst": "Single burst at"}


def line(event: Mapping[str, Any], now_s: float, zone: tzinfo | None = None) -> str:
    """An event as one line: "New at 433.9200 MHz, LoRa, 14 dB, 12:03:17 UTC (emitter 7)".

    Args:
        event: by the vocabulary; fields may be absent.
        now_s: POSIX time at which it is read: an old event states its date. zone: for the time of day; None: UTC.
    """
    if event.get(keys.ALERT) == FAULT and keys.RADIO_LOST in event:
        return _of_radio(event, now_s, zone)
    if event.get(keys.ALERT) == FAULT:
        return f"The monitor has stopped, {time_of_day(event[keys.TIMESTAMP], now_s, zone)}: {event[keys.MESSAGE]}"
    kind, ended = str(event.get(keys.ALERT) or "anomaly"), event.get(keys.STATE) == CLOSE
    place = frequency(event) if event.get(keys.FREQ_CENTER_HZ) is not None else "an unknown frequency"
    parts = [f"{_WORDS.get(kind, f'{kind.capitalize()} at')} {place}"]
    if kind == "receiver":
        parts.append(str(event.get(keys.ANALYSIS_TYPE) or "its own change"))
    else:
        parts.append(what(event))
    if event.get(keys.SNR_DB) is not None and kind not in ("gone", "receiver"):
        parts.append(f"{event[keys.SNR_DB]:.0f} dB")
    if event.get(keys.TIMESTAMP) is not None:
        parts.append(time_of_day(event[keys.TIMESTAMP], now_s, zone))
    text = ", ".join(parts)
    if event.get(keys.EMITTER_ID) is not None:
        text += f" (emitter {event[keys.EMITTER_ID]})"
    if event.get(keys.RECORDING):
        text += f" in {event[keys.RECORDING]}"
    return f"Ended: {text[0].lower()}{text[1:]}" if ended else text


def _of_radio(event: Mapping[str, Any], now_s: float, zone: tzinfo | None) -> str:
    """That a radio is lost, or back: "Radio lost since 12:03:17 UTC: ..."; "Radio back, 12:03:49 UTC, after 32 s"."""
    lost_s = event[keys.RADIO_LOST]
    if event.get(keys.STATE) != CLOSE:
        return f"Radio lost since {time_of_day(lost_s, now_s, zone)}: {event[keys.WHY]}"
    return f"Radio back, {time_of_day(event[keys.TIMESTAMP], now_s, zone)}, after {length(event[keys.TIMESTAMP] - lost_s)}"


def digest(events: Sequence[Mapping[str, Any]], now_s: float, zone: tzinfo | None = None) -> str:
    """Several events as lines, in order; beyond MAX_LINES they are counted by kind."""
    lines = [line(event, now_s, zone) for event in events[:MAX_LINES]]
    rest = Counter(str(event.get(keys.ALERT) or "anomaly") for event in events[MAX_LINES:])
    if rest:
        lines.append(f"and {sum(rest.values())} more: " + ", ".join(f"{number} {kind}" for kind, number in rest.most_common()))
    return "\n".join(lines)


def title(events: Sequence[Mapping[str, Any]], site: str) -> str:
    """The title of a message: "Spectrum alert, attic"; "3 spectrum alerts, attic"."""
    return f"{'Spectrum alert' if len(events) == 1 else f'{len(events)} spectrum alerts'}, {site}"


def time_of_day(posix_s: float, now_s: float, zone: tzinfo | None) -> str:
    """"12:03:17 UTC"; "28 Nov 12:03:17 UTC" if that is long ago."""
    moment = datetime.fromtimestamp(posix_s, zone or UTC)
    return f"{moment:%-d %b %H:%M:%S %Z}" if abs(now_s - posix_s) > OLD_S else f"{moment:%H:%M:%S %Z}"
