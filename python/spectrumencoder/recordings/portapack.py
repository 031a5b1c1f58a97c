# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures of the PortaPack (Mayhem): NAME.C16 or NAME.C8 with I and Q in 16 or 8 bits, and NAME.TXT with rate and frequency.

NAME.TXT has lines such as ``sample_rate=500000`` and ``center_frequency=433920000``, in Hz.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from .binary import pick_channel, rate_or_unknown, read_at
from .raw import FileRecording, SampleFile
from .recording import Capture, Recording, RecordingError

SUFFIXES = {".c16": "ci16_le", ".c8": "ci8"}
_LINE = re.compile(rb"^\s*(\w+)\s*=\s*([-+.\w]+)\s*$", re.MULTILINE)


def is_portapack(path: Path, head: bytes) -> bool:
    """True if a file has the name of a capture, and a text beside it that states its rate or frequency."""
    return path.suffix.lower() in SUFFIXES and path.is_file() and _text_file(path) is not None


def find_portapack(path: Path) -> Path | None:
    """The samples of a path that is them or their text; None if it is neither."""
    if is_portapack(path, b""):
        return path
    if path.suffix.lower() == ".txt" and _values(path):
        for suffix in SUFFIXES:
            for named in (suffix.upper(), suffix):
                if path.with_suffix(named).is_file():
                    return path.with_suffix(named)
    return None


def open_portapack(path: Path, *, channel: int | None = None) -> Recording:
    """Opens NAME.C16 or NAME.C8.

    Raises:
        RecordingError: empty, or its text is missing. RecordingArgumentError: channel is not 0.
    """
    pick_channel(path, channel, 1)
    text = _text_file(path)
    if text is None:
        raise RecordingError(f"{path}: its {path.with_suffix('.TXT').name} with sample_rate= and center_frequency= is missing")
    values = _values(text)
    rate, frequency = rate_or_unknown(values.get("sample_rate")), values.get("center_frequency")
    samples = SampleFile(path, SUFFIXES[path.suffix.lower()])
    recording = FileRecording(path.stem, samples, rate, [Capture(0, frequency)])
    recording.origins |= {"datatype": "name", "channels": "name"}
    recording.origins |= {"samp_rate": text.name} if rate else {}
    recording.origins |= {} if frequency is None else {"frequency": text.name}
    return recording


def _text_file(path: Path) -> Path | None:
    """The text beside samples, if it states anything."""
    return next((text for text in (path.with_suffix(".TXT"), path.with_suffix(".txt")) if _values(text)), None)


def _values(text: Path) -> dict[str, float]:
    """Rate and frequency that a text states."""
    found: dict[str, float] = {}
    for key, value in _LINE.findall(read_at(text, 0, 4096) if text.is_file() else b""):
        name = key.decode("ascii", "replace").lower()
        if name in ("sample_rate", "center_frequency"):
            try:
                number = float(value)
            except ValueError:
                continue
            if math.isfinite(number):
                found[name] = number
    return found
