# SPDX-License-Identifier: GPL-3.0-or-later
"""VITA-49 (VRT) packets of signal data in a pcap or pcapng file, or one behind the other (ANSI/VITA 49.0, 49.2).

Each stream with data is a channel, in the order in which they appear. Context packets of the stream state rate, frequency and
payload format; the first one also counts for the packets before it. The frequency is the RF reference plus its offset, less the
IF reference. Lost packets, which the count of 4 bits or the times show, and changes of frequency begin captures.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .binary import Time, pick_channel, rate_or_unknown
from .packet_files import Datagram, datagrams, is_capture
from .raw import FileRecording, SampleFile
from .recording import Capture, Recording, RecordingError
from .vita49_packets import (
    CONTEXT,
    DATA,
    GPS,
    PICOSECONDS,
    SAMPLE_COUNT,
    UTC,
    Packet,
    datatype_of,
    parse_context,
    parse_packet,
    raw_packets,
)

_ASSUMED = "ci16_be"
_GPS_S = 315964800 - 18  # from 1980-01-06 to 1970, less the leap seconds since 2017
_MAX_STREAMS = 1024
_MIN_PACKETS = 3  # one behind the other, before a file of any name is taken for VITA-49


class _Stream:
    """What is kept of a stream: of each data packet where its samples lie, its count and its time; of contexts what changed."""

    def __init__(self):
        self.starts, self.sizes, self.counts = array("q"), array("q"), array("b")
        self.whole, self.fraction = array("q"), array("Q")
        self.kinds: set[tuple[int, int]] = set()
        self.contexts: list[tuple[int, dict]] = []  # before which data packet

    def add(self, packet: Packet, start: int) -> None:
        self.starts.append(start)
        self.sizes.append(packet.n_bytes)
        self.counts.append(packet.number)
        self.whole.append(packet.whole)
        self.fraction.append(packet.fraction)
        if len(self.kinds) < 4:
            self.kinds.add((packet.whole_kind, packet.fraction_kind))

    def add_context(self, values: dict) -> None:
        last = self.contexts[-1][1] if self.contexts else {}
        if (merged := {**last, **values}) != last:
            self.contexts.append((len(self.starts), merged))


def is_vita49(path: Path, head: bytes) -> bool:
    """True if a file is a pcap or pcapng file, or begins with packets of one stream whose counts follow each other."""
    if is_capture(head):
        return True
    if len(head) < 8 or (head[:4] != b"VRLP" and head[0] >> 4 > CONTEXT[-1]):
        return False
    counts: dict[tuple[int, bool], list[int]] = {}
    for _, datagram in zip(range(4 * _MIN_PACKETS), _readable(path), strict=False):
        packet = parse_packet(datagram.head, datagram.n_bytes)
        if packet is None or packet.kind not in (*DATA, *CONTEXT):
            return False
        counts.setdefault((packet.stream, packet.kind in DATA), []).append(packet.number)
    return len(counts) <= 4 and any(is_data and len(of_one) >= _MIN_PACKETS and (np.diff(of_one) % 16 == 1).all()
                                    for (_, is_data), of_one in counts.items())


def open_vita49(path: Path, *, channel: int | None = None) -> Recording:
    """Opens a file of VITA-49 packets. channel: the stream, counted from 0.

    Raises:
        RecordingError: no packets of signal data, or of a kind that is not read. RecordingArgumentError: no such stream.
    """
    streams = _read_streams(path)
    if not streams:
        raise RecordingError(f"{path}: no VITA-49 packet with signal data in it; other traffic holds no samples")
    channel = pick_channel(path, channel, len(streams))
    identifier, stream = list(streams.items())[channel]
    notes: list[str] = []
    datatype, datatype_origin = _datatype(path, stream, notes)
    samples = SampleFile(path, datatype)
    counts = np.frombuffer(stream.sizes, np.int64) // samples.stride_bytes
    rate, rate_origin = _rate(stream, counts)
    times = _Times(stream, rate)
    n_packets = _before_another_rate(stream, rate, notes) if rate_origin == "context" else len(counts)
    counts = counts[:n_packets]
    captures = _captures(stream, counts, times, rate, notes)
    samples.set_pieces(np.frombuffer(stream.starts, np.int64)[:n_packets], counts)
    recording = FileRecording(path.stem, samples, rate, captures)
    recording.n_channels, recording.channel = len(streams), channel
    recording.origins |= {"datatype": datatype_origin, "channels": f"stream 0x{identifier:08x}"}
    recording.origins |= {"samp_rate": rate_origin} if rate else {}
    recording.origins |= {"frequency": "context"} if captures[0].frequency_hz is not None else {}
    recording.origins |= {"time": "timestamp"} if captures[0].time_parts is not None else {}
    recording.notes += notes
    return recording


def _readable(path: Path) -> Iterator[Datagram]:
    try:
        yield from raw_packets(path)
    except RecordingError:  # the reader says it in its own words
        return


def _read_streams(path: Path) -> dict[int, _Stream]:
    """Streams that have data, by their identifiers."""
    try:
        with path.open("rb") as file:
            head = file.read(24)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
    streams: dict[int, _Stream] = {}
    for datagram in datagrams(path) if is_capture(head) else raw_packets(path):
        packet = parse_packet(datagram.head, datagram.n_bytes)
        if packet is None or packet.kind not in (*DATA, *CONTEXT):
            continue
        if packet.stream not in streams and len(streams) < _MAX_STREAMS:
            streams[packet.stream] = _Stream()
        if (stream := streams.get(packet.stream)) is None:
            continue
        if packet.kind in CONTEXT:
            stream.add_context(parse_context(datagram.head, packet))
        elif not packet.spectral and packet.n_bytes:
            stream.add(packet, datagram.byte_start + packet.body)
    return {identifier: stream for identifier, stream in streams.items() if len(stream.starts)}


def _datatype(path: Path, stream: _Stream, notes: list[str]) -> tuple[str, str]:
    """The data type of the payloads, and where it is from."""
    stated = next((values["format"] for _, values in stream.contexts if "format" in values), None)
    if stated is None:
        notes.append(f"no context packet states the payload format; {_ASSUMED} (16 bit I and Q, big endian) is assumed")
        return _ASSUMED, "assumed"
    datatype = datatype_of(stated)
    if datatype is None:
        raise RecordingError(f"{path}: payload format 0x{stated:016x} is not read; real and Cartesian numbers of 8, 16 "
                             "and 32 bits and floats are, if they are not packed")
    return datatype, "context"


def _rate(stream: _Stream, counts: np.ndarray) -> tuple[float, str]:
    """The sample rate in Hz that contexts state, or that times in picoseconds show; 0.0 if neither does."""
    stated = next((rate for _, values in stream.contexts if (rate := rate_or_unknown(values.get("samp_rate")))), 0.0)
    if stated or not any(kind == PICOSECONDS for _, kind in stream.kinds) or len(counts) < 2:
        return stated, "context"
    fractions = np.frombuffer(stream.fraction, np.uint64).astype(float) * 1e-12
    steps = np.diff(np.frombuffer(stream.whole, np.int64)) + np.diff(fractions)
    valid = steps > 0
    if not valid.any():
        return 0.0, ""
    rate = rate_or_unknown(float(np.median(counts[:-1][valid] / steps[valid])))
    return (float(round(rate)) if abs(rate - round(rate)) < 1e-5 * rate else rate), "timestamps"


class _Times:
    """Times of a stream's packets."""

    def __init__(self, stream: _Stream, rate: float):
        kind = next(iter(stream.kinds)) if len(stream.kinds) == 1 else (0, 0)
        self._stream, self._rate = stream, rate
        self._shift = {UTC: 0, GPS: _GPS_S}.get(kind[0])
        self._scale = {PICOSECONDS: 1e-12, SAMPLE_COUNT: 1.0 / rate if rate else 0.0}.get(kind[1], 0.0)
        if kind[1] == SAMPLE_COUNT and not rate:  # without the rate a count is no time
            self._shift = None
        self.are_known, self.are_fine = self._shift is not None, self._scale > 0

    def of(self, packet: int) -> Time | None:
        """Time of a packet's first sample, in UTC; None: not known."""
        whole, fraction = self._stream.whole[packet], self._stream.fraction[packet] * self._scale
        if self._shift is None or whole + self._shift <= 0 or not 0 <= fraction < 1.0:
            return None
        return whole + self._shift, fraction

    def jumps(self, counts: np.ndarray) -> np.ndarray:
        """Of each packet, whether its time does not follow that of the one before, by half a packet; (n,) bool."""
        found = np.zeros(len(counts), bool)
        if self._rate and self.are_fine:
            fractions = np.frombuffer(self._stream.fraction, np.uint64)[:len(counts)].astype(float) * self._scale
            steps = np.diff(np.frombuffer(self._stream.whole, np.int64)[:len(counts)]) + np.diff(fractions)
            lengths = counts[:-1] / self._rate
            found[1:] = np.abs(steps - lengths) > 0.5 * lengths
        return found


def _before_another_rate(stream: _Stream, rate: float, notes: list[str]) -> int:
    """Packets before a context states another rate."""
    for packet, values in stream.contexts:
        if values.get("samp_rate", rate) != rate and packet > 0:
            notes.append(f"the rate changes from {rate:.10g} to {values['samp_rate']:.10g} Hz after {packet} packets; these are "
                         "read")
            return packet
    return len(stream.starts)


def _captures(stream: _Stream, counts: np.ndarray, times: _Times, rate: float, notes: list[str]) -> list[Capture]:
    """A capture after each loss and at each change of frequency."""
    steps = np.diff(np.frombuffer(stream.counts, np.int8)[:len(counts)].astype(int)) % 16
    lost = times.jumps(counts)
    lost[1:] |= steps != 1
    changes = {packet: _frequency(values) for packet, values in stream.contexts if packet < len(counts)}
    frequency = next((hz for hz in changes.values() if hz is not None), None)
    changes[0] = frequency
    firsts = np.concatenate(([0], np.cumsum(counts)))
    captures: list[Capture] = []
    for packet in sorted({0, *changes, *np.flatnonzero(lost).tolist()}):
        new = changes.get(packet, frequency)
        if not captures or lost[packet] or new != frequency:
            captures.append(Capture(int(firsts[packet]), new, times.of(packet)))
        frequency = new
    if n_lost := int(lost.sum()):
        notes.append(f"packets are missing at {n_lost} {'place' if n_lost == 1 else 'places'}; a capture begins after each")
    if not times.are_known:
        notes.append("the packets state no time since 1970; --start states that of the first")
    elif not times.are_fine:
        notes.append("the packets state their times in whole seconds")
    return captures


def _frequency(values: dict) -> float | None:
    if "rf_hz" not in values:
        return None
    hz = values["rf_hz"] + values.get("rf_offset_hz", 0.0) - values.get("if_hz", 0.0)
    return hz if math.isfinite(hz) else None
