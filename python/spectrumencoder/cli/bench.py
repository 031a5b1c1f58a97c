# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder bench ...``: speed, energy and memory on this machine. Each prints a table and writes its JSON."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from .console import OUT, check_writable, progress_bar, write_json
from .errors import CommandError, UsageError
from .options import hz

app = typer.Typer(no_args_is_help=True, help="Measure speed, energy and memory on this machine, in turn with what it is compared "
                  "with; each prints a table and writes JSON.")

Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures here.", show_default=False)]
Models = Annotated[list[str] | None, typer.Option("--model", help="A shipped model or a file; may be given again. The shipped "
                                                  "ones otherwise.", show_default=False)]
Threads = Annotated[list[int] | None, typer.Option(min=1, help="Threads of PyTorch; may be given again, 1 and 2 otherwise.",
                                                   show_default=False)]
Rounds = Annotated[int | None, typer.Option(min=2, help="How often each has its turn.", show_default=False)]
Busy = Annotated[bool, typer.Option("--busy-neighbour", help="Measure beside a process that multiplies matrices, too.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the order of the turns.")]
Quick = Annotated[bool, typer.Option("--quick", help="A trial in seconds; its figures say nothing.")]
Average = Annotated[list[int] | None, typer.Option(min=1, max=64, help="K; may be given again, 16 and 64 otherwise.",
                                                   show_default=False)]


@app.command()
def latency(
    model: Models = None,
    tokens: Annotated[str, typer.Option(metavar="M,M,...", help="Longer spectra instead: numbers of tokens, such as 128,512, "
                                        "by attention backend. The networks have base's sizes and random weights.")] = "",
    threads: Threads = None, rounds: Rounds = None, busy: Busy = False, seed: Seed = 0, quick: Quick = False,
    json_file: Json = None,
):
    """One spectrum at a time, the reference network against the shipped models."""
    from ..bench.latency import QUICK, Sizes
    from ..bench.latency import latency as bench
    sizes = _sizes(QUICK if quick else Sizes(), rounds=rounds, threads=threads)
    if not tokens:
        _run(bench, json_file, _names(model), sizes=sizes, busy_neighbour=busy, seed=seed)
        return
    from ..bench.long_spectra import long_spectra
    if model:
        raise UsageError("--tokens measures networks of base's sizes with random weights; leave out --model")
    _run(long_spectra, json_file, _token_counts(tokens), sizes=sizes, busy_neighbour=busy, seed=seed)


@app.command()
def throughput(model: Models = None, threads: Threads = None, rounds: Rounds = None, busy: Busy = False, seed: Seed = 0,
               quick: Quick = False, json_file: Json = None):
    """Spectra a second by batch size beside the machine's peak, and bands that a core watches with each network."""
    from ..bench.throughput import QUICK, Sizes
    from ..bench.throughput import throughput as bench
    _run(bench, json_file, _names(model), sizes=_sizes(QUICK if quick else Sizes(), rounds=rounds, threads=threads),
         busy_neighbour=busy, seed=seed, quick=quick)


@app.command()
def tokenizer(
    fft_size: Annotated[list[int] | None, typer.Option(min=16, max=65536, help="N; may be given again, 256 to 16384 otherwise.",
                                                       show_default=False)] = None,
    average: Average = None, rounds: Rounds = None, seed: Seed = 0, quick: Quick = False, json_file: Json = None,
):
    """MS/s of fft_tokenizer against logpwrfft and a bare FFT chain."""
    from ..bench.tokenizer import QUICK, Sizes
    from ..bench.tokenizer import tokenizer as bench
    _run(bench, json_file, sizes=_sizes(QUICK if quick else Sizes(), rounds=rounds, fft_sizes=fft_size, averages=average),
         seed=seed)


@app.command()
def pipeline(
    model: Models = None, average: Average = None,
    rate: Annotated[float | None, typer.Option(parser=hz, metavar="HZ", show_default=False,
                                               help="Samples/s: play the band by the clock instead, as a radio does.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Of a run; 10, with --rate 60 otherwise.",
                                                     show_default=False)] = None,
    rounds: Rounds = None, seed: Seed = 0, quick: Quick = False, json_file: Json = None,
):
    """IQ to events through spectrum_monitor: sustained rate, or latency and losses at a given one."""
    from ..bench import pipeline as bench
    names = tuple(model) if model else ("fast", "base")
    sizes = _sizes(bench.QUICK if quick else bench.Sizes(), rounds=rounds, averages=average, seconds=seconds)
    if rate is None:
        _run(bench.pipeline, json_file, names, sizes=sizes, seed=seed)
        return
    if not 1e3 <= rate < float("inf"):
        raise UsageError(f"--rate {rate:g} is not a rate; give 1000 samples/s or more")
    _run(bench.paced, json_file, names, rate=rate, averages=sizes.averages, seconds=seconds or (1.0 if quick else 60.0))


@app.command()
def detector(
    model: Annotated[str, typer.Option(help="A shipped model, or a file.")] = "base",
    rounds: Rounds = None, busy: Busy = False, seed: Seed = 0, quick: Quick = False, json_file: Json = None,
):
    """The detector alone on a band that it has learned: ms of a frame, one at a time and in batches."""
    from ..bench.detection import QUICK, Sizes, detection
    _run(detection, json_file, model, sizes=_sizes(QUICK if quick else Sizes(), rounds=rounds), busy_neighbour=busy, seed=seed)


@app.command()
def energy(
    model: Models = None,
    compute: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    watts_per_core: Annotated[float, typer.Option(min=0.1, help="For the estimate if no meter can be read.")] = 10.0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of PyTorch. [default: 1]", show_default=False)] = None,
    rounds: Rounds = None, seed: Seed = 0, quick: Quick = False, json_file: Json = None,
):
    """Joules of a spectrum, the reference's over ours, by RAPL or NVML, else an estimate."""
    from ..bench.energy import QUICK, Sizes
    from ..bench.energy import energy as bench
    if compute not in ("cpu", "cuda"):
        raise UsageError(f"--compute {compute} is neither cpu nor cuda")
    try:
        _run(bench, json_file, _names(model), sizes=_sizes(QUICK if quick else Sizes(), rounds=rounds, threads=threads),
             watts_per_core=watts_per_core, compute=compute, seed=seed)
    except OSError as error:
        raise CommandError(f"the energy of {compute} cannot be read: {error}; use --compute cpu") from error


@app.command()
def memory(model: Models = None, quick: Quick = False, json_file: Json = None):
    """Peak memory of a process by model and backend; bytes of keys and values by attention family."""
    from ..bench.memory import memory as bench
    smallest = {"tokens": (128,), "backends": ("latent",)} if quick else {}
    _run(bench, json_file, _names(model, count=1 if quick else None), **smallest)


@app.command()
def recordings(rounds: Rounds = None, seed: Seed = 0, quick: Quick = False, json_file: Json = None):
    """MS/s of reading recordings: WAV and Digital RF beside SigMF, all of 16 bits."""
    from ..bench.recordings import QUICK, Sizes
    from ..bench.recordings import recordings as bench
    _run(bench, json_file, sizes=_sizes(QUICK if quick else Sizes(), rounds=rounds), seed=seed)


@app.command(name="token-head")
def token_head(model: Models = None, rounds: Rounds = None, seed: Seed = 0, quick: Quick = False, json_file: Json = None):
    """What token classes cost: each model with and without them. A model without a token head gets a random one."""
    from ..bench.token_head import QUICK, Sizes
    from ..bench.token_head import token_head as bench
    _run(bench, json_file, _names(model), sizes=_sizes(QUICK if quick else Sizes(), rounds=rounds), seed=seed)


@app.command()
def report(
    json_dir: Annotated[Path, typer.Option("--json-dir", metavar="DIR", help="Folder of the benches' JSON, bench_*.json.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.md", help="The page; pictures go beside it.")],
    about: Annotated[Path | None, typer.Option("--about", metavar="FILE.md", exists=True, dir_okay=False, show_default=False,
                                               help="Markdown that the page begins with. [default: the words of the page that "
                                               "is there]")] = None,
):
    """Write the page of goals, tables and pictures from the JSON of the benches. It measures nothing."""
    check_writable(out)
    from ..bench.report import write_report
    for path in write_report(json_dir, out, about):
        OUT.print(f"wrote {path}", markup=False)


@app.command()
def hub(
    model: Annotated[str, typer.Option(help="A shipped model, or a file.")] = "base",
    sensors: Annotated[int | None, typer.Option(min=1, help="How many; 50 otherwise.", show_default=False)] = None,
    average: Annotated[int | None, typer.Option(min=1, max=64, help="K of each; 64 otherwise.", show_default=False)] = None,
    seconds: Annotated[float | None, typer.Option(min=1.0, help="60 otherwise.", show_default=False)] = None,
    seed: Seed = 0, quick: Quick = False, json_file: Json = None,
):
    """Simulated sensors and a hub on this machine: losses, latency to the hub's disk, bytes a second."""
    from ..bench.hub import QUICK, Sizes
    from ..bench.hub import hub as bench
    _run(bench, json_file, model, sizes=_sizes(QUICK if quick else Sizes(), sensors=sensors, average=average, seconds=seconds),
         seed=seed)


def _names(model: list[str] | None, count: int | None = None) -> tuple[str, ...]:
    from ..bench.engines import SHIPPED
    return (tuple(model) if model else SHIPPED)[:count]


def _sizes(sizes, **changes):
    """The sizes, with the options that were given."""
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in changes.items() if value}
    return replace(sizes, **given)


def _token_counts(text: str) -> tuple[int, ...]:
    counts = tuple(int(part) if part.strip().isdecimal() else 0 for part in text.split(","))
    if not all(96 <= count <= 8192 and count % 32 == 0 for count in counts):
        raise UsageError(f"--tokens {text} are not multiples of 32 in 96..8192, such as 128,512,2048")
    return counts


def _run(bench, json_file: Path | None, *arguments, **options):
    check_writable(json_file)
    from ..bench.tables import short, tables
    with progress_bar(counts=True) as bar:
        task = bar.add_task("bench", total=None)

        def progress(done: int, total: int, name: str):
            bar.update(task, completed=done, total=total, description=name)

        result = bench(*arguments, **options, progress=progress)
    result["command"] = " ".join(["spectrumencoder", *sys.argv[1:]])
    if json_file is not None:
        write_json(json_file, result)
    for title, header, rows in tables(result):
        _print_table(title, header, [[*map(short, row)] for row in rows])


def _print_table(title: str, header: list[str], rows: list[list[str]]):
    """Prints a table; one that is wider than the console in parts below each other, so that no figure is cut."""
    for columns in columns_that_fit(header, rows, OUT.width):
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0, pad_edge=False)
        for number in columns:
            table.add_column(header[number], justify="right" if number else "left", no_wrap=not number,
                             min_width=max((len(row[number]) for row in rows), default=0))
        for row in rows:
            table.add_row(*(row[number] for number in columns))
        OUT.print(table)


def columns_that_fit(header: list[str], rows: list[list[str]], width: int) -> list[list[int]]:
    """Numbers of the columns of each part of a table that is `width` characters wide. Each part begins with column 0."""
    widths = [max([len(row[number]) for row in rows] + [len(word) for word in name.split()], default=0) + 1
              for number, name in enumerate(header)]
    parts = [[0]]
    for number in range(1, len(header)):
        if len(parts[-1]) > 1 and sum(widths[n] for n in parts[-1]) + widths[number] > width:
            parts.append([0])
        parts[-1].append(number)
    return parts
