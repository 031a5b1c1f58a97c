# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of a target: which events it gets, and when a message may go. Each rule is declared once, here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from .. import keys
from ..detector.threats import LEVELS

KINDS = ("new", "gone", "louder", "moved", "changed", "raised floor", "receiver", "burst", "anomaly", "fault")
STATES = ("open", "update", "close")
FAULT = "fault"  # the run has ended for a reason that nobody wanted; its radio is lost, or back
FOR_PEOPLE = ("new", "gone", "louder", "moved", "changed", "raised floor", "anomaly", FAULT)
HOUR_S = 3600.0
MAX_KNOWN = 10_000  # events whose opening is remembered


class Quiet(NamedTuple):
    """Hours without messages, each day from `begin` to `end`, which may be of the next day."""

    begin: time
    end: time

    def ends(self, now: datetime) -> datetime | None:
        """When the quiet hours end in which `now` lies; None if it lies in none."""
        clock = now.time()
        inside = self.begin <= clock < self.end if self.begin < self.end else clock >= self.begin or clock < self.end
        if not inside:
            return None
        day = now.date() + timedelta(days=1) if clock >= self.end else now.date()
        return datetime.combine(day, self.end, now.tzinfo)


def _words(known: tuple[str, ...]) -> Callable[[Any], tuple[str, ...]]:
    def parse(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not value or not all(word in known for word in value):
            raise ValueError(f"is not a list of {', '.join(known)}")
        return tuple(dict.fromkeys(value))
    return parse


def _number(low: float, high: float, unit: str) -> Callable[[Any], float]:
    def parse(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ValueError(f"is not a number of {unit} from {low:g} to {high:g}")
        return float(value)
    return parse


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"is not a whole number from {low} to {high}")
        return value
    return parse


def _level(value: Any) -> str:
    if not isinstance(value, str) or value.upper() not in LEVELS:
        raise ValueError(f"is none of {', '.join(LEVELS)}")
    return value.upper()


def _ranges(value: Any) -> tuple[tuple[float, float], ...]:
    ranges = value if isinstance(value, list) else [None]
    for one in ranges:
        if not isinstance(one, list) or [type(end) in (int, float) for end in one] != [True, True] or not 0 <= one[0] < one[1]:
            raise ValueError("is not a list of [low, high] in Hz, such as [[433.05e6, 434.79e6]]")
    return tuple((float(low), float(high)) for low, high in ranges)


def _quiet(value: Any) -> Quiet | None:
    if value == "":
        return None
    try:
        begin, end = (datetime.strptime(word.strip(), "%H:%M").time() for word in value.split("-"))
        if begin == end:
            raise ValueError
    except (ValueError, AttributeError) as error:
        raise ValueError('is not BEGIN-END, such as "22:00-07:00"; "" for none') from error
    return Quiet(begin, end)


def _zone(value: Any) -> tzinfo:
    try:
        return UTC if value == "UTC" else ZoneInfo(value)
    except Exception as error:  # zoneinfo raises many kinds
        raise ValueError('is no time zone of this system, such as "Europe/Berlin" or "UTC"') from error


def _link(value: Any) -> str:
    if not isinstance(value, str) or (value and not value.startswith(("http://", "https://"))):
        raise ValueError("is no http:// or https:// address")
    return value


def _rule(default: Any, parse: Callable[[Any], Any], help: str, people: bool = False) -> Any:
    return field(default=default, metadata={"parse": parse, "help": help, "people": people})


@dataclass(frozen=True)
class Rules:
    """What a target gets, and when. Frequencies in Hz. Rules for people do not hold for MQTT, which gets every event at once."""

    kinds: tuple[str, ...] = _rule((), _words(KINDS), "Kinds of alerts; `anomaly` is what the detector `boxes` reports, `fault` "
                                   "a run that failed, a radio that is lost or back.")
    states: tuple[str, ...] = _rule((), _words(STATES), "States of an alert: it opens, is heard again, is over.")
    min_snr_db: float = _rule(float("-inf"), _number(-50, 150, "dB"), "Minimum level over the noise.")
    min_power_dbfs: float = _rule(float("-inf"), _number(-250, 50, "dBFS"), "Minimum power.")
    min_threat_level: str = _rule(LEVELS[0], _level, "Minimum threat level: LOW, MEDIUM, HIGH.")
    frequencies_hz: tuple[tuple[float, float], ...] = _rule((), _ranges, "Ranges of frequencies, pairs of Hz; none: all.")
    quiet_hours: Quiet | None = _rule(None, _quiet, "Hours of each day in which messages wait.", True)
    time_zone: tzinfo = _rule(UTC, _zone, "Time zone of the quiet hours, and of times in messages.", True)
    max_per_hour: int = _rule(20, _whole(1, 3600), "Messages in any hour; what comes on top waits, and goes together.", True)
    digest_minutes: float = _rule(0.0, _number(0, 10_080, "minutes"), "Collect so long, then send one message; 0: do not.", True)
    digest_above: int = _rule(5, _whole(0, 10_000), "If more wait, one message has them all; 0: each goes alone.", True)
    link: str = _rule("", _link, "Address that ends each message, such as that of the page.", True)

    def of_people(self) -> Rules:
        """The same, with the kinds and states that a person wants if none are given."""
        from dataclasses import replace
        return replace(self, kinds=self.kinds or FOR_PEOPLE, states=self.states or STATES[:1])


RULES = {row.name: row for row in fields(Rules)}


class EventFilter:
    """Which events of a run pass the rules of a target. Not for several threads."""

    def __init__(self, rules: Rules):
        self._rules, self._opened = rules, OrderedDict[str, None]()

    def begin(self):
        """Forgets the events of the run before: its ids come again."""
        self._opened.clear()

    def passes(self, event: Mapping[str, Any]) -> bool:
        """Whether the target gets this event.

        An alert that first is too weak counts as opened by the first update that is strong enough. Of an alert that did not pass
        when it opened or later, no end is sent.
        """
        rules, number, state = self._rules, str(event.get(keys.EVENT_ID)), event.get(keys.STATE)
        if event.get(keys.ALERT) == FAULT:
            return FAULT in rules.kinds
        known = number in self._opened
        if state == "close":
            self._opened.pop(number, None)
            return known and self._wants("close")
        if not known:
            if not self._strong_enough(event):
                return False
            self._opened[number] = None
            if len(self._opened) > MAX_KNOWN:
                self._opened.popitem(last=False)
            return self._wants("open") or (state == "update" and self._wants("update"))
        return state in rules.states or not rules.states

    def _wants(self, state: str) -> bool:
        return not self._rules.states or state in self._rules.states

    def _strong_enough(self, event: Mapping[str, Any]) -> bool:
        rules = self._rules
        if rules.kinds and (event.get(keys.ALERT) or "anomaly") not in rules.kinds:
            return False
        if LEVELS.index(event.get(keys.THREAT_LEVEL, LEVELS[0])) < LEVELS.index(rules.min_threat_level):
            return False
        for key, minimum in ((keys.SNR_DB, rules.min_snr_db), (keys.POWER_DBFS, rules.min_power_dbfs)):
            if minimum > float("-inf") and not (event.get(key) is not None and event[key] >= minimum):
                return False
        hz, half = event.get(keys.FREQ_CENTER_HZ), event.get(keys.BANDWIDTH_HZ, 0.0) / 2
        return not rules.frequencies_hz or (hz is not None and any(
            low <= hz + half and hz - half <= high for low, high in rules.frequencies_hz))


class Schedule:
    """When messages may go, and how many events one of them has. Times are POSIX seconds. Not for several threads."""

    def __init__(self, rules: Rules):
        self._rules, self._sent_s = rules, list[float]()

    def wait_s(self, now_s: float, oldest_s: float, ending: bool = False) -> float:
        """How long the oldest waiting event, which came at oldest_s, has to wait; 0: it may go. ending: the run is over, so
        that a digest goes early."""
        rules = self._rules
        waits = [0.0]
        if rules.quiet_hours is not None:
            now = datetime.fromtimestamp(now_s, rules.time_zone)
            ends = rules.quiet_hours.ends(now)
            if ends is not None:
                waits.append(ends.timestamp() - now_s)
        if rules.digest_minutes and not ending:
            waits.append(min(oldest_s + 60.0 * rules.digest_minutes - now_s, 60.0 * rules.digest_minutes))
        self._forget(now_s)
        if len(self._sent_s) >= rules.max_per_hour:
            waits.append(self._sent_s[-rules.max_per_hour] + HOUR_S - now_s)
        return max(waits)

    def take(self, now_s: float, n_waiting: int) -> int:
        """How many of the waiting events the next message has: one, or all of them."""
        self._forget(now_s)
        left = self._rules.max_per_hour - len(self._sent_s)
        above = self._rules.digest_above
        together = self._rules.digest_minutes or (above and n_waiting > above) or n_waiting > left
        return n_waiting if together else min(1, n_waiting)

    def sent(self, now_s: float):
        """Notes that a message went."""
        self._sent_s.append(now_s)

    def _forget(self, now_s: float):
        self._sent_s = [one for one in self._sent_s if now_s - HOUR_S < one <= now_s + 1.0]
