# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of a band: the signals of all tunings, each once.

Neighbouring hops of a scan share a border. A signal across it is cut: the one hop has its lower part, the other its upper part.
Overlapping hops see the same signal twice. Within one tuning, what lies in one place and is as wide is one signal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .. import keys
from ..encoder.token_classes import UNKNOWN_SIGNAL

_BORDER_BINS = 3.0  # within which an edge of a signal is that of the usable band, or two edges are one
_CUT_OFF = 0.25  # share of a signal's width that a border may cut off, so that the next hop sees that part alone
_ALIKE = 2.5  # times the width of another signal, that one in its place may have and still be that one
_CLICK_DB, _CLICK_SHARE = 10.0, 0.1  # by which a click is weaker, and the largest share of its signal's time that it takes
_COMMON = 0.3  # share of the narrower one that two tunings must have seen in common
_STEADY = 0.9  # duty cycle from which a signal is on all the time: each visit sees the same burst


@dataclass
class Place:
    """A signal as one tuning, or several, have seen it.

    Attributes:
        row: with the keys of ``keys.SIGNAL_FIELDS``. low_hz, high_hz: ends of the usable band. bin_hz: width of a bin.
        on_s: for how long it was seen, s.
    """

    row: dict[str, Any]
    low_hz: float
    high_hz: float
    bin_hz: float
    on_s: float

    @property
    def edges(self) -> tuple[float, float]:
        """Lowest and highest frequency, Hz."""
        half = 0.5 * self.row[keys.BANDWIDTH_HZ]
        return self.row[keys.FREQ_CENTER_HZ] - half, self.row[keys.FREQ_CENTER_HZ] + half

    def same_tuning(self, other: Place) -> bool:
        """Whether both are of one tuning."""
        return (self.low_hz, self.high_hz) == (other.low_hz, other.high_hz)

    @property
    def cut(self) -> tuple[bool, bool]:
        """Whether the end of the usable band cuts its lower edge, and its upper one."""
        (low, high), near = self.edges, _BORDER_BINS * self.bin_hz
        return low - self.low_hz < near, self.high_hz - high < near


def inventory(places: list[Place]) -> list[dict[str, Any]]:
    """The rows of all signals, by frequency; places that are one signal are one row, with the number of the first."""
    count = len(places) + 1
    while len(places) < count:  # what has become one may belong to a third
        count = len(places)
        places = _merged(sorted(places, key=lambda place: place.edges))
    return sorted((place.row for place in places), key=lambda row: row[keys.FREQ_CENTER_HZ])


def _merged(places: list[Place]) -> list[Place]:
    """Places by their lower edge, each put together with the nearest one before it that is the same signal."""
    reach = 3.0 * max((place.edges[1] - place.edges[0] for place in places), default=0.0)
    out: list[Place] = []
    for place in places:
        near = (n for n in range(len(out) - 1, -1, -1) if place.edges[0] - out[n].edges[0] <= reach)
        same = next((n for n in near if _are_one(out[n], place)), None)
        if same is None:
            out.append(place)
        else:
            out[same] = _joined(out[same], place)
    return out


def _are_one(one: Place, other: Place) -> bool:
    """Whether two places are of the same signal. one: the lower one."""
    if bool(one.row.get(keys.FREQ_RELATIVE)) != bool(other.row.get(keys.FREQ_RELATIVE)):
        return False
    (low, high), (its_low, its_high) = one.edges, other.edges
    common, width, its_width = min(high, its_high) - max(low, its_low), high - low, its_high - its_low
    near = _BORDER_BINS * max(one.bin_hz, other.bin_hz)
    if one.same_tuning(other):  # the same place, the same width: what comes and goes with it
        apart = abs(one.row[keys.FREQ_CENTER_HZ] - other.row[keys.FREQ_CENTER_HZ])
        alike = max(width, its_width) <= _ALIKE * min(width, its_width) + near
        return (alike and apart <= max(0.5 * min(width, its_width), near)) or _is_click(one, other)
    if _is_click(one, other):
        return True
    if common > 0.0 and common >= _COMMON * min(width, its_width):
        return True
    reach = max(near, _CUT_OFF * max(width, its_width))
    return (one.cut[1] or other.cut[0]) and -common < reach


def _is_click(one: Place, other: Place) -> bool:
    """Whether one of two is what the other shows around itself for moments: when it is switched, or by its skirt."""
    strong, faint = (one, other) if one.row[keys.POWER_DBFS] >= other.row[keys.POWER_DBFS] else (other, one)
    (low, high), (its_low, its_high) = faint.edges, strong.edges
    width = its_high - its_low
    around = (low <= its_low and its_high <= high) or (its_low - width <= low and high <= its_high + width)
    return (around and strong.row[keys.POWER_DBFS] - faint.row[keys.POWER_DBFS] > _CLICK_DB
            and faint.on_s < _CLICK_SHARE * strong.on_s)


def _joined(one: Place, other: Place) -> Place:
    """Two places as one. What a border cuts is as wide as both; what one tuning has seen whole is what that says."""
    if one.same_tuning(other) or _is_click(one, other):
        main = one if one.on_s >= other.on_s else other
        row = main.row | {
            keys.SIGNAL_ID: min(one.row[keys.SIGNAL_ID], other.row[keys.SIGNAL_ID]),
            keys.FIRST_HEARD: min(one.row[keys.FIRST_HEARD], other.row[keys.FIRST_HEARD]),
            keys.LAST_HEARD: max(one.row[keys.LAST_HEARD], other.row[keys.LAST_HEARD])}
        return Place(row, main.low_hz, main.high_hz, main.bin_hz, main.on_s)  # the other one adds nothing to it
    whole = [place for place in (one, other) if not any(place.cut)]
    first, second = (one, other) if one.row[keys.FIRST_HEARD] <= other.row[keys.FIRST_HEARD] else (other, one)
    main = max(whole or (one, other), key=lambda place: place.on_s)
    low, high = main.edges if whole else (min(one.edges[0], other.edges[0]), max(one.edges[1], other.edges[1]))
    seen_s = sum(place.on_s / max(place.row[keys.DUTY_CYCLE], 1e-6) for place in (one, other))
    bursts = [place.row[keys.BURSTS] for place in (one, other)]
    steady = min(place.row[keys.DUTY_CYCLE] for place in (one, other)) > _STEADY
    row = main.row | {
        keys.SIGNAL_ID: first.row[keys.SIGNAL_ID], keys.FREQ_CENTER_HZ: 0.5 * (low + high), keys.BANDWIDTH_HZ: high - low,
        keys.BURSTS: max(bursts) if steady else sum(bursts), keys.DUTY_CYCLE: min(1.0, (one.on_s + other.on_s) / seen_s),
        keys.FIRST_HEARD: first.row[keys.FIRST_HEARD], keys.LAST_HEARD: max(one.row[keys.LAST_HEARD], other.row[keys.LAST_HEARD])}
    if not whole:
        row[keys.POWER_DBFS] = _sum_db(one.row[keys.POWER_DBFS], other.row[keys.POWER_DBFS])
    named = max((one, other), key=lambda place: (place.row[keys.LABEL] != UNKNOWN_SIGNAL, place.row[keys.CONFIDENCE]))
    row |= {keys.LABEL: named.row[keys.LABEL], keys.CONFIDENCE: named.row[keys.CONFIDENCE]}
    return Place(row, min(one.low_hz, other.low_hz), max(one.high_hz, other.high_hz), max(one.bin_hz, other.bin_hz),
                 one.on_s + other.on_s)


def _sum_db(one: float, other: float) -> float:
    """Sum of two powers in dB."""
    return 10.0 * math.log10(10.0 ** (0.1 * one) + 10.0 ** (0.1 * other))
