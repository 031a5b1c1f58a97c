# SPDX-License-Identifier: GPL-3.0-or-later
"""The busy neighbour: a process that multiplies matrices, stopped and let go again between rounds."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager

from . import child
from .rounds import BUSY, QUIET

_SIZE = 512


@contextmanager
def conditions(busy_neighbour: bool):
    """Gives the conditions of a run and the function that enters one: quiet alone, or quiet and beside a busy neighbour."""
    if not busy_neighbour:
        yield (QUIET,), lambda condition: None
        return
    process = child.start("busy", "spin")
    try:
        child.ready(process)
        process.send_signal(signal.SIGSTOP)
        yield (QUIET, BUSY), lambda condition: process.send_signal(signal.SIGCONT if condition == BUSY else signal.SIGSTOP)
    finally:
        process.kill()
        process.communicate()


def spin():
    """Multiplies matrices on one thread until it is killed."""
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    import numpy as np
    a, out = np.ones((_SIZE, _SIZE), np.float32), np.empty((_SIZE, _SIZE), np.float32)
    print("spins", flush=True)  # noqa: T201 (read by the parent)
    while True:
        np.matmul(a, a, out=out)
