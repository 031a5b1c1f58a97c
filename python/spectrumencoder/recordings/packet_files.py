# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets in a file: pcap and pcapng with UDP over Ethernet, Linux SLL or IP alone, or one packet behind the other.

Packets are read one by one, and only their headers: what is kept is up to the reader.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .recording import RecordingError

HEAD_BYTES = 160  # of a payload, which hold all headers of VITA-49
_PCAP = {0xA1B2C3D4: "us", 0xA1B23C4D: "ns"}
_PCAPNG, _ORDER = 0x0A0D0D0A, 0x1A2B3C4D
_ETHERNET, _SLL, _SLL2, _NULL = 1, 113, 276, 0
_IP = {12: 0, 14: 0, 101: 0, 228: 0, 229: 0, _NULL: 4}  # link types with IP behind so many bytes
_VLAN = (0x8100, 0x88A8, 0x9100)


class Datagram(NamedTuple):
    """A payload: its first byte in the file, its bytes there (fewer than were sent if the capture cut it), its first bytes."""

    byte_start: int
    n_bytes: int
    head: bytes


def is_capture(head: bytes) -> bool:
    """True if a file that begins so is pcap or pcapng."""
    if len(head) < 24:
        return False
    little, big = struct.unpack("<I", head[:4])[0], struct.unpack(">I", head[:4])[0]
    is_pcapng = little == _PCAPNG and head[8:12] in (struct.pack("<I", _ORDER), struct.pack(">I", _ORDER))
    return little in _PCAP or big in _PCAP or is_pcapng


def datagrams(path: Path) -> Iterator[Datagram]:
    """UDP payloads of a pcap or pcapng file.

    Raises:
        RecordingError: the file is neither, or cannot be read.
    """
    try:
        with path.open("rb", buffering=1 << 16) as file:
            head = file.read(24)
            if not is_capture(head):
                raise RecordingError(f"{path}: is neither pcap nor pcapng")
            frames = _pcapng(file) if head[:4] == struct.pack("<I", _PCAPNG) else _pcap(file, head)
            for link, start, n_bytes in frames:
                file.seek(start)
                front = file.read(min(n_bytes, HEAD_BYTES + 120))
                at = _udp_payload(link, front)
                if at is not None and at[0] < n_bytes:
                    n_payload = min(at[1], n_bytes - at[0])
                    yield Datagram(start + at[0], n_payload, front[at[0]:at[0] + min(n_payload, HEAD_BYTES)])
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def _pcap(file: BinaryIO, head: bytes) -> Iterator[tuple[int, int, int]]:
    """Link type, first byte, bytes of each frame."""
    order = "<" if struct.unpack("<I", head[:4])[0] in _PCAP else ">"
    link = struct.unpack_from(order + "I", head, 20)[0] & 0x0FFFFFFF
    size, at = file.seek(0, 2), 24
    while at + 16 <= size:
        file.seek(at)
        n_bytes = struct.unpack_from(order + "I", file.read(16), 8)[0]
        if at + 16 + n_bytes > size:  # cut off
            return
        yield link, at + 16, n_bytes
        at += 16 + n_bytes


def _pcapng(file: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """As ``_pcap``; a section may have several interfaces of different link types."""
    size, at, order = file.seek(0, 2), 0, "<"
    links: list[int] = []
    while at + 12 <= size:
        file.seek(at)
        head = file.read(28).ljust(28, b"\0")
        if head[:4] == struct.pack("<I", _PCAPNG):
            order = "<" if head[8:12] == struct.pack("<I", _ORDER) else ">"
            links = []
        kind, n_bytes = struct.unpack_from(order + "II", head)
        if n_bytes < 12 or n_bytes % 4 or at + n_bytes > size:
            return
        if kind == 1 and len(links) < 65536:
            links.append(struct.unpack_from(order + "H", head, 8)[0])
        elif kind == 6:
            interface, _, _, captured = struct.unpack_from(order + "IIII", head, 8)
            if interface < len(links) and captured <= n_bytes - 32:
                yield links[interface], at + 28, captured
        elif kind == 3 and links:
            yield links[0], at + 12, min(n_bytes - 16, struct.unpack_from(order + "I", head, 8)[0])
        at += n_bytes


def _udp_payload(link: int, frame: bytes) -> tuple[int, int] | None:
    """Where the UDP payload of a frame begins, and its bytes as UDP states them; None if the frame holds none."""
    try:
        if link == _ETHERNET or link in (_SLL, _SLL2):
            at = {_ETHERNET: 12, _SLL: 14, _SLL2: 0}[link]
            kind = struct.unpack_from(">H", frame, at)[0]
            at = 20 if link == _SLL2 else at + 2
            while kind in _VLAN:
                kind, at = struct.unpack_from(">H", frame, at + 2)[0], at + 4
            if kind not in (0x0800, 0x86DD):
                return None
        elif link in _IP:
            at = _IP[link]
        else:
            return None
        version = frame[at] >> 4
        if version == 4:
            fragment = struct.unpack_from(">H", frame, at + 6)[0] & 0x3FFF  # "more fragments", and the offset
            protocol, at = frame[at + 9], at + 4 * (frame[at] & 15)
            if fragment:
                return None
        elif version == 6:
            protocol, at = frame[at + 6], at + 40
            while protocol in (0, 43, 60):  # hop by hop, routing, destination options
                protocol, at = frame[at], at + 8 * (frame[at + 1] + 1)
        else:
            return None
        n_bytes = struct.unpack_from(">H", frame, at + 4)[0]
        return (at + 8, n_bytes - 8) if protocol == 17 and n_bytes > 8 else None
    except (struct.error, IndexError):
        return None
