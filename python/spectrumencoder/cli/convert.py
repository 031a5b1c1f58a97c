# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder convert``: any recording to SigMF."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import NOTES, OUT, ProgressLine
from .run import usage_error


def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="NAME of NAME.sigmf-meta and NAME.sigmf-data.")],
    rate: options.Rate = None,
    format: options.Format = None,
    freq: options.Freq = None,
    start: options.Start = None,
    channel: options.Channel = None,
    offset: options.Offset = 0.0,
    skip: options.Skip = 0.0,
    seconds: options.Seconds = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Take the place of a recording of that name.")] = False,
    quiet: options.Quiet = False,
):
    """Write a recording as SigMF: the same samples in the same type, with captures, times, marks and what else is known."""
    from ..recordings import RecordingArgumentError, open_recording
    from ..recordings.convert import convert as write
    try:
        recording = open_recording(file, **options.stated(rate, format, freq, start, channel, offset, skip, seconds))
    except RecordingArgumentError as error:
        raise usage_error(error) from error
    with ProgressLine(quiet=quiet) as progress:
        meta, notes = write(recording, out, overwrite=overwrite,
                            progress=lambda done: progress(f"writing {out.name}", done, recording.n_samples))
    if quiet:
        return
    for note in (*recording.notes, *notes):
        NOTES.print(f"note: {note}", markup=False)
    OUT.print(f"{meta}: {recording.n_samples} samples, {recording.duration_s:.6g} s, from {recording.format_name}", markup=False)
