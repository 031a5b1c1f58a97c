# SPDX-License-Identifier: GPL-3.0-or-later
"""Headers of VITA-49 packets (ANSI/VITA 49.0 and 49.2): signal data and their context. Words of 32 bits, big endian."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .packet_files import HEAD_BYTES, Datagram
from .recording import RecordingError

DATA, CONTEXT = (0, 1, 2, 3), (4, 5)
UTC, GPS = 1, 2  # meanings of the whole seconds
SAMPLE_COUNT, PICOSECONDS = 1, 2  # meanings of the fraction
_FRAME = b"VRLP"
_WORDS_OF_BIT = {31: 0, 30: 1, 29: 2, 28: 2, 27: 2, 26: 2, 25: 2, 24: 1, 23: 1, 22: 1, 21: 2, 20: 2, 19: 1, 18: 1, 17: 2, 16: 1,
                 15: 2}  # of the indicator word of a context packet, up to the payload's format
_HERTZ = {29: "bandwidth", 28: "if_hz", 27: "rf_hz", 26: "rf_offset_hz", 21: "samp_rate"}


class Packet(NamedTuple):
    """The header of a packet.

    Fields:
        kind: 0 to 3 are data, 4 and 5 context, others commands.
        stream: its identifier; 0 if it has none.
        number: 0 to 15, one more for each packet of a stream.
        whole_kind, fraction_kind: meanings of the time; 0: none.
        whole, fraction: the time.
        body, n_bytes: first byte of what follows in the packet, and its bytes, without the trailer.
        spectral: its data are a spectrum.
    """

    kind: int
    stream: int
    number: int
    whole_kind: int
    fraction_kind: int
    whole: int
    fraction: int
    body: int
    n_bytes: int
    spectral: bool


def parse_packet(head: bytes, n_bytes: int) -> Packet | None:
    """The packet that begins with `head`, of which `n_bytes` are there; None if it is none, or is cut off."""
    if len(head) < 4:
        return None
    word = struct.unpack_from(">I", head)[0]
    kind, size = word >> 28, 4 * (word & 0xFFFF)
    if kind > 7 or size < 4 or size > n_bytes:
        return None
    at, stream, whole, fraction = 4, 0, 0, 0
    whole_kind, fraction_kind = word >> 22 & 3, word >> 20 & 3
    try:
        if kind not in (0, 2):
            stream, at = struct.unpack_from(">I", head, at)[0], at + 4
        at += 8 if word >> 27 & 1 else 0  # class identifier
        if whole_kind:
            whole, at = struct.unpack_from(">I", head, at)[0], at + 4
        if fraction_kind:
            fraction, at = struct.unpack_from(">Q", head, at)[0], at + 8
    except struct.error:
        return None
    has_trailer = kind in DATA and word >> 26 & 1
    if at + 4 * has_trailer > size:
        return None
    return Packet(kind, stream, word >> 16 & 15, whole_kind, fraction_kind, whole, fraction, at, size - at - 4 * has_trailer,
                  kind in DATA and bool(word >> 24 & 1))


def parse_context(head: bytes, packet: Packet) -> dict:
    """Values of a context packet: `samp_rate`, `rf_hz`, `rf_offset_hz`, `if_hz`, `bandwidth` in Hz; `format`, 64 bits."""
    body = head[packet.body:packet.body + packet.n_bytes]
    found: dict = {}
    if len(body) < 4:
        return found
    bits, at = struct.unpack_from(">I", body)[0], 4
    at += 4 * sum(bits >> bit & 1 for bit in (1, 2, 3, 7))  # more indicator words (49.2)
    for bit, n_words in _WORDS_OF_BIT.items():
        if bits >> bit & 1:
            if at + 4 * n_words > len(body):
                break
            if bit in _HERTZ:
                found[_HERTZ[bit]] = struct.unpack_from(">q", body, at)[0] / 2**20
            elif bit == 15:
                found["format"] = struct.unpack_from(">Q", body, at)[0]
            at += 4 * n_words
    return found


def datatype_of(payload_format: int) -> str | None:
    """The data type that a payload format states, by SigMF's names; None if it is not read.

    Values that are packed, polar, repeated or tagged are not read.
    """
    first, second = payload_format >> 32, payload_format & 0xFFFFFFFF
    part = {0: "r", 1: "c"}.get(first >> 29 & 3)
    item, field = (first & 63) + 1, (first >> 6 & 63) + 1
    tags, repeats = first >> 16 & 0x7F, second >> 16
    if part is None or tags or repeats or item > field:
        return None
    kind = {0: "i", 16: "u", 14: "f", 15: "f"}.get(first >> 24 & 31)
    if kind == "f" and (first >> 24 & 31, field) not in ((14, 32), (15, 64)):
        return None
    if kind is None or field not in ((8, 16, 32) if kind != "f" else (32, 64)):
        return None
    return f"{part}{kind}{field}" + ("" if field == 8 else "_be")


def raw_packets(path: Path) -> Iterator[Datagram]:
    """Packets one behind the other in a file, or in VRL frames; it ends at what is no packet.

    Raises:
        RecordingError: the file cannot be read.
    """
    try:
        with path.open("rb", buffering=1 << 16) as file:
            size, at, frame_end = file.seek(0, 2), 0, -1
            while at + 4 <= size:
                if at == frame_end:  # one word: VEND, or a checksum
                    at += 4
                    continue
                file.seek(at)
                head = file.read(HEAD_BYTES)
                if head[:4] == _FRAME and len(head) >= 8:  # its words are counted in the lower 20 bits
                    frame_end = at + 4 * (struct.unpack_from(">I", head, 4)[0] & 0xFFFFF) - 4
                    at += 8
                    continue
                if parse_packet(head, size - at) is None:
                    return
                n_bytes = 4 * (struct.unpack_from(">I", head)[0] & 0xFFFF)
                yield Datagram(at, n_bytes, head[:n_bytes])
                at += n_bytes
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
