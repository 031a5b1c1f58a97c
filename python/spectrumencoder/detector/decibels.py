# SPDX-License-Identifier: GPL-3.0-or-later
"""Powers of decibels and back, in single precision: the same bits as the compiled module's (lib/wide.h, lib/band_rows.cc)."""

from __future__ import annotations

import numpy as np

_MIN_POWER = np.float32(1e-9)  # over the floor
# The compiled module's coefficients, for the same bits on every processor: NumPy's own exp and log10 differ
_OCTAVES_PER_DB, _OCTAVE_DB = np.float32(0.33219280948873623), np.float32(3.0102999566398120)
_SERIES_DB = np.float32(8.6858896380650366)  # 20 / ln 10
_ROUND = np.float32(12582912.0)  # 1.5 * 2^23: a number added to it is rounded to a whole number
_POWERS_OF_2 = np.array([1.5403530393381608e-4, 1.3333558146428443e-3, 9.6181291076284772e-3, 5.5504108664821580e-2,
                         2.4022650695910072e-1, 6.9314718055994531e-1, 1.0], np.float32)  # Taylor series of 2^x
_ODD = np.array([1 / 9, 1 / 7, 1 / 5, 1 / 3, 1], np.float32)  # of artanh(x) / x
_ROOT_HALF = np.int32(0x3F3504F3)  # bits of sqrt(1/2)


def powers(level: np.ndarray) -> np.ndarray:
    """10^(level / 10), float32: 2^whole times the series of 2^rest, |rest| <= 0.5."""
    octaves = np.minimum(np.maximum(level * _OCTAVES_PER_DB, np.float32(-126)), np.float32(126))
    shifted = octaves + _ROUND
    rest = octaves - (shifted - _ROUND)
    return _series(rest, _POWERS_OF_2) * ((shifted.view(np.int32) - _ROUND.view(np.int32) + 127) << 23).view(np.float32)


def decibels(power: np.ndarray) -> np.ndarray:
    """10 log10 of powers, at least 1e-9, float32: the exponent's, and 2 artanh(t) of the mantissa m, t = (m - 1) / (m + 1)."""
    bits = np.maximum(power, _MIN_POWER).view(np.int32)
    exponent = (bits - _ROOT_HALF) >> 23
    mantissa = (bits - (exponent << 23)).view(np.float32)
    t = (mantissa - np.float32(1)) / (mantissa + np.float32(1))
    return exponent.astype(np.float32) * _OCTAVE_DB + _SERIES_DB * t * _series(t * t, _ODD)


def _series(x: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """The polynomial of these coefficients, the highest first, by Horner's rule."""
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total
