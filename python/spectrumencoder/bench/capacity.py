# SPDX-License-Identifier: GPL-3.0-or-later
"""Bands that a core watches: tokenizer, encoder and detector of a frame, with each network in the encoder's place.

A band is 2.4 MS/s, K = 16, N = 1024: 146 frames a second. Costs of a frame are measured in turn, on one thread, 16 frames at a
time: the tokenizer on the samples of the frames, the encoder or the reference on their tokens, the detector on the encoder's
output, with a calibration of that band. A core spends the sum of a round's costs on a frame. The reference has no detector of
its own and is charged ours. Several cores do less than that many times one. That is measured too: processes of their own, each
with a band, at the same time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from ..detector.detector import Detector
from ..tokens.tokenize import tokenize
from . import child, reference
from .band import BAND_HZ, calibrated_band
from .engines import make_engine, make_engines, open_model
from .latency import LIVE_RATE, REFERENCE
from .rounds import median_interval, statistics, take_turns


@dataclass(frozen=True)
class CapacitySizes:
    """Sizes of the measurement.

    Rounds; numbers of processes at once (() measures up to the cores that are there); seconds of each; K; frames in a batch.
    """

    rounds: int = 30
    processes: tuple[int, ...] = ()
    seconds: float = 6.0
    average: int = 16
    frames: int = 16


def capacity(models: tuple[str, ...], *, sizes: CapacitySizes = CapacitySizes(), seed: int = 0,
             progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Measures the bands per core.

    Returns:
        settings; `stages`: name -> statistics of 16 frames; `bands_per_core`: network -> {median, low, high};
        `over_reference`: likewise, the ratio; `scaling`: network -> processes -> frames_per_s of all together, and
        frames_per_cpu_s of one.
    """
    torch.set_num_threads(1)
    band = calibrated_band(open_model(models[0]), sizes.average, frames=sizes.frames)
    frames, segment = band.frames(sizes.frames), band.segment
    engines = {f"{name} {runtime}": engine for name in models
               for runtime, engine in make_engines(open_model(name), {}, dropout_rate=LIVE_RATE, pad_batch=16).items()}
    made = engines[next(iter(engines))].encode(frames.items, segment.band)
    detector = Detector(band.engine.contract, band.tables)
    network, _ = reference.choose(sizes.frames, rounds=min(6, sizes.rounds))
    tokens = torch.from_numpy(np.ascontiguousarray(frames.layout.split(frames.items)[0]))
    samples = band.stretches(sizes.frames)
    arms = {"tokenizer": lambda: tokenize(next(samples), BAND_HZ, average=sizes.average, flush=False),
            "detector": lambda: detector.process(frames.psd, made.residual, made.features, frames.frame_start, segment),
            REFERENCE: lambda: network(tokens)}
    arms |= {name: lambda e=engine: e.encode(frames.items, segment.band) for name, engine in engines.items()}
    (turns,) = take_turns(arms, sizes.rounds, calls=2, seed=seed,
                          progress=lambda done, total: progress(done, total, "capacity")).values()
    frames_per_s = BAND_HZ / segment.frame_hop
    cost = {name: np.median(t.processor, axis=1) / sizes.frames for name, t in turns.items()}  # s of a frame, by round
    whole = {name: cost["tokenizer"] + cost[name] + cost["detector"] for name in (REFERENCE, *engines)}
    return {"settings": asdict(sizes) | {"band_hz": BAND_HZ, "frames_per_s_of_a_band": frames_per_s, "clock": "processor time"},
            "stages": {name: statistics(t, sizes.frames) for name, t in turns.items()},
            "bands_per_core": {name: median_interval(1.0 / (frames_per_s * values)) for name, values in whole.items()},
            "over_reference": {name: median_interval(whole[REFERENCE] / whole[name]) for name in engines},
            "scaling": _scaling(engines, sizes)}


def _scaling(engines: dict, sizes: CapacitySizes) -> dict[str, dict[str, dict[str, float]]]:
    cores = len(os.sched_getaffinity(0))
    counts = sizes.processes or sorted({1, cores, *(2**n for n in range(1, cores.bit_length()))})
    result = {}
    for name in engines:
        model, _, runtime = name.rpartition(" ")
        result[name] = {}
        for count in counts:
            processes = [child.start("capacity", "watch_band", model=model, runtime=runtime, average=sizes.average,
                                     frames=sizes.frames, seconds=sizes.seconds) for _ in range(count)]
            for process in processes:
                child.ready(process)
            for process in processes:
                process.stdin.write("go\n")
                process.stdin.flush()
            rates = [child.result(process) for process in processes]
            result[name][str(count)] = {"frames_per_s": sum(r["frames_per_s"] for r in rates),
                                        "frames_per_cpu_s": float(np.mean([r["frames_per_cpu_s"] for r in rates]))}
    return result


def watch_band(model: str, runtime: str, average: int, frames: int, seconds: float) -> dict:
    """In a child process: runs the whole chain on one thread for `seconds`, from the parent's word on."""
    band = calibrated_band(open_model(model), average, frames=frames, engine=make_engine(open_model(model), runtime))
    detector, samples, n_frames = Detector(band.engine.contract, band.tables), band.stretches(frames), 0
    print("ready", flush=True)  # noqa: T201 (read by the parent)
    input()
    began, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        some = tokenize(next(samples), BAND_HZ, average=average, flush=False)
        made = band.engine.encode(some.items, band.segment.band)
        detector.process(some.psd, made.residual, made.features, some.frame_start, band.segment)
        n_frames += len(some)
    return {"frames_per_s": n_frames / (time.perf_counter() - began), "frames_per_cpu_s": n_frames / (time.process_time() - used)}
