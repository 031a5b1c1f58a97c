# SPDX-License-Identifier: GPL-3.0-or-later
"""Spectra a second by batch size, and GFLOP/s beside the peak of the same run.

Ours goes through `Engine.encode` with batches as they come (`pad_batch` 0), r = 0.25. The share of the peak counts the
multiply-adds of the products and of attention alone (`mflop_per_spectrum`), over the whole time of a call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from ..encoder.encoder import mflop_per_spectrum
from ..measure.machine import head
from . import reference
from .busy import conditions
from .capacity import CapacitySizes, capacity
from .engines import SHIPPED, make_engines, noise_frames, open_model
from .latency import LIVE_RATE, REFERENCE
from .roofline import roofline
from .rounds import Turns, median_interval, statistics, take_turns


@dataclass(frozen=True)
class Sizes:
    """Rounds, batch sizes, threads (each in turn), the reference's largest batch, and the sizes of `capacity`."""

    rounds: int = 20
    batches: tuple[int, ...] = (1, 4, 16, 64, 256)
    threads: tuple[int, ...] = (1, 2)
    reference_batch: int = 16
    capacity: CapacitySizes = CapacitySizes()


QUICK = Sizes(2, (1, 4), (1,), 2, CapacitySizes(rounds=2, processes=(1, 2), seconds=0.3, average=4, frames=2))


def throughput(models: tuple[str, ...] = SHIPPED, *, sizes: Sizes = Sizes(), busy_neighbour: bool = False, seed: int = 0,
               quick: bool = False,
               progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Measures throughput, the machine's peaks and the capacity of a core.

    Returns:
        head; `roofline`: by threads; `times`: threads -> batch -> condition -> arm -> statistics, gflop_s, share_of_fp32_peak
        and `speed_up` per spectrum over the reference, whose batches have `reference_batch` spectra or fewer; `mflop`;
        `bytes`: of the weights, and of the input and output of a spectrum (the smallest traffic, for the roofline);
        `capacity`; `unavailable`.
    """
    result = head("throughput", asdict(sizes) | {"models": list(models), "dropout_rate": LIVE_RATE, "seed": seed,
                                                 "busy_neighbour": busy_neighbour})
    unavailable: dict[str, str] = {}
    engines = {f"{name} {runtime}": engine for name in models
               for runtime, engine in make_engines(open_model(name), unavailable, dropout_rate=LIVE_RATE, pad_batch=0).items()}
    mflop = {key: mflop_per_spectrum(e.config, e.k_kept) for key, e in engines.items()} | {REFERENCE: reference.mflop()}
    result |= {"mflop": mflop, "bytes": {key: _engine_bytes(e) for key, e in engines.items()} | {REFERENCE: _reference_bytes()},
               "roofline": {}, "times": {}, "unavailable": unavailable}
    with conditions(busy_neighbour) as (names, enter):
        for threads in sizes.threads:
            peaks = result["roofline"][str(threads)] = roofline(threads, quick)
            for engine in engines.values():
                engine.threads = threads
            rows = result["times"][str(threads)] = {}
            for batch in sizes.batches:
                torch.set_num_threads(threads)
                turns = take_turns(_arms(engines, batch, sizes), sizes.rounds, calls=2, seed=seed, conditions=names, enter=enter,
                                   progress=lambda done, total, t=threads, b=batch: progress(done, total, f"{t} thread(s), "
                                                                                             f"batch {b}"))
                rows[str(batch)] = {condition: _row(arms, batch, sizes, mflop, peaks) for condition, arms in turns.items()}
    result["capacity"] = capacity(models, sizes=sizes.capacity, seed=seed, progress=progress)
    return result


def _engine_bytes(engine) -> dict[str, int]:
    weights = engine.file.weights(engine.variant).values()
    out = engine.encode(noise_frames(1, engine.layout))
    return {"weights": sum(w.nbytes for w in weights), "spectrum": 4 * engine.layout.item_size + sum(part.nbytes for part in out)}


def _reference_bytes() -> dict[str, int]:
    return {"weights": sum(4 * p.numel() for p in reference.Reference().parameters()),
            "spectrum": 2 * 4 * reference.N_TOKENS * reference.TOKEN_DIM}


def _arms(engines: dict, batch: int, sizes: Sizes) -> dict[str, Callable[[], object]]:
    arms = {}
    for name, engine in engines.items():
        frames = noise_frames(min(batch, 16), engine.layout)
        frames = frames.repeat(-(-batch // len(frames)), axis=0)[:batch]
        arms[name] = lambda engine=engine, frames=frames: engine.encode(frames)
    count = min(batch, sizes.reference_batch)
    network, _ = reference.choose(count, rounds=min(6, sizes.rounds))
    tokens = torch.randn(count, reference.N_TOKENS, reference.TOKEN_DIM)
    arms[REFERENCE] = lambda: network(tokens)
    return arms


def _row(arms: dict[str, Turns], batch: int, sizes: Sizes, mflop: dict, peaks: dict) -> dict:
    counts = {name: min(batch, sizes.reference_batch) if name == REFERENCE else batch for name in arms}
    per_spectrum = {name: Turns(t.wall / counts[name], t.processor / counts[name]) for name, t in arms.items()}
    row = {}
    for name, turns in arms.items():
        row[name] = statistics(turns, counts[name]) | {"batch": counts[name]}
        row[name]["gflop_s"] = 1e-3 * mflop[name] * row[name]["per_s"]
        row[name]["share_of_fp32_peak"] = row[name]["gflop_s"] / peaks["fp32_peak"]
        if name != REFERENCE:
            row[name]["speed_up"] = {clock: median_interval(
                _medians(per_spectrum[REFERENCE], clock) / _medians(per_spectrum[name], clock)) for clock in ("wall", "cpu")}
    return row


def _medians(turns: Turns, clock: str) -> np.ndarray:
    return np.median(turns.wall if clock == "wall" else turns.processor, axis=1)
