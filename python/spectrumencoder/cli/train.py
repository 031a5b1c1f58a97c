# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder train``: a config file and labelled recordings in, a model file out."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import typer

from .console import OUT, progress_bar
from .errors import CommandError


def train(
    config: Annotated[Path, typer.Argument(help="Training configuration (TOML), such as recipes/train/base.toml.")],
    corpus: Annotated[list[Path], typer.Option(help="Folder of labelled SigMF recordings; may be given several times.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, log and the finished model file.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")] = False,
    pool: Annotated[Path | None, typer.Option(help="Folder of training frames to share with other trainings of the same [data]; "
                                              "made if missing. OUT/pool by default.")] = None,
    fold: Annotated[str | None, typer.Option(metavar="FILE:NAME", help="Hold out this fold instead of holdout, "
                                             "such as recipes/train/folds.toml:fold1.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.0, help="Stop after this many minutes; "
                                                  "the configuration's number of steps otherwise.")] = None,
):
    """Train an encoder on labelled recordings and the simulator. The same seed gives the same weights.

    In several processes: torchrun --standalone --nproc-per-node N --no-python spectrumencoder train ...
    """
    settings = read_config(config)
    if fold is not None:
        path, _, name = fold.rpartition(":")
        from ..training.config import with_fold
        settings = with_fold(settings, read_config(Path(path)), name)
    for folder in corpus:
        if not folder.is_dir():
            raise CommandError(f"--corpus {folder} is not a folder; name one that holds .sigmf-meta files")
    from ..training import loop
    from ..training.distributed import Ranks
    with progress_bar(counts=True) as bar:
        tasks = {}

        def progress(variant: str, step: int, steps: int, losses: dict):
            if variant not in tasks:
                tasks[variant] = bar.add_task(variant, total=steps)
            figures = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
            bar.update(tasks[variant], completed=step, total=steps, description=f"{variant} {figures}")

        try:
            path = loop.train(settings, corpus, out, resume=resume, minutes=minutes, progress=progress, pool=pool)
        except TimeoutError as error:
            raise CommandError(f"stopped after {minutes:g} minutes with a checkpoint in {out} ({error}); "
                               "add --resume to go on") from error
    if Ranks.from_environment().writes:
        OUT.print(f"wrote {path}")


def read_config(path: Path) -> dict:
    """The TOML file as a dict.

    Raises:
        CommandError: it cannot be read or is not TOML.
    """
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise CommandError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} is not a TOML file: {error}") from error
