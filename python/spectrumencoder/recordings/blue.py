# SPDX-License-Identifier: GPL-3.0-or-later
"""X-Midas and Platinum BLUE files, type 1000: a header of 512 bytes, samples at a constant rate, keywords.

The samples lie behind the header, or in NAME.det if the header says that they are detached. Header and samples may each be little
(EEEI) or big endian (IEEE). Frequencies in Hz are keywords: FREQUENCY_KEYWORDS, in this order, in the extended header and then in
the main one. The time is the header's time code, in seconds since 1950, plus its xstart.

Files of type 2000 hold frames. Frames that follow each other without a gap are samples; others, such as spectra, are refused.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

from .binary import MAX_HEADER_BYTES, MAX_TIME_S, Time, file_size, pick_channel, rate_or_unknown, read_at
from .raw import FileRecording, SampleFile
from .recording import Capture, Recording, RecordingError
from .stated import add_seconds

FREQUENCY_KEYWORDS = ("CHAN_RF", "RF_FREQ", "RFFREQ", "COL_RF", "CENTER_FREQ", "FREQUENCY", "FREQ")
_ENDIAN = {b"EEEI": "<", b"IEEE": ">"}
_HEADER_BYTES = 512
_1950_S = 631152000  # from 1950 to 1970
_TYPES = {"B": "i8", "I": "i16", "L": "i32", "F": "f32", "D": "f64", "O": "u8", "U": "u16", "V": "u32"}
_KEYWORD_TYPES = {"B": "b", "I": "h", "L": "i", "X": "q", "F": "f", "D": "d", "U": "H", "V": "I"}
_UNITS_OF_TIME = (0, 1)  # of the abscissa: none stated, seconds


def is_blue(path: Path, head: bytes) -> bool:
    """True if a file that begins with `head` is BLUE."""
    return head[:4] == b"BLUE" and head[4:8] in _ENDIAN


def open_blue(path: Path, *, channel: int | None = None) -> Recording:
    """Opens a BLUE file.

    Raises:
        RecordingError: damaged, or no samples in time. RecordingArgumentError: channel is not 0.
    """
    pick_channel(path, channel, 1)
    head = read_at(path, 0, _HEADER_BYTES)
    if not is_blue(path, head) or len(head) < _HEADER_BYTES:
        raise RecordingError(f"{path}: is not BLUE, or its header of {_HEADER_BYTES} bytes is cut off")
    end = _ENDIAN[head[4:8]]
    detached, = struct.unpack_from(end + "i", head, 12)
    data_start, data_size, kind = struct.unpack_from(end + "ddi", head, 32)
    timecode, = struct.unpack_from(end + "d", head, 56)
    xstart, xdelta, xunits = struct.unpack_from(end + "ddi", head, 256)
    _check_kind(path, kind, xunits, xdelta, struct.unpack_from(end + "idd", head, 276))
    data_path = path.with_suffix(".det") if detached else path
    if not data_path.is_file():
        raise RecordingError(f"{path}: its samples are missing; put {data_path.name} beside it")
    samples, notes = _samples(data_path, _datatype(path, head), data_start, data_size)
    keywords = _keywords(path, head, end)
    key, frequency = next(((key, value) for key in FREQUENCY_KEYWORDS if (value := _number(keywords.get(key))) is not None),
                          ("", None))
    time = _time(timecode, xstart, _number(keywords.get("TC_PREC")) or 0.0)
    rate = rate_or_unknown(1.0 / xdelta if xdelta > 1e-15 else None)
    rate = round(rate) if abs(rate - round(rate)) < 1e-9 * rate else rate  # 1 / (1 / 2.4e6) is not 2.4e6
    recording = FileRecording(path.stem, samples, rate, [Capture(0, frequency, time)], path=path)
    recording.origins |= {"datatype": "header", "channels": "header"} | ({"samp_rate": "xdelta"} if rate else {})
    recording.origins |= {} if time is None else {"time": "timecode"}
    recording.origins |= {} if frequency is None else {"frequency": f"keyword {key}"}
    recording.notes += notes
    return recording


def _check_kind(path: Path, kind: int, xunits: int, xdelta: float, frames: tuple[int, float, float]) -> None:
    """Raises RecordingError if the samples do not follow each other in time."""
    subsize, _, ydelta = frames
    if kind // 1000 not in (1, 2):
        raise RecordingError(f"{path}: BLUE of type {kind} holds no samples in time; types 1000 and 2000 are read")
    if kind // 1000 == 2 and not (subsize > 0 and math.isfinite(ydelta) and abs(ydelta - subsize * xdelta) <= 1e-6 * abs(ydelta)):
        raise RecordingError(f"{path}: BLUE of type {kind} with frames of {subsize} values each {ydelta:g} s, which do not "
                             "follow each other in time; samples without gaps are read")
    if xunits not in _UNITS_OF_TIME:
        raise RecordingError(f"{path}: its abscissa has unit {xunits}, not time (1); samples in time are read")


def _datatype(path: Path, head: bytes) -> str:
    mode, kind = chr(head[52]), chr(head[53])
    if mode not in "SC" or kind not in _TYPES:
        raise RecordingError(f"{path}: format {mode + kind!r} is not read; S (real) and C (complex) with B, I, L, F, D, O, U "
                             "or V are")
    if head[8:12] not in _ENDIAN:
        raise RecordingError(f"{path}: samples in the representation {head[8:12]!r} are not read; EEEI and IEEE are")
    order = "" if _TYPES[kind].endswith("8") else "_le" if head[8:12] == b"EEEI" else "_be"
    return ("c" if mode == "C" else "r") + _TYPES[kind] + order


def _samples(path: Path, datatype: str, start: float, n_bytes: float) -> tuple[SampleFile, list[str]]:
    """The samples, and notes. start, n_bytes: as the header states them, where both are doubles."""
    size = file_size(path)
    if not 0 <= start < size:
        raise RecordingError(f"{path}: its samples begin at byte {start:.12g} of {size}; the file is truncated or damaged")
    left = size - int(start)
    if not math.isfinite(n_bytes) or n_bytes <= 0:
        return SampleFile(path, datatype, byte_start=int(start)), ["the header states no size of the data; it is read to the end"]
    notes = [f"the header states {n_bytes:.12g} bytes, {left} are there: the recording was cut off"] if n_bytes > left else []
    return SampleFile(path, datatype, byte_start=int(start), byte_stop=int(start) + int(min(n_bytes, left))), notes


def _time(timecode: float, xstart: float, precision: float) -> Time | None:
    """Time code, in seconds since 1950, and what is added to it -> time since 1970; 0 is none."""
    if not _1950_S <= timecode < MAX_TIME_S or not abs(xstart) < timecode - _1950_S + 1 or not abs(precision) < 1.0:
        return None
    return add_seconds(add_seconds((int(timecode) - _1950_S, timecode % 1.0), xstart), precision)


def _keywords(path: Path, head: bytes, end: str) -> dict[str, Any]:
    """Keywords of the main and of the extended header; the extended one goes before."""
    n_bytes, = struct.unpack_from(end + "i", head, 160)
    found: dict[str, Any] = {}
    for text in head[164:164 + max(0, min(n_bytes, 92))].split(b"\0"):
        key, is_one, value = text.decode("ascii", "replace").partition("=")
        if is_one:
            found[key.strip().upper()] = value.strip()
    start, size = struct.unpack_from(end + "ii", head, 24)
    if start > 0 and size > 0:
        found.update(_extended(read_at(path, start * _HEADER_BYTES, min(size, MAX_HEADER_BYTES)), end))
    return found


def _extended(data: bytes, end: str) -> dict[str, Any]:
    """Keywords of the extended header: length of all, of all but the value, of the name; type; value; name; padding."""
    found: dict[str, Any] = {}
    at = 0
    while at + 8 <= len(data):
        length, rest, n_name, kind = struct.unpack_from(end + "ihbc", data, at)
        n_value = length - rest
        if length < 8 or n_value < 0 or n_name < 0 or at + length > len(data):
            break
        value = data[at + 8:at + 8 + n_value]
        name = data[at + 8 + n_value:at + 8 + n_value + n_name].decode("ascii", "replace").strip("\0 ").upper()
        code = _KEYWORD_TYPES.get(kind.decode("ascii", "replace"))
        if kind == b"A":
            found.setdefault(name, value.decode("ascii", "replace").strip("\0 "))
        elif code is not None and len(value) >= struct.calcsize(end + code):
            found.setdefault(name, struct.unpack_from(end + code, value)[0])
        at += length
    return found


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
