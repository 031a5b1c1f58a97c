# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder view``: what ``run`` does, in a window, without a flowgraph to compile. ``session.view`` does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..session.flowgraph import RunSettings, quiet_logs
from ..session.pipe import PipeSource, is_pipe
from ..session.radio import end
from ..session.scanning import ScanOptions, ScanPart
from ..session.sources import SOAPY_PREFIX, RadioOptions, RadioSource, RecordingSource
from ..session.stats import RunStats
from ..settings import RUN, SETTINGS
from . import options
from .console import OUT, ProgressLine, check_writable, leave
from .errors import UsageError
from .notes import Notes
from .run import (
    find_source,
    only_radios,
    only_recordings,
    only_where_used,
    radio_options,
    report_forgotten_units,
    report_outcome,
    reporter,
    usage_error,
)


@options.settings_options(RUN, after="offset", panels={"settle_ms": options.SCAN}, help={
    "usable": f"{SETTINGS['usable'].help} A scan takes {ScanOptions.usable:g} if you give none."})
def view(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A recording, - or a FIFO, or soapy:DEVICE. Raw IQ may need "
                                          "--rate and --format, a stream does.")],
    rate: options.Rate = None,
    format: options.Format = None,
    freq: options.Freq = None,
    start: options.Start = None,
    channel: options.Channel = None,
    offset: options.Offset = 0.0,
    skip: options.Skip = 0.0,
    seconds: options.Seconds = None,
    shown: Annotated[float | None, typer.Option(min=0.01, help="Seconds that the waterfall shows; 10, or the length of a "
                                                "shorter recording, if you give none.", show_default=False)] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Play a recording as fast as the machine can, not as fast as it was "
                                       "recorded.")] = False,
    events: Annotated[Path | None, typer.Option(metavar="FILE.jsonl", help="Write events as JSON lines, after those that the "
                                                "file holds.")] = None,
    gain: options.Gain = None,
    agc: options.Agc = "",
    antenna: options.Antenna = "",
    bandwidth: options.Bandwidth = None,
    ppm: options.Ppm = RadioOptions.ppm,
    setting: options.DeviceSettings = [],  # noqa: B006
    stream_arg: options.StreamArgs = [],  # noqa: B006
    duration: Annotated[float | None, typer.Option(min=1e-3, help="Seconds of signal; else until the window is closed.",
                                                   show_default=False, rich_help_panel=options.LIVE)] = None,
    silence: options.Silence = RadioOptions.silence_s,
    scan: options.Scan = "",
    dwell_ms: Annotated[float, typer.Option(help="Time at each hop.", rich_help_panel=options.SCAN)] = ScanOptions.dwell_ms,
    quiet: options.Quiet = False,
    **chain,
):
    """Show a recording or a radio in a window: waterfall, signals, alerts, and controls of radio and chain."""
    chain["average"] = options.average_option(chain["average"])
    live, pipe = source.startswith(SOAPY_PREFIX), is_pipe(source)
    stated = options.stated(rate, format, freq, start, channel, offset, skip, seconds)
    path = None if live or pipe else _one_recording(source, stated, quiet)
    only_where_used(context, chain)
    check_writable(events)
    report_forgotten_units(rate, freq, quiet)
    if not scan:
        chain["settle_ms"] = RunSettings.settle_ms
    elif not options.was_given(context, "usable"):
        chain["usable"] = ScanOptions.usable
    settings = RunSettings(**chain, events=events, fit_average=not options.was_given(context, "average"))
    scanning = ScanOptions(scan, dwell_ms, chain["usable"]) if scan else None
    if live:
        only_recordings(format=format, start=start, channel=channel, skip=skip or None, seconds=seconds,
                        offset=(offset or None) if scan else None, fast=fast or None)
        radio = radio_options(source, freq, rate, scanning, gain=gain, agc=agc, antenna=antenna, bandwidth=bandwidth, ppm=ppm,
                              settings=tuple(setting), stream_args=tuple(stream_arg), offset=offset, duration=duration,
                              silence_s=silence)
    else:
        only_radios(gain=gain, agc=agc, antenna=antenna, bandwidth=bandwidth, ppm=ppm, setting=setting, duration=duration,
                    scan=scan, **{"stream-arg": stream_arg})
        if pipe and fast:
            raise UsageError("--fast is for a recording in a file; leave it out for a stream")
    with ProgressLine(quiet=quiet) as progress, RunStats(None, "", None if quiet else reporter(progress, OUT)) as watch:
        from ..session import view as viewing
        quiet_logs()
        part = viewing.DisplayPart(shown, tunes=not scan)  # first: without a screen no radio is opened
        played = RadioSource(radio) if live else PipeSource(source, stated) if pipe else _recording(path, stated, not fast)
        outcome = viewing.view(played, settings, part, watch=watch.attach, parts=[ScanPart(scanning)] if scanning else [],
                               progress=progress)
    report_outcome(outcome, quiet, Notes(folder=False, quiet=quiet), OUT)
    if outcome.hung:
        leave(f"{outcome.name}: {outcome.fault or outcome.hung}")
    end(outcome)


def _one_recording(source: str, stated: dict, quiet: bool) -> Path:
    paths, several = find_source(source, stated, quiet)
    if several:
        raise UsageError(f"{source} has {len(paths)} recordings, and a window shows one; name that one")
    return paths[0]


def _recording(path: Path, stated: dict, paced: bool) -> RecordingSource:
    from ..recordings import RecordingArgumentError, open_recording
    try:
        return RecordingSource(open_recording(path, **stated), paced)
    except RecordingArgumentError as error:
        raise usage_error(error) from error
