# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on the air while the band is learned: signals that stand out of the noise, with no claim that they do not belong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import keys
from .emitter import Emitter
from .listing import rows_of
from .parts import parts_of
from .registry import Registry
from .tuning import TuningState

FIRST_S = 1.0  # of signal, before the first look; the next ones come after twice, four times, ... as much


class OnAir:
    """Lists signals while they are learned, each once.

    Attributes:
        rows: those so far, as ``listing.describe`` has them. One that was always there has no number yet: it is None.
        waiting: lists of a look each, which nobody has taken: signal that was learned (s), number of rows before, rows.
    """

    def __init__(self):
        self.rows: list[dict[str, Any]] = []
        self.waiting: list[tuple[float, int, list[dict[str, Any]]]] = []
        self._due_s = FIRST_S

    def again(self):
        """Learning begins again, at other tunings."""
        self._due_s = FIRST_S

    def look(self, registry: Registry, heard_at: Callable[[Sequence[TuningState]], list[Emitter]],
             tunings: Sequence[TuningState], learned_s: float, last: bool = False):
        """Lists what is not listed yet, if it is time, or the last time.

        Args:
            registry: of all emitters. heard_at: gives those that were heard at tunings. tunings: that are learned.
            learned_s: signal that was learned there.
        """
        if learned_s < self._due_s and not last:
            return
        heard = heard_at(tunings)
        while self._due_s <= learned_s:
            self._due_s *= 2.0
        lasting, pieces = Registry(), []
        for number, tuning in enumerate(tunings):
            if tuning.background.ready:
                for standing in tuning.steady.standing(tuning.background.mean_db, tuning.background.noise_db, 0.0, 0.0):
                    emitter = lasting.add(standing.sign, belongs=True, learned=True)
                    emitter.steady = True
                    pieces.append(tuning.steady.piece(emitter, standing.low, standing.high, number))
        parts = parts_of(pieces, heard)
        for part, whole in parts:
            if part.steady:
                part.part_of = whole.id
        skirts = {part.id for part, _ in parts if not part.steady}
        rows = [row | {keys.EMITTER_ID: None, keys.FIRST_HEARD: None, keys.LAST_HEARD: None} for row in rows_of(lasting)]
        rows += [row for row in rows_of(registry, only=heard) if row[keys.EMITTER_ID] not in skirts]
        before = len(self.rows)
        for row in rows:
            if not any(_same(row, other) for other in self.rows):
                self.rows.append(row)
        if len(self.rows) > before:
            self.waiting.append((learned_s, before, self.rows[before:]))


def _same(row: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two rows are about one signal: the same number, or one lies in the middle of the other."""
    if row[keys.EMITTER_ID] is not None and row[keys.EMITTER_ID] == other[keys.EMITTER_ID]:
        return True
    apart = abs(row[keys.FREQ_CENTER_HZ] - other[keys.FREQ_CENTER_HZ])
    if row[keys.EMITTER_ID] is not None and other[keys.EMITTER_ID] is not None:
        return False
    return apart < 0.5 * max(row[keys.BANDWIDTH_HZ], other[keys.BANDWIDTH_HZ])
