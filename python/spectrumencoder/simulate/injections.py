# SPDX-License-Identifier: GPL-3.0-or-later
"""Levels and truth of anomalies; ``inject`` puts the four simplest kinds into samples at a given place and level.

INR is the anomaly's mean power while on, over the power of noise and signals in its own bins and samples. A tone's own width is
one bin of a 1024-bin frame. Three kinds of ``anomalies.py`` use another level: see ``LEVELS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .anomaly_shapes import FADE_SAMPLES, flat_band, steady, white
from .signal import fade, mix, pieces, power_spectrum, ramp

KINDS = ("tone", "scont", "pulse", "wideband")
FRAME_BINS = 1024
NOTHING_THERE = "there is neither noise nor signal in the anomaly's bins; its INR is not defined"
GENERATOR = "gr-spectrumencoder simulator"
# kind with a level other than INR -> (key in a truth file, name in an annotation)
LEVELS = {"missing": ("snr_db", "SNR of the absent signal"), "stealth": ("psd_db", "PSD over the floor's"),
          "spoof": ("to_authentic_db", "power over the authentic signal's")}


@dataclass(frozen=True)
class Truth:
    """Kind, place and level of an anomaly. Frequencies are absolute if the recording's centre is known, else offsets from it.

    Attributes:
        level_db: the INR, or the level that LEVELS names for the kind.
        details: further facts (waveforms, origin).
    """

    kind: str
    sample_start: int
    sample_count: int
    freq_center_hz: float
    bandwidth_hz: float
    level_db: float
    details: dict = field(default_factory=dict)

    def as_dict(self) -> dict:
        """The truth for a truth file, with the level under its own key."""
        key, _ = LEVELS.get(self.kind, ("inr_db", "INR"))
        return {"kind": self.kind, "sample_start": self.sample_start, "sample_count": self.sample_count,
                "freq_center_hz": self.freq_center_hz, "bandwidth_hz": self.bandwidth_hz, key: self.level_db,
                **({"details": self.details} if self.details else {})}

    def as_annotation(self) -> dict:
        """A SigMF annotation for ``sigmf_writer.write_recording``."""
        _, name = LEVELS.get(self.kind, ("inr_db", "INR"))
        return note(self.sample_start, self.sample_count, f"anomaly: {self.kind}",
                    f"injected; {name} {self.level_db:g} dB; truth", self.freq_center_hz, self.bandwidth_hz)


def note(start: int, count: int, label: str, comment: str, freq_hz: float | None = None, width_hz: float = 0.0) -> dict:
    """A SigMF annotation of the simulator."""
    fields = {"core:sample_start": start, "core:sample_count": count, "core:label": label, "core:comment": comment,
              "core:generator": GENERATOR}
    if freq_hz is not None:
        fields |= {"core:freq_lower_edge": freq_hz - width_hz / 2, "core:freq_upper_edge": freq_hz + width_hz / 2}
    return fields


def power_in_band(iq: np.ndarray, samp_rate: float, freq_offset_hz: float, bandwidth_hz: float,
                  fft_size: int = 4096) -> float:
    """Mean power of iq (n,) within freq_offset_hz -+ bandwidth_hz / 2. A bin partly inside counts in part."""
    psd = power_spectrum(iq, fft_size)
    step = samp_rate / len(psd)
    freq = (np.arange(len(psd)) - len(psd) // 2) * step
    share = np.clip((bandwidth_hz / 2 + step / 2 - np.abs(freq - freq_offset_hz)) / step, 0, 1)
    return float(np.sum(psd * share))


def background_in_band(iq: np.ndarray, samp_rate: float, freq_offset_hz: float, bandwidth_hz: float) -> float:
    """Mean power in a band with equal weight for all samples, unlike ``power_in_band``, which weights bursts unevenly.

    The whole stretch is one transform, with ends faded over 256 samples. So strong signals elsewhere do not leak in.

    Raises:
        ValueError: the band holds no power.
    """
    n = len(iq)
    window = ramp(np.ones(n, np.float32), min(256, n / 50))
    psd = np.abs(np.fft.fft(iq * window)) ** 2 / (n * float(np.sum(window ** 2)))
    distance = np.abs(np.fft.fftfreq(n, 1 / samp_rate) - freq_offset_hz)
    distance = np.minimum(distance, samp_rate - distance)
    power = float(np.sum(psd * np.clip((bandwidth_hz / 2 - distance) * n / samp_rate + 0.5, 0, 1)))
    if not power > 0:
        raise ValueError(NOTHING_THERE)
    return power


def check_place(samp_rate: float, n: int, start: int, count: int, freq_offset_hz: float, width: float) -> None:
    """Raise ValueError if the anomaly does not lie within n samples and the band."""
    if start < 0 or count < 1 or start + count > n:
        raise ValueError(f"anomaly at samples {start}..{start + count} lies outside 0..{n}")
    if abs(freq_offset_hz) + width / 2 > samp_rate / 2:
        raise ValueError(f"anomaly at {freq_offset_hz:g} Hz, {width:g} Hz wide, does not fit in {samp_rate:g} Hz")


def own_width(kind: str, samp_rate: float) -> float | None:
    """Width in Hz if the kind has a fixed one, else None."""
    if kind in ("tone", "jam_tone"):
        return samp_rate / FRAME_BINS
    return float(samp_rate) if kind == "wideband" else None


class Change(NamedTuple):
    """Samples to add from ``start`` on."""

    start: int
    iq: np.ndarray

    def applied(self, block: np.ndarray, first: int) -> np.ndarray:
        """New samples from those (n,) that begin at sample ``first``."""
        low, high = max(self.start, first), min(self.start + len(self.iq), first + len(block))
        if low >= high:
            return block
        out = block.copy()
        out[low - first:high - first] += self.iq[low - self.start:high - self.start]
        return out


def inject(iq: np.ndarray, samp_rate: float, kind: str, rng: np.random.Generator, **place) -> tuple[np.ndarray, Truth]:
    """Add one anomaly to complex64 (n,). Returns new samples and the truth; the input is unchanged. See ``injection``."""
    change, truth = injection(lambda start, count: iq[start:start + count], len(iq), samp_rate, kind, rng, **place)
    return change.applied(np.array(iq, np.complex64), 0), truth


def injection(samples: Callable[[int, int], np.ndarray], n: int, samp_rate: float, kind: str, rng: np.random.Generator, *,
              inr_db: float, freq_offset_hz: float = 0.0, bandwidth_hz: float | None = None, sample_start: int = 0,
              sample_count: int | None = None, center_freq_hz: float = 0.0) -> tuple[Change, Truth]:
    """The change and the truth of one anomaly for n samples; ``samples`` gives only its stretch (start, count).

    Args:
        kind: "tone", a carrier; "scont", a new steady signal with a flat, noise-like spectrum; "pulse", the same but short
            (default 1 ms or an eighth of the samples); "wideband", a barrage of white noise over the whole rate.
        bandwidth_hz: width of scont and pulse; default 1/20 and 1/4 of the rate.
        sample_start, sample_count: place of the anomaly; by default it lasts to the end.

    Raises:
        ValueError: there is no such kind; the anomaly does not lie within the samples or the band; its level has no reference.
    """
    if kind not in KINDS:
        raise ValueError(f"anomaly {kind!r} is none of {', '.join(KINDS)}")
    if sample_count is None:
        sample_count = n - sample_start
        if kind == "pulse":
            sample_count = max(1, min(round(1e-3 * samp_rate), sample_count // 8))
    width = _width(kind, samp_rate, bandwidth_hz)
    if kind == "wideband" and freq_offset_hz:
        raise ValueError(f"a wideband anomaly fills the rate: freq_offset_hz {freq_offset_hz:g} must be 0")
    check_place(samp_rate, n, sample_start, sample_count, freq_offset_hz, width)
    background = power_in_band(samples(sample_start, sample_count), samp_rate, freq_offset_hz, width)
    if not background > 0:
        raise ValueError(NOTHING_THERE)
    if kind == "tone":
        shape = steady(rng, sample_count)
    else:
        shape = white(rng, sample_count) if kind == "wideband" else flat_band(rng, sample_count, samp_rate, width)
    power = np.mean([np.mean(np.abs(part) ** 2) for part in pieces(shape)])
    shape *= np.float32(np.sqrt(10 ** (inr_db / 10) * background / power))
    shape = fade(shape, min(FADE_SAMPLES, sample_count / 20))
    shape = mix(shape, freq_offset_hz, samp_rate, sample_start, out=shape)
    truth = Truth(kind, sample_start, sample_count, center_freq_hz + freq_offset_hz, width, float(inr_db))
    return Change(sample_start, shape), truth


def _width(kind: str, samp_rate: float, bandwidth_hz: float | None) -> float:
    own = own_width(kind, samp_rate)
    if own is not None:
        if bandwidth_hz is not None:
            raise ValueError(f"a {kind} has its own width; bandwidth_hz {bandwidth_hz:g} cannot be set")
        return own
    width = float(bandwidth_hz) if bandwidth_hz is not None else samp_rate / (20 if kind == "scont" else 4)
    if not 0 < width <= samp_rate:
        raise ValueError(f"bandwidth_hz {width:g} is outside 0..{samp_rate:g}")
    return width
