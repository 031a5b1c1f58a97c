# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of each bench as tables of text, which the command line prints. The page shows a few of their rows (``summary``)."""

from __future__ import annotations

import re
from typing import NamedTuple

from .latency import REFERENCE


class TextTable(NamedTuple):
    title: str
    header: list[str]
    rows: list[list[str]]


def tables(result: dict) -> list[TextTable]:
    """The tables of a result, by its `bench`."""
    return _TABLES[result["bench"]](result)


def number(value: float | None, digits: int = 3) -> str:
    """The value with `digits` significant digits and no exponent; "-" for None."""
    if value is None:
        return "-"
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e" in text and abs(value) >= 1 else f"{value:.6f}".rstrip("0") if "e" in text else text


def _threads_text(threads: str) -> str:
    return f"{threads} thread{'s' * (threads != '1')}"


def short(cell: str) -> str:
    """A cell without its interval."""
    return re.sub(r" \(\S+ to \S+\)$", "", cell)


def interval(value: dict | None) -> str:
    """{median, low, high} as `median (low to high)`."""
    return "-" if value is None else f"{number(value['median'])} ({number(value['low'])} to {number(value['high'])})"


def _times(title: str, arms: dict, name_of: str = "network", extra=()) -> TextTable:
    """p50, p90, p99, max, CPU and speed-up of each arm. extra: pairs of a column's title and a function of the arm's name."""
    header = [name_of, *(name for name, _ in extra), "p50 ms", "p90", "p99", "max", "first", "p99 of others", "CPU ms",
              "reference / ours", "by CPU time"]
    rows = []
    for name, row in arms.items():
        ratio = row.get("speed_up", {})
        rows.append([name, *(cell(name) for _, cell in extra), *(number(row[k]) for k in ("p50_ms", "p90_ms", "p99_ms", "max_ms",
                     "first_p50_ms", "warm_p99_ms", "cpu_p50_ms")), interval(ratio.get("wall")), interval(ratio.get("cpu"))])
    return TextTable(title, header, rows)


def _latency(result: dict) -> list[TextTable]:
    extra = [("MFLOP", lambda name: number(result["arms"][name]["mflop"]))]
    return [_times(f"One spectrum, {_threads_text(threads)}, {condition}", arms, extra=extra)
            for threads, conditions in result["times"].items() for condition, arms in conditions.items()]


def _latency_tokens(result: dict) -> list[TextTable]:
    return [_times(f"{tokens} tokens, {_threads_text(threads)}, {condition}", arms, "backend",
                   [("MFLOP", lambda name, tokens=tokens: number(result["mflop"][tokens][name]))])
            for threads, rows in result["times"].items() for tokens, conditions in rows.items()
            for condition, arms in conditions.items()]


def _throughput(result: dict) -> list[TextTable]:
    out = []
    for threads, batches in result["times"].items():
        for condition in next(iter(batches.values())):
            names = list(next(iter(batches.values()))[condition])
            rows = [[batch, *(number(arms[condition][n]["per_s"]) for n in names)] for batch, arms in batches.items()]
            out.append(TextTable(f"Spectra a second, {_threads_text(threads)}, {condition}", ["batch", *names], rows))
            shares = [[batch, *(_share(arms[condition][n]) for n in names)] for batch, arms in batches.items()]
            out.append(TextTable(f"GFLOP/s and share of the fp32 peak, {_threads_text(threads)}, {condition}", ["batch", *names],
                                 shares))
            ours = [n for n in names if n != REFERENCE]
            ratios = [[batch, *(interval(arms[condition][n]["speed_up"]["wall"]) for n in ours)]
                      for batch, arms in batches.items()]
            out.append(TextTable(f"Reference / ours, a spectrum, {_threads_text(threads)}, {condition}", ["batch", *ours],
                                 ratios))
    peaks = [[threads, *(number(r["gemm"][kind]["peak"]) for kind in ("fp32", "kernel", "bf16")),
              *(number(r["memory"][kind]) for kind in ("copy", "triad"))] for threads, r in result["roofline"].items()]
    out.append(TextTable("This machine", ["threads", "PyTorch fp32 GFLOP/s", "our kernel fp32", "PyTorch bf16", "copy GB/s",
                                          "triad GB/s"], peaks))
    return out + _capacity(result["capacity"])


def _share(row: dict) -> str:
    return f"{number(row['gflop_s'])} ({100 * row['share_of_fp32_peak']:.0f} %)"


def _capacity(capacity: dict) -> list[TextTable]:
    settings = capacity["settings"]
    stages = [[name, *(number(row[k] / settings["frames"]) for k in ("p50_ms", "cpu_p50_ms"))]
              for name, row in capacity["stages"].items()]
    bands = [[name, interval(value), interval(capacity["over_reference"].get(name))]
             for name, value in capacity["bands_per_core"].items()]
    out = [TextTable(f"A frame in batches of {settings['frames']}, one thread", ["stage", "ms", "CPU ms"], stages),
           TextTable(f"Bands of {settings['band_hz'] / 1e6:g} MS/s at K = {settings['average']} that a core watches",
                     ["network", "bands", "ours / reference"], bands)]
    counts = list(next(iter(capacity["scaling"].values()), {}))
    rows = [[name, *(f"{number(rates[c]['frames_per_s'])}, {number(rates[c]['frames_per_cpu_s'])}" for c in counts)]
            for name, rates in capacity["scaling"].items()]
    return [*out, TextTable("Frames a second of so many processes at once, all together, and a CPU second of one",
                            ["network", *counts], rows)]


def _tokenizer(result: dict) -> list[TextTable]:
    out = []
    for condition in dict.fromkeys(row["condition"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["condition"] == condition]
        names = list(rows[0]["chains"])
        for title, key in (("MS/s", "ms_s"), ("MS per CPU second", "ms_per_cpu_s")):
            out.append(TextTable(f"{title}, {condition}", ["N, K", *names], [[
                f"{row['fft_size']}, {row['average']}", *(number(row["chains"][n][key]) for n in names)] for row in rows]))
        others = [n for n in names if "ours_over" in rows[0]["chains"][n] and n not in ("source alone", "tokenize()")]
        for clock, about in (("wall", "by the clock"), ("cpu", "by CPU time")):
            out.append(TextTable(f"Ours over the others, {about}, {condition}", ["N, K", *others], [[
                f"{row['fft_size']}, {row['average']}", *(interval(row["chains"][n]["ours_over"][clock]) for n in others)]
                for row in rows]))
    return out


def _threads(shares: dict, count: int = 4) -> str:
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in list(shares.items())[:count])


def _pipeline(result: dict) -> list[TextTable]:
    return [TextTable("IQ to events, as fast as it goes", ["model", "K", "MS/s", "frames/s", "CPU ms a frame", "events",
                                                           "threads, share of a core"],
                      [[f"{r['model']} {r['runtime']}", str(r["average"]), number(r["ms_s"]), number(r["frames_s"]),
                        number(r["cpu_ms_per_frame"]), str(r["events"]), _threads(r["threads"])] for r in result["rows"]])]


def _paced(result: dict) -> list[TextTable]:
    header = ["model", "K", "frames", "skipped", "samples lost", "p50 ms", "p99", "max", "CPU, cores", "threads, share of a core"]
    rows = [[f"{r['model']} {r['runtime']}", str(r["average"]), str(r["frames"]), f"{100 * r['skipped_share']:.1f} %",
             f"{100 * r['lost_share']:.2f} %", *(number(r.get(k)) for k in ("p50_ms", "p99_ms", "max_ms")),
             number(r["cpu_s_per_s_of_signal"]), _threads(r["threads"])] for r in result["rows"]]
    settings = result["settings"]
    return [TextTable(f"{settings['rate'] / 1e6:g} MS/s by the clock for {settings['seconds']:g} s", header, rows)]


def _detector(result: dict) -> list[TextTable]:
    return [TextTable(f"Detector, {condition}", ["frames", "ms a frame", "p50 ms", "p90", "p99", "max"], [
        [name, number(r["ms_per_frame"]), *(number(r[k]) for k in ("p50_ms", "p90_ms", "p99_ms", "max_ms"))]
        for name, r in arms.items()]) for condition, arms in result["times"].items()]


def _energy(result: dict) -> list[TextTable]:
    about = result["meter"] if result["measured"] else f"ESTIMATE, not measured ({result['meter'].partition(': ')[2]})"
    return [TextTable(f"Energy of a spectrum in batches of {batch}; {about}",
                      ["network", "mJ", "net of rest", "CPU ms", "reference / ours"],
                      [[name, interval(r["mj_per_spectrum"]), interval(r["net_mj"]), number(r["cpu_ms_per_spectrum"]),
                        interval(r.get("reference_over"))] for name, r in rows.items()])
            for batch, rows in result["rows"].items()]


def _memory(result: dict) -> list[TextTable]:
    peaks = [[name, *(f"{r[k]:.0f}" for k in ("imported_mb", "peak_mb", "over_mb"))] for name, r in result["processes"].items()]
    out = [TextTable(f"Peak memory of a process, a batch of {result['settings']['batch']}, MB",
                     ["network", "imports", "peak", "over imports"], peaks)]
    for model, counts in result["keys_and_values"].items():
        for tokens, families in counts.items():
            out.append(TextTable(f"Keys and values of a layer and frame, {model}'s sizes, {tokens} tokens, kB",
                                 ["backend", "made of a token", "given to the kernel"],
                                 [[name, number(1e-3 * r["inputs"]), number(r["kernel"] and 1e-3 * r["kernel"])]
                                  for name, r in families.items()]))
    return out


def _recordings(result: dict) -> list[TextTable]:
    rows = [[f"{name}, blocks of {row['block']}", number(r["ms_s"]), number(r["ms_per_cpu_s"]),
             *(interval(r.get("speed", {}).get(clock)) for clock in ("wall", "cpu"))]
            for row in result["rows"] for name, r in row["formats"].items()]
    return [TextTable("Reading 16 bit IQ", ["format", "MS/s", "MS per CPU second", "over SigMF", "by CPU time"], rows)]


def _hub(result: dict) -> list[TextTable]:
    sizes, latency, cpu = result["settings"], result["latency_ms"], result["cpu_s_per_s"]
    rows = [["sensors", number(sizes["sensors"])], ["messages sent", number(result["sent"], 7)],
            ["stored", number(result["stored"], 7)], ["lost", number(result["lost"])],
            ["latency p50 ms", number(latency["p50"])], ["p99", number(latency["p99"])], ["max", number(latency["max"])],
            ["bytes/s of a sensor", number(result["bytes_per_s"], 4)],
            *([f"  {kind}", number(value, 4)] for kind, value in result["bytes_per_s_by_kind"].items()),
            ["bytes of a spectrum", number(result["bytes_per_spectrum"])],
            ["share of headers", number(result["overhead_share"])], ["cores of the hub", number(cpu["hub"])],
            ["cores of all sensors", number(cpu["sensors"])],
            ["PDUs decoded, of all", f"{result['decoded']} of {result['decoded'] + result['left_out']}"]]
    return [TextTable(f"A hub and {sizes['sensors']} sensors", ["", ""], rows)]


def _token_head(result: dict) -> list[TextTable]:
    rows = [[f"{r['model']} {r['runtime']} {r['dtype']}{', random head' if r['random_head'] else ''}", str(r["batch"]),
             *(number(times["cpu_p50_ms"] / r["batch"]) for times in r["times"].values()),
             *(interval(r["cost"][clock]) for clock in ("cpu", "wall"))] for r in result["rows"]]
    return [TextTable("Token classes, ms of a spectrum by CPU time",
                      ["network", "batch", "without", "with", "with / without", "by the clock"], rows)]


_TABLES = {"latency": _latency, "latency_tokens": _latency_tokens, "throughput": _throughput, "tokenizer": _tokenizer,
           "pipeline": _pipeline, "pipeline_paced": _paced, "detector": _detector, "energy": _energy, "memory": _memory,
           "recordings": _recordings, "hub": _hub, "token_head": _token_head}
