# SPDX-License-Identifier: GPL-3.0-or-later
"""One target at a time: errors of a filter on flights with noise added, filtered and ahead, with the covariance it claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...tracker.estimate import TargetFilter
from .flights import Flight

HORIZONS_S = (1.0, 5.0, 10.0, 30.0)
FILTERED, NEXT = "filtered", "next"
SETTLED = 10  # reports after which a filter is judged
EVERY_S = 3.0  # forecasts are made about so often


@dataclass(frozen=True)
class Errors:
    """Horizontal errors of one filter on one flight.

    `squared` (m2) and `nees` (of the position, over its two dimensions) map an estimate to an array (n,): `filtered`, the
    `next` report, or seconds ahead. `state_nees` (n,) is of position and velocity filtered, over four dimensions.
    `seconds_per_update` is the median processor time of an update and of reading the state.
    """

    name: str
    flight_class: str
    squared: dict[str, np.ndarray]
    nees: dict[str, np.ndarray]
    state_nees: np.ndarray
    seconds_per_update: float


def judge(make: Callable[[], TargetFilter], flight: Flight, sigma_m: float, seed: int,
          horizons_s: Sequence[float] = HORIZONS_S, longest_step_s: float = np.inf) -> Errors:
    """Runs a new filter over a flight's noisy path.

    Args:
        make: returns a filter of two dimensions. longest_step_s: the next report's prediction counts if the report comes
            within it.
    """
    from time import process_time

    noisy, truth = flight.noisy(sigma_m, seed)[:, :2], flight.truth_m[:, :2]
    velocity, time_s = flight.velocity_mps[:, :2], flight.time_s
    covariance = sigma_m**2 * np.eye(2)
    ahead = {h: flight.truth_at(time_s + h)[:, :2] for h in horizons_s}
    every = max(1, round(EVERY_S / float(np.median(np.diff(time_s)))))
    squared = {name: [] for name in (FILTERED, NEXT, *map(key, horizons_s))}
    nees = {name: [] for name in squared}
    state_nees, seconds = [], []
    target = make()

    def note(name, estimate, at):
        off = estimate.position_m - at
        squared[name].append(off @ off)
        nees[name].append(off @ np.linalg.solve(estimate.covariance[:2, :2], off) / 2)

    for k in range(len(time_s)):
        settled = k >= SETTLED
        if settled and time_s[k] - time_s[k - 1] <= longest_step_s:
            note(NEXT, target.forecast(time_s[k]), truth[k])
        begin = process_time()
        target.update(time_s[k], noisy[k], covariance)
        estimate = target.state()
        seconds.append(process_time() - begin)
        if not settled:
            continue
        note(FILTERED, estimate, truth[k])
        off = np.concatenate([estimate.position_m - truth[k], estimate.velocity_mps - velocity[k]])
        state_nees.append(off @ np.linalg.solve(estimate.covariance, off) / 4)
        if k % every == 0:
            for h, path in ahead.items():
                if np.isfinite(path[k, 0]):
                    note(key(h), target.forecast(time_s[k] + h), path[k])
    return Errors(flight.name, flight.flight_class, {n: np.array(v) for n, v in squared.items()},
                  {n: np.array(v) for n, v in nees.items()}, np.array(state_nees), float(np.median(seconds)))


def key(horizon_s: float) -> str:
    return f"{horizon_s:g} s"


def rmse(errors: Sequence[Errors], name: str) -> float:
    """RMSE over all points of these flights together; NaN without a point."""
    squared = np.concatenate([e.squared[name] for e in errors])
    return float(np.sqrt(squared.mean())) if len(squared) else np.nan


def by_class(errors: Sequence[Errors]) -> dict[str, list[Errors]]:
    classes = sorted({e.flight_class for e in errors})
    return {c: [e for e in errors if e.flight_class == c] for c in classes}
