# SPDX-License-Identifier: GPL-3.0-or-later
"""How cost grows with tokens and dropout rate, and how many bands more cores could watch.

Processes of one band each share only caches, memory and the clock's power budget. P of them do R(P) frames a second together.
R(P) = P R(1) / (1 + s (P - 1)) defines s (Gunther's law of contention without its coherency term); s is the mean over the numbers
of processes measured. More cores than were measured are an extrapolation with that s.
"""

from __future__ import annotations

import math

from .latency import REFERENCE


def contention(rates: dict[str, dict[str, float]]) -> float | None:
    """s, never below 0, from {processes: {frames_per_s}}; None if only one process was measured."""
    alone = rates["1"]["frames_per_s"]
    values = [(int(p) * alone / rate["frames_per_s"] - 1) / (int(p) - 1) for p, rate in rates.items() if p != "1"]
    return max(0.0, sum(values) / len(values)) if values else None


def bands(per_core: float, cores: int, s: float) -> float:
    """Bands that `cores` cores watch, if one alone watches `per_core`."""
    return cores * per_core / (1 + s * (cores - 1))


def exponents(points: list[tuple[float, float]]) -> list[float]:
    """Slopes in log-log between neighbouring points (size, cost): cost grows as size to that power."""
    return [math.log(y2 / y1) / math.log(x2 / x1) for (x1, y1), (x2, y2) in zip(points, points[1:], strict=False)]


def rate_points(result: dict) -> dict[str, list[tuple[float, float, float]]]:
    """network -> (dropout rate, p50 ms, MFLOP) from `latency`: arms without padding, first number of threads, first condition."""
    times = next(iter(next(iter(result["times"].values())).values()))
    points: dict[str, list] = {}
    for name, arm in result["arms"].items():
        if name != REFERENCE and arm["pad_batch"] == 0:
            points.setdefault(f"{arm['model']} {arm['runtime']}", []).append(
                (arm["dropout_rate"], times[name]["p50_ms"], arm["mflop"]))
    return {name: sorted(values) for name, values in points.items()}
