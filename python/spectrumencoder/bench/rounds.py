# SPDX-License-Identifier: GPL-3.0-or-later
"""Arms in turn: every round runs every arm once, in an order drawn anew, so that other load on the machine hits all alike.

An arm's turn is several calls, one after the other, as it is used. The first of them has the caches as another arm left them
and is stated apart. Ratios are of medians of the turns of one round: their median over the rounds, with its bootstrap
interval.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..measure.timing import BOOTSTRAP

QUIET, BUSY = "quiet", "busy neighbour"
WARM_UP_CALLS, WARM_UP_S = 3, 0.5  # of each arm; no further call once so long has passed


@dataclass(frozen=True)
class Turns:
    """Seconds of an arm's calls (rounds, calls): by the wall clock, and of the processor, all threads of this process."""

    wall: np.ndarray
    processor: np.ndarray


def take_turns(arms: dict[str, Callable[[], object]], rounds: int, *, calls: int = 5, seed: int = 0,
               conditions: tuple[str, ...] = (QUIET,), enter: Callable[[str], None] = lambda condition: None,
               progress: Callable[[int, int], None] = lambda done, total: None) -> dict[str, dict[str, Turns]]:
    """Times of every arm under every condition.

    Args:
        arms: name -> function to call. rounds: number of turns of each arm. calls: number of calls in a turn.
        enter: called with a condition before the turns under it; within a round each condition comes once, in random order.

    Returns:
        condition -> arm -> Turns.
    """
    rng, names = np.random.default_rng(seed), list(arms)
    for name in names:
        began, done = time.perf_counter(), 0
        while done < WARM_UP_CALLS and (not done or time.perf_counter() - began < WARM_UP_S):
            arms[name]()
            done += 1
    turns = {c: {name: Turns(np.empty((rounds, calls)), np.empty((rounds, calls))) for name in names} for c in conditions}
    for number in range(rounds):
        for condition in rng.permutation(conditions):
            enter(str(condition))
            for name in rng.permutation(names):
                call, mine = arms[str(name)], turns[str(condition)][str(name)]
                for place in range(calls):
                    began, used = time.perf_counter(), time.process_time()
                    call()
                    mine.processor[number, place] = time.process_time() - used
                    mine.wall[number, place] = time.perf_counter() - began
        progress(number + 1, rounds)
    enter(QUIET)
    return turns


def statistics(turns: Turns, items: int = 1) -> dict:
    """Milliseconds of a call.

    Percentiles are over all calls by the wall clock. `first_p50_ms` is the median of the first call in each turn.
    `warm_p99_ms` is the 99 % point of the others, when nothing of another arm is left in the caches. `cpu_p50_ms` is the
    median of the processor's time.

    Args:
        items: spectra in a call; `per_s` is their number a second, at the median.
    """
    p50, p90, p99 = (float(q) for q in 1e3 * np.percentile(turns.wall, (50, 90, 99)))
    return {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "max_ms": 1e3 * float(turns.wall.max()),
            "first_p50_ms": 1e3 * float(np.median(turns.wall[:, 0])),
            "warm_p99_ms": 1e3 * float(np.percentile(turns.wall[:, 1:] if turns.wall.shape[1] > 1 else turns.wall, 99)),
            "cpu_p50_ms": 1e3 * float(np.median(turns.processor)),
            "calls": int(turns.wall.size), "per_s": 1e3 * items / p50}


def paired_ratio(reference: Turns, ours: Turns, seed: int = 0) -> dict:
    """Time of the reference over ours, by both clocks: the median of the rounds' ratios with its 95 % interval."""
    return {"wall": _ratio(reference.wall, ours.wall, seed), "cpu": _ratio(reference.processor, ours.processor, seed)}


def median_interval(values: np.ndarray, seed: int = 0) -> dict:
    """{median, low, high}: the median of the values (n,) with its bootstrap interval."""
    drawn = np.random.default_rng(seed).integers(0, len(values), (BOOTSTRAP, len(values)))
    low, high = np.quantile(np.median(values[drawn], axis=1), (0.025, 0.975))
    return {"median": float(np.median(values)), "low": float(low), "high": float(high)}


def _ratio(reference: np.ndarray, ours: np.ndarray, seed: int) -> dict:
    return median_interval(np.median(reference, axis=1) / np.median(ours, axis=1), seed)


def table(turns: dict[str, dict[str, Turns]], reference: str | None = None, items: int = 1) -> dict:
    """condition -> arm -> statistics, with `speed_up` over the reference if one is named."""
    return {condition: {name: statistics(t, items) | (
        {"speed_up": paired_ratio(arms[reference], t)} if reference and name != reference else {})
        for name, t in arms.items()} for condition, arms in turns.items()}
