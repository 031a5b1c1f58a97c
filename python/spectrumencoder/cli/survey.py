# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder survey``: an inventory of what is on the air, from recordings, a stream, a radio or a scan.

The flowgraph is that of ``run``; ``session`` makes it and lists the signals.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from .. import keys
from ..session.errors import SessionError, SettingError
from ..session.flowgraph import RunSettings, check_picture, cores
from ..session.jobs import Plan, in_turn
from ..session.outcome import Outcome
from ..session.pipe import is_pipe
from ..session.radio import run_pipe, run_radio
from ..session.scanning import ScanOptions, ScanPart
from ..session.sources import SOAPY_PREFIX, RadioOptions
from ..session.stats import RunStats
from ..settings import SETTINGS, SURVEY
from . import options
from .console import NOTES, OUT, ProgressLine, check_writable, leave, write_bytes, write_json
from .errors import CommandError
from .notes import Notes
from .run import find_source, only_radios, only_recordings, radio_options, report_forgotten_units, usage_error

DURATION_S = 10.0  # of a radio
_STDOUT = Path("-")


@options.settings_options(SURVEY, after="seconds", panels={"settle_ms": options.SCAN}, help={
    "usable": f"{SETTINGS['usable'].help} A scan takes {ScanOptions.usable:g} if you give none."})
def survey(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A recording, a folder of them, - or a FIFO, or "
                                          "soapy:DEVICE. Raw IQ may need --rate and --format, a stream does.")],
    rate: options.Rate = None,
    format: options.Format = None,
    freq: options.Freq = None,
    start: options.Start = None,
    channel: options.Channel = None,
    offset: options.Offset = 0.0,
    skip: options.Skip = 0.0,
    seconds: options.Seconds = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE|-", help="Write the signals as JSON; -: to stdout, "
                                                   "instead of the table.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the signals as CSV.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as Markdown, with the picture if there "
                                                  "is one.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png|.pdf|.svg", help="Draw the spectrum with the signals named, and "
                                              "when each of them was on.")] = None,
    gain: options.Gain = None,
    agc: options.Agc = "",
    antenna: options.Antenna = "",
    bandwidth: options.Bandwidth = None,
    ppm: options.Ppm = RadioOptions.ppm,
    setting: options.DeviceSettings = [],  # noqa: B006
    stream_arg: options.StreamArgs = [],  # noqa: B006
    duration: Annotated[float | None, typer.Option(min=1e-3, help=f"Seconds of signal; {DURATION_S:g} if you give none.",
                                                   show_default=False, rich_help_panel=options.LIVE)] = None,
    silence: options.Silence = RadioOptions.silence_s,
    scan: options.Scan = "",
    dwell_ms: Annotated[float, typer.Option(help="Time at each hop.", rich_help_panel=options.SCAN)] = ScanOptions.dwell_ms,
    scan_overlap: Annotated[float, typer.Option(help="Share of the usable band that neighbouring hops have in common.",
                                                rich_help_panel=options.SCAN)] = ScanOptions.overlap,
    quiet: options.Quiet = False,
    **chain,
):
    """List what is on the air: frequency, width, level, class, bursts, duty cycle, and when each signal was heard."""
    chain["average"] = options.average_option(chain["average"])
    live, pipe = source.startswith(SOAPY_PREFIX), is_pipe(source)
    stated = options.stated(rate, format, freq, start, channel, offset, skip, seconds)
    paths, folder = ([], False) if live or pipe else find_source(source, stated, quiet)
    if plot is not None:
        check_picture(plot)
    check_writable(None if json_file == _STDOUT else json_file, csv, markdown, plot)
    report_forgotten_units(rate, freq, quiet)
    if not scan:
        chain["settle_ms"] = RunSettings.settle_ms
    elif not options.was_given(context, "usable"):
        chain["usable"] = ScanOptions.usable
    settings = RunSettings(**chain, threads=cores(), fit_average=not options.was_given(context, "average"))
    if live:
        only_recordings(format=format, start=start, channel=channel, skip=skip or None, seconds=seconds,
                        offset=(offset or None) if scan else None)
    else:
        only_radios(gain=gain, agc=agc, antenna=antenna, bandwidth=bandwidth, ppm=ppm, setting=setting, duration=duration,
                    scan=scan, **{"stream-arg": stream_arg})
    with ProgressLine(quiet=quiet) as progress:
        if live:
            scanning = ScanOptions(scan, dwell_ms, chain["usable"], scan_overlap) if scan else None
            radio = radio_options(source, freq, rate, scanning, gain=gain, agc=agc, antenna=antenna, bandwidth=bandwidth, ppm=ppm,
                                  settings=tuple(setting), stream_args=tuple(stream_arg), offset=offset,
                                  duration=duration or DURATION_S, silence_s=silence)
            results = iter([run_radio(radio, settings, stats=RunStats(None, ""), survey=True, band_plot=plot,
                                      parts=[ScanPart(scanning)] if scanning else [], progress=progress)])
        elif pipe:
            results = iter([run_pipe(source, stated, settings, stats=RunStats(None, ""), survey=True, band_plot=plot,
                                     progress=progress)])
        else:
            results = _recordings(Plan(settings, folder, stated=stated, survey=True, band_plot=plot), paths, progress)
        outcomes, errors, notes = [], [], Notes(folder=folder, quiet=quiet)
        try:
            for result in results:
                progress.hide()
                if isinstance(result, Outcome):
                    outcomes.append(result)
                    _report(result, quiet, json_file == _STDOUT)
                    notes.add(result.name, result.notes)
                    errors += [f"{result.name}: {result.fault}"] if result.fault else []
                else:
                    errors.append(result)
        finally:
            progress.hide()
            notes.print_folder()
    _write(outcomes, errors, settings, folder, json_file, csv, markdown, plot)
    _end(outcomes, errors, folder)


def _recordings(plan: Plan, paths: list[Path], progress: ProgressLine) -> Iterator[Outcome | str]:
    """The outcome of each recording, or the line that says why there is none.

    Raises:
        SessionError, RecordingError, UsageError: the only recording cannot be run, or no recording can.
    """
    from ..recordings import RecordingArgumentError, RecordingError
    for path, result in in_turn(plan, paths, lambda flowgraph: None, progress):
        if isinstance(result, Outcome):
            yield result
        elif plan.folder and isinstance(result, (SessionError, RecordingError)) and not isinstance(result, SettingError):
            line = f"{path.stem}: {result}" if path.stem not in str(result) else str(result)
            NOTES.print(f"error: {line}", markup=False)
            yield line
        else:
            raise usage_error(result) if isinstance(result, RecordingArgumentError) else result


def _report(outcome: Outcome, quiet: bool, no_table: bool):
    """Prints the table of one source."""
    from ..signals.listing import table
    for line in [] if quiet or no_table else [_heading(outcome), *(table(outcome.signals) if outcome.signals else [])]:
        OUT.print(line, markup=False)


def _heading(outcome: Outcome) -> str:
    """What was looked at, and how many signals there are."""
    from ..emitters.listing import count, plain
    return (f"{outcome.name}: {count(len(outcome.signals or []), 'signal')} in {plain(outcome.seconds)} s, "
            f"{count(outcome.n_frames, 'frame')}")


def _write(outcomes: list[Outcome], errors: list[str], settings: RunSettings, folder: bool, json_file: Path | None,
           csv: Path | None, markdown: Path | None, plot: Path | None):
    """Writes the files that were asked for."""
    from ..session.jobs import named_path
    from ..signals import listing
    if json_file is not None:
        content = {"model": settings.model, "errors": errors, "sources": [
            {"name": o.name, "seconds": o.seconds, "frames": o.n_frames, "dropped_frames": o.n_dropped, "average": o.average,
             "notes": list(o.notes), keys.SIGNALS: o.signals} for o in outcomes]}
        if json_file == _STDOUT:
            sys.stdout.write(json.dumps(content, indent=2, allow_nan=False) + "\n")
        else:
            write_json(json_file, content)
    if csv is not None:
        rows = [({keys.RECORDING: o.name} if folder else {}) | row for o in outcomes for row in o.signals or []]
        write_bytes(csv, listing.csv_text(rows).encode())
    if markdown is not None:
        parts = []
        for outcome in outcomes:
            picture = named_path(plot, outcome.name, folder)
            shown = picture if picture is not None and picture.exists() else None
            parts.append(listing.markdown(outcome.signals or [], _heading(outcome), _beside(shown, markdown)))
        write_bytes(markdown, "\n".join(parts).encode())


def _beside(picture: Path | None, page: Path) -> str:
    """The path by which a page shows a picture; "" for none."""
    if picture is None:
        return ""
    here = page.resolve().parent
    path = picture.resolve()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix().replace(" ", "%20")


def _end(outcomes: list[Outcome], errors: list[str], folder: bool):
    """Ends the command as the runs ended."""
    if outcomes and outcomes[-1].hung:
        leave(f"{outcomes[-1].name}: {outcomes[-1].fault or outcomes[-1].hung}")
    if errors:
        raise CommandError(errors[0] if not folder else f"{len(errors)} of {len(outcomes) + len(errors)} recordings failed; the "
                           "lines above say why")
    interrupted = [o.name for o in outcomes if o.interrupted and o.health.get(keys.DEVICE) is None]
    if interrupted:
        raise CommandError(f"interrupted in {interrupted[0]}; the signals are those up to there")
