# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder evaluate watch``: false events an hour on simulated bands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...settings import BOXES, EMITTERS
from ..console import check_writable, give_page, progress_bar
from ..errors import CommandError


def watch(
    model: Annotated[str, typer.Option(help="Name of a shipped model, or a .safetensors file.")] = "base",
    dropout: Annotated[float, typer.Option(min=0.0, max=0.99, help="Share of tokens dropped.")] = 0.25,
    scenes: Annotated[int, typer.Option(min=1, help="Simulated scenes.")] = 8,
    hours: Annotated[float, typer.Option(min=1e-3, help="Clean hours, of all scenes together.")] = 2.0,
    calibration: Annotated[list[float], typer.Option(min=1.0, help="Seconds that calibrate; several watch the same frames.")] = [  # noqa: B006
        14.0, 120.0],
    per_kind: Annotated[int, typer.Option(min=1, help="Anomalies of each kind in each scene.")] = 6,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures here.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write the page here.")] = None,
    detector: Annotated[str, typer.Option(help=f"{EMITTERS} or {BOXES}.")] = EMITTERS,
    seed: Annotated[int, typer.Option(min=0, help="Of scenes and anomalies.")] = 0,
):
    """Count the false events of hours on simulated bands at the detector's defaults, and the anomalies that open an event."""
    if detector not in (EMITTERS, BOXES):
        raise CommandError(f"--detector {detector} is neither {EMITTERS} nor {BOXES}")
    check_writable(json_file, markdown)
    from ...evaluate.anomaly import false_events as experiment
    from ...measure.page import kept_words, page
    sizes = experiment.Sizes(scenes, hours, tuple(calibration), per_kind)
    with progress_bar() as bar:
        task = bar.add_task("watch", total=hours)

        def progress(done: float, total: float, name: str):
            bar.update(task, completed=done, total=total, description=name)

        result = experiment.watch(model, sizes=sizes, dropout_rate=dropout, seed=seed, detector=detector,
                                  progress=progress)
    result["command"] = " ".join(["spectrumencoder evaluate watch", f"--model {Path(model).stem}", f"--dropout {dropout:g}",
                                  f"--scenes {scenes} --hours {hours:g}", *(f"--calibration {s:g}" for s in calibration),
                                  f"--per-kind {per_kind} --detector {detector} --seed {seed}"])
    text = page(experiment.TITLE, experiment.report(result, result["command"]), kept_words(markdown))
    give_page(text, result, json_file, markdown)
