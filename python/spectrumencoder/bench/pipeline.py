# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole chain, IQ in memory to events: `spectrum_monitor` in the flowgraph that ``spectrumencoder run`` builds.

* `pipeline`: as fast as it goes, on a band that the detector has learned: MS/s and frames a second that are sustained.
* `paced`: samples by the clock, as a radio gives them, with a radio's settings (late frames are skipped, batches of 4): frames
  skipped, samples lost, and the latency from the arrival of a frame's last sample to its verdict.

Both state the share of a core of each thread, by the names that GNU Radio gives them, so that the bottleneck shows. The
samples come from a block that only copies.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..encoder.engine import Engine
from ..encoder.model_file import ModelFile, save
from ..measure.machine import head
from .band import SCENE_CENTER_HZ, calibrated_band
from .engines import open_model
from .threads import ThreadTimes

UNKNOWN = "unknown"
_PILOT_FRAMES = 256  # of the first run, whose rate decides how many samples the others get


@dataclass(frozen=True)
class Sizes:
    """Seconds of a run, about; rounds; K; the nominal rate of the band, samples/s."""

    seconds: float = 10.0
    rounds: int = 3
    averages: tuple[int, ...] = (16, 64)
    samp_rate: float = 2.4e6


QUICK = Sizes(0.4, 1, (16,))


def pipeline(models: tuple[str, ...] = ("fast", "base"), *, sizes: Sizes = Sizes(), seed: int = 0,
             progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Measures the chain unthrottled.

    Returns:
        head; `rows`: model, runtime, average, and of each round (median run by rate): ms_s, frames_s, cpu_s_per_s_of_signal,
        cpu_ms_per_frame, events, threads (name -> share of a core); `ms_s_rounds`.
    """
    result = head("pipeline", asdict(sizes) | {"models": list(models), "dropout_rate": 0.25, "overlap": 0.0, "seed": seed})
    arms = _arms(models, sizes.averages)
    runs: dict[int, list[dict]] = {number: [] for number in range(len(arms))}
    rng, done = np.random.default_rng(seed), 0
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for number, (name, _, average) in enumerate(arms):
            if (name, average) not in files:
                files[name, average] = _learned(open_model(name), average, sizes.samp_rate, Path(folder))
            runs[number].append(_run(*files[name, average], arms[number], sizes, _PILOT_FRAMES * average * 1.024e-3))
        for _ in range(sizes.rounds):
            for number in rng.permutation(len(arms)).tolist():
                name, runtime, average = arms[number]
                progress(done, sizes.rounds * len(arms), f"{name}, {runtime}, K = {average}")
                runs[number].append(_run(*files[name, average], arms[number], sizes, runs[number][0]["ms_s"] * sizes.seconds))
                done += 1
    result["rows"] = []
    for number, (name, runtime, average) in enumerate(arms):
        by_rate = sorted(runs[number][1:], key=lambda run: run["ms_s"])
        result["rows"].append({"model": name, "runtime": runtime, "average": average, **by_rate[len(by_rate) // 2],
                               "ms_s_rounds": [run["ms_s"] for run in runs[number][1:]]})
    return result


def paced(models: tuple[str, ...] = ("fast", "base"), *, rate: float = 61.44e6, seconds: float = 60.0,
          averages: tuple[int, ...] = (16, 64),
          progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Measures the chain by the clock.

    Returns:
        head; `rows`: model, runtime, average, frames, skipped, skipped_share, lost_share (of samples), overflows, p50_ms,
        p99_ms, max_ms, events, threads, cpu_s_per_s_of_signal.
    """
    result = head("pipeline_paced", {"rate": rate, "seconds": seconds, "averages": list(averages), "models": list(models),
                                     "dropout_rate": 0.25, "overlap": 0.0})
    arms, result["rows"] = _arms(models, averages), []
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, runtime, average) in enumerate(arms):
            progress(number, len(arms), f"{name}, {runtime}, K = {average}")
            path, iq = _learned(open_model(name), average, rate, Path(folder))
            result["rows"].append({"model": name, "runtime": runtime, "average": average,
                                   **_run_paced(path, iq, rate, seconds, average, runtime)})
    return result


LEARN_S = 1.0  # of the run that the detector learns


def _arms(models, averages) -> list[tuple[str, str, int]]:
    """(model, runtime, K), with the runtime that `auto` chooses."""
    return [(name, Engine(open_model(name), compute="cpu").runtime, average) for name in models for average in averages]


def _learned(model: ModelFile, average: int, samp_rate: float, folder: Path) -> tuple[Path, np.ndarray]:
    """A model file, and the samples of a band that the detector learns in the run."""
    band = calibrated_band(model, average, samp_rate=samp_rate)
    path = folder / f"{model.name}-{average}.safetensors"
    save(path, model.contract, model.tensors)
    return path, band.iq


def _run(path: Path, iq: np.ndarray, arm: tuple[str, str, int], sizes: Sizes, msamples: float) -> dict:
    from .memory_band import unthrottled
    _, runtime, average = arm
    hop = average * 1024
    source = unthrottled(iq, sizes.samp_rate, SCENE_CENTER_HZ, max(4, round(msamples * 1e6 / hop)) * hop)
    outcome, times, cpu_s, _ = _watch(source, path, average, runtime)
    signal_s = source.n_samples / sizes.samp_rate
    return {"ms_s": 1e-6 * source.n_samples / outcome.wall_s, "frames_s": outcome.n_frames / outcome.wall_s,
            "frames": outcome.n_frames, "wall_s": outcome.wall_s, "events": outcome.n_events,
            "cpu_s_per_s_of_signal": cpu_s / signal_s, "cpu_ms_per_frame": 1e3 * cpu_s / max(1, outcome.n_frames),
            "threads": times}


def _run_paced(path: Path, iq: np.ndarray, rate: float, seconds: float, average: int, runtime: str) -> dict:
    from .memory_band import by_the_clock
    source = by_the_clock(iq, rate, SCENE_CENTER_HZ, seconds)
    outcome, times, cpu_s, latencies = _watch(source, path, average, runtime)
    skipped = int(outcome.health["skipped_frames"])
    row = {"seconds": outcome.wall_s, "frames": outcome.n_frames, "skipped": skipped,
           "skipped_share": skipped / max(1, outcome.n_frames), "dropped_frames": outcome.n_dropped,
           "lost_samples": source.block.n_lost, "lost_share": source.block.n_lost / max(1, source.n_samples),
           "overflows": source.block.n_overflows, "events": outcome.n_events,
           "cpu_s_per_s_of_signal": cpu_s / (source.n_samples / rate), "threads": times}
    if len(latencies):
        p50, p99 = 1e3 * np.percentile(latencies, (50, 99))
        row |= {"p50_ms": float(p50), "p99_ms": float(p99), "max_ms": 1e3 * float(latencies.max())}
    return row


def _watch(source, path: Path, average: int, runtime: str):
    """Runs the command line's flowgraph: outcome, share of a core of each thread, seconds of the processor, latencies (s)."""
    from ..session.flowgraph import RunSettings, quiet_logs, run_source
    quiet_logs()
    history, begun = [], []

    def watch(flowgraph):
        flowgraph.monitor.health.history = history
        begun.extend((time.process_time(), ThreadTimes()))
        flowgraph.on_poll.append(begun[1].read)

    settings = RunSettings(model=str(path), compute="cpu", average=average, band=UNKNOWN, runtime=runtime,
                           learn_s=LEARN_S)
    outcome = run_source(source, settings, watch=watch)
    cpu_s = time.process_time() - begun[0]
    latencies = np.concatenate(history) if history else np.empty(0)
    return outcome, begun[1].shares(outcome.wall_s), cpu_s, latencies
