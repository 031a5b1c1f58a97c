# SPDX-License-Identifier: GPL-3.0-or-later
"""Joules of a spectrum: the reference's over ours.

Each arm works for a second or so at a time, in turn, while the meter runs. The counters of RAPL and NVML step in milliseconds.
A meter counts the draw of the whole package or GPU. Its draw at rest is measured too, in turn, and stated, and taken off in
`net`. The estimate, if there is no meter, is of this process alone and has no rest to take off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from ..measure.machine import head
from . import reference
from .engines import ARMS, SHIPPED, TORCH, make_engine, noise_frames, open_model
from .latency import LIVE_RATE, REFERENCE
from .meters import find_meter
from .rounds import median_interval

REST = "rest"


@dataclass(frozen=True)
class Sizes:
    """Rounds, seconds of an arm's turn, batch sizes, threads."""

    rounds: int = 10
    seconds: float = 1.0
    batches: tuple[int, ...] = (1, 16)
    threads: int = 1


QUICK = Sizes(2, 0.1, (1, 4))


def energy(models: tuple[str, ...] = SHIPPED, *, sizes: Sizes = Sizes(), watts_per_core: float = 10.0, compute: str = "cpu",
           seed: int = 0, progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Measures the energy of a spectrum.

    Args:
        compute: cpu or cuda.

    Returns:
        head; `meter`, `measured` (False: an estimate), `rest_w`; `rows`: batch -> arm -> mj_per_spectrum {median, low, high},
        net_mj (None for an estimate), cpu_ms_per_spectrum, and for ours `reference_over` the same.

    Raises:
        OSError: no meter on that device.
    """
    meter = find_meter(compute, watts_per_core)
    torch.set_num_threads(sizes.threads)
    result = head("energy", asdict(sizes) | {"models": list(models), "watts_per_core": watts_per_core, "compute": compute,
                                             "dropout_rate": LIVE_RATE, "seed": seed})
    result |= {"meter": meter.about, "measured": meter.measured, "rows": {}}
    rest = []
    for batch in sizes.batches:
        arms = _arms(models, batch, compute)
        if meter.measured:
            arms[REST] = None
        rounds = _rounds(arms, batch, sizes, meter, seed, lambda done, total, b=batch: progress(done, total, f"batch {b}"))
        idle = rounds.pop(REST, None)
        if idle is not None:
            rest += idle[:, 1].tolist()
        result["rows"][str(batch)] = {name: _row(values, rounds[REFERENCE], idle, name) for name, values in rounds.items()}
    result["rest_w"] = float(np.median(rest)) if rest else None
    return result


def _arms(models, batch: int, compute: str) -> dict[str, Callable[[], object] | None]:
    arms = {}
    for name in models:
        model = open_model(name)
        for runtime in ARMS if compute == "cpu" else (TORCH,):
            try:
                engine = make_engine(model, runtime, compute=compute, dropout_rate=LIVE_RATE, pad_batch=0)
            except (ValueError, ImportError):
                continue
            frames = noise_frames(batch, engine.layout)
            arms[f"{name} {runtime}"] = lambda engine=engine, frames=frames: engine.encode(frames)
    network, _ = reference.choose(batch, rounds=4, device=compute)
    tokens = torch.randn(batch, reference.N_TOKENS, reference.TOKEN_DIM)
    arms[REFERENCE] = lambda: network(tokens.to(compute)).cpu()
    return arms


def _rounds(arms: dict, batch: int, sizes: Sizes, meter, seed: int, progress) -> dict[str, np.ndarray]:
    """arm -> (rounds, 3): joules, seconds of the clock and of the processor of a spectrum; for the rest (joules, watts, 0)."""
    rng = np.random.default_rng(seed)
    rows = {name: np.empty((sizes.rounds, 3)) for name in arms}
    for call in filter(None, arms.values()):
        call()
    for number in range(sizes.rounds):
        for name in map(str, rng.permutation(list(arms))):
            call, count = arms[name], 0
            joules, began, used = meter.joules(), time.perf_counter(), time.process_time()
            if call is None:
                time.sleep(sizes.seconds)
            while call is not None and time.perf_counter() - began < sizes.seconds:
                call()
                count += batch
            joules, wall = meter.joules() - joules, time.perf_counter() - began
            rows[name][number] = (joules, joules / wall, 0) if call is None else (
                joules / count, wall / count, (time.process_time() - used) / count)
        progress(number + 1, sizes.rounds)
    return rows


def _row(values: np.ndarray, of_reference: np.ndarray, idle: np.ndarray | None, name: str) -> dict:
    row = {"mj_per_spectrum": median_interval(1e3 * values[:, 0]), "net_mj": None,
           "cpu_ms_per_spectrum": 1e3 * float(np.median(values[:, 2])),
           "wall_ms_per_spectrum": 1e3 * float(np.median(values[:, 1]))}
    if idle is not None:
        row["net_mj"] = median_interval(1e3 * (values[:, 0] - np.median(idle[:, 1]) * values[:, 1]))
    if name != REFERENCE:
        row["reference_over"] = median_interval(of_reference[:, 0] / values[:, 0])
    return row
