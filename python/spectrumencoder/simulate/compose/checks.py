# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of a plan's single values. Each returns the value as the plan holds it, or raises ``Refused`` with what is possible."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import MISSING, Field, field, fields
from datetime import datetime
from typing import Any, TypeVar

Check = Callable[[Any], Any]
T = TypeVar("T")


class PlanError(Exception):
    """A plan cannot be used. The message is one line with the key, its value and what is possible."""


class Refused(Exception):
    """A value is not possible. The message says what is."""


def key(check: Check, default: Any = MISSING) -> Any:
    """A key of a table; without a default it must be given."""
    return field(metadata={"check": check}) if default is MISSING else field(default=default, metadata={"check": check})


def table(cls: type[T], raw: Any, where: str) -> T:
    """The dataclass of a TOML table.

    Raises:
        PlanError: a key is unknown, is missing, or has an impossible value.
    """
    if not isinstance(raw, dict):
        raise PlanError(f"{where} = {raw!r}: must be a table")
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    if unknown := [name for name in raw if name not in known]:
        raise PlanError(f"{where} {unknown[0]} = {raw[unknown[0]]!r}: there is no such key; possible are {', '.join(known)}")
    if missing := [name for name, f in known.items() if name not in raw and _required(f)]:
        raise PlanError(f"{where} {missing[0]}: is missing; give it")
    return cls(**{name: checked(known[name].metadata["check"], value, f"{where} {name}") for name, value in raw.items()})


def checked(check: Check, value: Any, where: str) -> Any:
    """The checked value.

    Raises:
        PlanError: the value is not possible.
    """
    try:
        return check(value)
    except Refused as error:
        raise PlanError(f"{where} = {value!r}: must be {error}") from error


def number(low: float, high: float) -> Check:
    """A number within [low, high]."""
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not low <= value <= high:
            raise Refused(f"a number from {low:g} to {high:g}")
        return float(value)
    return check


def count(low: int, high: int) -> Check:
    """A whole number within [low, high]."""
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Refused(f"a whole number from {low} to {high}")
        return value
    return check


def span(low: float, high: float) -> Check:
    """A number, or [low, high] between which each one is drawn -> (low, high)."""
    single = number(low, high)

    def check(value: Any) -> tuple[float, float]:
        ends = value if isinstance(value, list) else [value, value]
        try:
            first, last = (single(end) for end in ends)
        except (Refused, ValueError):
            first, last = 1.0, 0.0
        if first > last:
            raise Refused(f"a number from {low:g} to {high:g}, or [lowest, highest] of such")
        return first, last
    return check


def numbers(low: float, high: float) -> Check:
    """A list of numbers, or one, within [low, high] -> tuple."""
    single = number(low, high)

    def check(value: Any) -> tuple[float, ...]:
        values = value if isinstance(value, list) else [value]
        try:
            return tuple(single(item) for item in values)
        except Refused as error:
            raise Refused(f"{error}, or a list of such") from error
    return check


def choice(*possible: str) -> Check:
    """One of these words."""
    def check(value: Any) -> str:
        if value not in possible:
            raise Refused(f"one of {', '.join(possible)}")
        return value
    return check


def text(value: Any) -> str:
    """Any text but an empty one."""
    if not isinstance(value, str) or not value.strip():
        raise Refused("a text")
    return value


def texts(value: Any) -> tuple[str, ...]:
    """A text, or a list of texts that is not empty -> tuple."""
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(item, str) and item for item in values):
        raise Refused("a text or a list of texts")
    return tuple(values)


def flag(value: Any) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise Refused("true or false")
    return value


def instant(value: Any) -> datetime:
    """A time with its zone, as TOML has it or as text."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        moment = None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise Refused("a time with its zone, such as 2026-01-01T06:00:00Z")
    return moment


def hours(value: Any) -> tuple[tuple[float, float], ...]:
    """"HH:MM-HH:MM" or a list of such -> spans in seconds of the day; a span may reach over midnight."""
    out = []
    for item in value if isinstance(value, list) else [value]:
        match = re.fullmatch(r"(\d\d):(\d\d)-(\d\d):(\d\d)", item) if isinstance(item, str) else None
        parts = [int(part) for part in match.groups()] if match else [99] * 4
        begin, end = parts[0] * 3600 + parts[1] * 60, parts[2] * 3600 + parts[3] * 60
        if max(parts[1], parts[3]) > 59 or max(begin, end) > 86400 or begin == end:
            raise Refused('hours of the day, such as "06:30-08:00", or a list of such')
        out.append((float(begin), float(end if end > begin else end + 86400)))
    return tuple(out)


def anything(value: Any) -> Any:
    """A value that is checked later."""
    return value


def _required(f: Field) -> bool:
    return f.default is MISSING and f.default_factory is MISSING
