# SPDX-License-Identifier: GPL-3.0-or-later
"""WAV with I in the left and Q in the right channel, as HDSDR, SDR#, SDRuno, SDR Console, SDRangel and KiwiSDR write it.

RIFF, RF64 and BW64 (EBU Tech 3306, ITU-R BS.2088); `fmt ` of 16, 18 and 40 bytes: PCM of 8 (unsigned), 16, 24 and 32 bits, IEEE
float of 32 and 64 bits, EXTENSIBLE by the GUID of its format. One channel is real samples; of 4, 6, ... each pair is a channel.

`auxi` has the frequency and the start time (`wav_auxi`). A KiwiSDR puts a chunk with the GPS time before each data chunk.
Sizes in headers are not believed. Beyond 4 GiB SDR programs leave 0, 0xFFFFFFFF or the size modulo 2^32 in a `data` chunk: it
is read to its true end. One that states more than there is was cut off.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from .binary import MAX_HEADER_BYTES, file_size, pick_channel
from .raw import FileRecording, SampleFile
from .recording import Capture, Recording, RecordingError
from .wav_auxi import kiwi_captures, read_auxi

_IDS = (b"RIFF", b"RF64", b"BW64")
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # of all formats that have a number in plain WAV
_TYPES = {(_PCM, 1): "u8", (_PCM, 2): "i16_le", (_PCM, 3): "i24_le", (_PCM, 4): "i32_le",
          (_FLOAT, 4): "f32_le", (_FLOAT, 8): "f64_le"}
_FOLLOWERS = (b"data", b"LIST", b"auxi", b"kiwi", b"fact", b"bext", b"iXML", b"axml", b"id3 ", b"cue ", b"JUNK", b"PAD ", b"rcvr")
_ENCODINGS = {2: "ADPCM", 6: "A-law", 7: "mu-law", 0x11: "ADPCM", 0x55: "MP3"}


@dataclass
class _Chunks:
    """What the chunks of a file say: starts and sizes in bytes of the data, the kiwi chunk before each; the rest."""

    fmt: bytes = b""
    starts: array = field(default_factory=lambda: array("q"))
    sizes: array = field(default_factory=lambda: array("q"))
    auxi: bytes = b""
    kiwi: list[bytes] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def is_wav(path: Path, head: bytes) -> bool:
    """True if a file that begins with `head` is a WAV file."""
    return head[:4] in _IDS and head[8:12] == b"WAVE"


def open_wav(path: Path, *, channel: int | None = None) -> Recording:
    """Opens a WAV file. channel: counted from 0, of a file with several pairs of I and Q.

    Raises:
        RecordingError: damaged, or not samples. RecordingArgumentError: there is no such channel.
    """
    chunks = _walk(path)
    datatype, n_inputs, rate = _parse_fmt(path, chunks.fmt)
    if n_inputs == 1:
        chunks.notes.append("1 channel: real samples, whose spectrum is symmetric about the centre; I/Q has 2 channels")
    elif n_inputs % 2:
        raise RecordingError(f"{path}: {n_inputs} channels; I/Q has 2, or several pairs of them: extract the pair that is meant")
    n_channels = max(1, n_inputs // 2)
    samples = SampleFile(path, ("r" if n_inputs == 1 else "c") + datatype, n_channels=n_channels,
                         channel=pick_channel(path, channel, n_channels))
    counts = array("q", (size // samples.stride_bytes for size in chunks.sizes))
    samples.set_pieces(chunks.starts, counts)
    auxi = read_auxi(path, chunks.auxi)
    captures = [Capture(0, auxi.frequency_hz, auxi.time)]
    if any(chunks.kiwi):
        captures, auxi.time_origin = kiwi_captures(path, chunks.kiwi, counts, rate, chunks.notes)
    recording = FileRecording(path.stem, samples, rate, captures)
    recording.origins |= {"samp_rate": "fmt chunk", "datatype": "fmt chunk", "channels": "fmt chunk", **auxi.origins()}
    recording.notes += [*chunks.notes, *auxi.notes]
    return recording


def _walk(path: Path) -> _Chunks:
    """Reads the chunks' headers, and the bytes of those that are known."""
    chunks, size, position = _Chunks(), file_size(path), 12
    try:
        with path.open("rb") as file:
            head = file.read(12)
            if not is_wav(path, head):
                raise RecordingError(f"{path}: is not WAV: it begins with {head[:4]!r}, not RIFF, RF64 or BW64")
            long_size, kiwi = None, b""  # of the next data chunk, from ds64 and kiwi
            while position + 8 <= size:
                file.seek(position)
                name, n_bytes = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
                position += 8
                if name == b"data":
                    n_bytes = _data_size(file, n_bytes, long_size, size - position, chunks.notes)
                    chunks.starts.append(position)
                    chunks.sizes.append(n_bytes)
                    chunks.kiwi.append(kiwi)
                    kiwi = b""
                elif not name.isascii() or n_bytes > size - position:
                    if not chunks.sizes:
                        raise RecordingError(f"{path}: chunk {name!r} at byte {position - 8} states {n_bytes} bytes, the file "
                                             f"has {size - position} more; it is damaged")
                    break  # what lies behind the samples harms nothing
                elif name in (b"fmt ", b"ds64", b"auxi", b"kiwi"):
                    body = file.read(min(n_bytes, MAX_HEADER_BYTES))
                    if name == b"fmt ":
                        chunks.fmt = chunks.fmt or body
                    elif name == b"ds64" and len(body) >= 16:
                        long_size = struct.unpack_from("<Q", body, 8)[0]
                    elif name == b"auxi":
                        chunks.auxi = chunks.auxi or body
                    else:
                        kiwi = body[:16]
                position += n_bytes + _padding(file, position + n_bytes)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
    if not chunks.fmt or not chunks.sizes:
        missing = "fmt" if not chunks.fmt else "data"
        raise RecordingError(f"{path}: its {missing} chunk is missing; the file is truncated or holds no samples")
    return chunks


def _data_size(file: BinaryIO, stated: int, long_size: int | None, left: int, notes: list[str]) -> int:
    """Bytes of a data chunk. The file stands behind the chunk's header; `left` bytes follow, `long_size` is that of ds64."""
    position = file.tell()
    if stated == 0xFFFFFFFF and long_size is not None:
        stated = long_size
    if stated in (0, 0xFFFFFFFF):
        if stated == 0 and (left == 0 or _is_chunk(file, position, left)):
            return 0
        notes.append("the data chunk states no size; it is read to the end of the file")
        return left
    if stated > left:
        notes.append(f"the data chunk states {stated} bytes, {left} are there: the recording was cut off; those are read")
        return left
    if long_size is None and (more := (left - stated) >> 32) and not _is_chunk(file, position + stated, left - stated):
        notes.append(f"the data chunk states {stated} bytes, which is the size modulo 2^32; {stated + (more << 32)} are read")
        return stated + (more << 32)
    return stated


def _is_chunk(file: BinaryIO, position: int, left: int) -> bool:
    """True if a chunk begins at `position`, `left` bytes before the end of the file."""
    file.seek(position + position % 2)
    name, n_bytes = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
    return name in _FOLLOWERS and n_bytes <= left


def _padding(file: BinaryIO, position: int) -> int:
    """Bytes between a chunk that ends at `position` and the next: 1 at an odd one, unless the program forgot it."""
    if position % 2 == 0:
        return 0
    file.seek(position)
    between = file.read(5)
    return 0 if between[:1] != b"\0" and between[:4].strip().isalnum() else 1


def _parse_fmt(path: Path, fmt: bytes) -> tuple[str, int, float]:
    """The `fmt ` chunk -> data type without c or r, channels of audio, rate in Hz."""
    if len(fmt) < 16:
        raise RecordingError(f"{path}: its fmt chunk has {len(fmt)} bytes, at least 16 are needed; the file is damaged")
    tag, n_inputs, rate, _, block_bytes, bits = struct.unpack_from("<HHIIHH", fmt)
    if tag == _EXTENSIBLE:
        if len(fmt) < 40 or fmt[26:40] != _GUID_TAIL:
            raise RecordingError(f"{path}: its EXTENSIBLE format {fmt[24:40].hex()} is not known; PCM and float are read")
        tag = struct.unpack_from("<H", fmt, 24)[0]
    if tag not in (_PCM, _FLOAT):
        raise RecordingError(f"{path}: its samples are coded ({_ENCODINGS.get(tag, f'format {tag}')}); PCM and float are read: "
                             "convert it, for instance with sox")
    if n_inputs < 1:
        raise RecordingError(f"{path}: its fmt chunk states 0 channels; the file is damaged")
    width = -(-bits // 8)
    if block_bytes % n_inputs == 0 and block_bytes // n_inputs > width:
        width = block_bytes // n_inputs  # a container wider than its values, which fill its upper bits
    if (tag, width) not in _TYPES:
        raise RecordingError(f"{path}: {'float' if tag == _FLOAT else 'PCM'} of {bits} bits is not read; PCM of 8, 16, 24 "
                             "and 32 bits and float of 32 and 64 bits are")
    return _TYPES[tag, width], n_inputs, float(rate)


