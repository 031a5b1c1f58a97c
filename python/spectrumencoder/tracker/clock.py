# SPDX-License-Identifier: GPL-3.0-or-later
"""One clock for reports of many senders: which of their times to believe.

A report is in time if it is at most `reorder_s` older and at most `ahead_s` newer than the newest one. Others are refused, unless
several refused ones in a row agree with each other. Then the clock was set, a recording was started again, or nothing came for
long, and time goes on from there.
"""

from __future__ import annotations

ON_TIME, OLD, AHEAD, RESET = "on_time", "old", "ahead", "reset"
_AGREE = 5  # number of refused reports in a row, in order and close together, that set the clock
_CLOSE_S = 10.0


class Clock:
    """Judges the times of reports.

    Args:
        reorder_s: seconds that a report may be older than the newest one.
        ahead_s: seconds that it may be newer.

    Attributes:
        time_s: the newest time believed; None before any.
    """

    def __init__(self, reorder_s: float = 10.0, ahead_s: float = 600.0):
        self.reorder_s, self.ahead_s = float(reorder_s), float(ahead_s)
        self.time_s: float | None = None
        self._refused: list[float] = []

    def judge(self, time_s: float) -> str:
        """Returns ON_TIME, OLD, AHEAD, or RESET: the time is believed, and everything before is of another time."""
        if self.time_s is None or -self.reorder_s <= time_s - self.time_s <= self.ahead_s:
            self.time_s = time_s if self.time_s is None else max(self.time_s, time_s)
            self._refused.clear()
            return ON_TIME
        verdict = OLD if time_s < self.time_s else AHEAD
        if self._refused and not 0 <= time_s - self._refused[-1] <= _CLOSE_S:
            self._refused.clear()
        self._refused.append(time_s)
        if len(self._refused) < _AGREE:
            return verdict
        self.time_s = time_s
        self._refused.clear()
        return RESET
