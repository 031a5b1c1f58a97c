# SPDX-License-Identifier: GPL-3.0-or-later
"""Orthonormal transforms of the codec, along time (DCT-II in blocks) and frequency (Daubechies-2 wavelet), and its quantiser."""

from __future__ import annotations

from functools import cache

import numpy as np

_ROOT3 = 3.0**0.5
_LOW = np.array([1 + _ROOT3, 3 + _ROOT3, 3 - _ROOT3, 1 - _ROOT3], np.float32) / np.float32(4 * 2.0**0.5)
_HIGH = _LOW[::-1] * np.array([1, -1, 1, -1], np.float32)
_MIN_COEFFICIENTS = 8  # min coefficients of the coarsest level


def along_time(x: np.ndarray, block: int, inverse: bool = False) -> np.ndarray:
    """Orthonormal DCT-II (or its inverse) of x (F, D) along time, block by block; the last block may be shorter."""
    if block == 1:
        return x
    blocks = (x[s:s + block] for s in range(0, len(x), block))
    return np.concatenate([(cosines(len(b)).T if inverse else cosines(len(b))) @ b for b in blocks])


@cache
def cosines(n: int) -> np.ndarray:
    """The matrix (n, n) of the orthonormal DCT-II (Ahmed, Natarajan and Rao, IEEE Trans. Comput. C-23, 1974)."""
    k = np.arange(n)
    out = np.sqrt(2.0 / n) * np.cos(np.pi / (2 * n) * (k[:, None] * (2 * k + 1) % (4 * n)))
    out[0] = np.sqrt(1.0 / n)
    return out


def quantise(x: np.ndarray, step: float, rounding: float = 1 / 3) -> np.ndarray:
    """Quantise x to whole numbers: magnitudes round up from (1 - rounding) steps on. rounding < 1/2 makes a dead zone at 0."""
    return (np.sign(x) * np.floor(np.abs(x) / step + rounding)).astype(np.int64)


def wavelet_levels(n: int) -> int:
    """How often n can be halved before fewer than 8 coefficients are left."""
    levels = 0
    while n % 2 == 0 and n // 2 >= _MIN_COEFFICIENTS:
        n, levels = n // 2, levels + 1
    return levels


def wavelet(x: np.ndarray) -> np.ndarray:
    """Daubechies-2 (four taps; Daubechies, Comm. Pure Appl. Math. 41, 1988), periodic, of x (F, N): coarse to fine."""
    parts = []
    for _ in range(wavelet_levels(x.shape[1])):
        neighbours = np.stack([np.roll(x, -i, axis=1)[:, ::2] for i in range(4)], axis=-1)
        parts.append(neighbours @ _HIGH)
        x = neighbours @ _LOW
    return np.concatenate([x, *parts[::-1]], axis=1)


def inverse_wavelet(y: np.ndarray) -> np.ndarray:
    """The spectra (F, N) of coefficients from `wavelet`."""
    n = y.shape[1] >> wavelet_levels(y.shape[1])
    x = y[:, :n]
    while n < y.shape[1]:
        detail, n = y[:, n:2 * n], 2 * n
        out = np.zeros((len(y), n), y.dtype)
        for tap in range(4):
            part = np.zeros((len(y), n), y.dtype)
            part[:, ::2] = _LOW[tap] * x + _HIGH[tap] * detail
            out += np.roll(part, tap, axis=1)
        x = out
    return x
