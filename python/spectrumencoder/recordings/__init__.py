# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings in files, read and written. No GNU Radio in here. The door is `open_recording`; every format comes in by it.

| file | |
|---|---|
| `recording` | `Recording`: the interface that all formats share; `Capture`, `Annotation`, the errors; recordings in memory |
| `sample_format` | data types: their names and synonyms, bytes to numbers |
| `stated` | what the user states, what the file and its name say: which of them a recording has |
| `names` | what the name of a file says |
| `raw` | samples in a file as they are: raw IQ, and what other formats share with it |
| `formats`, `search` | what a format is, and which one a file has; the recordings of a folder |
| `sigmf`, `sigmf_meta`, `sigmf_writer` | SigMF: where metadata and samples lie, what they say; written |
| `archive` | files in tar and zip |
| `part` | a part of a recording as a recording |
| `levels`, `convert` | how strong the samples of a recording are; any recording as SigMF |
| `npy` | NumPy's .npy, read |
| `binary` | what the readers below share |
| `wav`, `wav_auxi` | WAV I/Q; its frequency and time |
| `file_meta`, `pmt_bytes` | files of GNU Radio's file_meta_sink; serialised PMTs |
| `digital_rf`, `digital_rf_index` | Digital RF; where its samples lie |
| `vita49`, `vita49_packets`, `packet_files` | VITA-49; its packets; pcap and pcapng |
| `blue`, `sdriq`, `portapack` | X-Midas BLUE, SDRangel, PortaPack |

A new format is one file here, with a function that returns a `Recording`, and one row of FORMATS.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .blue import is_blue, open_blue
from .digital_rf import find_digital_rf, is_digital_rf, open_digital_rf
from .file_meta import HEADER_SUFFIX, find_file_meta, is_file_meta, open_file_meta
from .formats import Format, format_of, why_unreadable
from .names import Named, parse_name
from .npy import is_npy, open_npy
from .part import part_of
from .portapack import SUFFIXES as PORTAPACK_SUFFIXES
from .portapack import find_portapack, is_portapack, open_portapack
from .raw import open_raw
from .recording import Annotation, Capture, MemoryRecording, Recording, RecordingArgumentError, RecordingError
from .sdriq import is_sdriq, open_sdriq
from .search import is_pattern, matching, search_files, search_folder
from .sigmf import SUFFIXES as SIGMF_SUFFIXES
from .sigmf import find_sigmf, is_sigmf, open_sigmf, sigmf_members
from .sigmf_meta import DATA_SUFFIX, META_SUFFIX
from .stated import NAME, STATED, Stated, complete
from .vita49 import is_vita49, open_vita49
from .wav import is_wav, open_wav

__all__ = ["DATA_SUFFIX", "FORMATS", "META_SUFFIX", "Annotation", "Capture", "Format", "MemoryRecording", "Recording",
           "RecordingArgumentError", "RecordingError", "find_and_tell", "find_recordings", "open_recording"]

FORMATS = (
    Format("SigMF", SIGMF_SUFFIXES, lambda path, channel=None: open_sigmf(path, channel=channel, container=_in_dataset), is_sigmf,
           find_sigmf, sigmf_members),
    Format("WAV", (".wav",), open_wav, is_wav),
    Format("file_meta_sink", (HEADER_SUFFIX,), open_file_meta, is_file_meta, find_file_meta),
    Format("Digital RF", (), open_digital_rf, is_digital_rf, find_digital_rf),
    Format("BLUE", (".blue", ".tmp", ".prm"), open_blue, is_blue, shares_suffix=True),
    Format("sdriq", (".sdriq",), open_sdriq, is_sdriq),
    Format("VITA-49", (".vrt",), open_vita49, is_vita49),
    Format("PortaPack", tuple(PORTAPACK_SUFFIXES), open_portapack, is_portapack, find_portapack),
    Format("NumPy", (".npy",), open_npy, is_npy),
)


def open_recording(path: str | Path, *, rate: float | None = None, datatype: str | None = None, freq: float | None = None,
                   start: str | tuple[int, float] | None = None, channel: int | None = None,
                   offset_hz: float = 0.0, need_rate: bool = True, skip_s: float = 0.0,
                   seconds: float | None = None) -> Recording:
    """Opens a recording of any format in FORMATS, or raw IQ. What is stated here goes before what the file or its name says.

    Args:
        path: of the recording. SigMF goes by NAME.sigmf-meta, NAME.sigmf-data or NAME.
        rate: Hz.
        datatype: of raw IQ only: a SigMF name such as "cf32_le", "ci16_le", "cu8", or a synonym such as "rtl", "hackrf", "sc16".
        freq: centre frequency in Hz. It is refused if the captures of the file have several.
        start: time of the first sample: ISO 8601, or (whole seconds, fraction) since 1970 UTC.
        channel: of several, counted from 0; None is the first, with a note.
        offset_hz: of a converter between antenna and receiver, added to all frequencies.
        need_rate: False opens a recording, too, whose rate nobody states; it is 0.0 then.
        skip_s: signal to leave out at the beginning, s. start is the time of the file's first sample all the same.
        seconds: signal to read from there, s; None, or more than there is: to the end.

    Raises:
        RecordingArgumentError: the arguments do not go with the path, or rate or data type are not known without one.
        RecordingError: missing, truncated or invalid.
    """
    stated = Stated(rate, datatype, freq, start, channel, offset_hz, skip_s, seconds)
    format_, found = _resolve(Path(path), stated, need_rate)
    named = parse_name(found)
    if format_ is not None:
        recording = format_.open(found, channel=channel)
        recording.format_name = recording.format_name or format_.name
    else:
        recording = _open_raw(found, stated, named)
    return part_of(complete(recording, stated, named, found, need_rate), stated, found)


def find_recordings(path: str | Path, *, rate: float | None = None, datatype: str | None = None, freq: float | None = None,
                    start: str | tuple[int, float] | None = None, channel: int | None = None,
                    offset_hz: float = 0.0, skip_s: float = 0.0, seconds: float | None = None) -> list[Path]:
    """Paths for ``open_recording``: of the recording that `path` names, or of those in a folder (not its subfolders), or of
    those that match a pattern ("archive/**/*.wav"; ** is subfolders, too), by name.

    Args:
        path: a recording, a folder or a pattern.
        rate, datatype, freq, start, channel, offset_hz, skip_s, seconds: as for ``open_recording``.

    Raises:
        RecordingArgumentError: the arguments do not go with the path. RecordingError: there is no recording.
    """
    return find_and_tell(path, rate=rate, datatype=datatype, freq=freq, start=start, channel=channel, offset_hz=offset_hz,
                         skip_s=skip_s, seconds=seconds)[0]


def find_and_tell(path: str | Path, *, need_rate: bool = True, **stated: Any) -> tuple[list[Path], list[str]]:
    """As ``find_recordings``, with notes of what a folder holds and is left out. need_rate: as for ``open_recording``."""
    path, said = Path(path), Stated(**stated)
    said.check(path)
    several = is_pattern(path)
    if not several and (not path.is_dir() or format_of(path, FORMATS)[0] is not None):
        format_, found = _resolve(path, said, need_rate)
        return ([found] if format_ is None or format_.members is None else format_.members(found)), []
    for name, value in (("datatype", said.datatype), ("start", said.start)):
        if value is not None:
            raise RecordingArgumentError(f"{path}: is a {'pattern' if several else 'folder'}, whose recordings state their own "
                                         f"{name}; leave it out, or name one file")
    return search_files(path, matching(path), said, FORMATS) if several else search_folder(path, said, FORMATS)


def _in_dataset(path: Path) -> Recording | None:
    """A file that SigMF metadata name as their samples, if it is of another format."""
    format_, found = format_of(path, [format_ for format_ in FORMATS if format_.name != "SigMF"])
    if format_ is None:
        return None
    recording = format_.open(found)
    recording.format_name = recording.format_name or format_.name
    return recording


def _resolve(path: Path, stated: Stated, need_rate: bool = True) -> tuple[Format | None, Path]:
    """As ``_format_of``, by the rules of ``open_recording``; None is raw IQ."""
    stated.check(path)
    format_, found = format_of(path, FORMATS)
    if format_ is not None:
        if stated.datatype is not None:
            raise RecordingArgumentError(f"{path}: is {format_.name}, which states its own data type and first sample; leave "
                                         f"datatype {stated.datatype} out, it is for raw IQ")
    there = found.exists() or found.parent.is_file()  # the latter: in an archive
    if not there and format_ is not None:
        raise RecordingError(f"{found}: no such recording; check the path")
    if format_ is not None:
        return format_, found
    if path.is_dir():
        raise RecordingError(f"{path}: is a folder; name one recording")
    named = parse_name(path)
    missing = [word for word, value in (("rate in Hz", stated.rate or named.rate or (None if need_rate else 0.0)),
                                        ("datatype (cf32_le, ci16_le, cu8, rtl, hackrf, ...)", stated.datatype or named.datatype))
               if value is None]
    if missing:
        if not there:
            raise RecordingError(f"{found}: no such recording; check the path")
        like = _named_like(path)
        if (why := why_unreadable(path)):
            raise RecordingError(f"{path}: cannot be read ({why}); check the disk and its permissions")
        what = f"its {path.with_suffix(META_SUFFIX).name} is missing" if path.suffix == DATA_SUFFIX else \
            f"is named like {like}, but its content is not" if like else "is no recording that states what it holds"
        raise RecordingArgumentError(f"{path}: {what}; if it is raw IQ, give its {' and its '.join(missing)}")
    return None, path


def _open_raw(path: Path, stated: Stated, named: Named) -> Recording:
    datatype = stated.datatype or named.datatype
    assert datatype is not None  # else it was refused
    recording = open_raw(path, datatype)
    if stated.channel:
        raise RecordingArgumentError(f"{path}: channel {stated.channel} is asked for; raw IQ has one; leave it out")
    recording.format_name = "raw IQ"
    recording.origins["datatype"] = STATED if stated.datatype is not None else NAME
    if like := _named_like(path):
        recording.notes.append(f"{path.name} is named like {like}, but its content is not; it is read as raw IQ, "
                               f"{recording.datatype}")
    return recording


def _named_like(path: Path) -> str:
    """The format that a file has by its name, if the name does not mean raw IQ, too."""
    return "" if parse_name(path).datatype else next((format_.name for format_ in FORMATS if format_.has_name(path)), "")
