# SPDX-License-Identifier: GPL-3.0-or-later
"""The goals beside what was measured: the first table of the page."""

from __future__ import annotations

from ..encoder.engine import NATIVE
from .latency import REFERENCE
from .rounds import QUIET
from .tables import TextTable, interval, number

PACE = {"fast": 61.44e6, "base": 61.44e6}  # samples/s that are the goal; runs at other rates are no goals


def goals_table(results: dict[str, list[dict]]) -> TextTable:
    """A row for every goal that the results answer. results: bench -> its results, from `report.read_results`."""
    rows = []
    for bench, row in _ROWS:
        for result in results.get(bench, []):
            rows += row(result)
    return TextTable("Goals", ["what", "goal", "measured", ""], rows)


def _row(what: str, goal: str, measured: str, met: bool) -> list[str]:
    return [what, goal, measured, "met" if met else "**not met**"]


def _threads(result: dict) -> str:
    """The largest number of threads measured: the reference is fastest with it."""
    return max(result["times"], key=int)


def _latency(result: dict) -> list[list[str]]:
    threads = _threads(result)
    arms, rows = result["times"][threads][QUIET], []
    for model, goal in (("fast", 50), ("base", 20)):
        row = arms.get(f"{model} r=0.25 {NATIVE}")
        if row is not None:
            ratio, tail = row["speed_up"]["wall"], row["warm_p99_ms"] / row["p50_ms"]
            rows += [_row(f"latency of one spectrum, reference / `{model}`, {threads} threads", f">= {goal}", interval(ratio),
                          ratio["median"] >= goal),
                     _row(f"its p99 / p50 after the first call of a turn, `{model}`", "<= 2", number(tail), tail <= 2)]
    return rows


def _throughput(result: dict) -> list[list[str]]:
    threads, rows = _threads(result), []
    batches = {batch: conditions[QUIET] for batch, conditions in result["times"][threads].items()}
    for model, goal in (("fast", 100), ("base", 50)):
        name = f"{model} {NATIVE}"
        if name in next(iter(batches.values())):
            batch, best = max(batches.items(), key=lambda item: item[1][name]["speed_up"]["wall"]["median"])
            ratio = best[name]["speed_up"]["wall"]
            rows.append(_row(f"throughput, `{model}` / reference, batch {batch}, {threads} threads", f">= {goal}",
                             interval(ratio), ratio["median"] >= goal))
            if model == "base":
                share = max(arms[name]["share_of_fp32_peak"] for arms in batches.values())
                rows.append(_row("matrix products, share of the measured fp32 peak, `base`", ">= 50 %", f"{100 * share:.0f} %",
                                 share >= 0.5))
    return rows


def _tokenizer(result: dict) -> list[list[str]]:
    return [_row(f"tokenizer / {name}, N = 1024, K = 16, one CPU", ">= 2", interval(chain["ours_over"]["wall"]),
                 chain["ours_over"]["wall"]["median"] >= 2)
            for row in result["rows"] if (row["fft_size"], row["average"], row["condition"]) == (1024, 16, "one CPU")
            for name, chain in row["chains"].items() if "logpwrfft" in name]


def _paced(result: dict) -> list[list[str]]:
    settings = result["settings"]
    return [_row(f"`{row['model']}` at {settings['rate'] / 1e6:g} MS/s for {settings['seconds']:g} s, K = {row['average']}",
                 "nothing skipped or lost",
                 f"{row['skipped']} of {row['frames']} frames skipped, {row['lost_samples']} samples lost",
                 row["skipped"] + row["lost_samples"] == 0)
            for row in result["rows"] if settings["rate"] == PACE.get(row["model"])]


def _long(result: dict) -> list[list[str]]:
    arms = result["times"][min(result["times"], key=int)].get("2048", {}).get(QUIET, {})
    rows = []
    for ours in ("linear", "mhla"):
        if f"{ours} {NATIVE}" in arms:
            ratio = arms[f"flash {NATIVE}"]["p50_ms"] / arms[f"{ours} {NATIVE}"]["p50_ms"]
            rows.append(_row(f"`{ours}` against `flash`, 2048 tokens, whole network", ">= 4" if ours == "linear" else "> 1",
                             number(ratio), ratio >= (4 if ours == "linear" else 1)))
    return rows


def _detector(result: dict) -> list[list[str]]:
    alone = result["times"][QUIET]["one at a time"]["ms_per_frame"]
    return [_row("detector, one frame", "<= 0.1 ms", f"{number(alone)} ms", alone <= 0.1)]


def _energy(result: dict) -> list[list[str]]:
    kind = "" if result["measured"] else " (an estimate)"
    return [_row(f"energy of a spectrum, reference / `{name.split()[0]}`, batch {batch}{kind}", ">= 25",
                 interval(row["reference_over"]), row["reference_over"]["median"] >= 25)
            for batch, arms in result["rows"].items() for name, row in arms.items()
            if name != REFERENCE and name in (f"fast {NATIVE}", f"base {NATIVE}")]


def _memory(result: dict) -> list[list[str]]:
    rows = []
    for model, counts in result["keys_and_values"].items():
        families = counts.get("2048", {})
        if {"flash", "grouped"} <= set(families):
            ratio = families["flash"]["inputs"] / families["grouped"]["inputs"]
            rows.append(_row(f"keys and values, softmax / `grouped`, 2048 tokens, `{model}`'s heads", ">= 2.5", number(ratio),
                             ratio >= 2.5))
    return rows


_ROWS = (("latency", _latency), ("throughput", _throughput), ("tokenizer", _tokenizer), ("pipeline_paced", _paced),
         ("latency_tokens", _long), ("detector", _detector), ("energy", _energy), ("memory", _memory))
