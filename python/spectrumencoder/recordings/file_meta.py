# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of GNU Radio's file_meta_sink: segments of samples with a header each, inline or detached in NAME.hdr.

A header is a dictionary (rate, time, type of the samples, its own size `strt` and that of the segment `bytes`), and a second one
with the tags that the stream had, such as rx_freq. A frequency or time that does not continue begins a capture.

GNU Radio 3.10 states for a segment that a tag began in the middle of another the time at which that other began, and counts on
from there. Such a time is not taken: a segment that states the time of the one before it continues that one.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .binary import MAX_HEADER_BYTES, MAX_TIME_S, Time, after_samples, file_size, pick_channel, rate_or_unknown, read_at
from .pmt_bytes import read_pmt
from .raw import FileRecording, SampleFile
from .recording import Capture, Recording, RecordingError
from .stated import difference_s

HEADER_SUFFIX = ".hdr"
_TYPES = ("i8", "i16_le", "i32_le", None, None, "f32_le", "f64_le")  # gr_file_types; the third and fourth are of 8 bytes
_FIRST_BYTES = 1024  # read of a header at first; more if it is longer
_UNSET = (0, 0.0)  # the time that the sink counts from if no tag states one
_KEYS = {"strt", "bytes", "rx_rate", "cplx", "type", "size"}


class _Segment(NamedTuple):
    """Samples with one header: the header, the stream's tags, the first byte of the samples and their bytes."""

    header: dict
    extra: dict
    byte_start: int
    n_bytes: int


def is_file_meta(path: Path, head: bytes) -> bool:
    """True if a file begins with a header of file_meta_sink."""
    try:
        return head[:1] == b"\x09" and read_pmt(head)[0].keys() >= _KEYS
    except ValueError:
        return False


def find_file_meta(path: Path) -> Path | None:
    """NAME.hdr of a path that is it or NAME, if it is a header of file_meta_sink; else None."""
    if path.is_dir():  # "." and "/" have no name
        return None
    for header in (path, path.with_name(path.name + HEADER_SUFFIX)):
        if header.suffix == HEADER_SUFFIX and header.is_file() and is_file_meta(header, read_at(header, 0, _FIRST_BYTES)):
            return header
    return None


def open_file_meta(path: Path, *, channel: int | None = None) -> Recording:
    """Opens a file with headers inline, or NAME.hdr.

    Raises:
        RecordingError: damaged, or NAME is missing beside NAME.hdr. RecordingArgumentError: channel is not 0.
    """
    pick_channel(path, channel, 1)
    notes: list[str] = []
    detached = path.suffix == HEADER_SUFFIX
    data_path = path.with_suffix("") if detached else path
    if detached and not data_path.is_file():
        raise RecordingError(f"{path}: its samples are missing; put {data_path.name} beside it")
    segments = _detached(path, file_size(data_path), notes) if detached else _inline(path, notes)
    starts, counts = array("q"), array("q")
    captures: list[Capture] = []
    first, sample = None, 0
    times = _Times()
    for segment in segments:
        rate = rate_or_unknown(_number(segment.header.get("rx_rate")))
        if first is None:
            first, rate_hz, datatype = segment, rate, _datatype(path, segment.header, notes)
            sample_bytes = SampleFile(data_path, datatype).stride_bytes
        elif rate != rate_hz:
            notes.append(f"the rate changes from {rate_hz:.10g} to {rate:.10g} Hz at sample {sample}; what is before is read")
            break
        elif any(segment.header.get(key) != first.header.get(key) for key in ("cplx", "type", "size")):
            raise RecordingError(f"{path}: the type of its samples changes at sample {sample}; the file is damaged")
        frequency = _number(segment.extra.get("rx_freq"))
        time, is_new = times.of(segment.header.get("rx_time"), sample, rate_hz)
        if not captures or is_new or frequency != captures[-1].frequency_hz:
            captures.append(Capture(sample, frequency, time))
        starts.append(segment.byte_start)
        counts.append(segment.n_bytes // sample_bytes)
        sample += counts[-1]
    if first is None:
        raise RecordingError(f"{path}: no segment with samples; it is empty or truncated")
    samples = SampleFile(data_path, datatype)
    samples.set_pieces(starts, counts)
    recording = FileRecording(data_path.stem, samples, rate_hz, captures, path=path)
    recording.origins |= {"samp_rate": "rx_rate", "datatype": "type", "channels": "file_meta_sink"}
    recording.origins |= {"frequency": "rx_freq"} if captures[0].frequency_hz is not None else {}
    recording.origins |= {"time": "rx_time"} if captures[0].time_parts is not None else {}
    recording.notes += notes
    return recording


class _Times:
    """Times of segments as the file states them -> those of their first samples."""

    def __init__(self):
        self._stated: Time | None = None  # of the segment before
        self._known: tuple[Time, int] | None = None  # the last time that a tag set, and its sample
        self._before = 0  # first sample of the segment before

    def of(self, value: Any, sample: int, rate: float) -> tuple[Time | None, bool]:
        """The time of a segment that begins at `sample`, and whether it does not continue those before it."""
        stated, last, before = _time(value), self._stated, self._before
        self._stated, self._before = stated, sample
        if stated is None:
            return None, False
        if last is not None and rate > 0:
            step = difference_s(stated, last)
            if step == 0 or abs(step - (sample - before) / rate) <= 0.5 / rate:
                return self._known and after_samples(self._known[0], sample - self._known[1], rate), False
        self._known = None if stated == _UNSET else (stated, sample)
        return self._known and stated, True


def _inline(path: Path, notes: list[str]) -> Iterator[_Segment]:
    position, size = 0, file_size(path)
    while position < size:
        try:
            header, extra, end = _read_headers(path, position)
        except ValueError as error:
            if position == 0:
                raise RecordingError(f"{path}: its first header is damaged ({error})") from error
            notes.append(f"no header at byte {position} ({error}): the recording was cut off; what is before is read")
            return
        if end > size:
            notes.append("the last header is cut off; what is before it is read")
            return
        yield from _segment(header, extra, end, size - end, notes)
        position = end + header["bytes"]


def _detached(path: Path, size: int, notes: list[str]) -> Iterator[_Segment]:
    position, start = 0, 0
    while position < file_size(path):
        try:
            header, extra, position = _read_headers(path, position)
        except ValueError as error:
            if position == 0:
                raise RecordingError(f"{path}: its first header is damaged ({error})") from error
            notes.append(f"no header at byte {position} of {path.name} ({error}): what is before is read")
            return
        yield from _segment(header, extra, start, size - start, notes)
        start += header["bytes"]
    if start < size:
        notes.append(f"{path.name} describes {start} of the {size} bytes of samples; those are read")


def _segment(header: dict, extra: dict, start: int, left: int, notes: list[str]) -> Iterator[_Segment]:
    """The segment, unless it is empty, as the last one of a stream often is."""
    if header["bytes"] > left:
        notes.append(f"the last segment states {header['bytes']} bytes, {max(0, left)} are there: the recording was cut off")
    if (n_bytes := min(header["bytes"], left)) > 0:
        yield _Segment(header, extra, start, n_bytes)


def _read_headers(path: Path, position: int) -> tuple[dict, dict, int]:
    """Both dictionaries at `position` and the byte behind them, which is that of `strt`.

    Raises:
        ValueError: they are not valid.
    """
    for n_bytes in (_FIRST_BYTES, 16 * _FIRST_BYTES, MAX_HEADER_BYTES):
        data = read_at(path, position, n_bytes)
        try:
            return _parse_headers(data, position)
        except ValueError:
            if len(data) < n_bytes or n_bytes == MAX_HEADER_BYTES:
                raise
    raise AssertionError("the last size raises")


def _parse_headers(data: bytes, position: int) -> tuple[dict, dict, int]:
    header, end = read_pmt(data)
    if not isinstance(header, dict) or not header.keys() >= _KEYS:
        raise ValueError("it is another thing")
    for key in ("strt", "bytes", "type", "size"):
        if isinstance(header[key], bool) or not isinstance(header[key], int) or header[key] < 0:
            raise ValueError(f"{key} is {str(header[key])[:40]}")
    if header["strt"] < end:
        raise ValueError(f"strt is {header['strt']}, its header has {end} bytes")
    extra: Any = {}
    if header["strt"] > end:
        extra, _ = read_pmt(data[:header["strt"]], end)
    return header, extra if isinstance(extra, dict) else {}, position + header["strt"]


def _datatype(path: Path, header: dict, notes: list[str]) -> str:
    kind = _TYPES[header["type"]] if header["type"] < len(_TYPES) else None
    if kind is None:
        raise RecordingError(f"{path}: samples of type {header['type']} (gr_file_types) are not read; byte, short, int, float "
                             "and double are")
    name = ("c" if header["cplx"] is True else "r") + kind
    sample_bytes = int(kind[1:].removesuffix("_le")) // 8 * (2 if header["cplx"] is True else 1)
    if header["size"] % sample_bytes or not header["size"]:
        raise RecordingError(f"{path}: items of {header['size']} bytes are no {name}; the file is damaged")
    if header["size"] > sample_bytes:
        notes.append(f"items are vectors of {header['size'] // sample_bytes} samples; these are read one after the other")
    return name


def _number(value: Any) -> float | None:
    """A number, or the first one of several: sources of several channels state a frequency for each."""
    if isinstance(value, (list, tuple, np.ndarray)) and len(value):
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)) or not math.isfinite(value):
        return None
    return float(value)


def _time(value: Any) -> Time | None:
    """rx_time; None if it is no time."""
    if not isinstance(value, tuple) or len(value) != 2 or not isinstance(value[0], int) or not isinstance(value[1], float):
        return None
    return (value[0], value[1]) if 0 <= value[0] < MAX_TIME_S and 0 <= value[1] < 1 else None
