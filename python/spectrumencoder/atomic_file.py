# SPDX-License-Identifier: GPL-3.0-or-later
"""Atomic files: a reader sees either the old content or the new, even after a crash."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, BinaryIO


def write_file(path: str | Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Writes to a temporary file beside `path`, syncs it to disk, and renames it to `path`.

    Args:
        path: the file; its old content is replaced.
        content: the bytes, or a function that writes them to the open file passed to it.

    Raises:
        OSError: the folder is missing, full or read-only; the old file is untouched, as after any exception from `content`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:  # unlike mkstemp's, its permissions are those of any new file
            if callable(content):
                content(file)
            else:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself
    finally:
        os.close(folder)


def check_can_write(path: str | Path) -> None:
    """Finds out whether ``write_file`` can write `path`, by a file beside it that is gone afterwards. The file is not touched.

    Raises:
        OSError: it cannot, or the file is there and read-only.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "it is read-only")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        draft.open("xb").close()
    finally:
        draft.unlink(missing_ok=True)


def cannot_write(path: str | Path, error: OSError, cure: str = "") -> str:
    """The line for a file that could not be written: its name, why, what to do. cure: unless the disk is full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        cure = "make room"
    cure = cure or f"name a file in a folder that {'you may write' if Path(path).parent.is_dir() else 'exists'}"
    return f"cannot write {path}: {error.strerror or error}; {cure}"


def make_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Makes a folder whole or not at all. write: fills the folder that it is given, which then takes its name.

    Raises:
        OSError: it cannot be made. As after any exception from `write`, nothing of it is left.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}.part"))
    try:
        write(draft)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def close_synced(file: IO | None) -> None:
    """Closes a file after syncing it to disk. None: does nothing."""
    if file is not None:
        with file:
            file.flush()
            os.fsync(file.fileno())
