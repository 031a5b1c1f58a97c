# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures out of rows: shares found by kind and INR, false alerts an hour, delays, errors of boxes, with exact intervals.

Shares have Clopper and Pearson's interval (1934), rates that of the Poisson law (Garwood 1936), both 95 % and two-sided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.stats import beta, chi2

from .matching import FIRST_HEARD

LEVEL = 0.95
INR_CLASSES = ((3.0, 6.0), (6.0, 10.0), (10.0, 15.0), (15.0, 20.0))
LENGTH_S = (0.02, 0.5)  # of the anomalies that count; their lengths are rounded to what a transform takes
BUDGETS = (1.0, 3.0, 10.0, 30.0, 100.0)  # false alerts an hour
BRIEF = ("found", "found_or_again", "false_per_hour", "causes")
_SLACK = 1.05
_DIGITS = 5  # of what is written


def poisson_rate(count: int, hours: float) -> dict:
    """Events an hour: mean, low and high (two-sided 95 %), and upper, the one-sided 95 % limit."""
    tail = (1 - LEVEL) / 2
    low = chi2.ppf(tail, 2 * count) / 2 if count else 0.0
    high, upper = chi2.ppf(1 - tail, 2 * count + 2) / 2, chi2.ppf(LEVEL, 2 * count + 2) / 2
    return {"count": int(count), "hours": _rounded(hours), "mean": _rounded(count / hours), "low": _rounded(low / hours),
            "high": _rounded(high / hours), "upper": _rounded(upper / hours)}


def share(found: int, of: int) -> dict | None:
    """A share with its interval; None if there was nothing to find."""
    if not of:
        return None
    tail = (1 - LEVEL) / 2
    low = beta.ppf(tail, found, of - found + 1) if found else 0.0
    high = beta.ppf(1 - tail, found + 1, of - found) if found < of else 1.0
    return {"found": int(found), "of": int(of), "mean": _rounded(found / of), "low": _rounded(low), "high": _rounded(high)}


def in_scope(anomaly: dict) -> bool:
    """True for an INR of 3 to 20 dB and a length of 20 ms to 0.5 s."""
    return (INR_CLASSES[0][0] <= anomaly["inr_db"] <= INR_CLASSES[-1][1]
            and LENGTH_S[0] / _SLACK <= anomaly["seconds"] <= LENGTH_S[1] * _SLACK)


def point_figures(rows: Sequence[dict], point: str) -> dict:
    """Figures of one detector at one point over some bands. rows: as ``run.measured`` gives them."""
    trials = [trial for row in rows for made in [row["points"][point]]
              for trial in zip(row["anomalies"], made["found"], made["delay_ms"], made["edges"], made["again"], strict=True)]
    scoped = [trial for trial in trials if in_scope(trial[0])]
    told = [(trial[0], trial[4]) for trial in scoped]  # by a new alert, or as a further burst of a new emitter
    quiet, unmatched, *kinds = (_total(rows, point, key) for key in ("quiet", "unmatched", "quiet_kinds", "unmatched_kinds"))
    hours = sum(row["quiet_h"] for row in rows)
    watched = sum(row["anomalous_h"] for row in rows)
    delays = [trial[2] for trial in scoped if trial[1]]
    edges = np.abs([trial[3] for trial in scoped if trial[1]]).ravel()
    return {
        "found": _share(scoped), "found_of_all": _share(trials), "found_or_again": _share(told),
        "by_kind": {kind: _share(t for t in told if t[0]["kind"] == kind) for kind in sorted({t[0]["kind"] for t in told})},
        "by_inr": {f"{low:g}-{high:g}": _share(t for t in told if _within(t[0]["inr_db"], low, high))
                   for low, high in INR_CLASSES},
        "above_10_db": _share(t for t in told if t[0]["inr_db"] >= 10),
        "false_per_hour": poisson_rate(quiet.total(), hours) if hours else None,
        "without_first_heard_per_hour": poisson_rate(quiet.total() - quiet[FIRST_HEARD], hours) if hours else None,
        "causes": dict(quiet), "unmatched": dict(unmatched), "false_kinds": dict(kinds[0]), "unmatched_kinds": dict(kinds[1]),
        "unmatched_per_hour": poisson_rate(unmatched.total(), watched) if watched else None,
        "delay_ms": _quantiles(delays), "edge_bins": _quantiles(edges)}


def summary(rows: Sequence[dict], brief: bool = False) -> dict:
    """Figures of each detector at each of its points, over all these rows: {name: {"unit", "points": {point: figures}}}.

    brief: only those of ``BRIEF``.
    """
    out = {}
    for name in dict.fromkeys(row["detector"] for row in rows):
        mine = [row for row in rows if row["detector"] == name and not row.get("refused")]
        refused = [f"{row['plan']}: {row['refused']}" for row in rows if row["detector"] == name and row.get("refused")]
        points = {point: point_figures(mine, point) for point in mine[0]["points"]} if mine else {}
        if brief:
            points = {point: {key: of_point[key] for key in BRIEF} for point, of_point in points.items()}
        out[name] = {"title": (mine or [{"title": name}])[0]["title"], "unit": (mine or [{"unit": ""}])[0]["unit"],
                     "points": points, "refused": refused}
    return out


def within_budget(points: dict[str, dict], budget: float) -> str | None:
    """The point that finds the most with at most ``budget`` false alerts an hour; None if none stays within it."""
    able = [p for p, f in points.items() if f["false_per_hour"] and f["found_or_again"] and f["false_per_hour"]["mean"] <= budget]
    return max(able, key=lambda p: (points[p]["found_or_again"]["mean"], -points[p]["false_per_hour"]["mean"]), default=None)


def _total(rows: Sequence[dict], point: str, key: str) -> Counter:
    total: Counter = Counter()
    for row in rows:
        total.update(row["points"][point][key])
    return total


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _share(trials: Iterable[tuple]) -> dict | None:
    found = [trial[1] for trial in trials]
    return share(sum(found), len(found))


def _within(inr_db: float, low: float, high: float) -> bool:
    return low <= inr_db < high or inr_db == high == INR_CLASSES[-1][1]


def _quantiles(values: Sequence[float] | np.ndarray) -> dict | None:
    if not len(values):
        return None
    median, high = np.quantile(np.asarray(values, float), [0.5, 0.9])
    return {"median": round(float(median), 2), "p90": round(float(high), 2)}
