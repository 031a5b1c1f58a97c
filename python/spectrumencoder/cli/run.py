# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder run``: recordings, or a radio, through the chain, events out. The flowgraph itself is in ``session/``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import keys
from ..session.errors import SessionError, SettingError
from ..session.flowgraph import RunSettings, check_picture, cores
from ..session.jobs import Plan, at_once, in_turn
from ..session.listening import listen_parts
from ..session.outcome import Outcome
from ..session.pipe import is_pipe
from ..session.radio import SnippetPart, end, run_pipe, run_radio
from ..session.scanning import ScanOptions, ScanPart
from ..session.sinks import STDOUT
from ..session.sources import SOAPY_PREFIX, RadioOptions
from ..session.stats import RunStats
from ..settings import RUN, SETTINGS
from . import archive, options
from .console import NOTES, OUT, ProgressLine, check_writable, leave, write_json
from .errors import CommandError, UsageError
from .listening import asked, given, listener_options, open_listeners
from .listening import report as report_listeners
from .notes import Notes

_SOAPY_WORDS = re.compile(r"(?i)soapy(sdr)?:?$|driver=|\w+=[^/]*,driver=")

_PANELS = {**dict.fromkeys(("jobs", "report", "cluster"), options.RECORDINGS), **dict.fromkeys((
    "events_max", "annotate", "signals", "annotate_signals", "tracks", "encoded", "json_file", "zmq", "stats", "metrics",
    "snippets", "snippets_max"), options.RESULTS)}

if TYPE_CHECKING:
    from rich.console import Console

    from ..recordings import Recording
    from ..session.listening import Listener


@listener_options(after="metrics")
@options.settings_options(RUN, after="seconds", panels={"settle_ms": options.SCAN, **_PANELS}, help={
    "usable": f"{SETTINGS['usable'].help} A scan takes {ScanOptions.usable:g} if you give none."})
def run(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A recording, a folder of them, a pattern such as "
                                          "'archive/**/*.wav', - or a FIFO, or soapy:DEVICE. Raw IQ may need --rate and "
                                          "--format, a stream does.")],
    rate: options.Rate = None,
    format: options.Format = None,
    freq: options.Freq = None,
    start: options.Start = None,
    channel: options.Channel = None,
    offset: options.Offset = 0.0,
    skip: options.Skip = 0.0,
    seconds: options.Seconds = None,
    events: Annotated[Path | None, typer.Option(metavar="FILE.jsonl", help="Write events as JSON lines, after those that the "
                                              "file holds; -: to standard output, and the words for people to stderr.")] = None,
    events_max: Annotated[float, typer.Option(min=0.0, help="Size of each file of JSON lines, MB, from which on a new one is "
                                              "begun; old ones are FILE.1 to FILE.9. 0: no limit.")] = RunSettings.events_max_mb,
    annotate: Annotated[str | None, typer.Option(metavar="[=FILE]", help="Write events as SigMF annotations; without FILE "
                                                 "to NAME-events.sigmf-meta beside the recording. A radio needs FILE.")] = None,
    signals: Annotated[Path | None, typer.Option(metavar="FILE.jsonl", help="Write every signal of the band as JSON lines: its "
                                                 "box, its class.")] = None,
    annotate_signals: Annotated[bool, typer.Option("--annotate-signals", help="Write every signal as a SigMF annotation, too, "
                                                   "into the file of --annotate.")] = False,
    tracks: Annotated[Path | None, typer.Option(metavar="FILE.jsonl", help="Write the tracks of what was found as JSON lines; "
                                                "for a folder one file each, with the recording's name added.")] = None,
    encoded: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the compressed spectra, for decode; for a folder "
                                                 "one file each, with the recording's name added.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png|.pdf|.svg", help="Draw waterfall, residual, and a box "
                                               "around each signal and event; of a scan, its sweeps.")] = None,
    json_file: options.JsonFile = None,
    zmq: Annotated[str, typer.Option(metavar="ADDRESS", help="Publish events as JSON lines on a ZeroMQ PUB socket bound here, "
                                     "such as tcp://127.0.0.1:5556.", show_default=False)] = "",
    stats: Annotated[bool, typer.Option("--stats", help="Print a line each second: rate, latency, queue, drops.")] = False,
    metrics: Annotated[str, typer.Option(metavar="HOST:PORT", help="Serve the same to Prometheus here, such as 127.0.0.1:9100.",
                                         show_default=False)] = "",
    gain: options.Gain = None,
    agc: options.Agc = "",
    antenna: options.Antenna = "",
    bandwidth: options.Bandwidth = None,
    ppm: options.Ppm = RadioOptions.ppm,
    setting: options.DeviceSettings = [],  # noqa: B006
    stream_arg: options.StreamArgs = [],  # noqa: B006
    duration: Annotated[float | None, typer.Option(min=1e-3, help="Seconds of signal; else until Ctrl-C.", show_default=False,
                                                   rich_help_panel=options.LIVE)] = None,
    silence: options.Silence = RadioOptions.silence_s,
    reconnect: options.Reconnect = None,
    scan: options.Scan = "",
    dwell_ms: Annotated[float, typer.Option(help="Time at each hop.", rich_help_panel=options.SCAN)] = ScanOptions.dwell_ms,
    scan_overlap: Annotated[float, typer.Option(help="Share of the usable band that neighbouring hops have in common.",
                                                rich_help_panel=options.SCAN)] = ScanOptions.overlap,
    dc_bins: Annotated[int, typer.Option(help="Bins in the middle of the band that are left out.",
                                         rich_help_panel=options.SCAN)] = ScanOptions.dc_bins,
    jitter: Annotated[float, typer.Option(help="Share of the band by which hops move from sweep to sweep.",
                                          rich_help_panel=options.SCAN)] = ScanOptions.jitter,
    hold_ms: Annotated[float, typer.Option(help="Hold the hop for this time after an event's last message.",
                                           rich_help_panel=options.SCAN)] = ScanOptions.hold_ms,
    snippets: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the IQ around each event as SigMF here.")] = None,
    snippets_max: Annotated[float, typer.Option(min=0.001, help="Total size of snippets, MB; the oldest are deleted.")] = 1000.0,
    sweeps: Annotated[Path | None, typer.Option(metavar="FILE.jsonl", help="Write each sweep's spectrum.",
                                                rich_help_panel=options.SCAN)] = None,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Number of recordings of a folder to run at a time, each in "
                                      "its own process.")] = 1,
    report: archive.Report = None,
    cluster: archive.Cluster = "",
    quiet: options.Quiet = False,
    **chain,
):
    """Run recordings, or a radio, through tokenizer, encoder and detector, and report what does not belong."""
    followers = asked(chain)
    chain["average"] = options.average_option(chain["average"])
    live, pipe = source.startswith(SOAPY_PREFIX), is_pipe(source)
    stated = options.stated(rate, format, freq, start, channel, offset, skip, seconds)
    paths, folder = ([], False) if live or pipe else find_source(source, stated, quiet)
    if folder and annotate:
        raise UsageError(f"--annotate={annotate} names one file for a folder of recordings; "
                         "use --annotate alone, which writes one beside each")
    if folder and (twice := {path.stem for path in paths if [other.stem for other in paths].count(path.stem) > 1}) and (
            plot or tracks or encoded):
        raise UsageError(f"several recordings are called {min(twice)}, and files of --plot, --tracks and --encoded are named by "
                         "that; run one folder at a time, or leave these out")
    only_where_used(context, chain)
    archive.check(report, cluster, jobs, not (live or pipe), events=events, annotate=annotate is not None, signals=signals,
                  annotate_signals=annotate_signals, tracks=tracks, encoded=encoded, plot=plot, json=json_file, zmq=zmq,
                  stats=stats, metrics=metrics, snippets=snippets, band_file=chain["band_file"], **given(followers))
    words = NOTES if events == STDOUT else OUT
    if plot is not None:
        check_picture(plot)
    check_writable(None if events == STDOUT else events, signals, tracks, encoded, plot, json_file, sweeps,
                   Path(annotate) if annotate else None)
    if chain["band_file"]:
        from ..emitters.band_keeper import check_band_file
        check_band_file(chain["band_file"])
    forgotten = report_forgotten_units(rate, freq, quiet)
    for file in () if quiet else (events, signals, sweeps, None if folder else tracks):
        if file is not None and file != STDOUT and file.is_file() and file.stat().st_size:
            NOTES.print(f"note: {file} holds lines of earlier runs; those of this run come after them", markup=False)
    if not scan:
        chain["settle_ms"] = RunSettings.settle_ms
    elif not options.was_given(context, "usable"):
        chain["usable"] = ScanOptions.usable
    settings = RunSettings(**chain, events=events, events_max_mb=events_max, annotate=annotate, signals=signals,
                            annotate_signals=annotate_signals, zmq=zmq,
                           fit_average=not options.was_given(context, "average"))
    if live:
        scanning = ScanOptions(scan, dwell_ms, chain["usable"], scan_overlap, dc_bins, jitter, hold_ms, sweeps) if scan else None
        radio = radio_options(source, freq, rate, scanning, gain=gain, agc=agc, antenna=antenna, bandwidth=bandwidth, ppm=ppm,
                                settings=tuple(setting), stream_args=tuple(stream_arg), offset=offset, duration=duration,
                                silence_s=silence, reconnect_s=options.reconnect_seconds(reconnect))
        _annotations_of_radio(annotate, annotate_signals, bool(scan))
        only_recordings(format=format, start=start, channel=channel, skip=skip or None, seconds=seconds,
                        offset=(offset or None) if scan else None,
                        jobs=jobs if jobs > 1 else None)
        with ProgressLine(quiet=quiet) as progress, open_listeners(followers, _said(progress, quiet)) as listeners, \
                RunStats(_report if stats else None, metrics, None if quiet else reporter(progress, words)) as watch:
            _run_radio(radio, scanning, settings, watch, progress, quiet, plot, encoded, tracks, json_file, snippets,
                       snippets_max, forgotten, words, listeners)
        return
    only_radios(gain=gain, agc=agc, antenna=antenna, bandwidth=bandwidth, ppm=ppm, setting=setting, duration=duration, scan=scan,
                sweeps=sweeps, reconnect=reconnect is not None, **{"stream-arg": stream_arg})
    if pipe:
        only_files(annotate=annotate, snippets=snippets, jobs=jobs if jobs > 1 else None,
                   **{"annotate-signals": annotate_signals or None})
        with ProgressLine(quiet=quiet) as progress, open_listeners(followers, _said(progress, quiet)) as listeners, \
                RunStats(_report if stats else None, metrics, None if quiet else reporter(progress, words)) as watch:
            outcome = run_pipe(source, stated, settings, stats=watch, plot=plot, encoded=encoded, tracks=tracks,
                               parts=listen_parts(listeners), progress=progress)
            _conclude(outcome, settings, quiet, json_file, more={"notes": forgotten}, words=words, listeners=listeners)
        return
    jobs = min(jobs, len(paths))
    if jobs > 1:
        _only_one_job(zmq=zmq, stats=stats, metrics=metrics, band_file=settings.band_file, snippets=snippets,
                      **{"events -": events == STDOUT}, **given(followers))
    plan = Plan(replace(settings, threads=max(1, cores() // jobs)), folder, plot, encoded, tracks, stated,
                snippets=snippets, snippets_max_mb=snippets_max)
    if report is not None:
        archive.run_archive(plan, source, paths, report, jobs, cluster, quiet, lambda results, progress: _run_recordings(
            results, replace(plan, folder=True), progress, quiet, words))
        return
    with ProgressLine(quiet=quiet, counts=jobs > 1) as progress, open_listeners(followers, _said(progress, quiet)) as listeners, \
            RunStats(_report if stats else None, metrics, None if quiet else reporter(progress, words)) as watch:
        plan = replace(plan, listeners=tuple(listeners))
        # Closed here: left to the garbage collector, the pool's end may come after that of what it holds.
        with closing(at_once(plan, paths, jobs, progress) if jobs > 1 else
                     in_turn(plan, paths, watch.attach, progress)) as results:
            outcomes, errors = _run_recordings(results, plan, progress, quiet, words)
        more = report_listeners(listeners, lambda line: _note(line, quiet))
    if json_file is not None:
        write_json(json_file, summary(outcomes, errors, settings) | {"notes": forgotten} | more)
    if outcomes and outcomes[-1].hung:
        leave(f"{outcomes[-1].name}: {outcomes[-1].hung}")
    interrupted = [outcome.name for outcome in outcomes if outcome.interrupted]
    if errors and not folder:
        raise CommandError(errors[0])
    if errors:
        raise CommandError(f"{len(errors)} of {len(paths)} recordings failed; the lines above say why")
    if interrupted:
        raise CommandError(f"interrupted in {' and '.join(interrupted)}; what was written up to there is kept")


def _run_recordings(results: Iterator[tuple[Path, Outcome | Exception]], plan: Plan, progress: ProgressLine,
                    quiet: bool, words: Console) -> tuple[list[Outcome], list[str]]:
    """Outcomes of the recordings that were played, and the errors: of the others, and of those that gave no frame."""
    from ..recordings import RecordingArgumentError, RecordingError
    outcomes, errors, notes = [], [], Notes(folder=plan.folder, quiet=quiet)
    try:
        for path, result in results:
            progress.hide()
            if isinstance(result, Outcome):
                outcomes.append(result)
                report_outcome(result, quiet, notes, words)
                if result.hung:
                    break
                if result.fault:
                    errors.append(f"{result.name}: {result.fault}")
                    if plan.folder:
                        NOTES.print(f"error: {errors[-1]}", markup=False)
            elif isinstance(result, (SessionError, RecordingError)) and plan.folder and not isinstance(result, SettingError):
                errors.append(f"{path.stem}: {result}" if path.stem not in str(result) else str(result))
                NOTES.print(f"error: {errors[-1]}", markup=False)
            else:
                raise usage_error(result) if isinstance(result, RecordingArgumentError) else result
    finally:
        progress.hide()
        notes.print_folder()
    return outcomes, errors


def _conclude(outcome: Outcome, settings: RunSettings, quiet: bool, json_file: Path | None, line: str = "",
              more: dict | None = None, words: Console = OUT, listeners: Sequence[Listener] = ()):
    """Reports the outcome of a radio or a stream, a further line, what listeners say, and more for the file."""
    report_outcome(outcome, quiet, Notes(folder=False, quiet=quiet), words)
    if line and not quiet:
        words.print(line, markup=False)
    more = (more or {}) | report_listeners(listeners, lambda text: _note(text, quiet))
    if json_file is not None:
        write_json(json_file, summary([outcome], [outcome.fault] if outcome.fault else [], settings) | more)
    if outcome.hung:
        leave(f"{outcome.name}: {outcome.fault or outcome.hung}")
    end(outcome)


def only_files(**options):
    """Raises UsageError if an option of recordings in files was given for a stream."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(f"--{given[0]} is for recordings in files; leave it out for a stream")


def _run_radio(radio: RadioOptions, scanning: ScanOptions | None, settings: RunSettings, watch: RunStats,
               progress: ProgressLine, quiet: bool, plot, encoded, tracks, json_file, snippets: Path | None, snippets_max: float,
               forgotten: list[str], words: Console, listeners: Sequence[Listener]):
    scan = ScanPart(scanning, plot) if scanning else None
    parts = [scan] if scan else []
    if snippets is not None:
        parts.append(SnippetPart(snippets, snippets_max))
    parts += listen_parts(listeners, scan, snippets)
    outcome = run_radio(radio, settings, stats=watch, plot=None if scan else plot, encoded=encoded, tracks=tracks,
                        parts=parts, progress=progress)
    progress.hide()
    undrawn = scan.draw() if scan and plot is not None else ""
    if undrawn and not quiet:
        NOTES.print(f"note: {undrawn}", markup=False)
    swept = scan.summary(radio.rate) if scan else {}
    line = f"{swept['sweeps']} sweeps" if swept else ""
    if swept and swept["sweeps"]:
        line += f", {swept['hops_per_s']:.2f} hops/s, {100 * swept['watched_share']:.0f} % of the time watched"
    _conclude(outcome, settings, quiet, json_file, line, {"notes": forgotten} | ({"scan": swept} if swept else {}), words,
              listeners)


def reporter(progress: ProgressLine, words: Console):
    """Prints what was learned, and the alerts."""
    def report(lines: list[str]):
        progress.hide()
        for line in lines:
            words.print(line, markup=False)
    return report


def _said(progress: ProgressLine, quiet: bool):
    """Prints a note while the run goes on."""
    def say(line: str):
        progress.hide()
        _note(line, quiet)
    return say


def _report(line: str):
    NOTES.print(line, markup=False)


def _note(line: str, quiet: bool):
    if not quiet:
        NOTES.print(f"note: {line}", markup=False)


def report_outcome(outcome: Outcome, quiet: bool, notes: Notes, words: Console):
    """Prints the line of one source. Its notes go to `notes`."""
    for line in () if quiet else (*outcome.news, outcome.line()):
        words.print(line, markup=False)
    notes.add(outcome.name, outcome.notes)


def report_notes(recordings: Sequence[Recording], quiet: bool):
    """Prints the notes on recordings that are not run."""
    notes = Notes(folder=len(recordings) > 1, quiet=quiet)
    for recording in recordings:
        notes.add(recording.name, recording.notes)
    notes.print_folder()


def report_forgotten_units(rate: float | None, freq: float | None, quiet: bool) -> list[str]:
    """Prints a note for a --rate or --freq that looks as if k, M or G were forgotten. Returns the notes."""
    notes = options.forgotten_unit(rate, freq)
    for line in [] if quiet else notes:
        NOTES.print(f"note: {line}", markup=False)
    return notes


def radio_options(source: str, freq: float | None, rate: float | None, scanning: ScanOptions | None, *, agc: str,
                  **others) -> RadioOptions:
    """The radio's options.

    Raises:
        UsageError: one is missing or invalid.
    """
    device = source.removeprefix(SOAPY_PREFIX)
    if "=" not in device:
        raise UsageError(f"{source} names no radio; write soapy:driver=NAME, as `spectrumencoder devices` lists them")
    if rate is None or (freq is None and scanning is None):
        raise UsageError("a radio needs --rate HZ and --freq HZ (or --scan LOW:HIGH), such as --freq 100M --rate 2.4M")
    if not 0 < rate < float("inf"):
        raise UsageError(f"--rate {rate:g} is not a positive number of samples per second")
    if freq is not None and scanning is not None:
        raise UsageError("--freq and --scan exclude each other: a scan tunes by itself")
    if agc not in ("", "on", "off"):
        raise UsageError(f"--agc {agc} is neither on nor off")
    return RadioOptions(device, scanning.first_freq(rate) if scanning else freq, rate, agc=agc == "on" if agc else None, **others)


def only_recordings(**options):
    """Raises UsageError if an option of recordings was given for a radio."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        more = ", or give --duration" if given[0] == "seconds" else ""
        what = "a scan" if given[0] == "offset" else "a radio"
        raise UsageError(f"--{given[0]} is not for {what}; leave it out{more}")


def _annotations_of_radio(annotate: str | None, annotate_signals: bool, scan: bool):
    """Raises UsageError if annotations of a radio have no file, or a scan would need too many captures."""
    given = "--annotate" if annotate is not None else "--annotate-signals" if annotate_signals else ""
    if given and scan:
        raise UsageError(f"{given} is not for a scan: SigMF needs a capture for each retune, some ten a second; use --events")
    if given and not annotate:
        raise UsageError(f"{given} of a radio needs a file, which has none of its own; name one: --annotate=FILE")


def _only_one_job(**options):
    """Raises UsageError if an option for one run at a time was given."""
    given = [name for name, value in options.items() if value]
    if given:
        raise UsageError(f"--{given[0].replace('_', '-')} is for one recording at a time; leave it out, or --jobs")


def only_where_used(context: typer.Context, chain: dict):
    """Raises UsageError if a setting was given that the others make useless."""
    from ..encoder.ensemble import members
    model = chain["model"]
    if options.was_given(context, "confidence_threshold") and not members(model):
        raise UsageError(f"--confidence {chain['confidence_threshold']:g} is for a speculative model, {model} is one model "
                         "alone; leave it out, or use --model speculative")
    options.only_of_detector(context, chain["detector"])
    if options.was_given(context, "threshold") and chain["threshold_mode"] != "fixed":
        raise UsageError(f"--threshold {chain['threshold']:g} is for --threshold-mode fixed; leave it out, or add that")


def only_radios(**options):
    """Raises UsageError if an option of radios was given for a recording."""
    given = [name for name, value in options.items() if value]
    if given:
        raise UsageError(f"--{given[0]} is for radios (soapy:driver=...); leave it out for a recording")


def find_source(source: str, stated: dict, quiet: bool) -> tuple[list[Path], bool]:
    """The files of SOURCE, and whether it stands for several. stated: as of ``options.stated``. It prints what is left out.

    Raises:
        UsageError: SOURCE and the options contradict each other. RecordingError: there is no recording.
    """
    from ..recordings import RecordingArgumentError, find_and_tell
    if not Path(source).exists() and _SOAPY_WORDS.match(source):
        device = source if "=" in source else "driver=NAME"
        raise UsageError(f"{source}: no such recording; a radio is {SOAPY_PREFIX}{device}, and `spectrumencoder devices` lists "
                         "those that there are")
    try:
        paths, notes = find_and_tell(source, **stated)
    except RecordingArgumentError as error:
        raise usage_error(error) from error
    for note in () if quiet else notes:
        NOTES.print(f"note: {note}", markup=False)
    return paths, len(paths) > 1 or (Path(source).is_dir() and paths[0] != Path(source))


def usage_error(error: Exception) -> UsageError:
    """The error about arguments that do not go with a recording, in the words of the command line."""
    named = [option for word, option in (("rate", "--rate HZ"), ("datatype", "--format TYPE"), ("frequency", "--freq HZ"), (
        "start", "--start TIME"), ("channel", "--channel N"), ("offset", "--offset HZ"), ("skip", "--skip SECONDS"), (
        "seconds", "--seconds SECONDS")) if word in str(error)]
    return UsageError(f"{error} ({', '.join(named)})" if named else str(error))


def summary(outcomes: list[Outcome], errors: list[str], settings: RunSettings) -> dict:
    """The content of --json."""
    return {"model": settings.model, "false_alarm_rate": settings.false_alarm_rate, "average": settings.average,
            "frames": sum(o.n_frames for o in outcomes), "dropped_frames": sum(o.n_dropped for o in outcomes),
            **{key: sum(o.health.get(key, 0) for o in outcomes) for key in (keys.DROPPED_CONSTANT, keys.CLIPPED_FRAMES)},
            "events": sum(o.n_events for o in outcomes), "alerts": _sum_of(o.alerts for o in outcomes),
            "receiver": _sum_of(o.receiver for o in outcomes),
            "suppressed_events": sum(o.suppressed_events for o in outcomes),
            "recordings": [o.as_dict() for o in outcomes], "errors": errors}


def _sum_of(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Sums by kind."""
    total: dict[str, int] = {}
    for one in counts:
        for kind, count in one.items():
            total[kind] = total.get(kind, 0) + count
    return total
