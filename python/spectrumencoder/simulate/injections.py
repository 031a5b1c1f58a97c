# SPDX-License-Identifier: GPL-3.0-or-later
"""Anomalies put into samples, simulated or recorded, with their truth.

INR is the anomaly's mean power while on over the power of noise and signals in the anomaly's own bins, measured in the
samples where it is put. A tone's own width is one bin of a 1024-bin frame.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from .signal import mix, power_spectrum, ramp
from .waveforms import WAVEFORMS

KINDS = ("tone", "scont", "pulse", "wideband")
_FRAME_BINS = 1024
_FADE_SAMPLES = 64


@dataclass(frozen=True)
class Truth:
    """What was put where. Frequencies are absolute where the recording's centre is known, else offsets from it."""

    kind: str
    sample_start: int
    sample_count: int
    freq_center_hz: float
    bandwidth_hz: float
    inr_db: float

    def as_dict(self) -> dict:
        return asdict(self)


def power_in_band(iq: np.ndarray, samp_rate: float, freq_offset_hz: float, bandwidth_hz: float,
                  fft_size: int = 4096) -> float:
    """Mean power of iq (n,) between freq_offset_hz -+ bandwidth_hz / 2; bins that lie in part within count in part."""
    psd = power_spectrum(iq, fft_size)
    step = samp_rate / len(psd)
    freq = (np.arange(len(psd)) - len(psd) // 2) * step
    share = np.clip((bandwidth_hz / 2 + step / 2 - np.abs(freq - freq_offset_hz)) / step, 0, 1)
    return float(np.sum(psd * share))


def inject(iq: np.ndarray, samp_rate: float, kind: str, rng: np.random.Generator, *, inr_db: float,
           freq_offset_hz: float = 0.0, bandwidth_hz: float | None = None, sample_start: int = 0,
           sample_count: int | None = None, center_freq_hz: float = 0.0) -> tuple[np.ndarray, Truth]:
    """Adds one anomaly to complex64 (n,); returns new samples and the truth. The input is left as it is.

    Args:
        kind: "tone", a carrier; "scont", a new steady signal of flat, noise-like spectrum; "pulse", the same, short
            (default 1 ms or an eighth of what there is); "wideband", a barrage of white noise over the whole rate.
        bandwidth_hz: of scont and pulse; default 1/20 and 1/4 of the rate.
        sample_start, sample_count: where; default from there to the end.

    Raises:
        ValueError: no such kind; it does not lie within the samples or the band; there is nothing to relate it to.
    """
    n = len(iq)
    if kind not in KINDS:
        raise ValueError(f"anomaly {kind!r} is none of {', '.join(KINDS)}")
    if sample_count is None:
        sample_count = n - sample_start
        if kind == "pulse":
            sample_count = max(1, min(round(1e-3 * samp_rate), sample_count // 8))
    if sample_start < 0 or sample_count < 1 or sample_start + sample_count > n:
        raise ValueError(f"anomaly at samples {sample_start}..{sample_start + sample_count} lies outside 0..{n}")
    width = _width(kind, samp_rate, bandwidth_hz)
    if kind == "wideband" and freq_offset_hz:
        raise ValueError(f"a wideband anomaly fills the rate: freq_offset_hz {freq_offset_hz:g} must be 0")
    if abs(freq_offset_hz) + width / 2 > samp_rate / 2:
        raise ValueError(f"anomaly at {freq_offset_hz:g} Hz, {width:g} Hz wide, does not fit in {samp_rate:g} Hz")
    stretch = slice(sample_start, sample_start + sample_count)
    background = power_in_band(iq[stretch], samp_rate, freq_offset_hz, width)
    if not background > 0:
        raise ValueError("there is neither noise nor signal in the anomaly's bins; its INR is not defined")
    shape = _shape(kind, rng, sample_count, samp_rate, width)
    shape = shape * np.float32(np.sqrt(10 ** (inr_db / 10) * background / np.mean(np.abs(shape) ** 2)))
    out = np.array(iq, np.complex64)
    out[stretch] += mix(ramp(shape, min(_FADE_SAMPLES, sample_count / 20)), freq_offset_hz, samp_rate, sample_start)
    return out, Truth(kind, sample_start, sample_count, center_freq_hz + freq_offset_hz, width, float(inr_db))


def _width(kind: str, samp_rate: float, bandwidth_hz: float | None) -> float:
    if kind in ("tone", "wideband"):
        if bandwidth_hz is not None:
            raise ValueError(f"a {kind} has its own width; bandwidth_hz {bandwidth_hz:g} cannot be set")
        return samp_rate / _FRAME_BINS if kind == "tone" else float(samp_rate)
    width = float(bandwidth_hz) if bandwidth_hz is not None else samp_rate / (20 if kind == "scont" else 4)
    if not 0 < width <= samp_rate:
        raise ValueError(f"bandwidth_hz {width:g} is outside 0..{samp_rate:g}")
    return width


def _shape(kind: str, rng: np.random.Generator, count: int, samp_rate: float, width: float) -> np.ndarray:
    if kind == "tone":
        return np.full(count, np.exp(2j * np.pi * rng.uniform()), np.complex64)
    if kind == "wideband":
        return (rng.standard_normal(count) + 1j * rng.standard_normal(count)).astype(np.complex64)
    rolloff = 0.1                                    # the edges of width are where the spectrum has fallen to nothing
    return WAVEFORMS["band_noise"].function(rng, count, samp_rate, bandwidth_hz=width / (1 + rolloff), rolloff=rolloff)
