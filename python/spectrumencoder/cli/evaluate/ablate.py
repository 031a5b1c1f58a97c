# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder evaluate ablate``: settings of the encoder compared, from a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import OUT, check_writable, progress_bar, write_json
from ..errors import CommandError


def ablate(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What is compared, such as recipes/ablate/rope.toml.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where NAME.md, NAME.png and NAME.json go.")],
    corpus: Annotated[list[Path] | None, typer.Option(help="Folder of labelled SigMF recordings; may be given several "
                                                      "times.")] = None,
    work: Annotated[Path | None, typer.Option(metavar="DIR", help="Where rows and trained networks are kept; called again, it "
                                              "goes on there. [default: runs/NAME]")] = None,
    pool: Annotated[Path | None, typer.Option(help="Folder of frames made by `train --pool`; made where missing.")] = None,
    model: Annotated[str, typer.Option(help="Judge this model in place of the configuration's.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="A trial in seconds; its figures say nothing.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures here, too.")] = None,
):
    """Compare settings of the encoder: a table, a figure and their numbers, from a configuration in recipes/ablate/."""
    for folder in corpus or []:
        if not folder.is_dir():
            raise CommandError(f"--corpus {folder} is not a folder; name one that holds .sigmf-meta files")
    check_writable(json_file)
    from ...evaluate.ablate import run as experiment
    command = " ".join(["spectrumencoder evaluate ablate", str(config), "--corpus CORPUS" * bool(corpus), f"--out {out}",
                        f"--pool {pool}" * bool(pool), f"--model {model}" * bool(model), "--quick" * quick])
    with progress_bar(counts=True) as bar:
        task = bar.add_task("ablate", total=None)

        def progress(done: int, total: int, name: str):
            bar.update(task, completed=done, total=total, description=name)

        result = experiment.ablate(config, corpus or [], out, work=work or Path("runs") / config.stem, pool=pool, model=model,
                                   quick=quick, command=" ".join(command.split()), progress=progress)
    if json_file is not None:
        write_json(json_file, result)
    OUT.print((out / f"{config.stem}.md").read_text(), markup=False)
