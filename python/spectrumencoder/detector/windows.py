# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving sums of the model's residual over neighbouring bins, and their maxima in each frame.

A sum over S bins is divided by sqrt(S): unit-variance independent bins then give every scale the same variance. The mean-square
error of all bins is a weak score, since it dilutes a narrow signal. The maxima at several scales are not weak.

Shape letters: F frames, N bins.
"""

from __future__ import annotations

import math

import numpy as np

from ..tokens.tokenize import optional_native_module

SCALES = (1, 4, 16, 64)  # bins
MISSING_SCALES = (16, 64)
# name -> (sign, scale in bins). residual_S: more power than expected. missing_S: less, an emitter that fell silent
WINDOWS = {f"residual_{s}": (1, s) for s in SCALES} | {f"missing_{s}": (-1, s) for s in MISSING_SCALES}
UNIT = {name: (0.0, 1.0) for name in WINDOWS}  # (median, spread) if nothing was calibrated
_WINDOW_SIGNS = np.array([sign for sign, _ in WINDOWS.values()], np.int32)
_WINDOW_SCALES = np.array([scale for _, scale in WINDOWS.values()], np.uint32)
_CHUNK = 256  # frames at a time: bounds the memory of the cumulative sums


def moving_sums(residual: np.ndarray) -> dict[int, np.ndarray]:
    """Sums over ``scale`` neighbouring bins / sqrt(scale), for each of ``SCALES``: (F, N) -> (F, N - scale + 1) float64.

    A scale wider than the band is cut to it.
    """
    cumulative = np.zeros((residual.shape[0], residual.shape[1] + 1))
    np.cumsum(residual, axis=1, dtype=np.float64, out=cumulative[:, 1:])
    sums = {}
    for scale in SCALES:
        width = min(scale, residual.shape[1])
        sums[scale] = (cumulative[:, width:] - cumulative[:, :-width]) * (1.0 / math.sqrt(width))
    return sums


def residual_maxima(residual: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """The largest sum of each of ``WINDOWS``, in its order: (F, N) standardised residual -> (F, len(WINDOWS)) float32.

    Args:
        out: written and returned; it may be columns of a wider array.
    """
    out = np.empty((len(residual), len(WINDOWS)), np.float32) if out is None else out
    native = optional_native_module()
    if native is None:
        out[:] = residual_maxima_numpy(residual)
    else:
        native.window_maxima(np.ascontiguousarray(residual, np.float32), _WINDOW_SCALES, _WINDOW_SIGNS, out)
    return out


def residual_maxima_numpy(residual: np.ndarray) -> np.ndarray:
    """The same as ``residual_maxima``, bit for bit, without the compiled module."""
    values = np.empty((len(residual), len(WINDOWS)), np.float32)
    for start in range(0, len(residual), _CHUNK):
        rows = slice(start, start + _CHUNK)
        sums = moving_sums(residual[rows])
        for column, (sign, scale) in enumerate(WINDOWS.values()):
            values[rows, column] = sums[scale].max(axis=1) if sign > 0 else -sums[scale].min(axis=1)
    return values
