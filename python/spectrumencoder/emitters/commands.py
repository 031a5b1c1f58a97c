# SPDX-License-Identifier: GPL-3.0-or-later
"""Decisions of an operator on a registry, a file's or a running detector's: accept, ignore, unignore, name."""

from __future__ import annotations

import math

from .emitter import Emitter
from .registry import Registry


def emitter_of(registry: Registry, emitter_id: int) -> Emitter:
    """The emitter of this number.

    Raises:
        ValueError: there is none; its text names those that there are.
    """
    if isinstance(emitter_id, bool) or not isinstance(emitter_id, int) or emitter_id not in registry.emitters:
        known = sorted(registry.emitters)
        there = f"there are {known[0]} to {known[-1]}" if known else "none was heard so far"
        raise ValueError(f"there is no emitter {emitter_id!r}; {there}, see them with: band show FILE")
    return registry.emitters[emitter_id]


def accept(registry: Registry, emitter_id: int) -> Emitter:
    """The emitter belongs to the band from here on. Raises ValueError: there is none of this number."""
    emitter = emitter_of(registry, emitter_id)
    emitter.accepted, emitter.part_of = True, 0  # what a person decides on has a row of its own
    registry.belongs_now(emitter)
    return emitter


def name(registry: Registry, emitter_id: int, text: str) -> Emitter:
    """Gives an emitter a name; "" takes it away. Raises ValueError: there is none of this number, or the text is no line."""
    if not isinstance(text, str) or len(text) > 100 or any(not c.isprintable() for c in text):
        raise ValueError(f"the name {text!r} is not one line of 100 characters at most")
    emitter = emitter_of(registry, emitter_id)
    emitter.name = text
    if text:
        emitter.part_of = 0
    return emitter


def ignore(registry: Registry, low_hz: float, high_hz: float) -> tuple[float, float]:
    """No signal whose middle lies in this range alerts from here on; Hz. Returns the range. Raises ValueError: it is none."""
    ends = _range(low_hz, high_hz)
    if ends not in registry.ignored:
        registry.ignored.append(ends)
        registry.version += 1
    return ends


def ignore_emitter(registry: Registry, emitter_id: int) -> tuple[float, float]:
    """Ignores the range in which an emitter was heard; of one that hops, each of its places, and nothing between them.

    Returns:
        Its lowest and highest frequency, Hz.

    Raises:
        ValueError: there is none of this number.
    """
    emitter = emitter_of(registry, emitter_id)
    if not emitter.hops_hz:
        return ignore(registry, *range_of(emitter))
    places = [ignore(registry, *place) for place in emitter.places()]
    return min(places)[0], max(places)[1]


def unignore(registry: Registry, low_hz: float, high_hz: float) -> list[tuple[float, float]]:
    """Ignored ranges that overlap this one alert again. Returns them.

    Raises:
        ValueError: it is no range, or no ignored one overlaps it; its text names those that there are.
    """
    low, high = _range(low_hz, high_hz)
    gone = [ends for ends in registry.ignored if ends[0] <= high and low <= ends[1]]
    if not gone:
        there = ", ".join(f"{a:.0f}:{b:.0f}" for a, b in registry.ignored) or "none"
        raise ValueError(f"no ignored range overlaps {low:.0f}:{high:.0f} Hz; ignored are {there}")
    registry.ignored = [ends for ends in registry.ignored if ends not in gone]
    registry.version += 1
    return gone


def range_of(emitter: Emitter) -> tuple[float, float]:
    """Lowest and highest frequency at which an emitter was heard, Hz."""
    first = emitter.profile_low_hz - 0.5 * emitter.profile_bin_hz
    stop = first + len(emitter.profile) * emitter.profile_bin_hz
    return (min(emitter.low_hz, first), max(emitter.high_hz, stop)) if emitter.profile.size else (emitter.low_hz, emitter.high_hz)


def _range(low_hz: float, high_hz: float) -> tuple[float, float]:
    try:
        low, high = float(low_hz), float(high_hz)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"the range {low_hz!r}:{high_hz!r} is not LOW:HIGH in Hz with LOW below HIGH")
    return low, high
