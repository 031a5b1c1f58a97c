# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the band of a running detector in its file, and takes over what an operator decides on that file meanwhile.

Detector and command line both change the file. Each reads, changes and writes it under a lock on its folder, so that no decision
is lost. The lock ends with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from ..atomic_file import cannot_write, check_can_write
from .band_file import BandFile, BandFileError, load, write
from .registry import Registry

SAVE_S, LOOK_S = 30.0, 1.0  # between two saves, and between two looks at the file


class Decision(NamedTuple):
    """A command of an operator: accept, name, ignore or unignore, and its arguments, as the detector's method takes them."""

    command: str
    arguments: tuple


@contextmanager
def locked(path: Path | str) -> Iterator[None]:
    """Holds the lock on the folder of a band file.

    Raises:
        BandFileError: there is no such folder, or it cannot be read.
    """
    try:
        folder = os.open(Path(path).parent, os.O_RDONLY)
    except OSError as error:
        raise BandFileError(cannot_write(path, error)) from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def check_band_file(path: Path | str) -> None:
    """Finds out before a run, not after it, that its band file cannot be written. Nothing is left behind.

    Raises:
        BandFileError: its folder is missing or read-only, or the file is there and read-only, or it is a folder.
    """
    with locked(path):
        try:
            check_can_write(path)
        except OSError as error:
            raise BandFileError(cannot_write(path, error)) from error


def change(path: Path | str, command: Callable[[Registry], object]) -> BandFile:
    """Reads a band file, changes its registry, and writes it. Returns the band.

    Raises:
        BandFileError: the file cannot be read or written. Others as the command.
    """
    with locked(path):
        band = load(path)
        command(band.registry)
        band.save(path)
    return band


class BandKeeper:
    """The band file of a running detector.

    Args:
        path: the file; it need not be there.
        lock: held by whoever uses the detector.

    Raises:
        BandFileError: the file cannot be written.
    """

    def __init__(self, path: Path | str, lock: AbstractContextManager):
        self.path, self._detector = Path(path), lock
        self._file = threading.Lock()
        self._mark: tuple | None = None  # of the file that was read or written last
        self._created_s = 0.0
        check_band_file(self.path)

    def load(self) -> BandFile | None:
        """The band of the file; None if there is no file. Raises BandFileError: it is no band file, or a damaged one."""
        with self._file, locked(self.path):
            return self._read() if self.path.exists() else None

    def save(self, decide: Callable[[list[Decision]], None], ours: Callable[[], BandFile]):
        """Writes the present state, with what others decided on the file since it was read or written last.

        Args:
            decide: carries out their decisions. ours: the present state. Both are called with the detector's lock held.

        Raises:
            BandFileError: the file cannot be written.
        """
        with self._file, locked(self.path):
            theirs = self._read() if self._changed() else None
            with self._detector:
                if theirs is not None:
                    decide(decisions(theirs.registry, ours().registry))
                band = ours()
                band.created_s = self._created_s
                content = band.stamped().to_bytes()
                self._created_s = band.created_s
            write(self.path, content)
            self._mark = self._mark_now()

    def look(self, decide: Callable[[list[Decision]], None], ours: Callable[[], Registry]):
        """Carries out what others decided on the file since it was read or written last; see ``save``.

        Raises:
            BandFileError: the file is damaged.
        """
        if self._changed():
            with self._file, locked(self.path):
                theirs = self._read()
                with self._detector:
                    decide(decisions(theirs.registry, ours()))

    def _read(self) -> BandFile:
        mark, band = self._mark_now(), load(self.path)
        self._created_s, self._mark = band.created_s, mark
        return band

    def _changed(self) -> bool:
        now = self._mark_now()
        return now is not None and now != self._mark

    def _mark_now(self) -> tuple | None:
        try:
            now = self.path.stat()
        except OSError:
            return None
        return now.st_ino, now.st_mtime_ns, now.st_size


def decisions(theirs: Registry, ours: Registry) -> list[Decision]:
    """The commands that make the operator's part of our registry like theirs."""
    found = [Decision("unignore", ends) for ends in ours.ignored if ends not in theirs.ignored]
    found += [Decision("ignore", ends) for ends in theirs.ignored if found or ends not in ours.ignored]
    for emitter in theirs.emitters.values():
        mine = ours.emitters.get(emitter.id)
        if mine is not None and emitter.accepted and not mine.accepted:
            found.append(Decision("accept", (emitter.id,)))
        if mine is not None and emitter.name != mine.name:
            found.append(Decision("name", (emitter.id, emitter.name)))
    return found
