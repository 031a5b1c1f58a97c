# SPDX-License-Identifier: GPL-3.0-or-later
"""The FFT tokenizer once more in plain NumPy, float64, straight from docs/contracts.md: the oracle of the C++ kernel."""

import numpy as np

# Coefficients of the cosine windows: w[i] = sum_k (-1)^k a_k cos(2 pi k i / (n - 1)); Harris (1978), Nuttall (1981).
COSINE_WINDOWS = {
    "rectangular": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.50, 0.08),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "flattop": tuple(a / 4.63867187 for a in (1.0, 1.93, 1.29, 0.388, 0.028)),
}


def window_taps(name, n):
    phase = 2 * np.pi * np.arange(n) / (n - 1)
    return sum((-1) ** k * a * np.cos(k * phase) for k, a in enumerate(COSINE_WINDOWS[name]))


def quartile_of_mean_noise(k):
    return (1 - 1 / (9 * k) - 0.6744898 * np.sqrt(1 / (9 * k))) ** 3


def db(power):
    return 10 * np.log10(np.maximum(power, 1e-20))


def frame(powers, samples, stride, samp_rate, item_size):
    """Item and psd of one frame from its windows' bin powers (K_eff, N), ascending frequency, and the samples that it covers."""
    k_eff, n_bins = powers.shape
    mean = powers.mean(axis=0)
    floor = db(np.sort(np.maximum(mean, 1e-20))[n_bins // 4] / quartile_of_mean_noise(k_eff))
    summed = powers.reshape(k_eff, -1, stride).sum(axis=2)  # (K_eff, M)
    level = summed.mean(axis=0)
    spread = np.divide(summed.std(axis=0), level, out=np.zeros_like(level), where=level > 0)
    peak = powers.max(axis=0).reshape(-1, stride).max(axis=1)
    tokens = np.column_stack([db(mean).reshape(-1, stride) - floor, db(peak) - floor, spread])
    item = np.zeros(item_size)
    item[:tokens.size] = tokens.ravel()
    item[tokens.size:tokens.size + 4] = floor, k_eff, samp_rate / n_bins, clipped(samples).mean()
    return item, db(mean)


def clipped(samples):
    return np.maximum(np.abs(samples.real), np.abs(samples.imag)) >= np.float32(0.99)


def holds_a_constant_run(samples):
    edges = np.concatenate(([0], np.flatnonzero(samples[1:] != samples[:-1]) + 1, [len(samples)]))
    return bool(np.any((np.diff(edges) >= 1024) & ~clipped(samples[edges[:-1]])))


def tokenize(iq, samp_rate, *, fft_size, stride, average, overlap, window):
    """items (F, item_size), psd (F, N), frame_start (F,) of `iq`, with the last short frame, without constant ones."""
    hop = round(fft_size * (1 - overlap))
    taps = window_taps(window, fft_size)
    starts = np.arange(0, len(iq) - fft_size + 1, hop)
    windows = np.stack([iq[s:s + fft_size].astype(np.complex128) for s in starts]) * taps
    powers = np.abs(np.fft.fftshift(np.fft.fft(windows), axes=1)) ** 2 / taps.sum() ** 2
    item_size = 64 * -(-(fft_size // stride * (stride + 2) + 8) // 64)
    covered = {f: iq[starts[f]:starts[f:f + average][-1] + fft_size] for f in range(0, len(starts), average)}
    first = [f for f in covered if not holds_a_constant_run(covered[f])]
    frames = [frame(powers[f:f + average], covered[f], stride, samp_rate, item_size) for f in first]
    items, psd = (np.stack(part) for part in zip(*frames, strict=True))
    return items, psd, starts[first]
