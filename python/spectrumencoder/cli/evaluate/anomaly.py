# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder evaluate anomaly``: injected anomalies at a given false-alarm rate, beside other detectors and a bound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import OUT, check_writable, progress_bar, write_bytes, write_json
from ..errors import CommandError


def anomaly(
    corpus: Annotated[Path | None, typer.Option(help="Folder of SigMF recordings to inject into; without it simulated scenes "
                                                "only.")] = None,
    model: Annotated[str, typer.Option(help="Name of a shipped model, or a .safetensors file.")] = "base",
    dropout: Annotated[float, typer.Option(min=0.0, max=0.99, help="Share of tokens dropped.")] = 0.25,
    scenes: Annotated[int, typer.Option(min=2, help="Simulated scenes.")] = 24,
    windows: Annotated[int, typer.Option(min=1, help="Clean windows in each scene.")] = 50,
    per_kind: Annotated[int, typer.Option(min=1, help="Windows with each kind of anomaly in each scene.")] = 12,
    quick: Annotated[bool, typer.Option("--quick", help="A trial on few windows; its figures say nothing.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures here.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write the page here.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw detection against INR.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of scenes, injections and the bootstrap.")] = 0,
):
    """Judge the detector on windows with injected anomalies, beside nine other detectors and the clairvoyant bound."""
    if corpus is not None and not corpus.is_dir():
        raise CommandError(f"--corpus {corpus} is not a folder; name one that holds .sigmf-meta files")
    check_writable(json_file, markdown, plot)
    from dataclasses import replace

    from ...evaluate.anomaly import report, run
    from ...measure.page import kept_words, page
    sizes = replace(run.Sizes(), scenes=scenes, windows=windows, per_kind=per_kind)
    with progress_bar(counts=True) as bar:
        task = bar.add_task("anomaly", total=None)

        def progress(done: int, total: int, name: str):
            bar.update(task, completed=done, total=total, description=name)

        result = run.anomaly(model, corpus, sizes=sizes, dropout_rate=dropout, seed=seed, quick=quick, progress=progress)
    command = " ".join(["spectrumencoder evaluate anomaly", "--corpus CORPUS" * (corpus is not None),
                        f"--model {Path(model).stem}", f"--dropout {dropout:g}",
                        f"--scenes {scenes} --windows {windows} --per-kind {per_kind}" * (not quick),
                        f"--seed {seed}", "--quick" * quick])
    result["command"] = " ".join(command.split())
    figures = report.report(result, result["command"], picture=plot.name if plot is not None else "")
    text = page(report.TITLE, figures, kept_words(markdown))
    if json_file is not None:
        write_json(json_file, result)
    if markdown is not None:
        write_bytes(markdown, text.encode())
    if plot is not None:
        report.draw(result, plot)
    OUT.print(text, markup=False)
