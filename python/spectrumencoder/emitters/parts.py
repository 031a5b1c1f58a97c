# SPDX-License-Identifier: GPL-3.0-or-later
"""Which emitters are parts of a steady one: what comes and goes at the skirts of a wide signal, and what another tuning shows.

A part stays in the registry with all that it may show. A list has one row for the whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from .emitter import Emitter

_WIDE_BINS = 8  # from which on the power of a steady signal moves within its band
_SKIRT = 0.5  # of its width, beyond each edge
_BORDER_BINS, _CUT_OFF = 3.0, 0.25  # from the border of a tuning, and share of the width that it may cut off
_STRONGER_DB = 3.0  # than the whole that a part may seem: the background of what moves is a low quantile
_OUTSIDE = 0.005  # share of the power on either side of the occupied band (99 %, ITU-R SM.328)


class Piece(NamedTuple):
    """A steady emitter as one tuning shows it: the number of that tuning, its edges and a bin in Hz.

    Attributes:
        cut_low, cut_high: whether the end of the tuning's usable band cuts it there.
    """

    emitter: Emitter
    tuning: int
    low_hz: float
    high_hz: float
    bin_hz: float
    cut_low: bool
    cut_high: bool

    @property
    def width_hz(self) -> float:
        return self.high_hz - self.low_hz


def parts_of(pieces: Iterable[Piece], others: Iterable[Emitter]) -> list[tuple[Emitter, Emitter]]:
    """Each emitter that is a part of another one, and that one.

    Args:
        pieces: the steady emitters. others: emitters that may be at the skirts of those; steady ones among them do not count.
    """
    groups: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda p: p.low_hz):
        group = next((g for g in groups if any(_are_one(one, piece) for one in g)), None)
        if group is None:
            groups.append([piece])
        else:
            group.append(piece)
    found, wholes = [], []
    for group in groups:
        main = max(group, key=lambda p: (_is_decided(p.emitter), not (p.cut_low or p.cut_high), p.width_hz)).emitter
        members = {id(p.emitter): p.emitter for p in group if p.emitter is not main and not _is_decided(p.emitter)}
        found += [(member, main) for member in members.values()]
        low, high = min(p.low_hz for p in group), max(p.high_hz for p in group)
        if high - low >= _WIDE_BINS * group[0].bin_hz:
            wholes.append((main, low, high, shown(main, list(members.values()))[2]))
    for emitter in others:
        if emitter.steady or _is_decided(emitter):
            continue
        near = [(abs(emitter.center_hz.mean - 0.5 * (low + high)), n) for n, (_, low, high, power) in enumerate(wholes)
                if _is_skirt(emitter, low, high) and emitter.power_dbfs < power + _STRONGER_DB]
        if near:
            found.append((emitter, wholes[min(near)[1]][0]))
    return found


def mark(pieces: Iterable[Piece], emitters: dict[int, Emitter]):
    """States in each emitter what it is a part of, as ``parts_of`` finds it now."""
    for emitter in emitters.values():
        emitter.part_of = 0
    for part, whole in parts_of(pieces, emitters.values()):
        part.part_of = whole.id


def _is_decided(emitter: Emitter) -> bool:
    """Whether it stands for itself: a person has named or accepted it, or it hops."""
    return bool(emitter.name or emitter.accepted or emitter.hops_hz)


def _are_one(one: Piece, other: Piece) -> bool:
    """Whether two pieces, the first of which begins lower, are of one signal. Within a tuning a gap parts two."""
    if one.tuning == other.tuning or one.emitter is other.emitter:
        return one.emitter is other.emitter
    gap = other.low_hz - one.high_hz
    if gap < 0.0:
        return True
    reach = max(_BORDER_BINS * one.bin_hz, _CUT_OFF * max(one.width_hz, other.width_hz))
    return (one.cut_high or other.cut_low) and gap < reach


def _is_skirt(emitter: Emitter, low_hz: float, high_hz: float) -> bool:
    """Whether an emitter lies within a wide signal, or beside it at most."""
    reach = _SKIRT * (high_hz - low_hz)
    return low_hz - reach <= emitter.low_hz and emitter.high_hz <= high_hz + reach


def shown(whole: Emitter, parts: Iterable[Emitter] = ()) -> tuple[float, float, float, float]:
    """Centre and width of the occupied band (Hz), power in it (dBFS) and SNR (dB) of a steady emitter with its steady parts."""
    center, width, power, snr = whole.center_hz.mean, whole.bandwidth_hz, whole.power_dbfs, whole.level_db.mean
    over = np.maximum(whole.profile.astype(np.float64) - 1.0, 0.0)
    if not over.size or not over.max() > 0.0 or not math.isfinite(power):
        return center, width, power, snr
    noise_db, low_hz, bin_hz = power - 10.0 * math.log10(over.max()), whole.profile_low_hz, whole.profile_bin_hz
    for part in parts:
        if abs(part.profile_bin_hz / bin_hz - 1.0) < 1e-6 and part.profile.size:
            shift = round((part.profile_low_hz - low_hz) / bin_hz)
            joined = np.zeros(max(shift + len(part.profile), len(over)) - min(shift, 0))
            joined[max(-shift, 0):max(-shift, 0) + len(over)] = over
            own = slice(max(shift, 0), max(shift, 0) + len(part.profile))
            np.maximum(joined[own], part.profile - 1.0, out=joined[own])
            over, low_hz = joined, low_hz + min(shift, 0) * bin_hz
    power = noise_db + 10.0 * math.log10(float(over.sum()))
    if len(over) < _WIDE_BINS:
        return center, width, power, snr
    energy = np.cumsum(over)
    low = int(np.searchsorted(energy, _OUTSIDE * energy[-1]))
    high = int(np.searchsorted(energy, (1.0 - _OUTSIDE) * energy[-1]))
    return (low_hz + 0.5 * (low + high) * bin_hz, (high - low + 1) * bin_hz, power,
            10.0 * math.log10(max(float(over[low:high + 1].mean()), 1e-3)))


def whole_of(emitter: Emitter, emitters: dict[int, Any]) -> Emitter | None:
    """The emitter that this one is a part of; None if it is none."""
    whole = emitters.get(emitter.part_of) if emitter.part_of else None
    return None if whole is None or whole.part_of else whole
