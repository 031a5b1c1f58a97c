# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples of anomalies at baseband, complex64 (count,), before level and frequency are applied."""

from __future__ import annotations

import numpy as np

from .signal import Emission, frequency_modulate, ramp, smooth, tiles
from .waveforms import WAVEFORMS

FADE_SAMPLES = 64
FLAT_ROLLOFF = 0.1      # rolloff of flat_band: its flat part is width / 1.1 between the 6 dB points
_SWEPT_SHARE = 0.95     # share of a sweep's width that is swept; its skirts take the rest


def steady(rng: np.random.Generator, count: int) -> np.ndarray:
    """A carrier at 0 Hz."""
    return np.full(count, np.exp(2j * np.pi * rng.uniform()), np.complex64)


def white(rng: np.random.Generator, count: int) -> np.ndarray:
    """White noise over the whole rate."""
    out = np.empty(count, np.complex64)
    for part in (out.real, out.imag):
        for tile in tiles(count):
            part[tile] = rng.standard_normal(tile.stop - tile.start)
    return out


def flat_band(rng: np.random.Generator, count: int, samp_rate: float, width: float) -> np.ndarray:
    """Noise with a flat spectrum that has fallen to nothing at the edges of width."""
    return WAVEFORMS["band_noise"].function(rng, count, samp_rate, bandwidth_hz=width / (1 + FLAT_ROLLOFF), rolloff=FLAT_ROLLOFF)


def sweep(rng: np.random.Generator, count: int, samp_rate: float, width: float, period: float) -> np.ndarray:
    """A carrier that sweeps over width again and again in ``period`` samples, up or down."""
    place = (np.arange(count) / period) % 1.0 - 0.5
    return frequency_modulate(rng.choice([-1.0, 1.0]) * _SWEPT_SHARE * width * place, samp_rate, rng.uniform(0, 2 * np.pi))


def pulses(rng: np.random.Generator, count: int, samp_rate: float, width: float, period: float, duty: float) -> Emission:
    """``flat_band`` keyed on for the share ``duty`` of every ``period`` samples, with its intervals."""
    gate = ((np.arange(count) / period) % 1.0 < duty).astype(np.float32)
    edges = np.flatnonzero(np.diff(gate, prepend=0, append=0))
    rise = min(4 * samp_rate / width, 0.25 * duty * period)
    iq = flat_band(rng, count, samp_rate, width) * smooth(gate, rise).astype(np.float32)
    return Emission(iq, list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)))


def waveform_of(seed: int, waveform: str, params: dict, count: int, samp_rate: float) -> Emission:
    """A waveform of the simulator to replace another, with unit mean power while on."""
    return WAVEFORMS[waveform].emit(np.random.default_rng([seed, 0xDC]), count, samp_rate, **params)


def at_power(iq: np.ndarray, power: float, on: list[tuple[int, int]] | None = None) -> np.ndarray:
    """Fade in and out, then scale to this mean power over the intervals (None: over all)."""
    iq = ramp(iq, min(FADE_SAMPLES, len(iq) / 20))
    own = mean_power(iq, on)
    return iq * np.float32(np.sqrt(power / own)) if own > 0 else iq


def mean_power(iq: np.ndarray, on: list[tuple[int, int]] | None = None) -> float:
    """Mean power over the intervals (None: over all); 0 if there is no interval."""
    parts = [iq] if on is None else [iq[a:b] for a, b in on]
    count = sum(len(p) for p in parts)
    return sum(float(np.vdot(p, p).real) for p in parts) / count if count else 0.0
