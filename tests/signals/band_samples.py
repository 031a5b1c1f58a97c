# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of made-up bands: samples of noise, of noise-like signals and of tones, through the real tokenizer."""

import numpy as np
from gnuradio.spectrumencoder.tokens.tokenize import tokenize

N, K, RATE = 1024, 16, 1.024e6
HOP = N * K
BIN_HZ = RATE / N


def noise(frames, seed=0):
    """complex64 of so many frames, mean power 1e-4."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((frames * HOP, 2)) @ np.array([1, 1j]) * np.sqrt(0.5e-4)).astype(np.complex64)


def add(iq, low, high, snr_db, first=0, stop=None, seed=1):
    """Adds a noise-like signal that fills bins low..high, in frames first .. stop - 1, in place."""
    part = iq[first * HOP:None if stop is None else stop * HOP]
    rng = np.random.default_rng([seed, low, high, first])
    spectrum = np.zeros(len(part), complex)
    scale = len(part) / N
    a, b = (round((edge - N // 2) * scale) for edge in (low - 0.5, high + 0.5))
    spectrum[np.arange(a, b) % len(part)] = rng.standard_normal((b - a, 2)) @ np.array([1, 1j])
    made = np.fft.ifft(spectrum)
    power = 1e-4 * (b - a) / len(part) * 10 ** (snr_db / 10)
    part += (made * np.sqrt(power / np.mean(np.abs(made) ** 2))).astype(np.complex64)
    return iq


def add_tone(iq, bin_, level_db, first=0, stop=None):
    """Adds a tone whose power is level_db over the noise of one bin."""
    begin, end = first * HOP, len(iq) if stop is None else stop * HOP
    n = np.arange(begin, end)
    height = np.sqrt(1e-4 / N * 10 ** (level_db / 10))
    iq[begin:end] += (height * np.exp(2j * np.pi * (bin_ - N // 2) / N * n)).astype(np.complex64)
    return iq


def items_of(iq):
    """(F, item_size)."""
    return tokenize(iq, RATE, flush=False, keep_constant=True).items
