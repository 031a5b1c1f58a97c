# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder run``: recordings through the chain, events out. The flowgraph itself is in ``session.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import NOTES, OUT, check_writable, write_json
from .errors import CommandError, UsageError
from .session import Outcome, RunSettings, run_recording


def run(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A .sigmf-meta file, a folder of them, or raw IQ with "
                                          "--rate and --format.")],
    rate: Annotated[float | None, typer.Option(help="Raw IQ: sample rate in Hz.", show_default=False)] = None,
    format: Annotated[str | None, typer.Option(help="Raw IQ: SigMF data type, such as cf32_le, ci16_le or cu8.",
                                               show_default=False)] = None,
    freq: Annotated[float | None, typer.Option(help="Raw IQ: centre frequency in Hz.", show_default=False)] = None,
    model: Annotated[str, typer.Option(help="Name of a shipped model, or a .safetensors file; speculative, or "
                                       "speculative:FAST,LARGE, for two of them.")] = "base",
    confidence: Annotated[float | None, typer.Option(min=0.0, max=1.0, show_default=False, help="Of a speculative model: frames "
                                                     "of a lower confidence go to the large one (0.8).")] = None,
    compute: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    backend: Annotated[str, typer.Option(help="Attention backend: auto, or one of those the model holds weights for.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Precision of the transformer blocks: fp32, bf16 or int8 (CPU).")] = "fp32",
    dropout: Annotated[float, typer.Option(min=0.0, max=0.99, help="Share of tokens dropped.")] = 0.25,
    policy: Annotated[str, typer.Option(help="Dropout policy: gumbel, energy, entropy or random; the model's own otherwise.",
                                        show_default=False)] = "",
    rope: Annotated[str, typer.Option(help="RoPE mode: none, static or dynamic; the model's own otherwise.",
                                      show_default=False)] = "",
    pfa: Annotated[float, typer.Option(min=1e-6, max=0.5, help="False alarms per frame that are accepted.")] = 0.01,
    average: Annotated[int, typer.Option(min=1, max=64, help="Spectra averaged per frame.")] = 16,
    overlap: Annotated[float, typer.Option(min=0.0, max=0.95, help="Overlap of successive spectra.")] = 0.0,
    band: Annotated[str, typer.Option(help="Band of the recording; auto: by its centre frequency.")] = "auto",
    hold: Annotated[int, typer.Option(min=1, help="Frames without alarm after which an event is closed.")] = 4,
    false_events: Annotated[float, typer.Option(min=1e-3, help="False events an hour that are accepted, calibrated.")] = 1.0,
    events: Annotated[Path | None, typer.Option(metavar="FILE.jsonl", help="Write events as JSON lines.")] = None,
    annotate: Annotated[str | None, typer.Option(metavar="[=FILE]", help="Write events as SigMF annotations; without FILE "
                                                 "to NAME-events.sigmf-meta beside the recording.")] = None,
    tracks: Annotated[Path | None, typer.Option(metavar="FILE.jsonl", help="Write the tracks of what was found as JSON lines; "
                                                "for a folder one file each, with the recording's name added.")] = None,
    encoded: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the compressed spectra, for decode; for a folder "
                                                 "one file each, with the recording's name added.")] = None,
    encoded_step: Annotated[float, typer.Option(min=0.016, max=512.0, help="Step of their quantiser in dB: smaller is more exact "
                                                "and takes more bytes.")] = 0.5,
    encoded_group: Annotated[int, typer.Option(min=16, max=64, help="Spectra that are compressed together.")] = 32,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw waterfall, residual and event boxes.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the summary here.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
):
    """Run recordings through tokenizer, encoder and detector, and report what does not belong."""
    from ..tokens.recording import RecordingError
    paths, folder = find_source(source, rate, format, freq)
    if folder and annotate:
        raise UsageError(f"--annotate={annotate} names one file for a folder of recordings; "
                         "use --annotate alone, which writes one beside each")
    from ..encoder.ensemble import CONFIDENCE_THRESHOLD, members
    if confidence is not None and not members(model):
        raise UsageError(f"--confidence {confidence:g} is for a speculative model, {model} is one model alone; leave it out, or "
                         "use --model speculative")
    check_writable(events, tracks, encoded, plot, json_file, Path(annotate) if annotate else None)
    settings = RunSettings(model=model, compute=compute, backend=backend, dropout_rate=dropout, dropout_policy=policy,
                           rope_mode=rope, false_alarm_rate=pfa, average=average, overlap=overlap, band=band, hold=hold,
                           false_events_per_hour=false_events,
                           events=events, annotate=annotate, quiet=quiet, dtype=dtype,
                           confidence_threshold=CONFIDENCE_THRESHOLD if confidence is None else confidence,
                           encoded_step=encoded_step, encoded_group=encoded_group)
    outcomes, errors, told = [], [], set()
    for path in paths:
        try:
            recording = _open(path, rate, format, freq)
            outcome = run_recording(recording, settings, append=bool(outcomes), name_in_events=folder,
                                    plot=_named_path(plot, recording.name, folder),
                                    encoded=_named_path(encoded, recording.name, folder),
                                    tracks=_named_path(tracks, recording.name, folder))
        except (CommandError, RecordingError) as error:
            if not folder or isinstance(error, UsageError):
                raise
            errors.append(f"{path.stem}: {error}" if path.stem not in str(error) else str(error))
            NOTES.print(f"error: {errors[-1]}", markup=False)
            continue
        outcomes.append(outcome)
        if not quiet:
            OUT.print(outcome.line(), markup=False)
            for note in outcome.notes:
                if note not in told:
                    NOTES.print(f"note: {note}", markup=False)
                    told.add(note)
        if outcome.interrupted:
            break
    if json_file is not None:
        write_json(json_file, summary(outcomes, errors, settings))
    if errors:
        raise CommandError(f"{len(errors)} of {len(paths)} recordings failed; the lines above say why")
    if outcomes[-1].interrupted:
        raise CommandError(f"interrupted in {outcomes[-1].name}; what was written up to there is kept")


def find_source(source: str, rate: float | None, format: str | None, freq: float | None) -> tuple[list[Path], bool]:
    """The files of SOURCE, and whether it is a folder of them.

    Raises:
        UsageError: SOURCE and the options do not go together. RecordingError: there is no recording.
    """
    from ..tokens.recording import DATA_SUFFIX, META_SUFFIX, find_recordings
    if source.startswith("soapy:"):
        raise UsageError(f"{source}: live radios come with a later version; record to SigMF and run the recording")
    path = Path(source)
    is_sigmf = path.suffix in (META_SUFFIX, DATA_SUFFIX, ".sigmf") or path.with_name(path.name + META_SUFFIX).is_file()
    if rate is not None or format is not None:
        if path.is_dir() or is_sigmf:
            raise UsageError(f"--rate and --format are for raw IQ; {path} states its own, leave them out")
        if rate is None or format is None:
            raise UsageError("raw IQ needs both --rate HZ and --format TYPE, such as --rate 2e6 --format ci16_le")
        return [path], False
    if freq is not None:
        raise UsageError("--freq is for raw IQ, with --rate and --format; SigMF states its own frequency")
    if path.is_file() and not is_sigmf:
        raise UsageError(f"{path} is not SigMF; give --rate HZ and --format TYPE (cf32_le, ci16_le, cu8, ...) for raw IQ")
    return find_recordings(path), path.is_dir()


def _open(path: Path, rate: float | None, format: str | None, freq: float | None):
    from ..tokens.recording import Recording
    return Recording.open(path) if rate is None else Recording.open_raw(path, rate, format, center_freq=freq)


def summary(outcomes: list[Outcome], errors: list[str], settings: RunSettings) -> dict:
    """The content of --json."""
    return {"model": settings.model, "false_alarm_rate": settings.false_alarm_rate, "average": settings.average,
            "frames": sum(o.n_frames for o in outcomes), "dropped_frames": sum(o.n_dropped for o in outcomes),
            "events": sum(o.n_events for o in outcomes), "recordings": [o.as_dict() for o in outcomes], "errors": errors}


def _named_path(path: Path | None, name: str, folder: bool) -> Path | None:
    """The file of one recording; in a folder the recording's name is added to the file's."""
    return path.with_name(f"{path.stem}_{name}{path.suffix}") if path is not None and folder else path
