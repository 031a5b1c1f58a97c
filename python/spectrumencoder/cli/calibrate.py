# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder calibrate``: learns what is normal on a band; a recording or a radio in, a calibrated model file out."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from ..session.record import record_radio
from ..session.sources import SOAPY_PREFIX
from .console import NOTES, OUT, ProgressLine, check_writable, progress_bar, write_json
from .errors import CommandError, UsageError
from .run import LIVE, average_option, find_source, only_radios, radio_options

_MARGIN = 1.1  # of the time that is needed: an overflow or two may take a few frames


def calibrate(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="What is normal: a .sigmf-meta file, a folder of them, "
                                          "raw IQ with --rate and --format, or soapy:DEVICE.")],
    out: Annotated[Path, typer.Option(metavar="FILE.safetensors", help="The calibrated model file to write.")],
    rate: Annotated[float | None, typer.Option(help="Raw IQ and radios: sample rate in Hz.", show_default=False)] = None,
    format: Annotated[str | None, typer.Option(help="Raw IQ: SigMF data type, such as cf32_le, ci16_le or cu8.",
                                               show_default=False)] = None,
    freq: Annotated[float | None, typer.Option(help="Raw IQ and radios: centre frequency in Hz.", show_default=False)] = None,
    model: Annotated[str, typer.Option(help="Name of a shipped model, or a .safetensors file.")] = "base",
    compute: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    backend: Annotated[str, typer.Option(help="Attention backend that will run.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Precision of the transformer blocks: fp32, bf16, int8 (CPU) or auto.")] = "auto",
    runtime: Annotated[str, typer.Option(help="What computes the network: native (C++, CPU), torch or auto.")] = "auto",
    dropout: Annotated[float, typer.Option(min=0.0, max=0.99, help="Share of tokens dropped.")] = 0.25,
    policy: Annotated[str, typer.Option(help="Dropout policy; the model's own otherwise.", show_default=False)] = "",
    rope: Annotated[str, typer.Option(help="RoPE mode; the model's own otherwise.", show_default=False)] = "",
    pfa: Annotated[float, typer.Option(min=1e-6, max=0.5, help="Smallest false-alarm rate that you will use.")] = 0.01,
    average: Annotated[str, typer.Option(metavar="K|auto", help="Spectra averaged per frame, 1..64; auto: 16 or more, by the "
                                         "sample rate.")] = "16",
    overlap: Annotated[float, typer.Option(min=0.0, max=0.95, help="Overlap of successive spectra.")] = 0.0,
    band: Annotated[str, typer.Option(help="Band of the recording; auto: by its centre frequency.")] = "auto",
    per_bin: Annotated[bool, typer.Option("--per-bin/--no-per-bin", help="Learn each bin's own level: sharper, as long as the "
                                          "radio stays at this centre frequency and rate.")] = True,
    gain: Annotated[float | None, typer.Option(help="Gain in dB.", show_default=False, rich_help_panel=LIVE)] = None,
    agc: Annotated[str, typer.Option(metavar="on|off", help="Automatic gain.", show_default=False, rich_help_panel=LIVE)] = "",
    antenna: Annotated[str, typer.Option(help="By name.", show_default=False, rich_help_panel=LIVE)] = "",
    bandwidth: Annotated[float | None, typer.Option(help="Of the filter, Hz.", show_default=False, rich_help_panel=LIVE)] = None,
    ppm: Annotated[float, typer.Option(help="Correction of the crystal.", rich_help_panel=LIVE)] = 0.0,
    setting: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="Of the device; may be given again.",
                                               show_default=False, rich_help_panel=LIVE)] = [],  # noqa: B006
    duration: Annotated[float | None, typer.Option(min=1e-3, help="Seconds to learn from; else as many as are needed.",
                                                   show_default=False, rich_help_panel=LIVE)] = None,
    silence: Annotated[float, typer.Option(min=0.1, help="Seconds without a sample after which it fails.",
                                           rich_help_panel=LIVE)] = 5.0,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write what was learned here.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
):
    """Learn what is normal on your band from a recording or radio without anything unusual in it; write a calibrated model file.

    The settings must be those that will run: a table holds for one band, dropout rate and average.
    """
    from ..encoder import model_file
    spectra = average_option(average)
    if out.suffix != model_file.SUFFIX:
        raise UsageError(f"--out {out} does not end in {model_file.SUFFIX}; name it so, that it is found as a model")
    check_writable(out, json_file)
    live = source.startswith(SOAPY_PREFIX)
    if live and format:
        raise UsageError(f"--format {format} is for raw IQ; leave it out for a radio")
    if not live:
        only_radios(gain=gain, agc=agc, antenna=antenna, bandwidth=bandwidth, ppm=ppm, setting=setting, duration=duration)
    paths = [] if live else find_source(source, rate, format, freq)[0]
    from ..encoder.engine import Engine
    from ..encoder.ensemble import members
    from ..recordings import open_recording
    if pair := members(model):
        raise UsageError(f"--model {model}: the tables of an ensemble are those of its first model; calibrate that (--model "
                         f"{pair[0]}), then run with --model speculative:{out},{pair[1]}")
    engine = Engine(model, compute=compute, backend=backend, rope_mode=rope, dropout_rate=dropout, dropout_policy=policy,
                    pad_batch=64, dtype=dtype, runtime=runtime)
    with ExitStack() as stack:
        if live:
            spectra = _spectra(spectra, [rate], engine, overlap)
            options = radio_options(source, freq, rate, None, gain=gain, agc=agc, antenna=antenna, bandwidth=bandwidth, ppm=ppm,
                                    settings=tuple(setting), silence_s=silence,
                                    duration=_seconds(duration, rate, engine.n_bins, spectra, overlap, pfa, per_bin))
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=".calibrate-", dir=out.parent))
            with ProgressLine(quiet=quiet) as progress:
                recording, note = record_radio(options, Path(folder) / "radio.sigmf-meta", progress)
            recordings = [recording]
            if note and not quiet:
                NOTES.print(f"note: {note}", markup=False)
        else:
            recordings = [open_recording(path, rate=rate, datatype=format, freq=freq) for path in paths]
            spectra = _spectra(spectra, [r.samp_rate for r in recordings], engine, overlap)
        bar = stack.enter_context(progress_bar(quiet=quiet, counts=True))
        task = bar.add_task("frames", total=None)
        tables = _learn(recordings, engine, spectra, overlap, band, pfa, per_bin,
                        lambda done, total: bar.update(task, completed=done, total=total))
    file, seconds = engine.file, sum(r.duration_s for r in recordings)
    for key, table in tables.items():
        file.set_table(key, table.to_tensors())
    try:
        model_file.save(out, file.contract, file.tensors)
    except OSError as error:
        raise CommandError(f"cannot write {out}: {error.strerror}; name a file in a folder that exists") from error
    if json_file is not None:
        write_json(json_file, _summary(out, tables, pfa, seconds))
    if not quiet:
        for key, table in tables.items():
            OUT.print(f"{key}: learned from {seconds:.3g} s of signal\n{table.describe(pfa)}", markup=False)
            if table.effective_n < 0.5 * table.n:
                NOTES.print(f"note: successive frames resemble each other: {table.n} frames tell as much as "
                            f"{table.effective_n:.0f} independent ones; a longer recording narrows the interval", markup=False)
        others = {"overlap": f"{overlap:g}" if overlap else "", "band": band if band != "auto" else "", "policy": policy,
                  "rope": rope, "backend": backend if backend != "auto" else "", "dtype": dtype if dtype != "auto" else ""}
        options = "".join(f" --{name} {value}" for name, value in others.items() if value)
        OUT.print(f"wrote {out}; use it with: spectrumencoder run SOURCE --model {out} --average {spectra} "
                  f"--dropout {dropout:g} --pfa {pfa:g}{options}", markup=False)


def _spectra(average: int | str, rates: list[float | None], engine, overlap: float) -> int:
    """Spectra per frame, where "auto" too.

    Raises:
        UsageError: recordings of several rates would each get another number.
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
    """How long to listen to a radio.

    Raises:
        CommandError: the duration that was asked for is too short.
    """
    from ..detector.calibrate import frames_needed
    frames = frames_needed(pfa, per_bin)
    needed = frames * average * round(n_bins * (1.0 - overlap)) / (rate or 1.0)
    if duration is not None and duration < needed:
        raise CommandError(f"--duration {duration:g} s is too short: a false-alarm rate of {pfa:g} takes {frames} frames, "
                           f"{needed:.3g} s at this rate with --average {average}; give more, or leave it out")
    return duration or _MARGIN * needed


def _learn(recordings, engine, average, overlap, band, pfa, per_bin, progress) -> dict:
    """The tables; too few frames are told in seconds of recording too."""
    from ..detector.calibrate import TooFewFrames
    from ..detector.learn_band import learn_bands
    try:
        return learn_bands(recordings, engine, average=average, overlap=overlap, band=band, false_alarm_rate=pfa,
                           per_bin=per_bin, progress=progress)
    except TooFewFrames as error:
        samp_rate = recordings[0].samp_rate
        hop = average * round(engine.n_bins * (1.0 - overlap))
        raise CommandError(f"{error} ({error.needed * hop / samp_rate:.3g} s at {samp_rate:g} samples/s with --average "
                           f"{average}), a smaller --average" + ", or --no-per-bin, which takes fewer" * per_bin) from error


def _summary(out: Path, tables: dict, pfa: float, seconds: float) -> dict:
    """The content of --json."""
    rows = {}
    for key, table in tables.items():
        rows[key] = {"n": table.n, "effective_n": table.effective_n, "channels": list(table.channels),
                     "per_bin": table.band is not None, "window_hop": table.window_hop,
                     "freq_hz": table.tuning and table.tuning.freq_hz, "samp_rate": table.tuning and table.tuning.samp_rate,
                     "threshold": table.threshold(pfa), "false_alarm_interval": list(table.far_interval(pfa))}
    return {"model": str(out), "false_alarm_rate": pfa, "seconds": seconds, "tables": rows}
