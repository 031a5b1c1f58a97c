# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings in files, read and written. No GNU Radio in here. The door is `open_recording`; every format comes in by it.

| file | |
|---|---|
| `recording` | `Recording`: the interface that all formats share; `Capture`, `Annotation`, the errors; recordings in memory |
| `sample_format` | data types: their names and synonyms, bytes to numbers |
| `stated` | what the user states, what the file and its name say: which of them a recording has |
| `names` | what the name of a file says |
| `raw` | samples in a file as they are: raw IQ, and what other formats share with it |
| `sigmf` | SigMF, read |
| `sigmf_writer` | SigMF, written |
| `npy` | NumPy's .npy, read |
| `binary` | what the readers below share |
| `wav`, `wav_auxi` | WAV I/Q; its frequency and time |
| `file_meta`, `pmt_bytes` | files of GNU Radio's file_meta_sink; serialised PMTs |
| `digital_rf`, `digital_rf_index` | Digital RF; where its samples lie |
| `blue`, `sdriq`, `portapack` | X-Midas BLUE, SDRangel, PortaPack |

A new format is one file here, with a function that returns a `Recording`, and one row of FORMATS.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .blue import is_blue, open_blue
from .digital_rf import find_digital_rf, is_digital_rf, open_digital_rf
from .file_meta import HEADER_SUFFIX, find_file_meta, is_file_meta, open_file_meta
from .names import Named, parse_name
from .npy import is_npy, open_npy
from .portapack import SUFFIXES as PORTAPACK_SUFFIXES
from .portapack import find_portapack, is_portapack, open_portapack
from .raw import open_raw
from .recording import Annotation, Capture, MemoryRecording, Recording, RecordingArgumentError, RecordingError
from .sdriq import is_sdriq, open_sdriq
from .sigmf import DATA_SUFFIX, META_SUFFIX, find_sigmf, is_sigmf, open_sigmf
from .stated import NAME, STATED, Stated, complete
from .wav import is_wav, open_wav

__all__ = ["DATA_SUFFIX", "FORMATS", "META_SUFFIX", "Annotation", "Capture", "Format", "MemoryRecording", "Recording",
           "RecordingArgumentError", "RecordingError", "find_recordings", "open_recording"]

HEAD_BYTES = 4096  # of a file, by which a format is recognised


class Format(NamedTuple):
    """A file format that says itself what its samples are.

    Fields:
        name: as people call it.
        suffixes: in small letters, of the files that name a recording; a folder is searched for them. None: a recording is a
            folder.
        open: ``open(path, channel=None)``, a recording of the file. It reads headers alone. It raises RecordingError if the
            file is not valid. channel: of several, counted from 0; None is the first, and ``open_recording`` adds a note.
        is_one: ``is_one(path, head)``, True if the content is of this format. head: the first HEAD_BYTES bytes, none of a folder.
        find: the file to open if a path names a recording of this format, whether the file exists or not; else None. Only
            a format needs it whose recordings go by other paths than those of `suffixes`.
    """

    name: str
    suffixes: tuple[str, ...]
    open: Callable[..., Recording]
    is_one: Callable[[Path, bytes], bool]
    find: Callable[[Path], Path | None] | None = None


FORMATS = (
    Format("SigMF", (META_SUFFIX,), open_sigmf, is_sigmf, find_sigmf),
    Format("WAV", (".wav",), open_wav, is_wav),
    Format("file_meta_sink", (HEADER_SUFFIX,), open_file_meta, is_file_meta, find_file_meta),
    Format("Digital RF", (), open_digital_rf, is_digital_rf, find_digital_rf),
    Format("BLUE", (".blue", ".tmp", ".prm"), open_blue, is_blue),
    Format("sdriq", (".sdriq",), open_sdriq, is_sdriq),
    Format("PortaPack", tuple(PORTAPACK_SUFFIXES), open_portapack, is_portapack, find_portapack),
    Format("NumPy", (".npy",), open_npy, is_npy),
)


def open_recording(path: str | Path, *, rate: float | None = None, datatype: str | None = None, freq: float | None = None,
                   start: str | tuple[int, float] | None = None, channel: int | None = None,
                   offset_hz: float = 0.0) -> Recording:
    """Opens a recording of any format in FORMATS, or raw IQ. What is stated here goes before what the file or its name says.

    Args:
        path: of the recording. SigMF goes by NAME.sigmf-meta, NAME.sigmf-data or NAME.
        rate: Hz.
        datatype: of raw IQ only: a SigMF name such as "cf32_le", "ci16_le", "cu8", or a synonym such as "rtl", "hackrf", "sc16".
        freq: centre frequency in Hz. It is refused if the captures of the file have several.
        start: time of the first sample: ISO 8601, or (whole seconds, fraction) since 1970 UTC.
        channel: of several, counted from 0; None is the first, with a note.
        offset_hz: of a converter between antenna and receiver, added to all frequencies.

    Raises:
        RecordingArgumentError: the arguments do not go with the path, or rate or data type are not known without one.
        RecordingError: missing, truncated or invalid.
    """
    stated = Stated(rate, datatype, freq, start, channel, offset_hz)
    format_, found = _resolve(Path(path), stated)
    named = parse_name(found)
    if format_ is not None:
        recording = format_.open(found, channel=channel)
        recording.format_name = recording.format_name or format_.name
    else:
        recording = _open_raw(found, stated, named)
    return complete(recording, stated, named, found)


def find_recordings(path: str | Path, *, rate: float | None = None, datatype: str | None = None, freq: float | None = None,
                    start: str | tuple[int, float] | None = None, channel: int | None = None,
                    offset_hz: float = 0.0) -> list[Path]:
    """Paths for ``open_recording``: of the recording that `path` names, or of those in a folder (not its subfolders), by name.

    Args:
        path: a recording or a folder.
        rate, datatype, freq, start, channel, offset_hz: as for ``open_recording``.

    Raises:
        RecordingArgumentError: the arguments do not go with the path. RecordingError: there is no recording.
    """
    path, stated = Path(path), Stated(rate, datatype, freq, start, channel, offset_hz)
    stated.check(path)
    if not path.is_dir() or _format_of(path)[0] is not None:
        return [_resolve(path, stated)[1]]
    for name, value in (("datatype", datatype), ("start", start)):
        if value is not None:
            raise RecordingArgumentError(f"{path}: is a folder, whose recordings state their own {name}; leave it out, or name "
                                         "one file")
    found = sorted(file for file in path.glob("*") if _is_listed(file))
    if not found:
        endings = " or ".join(f"*{suffix}" for format_ in FORMATS for suffix in format_.suffixes)
        raise RecordingError(f"{path}: holds no {endings} file; name a folder of recordings")
    return found


def _is_listed(path: Path) -> bool:
    """True if a search of its folder finds this path."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return any(not format_.suffixes and format_.is_one(path, b"") for format_ in FORMATS)
    return any(suffix in format_.suffixes and (format_.is_one(path, _head(path)) if format_.find is None else
                                               format_.find(path) == path) for format_ in FORMATS)


def _format_of(path: Path) -> tuple[Format | None, Path]:
    """The format by which the path goes and the file to open; None and the path itself if it goes by none.

    A path that names a recording of several files goes first, then the content.
    """
    for format_ in FORMATS:
        if format_.find is not None and (found := format_.find(path)) is not None:
            return format_, found
    head = _head(path)
    return next((format_ for format_ in FORMATS if format_.is_one(path, head)), None), path


def _head(path: Path) -> bytes:
    """The first bytes of a regular file; none of anything else, or of one that cannot be read."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                return file.read(HEAD_BYTES)
    except OSError:  # the reader says it in its own words
        pass
    return b""


def _resolve(path: Path, stated: Stated) -> tuple[Format | None, Path]:
    """As ``_format_of``, by the rules of ``open_recording``; None is raw IQ."""
    stated.check(path)
    format_, found = _format_of(path)
    if format_ is not None:
        if stated.datatype is not None:
            raise RecordingArgumentError(f"{path}: is {format_.name}, which states its own data type and first sample; leave "
                                         f"datatype {stated.datatype} out, it is for raw IQ")
    if not found.exists() and (format_ is not None or stated == Stated()):
        raise RecordingError(f"{found}: no such recording; check the path")
    if format_ is not None:
        return format_, found
    if path.is_dir():
        raise RecordingError(f"{path}: is a folder; name one recording")
    named = parse_name(path)
    missing = [word for word, value in (("rate in Hz", stated.rate or named.rate),
                                        ("datatype (cf32_le, ci16_le, cu8, rtl, hackrf, ...)", stated.datatype or named.datatype))
               if value is None]
    if missing:
        like = next((f"is named like {format_.name}, but its content is not" for format_ in FORMATS
                     if path.suffix.lower() in format_.suffixes), "is no recording that states what it holds")
        raise RecordingArgumentError(f"{path}: {like}; if it is raw IQ, give its {' and its '.join(missing)}")
    return None, path


def _open_raw(path: Path, stated: Stated, named: Named) -> Recording:
    datatype = stated.datatype or named.datatype
    assert datatype is not None  # else it was refused
    recording = open_raw(path, datatype)
    if stated.channel:
        raise RecordingArgumentError(f"{path}: channel {stated.channel} is asked for; raw IQ has one; leave it out")
    recording.format_name = "raw IQ"
    recording.origins["datatype"] = STATED if stated.datatype is not None else NAME
    if like := next((format_.name for format_ in FORMATS if path.suffix.lower() in format_.suffixes), None):
        recording.notes.append(f"{path.name} is named like {like}, but its content is not; it is read as raw IQ, "
                               f"{recording.datatype}")
    return recording
