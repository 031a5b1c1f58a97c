# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of the page: of each bench the rows that answer its question. Every other figure stays in the bench's JSON.

A function takes the results of one bench (several files of it when a bench was run several times) and gives a table, or None
when the results hold no such row.
"""

from __future__ import annotations

from collections.abc import Callable

from ..encoder.engine import NATIVE, TORCH
from .latency import LIVE_RATE, REFERENCE
from .rounds import QUIET
from .scaling import exponents
from .tables import TextTable, interval, number

_THREADS_SHOWN = 3  # of a flowgraph, the busiest


def summary(bench: str, results: list[dict]) -> TextTable | None:
    """The table of a bench; None for a bench that has none on the page."""
    make = _SUMMARIES.get(bench)
    return make(results) if make is not None else None


def _latency(results: list[dict]) -> TextTable:
    """One spectrum at the live dropout rate, without padding, for each number of threads."""
    arms, times = results[0]["arms"], results[0]["times"]
    names = [name for name, arm in arms.items() if name == REFERENCE or (arm["dropout_rate"], arm["pad_batch"]) == (LIVE_RATE, 0)]
    header = ["network", "MFLOP"]
    rows = [[name if name == REFERENCE else f"{arms[name]['model']} {arms[name]['runtime']}", number(arms[name]["mflop"])]
            for name in names]
    for threads, conditions in times.items():
        header += [f"{threads} thread{'s' * (threads != '1')}: p50", "p99", "reference / ours"]
        for name, row in zip(names, rows, strict=True):
            one = conditions[QUIET][name]
            row += [number(one["p50_ms"]), number(one["p99_ms"]), interval(one.get("speed_up", {}).get("wall"))]
    return TextTable(f"Milliseconds of one spectrum, r = {LIVE_RATE:g}, quiet machine", header, rows)


def _latency_tokens(results: list[dict]) -> TextTable:
    """The longest spectra on the first number of threads, both runtimes side by side."""
    threads, by_tokens = next(iter(results[0]["times"].items()))
    tokens = max(by_tokens, key=int)
    arms = by_tokens[tokens][QUIET]

    def cells(name: str) -> list[str]:
        if name not in arms:
            return ["-", "-", "-"]
        grown = exponents([(int(count), conditions[QUIET][name]["p50_ms"]) for count, conditions in by_tokens.items()])
        return [number(arms[name]["p50_ms"]), interval(arms[name].get("speed_up", {}).get("wall")),
                f"{grown[-1]:.2f}" if grown else "-"]

    backends = dict.fromkeys(name.split()[0] for name in arms if name != REFERENCE)
    rows = [[backend, *cells(f"{backend} {NATIVE}"), *cells(f"{backend} {TORCH}")] for backend in backends]
    rows.append([REFERENCE, "-", "-", "-", *cells(REFERENCE)])
    return TextTable(f"{tokens} tokens, {threads} thread{'s' * (threads != '1')}: ms of one spectrum, and the power of the "
                     "number of tokens that it grows with",
                     ["backend", "native, ms", "reference / ours", "power", "PyTorch, ms", "reference / ours", "power"], rows)


def _throughput(results: list[dict]) -> TextTable:
    """Spectra a second at three batch sizes on all threads measured, and the bands that a core watches."""
    result = results[0]
    threads, batches = max(result["times"].items(), key=lambda item: int(item[0]))
    sizes = sorted(batches, key=int)
    shown, last = list(dict.fromkeys((sizes[0], sizes[len(sizes) // 2], sizes[-1]))), sizes[-1]
    capacity = result["capacity"]
    rows = []
    for name, best in batches[last][QUIET].items():
        rows.append([name, *(number(batches[size][QUIET][name]["per_s"]) for size in shown),
                     interval(best.get("speed_up", {}).get("wall")), f"{100 * best['share_of_fp32_peak']:.0f} %",
                     interval(capacity["bands_per_core"].get(name)), interval(capacity["over_reference"].get(name))])
    return TextTable(f"Spectra a second, {threads} thread{'s' * (threads != '1')}",
                     ["network", *(f"batch {size}" for size in shown), f"reference / ours, {last}", f"of peak, {last}",
                      "bands a core", "ours / reference"], rows)


def _tokenizer(results: list[dict]) -> TextTable:
    """MS/s by N, of the first K and condition."""
    rows = results[0]["rows"]
    average, condition = rows[0]["average"], rows[0]["condition"]
    chosen = [row for row in rows if (row["average"], row["condition"]) == (average, condition)]
    names = list(chosen[0]["chains"])
    other = next(name for name in names if "logpwrfft" in name)
    return TextTable(f"MS/s, {condition}, K = {average}", ["N", *names, f"ours over {other}"], [
        [str(row["fft_size"]), *(number(row["chains"][name]["ms_s"]) for name in names),
         interval(row["chains"][other]["ours_over"]["wall"])] for row in chosen])


def _pipeline(results: list[dict]) -> TextTable:
    return TextTable("As fast as it goes", ["model", "K", "MS/s", "frames/s", "CPU ms a frame",
                                            "busiest threads, share of a core"], [
        [f"{row['model']} {row['runtime']}", str(row["average"]), number(row["ms_s"]), number(row["frames_s"]),
         number(row["cpu_ms_per_frame"]),
         ", ".join(f"{name} {100 * share:.0f} %" for name, share in list(row["threads"].items())[:_THREADS_SHOWN])]
        for result in results for row in result["rows"]])


def _paced(results: list[dict]) -> TextTable:
    """Every run by the clock, whatever its rate."""
    return TextTable("By the clock", ["model", "K", "MS/s", "s", "frames", "skipped", "samples lost", "p50 ms", "p99", "max",
                                      "CPU, cores"], [
        [f"{row['model']} {row['runtime']}", str(row["average"]), f"{result['settings']['rate'] / 1e6:g}",
         f"{result['settings']['seconds']:g}", str(row["frames"]), str(row["skipped"]), str(row["lost_samples"]),
         *(number(row.get(key)) for key in ("p50_ms", "p99_ms", "max_ms")), number(row["cpu_s_per_s_of_signal"])]
        for result in results for row in result["rows"]])


_SUMMARIES: dict[str, Callable[[list[dict]], TextTable]] = {
    "latency": _latency, "latency_tokens": _latency_tokens, "throughput": _throughput, "tokenizer": _tokenizer,
    "pipeline": _pipeline, "pipeline_paced": _paced}
