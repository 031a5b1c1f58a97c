# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder train``: a config file and labelled recordings in, a model file out."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import typer

from .console import OUT, ProgressLine, check_writable, progress_bar
from .errors import CommandError, UsageError

OWN = "A class of your own"  # a panel of --help


def train(
    config: Annotated[Path | None, typer.Argument(help="Training configuration (TOML), such as recipes/train/base.toml. None "
                                                  "with --add-class.", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for checkpoints, log and the finished model file; with --add-class "
                                             "the model file.", show_default=False)] = None,
    corpus: Annotated[list[Path], typer.Option(help="Folder of labelled SigMF recordings; may be given several times. It may be "
                                               "left out with --add-class.", show_default=False)] = [],  # noqa: B006
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")] = False,
    pool: Annotated[Path | None, typer.Option(help="Folder of training frames to share with other trainings of the same recipe; "
                                              "made if missing. OUT/pool by default.")] = None,
    fold: Annotated[str | None, typer.Option(metavar="FILE:NAME", help="Hold out this fold instead of holdout, "
                                             "such as recipes/train/folds.toml:fold1.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.0, help="Stop after this many minutes; "
                                                  "the configuration's number of steps otherwise.")] = None,
    add_class: Annotated[tuple[str, Path] | None, typer.Option(
        "--add-class", metavar="NAME DIR", help="Add a class to a model: NAME, as in the recordings of DIR.",
        show_default=False, rich_help_panel=OWN)] = None,
    model: Annotated[str, typer.Option(help="The model that the class is added to: a shipped one, or a file.",
                                       rich_help_panel=OWN)] = "base",
    frames: Annotated[int, typer.Option(min=128, max=1 << 20, help="Number of frames to learn from.",
                                        rich_help_panel=OWN)] = 4096,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is random.", rich_help_panel=OWN)] = 0,
):
    """Train an encoder on labelled recordings and the simulator. The same seed gives the same weights.

    With --add-class NAME DIR a trained model learns one more class, in minutes.

    In several processes: torchrun --standalone --nproc-per-node N --no-python spectrumencoder train ...
    """
    if out is None:
        raise UsageError("--out is missing: the folder of the training, or with --add-class the model file to write")
    for folder in corpus:
        if not folder.is_dir():
            raise CommandError(f"--corpus {folder} is not a folder; name one that holds .sigmf-meta files")
    if add_class is not None:
        _no_training(config=config, resume=resume, pool=pool, fold=fold, minutes=minutes)
        _add_class(*add_class, out, model=model, corpus=corpus, frames=frames, seed=seed)
        return
    if config is None or not corpus:
        raise UsageError("a training needs CONFIG, such as recipes/train/base.toml, and --corpus DIR; --add-class NAME DIR adds "
                         "a class to a trained model")
    settings = read_config(config)
    if fold is not None:
        path, _, name = fold.rpartition(":")
        from ..training.config import with_fold
        settings = with_fold(settings, read_config(Path(path)), name)
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


def _no_training(**options):
    """Raises UsageError if an option of a whole training was given for --add-class."""
    given = [name for name, value in options.items() if value]
    if given:
        raise UsageError(f"{'CONFIG' if given[0] == 'config' else f'--{given[0]}'} is for a whole training; leave it out with "
                         "--add-class")


def _add_class(name: str, folder: Path, out: Path, **options):
    check_writable(out)
    from ..training.own_class import add_class
    with ProgressLine(counts=True) as progress:
        judged = add_class(name, folder, out, progress=progress, **options)
    OUT.print(f"wrote {out}: {options['model']} with the class {name}", markup=False)
    OUT.print(f"on {judged.n_own} frames that were kept back, {100 * judged.right:.0f} % are named {name}; of {judged.n_others} "
              f"others {100 * judged.taken:.1f} % are, and {100 * judged.others:.1f} % are named right "
              f"({100 * judged.others_before:.1f} % before)", markup=False)


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
