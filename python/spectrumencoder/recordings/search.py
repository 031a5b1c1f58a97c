# SPDX-License-Identifier: GPL-3.0-or-later
"""The recordings of a folder: each set of samples once, and never what this program has written about them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from .formats import Format
from .names import parse_name, states_type
from .recording import RecordingError
from .sigmf import about
from .sigmf_meta import META_SUFFIX
from .stated import Stated


def search_folder(folder: Path, stated: Stated, formats: Sequence[Format]) -> tuple[list[Path], list[str]]:
    """``search_files`` of a folder, without its subfolders."""
    return search_files(folder, folder.iterdir(), stated, formats)


def is_pattern(path: Path) -> bool:
    """True if `path` is no file, but a pattern of names such as archive/**/*.wav."""
    return not path.exists() and glob.has_magic(str(path))


def matching(pattern: Path) -> list[Path]:
    """What a pattern matches; ** also matches subfolders of any depth."""
    return [Path(path) for path in glob.glob(os.fspath(pattern), recursive=True)]


def search_files(where: Path, files: Iterable[Path], stated: Stated, formats: Sequence[Format]) -> tuple[list[Path], list[str]]:
    """Paths of the recordings among these files, by name, and notes of what was left out. where: for the error.

    Found are files by the suffixes of the formats, and raw IQ whose name, with what is stated, gives rate and type. Of
    several files about the same samples one is taken: SigMF of the samples' own name, else other SigMF, else the samples.

    Raises:
        RecordingError: there is none.
    """
    found: dict[object, list[tuple[int, Path]]] = {}  # by the samples; files about them with their rank
    own = 0
    for path in sorted(files):
        if not any(format_.is_listed(path) for format_ in formats) and not _is_named_raw(path, stated):
            continue
        rank, samples = 2, path
        if path.name.endswith(META_SUFFIX):
            samples_of, is_own_output = about(path)
            if is_own_output:
                own += 1
                continue
            samples = samples_of or path
            rank = int(samples.stem != path.stem)
        found.setdefault(_identity(samples), []).append((rank, path))
    notes = [f"{own} {'file' if own == 1 else 'files'} with events that this program has found {'is' if own == 1 else 'are'} no "
             "recording, and left out"] if own else []
    paths = []
    for several in found.values():
        kept, *others = (path for _, path in sorted(several))
        paths.append(kept)
        if others:
            notes.append(f"{', '.join(path.name for path in others)} {'is' if len(others) == 1 else 'are'} left out: the same "
                         f"samples as {kept.name}")
    if not paths:
        endings = ", ".join(f"*{suffix}" for format_ in formats for suffix in format_.suffixes)
        raise RecordingError(f"{where}: holds no recording with a name by which a folder is searched ({endings}, or raw IQ "
                             "whose name states rate and type); name a file, or a folder of recordings")
    return sorted(member for path in paths for member in _members(path, formats)), notes


def _is_named_raw(path: Path, stated: Stated) -> bool:
    named = parse_name(path)
    return named.datatype is not None and (stated.rate or named.rate) is not None and states_type(path) and path.is_file()


def _identity(samples: Path) -> object:
    """What two paths to the same samples have in common."""
    try:
        status = samples.stat()
    except OSError:
        return samples
    return status.st_dev, status.st_ino


def _members(path: Path, formats: Sequence[Format]) -> list[Path]:
    """The recordings of a file; the file itself if it is damaged, so that opening it says so."""
    for format_ in formats:
        if format_.members is not None and format_.is_listed(path):
            try:
                return format_.members(path)
            except RecordingError:
                break
    return [path]
