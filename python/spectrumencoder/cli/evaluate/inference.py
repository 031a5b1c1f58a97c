# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder evaluate speculative`` and ``evaluate precision``: ways to run a model against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import OUT, check_writable, progress_bar, write_bytes, write_json
from ..errors import UsageError
from .classify import Condition

Pool = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of augmented windows (train --pool).", show_default=False)]
Corpus = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of SigMF recordings labelled as the corpus is.",
                                             show_default=False)]
MaxWindows = Annotated[int | None, typer.Option("--max-windows", "--most", min=1, show_default=False,
                                                help="Largest number of windows of the pool, per model. [default: all]")]
Dropout = Annotated[float, typer.Option(min=0.0, max=0.99, help="Token dropout rate.")]
Judging = Annotated[Condition, typer.Option(help="Of recordings: as for evaluate classify.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the equalised condition and of what is timed.")]
Quick = Annotated[bool, typer.Option("--quick", help="A few frames and calls: a trial, its figures prove nothing.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures here.")]
Page = Annotated[Path | None, typer.Option("--markdown", metavar="FILE.md", help="Write the table here.")]


def speculative(
    model: Annotated[list[str], typer.Option(help="speculative, or speculative:FAST,LARGE; several (folds) are judged together, "
                                             "each on what it was not trained on; the first is "
                                             "timed.")] = ["speculative"],  # noqa: B006
    pool: Pool = None, corpus: Corpus = None, condition: Judging = Condition.equalised, max_windows: MaxWindows = None,
    dropout: Dropout = 0.25,
    dtype: Annotated[str, typer.Option(help="fp32, bf16, int8 or auto, of both models.")] = "fp32",
    threshold: Annotated[list[float] | None, typer.Option(min=0.0, max=1.0, help="Thresholds of the confidence; 0.5 to 0.99 "
                                                          "otherwise.", show_default=False)] = None,
    threads: Threads = 1, seed: Seed = 0, quick: Quick = False, json_file: Json = None, markdown: Page = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw points lost and speed-up.")] = None,
):
    """Speculative ensemble against the large model alone: accuracy lost, frames that the fast one answers, speed-up."""
    _one_source(pool, corpus)
    check_writable(json_file, markdown, plot)
    from ...evaluate.inference import speculative as experiment
    with _bar() as progress:
        result = experiment.speculative(model, pool=pool, corpus=corpus, condition=condition.value, max_windows=max_windows,
                                        thresholds=tuple(threshold or experiment.THRESHOLDS), dropout_rate=dropout, dtype=dtype,
                                        threads=threads, seed=seed, quick=quick, progress=progress)
    result["command"] = _command("speculative", model, pool, condition, seed, max_windows=max_windows, dropout=dropout,
                                 dtype=dtype, threshold=threshold, threads=threads, quick=quick)
    _write(result, experiment, json_file, markdown, plot)
    if plot is not None:
        experiment.draw(result, plot)


def precision(
    model: Annotated[str, typer.Option(help="Name of a shipped model, or a .safetensors file.")] = "base",
    pool: Pool = None, corpus: Corpus = None, condition: Judging = Condition.equalised, max_windows: MaxWindows = None,
    dropout: Dropout = 0.25, compute: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    runtime: Annotated[str, typer.Option(help="native, torch or auto, of all three.")] = "auto",
    threads: Threads = 1, seed: Seed = 0, quick: Quick = False, json_file: Json = None, markdown: Page = None,
):
    """bf16 and int8 inference against fp32: accuracy and residual lost, speed gained."""
    _one_source(pool, corpus)
    check_writable(json_file, markdown)
    from ...evaluate.inference import precision as experiment
    with _bar() as progress:
        result = experiment.precision(model, pool=pool, corpus=corpus, condition=condition.value, max_windows=max_windows,
                                      dropout_rate=dropout, compute=compute, runtime=runtime, threads=threads, seed=seed,
                                      quick=quick, progress=progress)
    result["command"] = _command("precision", [model], pool, condition, seed, max_windows=max_windows, dropout=dropout,
                                 compute=compute, runtime=runtime, threads=threads, quick=quick)
    _write(result, experiment, json_file, markdown)


def _one_source(pool: Path | None, corpus: Path | None):
    if (pool is None) == (corpus is None):
        raise UsageError("name the frames: --pool DIR (augmented windows made by train) or --corpus DIR (recordings), not both")
    folder = pool or corpus
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; name one that holds {'shards' if pool else '.sigmf-meta files'}")


class _bar:
    """A progress bar whose description changes with the stage; gives the function to call with (what, done, total)."""

    def __enter__(self):
        self._bar = progress_bar(counts=True)
        bar = self._bar.__enter__()
        task = bar.add_task("frames", total=None)
        return lambda what, done, total: bar.update(task, description=what, completed=done, total=total)

    def __exit__(self, *error):
        return self._bar.__exit__(*error)


def _command(name: str, models: list[str], pool: Path | None, condition: Condition, seed: int, **options) -> str:
    """What to type to get the figures again; options at their defaults are left out."""
    defaults = {"dropout": 0.25, "dtype": "fp32", "threads": 1, "compute": "cpu", "runtime": "auto", "seed": 0, "quick": False}
    words = ["spectrumencoder evaluate", name, *[f"--model {model}" for model in models]]
    words += [f"--pool {pool}"] if pool else ["--corpus CORPUS", f"--condition {condition.value}"]
    for option, value in {**options, "seed": seed}.items():
        values = value if isinstance(value, list) else [value]
        name = f"--{option.replace('_', '-')}"
        words += [name if v is True else f"{name} {v:g}" if isinstance(v, float) else f"{name} {v}"
                  for v in values if v != defaults.get(option)]
    return " ".join(words)


def _write(result: dict, experiment, json_file: Path | None, markdown: Path | None, plot: Path | None = None):
    """Prints the tables; writes the JSON and the page, if they are asked for."""
    from ...measure.page import kept_words, page
    if json_file is not None:
        write_json(json_file, result)
    if markdown is not None:
        figures = experiment.report(result, result["command"], picture=plot.name if plot is not None else "")
        write_bytes(markdown, page(experiment.TITLE, figures, kept_words(markdown)).encode())
    OUT.print(experiment.table(result), markup=False)
