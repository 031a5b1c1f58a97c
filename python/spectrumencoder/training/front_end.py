# SPDX-License-Identifier: GPL-3.0-or-later
"""Front ends: the smooth response that a receiver leaves on a recording's noise, and random ones of GNSS receivers.

A network that learns front ends learns the receiver, not the signal. Noise through a recording's front end is still noise:
training presents it as noise, and `evaluate control` tests it. GNSS is the exception. Its signals lie below the floor (a few
tenths of a dB in the spectrum at best). So its label can only mean "the noise of a GNSS front end".
"""

from __future__ import annotations

import numpy as np
from scipy import fft as sfft

from .augment import white
from .corpus import BLOCK, GAP_RATIO, Source

SMOOTH_TERMS = 8  # number of cosine terms kept of the log response: a receiver's filter is smooth, signals are not
MAX_BLOCKS = 4096
QUIETER = 0.05  # a recording was quiet if the power of its quietest 2 % of blocks is under this share of the median
FILLS_BAND = ("LTE", "WiFi-OFDM")  # signals too wide to show the front end beside them: the recording must have been
# quiet, since otherwise the weakest blocks are those that hold part of a burst
SIGNAL_RATIO, SKIRT, MAX_SIGNAL_SHARE = 2.0, 3, 0.6  # bins above SIGNAL_RATIO times the lower quartile
# hold signal, with SKIRT bins beside them; above this share of them there is no answer


def response(source: Source) -> np.ndarray | None:
    """Amplitude response (BLOCK,) float32 in FFT order, with unit mean power; kept on the source.

    It is the first SMOOTH_TERMS cosine terms of the log spectrum of the quiet blocks. If a recording is never quiet, the bins
    beside the signal are used and the signal is bridged; None if there are no such bins."""
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
    """Filter iq (n,) complex64 with a response (m,) in FFT order, interpolated to n. The result wraps around at its ends."""
    grid = np.fft.fftshift(np.fft.fftfreq(len(iq)))
    known = np.fft.fftshift(np.fft.fftfreq(len(amplitude)))
    gain = np.interp(grid, known, np.fft.fftshift(amplitude), period=1.0).astype(np.float32)
    return sfft.ifft(sfft.fft(iq) * np.fft.ifftshift(gain))


def gnss(rng: np.random.Generator, iq: np.ndarray) -> np.ndarray:
    """Send iq (n,) through a random GNSS front end.

    It has a low-order Butterworth response well inside the band, off centre, at times with a notch. The converter adds noise and
    a few spurs (Maxim MAX2771 data sheet: 2.5 to 9 MHz wide, order 3 or 5)."""
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
