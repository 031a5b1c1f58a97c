# SPDX-License-Identifier: GPL-3.0-or-later
"""The recordings of a folder: each set of samples once, and never what this program has written about them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .formats import Format
from .names import parse_name, states_type
from .recording import RecordingError
from .sigmf import dataset_path, is_own_output
from .sigmf_meta import META_SUFFIX
from .stated import Stated


def search_folder(folder: Path, stated: Stated, formats: Sequence[Format]) -> tuple[list[Path], list[str]]:
    """Paths of the recordings in a folder (not its subfolders), by name, and notes of what was left out.

    Found are files by the suffixes of the formats, and raw IQ whose name, with what is stated, gives rate and type. Of
    several files of metadata for the same samples one is taken: that of the samples' own name, if there is one.

    Raises:
        RecordingError: there is none.
    """
    found: dict[object, list[Path]] = {}
    own = 0
    for path in sorted(folder.iterdir()):
        listed = next((format_ for format_ in formats if format_.is_listed(path)), None)
        if listed is None and not _is_named_raw(path, stated):
            continue
        if path.name.endswith(META_SUFFIX) and is_own_output(path):
            own += 1
            continue
        found.setdefault(_identity(path), []).append(path)
    notes = [f"{own} {'file' if own == 1 else 'files'} with events that this program has found {'is' if own == 1 else 'are'} no "
             "recording, and left out"] if own else []
    paths = []
    for several in found.values():
        kept, *others = sorted(several, key=_rank)
        paths.append(kept)
        if others:
            notes.append(f"{', '.join(path.name for path in others)} {'is' if len(others) == 1 else 'are'} left out: the same "
                         f"samples as {kept.name}")
    if not paths:
        endings = ", ".join(f"*{suffix}" for format_ in formats for suffix in format_.suffixes)
        raise RecordingError(f"{folder}: holds no recording with a name by which a folder is searched ({endings}, or raw IQ "
                             "whose name states rate and type); name a file, or a folder of recordings")
    return sorted(member for path in paths for member in _members(path, formats)), notes


def _is_named_raw(path: Path, stated: Stated) -> bool:
    named = parse_name(path)
    return named.datatype is not None and (stated.rate or named.rate) is not None and states_type(path) and path.is_file()


def _identity(path: Path) -> object:
    """What two files of the same samples have in common."""
    samples = dataset_path(path) if path.name.endswith(META_SUFFIX) else path
    try:
        status = (samples or path).stat()
    except OSError:
        return path
    return status.st_dev, status.st_ino


def _rank(path: Path) -> tuple[int, str]:
    """The order among files of the same samples: SigMF of the samples' own name, other SigMF, others."""
    if not path.name.endswith(META_SUFFIX):
        return 2, path.name
    samples = dataset_path(path)
    return int(samples is None or samples.stem != path.stem), path.name


def _members(path: Path, formats: Sequence[Format]) -> list[Path]:
    """The recordings of a file; the file itself if it is damaged, so that opening it says so."""
    for format_ in formats:
        if format_.members is not None and format_.is_listed(path):
            try:
                return format_.members(path)
            except RecordingError:
                break
    return [path]
