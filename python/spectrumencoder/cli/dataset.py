# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder dataset``: what recordings hold, and simulated ones with their truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..tokens.band_plan import band_of
from ..tokens.recording import Recording, RecordingError, find_recordings
from .console import NOTES, OUT, write_json
from .errors import CommandError, UsageError

FRAME_SAMPLES = 16 * 1024  # of the default frame: 16 windows of 1024 samples

app = typer.Typer(help="List, describe and simulate recordings.", no_args_is_help=True, rich_markup_mode="rich")
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the result as JSON.")]


@app.command("list")
def list_recordings(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of SigMF recordings (or one .sigmf-meta).")],
    json_file: JsonOption = None,
):
    """Table of the recordings in a folder: label, rate, centre, length, frames."""
    rows, broken = [], []
    for path in find_recordings(folder):
        try:
            rows.append(_row(Recording.open(path)))
        except RecordingError as error:
            broken.append(str(error))
    table = Table(box=None, header_style="bold")
    for title in ("recording", "label", "type"):
        table.add_column(title)
    for title in ("MS/s", "centre MHz", "band", "seconds", "frames", "marked"):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(row["name"], row["label"], row["datatype"], f"{row['samp_rate'] / 1e6:g}", _mhz(row["frequency_hz"]),
                      row["band"], f"{row['seconds']:.3f}", str(row["frames"]), str(row["annotations"]))
    _show(table)
    OUT.print(f"{len(rows)} recordings, {sum(r['seconds'] for r in rows):.1f} s, {sum(r['frames'] for r in rows)} frames "
              f"of {FRAME_SAMPLES} samples")
    for line in broken:
        NOTES.print(f"left out: {line}", style="yellow", markup=False)
    if json_file:
        write_json(json_file, {"recordings": rows, "left_out": broken})
    if broken:
        raise CommandError(f"{len(broken)} of {len(broken) + len(rows)} recordings cannot be read; the lines above say why")


@app.command("info")
def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .sigmf-meta (or its .sigmf-data).")],
    verify: Annotated[bool, typer.Option("--verify", help="Compare the samples with the checksum in the metadata.")] = False,
    json_file: JsonOption = None,
):
    """What one recording holds: captures, annotations, level, and on request whether its checksum is right."""
    recording = Recording.open(file)
    level = _level(recording)
    row = _row(recording) | {"n_samples": recording.n_samples, "n_channels": recording.n_channels, **level}
    row["checksum"] = "not checked"
    if verify:
        row["checksum"] = "right" if recording.verify() else "none in the metadata"
    row["captures"] = [{"sample_start": c.sample_start, "frequency_hz": c.frequency_hz, "posix_time": c.posix_time}
                       for c in recording.captures]
    table = Table(box=None, show_header=False)
    for key, value in row.items():
        if key != "captures":
            table.add_row(key, f"{value:.6g}" if isinstance(value, float) and key != "frequency_hz" else str(value))
    for c in recording.captures:
        table.add_row("capture", f"from sample {c.sample_start}: centre {_mhz(c.frequency_hz)} MHz, time {c.posix_time}")
    _show(table)
    _print_annotations(recording)
    if json_file:
        write_json(json_file, row)


@app.command("synth")
def synth(
    out: Annotated[Path, typer.Option("--out", metavar="NAME", help="Writes NAME.sigmf-data, .sigmf-meta, .truth.json.")],
    seed: Annotated[int, typer.Option(min=0, help="Draws the channel plan, the receiver and the anomaly's place.")] = 7,
    noise_seed: Annotated[int | None, typer.Option(min=0, help="Draws traffic and noise. [default: the seed]")] = None,
    rate: Annotated[float, typer.Option(help="Sample rate, Hz.")] = 2e6,
    seconds: Annotated[float, typer.Option(help="Length.")] = 0.524288,
    freq: Annotated[float, typer.Option(help="Centre frequency, Hz; the signals are those of its band.")] = 868.5e6,
    noise: Annotated[float, typer.Option(help="Noise power over the whole rate, dBFS.")] = -36.0,
    anomaly: Annotated[str, typer.Option(metavar="KIND", help="none, tone, scont, pulse or wideband.")] = "scont",
    inr: Annotated[float, typer.Option(help="Anomaly over what is in its bins, dB.")] = 15.0,
    offset: Annotated[float | None, typer.Option(help="The anomaly's offset from the centre, Hz. [default: free]")] = None,
    width: Annotated[float | None, typer.Option(help="The anomaly's width, Hz (scont and pulse).")] = None,
    start: Annotated[float | None, typer.Option(help="When the anomaly begins, s.")] = None,
    length: Annotated[float | None, typer.Option(help="How long it lasts, s.")] = None,
    datatype: Annotated[str, typer.Option(help="ci8, cu8, ci16_le or cf32_le.")] = "ci8",
):
    """Simulate a band with one anomaly, write it as SigMF with its truth. The same options give the same bytes.

    Without options it is the recording that `make demo` uses (examples/recordings/demo_scene).
    """
    from ..simulate.synthesis import Synthesis, write

    if not rate > 0 or not seconds > 0:
        raise UsageError(f"--rate {rate:g} and --seconds {seconds:g} must be positive")
    what = Synthesis(seed=seed, noise_seed=noise_seed, samp_rate=rate, seconds=seconds, center_freq_hz=freq,
                     noise_dbfs=noise, anomaly=anomaly, inr_db=inr, anomaly_offset_hz=offset, anomaly_width_hz=width,
                     anomaly_start_s=start, anomaly_seconds=length, datatype=datatype)
    try:
        with NOTES.status(f"simulating {seconds:g} s at {rate / 1e6:g} MS/s"):
            meta_path = write(what, out)
    except ValueError as error:
        raise UsageError(str(error)) from error
    OUT.print(str(meta_path), markup=False)


def _row(recording: Recording) -> dict:
    """What the table shows of one recording, as numbers."""
    labels = recording.annotations
    return {"name": recording.name, "label": labels[0].label if labels else "", "datatype": recording.datatype,
            "samp_rate": recording.samp_rate, "frequency_hz": recording.frequency_hz,
            "band": band_of(recording.frequency_hz), "seconds": recording.duration_s,
            "frames": recording.n_samples // FRAME_SAMPLES, "annotations": len(labels)}


def _level(recording: Recording) -> dict:
    """Mean power and the share of clipped samples over at most the first 4 million samples."""
    import numpy as np

    iq = recording.read(0, 1 << 22)
    peak = np.maximum(np.abs(iq.real), np.abs(iq.imag))
    clipped = float(np.mean(peak >= 0.99)) if recording.datatype[1] != "f" else 0.0
    power = float(np.mean(np.abs(iq) ** 2))
    return {"power_dbfs": 10 * float(np.log10(max(power, 1e-20))), "clipped_share": clipped}


def _print_annotations(recording: Recording, limit: int = 20):
    table = Table(box=None, header_style="bold")
    for title in ("from sample", "samples", "label", "MHz", "comment"):
        table.add_column(title)
    for note in recording.annotations[:limit]:
        edges = "" if note.freq_lower_hz is None else f"{_mhz(note.freq_lower_hz)}-{_mhz(note.freq_upper_hz)}"
        table.add_row(str(note.sample_start), str(note.sample_count), note.label, edges, note.comment)
    _show(table)
    if len(recording.annotations) > limit:
        OUT.print(f"... and {len(recording.annotations) - limit} more annotations")


def _show(table: Table):
    """A table as wide as the terminal; into a pipe or a file as wide as it needs."""
    (OUT if OUT.is_terminal else Console(width=220, highlight=False)).print(table)


def _mhz(hz: float | None) -> str:
    return "-" if hz is None else f"{hz / 1e6:.4f}".rstrip("0").rstrip(".")
