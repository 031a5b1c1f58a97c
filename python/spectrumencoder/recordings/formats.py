# SPDX-License-Identifier: GPL-3.0-or-later
"""What a format is, and which one a file has: by its content first, by its name second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from .recording import Recording

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
        members: the recordings that such a file stands for, if there may be several; it raises RecordingError.
        shares_suffix: True if other files than recordings have the suffixes, too.
    """

    name: str
    suffixes: tuple[str, ...]
    open: Callable[..., Recording]
    is_one: Callable[[Path, bytes], bool]
    find: Callable[[Path], Path | None] | None = None
    members: Callable[[Path], list[Path]] | None = None
    shares_suffix: bool = False

    def has_name(self, path: Path) -> bool:
        """True if a file has one of the suffixes."""
        return bool(self.suffixes) and path.name.lower().endswith(self.suffixes)

    def is_listed(self, path: Path) -> bool:
        """True if a search of its folder finds this path as a recording of this format."""
        if path.is_dir():
            return not self.suffixes and self.is_one(path, b"")
        return self.has_name(path) and (self.is_one(path, head_of(path)) if self.find is None else self.find(path) == path)


def format_of(path: Path, formats: Sequence[Format]) -> tuple[Format | None, Path]:
    """The format by which the path goes and the file to open; None and the path itself if it goes by none.

    A path that names a recording of several files goes first, then the content.
    """
    for format_ in formats:
        if format_.find is not None and (found := format_.find(path)) is not None:
            return format_, found
    head = head_of(path)
    return next((format_ for format_ in formats if format_.is_one(path, head)), None), path


def head_of(path: Path) -> bytes:
    """The first bytes of a regular file; none of anything else, or of one that cannot be read."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                return file.read(HEAD_BYTES)
    except OSError:  # the reader says it in its own words
        pass
    return b""


def why_unreadable(path: Path) -> str:
    """The reason why the first byte of a regular file cannot be read; "" if it can, and of anything else."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                file.read(1)
    except OSError as error:
        return error.strerror or str(error)
    return ""
