# SPDX-License-Identifier: GPL-3.0-or-later
"""Frequency and time in WAV files: the `auxi` chunk, and the `kiwi` chunks of a KiwiSDR.

`auxi` is a record of SpectraVue that HDSDR, SDR# and SDRuno write: start and stop as SYSTEMTIME (eight 16 bit words, UTC), then
the centre frequency in Hz in 32 bits. SDR Console writes XML there instead, in UTF-16 or UTF-8, which has all its bits.
"""

from __future__ import annotations

import math
import re
import struct
from array import array
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from .binary import Time, utc_parts
from .names import parse_name
from .recording import Capture
from .stated import difference_s

_ATTRIBUTE = re.compile(r'\b(\w+)\s*=\s*"([^"]*)"')
_NAME_STEP_HZ = 1000.0  # HDSDR's names are in kHz
_GPS_EPOCH_S, _WEEK_S = 315964800, 604800  # 1980-01-06 since 1970
_LEAP_SECONDS = ((1483228800, 18), (1435708800, 17), (1341100800, 16), (0, 15))  # GPS - UTC, since 2017, 2015, 2012, 2009


@dataclass
class Auxi:
    """Frequency in Hz and time of the first sample; None: not stated. Where each came from, and notes for the user."""

    frequency_hz: float | None = None
    time: Time | None = None
    frequency_origin: str = "auxi chunk"
    time_origin: str = "auxi chunk"
    notes: list[str] = field(default_factory=list)

    def origins(self) -> dict[str, str]:
        known = {} if self.frequency_hz is None else {"frequency": self.frequency_origin}
        return known if self.time is None and self.time_origin == "auxi chunk" else {**known, "time": self.time_origin}


def read_auxi(path: Path, body: bytes) -> Auxi:
    """The `auxi` chunk of a file, whose name is looked at for a frequency beyond 32 bits."""
    text = _xml(body)
    if text is not None:
        return _read_xml(text)
    auxi = Auxi()
    if len(body) < 36:
        return auxi
    auxi.time = _system_time(body[:16])
    hz = struct.unpack_from("<I", body, 32)[0]
    if hz:
        auxi.frequency_hz = float(hz)
        named = parse_name(path).freq or 0.0
        wraps = round((named - hz) / 2**32)
        if wraps > 0 and abs(named - hz - wraps * 2**32) < _NAME_STEP_HZ:
            auxi.frequency_hz, auxi.frequency_origin = float(hz + wraps * 2**32), "auxi chunk and name"
            auxi.notes.append(f"the auxi chunk states {hz} Hz, all that 32 bits hold of the name's {named:.0f} Hz")
    return auxi


def _xml(body: bytes) -> str | None:
    """The text of an `auxi` chunk that holds XML."""
    wide = b"\0" in body[:4]
    text = body[:65536].decode("utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-16-le" if wide else "utf-8", "ignore")
    return text if text.lstrip("\ufeff \r\n").startswith("<") else None


def _read_xml(text: str) -> Auxi:
    """Attributes of SDR Console's Definition element. No parser of XML: there is nothing in it but attributes."""
    known = {key.lower(): value.strip() for key, value in _ATTRIBUTE.findall(text)}
    auxi = Auxi()
    try:
        hz = float(known.get("radiocenterfreq", "nan"))
        auxi.frequency_hz = hz if math.isfinite(hz) else None
    except ValueError:
        auxi.notes.append(f"the auxi chunk's RadioCenterFreq {known['radiocenterfreq'][:40]!r} is not a number")
    for key in ("currenttimeutc", "utc"):
        for layout in ("%d-%m-%Y %H:%M:%S", "%d-%m-%Y %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"):
            try:
                auxi.time = auxi.time or utc_parts(datetime.strptime(known.get(key, ""), layout))
            except (ValueError, OverflowError):
                continue
    if auxi.time is None and known.get("utcseconds", "").isdigit() and len(known["utcseconds"]) < 12:
        auxi.time = (int(known["utcseconds"]), 0.0)
    return auxi


def _system_time(words: bytes) -> Time | None:
    """SYSTEMTIME: year, month, day of the week, day, hour, minute, second, millisecond."""
    year, month, _, day, hour, minute, second, milli = struct.unpack("<8H", words)
    try:
        return utc_parts(datetime(year, month, day, hour, minute, second, milli * 1000)) if year >= 1970 else None
    except (ValueError, OverflowError):
        return None


def kiwi_captures(path: Path, bodies: list[bytes], counts: array, rate: float, notes: list[str]) -> tuple[list[Capture], str]:
    """A capture at each loss of samples, by the GPS times of the `kiwi` chunks, and where their times come from.

    The chunks state seconds in the GPS week. The week is the one nearest to the date in the file's name, as kiwirecorder gives
    it. Without it captures have no time.

    Args:
        bodies: of the kiwi chunks: age of the last GPS solution and 0 (a byte each), seconds and nanoseconds (32 bits each).
        counts: samples of the data chunk behind each.
        notes: takes what the user should know.
    """
    named = parse_name(path).start
    captures: list[Capture] = []
    first, before, lost_s = 0, None, 0.0
    for body, count in zip(bodies, counts, strict=True):
        now = _gps_time(body, named)
        step = 0.0 if now is None or before is None or not rate else difference_s(now, before[0]) - before[1] / rate
        if now is not None and step < -_WEEK_S / 2:
            step += _WEEK_S
        if not captures or (now is not None and rate and (before is None or abs(step) > 0.5 * before[1] / rate)):
            captures.append(Capture(first, None, now if named is not None else None))
            lost_s += step
        if now is not None:
            before = (now, count)
        elif before is not None:
            before = (before[0], before[1] + count)
        first += count
    if before is None:
        notes.append("the KiwiSDR had no GPS solution; times are not known, gaps cannot be seen")
        return [Capture(0)], "unknown"
    if named is None:
        notes.append("the kiwi chunks state seconds of a GPS week, and the name has no date for it; give --start")
    if len(captures) > 1:
        notes.append(f"{len(captures) - 1} gaps in the GPS times of the kiwi chunks, {lost_s:.3f} s in all; a capture after each")
    return captures, "kiwi chunk" if named is None else "kiwi chunk, week by the name"


def _gps_time(body: bytes, named: Time | None) -> Time | None:
    """UTC of a `kiwi` chunk; in a week of its own if `named` is None. None: there was no GPS solution."""
    if len(body) < 10:
        return None
    seconds, nanoseconds = struct.unpack_from("<II", body, 2)
    if (seconds, nanoseconds) == (0, 0) or seconds >= _WEEK_S or nanoseconds >= 10**9:
        return None
    if named is None:
        return seconds, nanoseconds / 1e9
    leap = next(leap for since, leap in _LEAP_SECONDS if named[0] >= since)
    first = _GPS_EPOCH_S + seconds - leap
    return first + round((named[0] - first) / _WEEK_S) * _WEEK_S, nanoseconds / 1e9
