# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of filters over flights: RMSE by class, ratios to a reference, calibration of covariances, bootstrap intervals.

Intervals are percentiles (95 %) over flights drawn again within each class, the same flights for all filters. A class of few
flights has a wide interval, and a class of a single flight none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .single import Errors

MEAN = "mean of classes"


def single_figures(errors: dict[str, list[Errors]], reference: str, *, draws: int = 1000, seed: int = 0) -> dict:
    """Figures of several filters over the same flights.

    Args:
        errors: filter -> errors of its flights, in the same order for all. reference: the filter that ratios are to.

    Returns:
        filters: filter -> `rmse_m` by estimate and class (and MEAN, the mean of the classes' RMSE), each with its interval;
            `ratio`, the same over the reference's, drawn together; `nees` of the position over two dimensions, by estimate and
            class; `state_nees` by class; `seconds_per_update`.
        counts: class -> flights and points.
    """
    first = next(iter(errors.values()))
    classes = sorted({e.flight_class for e in first})
    of_class = {c: np.flatnonzero([e.flight_class == c for e in first]) for c in classes}
    rng = np.random.default_rng(seed)
    rows = {c: np.vstack([np.arange(len(of_class[c])), rng.integers(0, len(of_class[c]), (draws, len(of_class[c])))])
            for c in classes}
    whats = list(first[0].squared)
    drawn = {name: {what: _drawn(of, of_class, rows, lambda e, what=what: e.squared[what]) for what in whats}
             for name, of in errors.items()}
    result = {}
    for name, of in errors.items():
        result[name] = {
            "rmse_m": {what: {c: _value(d) for c, d in drawn[name][what].items()} for what in whats},
            "ratio": {what: {c: _value(d / drawn[reference][what][c]) for c, d in drawn[name][what].items()} for what in whats},
            "nees": {what: _means(of, of_class, lambda e, what=what: e.nees[what]) for what in whats},
            "state_nees": _means(of, of_class, lambda e: e.state_nees),
            "seconds_per_update": float(np.median([e.seconds_per_update for e in of]))}
    counts = {c: {"flights": len(members), "points": int(sum(len(first[k].state_nees) for k in members))}
              for c, members in of_class.items()}
    return {"filters": result, "reference": reference, "counts": counts}


def _drawn(errors: Sequence[Errors], of_class: dict, rows: dict, values: Callable) -> dict[str, np.ndarray]:
    """RMSE by class and their mean, (1 + draws,) each: the first of all flights, the others of drawn ones."""
    found = {}
    for c, members in of_class.items():
        sums = np.array([values(errors[k]).sum() for k in members])
        counts = np.array([len(values(errors[k])) for k in members], float)
        total = counts[rows[c]].sum(axis=1)
        found[c] = np.sqrt(np.divide(sums[rows[c]].sum(axis=1), total, out=np.full(len(total), np.nan), where=total > 0))
    return found | {MEAN: np.mean(list(found.values()), axis=0)}


def _means(errors, of_class, values) -> dict[str, float]:
    found = {c: float(np.concatenate([values(errors[k]) for k in members]).mean()) for c, members in of_class.items()}
    return found | {MEAN: float(np.mean(list(found.values())))}


def _value(drawn: np.ndarray) -> list[float]:
    """Value, low and high."""
    return [float(drawn[0]), *(float(v) for v in np.nanquantile(drawn[1:], [0.025, 0.975]))]


def mean_interval(values: Sequence[float], draws: int = 1000, seed: int = 0) -> list[float]:
    """The mean of values and its interval, drawn over them."""
    values = np.asarray(values, float)
    drawn = values[np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))].mean(axis=1)
    return [float(values.mean()), *(float(v) for v in np.quantile(drawn, [0.025, 0.975]))]
