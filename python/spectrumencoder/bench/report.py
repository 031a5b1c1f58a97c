# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of all benches: words, goals beside figures, a section for each bench with its pictures, the commands.

A section shows the rows that answer its question (``summary``) and links the JSON files, which hold all figures.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..atomic_file import write_file
from ..measure.page import command_block, kept_words, markdown_table, paragraph
from ..measure.page import page as whole_page
from .goals import goals_table
from .pictures import draw_all
from .scaling import contention
from .summary import summary

PATTERN = "bench_*.json"
TITLE = "Performance"
SECTIONS = {  # bench -> title, what is measured, picture
    "latency": ("Latency of one spectrum", """
The reference is PyTorch's transformer encoder in the faster of its two implementations. It is 512 wide, with 8 heads, 6 layers,
feed-forward 2048, fp32, 128 tokens. Ours is `Engine.encode` with heads, residual, reconstruction and features. The networks take
turns. Percentiles are by the wall clock over all calls. `pad 0`: PyTorch's runtime with a batch as it comes.""", "latency"),
    "latency_tokens": ("Longer spectra", """
The networks have the sizes of `base` and random weights, since speed does not depend on weights. A token has 8 bins, and all
tokens are kept. The time is that of the whole network and its residual.""", None),
    "throughput": ("Throughput and capacity", """
Batches come as they are, r = 0.25; the reference gets batches of 16 at most. The share of the peak counts matrix products and
attention over the whole time of a call. A core that watches a band of 2.4 MS/s at K = 16 runs tokenizer, network and detector, 16
frames at a time, by processor time of one thread. The reference is charged our detector.""", "throughput"),
    "tokenizer": ("Tokenizer", """
Noise from memory goes through a flowgraph, Blackman-Harris, every window used. `fft_tokenizer` gives the mean of K spectra, noise
floor, max-hold, spread and tokens. `logpwrfft_c` gives every window and a moving average, and nothing else. The bare chain has no
average and no dB. `source alone` is what all pay for their samples. `tokenize()` is ours on an array, without a flowgraph.""",
                  "tokenizer"),
    "pipeline": ("IQ to events", """
`spectrum_monitor` runs in the flowgraph that `spectrumencoder run` builds. The band is simulated, and the model is calibrated on
the frames that are played: r = 0.25, N = 1024, no overlap. Threads have the names that GNU Radio gives them.""", "pipeline"),
    "pipeline_paced": ("At a radio's pace", """
The same by the clock with a radio's settings. Frames more than 1 s late are skipped. Samples not taken within 0.1 s are lost.
Latency is from the arrival of a frame's last sample to its verdict.""", None),
    "detector": ("Detector", """
The detector alone, on a band that it has learned: the goals have its time. Batches and a busy neighbour are in the
JSON.""", None),
    "recordings": ("Recordings", """
Noise in 16 bits is read from files in the page cache, from first to last. `over SigMF` is the speed over that of
SigMF.""", None),
    "hub": ("Sensors and a hub", """
Simulated sensors send to a [hub](../hub.md) on the same machine. The JSON has losses, latency to the hub's disk, and
bytes.""", None),
    "energy": ("Energy of a spectrum", "The goals have the ratios.", None),
    "memory": ("Memory", """
Peak memory of a process, and keys and values of an attention layer: the goals have the latter.""", None),
}


class ReportError(Exception):
    """There is nothing to report on; one line."""


def write_report(folder: Path, out: Path, about: Path | None = None) -> list[Path]:
    """Writes the page and its pictures; returns the files written.

    Args:
        folder: holds the JSON files of the benches.
        out: the page. about: Markdown that the page begins with; None keeps the words of the page that is there.

    Raises:
        ReportError: the folder holds no results. OSError: a file cannot be written.
    """
    results = read_results(folder)
    pictures = draw_all(results, out.parent, out.stem)
    write_file(out, page(results, {name: path.name for name, path in pictures.items()}, folder, out, about).encode())
    return [out, *pictures.values()]


def read_results(folder: Path) -> dict[str, list[dict]]:
    """bench -> its results, in the order of their files' names; each has the name of its file under `file`.

    Raises:
        ReportError: no file, or one that no bench wrote.
    """
    results: dict[str, list[dict]] = {}
    for path in sorted(folder.glob(PATTERN)):
        try:
            result = json.loads(path.read_text())
            results.setdefault(result["bench"], []).append(result | {"file": path.name})
        except (ValueError, KeyError, TypeError) as error:
            raise ReportError(f"{path} was not written by `spectrumencoder bench`; remove it, or measure again") from error
    unknown = sorted(set(results) - set(SECTIONS))
    if unknown or not results:
        what = f"holds results of {', '.join(unknown)}, unknown here" if unknown else f"holds no {PATTERN}"
        raise ReportError(f"{folder} {what}; write them with `spectrumencoder bench ... --json {folder}/bench_NAME.json`")
    return results


def page(results: dict[str, list[dict]], pictures: dict[str, str], folder: Path, out: Path, about: Path | None = None) -> str:
    """The Markdown. pictures: name -> file beside the page; folder, out, about: as for `write_report`."""
    every = [result for of_bench in results.values() for result in of_bench]
    beside = os.path.relpath(folder, out.parent)
    goals = goals_table(results)
    parts = [f"## Goals\n\n{markdown_table(goals.header, goals.rows)}"] if goals.rows else []
    for bench, (title, measured, picture) in SECTIONS.items():
        if bench not in results:
            continue
        files = [result["file"] for result in results[bench]]
        links = ", ".join(f"[{file}]({os.path.normpath(os.path.join(beside, file))})" for file in files)
        table = summary(bench, results[bench])
        words = [" ".join(measured.split()), *(note for result in results[bench] for note in _notes(result)),
                 f"All figures: {links}.", *([f"{table.title}:"] if table is not None else [])]
        parts += [f"## {title}\n", paragraph(" ".join(words)) + "\n"]
        if table is not None:
            parts.append(markdown_table(table.header, table.rows))
        if picture in pictures:
            parts.append(f"![{title}]({pictures[picture]})\n")
    if "throughput" in results or "scaling" in pictures:
        parts.append("## Scaling\n")
        if "throughput" in results:
            parts.append(_core_assumptions(results["throughput"][0]))
        if "scaling" in pictures:
            parts.append(f"![Cost against tokens and dropout rate, bands against cores]({pictures['scaling']})\n")
    parts += ["## Machine and commands\n", _machines(every)]
    parts.append(command_block(*dict.fromkeys(r["command"] for r in every),
                               f"spectrumencoder bench report --json-dir {folder}{f' --about {about}' if about else ''} --out "
                               f"{out}"))
    return whole_page(TITLE, "\n".join(parts), about.read_text() if about else kept_words(out))


def _machines(results: list[dict]) -> str:
    """A paragraph for each machine and set of versions: what was measured there, and whether it was quiet."""
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
    for machine, of_kind in kinds.items():
        loads = [r["machine"]["load_at_start"][0] for r in of_kind]
        dates = sorted(r["machine"]["date"][:10] for r in of_kind)
        when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
        commits = ", ".join(dict.fromkeys(r["machine"]["commit"][:12] for r in of_kind))
        notes = " **The machine was not quiet: trust ratios rather than times.**" if max(loads) > 0.5 else ""
        if any(" --quick" in r["command"] for r in of_kind):
            notes += " **A trial with --quick: its figures say nothing.**"
        lines.append(paragraph(f"{', '.join(dict.fromkeys(r['bench'] for r in of_kind))}: {machine}. {when}, commit {commits}, "
                               f"load at the start {min(loads):.2f} to {max(loads):.2f}.{notes}") + "\n")
    return "\n".join(lines)


def _notes(result: dict) -> list[str]:
    """Sentences that a result needs beside its table: what was not measured, and whether it is an estimate."""
    notes = [f"`{name}` was not measured: {why}." for name, why in result.get("unavailable", {}).items()]
    if result["bench"] == "energy":
        notes.append(f"By {result['meter']}; at rest it is {result['rest_w']:.1f} W." if result["measured"] else
                     f"**An estimate**, since no meter can be read here: {result['meter'].partition(': ')[2]}. Its ratios are "
                     "those of the processor time alone.")
    return notes


def _core_assumptions(result: dict) -> str:
    """How the picture goes from the cores measured to more of them."""
    capacity = result["capacity"]
    counts = [int(p) for p in next(iter(capacity["scaling"].values()), {"1": 0})]
    s_of = ", ".join(f"{name} {contention(rates) or 0:.2g}" for name, rates in capacity["scaling"].items())
    measured = (f"s was measured with up to {max(counts)} processes of the whole chain ({s_of})" if max(counts) > 1 else
                "s was not measured and is taken as 0")
    triad = max(r["memory"]["triad"] for r in result["roofline"].values())
    need = 8e-9 * capacity["settings"]["band_hz"]
    return paragraph(
        "If one process on one thread watches R bands, P of them watch P R / (1 + s (P - 1)). "
        f"{measured[0].upper()}{measured[1:]}. The reference gets the s of the first network. More cores than were measured "
        "are an extrapolation: it assumes that cores added are like those measured, that clocks do not fall, and that memory "
        f"keeps up. A band's samples are {1e3 * need:.0f} MB/s, so that one thread's {triad:.0f} GB/s alone would feed "
        f"{triad / need:.0f} bands.") + "\n"
