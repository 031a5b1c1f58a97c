# SPDX-License-Identifier: GPL-3.0-or-later
"""Processor time of each thread of this process, by name, from /proc."""

from __future__ import annotations

import os
from pathlib import Path


class ThreadTimes:
    """Seconds that threads have used since this was made. `read` it while they live: what ended is known up to then."""

    def __init__(self):
        self._tick = 1.0 / os.sysconf("SC_CLK_TCK")
        self._before = self._now()
        self._latest: dict[tuple[int, str], float] = {}

    def read(self):
        self._latest |= self._now()

    def shares(self, wall_s: float, least: float = 0.005) -> dict[str, float]:
        """name -> share of one core, largest first; threads of one name together, and those under `least` left out."""
        shares: dict[str, float] = {}
        for key, used in self._latest.items():
            shares[key[1]] = shares.get(key[1], 0.0) + (used - self._before.get(key, 0.0)) / wall_s
        return dict(sorted(((name, share) for name, share in shares.items() if share >= least), key=lambda row: -row[1]))

    def _now(self) -> dict[tuple[int, str], float]:
        """(thread, name) -> seconds, user and system."""
        seconds = {}
        for path in Path("/proc/self/task").iterdir():
            try:
                text = (path / "stat").read_text()
            except OSError:  # it has ended meanwhile
                continue
            name, _, fields = text.partition("(")[2].rpartition(")")
            user, system = fields.split()[11:13]
            seconds[int(path.name), name] = (int(user) + int(system)) * self._tick
        return seconds
