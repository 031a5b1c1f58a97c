# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of all benches: a section for each result in a folder, pictures beside the page, and how to make it again."""

from __future__ import annotations

import json
from pathlib import Path

from ..atomic_file import write_file
from ..measure.page import markdown_table
from .goals import goals_table
from .pictures import draw_all
from .scaling import scaling_tables
from .tables import tables

PATTERN = "bench_*.json"
SECTIONS = {  # bench -> title, what is measured, picture
    "latency": ("Latency of one spectrum", """
The reference is PyTorch's transformer encoder, 512 wide, 8 heads, 6 layers, feed-forward 2048, fp32, 128 tokens, by the faster of
PyTorch's two implementations. Ours is `Engine.encode`: heads, residual, reconstruction and features included. Of PyTorch's
runtime `pad 16` is how recordings are run (a lone frame costs what 16 do), `pad 4` how radios are, `pad 0` a batch as it comes.
Networks take turns; percentiles are of the clock on the wall, over all calls; `first` is the median of the first call of a
turn, which finds in the caches what another network left there, `p99 of others` is that of the calls after it.""", "latency"),
    "latency_tokens": ("Longer spectra", """
Networks of `base`'s sizes with random weights (speed does not depend on them), 8 bins to a token, all tokens kept, one
spectrum: the whole network and its residual.""", None),
    "throughput": ("Throughput and capacity", """
Batches as they come, r = 0.25; the reference gets batches of at most 16. GFLOP/s count matrix products and attention alone, over
the whole time of a call. What a core watches: tokenizer, network and detector of 16 frames, by processor time of one thread; the
reference is charged our detector.""", "throughput"),
    "tokenizer": ("Tokenizer", """
Noise from memory through a flowgraph, Blackman-Harris, every window used.""", "tokenizer"),
    "pipeline": ("IQ to events", """
`spectrum_monitor` in the flowgraph that `spectrumencoder run` builds; the band is simulated and calibrated on the frames that are
played, r = 0.25, N = 1024, no overlap. Threads bear the names that GNU Radio gives them.""", "pipeline"),
    "pipeline_paced": ("At a radio's pace", """
The same by the clock with a radio's settings: frames more than 1 s late are skipped, samples not taken within 0.1 s are lost.
Latency is from the arrival of a frame's last sample to its verdict.""", None),
    "detector": ("Detector", """
On a band that it has learned, what comes after the encoder.""", None),
    "energy": ("Energy of a spectrum", "", None),
    "memory": ("Memory", """
Each in a process of its own, over what importing Python's packages and PyTorch takes. Keys and values are tensors of a forward
pass with all tokens kept: what a layer makes of each token, and what the softmax kernel is then given
(`-`: there is none).""", None),
}


class ReportError(Exception):
    """There is nothing to report on; one line."""


def write_report(folder: Path, out: Path, about: Path | None = None) -> list[Path]:
    """Writes the page and its pictures; the files written. about: Markdown that the page begins with.

    Raises:
        ReportError: the folder holds no results. OSError: a file cannot be written.
    """
    results = read_results(folder)
    pictures = draw_all(results, out.parent, out.stem)
    write_file(out, page(results, {name: path.name for name, path in pictures.items()}, folder, out, about).encode())
    return [out, *pictures.values()]


def read_results(folder: Path) -> dict[str, list[dict]]:
    """bench -> its results, in the order of their files' names.

    Raises:
        ReportError: no file, or one that no bench wrote.
    """
    results: dict[str, list[dict]] = {}
    for path in sorted(folder.glob(PATTERN)):
        try:
            result = json.loads(path.read_text())
            results.setdefault(result["bench"], []).append(result)
        except (ValueError, KeyError, TypeError) as error:
            raise ReportError(f"{path} was not written by `spectrumencoder bench`; remove it, or measure again") from error
    unknown = sorted(set(results) - set(SECTIONS))
    if unknown or not results:
        what = f"holds results of {', '.join(unknown)}, unknown here" if unknown else f"holds no {PATTERN}"
        raise ReportError(f"{folder} {what}; write them with `spectrumencoder bench ... --json {folder}/bench_NAME.json`")
    return results


def page(results: dict[str, list[dict]], pictures: dict[str, str], folder: Path, out: Path, about: Path | None = None) -> str:
    """The Markdown. pictures: name -> file beside the page; about: Markdown that goes before the tables."""
    every = [result for of_bench in results.values() for result in of_bench]
    goals = goals_table(results)
    parts = ["# Performance\n", *([_markdown(goals)] if goals.rows else []), *([about.read_text()] if about else []),
             _machines(every)]
    for bench, (title, measured, picture) in SECTIONS.items():
        for result in results.get(bench, []):
            parts += [f"## {title}\n", *([f"{measured.strip()}\n"] if measured else []), *_notes(result)]
            parts += map(_markdown, tables(result))
            if picture in pictures:
                parts.append(f"![{title}]({pictures[picture]})\n")
    scaling = scaling_tables(results)
    if scaling:
        parts += ["## Scaling\n", *map(_markdown, scaling)]
        if "throughput" in results:
            parts.append(_core_assumptions(results["throughput"][0]))
        if "scaling" in pictures:
            parts.append(f"![Cost against tokens and dropout rate, bands against cores]({pictures['scaling']})\n")
    commands = "\n".join([*dict.fromkeys(r["command"] for r in every),
                          f"spectrumencoder bench report --json-dir {folder}{f' --about {about}' if about else ''} --out {out}"])
    parts.append(f"Made by\n\n```\n{commands}\n```\n")
    return "\n".join(parts)


def _markdown(table) -> str:
    return f"{table.title}:\n\n{markdown_table(table.header, table.rows)}"


def _machines(results: list[dict]) -> str:
    kinds: dict[str, list[dict]] = {}
    for result in results:
        m = result["machine"]
        versions = ", ".join(f"{name} {m[key]}" for name, key in (
            ("Python", "python"), ("PyTorch", "torch"), ("NumPy", "numpy"), ("GNU Radio", "gnuradio"), ("VOLK", "volk_machine"),
            ("FFTW", "fftw")) if m[key])
        caches = ", ".join(f"{name} {kib} KiB" for name, kib in m["caches_kib"].items())
        kinds.setdefault(f"{m['cpu']}, {m['cores']} cores, {caches or 'caches unknown'}, {m['memory_gib']} GiB; "
                         f"{' '.join(m['cpu_flags'])}; {versions}", []).append(result)
    lines = []
    for what, of_kind in kinds.items():
        loads = [r["machine"]["load_at_start"][0] for r in of_kind]
        dates = sorted(r["machine"]["date"][:10] for r in of_kind)
        when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
        commits = ", ".join(dict.fromkeys(r["machine"]["commit"][:12] for r in of_kind))
        busy = " **The machine was not quiet: trust ratios rather than times.**" if max(loads) > 0.5 else ""
        if any(" --quick" in r["command"] for r in of_kind):
            busy += " **A trial with --quick: its figures say nothing.**"
        lines.append(f"{', '.join(dict.fromkeys(r['bench'] for r in of_kind))}: {what}. {when}, commit "
                     f"{commits}, load when they began {min(loads):.2f} to {max(loads):.2f}.{busy}\n")
    return "\n".join(lines)


def _notes(result: dict) -> list[str]:
    notes = [f"`{name}` was not measured: {why}.\n" for name, why in result.get("unavailable", {}).items()]
    if result["bench"] == "tokenizer":
        notes += ["\n".join(f"* `{name}`: {what}." for name, what in result["chains"].items()) + "\n"]
    if result["bench"] == "energy":
        notes += [f"By {result['meter']}; at rest it is {result['rest_w']:.1f} W.\n" if result["measured"] else
                  f"**An estimate**, since no meter can be read here: {result['meter'].partition(': ')[2]}. Its ratios are those "
                  "of the processor time alone.\n"]
    return notes


def _core_assumptions(result: dict) -> str:
    capacity = result["capacity"]
    counts = [int(p) for p in next(iter(capacity["scaling"].values()), {"1": 0})]
    measured = (f"s was measured with up to {max(counts)} processes of the whole chain" if max(counts) > 1 else
                "s was not measured and is taken as 0")
    triad = max(r["memory"]["triad"] for r in result["roofline"].values())
    need = 8e-9 * capacity["settings"]["band_hz"]
    return ("What cores watch: P processes, each with bands of its own on one thread, do P R / (1 + s (P - 1)), where one alone "
            f"does R; {measured}, and the reference is given the first network's. 8 and 32 cores are an "
            "extrapolation: it assumes that cores added are like those measured, that clocks do not fall, and that memory keeps "
            f"up. A band's samples are {1e3 * need:.0f} MB/s, so that one thread's {triad:.0f} GB/s alone would feed "
            f"{triad / need:.0f} bands.\n")
