# SPDX-License-Identifier: GPL-3.0-or-later
"""The time of the next draw, so that drawing takes at most half of a thread's time. Counts the draws skipped for that."""

from __future__ import annotations

import math


class Pace:
    """Draws are due every `interval_s`. A draw is skipped if it is due within twice the duration of the last one.

    Attributes: draws, skipped (counts).
    """

    def __init__(self, interval_s: float):
        self.interval_s = interval_s
        self.restart()

    def restart(self):
        self.draws = self.skipped = 0
        self._due: float | None = None

    def drew(self, began_s: float, ended_s: float) -> float:
        """Counts a draw; seconds from its end to the next one.

        Args:
            began_s, ended_s: of the draw, by any steady clock.
        """
        self.draws += 1
        due = (began_s if self._due is None else self._due) + self.interval_s
        late = ended_s + (ended_s - began_s) - due
        if late > 0:
            left_out = math.ceil(late / self.interval_s)
            self.skipped += left_out
            due += left_out * self.interval_s
        self._due = due
        return due - ended_s
