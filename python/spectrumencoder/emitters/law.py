# SPDX-License-Identifier: GPL-3.0-or-later
"""The law of an averaged noise spectrum: how far the mean of a box of bins and frames strays from its expectation.

The mean of K independent periodogram bins of Gaussian noise is gamma distributed with shape K (Kay, Fundamentals of Statistical
Signal Processing II, 1998, chapter 2). A window correlates neighbouring bins, an overlap successive spectra. Both are taken into
account by the variance of the box mean, which is then taken to be gamma distributed with that variance.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from ..detector.detector import window_taps

_FAR = 32  # bins beyond which a window correlates nothing


@lru_cache(maxsize=64)
def bin_correlation(window: str, n_bins: int) -> tuple[float, ...]:
    """Correlation of the noise power of bins that are 1, 2, ... bins apart: |sum w^2 exp(-2 pi i j n / N)|^2 / (sum w^2)^2."""
    squares = window_taps(window, n_bins) ** 2
    spectrum = np.abs(np.fft.rfft(squares)) ** 2
    return tuple((spectrum[1:_FAR] / spectrum[0]).tolist())


@lru_cache(maxsize=64)
def independent_share(window: str, n_bins: int, hop: int, average: int) -> float:
    """Share of the K = average spectra of a frame that are independent: 1 without overlap (Welch 1967, eq. 12)."""
    taps = window_taps(window, n_bins)
    total, inflation = float(np.sum(taps**2)), 1.0
    for lag in range(1, average):
        if lag * hop >= n_bins:
            break
        common = float(np.sum(taps[lag * hop:] * taps[:-lag * hop]))
        inflation += 2.0 * (1.0 - lag / average) * (common / total) ** 2
    return 1.0 / inflation


@lru_cache(maxsize=4096)
def box_variance(width: int, length: int, spectra: float, correlation: tuple[float, ...]) -> float:
    """Variance of the mean of a box of width bins and length frames over its expectation.

    Args:
        spectra: independent spectra in a frame. correlation: of ``bin_correlation``.
    """
    together = 1.0 + 2.0 * sum((1.0 - lag / width) * c for lag, c in enumerate(correlation[:width - 1], 1))
    return together / (width * length * spectra)


def upper_quantile(variance: float, log_probability: float) -> float:
    """The value that a gamma variable of mean 1 exceeds with probability exp(log_probability): 0.05 at most."""
    shape = 1.0 / variance
    low, high = 1.0, 2.0
    while log_exceeds(shape, high) > log_probability:
        low, high = high, 2.0 * high
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if log_exceeds(shape, middle) > log_probability else (low, middle)
    return 0.5 * (low + high)


def log_exceeds(shape: float, value: float) -> float:
    """Logarithm of the probability that a gamma variable of mean 1 and this shape exceeds value, which is at least 1.

    By the continued fraction of the incomplete gamma function (Numerical Recipes, 3rd ed., section 6.2; Lentz's method).
    """
    x = shape * value
    if x < shape + 1.0:
        x = shape + 1.0
    tiny = 1e-300
    b = x + 1.0 - shape
    c, d = 1.0 / tiny, 1.0 / b
    h = d
    for i in range(1, 500):
        a = -i * (i - shape)
        b += 2.0
        d = 1.0 / (a * d + b or tiny)
        c = b + a / c or tiny
        step = c * d
        h *= step
        if abs(step - 1.0) < 1e-10:
            break
    return shape * math.log(x) - x - math.lgamma(shape) + math.log(h)
