# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of the page. Each takes the results by bench and is drawn if the results that it needs were measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..measure.plots import figure, finish
from .engines import TORCH
from .latency import REFERENCE
from .scaling import bands, contention, rate_points

_REFERENCE_COLOUR = "0.25"


def draw_all(results: dict[str, list[dict]], folder: Path, stem: str) -> dict[str, Path]:
    """Draws into `folder`; returns name -> file of the pictures drawn."""
    drawn = {}
    for name, (bench, draw) in PICTURES.items():
        if results.get(bench):
            drawn[name] = folder / f"{stem}_{name}.png"
            finish(draw(results), drawn[name])
    return drawn


def _first(times: dict) -> dict:
    return next(iter(times.values()))


def _colours(names) -> dict[str, str]:
    ours = [n for n in names if n != REFERENCE]
    return {name: f"C{number % 10}" for number, name in enumerate(ours)} | {REFERENCE: _REFERENCE_COLOUR}


def draw_latency(results):
    """Bars of p50 with a whisker to p99, by threads."""
    result = results["latency"][0]
    fig, axes = figure(len(result["times"]), width=6.0, height=1.2 + 0.22 * len(result["arms"]))
    for axis, (threads, conditions) in zip(axes, result["times"].items(), strict=True):
        arms = dict(sorted(_first(conditions).items(), key=lambda row: -row[1]["p50_ms"]))
        p50 = [row["p50_ms"] for row in arms.values()]
        beyond = [row["p99_ms"] - row["p50_ms"] for row in arms.values()]
        models = {name: REFERENCE if name == REFERENCE else result["arms"][name]["model"] for name in arms}
        colours = _colours(dict.fromkeys(result["arms"][n].get("model", REFERENCE) for n in result["arms"]))
        axis.barh(list(arms), p50, xerr=[[0] * len(p50), beyond], color=[colours[models[n]] for n in arms],
                  error_kw={"elinewidth": 1, "ecolor": "0.4"})
        for place, (value, more) in enumerate(zip(p50, beyond, strict=True)):
            axis.text(1.08 * (value + more), place, f"{value:.3g}", va="center", ha="left", fontsize=7)
        axis.set_xscale("log")
        axis.set_xlim(min(p50) * 0.5, 2 * max(a + b for a, b in zip(p50, beyond, strict=True)))
        axis.tick_params(axis="y", labelsize=7)
        axis.set_xlabel(f"ms a spectrum, p50 and p99, {threads} thread{'s' * (threads != '1')}")
    return fig


def draw_throughput(results):
    """Spectra a second by batch, and the roofline, of the first number of threads."""
    result = results["throughput"][0]
    threads = next(iter(result["times"]))
    arms = {int(batch): _first(conditions) for batch, conditions in result["times"][threads].items()}
    names = list(_first(arms))
    colours, (fig, (left, right)) = _colours(names), figure(2, width=5.6)
    for name in names:
        own = {row[name]["batch"]: row[name] for row in arms.values()}
        left.loglog(list(own), [row["per_s"] for row in own.values()], "o-", ms=3, color=colours[name], label=name)
        sizes = result["bytes"][name]
        intensity = [1e6 * result["mflop"][name] * b / (sizes["weights"] + b * sizes["spectrum"]) for b in own]
        right.loglog(intensity, [row["gflop_s"] for row in own.values()], "o-", ms=3, color=colours[name])
    left.set_xticks(list(arms), [str(b) for b in arms])
    left.minorticks_off()
    left.set_xlabel(f"spectra in a batch, {threads} thread{'s' * (threads != '1')}")
    left.set_ylabel("spectra a second")
    left.legend(fontsize=8)
    peaks, copy = result["roofline"][threads]["gemm"], max(result["roofline"][threads]["memory"].values())
    for name, style, label in (("fp32", "-", "fp32, PyTorch"), ("kernel", "-.", "fp32, our kernel"),
                               ("bf16", "--", "bf16, PyTorch")):
        knee, end = peaks[name]["peak"] / copy, 1e5
        right.loglog([0.3, knee, end], [0.3 * copy, peaks[name]["peak"], peaks[name]["peak"]], style, color="0.5", lw=1)
        right.text(end, peaks[name]["peak"], label, ha="right", va="bottom", fontsize=8, color="0.4")
    right.set_xlabel("FLOP a byte, weights and frames moved once a call")
    right.set_ylabel("GFLOP/s")
    right.set_ylim(0.5, 2 * peaks["bf16"]["peak"])
    return fig


def draw_tokenizer(results):
    """MS/s of the chains by N, by condition."""
    result = results["tokenizer"][0]
    conditions = list(dict.fromkeys(row["condition"] for row in result["rows"]))
    fig, axes = figure(len(conditions), width=5.0)
    for axis, condition in zip(axes, conditions, strict=True):
        rows = [r for r in result["rows"] if r["condition"] == condition and r["average"] == result["rows"][0]["average"]]
        for number, name in enumerate(result["chains"]):
            points = [(r["fft_size"], r["chains"][name]["ms_s"]) for r in rows if name in r["chains"]]
            if points:
                style = ":" if name == "source alone" else "o-"
                axis.semilogx(*zip(*points, strict=True), style, ms=3, color=f"C{number}", label=name)
        axis.set_xticks([r["fft_size"] for r in rows], [str(r["fft_size"]) for r in rows], fontsize=8)
        axis.minorticks_off()
        axis.set_xlabel(f"N, K = {rows[0]['average']}, {condition}")
        axis.set_ylabel("MS/s")
        axis.set_ylim(0, None)
    axes[0].legend(fontsize=8)
    return fig


def draw_pipeline(results):
    """Share of a core by thread, as fast as it goes and, if measured, by the clock."""
    runs = [("as fast as it goes", row) for result in results["pipeline"] for row in result["rows"]]
    runs += [(f"{result['settings']['rate'] / 1e6:g} MS/s", row) for result in results.get("pipeline_paced", [])
             for row in result["rows"]]
    shares = [row["threads"] for _, row in runs]
    names = sorted({n for s in shares for n in s}, key=lambda n: -sum(s.get(n, 0.0) for s in shares))[:8]
    labels = [f"{row['model']} {row['runtime']}, K = {row['average']}, {how}" for how, row in runs]
    fig, (axis,) = figure(1, width=9.0, height=1.6 + 0.35 * len(runs))
    left = [0.0] * len(runs)
    for number, name in enumerate(names):
        widths = [s.get(name, 0.0) for s in shares]
        axis.barh(range(len(runs)), widths, left=left, color=f"C{number}", label=name)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axis.set_yticks(range(len(runs)), labels, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("cores")
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return fig


def draw_scaling(results):
    """Cost against tokens and dropout rate, bands against cores."""
    known = {"latency_tokens": _tokens_panel, "latency": _rates_panel, "throughput": _cores_panel}
    panels = [panel for bench, panel in known.items() if results.get(bench)]
    fig, axes = figure(len(panels), width=4.6)
    for axis, panel in zip(axes, panels, strict=True):
        panel(axis, results)
        axis.legend(fontsize=7, loc="upper left")
    return fig


def _tokens_panel(axis, results):
    rows = {int(t): _first(conditions) for t, conditions in _first(results["latency_tokens"][0]["times"]).items()}
    names = [n for n in _first(rows) if n.split()[0] not in ("grouped", "latent")]  # they lie on `flash`
    colours = _colours(names)
    for name in names:
        axis.loglog(list(rows), [arms[name]["p50_ms"] for arms in rows.values()], "o-", ms=3, color=colours[name], label=name)
    axis.set_xticks(list(rows), [str(t) for t in rows])
    axis.minorticks_off()
    axis.set_xlabel("tokens, 8 bins each")
    axis.set_ylabel("ms a spectrum")


def _rates_panel(axis, results):
    for name, points in rate_points(results["latency"][0]).items():
        if name.endswith(TORCH):
            continue
        axis.plot([p[0] for p in points], [p[1] for p in points], "o-", ms=3, label=name)
    axis.set_ylim(0, 1.4 * axis.get_ylim()[1])
    axis.set_xlabel("dropout rate r")
    axis.set_ylabel("ms a spectrum")


def _cores_panel(axis, results):
    capacity = results["throughput"][0]["capacity"]
    frames_per_s, cores = capacity["settings"]["frames_per_s_of_a_band"], (1, 2, 4, 8, 16, 32)
    s_of = {name: contention(rates) or 0.0 for name, rates in capacity["scaling"].items()}
    shown = {name: value for name, value in capacity["bands_per_core"].items() if not name.endswith(TORCH)}
    colours = _colours(shown)
    for name, value in shown.items():
        s = s_of.get(name, next(iter(s_of.values())))
        axis.loglog(cores, [bands(value["median"], c, s) for c in cores], "--", lw=1, color=colours[name], label=f"{name}, model")
    for name, rates in capacity["scaling"].items():
        if name not in shown:
            continue
        axis.loglog([int(p) for p in rates], [r["frames_per_s"] / frames_per_s for r in rates.values()], "o", ms=5,
                    color=colours[name], label=f"{name}, measured")
    axis.set_xticks(cores, [str(c) for c in cores])
    axis.set_ylim(0.05, 20000)
    axis.minorticks_off()
    axis.set_xlabel("cores")
    axis.set_ylabel(f"bands of {capacity['settings']['band_hz'] / 1e6:g} MS/s")


PICTURES: dict[str, tuple[str, Callable]] = {
    "latency": ("latency", draw_latency), "throughput": ("throughput", draw_throughput),
    "tokenizer": ("tokenizer", draw_tokenizer), "pipeline": ("pipeline", draw_pipeline), "scaling": ("throughput", draw_scaling)}
