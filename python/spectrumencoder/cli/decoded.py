# SPDX-License-Identifier: GPL-3.0-or-later
"""Output of ``decode`` for decoded groups: arrays, lines of a table, a summary."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

FLOAT32_BYTES = 4


def join(groups: list, codec) -> dict[str, np.ndarray]:
    """The arrays of --npz over all F frames: spectra (F, N) dBFS; frequencies_hz (F, N), or (N,) if it is the same for all;
    times_s (F,) POSIX, NaN where unknown; frame_start, frame_hop, rx_freq_hz (NaN: unknown), rx_rate_hz, average, floor_dbfs,
    band (F,); label (F,) and confidence (F,) to 1/32, from the encoder ("" and NaN for frames of PDUs
    without classes)."""
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
    """The content of --json. gaps: number of groups that do not begin at the end of the last one (retunes, lost groups)."""
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
