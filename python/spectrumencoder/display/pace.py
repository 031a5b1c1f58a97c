# SPDX-License-Identifier: GPL-3.0-or-later
"""When to draw next, so that drawing takes at most half of a thread's time, and how many draws were left out for that."""

from __future__ import annotations

import math


class Pace:
    """Draws are due every `interval_s`; one that is due before twice the time of the last one has passed is left out.

    Attributes: draws, skipped (numbers of them).
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
