# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes on the sources of a command, as lines on stderr: on one source at once, on a folder's in the end, with their names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .console import NOTES

_MAX_NAMES = 3  # in a line
_NUMBER = re.compile(r"\d[\d.e+-]*")


class Notes:
    """Prints the notes on the sources of one command, each once.

    Args:
        folder: several recordings. Their notes wait for ``print_folder``, which says the same of many in one line.
        quiet: print nothing.
    """

    def __init__(self, *, folder: bool, quiet: bool):
        self._folder, self._quiet = folder, quiet
        self._said: dict[str, list[tuple[str, str]]] = {}  # by the text without numbers and names of files: (name, text)

    def add(self, name: str, notes: Iterable[str]) -> None:
        """Takes the notes on a source."""
        for text in () if self._quiet else dict.fromkeys(notes):
            alike = _NUMBER.sub("#", re.sub(rf"(?<!\w){re.escape(name)}(?=\.\w)", "NAME", text)) if self._folder else text
            several = self._said.setdefault(alike, [])
            several.append((name, text))
            if not self._folder and len(several) == 1:
                NOTES.print(f"note: {text}", markup=False)

    def print_folder(self) -> None:
        """Prints what waits. A second call prints what came since."""
        for several in self._said.values() if self._folder else ():
            NOTES.print(f"note: {_line(several)}", markup=False)
        self._said.clear()


def _line(several: list[tuple[str, str]]) -> str:
    """One line about the recordings that have the same note, but for its numbers."""
    (first, text), *others = several
    if not others:
        return f"{first}: {text}"
    names = ", ".join(name for name, _ in several[:_MAX_NAMES])
    more = f" and {len(several) - _MAX_NAMES} more" if several[_MAX_NAMES:] else ""
    numbers = "" if all(other == text for _, other in others) else f", with the numbers of {first}"
    return f"{len(several)} recordings ({names}{more}){numbers}: {text}"
