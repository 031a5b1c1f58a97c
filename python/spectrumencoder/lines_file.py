# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of JSON lines that are written while a run goes on: one writer, whole lines, kept by the next run."""

from __future__ import annotations

import fcntl
import json
import math
import os
import stat
from pathlib import Path

KEPT = 9  # files of earlier lines, FILE.1 (the newest) to FILE.9
_STEP = 1 << 16


class CannotWrite(OSError):
    """A file that cannot be written; one line that names it, says why, and what to do."""


class LinesFile:
    """One JSON object a line. What is not a regular file (a FIFO, a terminal) is written without lock and repair.

    Args:
        path: the file. It is locked (``flock``) while it is open: a second writer is refused.
        append: keep what the file holds. A last line that was cut off is completed if it is JSON, else removed.
        max_bytes: a file of that size becomes FILE.1, and FILE.1 becomes FILE.2, up to ``KEPT``; 0: it grows without limit.

    Raises:
        CannotWrite: another program writes the file, or it holds something else than JSON lines, or cannot be opened.
    """

    def __init__(self, path: str | Path, *, append: bool = True, max_bytes: int = 0):
        self.path, self._max_bytes = Path(path), int(max_bytes)
        self._fd, self._size, self._regular = -1, 0, True
        self._open(append)

    def write(self, line: str) -> None:
        """Appends a line in one call of the system. A line that finds the disk full leaves nothing of itself.

        Raises:
            CannotWrite: it cannot be written whole.
        """
        data = (line + "\n").encode()
        if self._max_bytes and self._regular and self._size and self._size + len(data) > self._max_bytes:
            self._rotate()
        done = 0
        try:
            while done < len(data):
                done += os.write(self._fd, data[done:])
        except OSError as error:
            if done and self._regular:
                os.ftruncate(self._fd, self._size)
            raise self._cannot(error) from error
        self._size += len(data)

    def sync(self) -> None:
        """Puts what was written on the disk.

        Raises:
            CannotWrite: it cannot be written.
        """
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise self._cannot(error) from error

    def close(self) -> None:
        """Syncs it to disk and closes it. A second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                if self._regular:
                    os.fsync(fd)
            except OSError as error:
                raise self._cannot(error) from error
            finally:
                os.close(fd)

    def _open(self, append: bool):
        try:
            self._regular = not self.path.exists() or stat.S_ISREG(self.path.stat().st_mode)
            if not self._regular:
                self._fd = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
                return
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._size = self._end() if append else 0
            os.ftruncate(self._fd, self._size)
        except BlockingIOError as error:
            self._drop()
            raise CannotWrite(f"cannot write {self.path}: another program writes it; end that, or name another file") from error
        except OSError as error:
            self._drop()
            raise error if isinstance(error, CannotWrite) else self._cannot(error) from error

    def _drop(self):
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _end(self) -> int:
        """Size up to the end of the last whole line."""
        size = os.fstat(self._fd).st_size
        if not size:
            return 0
        if os.pread(self._fd, 1, 0) != b"{":
            raise CannotWrite(f"cannot write {self.path}: it holds something else than JSON lines; name another file")
        begin, tail = size, b""
        while begin and b"\n" not in tail:
            begin = max(0, begin - _STEP)
            tail = os.pread(self._fd, size - begin - len(tail), begin) + tail
        whole, newline, last = tail.rpartition(b"\n")
        if not last:
            return size
        try:
            json.loads(last)
        except ValueError:
            return begin + len(whole) + len(newline)
        os.write(self._fd, b"\n")
        return size + 1

    def _rotate(self):
        self.close()
        try:
            for number in range(KEPT, 0, -1):
                older = self._numbered(number - 1)
                if older.exists():
                    os.replace(older, self._numbered(number))
        except OSError as error:
            raise self._cannot(error) from error
        self._open(append=True)

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path

    def _cannot(self, error: OSError) -> CannotWrite:
        return CannotWrite(f"cannot write {self.path}: {error.strerror or error}; make room, or name a file in another folder")


def lines_from(path: Path, size: int) -> list[dict]:
    """The objects that a file holds behind its first `size` bytes; all of them if it has been turned over since."""
    content = path.read_bytes()
    return [json.loads(line) for line in content[size if size <= len(content) else 0:].splitlines() if line]


def close(file: LinesFile | None) -> None:
    """Closes a file; None: does nothing."""
    if file is not None:
        file.close()


def finite(value):
    """The same value with NaN and infinities, which JSON does not know, as None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
