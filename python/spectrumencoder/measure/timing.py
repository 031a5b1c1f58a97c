# SPDX-License-Identifier: GPL-3.0-or-later
"""Speed of settings against each other: called in turn on the same input in one run, so that other load hits all alike.

One thread on a CPU is timed by the processor time it used. On a busy machine the wall clock would mostly measure how long it
waited for its turn, which is alike for short and long calls. On a free machine both are the same; both are stated. More
threads, and GPUs, are timed by the wall clock.
"""

from __future__ import annotations

import gc
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

WARM_UP = 2
BOOTSTRAP = 1000
PROCESSOR, WALL = "processor time", "wall clock"


class Seconds(NamedTuple):
    """Seconds of each call (n,): by the wall clock, and used by this thread of the processor."""

    wall: np.ndarray
    processor: np.ndarray


def interleaved(calls: dict[str, Callable[[int], object]], count: int, *, seed: int = 0,
                progress: Callable[[int, int], None] = lambda done, total: None) -> dict[str, Seconds]:
    """Times of each call on inputs 0..count-1. On every input all calls run, in an order drawn anew.

    Python collects no garbage meanwhile: with PyTorch in memory that takes 0.1 s, and always falls into the same call.
    """
    rng, names = np.random.default_rng(seed), list(calls)
    for index in range(min(WARM_UP, count)):
        for call in calls.values():
            call(index)
    seconds = {name: Seconds(np.empty(count), np.empty(count)) for name in names}
    collects = gc.isenabled()
    gc.disable()
    try:
        for index in range(count):
            for place in rng.permutation(len(names)):
                name = names[place]
                began, used = time.perf_counter(), time.thread_time()
                calls[name](index)
                seconds[name].processor[index] = time.thread_time() - used
                seconds[name].wall[index] = time.perf_counter() - began
            progress(index + 1, count)
    finally:
        if collects:
            gc.enable()
    return seconds


def clock_of(device: str, threads: int) -> str:
    """The time that counts on this device: PROCESSOR or WALL."""
    return PROCESSOR if device == "cpu" and threads == 1 else WALL


def speed_up(of: Seconds, against: Seconds, clock: str, frames: int = 1, seed: int = 0) -> dict:
    """How much faster `of` is than `against`, calls on the same inputs of so many frames.

    Returns:
        mean_ms, median_ms (a frame); mean_speed_up (ratio of the sums) and median_speed_up (ratio of the medians) by that clock,
        each with its 95 % interval (bootstrap over the inputs); wall_mean_speed_up, wall_median_speed_up, wall_mean_ms.
    """
    one, other = (times.processor if clock == PROCESSOR else times.wall for times in (of, against))
    drawn = np.random.default_rng(seed).integers(0, len(one), (BOOTSTRAP, len(one)))
    row = {"mean_ms": round(1e3 * float(one.mean()) / frames, 4), "median_ms": round(1e3 * float(np.median(one)) / frames, 4)}
    for name, statistic in (("mean", np.mean), ("median", np.median)):
        ratios = statistic(other[drawn], axis=1) / statistic(one[drawn], axis=1)
        row[f"{name}_speed_up"] = round(float(statistic(other) / statistic(one)), 3)
        row[f"{name}_speed_up_interval"] = [round(float(q), 3) for q in np.quantile(ratios, [0.025, 0.975])]
        row[f"wall_{name}_speed_up"] = round(float(statistic(against.wall) / statistic(of.wall)), 3)
    return row | {"wall_mean_ms": round(1e3 * float(of.wall.mean()) / frames, 4)}


def machine() -> dict:
    """The machine that the times were measured on."""
    return {"cpu": cpu_model(), "torch": torch.__version__, "capability": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads()}


def cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
