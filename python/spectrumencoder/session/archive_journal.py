# SPDX-License-Identifier: GPL-3.0-or-later
"""The recordings of an archive, what identifies each, and the journal of those that are finished.

A line of the journal is written once everything of its recording is on the disk, so a run that was killed goes on after it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from ..lines_file import LinesFile
from ..recordings import Recording, RecordingError, open_recording
from ..recordings.recording import iso_time
from ..settings import RUN, of_command
from ..version import VERSION
from .jobs import Plan

JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class Item:
    """A recording of an archive.

    Attributes:
        path: absolute, for ``open_recording``. name: relative to the folder that is searched, as results bear it.
        files: (path, bytes, mtime in ns) of each file that it lies in.
        key: of its name, its files and the settings. Another key is another result.
        start, duration_s, rate_hz, freq_center_hz: as the recording states them; None if it does not, or cannot be opened.
    """

    path: Path
    name: str
    files: tuple[tuple[str, int, int], ...]
    key: str
    start: str | None = None
    duration_s: float | None = None
    rate_hz: float | None = None
    freq_center_hz: float | None = None

    @property
    def stem(self) -> str:
        """Name of the files of its results: readable, and of no other recording."""
        plain = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in self.name)
        return f"{plain[-80:].lstrip('.')}-{self.key[:12]}"


def find_items(plan: Plan, source: str, paths: list[Path], settings: str) -> list[Item]:
    """The recordings that SOURCE stands for, in order. settings: of ``settings_digest``."""
    root = _root(Path(os.path.abspath(source)))
    return [_item(Path(os.path.abspath(path)), root, plan.stated, settings) for path in paths]


def settings_digest(plan: Plan) -> str:
    """sha256 of all that results depend on besides the recordings: models, settings, what is stated, this release."""
    chain = {row.key: getattr(plan.settings, row.key) for row in of_command(RUN) if row.key != "model"}
    meant = [VERSION, plan.model_digest, chain, plan.settings.fit_average, plan.stated]
    return hashlib.sha256(json.dumps(meant, sort_keys=True, default=str).encode()).hexdigest()


def as_found(files: tuple[tuple[str, int, int], ...]) -> str:
    """Why the files are not those that were found; "" if they are. The paths must be readable here."""
    for name, size, mtime_ns in files:
        try:
            status = os.stat(name)
            if not os.access(name, os.R_OK):
                return f"{name} cannot be read (permission denied)"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
        if (status.st_size, status.st_mtime_ns) != (size, mtime_ns):
            return f"{name} is another file: {status.st_size} bytes of {status.st_mtime_ns / 1e9:.3f} s, not {size} bytes of " \
                   f"{mtime_ns / 1e9:.3f} s"
    return ""


class Journal:
    """The journal of an output folder, one writer at a time.

    Attributes: entries: key -> the latest line about it, a dict with `key` and `recording`; further keys are the caller's.

    Raises:
        CannotWrite: another run writes it, or it cannot be written.
    """

    def __init__(self, folder: Path):
        self.entries: dict[str, dict] = {}
        self._file = LinesFile(folder / JOURNAL)
        with (folder / JOURNAL).open(encoding="utf-8") as lines:
            for line in lines:
                entry = json.loads(line)
                self.entries[str(entry.get("key"))] = entry

    def add(self, item: Item, **more) -> dict:
        """Writes a line, on the disk when this returns.

        Raises:
            CannotWrite: the disk is full, or gone.
        """
        entry = {"key": item.key, "recording": item.name, "files": [[Path(name).name, size, mtime] for name, size, mtime in
                                                                     item.files], **more}
        self._file.write(json.dumps(entry))
        self.entries[item.key] = entry  # Ctrl-C may end the wait for the disk
        self._file.sync()
        return entry

    def close(self) -> None:
        """A second call does nothing."""
        self._file.close()


def _root(source: Path) -> Path:
    """The folder that names are relative to: SOURCE itself, or the part of a pattern, or of a path, before its last name."""
    if source.is_dir():
        return source
    while not source.is_dir():
        source = source.parent
    return source


def _item(path: Path, root: Path, stated: dict, settings: str) -> Item:
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    try:
        recording: Recording | None = open_recording(path, **stated)
    except RecordingError:  # running it says why
        recording = None
    files = tuple(_state(file) for file in sorted({_on_disk(path), *(map(_on_disk, recording.data_paths) if recording else ())}))
    seen = [(os.path.relpath(file, root), size, mtime) for file, size, mtime in files]
    key = hashlib.sha256(json.dumps([settings, name, seen]).encode()).hexdigest()
    if recording is None:
        return Item(path, name, files, key)
    start = recording.captures[0].time_parts
    return Item(path, name, files, key, None if start is None else iso_time(start), recording.duration_s, recording.samp_rate,
                recording.frequency_hz)


def _on_disk(path: Path) -> Path:
    """The file that holds a path: the archive of a member, the file itself otherwise."""
    path = Path(os.path.abspath(path))
    return next((one for one in (path, *path.parents) if one.exists()), path)


def _state(path: Path) -> tuple[str, int, int]:
    try:
        status = path.stat()
    except OSError:
        return str(path), -1, -1
    return str(path), status.st_size, status.st_mtime_ns
