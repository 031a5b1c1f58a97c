# SPDX-License-Identifier: GPL-3.0-or-later
"""Front ends: the smooth response that a receiver leaves on a recording's noise, and those of GNSS receivers, drawn.

What a network learns of them it has learnt of the receiver. Noise through the front end of a recording is noise: training
shows it so, and `evaluate control` asks. GNSS is the exception: its signals lie below the floor (a few tenths of a dB in the
spectrum at best), so that the label means "the noise of a GNSS front end" whatever one does.
"""

from __future__ import annotations

import numpy as np
from scipy import fft as sfft

from .augment import white
from .corpus import BLOCK, GAP_RATIO, Source

SMOOTH_TERMS = 8  # cosine terms of the log response that are kept: a receiver's filter is smooth, signals are not
MAX_BLOCKS = 4096
QUIETER = 0.05  # a recording has been quiet when its quietest 2 % of blocks lie this far under the median (power)
FILLS_BAND = ("LTE", "WiFi-OFDM")  # signals that leave too little beside them to see the front end while they are on: they must
# have been quiet, since the blocks with least power are else those that hold a part of a burst
SIGNAL_RATIO, SKIRT, MAX_SIGNAL_SHARE = 2.0, 3, 0.6  # bins above so many times the lower quartile, and so many bins beside them,
# hold signal; with more of them than that share there is no answer


def response(source: Source) -> np.ndarray | None:
    """Amplitude response (BLOCK,) float32 in FFT order, of unit mean power: the log spectrum of the quiet blocks, its first
    SMOOTH_TERMS cosine terms. Where a recording is never quiet, it is what lies beside the signal, bridged over it; None
    where there is nothing beside it. Kept on the source."""
    if "_front_end" not in source.__dict__:
        source.__dict__["_front_end"] = _response(source)
    return source.__dict__["_front_end"]


def _response(source: Source) -> np.ndarray | None:
    power = source._block_power
    least = float(np.quantile(power, 0.02)) + 1e-12
    fell_silent = least < QUIETER * float(np.median(power))
    if source.label in FILLS_BAND and not fell_silent:
        return None
    was_quiet = source.bursty or fell_silent
    level = least if fell_silent else source.quiet_power
    quiet = np.flatnonzero(power <= GAP_RATIO * level) if was_quiet else np.arange(len(power))
    quiet = quiet[np.unique(np.linspace(0, len(quiet) - 1, min(MAX_BLOCKS, len(quiet))).astype(int))]
    x = source.iq[:len(power) * BLOCK].reshape(-1, BLOCK)[quiet]
    spectra = np.abs(sfft.fft((x - x.mean()) * np.hanning(BLOCK).astype(np.float32), axis=1)) ** 2
    level = sfft.fftshift(spectra.mean(axis=0)) + 1e-20
    if not was_quiet and source.label not in ("GNSS", "noise"):
        signal = level > SIGNAL_RATIO * np.quantile(level, 0.25)
        signal = np.any([np.roll(signal, away) for away in range(-SKIRT, SKIRT + 1)], axis=0)
        if signal.mean() > MAX_SIGNAL_SHARE:
            return None
        beside = np.flatnonzero(~signal)
        level = np.exp(np.interp(np.arange(BLOCK), beside, np.log(level[beside]), period=BLOCK))
    terms = sfft.dct(np.log(level), norm="ortho")
    terms[SMOOTH_TERMS:] = 0.0
    amplitude = np.exp(0.5 * sfft.ifftshift(sfft.idct(terms, norm="ortho")))
    return (amplitude / np.sqrt(np.mean(amplitude**2))).astype(np.float32)


def shape(iq: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
    """iq (n,) complex64 through a response (m,) in FFT order, interpolated to n (it wraps around at its ends)."""
    grid = np.fft.fftshift(np.fft.fftfreq(len(iq)))
    known = np.fft.fftshift(np.fft.fftfreq(len(amplitude)))
    gain = np.interp(grid, known, np.fft.fftshift(amplitude), period=1.0).astype(np.float32)
    return sfft.ifft(sfft.fft(iq) * np.fft.ifftshift(gain))


def gnss(rng: np.random.Generator, iq: np.ndarray) -> np.ndarray:
    """iq (n,) through a random GNSS front end: a low-order Butterworth response well inside the band, off centre, at times with a
    notch, on the converter's own noise, with a few spurs (Maxim MAX2771 data sheet: 2.5 to 9 MHz wide, order 3 or 5)."""
    n = len(iq)
    f = np.fft.fftfreq(n).astype(np.float32) * 2.0
    edge, order, centre = rng.uniform(0.3, 0.9), int(rng.integers(1, 6)), rng.normal(0.0, 0.06)
    level = -10.0 * np.log10(1.0 + np.abs((f - centre) / edge) ** (2 * order))
    level += rng.normal(0, 0.6) * np.cos(np.pi * rng.uniform(0.5, 4) * f + rng.uniform(0, 6.28)) + rng.normal(0, 0.7) * f
    if rng.random() < 0.25:
        for place in ((p := rng.uniform(0.3, 0.9)), -p):
            level -= rng.uniform(6, 30) * np.exp(-(((f - place) / rng.uniform(0.02, 0.12)) ** 2))
    out = sfft.ifft(sfft.fft(iq) * (10.0 ** (level / 20.0)).astype(np.float32))
    power = float(np.mean(np.abs(out) ** 2))
    out = out + white(rng, n, power * 10.0 ** (rng.uniform(-25, -3) / 10.0))
    for _ in range(rng.integers(0, 4)):
        spur = np.exp(2j * np.pi * (rng.uniform(-0.5, 0.5) * np.arange(n) + rng.uniform()))
        out = out + spur * np.sqrt(power * 10.0 ** (rng.uniform(-25, -5) / 10.0))
    return out.astype(np.complex64)
