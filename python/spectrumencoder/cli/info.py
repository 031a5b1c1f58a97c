# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder info``: what recordings are, what they state, where each value comes from, how strong their samples are."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .console import NOTES, OUT, check_writable, write_json
from .errors import CommandError
from .run import usage_error

if TYPE_CHECKING:
    from ..recordings import Recording
    from ..recordings.levels import Levels

_MAX_CAPTURES = 8  # lines
_BAR = 40  # columns of the longest row of the histogram
_MIN_SHARE = 5e-6  # of a row that is shown


def info(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings, or folders of them.")],
    rate: options.Rate = None,
    format: options.Format = None,
    freq: options.Freq = None,
    start: options.Start = None,
    channel: options.Channel = None,
    offset: options.Offset = 0.0,
    skip: options.Skip = 0.0,
    seconds: options.Seconds = None,
    levels: Annotated[bool, typer.Option("--levels/--no-levels", help="Read the samples, for a histogram of levels.")] = True,
    json_file: options.JsonFile = None,
):
    """Tell what recordings are: format, rate, frequency, time, length, channels, levels, and where each value comes from."""
    from ..recordings import RecordingArgumentError, RecordingError, find_and_tell, open_recording
    from ..recordings.levels import measure_levels
    check_writable(json_file)
    stated = options.stated(rate, format, freq, start, channel, offset, skip, seconds)
    rows, errors = [], []
    for name in files:
        try:
            paths, notes = find_and_tell(name, **stated, need_rate=False)
        except RecordingError as error:
            errors.append(error)
            continue
        for note in notes:
            NOTES.print(f"note: {note}", markup=False)
        for path in paths:
            try:
                recording = open_recording(path, **stated, need_rate=False)
                measured = measure_levels(recording) if levels else None
            except RecordingError as error:
                errors.append(error)
                continue
            _show(path, recording, measured)
            rows.append(_row(path, recording, measured))
    if json_file is not None:
        write_json(json_file, {"recordings": rows, "errors": [str(error) for error in errors]})
    if len(errors) == 1 and not rows:
        raise usage_error(errors[0]) if isinstance(errors[0], RecordingArgumentError) else CommandError(str(errors[0]))
    for error in errors:
        NOTES.print(f"error: {error}", markup=False)
    if errors:
        raise CommandError(f"{len(errors)} of {len(errors) + len(rows)} recordings cannot be read; the lines above say why")


def _row(path: Path, recording: Recording, measured: Levels | None) -> dict:
    """The content of --json about a recording."""
    return {"path": str(path), "name": recording.name, "format": recording.format_name, "datatype": recording.datatype,
            "samp_rate": recording.samp_rate or None, "freq_hz": recording.frequency_hz,
            "time": _time(recording), "n_samples": recording.n_samples,
            "duration_s": recording.duration_s if recording.samp_rate else None, "n_channels": recording.n_channels,
            "channel": recording.channel, "size_bytes": recording.size_bytes, "origins": recording.origins,
            "captures": [{"sample_start": c.sample_start, "freq_hz": c.frequency_hz, "time": _iso(c.time_parts)}
                         for c in recording.captures],
            "annotations": [asdict(mark) for mark in recording.annotations],
            "levels": None if measured is None else measured._asdict(), "notes": recording.notes}


def _show(path: Path, recording: Recording, measured: Levels | None):
    origins, rate = recording.origins, recording.samp_rate
    OUT.print(f"{path}: {recording.format_name}", markup=False)
    frequency = "unknown" if recording.frequency_hz is None else f"{recording.frequency_hz / 1e6:.9g} MHz"
    length = f"{recording.n_samples} samples" + (f", {recording.duration_s:.6g} s" if rate else "")
    channels = f"{recording.n_channels}" + (f", of which {recording.channel}" if recording.n_channels > 1 else "")
    for key, value, origin in (("rate", f"{rate:.10g} Hz" if rate else "unknown", origins["samp_rate"]),
                               ("frequency", frequency, origins["frequency"]),
                               ("time", _time(recording) or "unknown", origins["time"]),
                               ("type", recording.datatype, origins["datatype"]), ("channels", channels, origins["channels"]),
                               ("length", length, ""), ("marks", str(len(recording.annotations)), "")):
        OUT.print(f"  {key:<10}{value:<34}{'' if origin in ('', 'unknown') else f'({origin})'}".rstrip(), markup=False)
    if len(recording.captures) > 1:
        for capture in recording.captures[:_MAX_CAPTURES]:
            hz = "unknown" if capture.frequency_hz is None else f"{capture.frequency_hz / 1e6:.9g} MHz"
            OUT.print(f"  capture   from sample {capture.sample_start}: {hz}, {_iso(capture.time_parts) or 'time unknown'}",
                      markup=False)
        if (more := len(recording.captures) - _MAX_CAPTURES) > 0:
            OUT.print(f"            and {more} more", markup=False)
    if measured is not None:
        _show_levels(recording, measured)
    for note in recording.notes:
        NOTES.print(f"note: {note}", markup=False)


def _show_levels(recording: Recording, measured: Levels):
    def db(value: float | None) -> str:
        return "nothing" if value is None else f"{value:.1f} dBFS"
    spread = "" if measured.n_samples == recording.n_samples else f" of {measured.n_samples} samples, spread over it"
    OUT.print(f"  level     {db(measured.rms_dbfs)}{spread}; largest {db(measured.peak_dbfs)}, mean {db(measured.mean_dbfs)}",
              markup=False)
    OUT.print(f"            {100 * measured.full_scale_share:.4g} % at full scale" + (
        f"; {measured.not_finite} are no numbers" if measured.not_finite else ""), markup=False)
    shown = [k for k, share in enumerate(measured.shares) if share >= _MIN_SHARE]
    longest = max(measured.shares, default=0.0)
    for k in range(shown[0], shown[-1] + 1) if shown else ():
        bar = "#" * round(_BAR * measured.shares[k] / longest)
        OUT.print(f"  {-6 * (k + 1):>5} ..{-6 * k:>4} dBFS  {100 * measured.shares[k]:>7.3f} %  {bar}".rstrip(), markup=False)


def _time(recording: Recording) -> str | None:
    """Of the first sample."""
    return _iso(recording.captures[0].time_parts)


def _iso(time_parts: tuple[int, float] | None) -> str | None:
    from ..recordings.recording import iso_time
    return None if time_parts is None else iso_time(time_parts)
