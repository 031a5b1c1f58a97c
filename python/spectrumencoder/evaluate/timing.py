# SPDX-License-Identifier: GPL-3.0-or-later
"""Speed of settings against each other: called in turn on the same input in one run, so that other load hits all alike."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

WARM_UP = 2
BOOTSTRAP = 1000


def interleaved(calls: dict[str, Callable[[int], object]], count: int, *, seed: int = 0,
                progress: Callable[[int, int], None] = lambda done, total: None) -> dict[str, np.ndarray]:
    """Seconds of each call on inputs 0..count-1: {name: (count,)}. On every input all calls run, in an order drawn anew."""
    rng, names = np.random.default_rng(seed), list(calls)
    for index in range(min(WARM_UP, count)):
        for call in calls.values():
            call(index)
    seconds = {name: np.empty(count) for name in names}
    for index in range(count):
        for place in rng.permutation(len(names)):
            name = names[place]
            began = time.perf_counter()
            calls[name](index)
            seconds[name][index] = time.perf_counter() - began
        progress(index + 1, count)
    return seconds


def speed_up(of: np.ndarray, against: np.ndarray, frames: int = 1, seed: int = 0) -> dict:
    """How much faster `of` (n,) is than `against` (n,), seconds of calls on the same inputs of so many frames.

    Returns:
        mean_ms, median_ms (a frame); mean_speed_up (ratio of the sums) and median_speed_up (ratio of the medians), each with its
        95 % interval (bootstrap over the inputs).
    """
    drawn = np.random.default_rng(seed).integers(0, len(of), (BOOTSTRAP, len(of)))
    row = {"mean_ms": round(1e3 * float(of.mean()) / frames, 4), "median_ms": round(1e3 * float(np.median(of)) / frames, 4)}
    for name, statistic in (("mean", np.mean), ("median", np.median)):
        ratios = statistic(against[drawn], axis=1) / statistic(of[drawn], axis=1)
        row[f"{name}_speed_up"] = round(float(statistic(against) / statistic(of)), 3)
        row[f"{name}_speed_up_interval"] = [round(float(q), 3) for q in np.quantile(ratios, [0.025, 0.975])]
    return row


def machine() -> dict:
    """What the times were measured on."""
    return {"cpu": _cpu_model(), "torch": torch.__version__, "capability": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads()}


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
