# SPDX-License-Identifier: GPL-3.0-or-later
"""Curves of bytes and error, and the distance between two of them (Bjontegaard, VCEG-M33), with piecewise cubics (PCHIP)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

BYTES_RANGE = (16.0, 128.0)  # of the difference at equal bytes
RATE_RANGE = (4.0, 128.0)  # of the ratio at equal error: most curves have come to their best before 16 bytes


@dataclass(frozen=True)
class Curve:
    """One codec's operating points, by group. Bytes and squared errors are (points, groups), each group of equally many frames.

    bytes_each: bytes a spectrum. squared: mean squared error per bin, dB^2.
    """

    bytes_each: np.ndarray
    squared: np.ndarray

    def points(self, groups: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(bytes a spectrum, RMSE in dB) over all groups, or those chosen (with repetitions)."""
        chosen = slice(None) if groups is None else groups
        return self.bytes_each[:, chosen].mean(axis=1), np.sqrt(self.squared[:, chosen].mean(axis=1))


def front(bytes_each: np.ndarray, rmse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points that no other one beats in both, by bytes: more bytes, less error."""
    order = np.lexsort((rmse, bytes_each))
    kept = []
    for index in order:
        if not kept or rmse[index] < rmse[kept[-1]] - 1e-9:
            kept.append(index)
    return bytes_each[kept], rmse[kept]


def bd_rate(ours, theirs, bytes_range: tuple[float, float] = RATE_RANGE) -> dict | None:
    """Mean ratio of bytes, ours to theirs, at equal error, over the errors that both reach within the range of bytes.

    Args:
        ours, theirs: (bytes, RMSE) points.

    Returns:
        ratio, and from_db, to_db: the errors compared; None if both reach no error in common.
    """
    curves, low, high = [], -np.inf, np.inf
    for points in (ours, theirs):
        size, error = front(*points)
        if len(size) < 2:
            return None
        curves.append(PchipInterpolator(error[::-1], np.log(size[::-1])))
        within = PchipInterpolator(np.log(size), error)
        ends = np.clip(np.log(bytes_range), np.log(size[0]), np.log(size[-1]))
        low, high = max(low, float(within(ends[1]))), min(high, float(within(ends[0])))
    if high - low < 1e-3:
        return None
    at = np.linspace(low, high, 200)
    return {"ratio": float(np.exp(np.mean(curves[0](at) - curves[1](at)))), "from_db": low, "to_db": high}


def rmse_at(points, size: float | np.ndarray):
    """RMSE at a number of bytes a spectrum. Beyond a codec's last point it is that of the last, before its first it is NaN."""
    bytes_each, rmse = front(*points)
    if len(bytes_each) < 2:
        return np.where(np.asarray(size) < bytes_each[0] * 0.999, np.nan, rmse[0])
    value = PchipInterpolator(np.log(bytes_each), rmse)(np.log(np.clip(size, bytes_each[0], bytes_each[-1])))
    return np.where(np.asarray(size) < bytes_each[0] * 0.999, np.nan, value)


def bd_rmse(ours, theirs, bytes_range: tuple[float, float] = BYTES_RANGE) -> float | None:
    """Mean difference of RMSE, ours minus theirs, in dB over log bytes in the range; None if one has no point there."""
    low = max(bytes_range[0], *(front(*p)[0][0] for p in (ours, theirs)))
    if low >= bytes_range[1]:
        return None
    at = np.exp(np.linspace(np.log(low), np.log(bytes_range[1]), 100))
    return float(np.mean(rmse_at(ours, at) - rmse_at(theirs, at)))


def compared(ours: Curve, theirs: Curve, draws: int, seed: int = 0) -> dict:
    """bd_rate and bd_rmse of two curves with 95 % intervals by bootstrap over the groups, the same draws for both."""
    rng = np.random.default_rng(seed)
    n = ours.bytes_each.shape[1]
    rate, rmse = bd_rate(ours.points(), theirs.points()), bd_rmse(ours.points(), theirs.points())
    rates, rmses = [], []
    for _ in range(draws):
        groups = rng.integers(0, n, n)
        a, b = ours.points(groups), theirs.points(groups)
        drawn, difference = bd_rate(a, b), bd_rmse(a, b)
        rates += [drawn["ratio"]] if drawn else []
        rmses += [difference] if difference is not None and np.isfinite(difference) else []
    out = {"bd_rate": rate["ratio"] if rate else None, "bd_rmse_db": rmse}
    if rate:
        out |= {"from_db": rate["from_db"], "to_db": rate["to_db"]}
    for name, values in (("bd_rate_interval", rates), ("bd_rmse_interval", rmses)):
        out[name] = [float(q) for q in np.quantile(values, [0.025, 0.975])] if len(values) > draws // 2 else None
    return out
