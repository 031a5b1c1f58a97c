# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of an `encoded` PDU: everything needed to decode a group of spectra, with a checksum. Also finds PDUs in a file.

    magic 3 | version 1 | length of the rest (varint) | header | classes | latents | detail | CRC-32 of everything before 4

Version 2, header: model identity 4 bytes, variant 1, band 1, flags 1, frames - 1 (1 byte), block of the time transform - 1
(1 byte), step of the latents 1, step of the detail 1 (present with that flag), then varints: first sample, samples between
frames, sample rate and centre frequency (`number`), time of the first sample (8 bytes, present with that flag), floor in whole dB
(signed), windows averaged (1 byte, or one each), bytes of the latents' payload. Little endian throughout.

Classes are present with that flag; a model without class head has none. First come runs of frames with equal labels: number of
frames (varint) and label (1 byte, an index into the model's labels), until all frames are covered. Then come the confidences,
4 bits each, two frames per byte, the earlier frame in the low half. Level n of 16 stands for n/16 to (n + 1)/16, and is decoded
as the middle.

A file of PDUs holds them one after the other: each states its length. After a damaged PDU, the reader searches for the next
magic, and accepts a PDU only if its checksum is right.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, zip_longest

import numpy as np

MAGIC = b"\xd5SE"
VERSION = 2
MAX_FRAMES = 256
MAX_PDU_BYTES = 1 << 24
IDENTITY_BYTES = 4
CONFIDENCE_LEVELS = 16
_HAS_TIME, _HAS_FREQ, _VARIED_AVERAGE, _HAS_DETAIL, _FLAT, _HAS_CLASSES = 1, 2, 4, 8, 16, 32
_KNOWN_FLAGS = 63


MAX_HZ, MAX_TIME_S, MAX_DB = 1e15, 1e11, 1e4  # beyond them a header is damage: Hz, POSIX s, dB


class CodecError(ValueError):
    """Bytes cannot be decoded, or frames cannot be encoded. The message is one line with the reason."""


@dataclass(frozen=True)
class GroupHeader:
    """The facts of a PDU that accompany its spectra.

    Attributes:
        identity: 4 bytes that identify the model and its codec.
        variant, band: index into the model file's variants and bands.
        block: frames in one time transform; 1 is none.
        latent_step, detail_step: index of the step, `step_of` gives dB. detail_step is None if there is no detail.
        frame_start: input sample of the first frame.
        frame_hop: samples from frame to frame.
        rx_rate: sample rate, Hz.
        rx_freq: centre frequency, Hz; None if unknown.
        rx_time: POSIX s of sample frame_start; None if unknown.
        floor_db: whole dBFS; the frames' floors are relative to it.
        average: number of windows in each frame.
        flat: True if the detail is added to flat noise; then only the floor is coded in place of the latents.
        label: index into the model file's labels for each frame; None if the model names no classes.
        confidence: 0..1 for each frame (after unpacking: the middle of its level); None if the model names no classes.
    """

    identity: bytes
    variant: int
    band: int
    block: int
    latent_step: int
    detail_step: int | None
    frame_start: int
    frame_hop: int
    rx_rate: float
    rx_freq: float | None
    rx_time: float | None
    floor_db: int
    average: tuple[int, ...]
    flat: bool = False
    label: tuple[int, ...] | None = None
    confidence: tuple[float, ...] | None = None

    @property
    def n_frames(self) -> int:
        return len(self.average)

    def times(self) -> np.ndarray | None:
        """POSIX s of each frame's first sample, float64 (F,); None if the input had no time."""
        if self.rx_time is None:
            return None
        return self.rx_time + np.arange(self.n_frames) * (self.frame_hop / self.rx_rate)


def step_of(index: int) -> float:
    """Step in dB of an index 0..127: 2^(index/8) / 64, the same on every machine (square roots are correctly rounded)."""
    eighth = np.sqrt(np.sqrt(np.sqrt(2.0)))
    value = 1.0
    for _ in range(index % 8):
        value = value * eighth
    return float(value) * 2.0 ** (index // 8 - 6)


def step_index(step: float) -> int:
    """Index of the step nearest to `step` dB.

    Raises:
        ValueError: the step is outside 1/64..512 dB.
    """
    if not 1 / 64 <= step <= 512:
        raise ValueError(f"step {step} dB is outside 1/64..512")
    return int(np.clip(round(8 * np.log2(step * 64)), 0, 127))


def pack(header: GroupHeader, latents: bytes, detail: bytes = b"") -> bytes:
    """The PDU of a header and its two payloads."""
    flags = (_HAS_TIME * (header.rx_time is not None) | _HAS_FREQ * (header.rx_freq is not None)
             | _VARIED_AVERAGE * (len(set(header.average)) > 1) | _HAS_DETAIL * (header.detail_step is not None)
             | _FLAT * header.flat | _HAS_CLASSES * (header.label is not None))
    body = header.identity + bytes((header.variant, header.band, flags, header.n_frames - 1, header.block - 1,
                                    header.latent_step))
    if header.detail_step is not None:
        body += bytes((header.detail_step,))
    body += varint(header.frame_start) + varint(header.frame_hop) + _number(header.rx_rate)
    if header.rx_freq is not None:
        body += _number(header.rx_freq)
    if header.rx_time is not None:
        body += struct.pack("<d", header.rx_time)
    body += varint(_zigzag(header.floor_db))
    body += bytes(header.average if flags & _VARIED_AVERAGE else header.average[:1])
    body += varint(len(latents))
    if header.label is not None:
        body += pack_classes(header.label, header.confidence)
    body += latents + detail
    start = MAGIC + bytes((VERSION,)) + varint(len(body) + 4) + body
    return start + struct.pack("<I", zlib.crc32(start))


def unpack(data: bytes) -> tuple[GroupHeader, bytes, bytes]:
    """Header, latent payload and detail payload of one PDU.

    Raises:
        CodecError: the bytes are no PDU, have another version, are truncated or damaged, or more bytes follow.
    """
    size = _size(data, 0)
    if size != len(data):
        raise CodecError(f"PDU truncated: {len(data)} of its {size} bytes" if size > len(data) else
                         f"{len(data) - size} bytes follow the PDU; decode a file of them with iterate()")
    if zlib.crc32(data[:-4]) != struct.unpack("<I", data[-4:])[0]:
        raise CodecError(f"PDU of {size} bytes is damaged: its checksum is wrong")
    try:
        return _unpack_body(data[:-4])
    except (IndexError, struct.error) as error:
        raise CodecError(f"PDU of {size} bytes holds no header of version {VERSION} ({error})") from error


def pack_classes(label: tuple[int, ...], confidence: tuple[float, ...]) -> bytes:
    """The class payload of frames: runs of labels, then confidences (0..1); see the module."""
    runs = b"".join(varint(sum(1 for _ in run)) + bytes((one,)) for one, run in groupby(label))
    levels = [min(int(CONFIDENCE_LEVELS * c), CONFIDENCE_LEVELS - 1) for c in confidence]
    pairs = zip_longest(levels[::2], levels[1::2], fillvalue=0)
    return runs + bytes(low | high << 4 for low, high in pairs)


def _read_classes(data: bytes, at: int, frames: int) -> tuple[tuple[int, ...], tuple[float, ...], int]:
    """Labels and confidences of `frames` frames, and where their payload ends."""
    label = ()
    while len(label) < frames:
        count, at = read_varint(data, at)
        if not 1 <= count <= frames - len(label):
            raise CodecError(f"PDU states the classes of {len(label) + count} frames and has {frames}: it was not written by "
                             "this program")
        label, at = label + (data[at],) * count, at + 1
    packed = data[at:at + (frames + 1) // 2]
    if len(packed) < (frames + 1) // 2:
        raise CodecError("PDU ends within its classes: it was not written by this program")
    levels = [level for byte in packed for level in (byte & 0x0F, byte >> 4)][:frames]
    return label, tuple((level + 0.5) / CONFIDENCE_LEVELS for level in levels), at + len(packed)


def _unpack_body(data: bytes) -> tuple[GroupHeader, bytes, bytes]:
    _, at = read_varint(data, len(MAGIC) + 1)
    identity, at = data[at:at + IDENTITY_BYTES], at + IDENTITY_BYTES
    if len(data) < at + 6:
        raise CodecError("PDU ends within its header: it was not written by this program")
    variant, band, flags, frames, block, latent_step = data[at:at + 6]
    at += 6
    if flags & ~_KNOWN_FLAGS:
        raise CodecError(f"PDU has unknown flags {flags:#04x}; it needs a newer version of this program")
    detail_step = None
    if flags & _HAS_DETAIL:
        detail_step, at = data[at], at + 1
    frame_start, at = read_varint(data, at)
    frame_hop, at = read_varint(data, at)
    rx_rate, at = _read_number(data, at)
    rx_freq = rx_time = None
    if flags & _HAS_FREQ:
        rx_freq, at = _read_number(data, at)
    if flags & _HAS_TIME:
        rx_time, at = struct.unpack_from("<d", data, at)[0], at + 8
    floor, at = read_varint(data, at)
    count = frames + 1 if flags & _VARIED_AVERAGE else 1
    average, at = tuple(data[at:at + count]), at + count
    length, at = read_varint(data, at)
    label = confidence = None
    if flags & _HAS_CLASSES:
        label, confidence, at = _read_classes(data, at, frames + 1)
    if len(average) != count or not all(average) or at + length > len(data) or not rx_rate > 0 or max(
            latent_step, detail_step or 0) > 127:
        raise CodecError("PDU's header makes no sense: it was not written by this program")
    floor_db = _unzigzag(floor)
    _check_range("rate", rx_rate, 0.0, MAX_HZ)
    _check_range("frequency", rx_freq or 0.0, -MAX_HZ, MAX_HZ)
    _check_range("time", rx_time or 0.0, 0.0, MAX_TIME_S)
    _check_range("floor", floor_db, -MAX_DB, MAX_DB)
    _check_range("sample number", frame_start + (frames + 1) * frame_hop, 0, 2**63 - 1)
    header = GroupHeader(identity, variant, band, block + 1, latent_step, detail_step, frame_start, frame_hop, rx_rate, rx_freq,
                         rx_time, _unzigzag(floor), average * (frames + 1) if count == 1 else average, bool(flags & _FLAT),
                         label, confidence)
    return header, data[at:at + length], data[at + length:]


def _check_range(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise CodecError(f"PDU states a {what} of {value:.6g}, which is outside {low:g}..{high:g}: it was not written by this "
                         "program")


def iterate(data: bytes) -> Iterator[tuple[int, bytes | CodecError]]:
    """Go through a file of PDUs, damaged ones included: yields (offset, PDU or the error for the bytes there).

    A PDU of another version with a right checksum gives an error and is skipped as a whole.
    """
    at = 0
    while at < len(data):
        try:
            size = _size(data, at)
            if at + size > len(data):
                raise CodecError(f"PDU truncated: {len(data) - at} of its {size} bytes")
            unit = data[at:at + size]
            if zlib.crc32(unit[:-4]) != struct.unpack("<I", unit[-4:])[0]:
                raise CodecError(f"PDU of {size} bytes is damaged: its checksum is wrong")
            yield at, unit
            at += size
        except CodecError as error:
            following = _next_sound(data, at + 1)
            yield at, CodecError(f"{error} ({following - at} bytes passed over)")
            at = following


def _next_sound(data: bytes, at: int) -> int:
    """Offset of the next PDU with a right checksum; the end of the data if there is none."""
    while (at := data.find(MAGIC, at)) >= 0:
        try:
            size = _size(data, at, any_version=True)
            if at + size <= len(data) and zlib.crc32(data[at:at + size - 4]) == struct.unpack_from("<I", data, at + size - 4)[0]:
                return at
        except CodecError:
            pass
        at += 1
    return len(data)


def _size(data: bytes, at: int, any_version: bool = False) -> int:
    """Length in bytes that the PDU at `at` states for itself."""
    if data[at:at + len(MAGIC)] != MAGIC:
        if MAGIC.startswith(data[at:at + len(MAGIC)]) and len(data) > at:
            raise CodecError(f"PDU truncated: {len(data) - at} bytes")
        raise CodecError(f"no PDU: it begins with {data[at:at + 3].hex() or 'nothing'}, not {MAGIC.hex()}")
    try:
        version = data[at + len(MAGIC)]
        length, after = read_varint(data, at + len(MAGIC) + 1)
    except IndexError:
        raise CodecError(f"PDU truncated: {len(data) - at} bytes") from None
    if version != VERSION and not any_version:
        raise CodecError(f"PDU of version {version}; this program decodes version {VERSION}: update it")
    if not 4 <= length <= MAX_PDU_BYTES:
        raise CodecError(f"PDU states a length of {length} bytes: it is damaged")
    return after + length - at


def varint(value: int) -> bytes:
    """LEB128 of a number >= 0."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and where it ends.

    Raises:
        CodecError: it has no end. IndexError: the bytes end within it.
    """
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise CodecError("PDU is damaged: it holds a number without end")


def _zigzag(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


def _unzigzag(value: int) -> int:
    return value // 2 if value % 2 == 0 else -(value + 1) // 2


def _number(value: float) -> bytes:
    """Encode a whole number n as the varint n + 1, any other number as 0 and a double."""
    if value == int(value) and abs(value) < 2**53:
        return varint(_zigzag(int(value)) + 1)
    return varint(0) + struct.pack("<d", value)


def _read_number(data: bytes, at: int) -> tuple[float, int]:
    value, at = read_varint(data, at)
    if value:
        return float(_unzigzag(value - 1)), at
    return struct.unpack_from("<d", data, at)[0], at + 8
