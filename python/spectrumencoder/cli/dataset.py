# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder dataset``: what recordings hold, public ones to download, and simulated ones with their truth."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..tokens.band_plan import band_of
from .console import NOTES, OUT, check_writable, progress_bar, write_json
from .errors import CommandError, UsageError
from .options import forgotten_unit, hz

if TYPE_CHECKING:
    from ..recordings import Recording

FRAME_SAMPLES = 16 * 1024  # the default frame: 16 windows of 1024 samples

app = typer.Typer(help="List, describe, download, simulate and compose recordings.",
                  no_args_is_help=True, rich_markup_mode="rich")
ManifestOption = Annotated[Path | None, typer.Option("--manifest", metavar="FILE", help="A manifest of public recordings. "
                                                    "[default: the shipped one]")]
MAX_UNREACHABLE = 3  # recordings in a row whose server is unreachable, before the rest is skipped
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the result as JSON.")]


@app.command("list")
def list_recordings(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of SigMF recordings (or one .sigmf-meta).")],
    json_file: JsonOption = None,
):
    """Table of the recordings in a folder: label, rate, centre, length, frames."""
    from ..recordings import RecordingError, find_recordings, open_recording

    rows, broken = [], []
    for path in find_recordings(folder):
        try:
            rows.append(_row(open_recording(path)))
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
    file: Annotated[Path | None, typer.Argument(metavar="[FILE|DIR]", help="A .sigmf-meta (or its .sigmf-data), or a folder "
                                                "of them; without it, the manifest of public recordings.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare the samples with the checksum in the metadata.")] = False,
    manifest: ManifestOption = None,
    json_file: JsonOption = None,
):
    """Show one recording's content, or count a folder's or a manifest's recordings by class and licence."""
    if file is not None and manifest is not None:
        raise UsageError(f"{file} and --manifest {manifest}: name one of the two")
    if file is None and verify:
        raise UsageError("--verify needs recordings to compare; name a file or a folder")
    if file is None:
        return _info_manifest(manifest, json_file)
    if file.is_dir():
        return _info_folder(file, verify, json_file)
    _info_file(file, verify, json_file)


@app.command("fetch")
def fetch(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the recordings; made if it is "
                                      "missing.")] = Path("recordings"),
    manifest: ManifestOption = None,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="CLASS", help="Only recordings of this class, such as LoRa; "
                                                   "may be given again.")] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", metavar="URL", help="A mirror: URL/repository/commit/path. "
                                                 "[default: GitHub]")] = None,
    tries: Annotated[int, typer.Option(min=1, max=100, help="Transfers begun per recording before it is given up.")] = 4,
    timeout: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds of silence that end a transfer.")] = 30.0,
    json_file: JsonOption = None,
):
    """Download public recordings, check their hashes, and write them as SigMF, labelled for training.

    Existing files are not fetched again, and interrupted downloads are resumed. The licences are those of the
    recordings' own repositories: `dataset info` counts them, and each recording's metadata states its own.
    """
    from ..training import fetch as fetching
    from ..training.public_recordings import read_manifest

    rows = _of_classes(read_manifest(manifest), only)
    check_writable(json_file)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"--out {out} cannot be made ({error.strerror}); name another folder") from error
    sizes, present, failed, unreachable = [row.size_bytes for row in rows], [], [], 0
    downloaded: dict[str, int] = {}
    with progress_bar() as bar:
        task = bar.add_task("fetch", total=sum(sizes) or len(rows))
        for number, row in enumerate(rows):
            before = sum(sizes[:number]) if sum(sizes) else number
            bar.update(task, completed=before, description=f"{number + 1}/{len(rows)} {row.name}")
            step = (lambda done, before=before: bar.update(task, completed=before + done)) if sum(sizes) else None
            try:
                n_bytes = fetching.fetch(row, out, base_url=base_url or fetching.GITHUB, tries=tries, timeout_s=timeout,
                                         progress=step)
            except fetching.FetchError as error:
                failed.append(str(error))
                unreachable = unreachable + 1 if isinstance(error, fetching.UnreachableError) else 0
                if unreachable >= MAX_UNREACHABLE:
                    break
                continue
            unreachable = 0
            if n_bytes < 0:
                present.append(row.name)
            else:
                downloaded[row.name] = n_bytes
    untried = len(rows) - len(present) - len(downloaded) - len(failed)
    if json_file:
        write_json(json_file, {"fetched": downloaded, "present": present, "failed": failed, "untried": untried})
    for line in failed:
        NOTES.print(f"not fetched: {line}", style="yellow", markup=False)
    OUT.print(f"{len(downloaded)} recordings fetched into {out} ({sum(downloaded.values()) / 1e6:.1f} MB), {len(present)} there "
              "already", markup=False)
    if failed:
        raise CommandError(f"{len(failed)} of {len(rows)} recordings could not be fetched, for the reasons above"
                           + (f", and {untried} were not tried since no server answers" if untried else "")
                           + "; call again to go on")


@app.command("synth")
def synth(
    out: Annotated[Path, typer.Option("--out", metavar="NAME", help="Writes NAME.sigmf-data, .sigmf-meta, .truth.json.")],
    seed: Annotated[int, typer.Option(min=0, help="Draws the channel plan, the receiver and the anomaly's place.")] = 7,
    noise_seed: Annotated[int | None, typer.Option(min=0, help="Draws traffic and noise. [default: the seed]")] = None,
    rate: Annotated[float, typer.Option(parser=hz, metavar="HZ", help="Sample rate, Hz.")] = 2e6,
    seconds: Annotated[float, typer.Option(help="Length.")] = 0.524288,
    freq: Annotated[float, typer.Option(parser=hz, metavar="HZ", help="Centre frequency, Hz; the signals are those of its "
                                        "band.")] = 868.5e6,
    noise: Annotated[float, typer.Option(help="Noise power over the whole rate, dBFS.")] = -36.0,
    anomaly: Annotated[str, typer.Option(metavar="KIND", help="none, or a kind: tone, scont, pulse, wpulse, wideband, chirp, "
                                      "hopper, detshift, dclass, missing, spoof, jam_tone, jam_swept, jam_pulsed, jam_broadband, "
                                      "stealth.")] = "scont",
    inr: Annotated[float | None, typer.Option(help="Anomaly over what is in its bins, dB; missing, spoof and stealth have "
                                              "levels of their own. [default: 15; spoof 3, stealth -3]")] = None,
    offset: Annotated[float | None, typer.Option(parser=hz, metavar="HZ", help="The anomaly's offset from the centre, Hz. "
                                                 "[default: free]")] = None,
    width: Annotated[float | None, typer.Option(parser=hz, metavar="HZ", help="The anomaly's width, Hz, if its kind has none "
                                                "of its own.")] = None,
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
    for line in forgotten_unit(rate):
        NOTES.print(f"note: {line}", markup=False)
    what = Synthesis(seed=seed, noise_seed=noise_seed, samp_rate=rate, seconds=seconds, center_freq_hz=freq,
                     noise_dbfs=noise, anomaly=anomaly, inr_db=inr, anomaly_offset_hz=offset, anomaly_width_hz=width,
                     anomaly_start_s=start, anomaly_seconds=length, datatype=datatype)
    try:
        with NOTES.status(f"simulating {seconds:g} s at {rate / 1e6:g} MS/s"):
            meta_path = write(what, out)
    except ValueError as error:
        raise UsageError(str(error)) from error
    OUT.print(str(meta_path), markup=False)


@app.command("compose")
def compose(
    plan: Annotated[str, typer.Argument(metavar="PLAN.toml", help="A plan, or the name of a shipped one: sparse_433, sparse_868, "
                                        "dense, carriers, cellular, nearly_empty.")],
    out: Annotated[Path, typer.Option("--out", metavar="NAME", help="Writes NAME.sigmf-data and NAME.sigmf-meta.")],
    corpus: Annotated[list[Path] | None, typer.Option("--corpus", metavar="DIR", help="A folder of labelled recordings; may be "
                                                      "given again.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Length. [default: the plan's]")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Draws devices, times, levels and noise. [default: the plan's]")] = None,
    anomalies: Annotated[bool, typer.Option(help="Put in the plan's anomalies.")] = True,
):
    """Compose a band out of real recordings by a plan, and write it as SigMF with its truth as annotations.

    The same plan, recordings and seed give the same bytes.
    """
    from dataclasses import replace
    from time import monotonic

    from ..simulate.compose.checks import PlanError
    from ..simulate.compose.plan import MAX_SECONDS, read_plan
    from ..simulate.compose.writing import compose as write
    from ..training.corpus import CorpusError

    if seconds is not None and not 1e-3 <= seconds <= MAX_SECONDS:
        raise UsageError(f"--seconds {seconds:g} is outside 0.001..{MAX_SECONDS:g}")
    for folder in corpus or ():
        if not folder.is_dir():
            raise UsageError(f"--corpus {folder}: is no folder; name one of recordings")
    begin = monotonic()
    try:
        what = read_plan(plan)
        what = replace(what, seconds=what.seconds if seconds is None else seconds, seed=what.seed if seed is None else seed)
        if not anomalies:
            what = replace(what, anomalies=())
        with progress_bar() as bar:
            task = bar.add_task(f"composing {what.name}", total=what.n_samples)
            made = write(what, corpus or [], out, progress=lambda done: bar.update(task, completed=done))
    except PlanError as error:
        raise UsageError(str(error)) from error
    except CorpusError as error:
        raise CommandError(str(error)) from error
    took = monotonic() - begin
    OUT.print(f"{made.path}: {what.seconds:g} s, {made.n_bursts} bursts and continuous signals, {made.n_anomalies} anomalies, "
              f"made in {took:.1f} s", markup=False)


def _info_file(file: Path, verify: bool, json_file: Path | None):
    """Captures, annotations, level, and on request whether the checksum is right."""
    from ..recordings import open_recording

    recording = open_recording(file)
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


def _info_folder(folder: Path, verify: bool, json_file: Path | None):
    """Counts, seconds and licences of the recordings in a folder; unreadable or changed ones are named."""
    from ..recordings import RecordingError, find_recordings, open_recording

    rows, broken, unverified = [], [], 0
    for path in find_recordings(folder):
        try:
            recording = open_recording(path)
            if verify:
                unverified += not recording.verify()
        except RecordingError as error:
            broken.append(str(error))
            continue
        comments = [dict(part.strip().split("=", 1) for part in note.comment.split(";") if "=" in part)
                    for note in recording.annotations if "class=" in (note.comment or "")]
        rows.append({"class": comments[0]["class"] if comments else "not labelled",
                     "licence": recording.license or "none stated",
                     "seconds": recording.duration_s, "bytes": recording.size_bytes})
    _print_counts(str(folder), rows, json_file, {"unreadable": broken})
    if unverified:
        NOTES.print(f"{unverified} recordings have no checksum in their metadata", style="yellow")
    for line in broken:
        NOTES.print(f"left out: {line}", style="yellow", markup=False)
    if broken:
        raise CommandError(f"{len(broken)} of {len(broken) + len(rows)} recordings cannot be read; the lines above say why")


def _info_manifest(manifest: Path | None, json_file: Path | None):
    from ..training.public_recordings import read_manifest

    rows = [{"class": row.cls, "licence": row.licence_url or ("none stated" if row.licence == "none" else row.licence),
             "seconds": row.n_samples / row.sample_rate_hz, "bytes": row.size_bytes, "repository": row.repository}
            for row in read_manifest(manifest)]
    _print_counts(str(manifest or "the shipped manifest"), rows, json_file,
                  {"repositories": dict(Counter(row["repository"] for row in rows).most_common())})


def _print_counts(title: str, rows: list[dict], json_file: Path | None, more: dict):
    """Recordings, seconds and bytes per class, recordings per licence and repository."""
    classes = {name: {"recordings": len(of), "seconds": sum(r["seconds"] for r in of), "bytes": sum(r["bytes"] for r in of)}
               for name in sorted({r["class"] for r in rows}) if (of := [r for r in rows if r["class"] == name])}
    licences = dict(Counter(r["licence"] for r in rows).most_common())
    table = Table(box=None, header_style="bold")
    table.add_column("class")
    for name in ("recordings", "seconds", "MB"):
        table.add_column(name, justify="right")
    for name, row in classes.items():
        table.add_row(name, str(row["recordings"]), f"{row['seconds']:.2f}", f"{row['bytes'] / 1e6:.1f}")
    _show(table)
    OUT.print(f"{title}: {len(rows)} recordings, {sum(r['seconds'] for r in rows):.1f} s, "
              f"{sum(r['bytes'] for r in rows) / 1e6:.1f} MB", markup=False)
    for what, counts in (("licence", licences), *(("repository", more[k]) for k in ("repositories",) if k in more)):
        for name, count in counts.items():
            OUT.print(f"{what}: {name}: {count}", markup=False)
    if json_file:
        write_json(json_file, {"recordings": len(rows), "classes": classes, "licences": licences, **more})


def _of_classes(rows: list, only: list[str] | None) -> list:
    """The rows of the classes asked for; a class is named by its own name or by the label it is trained as."""
    from ..training.corpus import ALIASES

    if not only:
        return rows
    names = {name.lower() for row in rows for name in (row.cls, ALIASES.get(row.cls, row.cls))}
    if unknown := [name for name in only if name.lower() not in names]:
        raise UsageError(f"--only {unknown[0]}: the manifest has no such class, only {', '.join(sorted({r.cls for r in rows}))}")
    wanted = {name.lower() for name in only}
    return [row for row in rows if {row.cls.lower(), ALIASES.get(row.cls, row.cls).lower()} & wanted]


def _row(recording: Recording) -> dict:
    """The table's figures of one recording."""
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
