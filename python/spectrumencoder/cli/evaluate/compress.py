# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder evaluate compress``: bytes against error and accuracy, the model's codec and classical ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import OUT, check_writable, progress_bar, write_bytes, write_json
from ..errors import UsageError


def compress(
    model: Annotated[str, typer.Option(help="Name of a shipped model, or a .safetensors file.")] = "base",
    pool: Annotated[Path | None, typer.Option(help="Folder of training frames made by `train --pool`; without it classical "
                                              "codecs learn from simulated frames.")] = None,
    corpus: Annotated[list[Path] | None, typer.Option(help="Folder of labelled SigMF recordings, for the accuracy after "
                                                      "decoding (with --pool).")] = None,
    fold: Annotated[str, typer.Option(help="Model judged there, where --model was trained on all recordings.",
                                      show_default=False)] = "",
    scenes: Annotated[int, typer.Option(min=2, help="Simulated scenes for each K.")] = 8,
    quick: Annotated[bool, typer.Option("--quick", help="A trial on few frames; its figures say nothing.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures here.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write the page here.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw bytes against error.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws of frames and of the bootstrap.")] = 0,
):
    """Compare the codec of encoded spectra with PCA, DCT, wavelets and delta + zstd, in bytes with headers."""
    if corpus and pool is None:
        raise UsageError("--corpus is for the accuracy, whose classifiers learn from the frames of --pool DIR; give that too")
    check_writable(json_file, markdown, plot)
    from ...evaluate.compress import report, run
    from ...measure.page import kept_words, page
    with progress_bar(counts=True) as bar:
        task = bar.add_task("compress", total=None)

        def progress(done: int, total: int, name: str):
            bar.update(task, completed=done, total=total, description=name)

        result = run.compress(model, pool=pool, corpus=corpus, fold=fold, n_scenes=scenes, seed=seed, quick=quick,
                              progress=progress)
    command = " ".join(["spectrumencoder evaluate compress", f"--model {Path(model).stem}", "--pool POOL" * bool(pool),
                        "--corpus CORPUS" * bool(corpus), f"--fold {Path(fold).stem}" * bool(fold), f"--scenes {scenes}",
                        f"--seed {seed}", "--quick" * quick])
    result["command"] = " ".join(command.split())
    text = page(report.TITLE, report.report(result, result["command"]), kept_words(markdown))
    if json_file is not None:
        write_json(json_file, result)
    if markdown is not None:
        write_bytes(markdown, text.encode())
    if plot is not None:
        report.draw(result, plot)
    OUT.print(text, markup=False)
