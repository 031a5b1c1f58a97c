# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings in files, read and written. No GNU Radio in here. The door is `open_recording`; every format comes in by it.

| file | |
|---|---|
| `recording` | `Recording`: the interface that all formats share; `Capture`, `Annotation`, the errors; recordings in memory |
| `sample_format` | data types: their names and synonyms, bytes to numbers |
| `raw` | samples in a file as they are: raw IQ, and what other formats share with it |
| `sigmf` | SigMF, read |
| `sigmf_writer` | SigMF, written |

A new format is one file here, with a function that returns a `Recording`, and one row of FORMATS.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .raw import check_arguments, open_raw
from .recording import Annotation, Capture, MemoryRecording, Recording, RecordingArgumentError, RecordingError
from .sigmf import DATA_SUFFIX, META_SUFFIX, find_sigmf, open_sigmf

__all__ = ["DATA_SUFFIX", "FORMATS", "META_SUFFIX", "Annotation", "Capture", "Format", "MemoryRecording", "Recording",
           "RecordingArgumentError", "RecordingError", "find_recordings", "open_recording"]


class Format(NamedTuple):
    """A file format that states its own rate and data type.

    Fields:
        name: as people call it.
        suffixes: in small letters, of the files that name a recording; a folder is searched for them.
        open: opens such a file. It raises RecordingError if the file is not valid.
        find: the file to open if a path names a recording of this format, whether the file exists or not; else None. Only
            a format needs it whose recordings go by other paths than those of `suffixes`.
    """

    name: str
    suffixes: tuple[str, ...]
    open: Callable[[Path], Recording]
    find: Callable[[Path], Path | None] | None = None

    def found(self, path: Path) -> Path | None:
        """The file to open if the path names a recording of this format, else None."""
        if self.find is not None:
            return self.find(path)
        return path if path.suffix.lower() in self.suffixes and not path.is_dir() else None

    def lists(self, path: Path) -> bool:
        """True if a search of its folder finds this path."""
        return path.suffix.lower() in self.suffixes and self.found(path) == path


FORMATS = (
    Format("SigMF", (META_SUFFIX,), open_sigmf, find_sigmf),
)


def open_recording(path: str | Path, *, rate: float | None = None, datatype: str | None = None,
                   freq: float | None = None) -> Recording:
    """Opens a recording of any format in FORMATS, or raw IQ if its rate and data type are given.

    Args:
        path: of the recording. SigMF goes by NAME.sigmf-meta, NAME.sigmf-data or NAME.
        rate: Hz, of raw IQ only.
        datatype: of raw IQ only: a SigMF name such as "cf32_le", "ci16_le", "cu8", or a synonym such as "rtl", "hackrf", "sc16".
        freq: centre frequency in Hz, of raw IQ only; None: not known.

    Raises:
        RecordingArgumentError: the arguments do not go with the path. RecordingError: missing, truncated or invalid.
    """
    format_, found = _resolve(Path(path), rate, datatype, freq)
    if format_ is not None:
        return format_.open(found)
    assert rate is not None and datatype is not None  # else it was refused
    return open_raw(found, rate, datatype, freq)


def find_recordings(path: str | Path, *, rate: float | None = None, datatype: str | None = None,
                    freq: float | None = None) -> list[Path]:
    """Paths for ``open_recording``: of the recording that `path` names, or of those in a folder (not its subfolders), by name.

    Args:
        path: a recording or a folder.
        rate, datatype, freq: as for ``open_recording``.

    Raises:
        RecordingArgumentError: the arguments do not go with the path. RecordingError: there is no recording.
    """
    path = Path(path)
    if not path.is_dir() or _format_of(path)[0] is not None:
        return [_resolve(path, rate, datatype, freq)[1]]
    if (rate, datatype, freq) != (None, None, None):
        raise RecordingArgumentError(f"{path}: is a folder, whose recordings state their own rate, datatype and frequency; "
                                     "leave these out, or name one file of raw IQ")
    found = sorted(file for file in path.glob("*") if any(format_.lists(file) for format_ in FORMATS))
    if not found:
        endings = " or ".join(f"*{suffix}" for format_ in FORMATS for suffix in format_.suffixes)
        raise RecordingError(f"{path}: holds no {endings} file; name a folder of recordings")
    return found


def _format_of(path: Path) -> tuple[Format | None, Path]:
    """The format by which the path goes and the file to open; None and the path itself if it goes by none."""
    for format_ in FORMATS:
        if (found := format_.found(path)) is not None:
            return format_, found
    return None, path


def _resolve(path: Path, rate: float | None, datatype: str | None, freq: float | None) -> tuple[Format | None, Path]:
    """As ``_format_of``, by the rules of ``open_recording``; None is raw IQ."""
    check_arguments(path, rate, datatype, freq)
    format_, found = _format_of(path)
    if format_ is not None:
        if (rate, datatype, freq) != (None, None, None):
            raise RecordingArgumentError(f"{path}: is {format_.name}, which states its own rate, datatype and frequency; leave "
                                         "these out, they are for raw IQ")
        if not found.exists():
            raise RecordingError(f"{found}: no such recording; check the path")
    elif rate is None or datatype is None:
        if (rate, datatype, freq) != (None, None, None):
            raise RecordingArgumentError(f"{path}: raw IQ needs both its rate and its datatype, such as 2e6 Hz and ci16_le")
        if path.is_file():
            names = " or ".join(format_.name for format_ in FORMATS)
            raise RecordingArgumentError(f"{path}: is not {names}; if it is raw IQ, give its rate in Hz and its datatype "
                                         "(cf32_le, ci16_le, cu8, rtl, hackrf, ...)")
        raise RecordingError(f"{path}: is a folder; name one recording" if path.is_dir() else
                             f"{path}: no such recording; check the path")
    return format_, found
