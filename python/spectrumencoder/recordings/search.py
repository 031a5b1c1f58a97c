# SPDX-License-Identifier: GPL-3.0-or-later
"""The recordings of a folder: each set of samples once, and never what this program has written about them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from .formats import Format, format_of, head_of
from .names import parse_name, states_type
from .recording import RecordingError
from .sigmf import about
from .sigmf_meta import DATA_SUFFIX, META_SUFFIX
from .stated import Stated

_MAX_NAMES = 3  # of the files that a note is about
_OWN_ENCODED = b"\xd5SE"  # begins a file of run --encoded: MAGIC of encoder.pdu, which recordings do not import


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

    Found are files by the suffixes of the formats, and raw IQ whose name, with what is stated, gives rate and type. So are files
    that have such a name and another content, or lost their metadata: opening one says what is wrong. Of several files about
    the same samples one is taken: SigMF of the samples' own name, else other SigMF, else the samples.

    Raises:
        RecordingError: there is none.
    """
    found: dict[object, list[tuple[int, Path]]] = {}  # by the samples; files about them with their rank
    own, others = [], []
    for path in sorted(files):
        if not any(format_.is_listed(path) for format_ in formats) and not _is_named_raw(path, stated):
            others.append(path)
            continue
        rank, samples = 2, path
        if path.name.endswith(META_SUFFIX):
            samples_of, is_own_output = about(path)
            if is_own_output:
                own.append(samples_of or path)
                continue
            samples = samples_of or path
            rank = int(samples.stem != path.stem)
        found.setdefault(_identity(samples), []).append((rank, path))
    used = {*found, *map(_identity, own)}
    unclear: list[Path] = []
    for path in others:
        if _identity(path) not in used and _is_meant(path, formats):
            if _is_known(path, formats):
                found[_identity(path)] = [(0, path)]
            else:
                unclear.append(path)
    notes = [f"{len(own)} {'file' if len(own) == 1 else 'files'} with events that this program has found "
             f"{'is' if len(own) == 1 else 'are'} no recording, and left out"] if own else []
    paths = []
    for several in found.values():
        kept, *same = (path for _, path in sorted(several))
        paths.append(kept)
        if same:
            notes.append(f"{', '.join(path.name for path in same)} {'is' if len(same) == 1 else 'are'} left out: the same "
                         f"samples as {kept.name}")
    notes += _notes_on_unclear(unclear, stated)
    if not paths:
        endings = ", ".join(f"*{suffix}" for format_ in formats for suffix in format_.suffixes)
        raise RecordingError("; ".join([f"{where}: holds no recording with a name by which a folder is searched ({endings}, or "
                                        "raw IQ whose name states rate and type); name a file, or a folder of recordings",
                                        *notes]))
    return sorted(member for path in paths for member in _members(path, formats)), notes


def _is_meant(path: Path, formats: Sequence[Format]) -> bool:
    """True if a file that no search lists has the name of a recording, and is no part of another and no output of ours."""
    if path.is_dir() or not (path.is_file() or path.is_symlink()) or not (_has_own_name(path, formats) or states_type(path)):
        return False
    return format_of(path, formats)[1] == path and not head_of(path).startswith(_OWN_ENCODED)


def _is_known(path: Path, formats: Sequence[Format]) -> bool:
    """True if opening the file gives a recording, or says what is wrong with it; False of raw IQ that nobody has described."""
    return _has_own_name(path, formats) or format_of(path, formats)[0] is not None


def _has_own_name(path: Path, formats: Sequence[Format]) -> bool:
    """True if the name of a file means one format, which states itself what it holds."""
    return path.suffix == DATA_SUFFIX or any(format_.has_name(path) for format_ in formats if format_.find is None and
                                             not format_.shares_suffix)


def _notes_on_unclear(paths: list[Path], stated: Stated) -> list[str]:
    """A line for each kind of raw IQ of which nobody says the rate or the type."""
    kinds: dict[tuple[bool, bool], list[str]] = {}
    for path in paths:
        named = parse_name(path)
        kinds.setdefault((not (stated.rate or named.rate), named.datatype is None), []).append(path.name)
    notes = []
    for (no_rate, no_type), names in kinds.items():
        missing = "neither rate nor format" if no_rate and no_type else "no rate" if no_rate else "no format"
        way = "give --rate" if no_rate and not no_type else \
            f"run {'it by its name' if len(names) == 1 else 'each by its name'}, with {'--rate and ' * no_rate}--format"
        listed = ", ".join(names[:_MAX_NAMES]) + (f" and {len(names) - _MAX_NAMES} more" if names[_MAX_NAMES:] else "")
        notes.append(f"{len(names)} {'file' if len(names) == 1 else 'files'} left out: {listed} "
                     f"{'says' if len(names) == 1 else 'say'} {missing}; {way}")
    return notes


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
