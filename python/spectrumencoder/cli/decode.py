# SPDX-License-Identifier: GPL-3.0-or-later
"""``spectrumencoder decode``: the file that ``run --encoded`` wrote, back to spectra. What is damaged is told and passed over."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from .console import NOTES, OUT, check_writable, progress_bar, write_bytes, write_json
from .errors import CommandError, UsageError

FLOAT32_BYTES = 4


def decode(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What run --encoded, or an encoded port, has written.")],
    model: Annotated[str, typer.Option(help="The model that encoded: name of a shipped one, or a .safetensors file.")] = "base",
    npz: Annotated[Path | None, typer.Option(metavar="FILE.npz", help="Write spectra, frequencies and times as NumPy "
                                             "arrays.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE.csv", help="Write one line per spectrum: time, centre, "
                                                  "rate, class and its confidence, then the bins in dBFS.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the summary here.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
):
    """Decode compressed spectra. Exit status 1 when something of the file was lost; the rest is written all the same."""
    if not file.is_file():
        raise UsageError(f"no file {file}; name one that run --encoded has written")
    if file.stat().st_size == 0:
        raise CommandError(f"{file} is empty: no spectra have been encoded into it")
    check_writable(npz, csv_file, json_file)
    from ..encoder.model_file import find_model, load
    from ..encoder.quantise import Codec
    codec = Codec(load(find_model(model)))
    groups, lost = decode_file(file.read_bytes(), codec, quiet)
    spectra = join(groups, codec)
    result = summary(file, spectra, groups, lost, codec)
    if npz is not None:
        content = io.BytesIO()
        np.savez(content, **spectra)
        write_bytes(npz, content.getvalue())
    if csv_file is not None:
        write_bytes(csv_file, table(spectra).encode())
    if json_file is not None:
        write_json(json_file, result)
    if not quiet:
        _print(result)
    if lost:
        raise CommandError(f"{file}: {len(lost)} piece{'s' * (len(lost) != 1)} of it could not be decoded; the first, at byte "
                           f"{lost[0]['offset']}: {lost[0]['error']}")


def decode_file(content: bytes, codec, quiet: bool = True) -> tuple[list, list[dict]]:
    """The decoded groups of a file of PDUs, and what was lost: {offset, error} each."""
    from ..encoder.pdu import CodecError, iterate
    groups, lost = [], []
    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task("decoding", total=len(content))
        for offset, unit in iterate(content):
            bar.update(task, completed=offset)
            try:
                if isinstance(unit, CodecError):
                    raise unit
                groups.append(codec.decode(unit))
            except CodecError as error:
                lost.append({"offset": offset, "error": str(error)})
    return groups, lost


def join(groups: list, codec) -> dict[str, np.ndarray]:
    """The arrays of --npz over all F frames: spectra (F, N) dBFS; frequencies_hz (F, N), or (N,) where it is the same for all;
    times_s (F,) POSIX, NaN where unknown; frame_start, frame_hop, rx_freq_hz (NaN: unknown), rx_rate_hz, average, floor_dbfs,
    band (F,); label (F,) and confidence (F,) to 1/32 as the encoder gave them, where PDUs tell classes ("" and NaN for frames of
    those that do not)."""
    n_bins = codec.file.contract["encoder"]["fft_size"]

    def rows(values, dtype, shape=()):
        parts = [np.asarray(values(g), dtype) for g in groups]
        return np.concatenate([np.broadcast_to(p, (g.header.n_frames, *shape)) for p, g in zip(parts, groups, strict=True)]
                              ) if groups else np.zeros((0, *shape), dtype)

    known = lambda value: np.nan if value is None else value  # noqa: E731
    out = {"spectra": rows(lambda g: g.spectra, np.float32, (n_bins,)),
           "times_s": rows(lambda g: known(g.header.times()), np.float64),
           "frame_start": rows(lambda g: g.header.frame_start + np.arange(g.header.n_frames) * g.header.frame_hop, np.uint64),
           "frame_hop": rows(lambda g: g.header.frame_hop, np.uint64),
           "rx_freq_hz": rows(lambda g: known(g.header.rx_freq), np.float64),
           "rx_rate_hz": rows(lambda g: g.header.rx_rate, np.float64),
           "average": rows(lambda g: g.header.average, np.uint8), "floor_dbfs": rows(lambda g: g.floor, np.float32),
           "band": rows(lambda g: g.band, "U16")}
    bins = (np.arange(n_bins) - n_bins // 2) / n_bins
    places = np.stack((np.nan_to_num(out["rx_freq_hz"]), out["rx_rate_hz"]), axis=1)
    one = len(places) > 0 and (places == places[0]).all()
    frequencies = places[:, :1] + bins * places[:, 1:]
    out["frequencies_hz"] = frequencies[0] if one else frequencies
    if any(g.label is not None for g in groups):
        out["label"] = rows(lambda g: "" if g.label is None else g.label, f"U{max(map(len, codec.labels))}")
        out["confidence"] = rows(lambda g: known(g.confidence), np.float32)
    return out


def table(spectra: dict[str, np.ndarray]) -> str:
    """The content of --csv; bins to a hundredth of a dB."""
    n_frames, n_bins = spectra["spectra"].shape
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["time_s", "frame_start", "rx_freq_hz", "rx_rate_hz", "average", "floor_dbfs", "label",
                     "confidence", *(f"bin_{n}_dbfs" for n in range(n_bins))])
    for frame in range(n_frames):
        label, confidence = (spectra[k][frame] if k in spectra else none for k, none in (("label", ""), ("confidence", np.nan)))
        values = [spectra[k][frame] for k in ("times_s", "frame_start", "rx_freq_hz", "rx_rate_hz", "average", "floor_dbfs")]
        writer.writerow([*("" if np.isnan(v) else repr(v.item()) for v in values[:-1]), f"{values[-1]:.2f}", label,
                         "" if np.isnan(confidence) else f"{confidence:.3f}", *(f"{v:.2f}" for v in spectra["spectra"][frame])])
    return lines.getvalue()


def summary(file: Path, spectra: dict[str, np.ndarray], groups: list, lost: list[dict], codec) -> dict:
    """The content of --json. gaps: places where the next group does not begin where the last one ended (retunes, lost groups)."""
    n_frames, n_bins = spectra["spectra"].shape
    size = file.stat().st_size
    ends = [(g.header.frame_start, g.header.frame_start + g.header.n_frames * g.header.frame_hop) for g in groups]
    out = {"file": str(file), "model": codec.file.name, "pdus": len(groups), "frames": n_frames, "bytes": size,
           "bytes_per_spectrum": round(size / n_frames, 3) if n_frames else None,
           "compression": round(n_frames * n_bins * FLOAT32_BYTES / size, 2),
           "gaps": sum(this[0] != last[1] for last, this in zip(ends, ends[1:], strict=False)), "lost": lost}
    if n_frames:
        times = spectra["times_s"]
        low = spectra["rx_freq_hz"] - spectra["rx_rate_hz"] / 2
        high = spectra["rx_freq_hz"] + spectra["rx_rate_hz"] / 2
        out |= {"seconds": float((spectra["frame_hop"] / spectra["rx_rate_hz"]).sum()),
                "first_time_s": None if np.isnan(times[0]) else float(times[0]),
                "low_hz": None if np.isnan(low).all() else float(np.nanmin(low)),
                "high_hz": None if np.isnan(high).all() else float(np.nanmax(high))}
    if "label" in spectra:
        names, counts = np.unique(spectra["label"][spectra["label"] != ""], return_counts=True)
        out["labels"] = dict(zip(map(str, names), map(int, counts), strict=True))
    return out


def _print(result: dict):
    each = f", {result['bytes_per_spectrum']:.1f} bytes a spectrum ({result['compression']:g} times fewer than float32)" \
        if result["frames"] else ""
    gaps = f", {result['gaps']} gap{'s' * (result['gaps'] != 1)}" if result["gaps"] else ""
    OUT.print(f"{result['file']}: {result['frames']} spectra in {result['pdus']} PDUs, {result['bytes']} bytes{each}{gaps}",
              markup=False)
    for piece in result["lost"]:
        NOTES.print(f"lost at byte {piece['offset']}: {piece['error']}", markup=False)
