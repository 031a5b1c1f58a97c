# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder calibrate``: learns what is normal on a band; recordings or a radio in, a band file or a model file out."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..atomic_file import cannot_write
from ..session.record import record_radio
from ..session.scanning import ScanOptions
from ..session.sources import SOAPY_PREFIX, RadioOptions
from ..settings import BOXES, CALIBRATE, SETTINGS, of_command
from . import options
from .console import NOTES, OUT, ProgressLine, check_writable, progress_bar, write_json
from .errors import CommandError, UsageError
from .run import (
    find_source,
    only_radios,
    only_recordings,
    radio_options,
    report_forgotten_units,
    report_notes,
    usage_error,
)

if TYPE_CHECKING:
    from ..emitters.band_file import BandFile

SHORT_S = 30.0  # a shorter calibration is said to be short
_MARGIN = 1.1  # of the required time: an overflow or two may cost a few frames


@options.settings_options(CALIBRATE, after="seconds", help={
    "model": "Name of a shipped model, or a .safetensors file.",
    "false_alarm_rate": "Smallest false-alarm rate that you will use."})
def calibrate(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="What is normal: a recording, a folder of them, or "
                                          "soapy:DEVICE. Raw IQ may need --rate and --format.")],
    out: Annotated[Path, typer.Option(metavar="FILE.band", help="The band file to write; with --detector boxes a calibrated "
                                      "model file, FILE.safetensors.")],
    rate: options.Rate = None,
    format: options.Format = None,
    freq: options.Freq = None,
    start: options.Start = None,
    channel: options.Channel = None,
    offset: options.Offset = 0.0,
    skip: options.Skip = 0.0,
    seconds: options.Seconds = None,
    per_bin: Annotated[bool, typer.Option("--per-bin/--no-per-bin", help="Of --detector boxes: learn each bin's "
                                          "own level, which is sharper at one centre frequency and rate.")] = True,
    gain: options.Gain = None,
    agc: options.Agc = "",
    antenna: options.Antenna = "",
    bandwidth: options.Bandwidth = None,
    ppm: options.Ppm = RadioOptions.ppm,
    setting: options.DeviceSettings = [],  # noqa: B006
    stream_arg: options.StreamArgs = [],  # noqa: B006
    duration: Annotated[float | None, typer.Option(min=1e-3, help="Seconds to learn from; else as many as are needed.",
                                                   show_default=False, rich_help_panel=options.LIVE)] = None,
    silence: options.Silence = RadioOptions.silence_s,
    scan: options.Scan = "",
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write what was learned here.")] = None,
    quiet: options.Quiet = False,
    **chain,
):
    """Learn what is normal on your band from a recording or radio without anything unusual in it; write a band file.

    `run --learn` learns by itself; this is for those who want a fixed band. Use the settings of the later runs.
    """
    from ..emitters import band_file
    from ..emitters.band_keeper import check_band_file
    from ..encoder import model_file
    options.only_of_detector(context, chain["detector"])
    model, overlap, band, pfa, detector = (chain.pop(key) for key in ("model", "overlap", "band", "false_alarm_rate", "detector"))
    spectra, boxes = options.average_option(chain.pop("average")), detector == BOXES
    if not boxes and not per_bin:
        raise UsageError("--no-per-bin is for --detector boxes; leave it out, or add that")
    if boxes and out.suffix != model_file.SUFFIX:
        raise UsageError(f"--out {out} does not end in {model_file.SUFFIX}; name it so, that it is found as a model")
    if not boxes and out.suffix == model_file.SUFFIX:
        raise UsageError(f"--out {out} is the name of a model file; name a band file, such as "
                         f"{out.with_suffix(band_file.SUFFIX)}, or add --detector boxes, which writes a calibrated model")
    check_writable(out, json_file)
    if not boxes:
        check_band_file(out)
    live = source.startswith(SOAPY_PREFIX)
    if live:
        only_recordings(format=format, start=start, channel=channel, skip=skip or None, seconds=seconds,
                        offset=(offset or None) if scan else None)
    if scan and boxes:
        raise UsageError("--scan is for --detector emitters: a calibrated table holds for one tuning; leave one of them out")
    if not live:
        only_radios(scan=scan, gain=gain, agc=agc, antenna=antenna, bandwidth=bandwidth, ppm=ppm, setting=setting,
                    duration=duration, **{"stream-arg": stream_arg})
    stated = options.stated(rate, format, freq, start, channel, offset, skip, seconds)
    paths = [] if live else find_source(source, stated, quiet)[0]
    report_forgotten_units(rate, freq, quiet)
    from ..emitters.learn_recordings import learn_recordings
    from ..encoder.engine import Engine
    from ..encoder.ensemble import members
    from ..recordings import RecordingArgumentError, open_recording
    if boxes and (pair := members(model)):
        raise UsageError(f"--model {model}: the tables of an ensemble are those of its first model; calibrate that (--model "
                         f"{pair[0]}), then run with --model speculative:{out},{pair[1]}")
    engine = Engine(model, pad_batch=64, **chain)
    with ExitStack() as stack:
        if scan:
            from ..session.learn_scan import learn_scan
            radio = radio_options(source, freq, rate, ScanOptions(scan), gain=gain, agc=agc, antenna=antenna, ppm=ppm,
                                  bandwidth=bandwidth, settings=tuple(setting), stream_args=tuple(stream_arg), offset=offset,
                                  silence_s=silence,
                                  duration=duration or SETTINGS["learn_s"].default)
            spectra = _spectra(spectra, [rate], engine, overlap)
            settings = chain | {"model": model, "overlap": overlap, "band": band, "average": spectra}
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=".calibrate-", dir=out.parent))
            with ProgressLine(quiet=quiet) as progress:
                learned = learn_scan(radio, ScanOptions(scan), Path(folder), settings, progress)
            learned.save(out)
            _report_band(out, learned, json_file, quiet, spectra, overlap, band, model)
            return
        if live:
            spectra = _spectra(spectra, [rate], engine, overlap)
            radio = radio_options(source, freq, rate, None, gain=gain, agc=agc, antenna=antenna, bandwidth=bandwidth, ppm=ppm,
                                    settings=tuple(setting), stream_args=tuple(stream_arg), offset=offset,
                                  silence_s=silence,
                                    duration=_seconds(duration, rate, engine.n_bins, spectra, overlap, pfa, per_bin)
                                    if boxes else duration or SETTINGS["learn_s"].default)
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=".calibrate-", dir=out.parent))
            with ProgressLine(quiet=quiet) as progress:
                recording, note = record_radio(radio, Path(folder) / "radio.sigmf-meta", progress)
            recordings = [recording]
            if note and not quiet:
                NOTES.print(f"note: {note}", markup=False)
        else:
            try:
                recordings = [open_recording(path, **stated) for path in paths]
            except RecordingArgumentError as error:
                raise usage_error(error) from error
            report_notes(recordings, quiet)
            spectra = _spectra(spectra, [r.samp_rate for r in recordings], engine, overlap)
        bar = stack.enter_context(progress_bar(quiet=quiet, counts=True))
        task = bar.add_task("frames", total=None)
        if not boxes:
            learned = learn_recordings(recordings, engine, average=spectra, overlap=overlap, band=band,
                                       progress=lambda done, total: bar.update(task, completed=done, total=total))
            learned.save(out)
            bar.stop()
            _report_band(out, learned, json_file, quiet, spectra, overlap, band, model)
            return
        tables = _learn(recordings, engine, spectra, overlap, band, pfa, per_bin,
                        lambda done, total: bar.update(task, completed=done, total=total))
    file, seconds = engine.file, sum(r.duration_s for r in recordings)
    for key, table in tables.items():
        file.set_table(key, table.to_tensors())
    try:
        model_file.save(out, file.contract, file.tensors)
    except OSError as error:
        raise CommandError(cannot_write(out, error)) from error
    if json_file is not None:
        write_json(json_file, _summary(out, tables, pfa, seconds))
    if not quiet:
        from ..emitters.listing import plain
        for key, table in tables.items():
            OUT.print(f"{key}: learned from {plain(seconds)} s of signal\n{table.describe(pfa)}", markup=False)
            if table.effective_n < 0.5 * table.n:
                NOTES.print(f"note: successive frames resemble each other: {table.n} frames tell as much as "
                            f"{table.effective_n:.0f} independent ones; a longer recording narrows the interval", markup=False)
        if seconds < SHORT_S:
            NOTES.print(f"note: learned from {seconds:.3g} s alone. What this band does less often than that will be reported; "
                        + ("give --duration 120" if live else "give a longer recording"), markup=False)
        OUT.print(f"wrote {out}; use it with: spectrumencoder run SOURCE {_run_options(out, spectra, overlap, band, pfa, chain)}",
                  markup=False)


def _report_band(out: Path, band: BandFile, json_file: Path | None, quiet: bool, average: int, overlap: float, plan: str,
                 model: str):
    """Prints what was learned, and how to use it."""
    from ..emitters.listing import count, plain, rows_of, table
    rows = rows_of(band.registry)
    if json_file is not None:
        write_json(json_file, {"band_file": str(out), "seconds": band.learned_s, "tunings": len(band.tunings), "emitters": rows})
    if quiet:
        return
    OUT.print(f"learned {plain(band.learned_s)} s of signal, heard {count(len(rows), 'emitter')}", markup=False)
    for line in table(rows) if rows else []:
        OUT.print(line, markup=False)
    if band.learned_s < SHORT_S:
        NOTES.print(f"note: learned from {band.learned_s:.3g} s alone. What this band does less often than that will be reported",
                    markup=False)
    used = {"model": model, "average": average, "overlap": overlap, "band": plan}
    given = "".join(f" --{SETTINGS[key].cli} {value}" for key, value in used.items() if value != SETTINGS[key].default)
    OUT.print(f"wrote {out}; use it with: spectrumencoder run SOURCE --band-file {out}{given}", markup=False)


def _run_options(out: Path, average: int, overlap: float, band: str, pfa: float, engine: dict) -> str:
    """The options of ``run`` with which the tables hold: some always, the others if they are not the defaults."""
    used = engine | {"detector": BOXES, "model": out, "average": average, "overlap": overlap, "band": band,
                     "false_alarm_rate": pfa}
    always = ("detector", "model", "average", "dropout_rate", "false_alarm_rate")
    others = [row.key for row in of_command(CALIBRATE) if row.key not in (*always, "compute", "runtime")
              and used[row.key] != row.default]  # a table does not depend on device and backend
    texts = {key: f"{used[key]:g}" if isinstance(used[key], float) else used[key] for key in (*always, *others)}
    return " ".join(f"--{SETTINGS[key].cli} {text}" for key, text in texts.items())


def _spectra(average: int | str, rates: list[float | None], engine, overlap: float) -> int:
    """Spectra per frame, also for "auto".

    Raises:
        UsageError: the recordings have several rates, and would need several numbers.
    """
    from ..tokens.average import AUTO, auto_average
    if average != AUTO:
        return average
    chosen = {auto_average(rate or 1.0, engine.n_bins, overlap, engine.contract["average"]) for rate in rates}
    if len(chosen) > 1:
        raise UsageError(f"--average auto would be {', '.join(map(str, sorted(chosen)))} for recordings of different rates; give "
                         "one number, or calibrate each rate alone")
    return chosen.pop()


def _seconds(duration: float | None, rate: float | None, n_bins: int, average: int, overlap: float, pfa: float,
             per_bin: bool) -> float:
    """Duration to record from a radio, s.

    Raises:
        CommandError: the requested duration is too short.
    """
    from ..detector.calibrate import frames_needed
    frames = frames_needed(pfa, per_bin)
    needed = frames * average * round(n_bins * (1.0 - overlap)) / (rate or 1.0)
    if duration is not None and duration < needed:
        raise CommandError(f"--duration {duration:g} s is too short: a false-alarm rate of {pfa:g} takes {frames} frames, "
                           f"{needed:.3g} s at this rate with --average {average}; give more, better minutes")
    return duration or _MARGIN * needed


def _learn(recordings, engine, average, overlap, band, pfa, per_bin, progress) -> dict:
    """The tables. The error about too few frames also states seconds of recording."""
    from ..detector.calibrate import TooFewFrames
    from ..detector.learn_band import learn_bands
    try:
        return learn_bands(recordings, engine, average=average, overlap=overlap, band=band, false_alarm_rate=pfa,
                           per_bin=per_bin, progress=progress)
    except TooFewFrames as error:
        raise CommandError(_too_few(error, recordings[0].samp_rate, engine, average, overlap, pfa, per_bin)) from error


def _too_few(error, samp_rate: float, engine, average: int, overlap: float, pfa: float, per_bin: bool) -> str:
    """The error about too few frames, in seconds, with the other ways out that would do."""
    from ..detector.calibrate import frames_needed
    hop = average * round(engine.n_bins * (1.0 - overlap))
    fitting = error.n_frames * average // error.needed
    ways = [f"{error} ({error.needed * hop / samp_rate:.3g} s at {samp_rate:g} samples/s, better minutes)",
            "a folder of several recordings"]
    if engine.contract["average"][0] <= fitting < average:
        ways.append(f"--average {fitting}")
    if per_bin and error.n_frames >= (fewer := frames_needed(pfa, False)):
        ways.append(f"--no-per-bin ({fewer} frames)")
    return f"{', '.join(ways[:-1])} or {ways[-1]}"


def _summary(out: Path, tables: dict, pfa: float, seconds: float) -> dict:
    """The content of --json."""
    rows = {}
    for key, table in tables.items():
        rows[key] = {"n": table.n, "effective_n": table.effective_n, "channels": list(table.channels),
                     "per_bin": table.band is not None, "window_hop": table.window_hop,
                     "freq_hz": table.tuning and table.tuning.freq_hz, "samp_rate": table.tuning and table.tuning.samp_rate,
                     "threshold": table.threshold(pfa), "false_alarm_interval": list(table.far_interval(pfa))}
    return {"model": str(out), "false_alarm_rate": pfa, "seconds": seconds, "tables": rows}
