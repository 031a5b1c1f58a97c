# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder evaluate signals`` and ``strongest``: boxes on scenes composed of recordings, and in recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import check_writable, give_page, progress_bar
from ..errors import CommandError


def signals(
    corpus: Annotated[list[Path], typer.Option(metavar="DIR", help="Folder of recordings labelled as the corpus is; may be "
                                               "given again.")],
    model: Annotated[list[str] | None, typer.Option(help="Name of a shipped model, or a .safetensors file; several (folds) are "
                                                    "judged together. [default: none, boxes by energy alone]",
                                                    show_default=False)] = None,
    fold: Annotated[list[str] | None, typer.Option(metavar="FILE:NAME", help="What each model did not learn from: table NAME of "
                                                   "a TOML file, with `holdout`. [default: what the model's file says]",
                                                   show_default=False)] = None,
    scenes: Annotated[int, typer.Option(min=1, help="Scenes of each fold.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of the first scene.")] = 0,
    left_out: Annotated[str, typer.Option(metavar="LABEL,...", help="Labels that the models did not learn: their boxes are "
                                          "unknown signals.")] = "",
    train_scenes: Annotated[int, typer.Option(min=0, help="Scenes of each fold that the random forest learns from; 0: no "
                                              "forest.")] = 20,
    dropout: Annotated[float, typer.Option(min=0.0, max=0.99, help="Share of tokens dropped.")] = 0.25,
    cache: Annotated[Path, typer.Option(metavar="DIR", help="Where scenes and rows are kept; another model costs only its own "
                                        "part.")] = Path("runs/signals"),
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures here.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write the page here.")] = None,
):
    """Judge boxes of signals and their classes: average precision, recall, accuracy, open set, calibration; two baselines."""
    for folder in corpus:
        if not folder.is_dir():
            raise CommandError(f"--corpus {folder} is not a folder; name one that holds .sigmf-meta files")
    check_writable(json_file, markdown)
    from ...evaluate.signals import report, run
    from ...measure.page import kept_words, page
    from ...recordings.recording import RecordingError
    from ...training.corpus import CLASSES, CorpusError

    absent = [label for label in left_out.split(",") if label]
    for label in absent:
        if label not in CLASSES:
            raise CommandError(f"--left-out {label} is none of {', '.join(CLASSES)}")
    with progress_bar(counts=True) as bar:
        task = bar.add_task("scenes", total=None)

        def progress(done: int, total: int, name: str):
            bar.update(task, completed=done, total=total, description=name)

        try:
            result = run.evaluate(corpus, model or [], fold or [], scenes=scenes, seed=seed, left_out=absent,
                                  train_scenes=train_scenes, dropout_rate=dropout, cache_dir=cache, progress=progress)
        except (run.FoldError, CorpusError, RecordingError, ValueError) as error:
            raise CommandError(str(error)) from error
    command = " ".join(["spectrumencoder evaluate signals", *("--corpus CORPUS" for _ in corpus),
                        *(f"--model {Path(name).stem}" for name in model or []),
                        *(f"--fold {Path(name).name}" for name in fold or []), f"--scenes {scenes} --seed {seed}",
                        f"--left-out {left_out}" * bool(left_out), f"--train-scenes {train_scenes}" * bool(model),
                        f"--dropout {dropout:g}" * bool(model)])
    result["command"] = " ".join(command.split())
    text = page(report.TITLE, report.report(result, result["command"]), kept_words(markdown))
    give_page(text, result, json_file, markdown)


def strongest(
    model: Annotated[list[str], typer.Option(help="A model of a fold; several judge together, each what it has not seen.")],
    corpus: Annotated[list[Path], typer.Option(metavar="DIR", help="Folder of recordings labelled as the corpus is; may be "
                                               "given again.")],
    dropout: Annotated[float, typer.Option(min=0.0, max=0.99, help="Share of tokens dropped.")] = 0.25,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures here.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write the page here.")] = None,
):
    """Judge the class of the strongest signal of each recording that the model has not seen, at its own frequency."""
    check_writable(json_file, markdown)
    from ...evaluate.signals import strongest as experiment
    from ...measure.page import kept_words, page
    from ...recordings.recording import RecordingError
    from ...training.corpus import CorpusError

    with progress_bar(counts=True) as bar:
        task = bar.add_task("recordings", total=None)
        try:
            result = experiment.evaluate(corpus, model, dropout_rate=dropout, progress=lambda done, total, name: bar.update(
                task, completed=done, total=total, description=name))
        except (CorpusError, RecordingError, ValueError) as error:
            raise CommandError(str(error)) from error
    result["command"] = " ".join(["spectrumencoder evaluate strongest", *("--corpus CORPUS" for _ in corpus),
                                  *(f"--model {Path(name).stem}" for name in model), f"--dropout {dropout:g}"])
    text = page(experiment.TITLE, experiment.report(result, result["command"]), kept_words(markdown))
    give_page(text, result, json_file, markdown)
