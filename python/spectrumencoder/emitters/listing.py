# SPDX-License-Identifier: GPL-3.0-or-later
"""Emitters for people and programs: rows of plain values, lines of a table, a line for an alert."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from .. import keys
from .band_file import BandFile
from .emitter import Emitter
from .parts import shown, whole_of
from .registry import Registry

MAX_LINES = 20
_UNKNOWN = "unknown signal"
_RELATIVE = " from the centre"


def describe(emitter: Emitter, parts: Iterable[Emitter] = ()) -> dict[str, Any]:
    """An emitter as messages and ``band show --json`` have it: keys of the vocabulary, values as JSON takes them.

    Args:
        parts: other steady emitters that are parts of this one.
    """
    place = emitter.center_hz.mean, emitter.bandwidth_hz, emitter.power_dbfs, emitter.level_db.mean
    center_hz, bandwidth_hz, power_dbfs, snr_db = shown(emitter, parts) if emitter.steady else place
    row = {
        keys.EMITTER_ID: emitter.id, keys.EMITTER_NAME: emitter.name, keys.FREQ_CENTER_HZ: center_hz,
        keys.BANDWIDTH_HZ: bandwidth_hz, keys.POWER_DBFS: power_dbfs, keys.SNR_DB: snr_db,
        keys.BURSTS: emitter.count, keys.FIRST_HEARD: emitter.first_s, keys.LAST_HEARD: emitter.last_s,
        keys.LABEL: emitter.label, keys.CONFIDENCE: emitter.confidence, keys.BELONGS: emitter.belongs,
        keys.ACCEPTED: emitter.accepted, keys.STEADY: emitter.steady, keys.GONE: emitter.gone,
        keys.HOP_SET_HZ: list(emitter.hops_hz)}
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}


def rows_of(registry: Registry, every: bool = False, only: Iterable[Emitter] | None = None) -> list[dict[str, Any]]:
    """The emitters as ``describe`` has them. Those that are parts of a steady one are left out, unless every one is asked for.

    Args:
        only: of these; None: of all.
    """
    emitters = registry.emitters
    parts: dict[int, list[Emitter]] = {}
    for emitter in emitters.values():
        if emitter.steady and whole_of(emitter, emitters) is not None:
            parts.setdefault(emitter.part_of, []).append(emitter)
    return [describe(emitter, parts.get(emitter.id, ())) for emitter in (emitters.values() if only is None else only)
            if every or whole_of(emitter, emitters) is None]


def about(band: BandFile) -> dict[str, Any]:
    """The content of a band file without its emitters, as JSON takes it."""
    return {"model": band.model, "window": band.window, "fft_size": band.fft_size, "learned_s": band.learned_s,
            "complete": band.complete, "created_s": band.created_s, "updated_s": band.updated_s,
            keys.IGNORED: [list(ends) for ends in band.registry.ignored],
            "tunings": [{"freq_hz": t.freq_hz, "samp_rate": t.samp_rate, "frame_hop": t.frame_hop, "average": t.average,
                         "overlap": round(t.overlap, 6), "frames": t.frames} for t in band.tunings]}


def table(rows: Iterable[Mapping[str, Any]], limit: int | None = MAX_LINES) -> list[str]:
    """Rows of ``describe`` as lines, a head first; if there are more than ``limit``, the steady and the often heard ones.

    If no row has a number, there is no column for it. Frequencies that all count from the centre say so in the head."""
    ordered = sorted(rows, key=lambda row: row[keys.FREQ_CENTER_HZ])
    chosen = ordered
    if limit is not None and len(ordered) > limit:
        often = sorted(ordered, key=lambda row: (not row[keys.STEADY], -row[keys.BURSTS]))[:limit]
        chosen = [row for row in ordered if row in often]
    numbered = any(row[keys.EMITTER_ID] is not None for row in chosen)  # none has its number while the band is learned
    offsets = bool(chosen) and all(row.get(keys.FREQ_RELATIVE) for row in chosen)
    places = [frequency(row).removesuffix(_RELATIVE if offsets else "") for row in chosen]
    head = "from the centre" if offsets else "frequency"
    size = max(14, len(head), *map(len, places)) if places else 14
    lines = [f"{'id':>4}  " * numbered + f"{head:>{size}}  {'width':>9}  {'level':>10}  {'SNR':>6}  {'bursts':>6}  label"]
    for row, place in zip(chosen, places, strict=True):
        level = "-" if row[keys.POWER_DBFS] is None else f"{row[keys.POWER_DBFS]:.1f} dBFS"
        snr = f"{row[keys.SNR_DB] or 0.0:.0f} dB"
        number = f"{'-' if row[keys.EMITTER_ID] is None else row[keys.EMITTER_ID]:>4}  " * numbered
        lines.append(f"{number}{place:>{size}}  {width(row[keys.BANDWIDTH_HZ]):>9}  {level:>10}  {snr:>6}  "
                     f"{row[keys.BURSTS]:>6}  {what(row)}{_marks(row)}".rstrip())
    if len(chosen) < len(ordered):
        lines.append(f"      and {len(ordered) - len(chosen)} more")
    if numbered and any(row[keys.EMITTER_ID] is None for row in chosen):
        lines.append("   -: has a number once the band is learned")
    return lines


def alert_line(event: Mapping[str, Any]) -> str:
    """An alert on one line: time (UTC), kind, frequency, width, level, label, emitter."""
    parts = [utc(event.get(keys.TIMESTAMP)), str(event.get(keys.ALERT))]
    if event.get(keys.FREQ_CENTER_HZ) is not None:
        parts.append(frequency(event))
    if event.get(keys.BANDWIDTH_HZ) is not None:
        parts.append(width(event[keys.BANDWIDTH_HZ]))
    if event.get(keys.POWER_DBFS) is not None:
        parts.append(f"{event[keys.POWER_DBFS]:.1f} dBFS")
    parts.append(what(event))
    if event.get(keys.EMITTER_ID) is not None:
        parts.append(f"emitter {event[keys.EMITTER_ID]}")
    return "  ".join(parts)


def frequency(row: Mapping[str, Any]) -> str:
    """The centre of an event or emitter with its unit: "433.9200 MHz"; "+300.0 kHz from the centre" if that is not known."""
    hz = row[keys.FREQ_CENTER_HZ]
    return f"{hz / 1e3:+.1f} kHz{_RELATIVE}" if row.get(keys.FREQ_RELATIVE) else f"{hz / 1e6:.4f} MHz"


def what(row: Mapping[str, Any]) -> str:
    """The name that the operator gave, else the class, else "unknown signal"."""
    return str(row.get(keys.EMITTER_NAME) or row.get(keys.LABEL) or _UNKNOWN)


def count(number: int, what: str) -> str:
    """A number and what it counts: "1 emitter", "2 emitters"."""
    return f"{number} {what}{'s' * (number != 1)}"


def plain(value: float, digits: int = 3) -> str:
    """A number with so many digits at least, and never an exponent if it is large: "0.524", "2364"."""
    return f"{value:.{digits}g}" if abs(value) < 10.0 ** digits - 0.5 else f"{value:.0f}"


def width(bandwidth_hz: float) -> str:
    """A bandwidth with its unit."""
    for factor, unit in ((1e6, "MHz"), (1e3, "kHz")):
        if bandwidth_hz >= 0.9995 * factor:  # what three digits round to it
            return f"{bandwidth_hz / factor:.3g} {unit}"
    return f"{bandwidth_hz:.3g} Hz"


def _marks(row: Mapping[str, Any]) -> str:
    marks = [text for key, text in ((keys.STEADY, "steady"), (keys.GONE, "gone"), (keys.ACCEPTED, "accepted")) if row[key]]
    if not row[keys.BELONGS]:
        marks.append("new")
    return f"  ({', '.join(marks)})" if marks else ""


def utc(timestamp: float | None) -> str:
    """POSIX seconds as ISO 8601, to the millisecond; "-" for None."""
    return "-" if timestamp is None else f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
