# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder evaluate field``: detectors on bands composed of real recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import OUT, check_writable, give_page, progress_bar, write_bytes, write_json
from ..errors import CommandError


def field(
    plan: Annotated[list[str] | None, typer.Option(
        metavar="NAME|FILE|all", show_default=False,
        help="Plan of `dataset compose`; may be given again. NAME:QUIET:ANOMALOUS has its own seconds. [default: all]")] = None,
    corpus: Annotated[list[Path] | None, typer.Option(metavar="DIR", help="Folder of recordings; may be given again.",
                                                      show_default=False)] = None,
    learn: Annotated[list[float], typer.Option(min=1.0, help="Seconds of learning; several watch the same frames.")] = [  # noqa: B006
        120.0, 15.0],
    quiet: Annotated[float, typer.Option(min=0.0, help="Seconds of each band in which nothing is wrong.")] = 600.0,
    anomalous: Annotated[float, typer.Option(min=0.0, help="Seconds of each band with anomalies.")] = 300.0,
    seed: Annotated[list[int], typer.Option(min=0, help="Of the bands; several make as many bands of each plan.")] = [0],  # noqa: B006
    detectors: Annotated[str, typer.Option(metavar="NAME,...", help="Which detectors. [default: all that are installed]",
                                           show_default=False)] = "",
    model: Annotated[str, typer.Option(help="Name of a shipped model, or a .safetensors file.")] = "base",
    dropout: Annotated[float, typer.Option(min=0.0, max=0.99, help="Share of tokens dropped.")] = 0.25,
    cache: Annotated[Path, typer.Option(metavar="DIR", help="Where frames and rows are kept; called again, what was made "
                                        "there is not made again.")] = Path("runs/field"),
    quick: Annotated[bool, typer.Option("--quick", help="A trial of 20 s a band; its figures say nothing.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures here.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write the page here.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw found share against false alerts an hour.")] = None,
):
    """Judge detectors on bands composed of recordings: anomalies found, and false alerts an hour, at several operating points."""
    check_writable(json_file, markdown, plot)
    from ...evaluate.field import report, run
    from ...evaluate.field.detectors import DETECTORS
    from ...measure.page import kept_words, page
    from ...recordings.recording import RecordingError
    from ...simulate.compose.checks import PlanError
    from ...simulate.compose.plan import read_plan, shipped_plans
    from ...training.corpus import CorpusError

    named = [name for name in detectors.split(",") if name]
    for name in named:
        if name not in DETECTORS:
            raise CommandError(f"--detectors {name} is none of {', '.join(DETECTORS)}")
        if DETECTORS[name].missing:
            raise CommandError(f"--detectors {name} needs {DETECTORS[name].needs}, which is not installed; "
                               f"install it with `pip install {DETECTORS[name].needs}`")
    for folder in corpus or []:
        if not folder.is_dir():
            raise CommandError(f"--corpus {folder} is not a folder; name one that holds recordings")
    wanted, per_plan = _plans(plan or ["all"])
    sizes = run.Sizes(tuple(sorted(set(learn), reverse=True)), quiet, anomalous, per_plan)
    with progress_bar(counts=True) as bar:
        task = bar.add_task("field", total=None)

        def progress(done: int, total: int, name: str):
            bar.update(task, completed=done, total=total, description=name)

        try:
            plans = [read_plan(name) for name in (shipped_plans() if "all" in wanted else wanted)]
            result = run.evaluate(plans, corpus or [], detectors=named, model=model, dropout_rate=dropout, sizes=sizes,
                                  seeds=seed, cache_dir=cache, quick=quick, progress=progress)
        except (PlanError, CorpusError, RecordingError) as error:
            raise CommandError(str(error)) from error
    command = " ".join(["spectrumencoder evaluate field", *(f"--plan {Path(name).stem}" for name in plan or ["all"]),
                        *("--corpus CORPUS" for _ in corpus or []), *(f"--learn {s:g}" for s in sizes.learn_s if not quick),
                        f"--quiet {quiet:g} --anomalous {anomalous:g}" * (not quick), *(f"--seed {s}" for s in seed),
                        f"--detectors {detectors}" * bool(detectors), f"--model {Path(model).stem}", f"--dropout {dropout:g}",
                        "--quick" * quick])
    result["command"] = " ".join(command.split())
    figures = report.report(result, result["command"], plot.name if plot is not None else "")
    text = page(report.TITLE, figures, kept_words(markdown))
    if json_file is not None:
        write_json(json_file, result)
    if markdown is not None:
        write_bytes(markdown, text.encode())
    if plot is not None:
        report.draw(result, plot)
    OUT.print(text, markup=False)


def field_labels(
    model: Annotated[list[str], typer.Option(help="A model of a fold; several judge together, each what it has not seen.")],
    corpus: Annotated[list[Path], typer.Option(metavar="DIR", help="Folder of recordings; may be given again.")],
    plan: Annotated[list[str] | None, typer.Option(
        metavar="NAME|FILE|all", show_default=False,
        help="Plan of `dataset compose`; may be given again. NAME:QUIET:ANOMALOUS has its own seconds. [default: all]")] = None,
    quiet: Annotated[float, typer.Option(min=0.0, help="Seconds of each band in which nothing is wrong.")] = 600.0,
    anomalous: Annotated[float, typer.Option(min=1.0, help="Seconds of each band with anomalies.")] = 300.0,
    seed: Annotated[list[int], typer.Option(min=0, help="Of the bands.")] = [0],  # noqa: B006
    dropout: Annotated[float, typer.Option(min=0.0, max=0.99, help="Share of tokens dropped.")] = 0.25,
    cache: Annotated[Path, typer.Option(metavar="DIR", help="Of bands, as of `evaluate field`.")] = Path("runs/field"),
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures here.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write the page here.")] = None,
):
    """Judge the classes of alerts on field bands: bursts of recordings that the model has not seen."""
    check_writable(json_file, markdown)
    from ...evaluate.field import labels, run
    from ...measure.page import kept_words, page
    from ...recordings.recording import RecordingError
    from ...simulate.compose.checks import PlanError
    from ...simulate.compose.plan import read_plan, shipped_plans
    from ...training.corpus import CorpusError

    wanted, per_plan = _plans(plan or ["all"])
    sizes = run.Sizes((120.0,), quiet, anomalous, per_plan)
    with progress_bar(counts=True) as bar:
        task = bar.add_task("field labels", total=None)
        try:
            plans = [read_plan(name) for name in (shipped_plans() if "all" in wanted else wanted)]
            result = labels.evaluate(plans, corpus, model, dropout_rate=dropout, sizes=sizes, seeds=seed, cache_dir=cache,
                                     progress=lambda done, total, name: bar.update(task, completed=done, total=total,
                                                                                   description=name))
        except (PlanError, CorpusError, RecordingError) as error:
            raise CommandError(str(error)) from error
    result["command"] = " ".join(["spectrumencoder evaluate field-labels", *(f"--plan {name}" for name in plan or ["all"]),
                                  *("--corpus CORPUS" for _ in corpus), *(f"--seed {s}" for s in seed),
                                  *(f"--model {Path(name).stem}" for name in model), f"--dropout {dropout:g}"])
    text = page(labels.TITLE, labels.report(result, result["command"]), kept_words(markdown))
    give_page(text, result, json_file, markdown)


def _plans(given: list[str]) -> tuple[list[str], dict[str, tuple[float, float]]]:
    """Names or files of plans, and the seconds of those that are given as NAME:QUIET:ANOMALOUS.

    Raises:
        CommandError: the seconds are no numbers.
    """
    names, seconds = [], {}
    for word in given:
        name, *parts = word.split(":")
        names.append(name)
        if parts:
            try:
                quiet, anomalous = map(float, parts)
            except ValueError:
                raise CommandError(f"--plan {word} is not NAME:QUIET:ANOMALOUS with two numbers of seconds") from None
            seconds[Path(name).stem] = (quiet, anomalous)
    return names, seconds
