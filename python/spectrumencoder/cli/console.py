# SPDX-License-Identifier: GPL-3.0-or-later
"""Output of the commands: tables and results to stdout, progress and notes to stderr, files atomically."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..atomic_file import cannot_write, write_file
from .errors import CommandError


class _Lasting(Console):
    """A console whose reader may go away: what is printed from then on goes nowhere, and the work goes on."""

    def print(self, *objects, **more):
        try:
            super().print(*objects, **more)
        except (BrokenPipeError, SystemExit):  # the second is how newer versions of rich put it
            gone = os.open(os.devnull, os.O_WRONLY)
            os.dup2(gone, self.file.fileno())
            os.close(gone)


OUT = _Lasting(highlight=False, soft_wrap=True)
NOTES = _Lasting(stderr=True, highlight=False, soft_wrap=True)


def progress_bar(*, quiet: bool = False, counts: bool = False) -> Progress:
    """A progress bar on stderr: drawn on a terminal only, and gone when it is done."""
    columns = [TextColumn("{task.description}"), BarColumn(bar_width=None)]
    columns += [MofNCompleteColumn()] if counts else [TextColumn("{task.percentage:>3.0f} %")]
    return Progress(*columns, TimeRemainingColumn(), console=NOTES, transient=True,
                    disable=quiet or not NOTES.is_terminal)


class ProgressLine:
    """Progress on stderr, called with (activity, done, total); drawn on a terminal only."""

    def __init__(self, *, quiet: bool = False, counts: bool = False):
        self._bar = progress_bar(quiet=quiet, counts=counts)
        self._task = self._bar.add_task("", total=None)

    def __call__(self, what: str, done: int, total: int | None):
        self._bar.update(self._task, description=what, completed=done, total=total)
        self._bar.start()

    def hide(self):
        """Takes the line away until the next call, so that what is printed does not mix with it."""
        self._bar.stop()

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *error):
        self.hide()


def leave(message: str):
    """Reports an error and ends the process without waiting for its threads, one of which hangs."""
    NOTES.print(f"error: {message}", markup=False)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def write_bytes(path: Path, content: bytes):
    """Writes a file atomically: a reader sees the old file or the whole new one.

    Raises:
        CommandError: the folder does not exist or cannot be written.
    """
    try:
        write_file(path, content)
    except OSError as error:
        raise CommandError(cannot_write(path, error)) from error


def write_json(path: Path, content):
    """Writes JSON (indented, keys in the order given) atomically."""
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def give_page(text: str, result: dict, json_file: Path | None, markdown: Path | None):
    """Prints the page of a measurement; writes it, and all figures as JSON, where they are asked for."""
    if json_file is not None:
        write_json(json_file, result)
    if markdown is not None:
        write_bytes(markdown, text.encode())
    OUT.print(text, markup=False)


def check_writable(*paths: Path | None):
    """Finds out before the work, not after it, that a result has nowhere to go.

    Raises:
        CommandError: the folder of a path does not exist or cannot be written, or the path is a folder.
    """
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise CommandError(f"cannot write {path}: it is a folder; name a file in it")
        if not path.parent.is_dir():
            raise CommandError(f"cannot write {path}: there is no folder {path.parent}; make it first")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise CommandError(f"cannot write {path}: it, or its folder, is read-only; name a file in a folder that you may "
                               "write")
