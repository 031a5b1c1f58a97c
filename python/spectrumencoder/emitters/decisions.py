# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's decisions on a running detector; ``commands`` carries them out."""

from __future__ import annotations

from . import commands
from .registry import Registry


class Decisions:
    """What an operator may decide about the emitters of a ``registry``."""

    registry: Registry

    def accept(self, emitter_id: int) -> None:
        """The emitter of the number emitter_id belongs to the band from here on. Raises ValueError: there is none."""
        commands.accept(self.registry, emitter_id)

    def name(self, emitter_id: int, text: str) -> None:
        """Gives an emitter a name. emitter_id: its number. text: the name, "" for none.

        Raises:
            ValueError: there is none of this number, or the text is no line.
        """
        commands.name(self.registry, emitter_id, text)

    def ignore(self, low_hz: float, high_hz: float) -> None:
        """No signal from low_hz to high_hz alerts from here on. Raises ValueError: it is no range."""
        commands.ignore(self.registry, low_hz, high_hz)

    def ignore_emitter(self, emitter_id: int) -> None:
        """Ignores the range of the emitter with the number emitter_id. Raises ValueError: there is none of this number."""
        commands.ignore_emitter(self.registry, emitter_id)

    def unignore(self, low_hz: float, high_hz: float) -> None:
        """Ignored ranges that overlap low_hz to high_hz alert again. Raises ValueError: there is none."""
        commands.unignore(self.registry, low_hz, high_hz)
