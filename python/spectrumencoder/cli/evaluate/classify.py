# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder evaluate classify``: classes of labelled recordings, per recording source."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ..console import OUT, check_writable, progress_bar, write_json
from ..errors import CommandError


class Condition(StrEnum):
    """How recordings reach the classifier: as they are, or with receiver, level and position made equal."""

    plain = "plain"
    equalised = "equalised"
    front_end = "front-end"


def classify(
    corpus: Annotated[list[Path], typer.Option(help="Folder of SigMF recordings labelled as the corpus is; may be given "
                                               "several times.")],
    model: Annotated[list[str], typer.Option(help="Name of a shipped model, or a .safetensors file; several (folds) are judged "
                                             "together, each on what it was not trained on.")] = ["base"],  # noqa: B006
    dropout: Annotated[float, typer.Option(min=0.0, max=0.99, help="Token dropout rate; the nearest possible is used and "
                                           "reported.")] = 0.25,
    policy: Annotated[str, typer.Option(help="Token dropout policy: gumbel, energy, entropy or random. [default: the "
                                        "model's]")] = "",
    condition: Annotated[Condition, typer.Option(help="plain: as recorded. equalised: shifted, resampled, filtered, "
                                                 "8 bits, 0-20 dB SNR, band unknown. front-end: noise through each "
                                                 "recording's front end, the control.")] = Condition.plain,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures here.")] = None,
    include_trained: Annotated[bool, typer.Option("--include-trained", help="Also judge recordings the model was trained "
                                                  "on (their figures prove nothing).")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the equalised condition.")] = 0,
    dtype: Annotated[str, typer.Option(help="Precision of the transformer blocks: fp32, bf16, int8 or auto.")] = "fp32",
):
    """Balanced accuracy of the classes on recordings, per recording source, with its confidence interval."""
    for folder in corpus:
        if not folder.is_dir():
            raise CommandError(f"--corpus {folder} is not a folder; name one that holds .sigmf-meta files")
    check_writable(json_file)
    from ...evaluate.inference import classify as experiment
    with progress_bar(counts=True) as bar:
        task = bar.add_task("recordings", total=None)

        def progress(done: int, total: int, name: str):
            bar.update(task, completed=done, total=total, description=name)

        result = experiment.classify(corpus, model, dropout, condition.value, seed=seed, include_trained=include_trained,
                                     policy=policy, dtype=dtype, progress=progress)
    if json_file is not None:
        write_json(json_file, result)
    _print_classify(result, ", ".join(model), condition.value)


def _print_classify(result: dict, model: str, condition: str):
    table = Table(title=f"{model}, {condition}", title_justify="left")
    for title in ("class", "recall", "frames", "by recording", "recordings"):
        table.add_column(title, justify="left" if title == "class" else "right")
    for label, row in result["per_class"].items():
        table.add_row(label, _percent(row["recall"]), str(row["n_frames"]), _percent(row["recording_accuracy"]),
                      str(row["n_recordings"]))
    OUT.print(table)
    low, high = result["interval"]
    OUT.print(f"balanced accuracy {_percent(result['balanced_accuracy'])} (95 % interval {_percent(low)} to "
              f"{_percent(high)}), accuracy {_percent(result['accuracy'])}, "
              f"by recording {_percent(result['recording_accuracy'])}; "
              f"{result['n_frames']} frames of {result['n_recordings']} recordings, "
              f"dropout {result['dropout_rate']:g} ({result['tokens_kept']} tokens kept)")
    for cls, row in result.get("by_front_end", {}).items():
        OUT.print(f"front ends of {cls}: {_percent(row['called_noise'])} of {row['n_frames']} frames called noise")
    if result.get("called_noise_without_gnss") is not None:
        OUT.print(f"front ends of all but GNSS: {_percent(result['called_noise_without_gnss'])} called noise")
    if result.get("wrong"):
        OUT.print(f"wrong: {', '.join(map(str, result['wrong']))}", markup=False)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
