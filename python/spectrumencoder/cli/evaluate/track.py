# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder evaluate track``: the tracker on real flights and simulated emissions, beside other trackers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..console import NOTES, OUT, check_writable, give_page, write_json
from ..errors import CommandError

_PARTS = ("filters", "steps", "covariance", "scenes", "alarms", "emissions")


def track(
    flights: Annotated[Path, typer.Option(metavar="DIR", help="Folder that holds traffic-2.13-py3-none-any.whl; what was read is "
                                          "kept beside it.")],
    download: Annotated[bool, typer.Option("--download", help="Get the wheel with pip first (28 MB).")] = False,
    part: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(_PARTS)}; may be given several times. "
                                                   "[default: all]")] = None,
    tune: Annotated[bool, typer.Option("--tune", help="Judge nothing; tune the trackers to compare with, on the tune split. "
                                       "Takes hours.")] = False,
    work: Annotated[Path | None, typer.Option(metavar="DIR", help="Where errors of filters are kept; called again, what was "
                                              "measured there is not measured again.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A trial on few reports; its figures say nothing.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures here; with --part, "
                                     "beside those of other parts that the file has.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write the page here.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw; each picture's name is put before .png.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of noise, scenes and the bootstrap.")] = 0,
):
    """Judge the tracker on flights that nothing was tuned on: filters, covariances, many aircraft, alarms, emissions."""
    for name in part or []:
        if name not in _PARTS:
            raise CommandError(f"--part {name} is none of {', '.join(_PARTS)}")
    check_writable(json_file, markdown, plot)
    from ...evaluate.track import flights as flight_data
    from ...evaluate.track import report, run
    from ...measure.page import kept_words, page
    try:
        if download:
            flight_data.download(flights)
        flight_data.find_wheel(flights)
        if tune:
            _tune(flights, json_file)
            return
        before = _before(json_file, run.head(seed, quick)) if part else {}
        result = run.track(flights, parts=part or _PARTS, seed=seed, quick=quick, work=work,
                           progress=lambda name: NOTES.print(name, markup=False))
    except flight_data.TrackDataError as error:
        raise CommandError(str(error)) from error
    result = before | result
    command = " ".join(["spectrumencoder evaluate track --flights DIR --download", "--quick" * quick, f"--seed {seed}"])
    pictures = {}
    if plot is not None:
        from ...evaluate.track.pictures import draw
        pictures = draw(result, flights, plot)
    result["command"] = " ".join(command.split())
    text = page(report.TITLE, report.report(result, result["command"], pictures), kept_words(markdown))
    give_page(text, result, json_file, markdown)


def _before(json_file: Path | None, head: dict) -> dict:
    """What an earlier run left in the file; empty: there is none."""
    from ...evaluate.track.run import joined
    if json_file is None or not json_file.exists():
        return {}
    try:
        return joined(json.loads(json_file.read_text()), head)
    except ValueError as error:
        raise CommandError(f"{json_file} cannot take these parts ({error}); name another file") from error


def _tune(flights: Path, json_file: Path | None):
    from ...evaluate.track import tune
    found = tune.tune(flights, progress=lambda text: OUT.print(text, markup=False))
    if json_file is not None:
        write_json(json_file, found)
