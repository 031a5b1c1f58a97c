# SPDX-License-Identifier: GPL-3.0-or-later
"""Processor time of each thread of this process, by name, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

_BLOCKS = ("fft_tokenizer", "spectrum_encoder", "anomaly_detector", "doma_tracker", "health", "run_probe", "memory_source",
           "paced_source")

MAIN, HELPERS = "main thread", "helper threads"  # the latter: Python's and others' that have no name of their own


class ThreadTimes:
    """Seconds that threads have used since this was made. `read` it while they live: a thread that ended is known up to then."""

    def __init__(self):
        self._tick = 1.0 / os.sysconf("SC_CLK_TCK")
        self._before = self._now()
        self._latest: dict[tuple[int, str], float] = {}

    def read(self):
        self._latest |= self._now()

    def shares(self, wall_s: float, min_share: float = 0.005) -> dict[str, float]:
        """name -> share of one core, largest first. Threads of one name count together; shares under `min_share` are left out."""
        shares: dict[str, float] = {}
        own = Path("/proc/self/comm").read_text().strip()
        for key, used in self._latest.items():
            name = MAIN if key[0] == os.getpid() else HELPERS if key[1] == own else _block_name(key[1])
            shares[name] = shares.get(name, 0.0) + (used - self._before.get(key, 0.0)) / wall_s
        return dict(sorted(((name, share) for name, share in shares.items() if share >= min_share), key=lambda row: -row[1]))

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


def _block_name(thread: str) -> str:
    """The block's name, from the name of its thread.

    GNU Radio names a thread by its block and a number, and Linux keeps 15 characters of it. PyTorch's own threads have the
    name of the thread that made them.
    """
    bare = thread.rstrip("0123456789")
    return next((name for name in _BLOCKS if bare and name.startswith(bare)), thread)
