# SPDX-License-Identifier: GPL-3.0-or-later
"""How cost grows, from what was measured: with bins, tokens, dropout rate, batch and bands, and what more cores could watch.

Cores: processes of one band each share nothing but caches, memory and the clock's power budget. With P of them at once R(P)
frames a second are done together; R(P) = P R(1) / (1 + s (P - 1)) defines s (Gunther's law of contention without its coherency
term), which is the mean over what was measured. More cores than were measured are an extrapolation with that s.
"""

from __future__ import annotations

import math

from .latency import REFERENCE
from .tables import TextTable, number

CORES = (2, 8, 32)
BYTES_PER_SAMPLE = 8


def contention(rates: dict[str, dict[str, float]]) -> float | None:
    """s, at least 0, from {processes: {frames_per_s}}; None where only one process was measured."""
    alone = rates["1"]["frames_per_s"]
    values = [(int(p) * alone / rate["frames_per_s"] - 1) / (int(p) - 1) for p, rate in rates.items() if p != "1"]
    return max(0.0, sum(values) / len(values)) if values else None


def bands(per_core: float, cores: int, s: float) -> float:
    """Bands that so many cores watch, of which one watches `per_core`."""
    return cores * per_core / (1 + s * (cores - 1))


def core_table(capacity: dict) -> TextTable:
    """Bands by cores and network. The reference is given the contention of the first network."""
    s_of = {name: contention(rates) for name, rates in capacity["scaling"].items()}
    s_of[REFERENCE] = next(iter(s_of.values()))
    rows = []
    for name, value in capacity["bands_per_core"].items():
        s = s_of[name]
        rows.append([name, number(s, 2), *(number(bands(value["median"], cores, s or 0.0)) for cores in (1, *CORES))])
    band_mb_s = 1e-6 * BYTES_PER_SAMPLE * capacity["settings"]["band_hz"]
    return TextTable(f"Bands of {capacity['settings']['band_hz'] / 1e6:g} MS/s, each {band_mb_s:.0f} MB/s of samples",
                     ["network", "s", *(f"{cores} core{'s' * (cores > 1)}" for cores in (1, *CORES))], rows)


def exponents(points: list[tuple[float, float]]) -> list[float]:
    """Slope in log-log between neighbours: cost grows as size to that power."""
    return [math.log(y2 / y1) / math.log(x2 / x1) for (x1, y1), (x2, y2) in zip(points, points[1:], strict=False)]


def scaling_tables(results: dict[str, list[dict]]) -> list[TextTable]:
    """Those for which there is a result; threads and condition: the first that were measured."""
    out = []
    for result in results.get("tokenizer", [])[:1]:
        rows = [[str(r["fft_size"]), *(number(1e3 / c["ms_per_cpu_s"]) for c in r["chains"].values())] for r in result["rows"]
                if r["condition"] == "one CPU" and r["average"] == result["rows"][0]["average"]]
        names = list(result["rows"][0]["chains"])
        out.append(TextTable("Bins: CPU ns a sample, one CPU", ["N", *names], rows))
    for result in results.get("latency_tokens", [])[:1]:
        rows_of = next(iter(result["times"].values()))
        arms = {tokens: next(iter(conditions.values())) for tokens, conditions in rows_of.items()}
        names = list(next(iter(arms.values())))
        rows = [[f"{tokens} ({8 * int(tokens)})", *(number(arm[n]["p50_ms"]) for n in names)] for tokens, arm in arms.items()]
        powers = [exponents([(int(t), arm[n]["p50_ms"]) for t, arm in arms.items()]) for n in names]
        rows += [["power of the last step", *(f"{p[-1]:.2f}" for p in powers)]] if powers[0] else []
        out.append(TextTable("Tokens (bins): ms a spectrum, p50", ["tokens", *names], rows))
    for result in results.get("latency", [])[:1]:
        out.append(_rates_table(result))
    for result in results.get("throughput", [])[:1]:
        batches = next(iter(result["times"].values()))
        arms = {batch: next(iter(conditions.values())) for batch, conditions in batches.items()}
        names = list(next(iter(arms.values())))
        out.append(TextTable("Batch: ms a spectrum, p50", ["batch", *names], [
            [batch, *(number(arm[n]["p50_ms"] / arm[n]["batch"]) for n in names)] for batch, arm in arms.items()]))
        out.append(core_table(result["capacity"]))
    return out


def rate_points(result: dict) -> dict[str, list[tuple[float, float, float]]]:
    """network -> (dropout rate, p50 ms, MFLOP) of `latency`, without padding, of the first threads and condition."""
    times = next(iter(next(iter(result["times"].values())).values()))
    points: dict[str, list] = {}
    for name, arm in result["arms"].items():
        if name != REFERENCE and arm["pad_batch"] == 0:
            points.setdefault(f"{arm['model']} {arm['runtime']}", []).append(
                (arm["dropout_rate"], times[name]["p50_ms"], arm["mflop"]))
    return {name: sorted(values) for name, values in points.items()}


def _rates_table(result: dict) -> TextTable:
    points = rate_points(result)
    rates = [rate for rate, _, _ in next(iter(points.values()))]
    return TextTable("Dropout rate: ms a spectrum, p50 (MFLOP)", ["network", *(f"r = {rate:g}" for rate in rates)], [
        [name, *(f"{number(ms)} ({number(mflop)})" for _, ms, mflop in values)] for name, values in points.items()])
