# SPDX-License-Identifier: GPL-3.0-or-later
"""MS/s of the FFT tokenizer against GNU Radio's own logpwrfft and a bare FFT chain, same window, same N, and as a plain function.

Samples of noise come from memory. Two sizes of the buffer behind the source are tried, and a chain gets the one it is faster
with. Under `one CPU` all threads of a flowgraph are pinned to one; under `all CPUs` they are free. MS/s are by the wall clock.
MS per CPU second are of all threads together and hardly depend on what else runs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from ..measure.machine import head
from ..tokens.tokenize import tokenize
from .rounds import median_interval

FUNCTION = "tokenize()"
_SAMPLES = 1 << 18  # 2 MiB, over and over
BUFFERS = 1 << 13, 1 << 17  # samples; the first is GNU Radio's default
PINNED, FREE = "one CPU", "all CPUs"


@dataclass(frozen=True)
class Sizes:
    """Rounds, FFT sizes N, K, and samples in millions through a chain in one turn."""

    rounds: int = 7
    fft_sizes: tuple[int, ...] = (256, 512, 1024, 2048, 4096, 8192, 16384)
    averages: tuple[int, ...] = (16, 64)
    msamples: float = 32.0


QUICK = Sizes(2, (256, 1024), (16,), 2.0)


def tokenizer(*, sizes: Sizes = Sizes(), seed: int = 0,
              progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Measures the rates.

    Returns:
        head; `chains`: what each computes; `rows`: N, K, condition, source_buffers, `chains`: name -> ms_s, ms_per_cpu_s
        (medians over the rounds) and, except for ours, `ours_over` (wall and cpu: median ratio within a round, its interval).
    """
    from ..session.flowgraph import quiet_logs
    quiet_logs()
    from . import power_spectra
    result = head("tokenizer", asdict(sizes) | {"seed": seed, "window": "blackmanharris", "stride": 8})
    result["chains"] = power_spectra.WHAT | {FUNCTION: "what fft_tokenizer computes, on an array, one thread, no flowgraph"}
    rng = np.random.default_rng(seed)
    iq = (0.01 * rng.standard_normal(2 * _SAMPLES, np.float32)).view(np.complex64)
    count = int(sizes.msamples * 1e6)
    cases = [(n, k, condition) for n in sizes.fft_sizes for k in sizes.averages for condition in (PINNED, FREE)]
    result["rows"] = []
    for number, (n, k, condition) in enumerate(cases):
        progress(number, len(cases), f"N = {n}, K = {k}, {condition}")
        arms = {(name, size): lambda name=name, size=size, n=n, k=k: power_spectra.make(
            name, iq, count, fft_size=n, average=k, source_buffer=size).run for name in power_spectra.WHAT for size in BUFFERS}
        if condition == PINNED:
            samples = np.resize(iq, max(len(iq), n * k))  # a frame, if that is longer
            arms[FUNCTION, 0] = lambda n=n, k=k, samples=samples: lambda: _function(samples, count, n, k)
        with _pinned(condition == PINNED):
            seconds, buffers = _turns(arms, sizes.rounds, rng)
        result["rows"].append({"fft_size": n, "average": k, "condition": condition,
                               "source_buffers": buffers,
                               "chains": _figures(seconds, count, power_spectra.OURS)})
    progress(len(cases), len(cases), "done")
    return result


def _function(iq: np.ndarray, count: int, fft_size: int, average: int):
    for _ in range(max(1, round(count / len(iq)))):
        tokenize(iq, 1e6, fft_size=fft_size, average=average, flush=False)


def _turns(arms: dict, rounds: int, rng) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """name -> (rounds, 2) seconds, wall and processor; and name -> the source's buffer that it was fastest with.

    An arm makes its flowgraph, untimed, and returns the function that runs it.
    """
    for make in arms.values():
        make()()  # FFTW plans on first use
    tried = {key: min(_timed(make()) for _ in range(2))[0] for key, make in arms.items()}
    names = list(dict.fromkeys(name for name, _ in arms))
    buffers = {name: min((s, size) for (other, size), s in tried.items() if other == name)[1] for name in names}
    seconds = {name: np.empty((rounds, 2)) for name in names}
    for number in range(rounds):
        for name in map(str, rng.permutation(names)):
            seconds[name][number] = _timed(arms[name, buffers[name]]())
    return seconds, buffers


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    began, used = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - began, time.process_time() - used


def _figures(seconds: dict[str, np.ndarray], count: int, ours: str) -> dict:
    rows = {}
    for name, values in seconds.items():
        wall, cpu = np.median(values, axis=0)
        rows[name] = {"ms_s": 1e-6 * count / wall, "ms_per_cpu_s": 1e-6 * count / cpu}
        if name != ours:
            ratio = values / seconds[ours]
            rows[name]["ours_over"] = {"wall": median_interval(ratio[:, 0]), "cpu": median_interval(ratio[:, 1])}
    return rows


class _pinned:
    """Threads that start in here run on the first CPU of this process alone."""

    def __init__(self, wanted: bool):
        self._wanted = wanted

    def __enter__(self):
        self._before = os.sched_getaffinity(0)
        if self._wanted:
            os.sched_setaffinity(0, {min(self._before)})

    def __exit__(self, *_):
        os.sched_setaffinity(0, self._before)
