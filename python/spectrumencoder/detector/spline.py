# SPDX-License-Identifier: GPL-3.0-or-later
"""A cubic spline through a few points."""

from __future__ import annotations

import numpy as np


def cubic_spline(places: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The cubic spline through (K,) values at ascending places, at other places (M,), beyond the ends too; float64.

    Twice continuously differentiable; the first two pieces are one cubic, and the last two ("not a knot": de Boor, A Practical
    Guide to Splines, 1978, chapter IV).

    Raises:
        ValueError: fewer than 4 points.
    """
    count = len(places)
    if count < 4:
        raise ValueError(f"a cubic spline goes through at least 4 points, not {count}")
    wide = np.diff(places)
    rise = np.diff(values) / wide
    # equations for the curvatures at the points: equal slopes from both sides, and at the ends equal third derivatives
    system, wanted = np.zeros((count, count)), np.zeros(count)
    for i in range(1, count - 1):
        system[i, i - 1:i + 2] = wide[i - 1], 2.0 * (wide[i - 1] + wide[i]), wide[i]
        wanted[i] = 6.0 * (rise[i] - rise[i - 1])
    system[0, :3] = wide[1], -(wide[0] + wide[1]), wide[0]
    system[-1, -3:] = wide[-1], -(wide[-2] + wide[-1]), wide[-2]
    curvature = np.linalg.solve(system, wanted)
    piece = np.clip(np.searchsorted(places, at, side="right") - 1, 0, count - 2)
    h, low, high = wide[piece], curvature[piece], curvature[piece + 1]
    x = at - places[piece]
    return values[piece] + x * (rise[piece] - h * (2.0 * low + high) / 6.0 + x * (low / 2.0 + x * (high - low) / (6.0 * h)))
