# SPDX-License-Identifier: GPL-3.0-or-later
"""SDRangel's .sdriq: a header of 32 bytes, then I and Q in 16 bits, or 24 bits in 32, little endian.

Header (SDRangel, readme of the file input plugin): sample rate in Hz (32 bits), centre frequency in Hz (64), start in
milliseconds since 1970, in seconds in older files (64), bits of a value (32), nothing (32), CRC-32 of these 28 bytes (32).
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from .binary import pick_channel, read_at
from .raw import FileRecording, SampleFile
from .recording import Capture, Recording, RecordingError

_HEADER = struct.Struct("<IQQIII")
_TYPES = {16: "ci16_le", 24: "ci24in32_le"}
_MIN_MS = 10**11  # 1973 in milliseconds, the year 5138 in seconds


def is_sdriq(path: Path, head: bytes) -> bool:
    """True if a file begins with a header of SDRangel whose checksum is right."""
    return len(head) >= _HEADER.size and zlib.crc32(head[:28]) == struct.unpack_from("<I", head, 28)[0] and any(head[:28])


def open_sdriq(path: Path, *, channel: int | None = None) -> Recording:
    """Opens a .sdriq file.

    Raises:
        RecordingError: damaged, or empty. RecordingArgumentError: channel is not 0.
    """
    pick_channel(path, channel, 1)
    head = read_at(path, 0, _HEADER.size)
    if not is_sdriq(path, head):
        raise RecordingError(f"{path}: the checksum of its header is wrong; it is damaged, or no file of SDRangel")
    rate, frequency, start, bits, _, _ = _HEADER.unpack(head)
    if bits not in _TYPES:
        raise RecordingError(f"{path}: samples of {bits} bits are not read; SDRangel writes 16 or 24")
    samples = SampleFile(path, _TYPES[bits], byte_start=_HEADER.size)
    seconds, milliseconds = divmod(start, 1000) if start >= _MIN_MS else (start, 0)
    time = (seconds, milliseconds / 1000) if 0 < seconds < _MIN_MS else None
    recording = FileRecording(path.stem, samples, float(rate), [Capture(0, float(frequency), time)])
    recording.origins |= dict.fromkeys(("samp_rate", "frequency", "datatype", "channels"), "header")
    recording.origins |= {} if time is None else {"time": "header"}
    return recording
