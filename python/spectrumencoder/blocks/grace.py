# SPDX-License-Identifier: GPL-3.0-or-later
"""A grace period that a busy machine does not shorten: it tells a thread that hangs from one that waits for a processor."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

LONGEST = 10.0  # times the period, after which it is over in any case


class Grace:
    """Counts the seconds from its making, less those in which a thread of this process was ready and got no processor.

    Args:
        seconds: of the period.
        clock, waits: for tests. waits() gives, by thread, the seconds that it has waited for a processor so far.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic,
                 waits: Callable[[], dict[str, float]] | None = None):
        self._seconds, self._clock, self._waits = seconds, clock, waits or waits_s
        self._began, self._starved, self._before = clock(), 0.0, self._waits()

    def spent_s(self) -> float:
        """The seconds that count. Ask often: threads that wait one after the other count in full only if each is seen."""
        now = self._waits()
        self._starved += max((waited - self._before.get(thread, waited) for thread, waited in now.items()), default=0.0)
        self._before = now
        return max(self._clock() - self._began - self._starved, 0.0)

    def is_over(self) -> bool:
        return self.spent_s() >= self._seconds or self._clock() - self._began >= LONGEST * self._seconds


def waits_s(process: int | str = "self") -> dict[str, float]:
    """Seconds that each thread of a process was ready and waited for a processor. Empty if the system does not count them."""
    found = {}
    try:
        for task in Path(f"/proc/{process}/task").iterdir():
            try:
                found[task.name] = 1e-9 * int((task / "schedstat").read_text().split()[1])
            except (OSError, IndexError, ValueError):  # the thread has ended
                continue
    except OSError:
        pass
    return found
