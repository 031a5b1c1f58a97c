# SPDX-License-Identifier: GPL-3.0-or-later
"""Which report belongs to which track: gating by Mahalanobis distance, then global nearest neighbour.

The pairing of smallest total cost is taken. The cost of a pair is twice the negative log-likelihood ratio of "this track's
report" against "a false or new one", d^2 + log det(2 pi S) + 2 log(false density). Pairs that are less likely than that stay
apart (Blackman, Popoli 1999, ch. 6).

Shape letters: T tracks, N reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from .fix import Fix
from .track_bank import TrackBank

_NEAR_SIGMAS = 6.0
_NEAR_MPS2 = 20.0  # bounds what a manoeuvre adds to the reach


@cache
def gate_distance2(probability: float, dimensions: int) -> float:
    """Squared Mahalanobis distance within which a track's own report lies with this probability."""
    from scipy.special import gammaincinv
    return float(2.0 * gammaincinv(dimensions / 2.0, probability))  # the quantile of chi-squared


def costs(bank: TrackBank, rows: np.ndarray, time_s: float, fixes: Sequence[Fix], gate_probability: float,
          false_density: float) -> np.ndarray:
    """Cost (T, N) of each fix as the report of each row; infinite outside the gate, and if a false report is as likely.

    Args:
        rows: (T,), of the bank.
        gate_probability: share of a track's own reports inside its gate.
        false_density: false reports and new targets per square metre and scan.
    """
    position = np.array([fix.position_m[:2] for fix in fixes])
    noise = np.array([fix.covariance_m2[:2, :2] for fix in fixes])
    mean, covariance = bank.predicted(rows, time_s)
    s = covariance[:, None, :2, :2] + noise[None]
    residual = position[None] - mean[:, None, :2]
    determinant = s[..., 0, 0] * s[..., 1, 1] - s[..., 0, 1] ** 2
    distance2 = (residual[..., 0] ** 2 * s[..., 1, 1] + residual[..., 1] ** 2 * s[..., 0, 0]
                 - 2 * residual[..., 0] * residual[..., 1] * s[..., 0, 1]) / determinant
    gate = np.full(distance2.shape, gate_distance2(gate_probability, 2))
    cost = distance2 + np.log((2 * np.pi) ** 2 * determinant)
    with_height = np.array([len(fix.position_m) == 3 for fix in fixes])
    known = np.isfinite(bank.height_s[rows])
    if with_height.any() and known.any():
        both = known[:, None] & with_height[None]
        mean, covariance = bank.predicted_height(rows[known], time_s)
        z = np.array([fix.position_m[2] if len(fix.position_m) == 3 else 0.0 for fix in fixes])
        r = np.array([fix.covariance_m2[2, 2] if len(fix.position_m) == 3 else 1.0 for fix in fixes])
        s, off = covariance[:, 0, :1] + r, z - mean[:, :1]
        height2 = np.zeros_like(distance2)
        height2[known] = off**2 / s
        distance2 = distance2 + np.where(both, height2, 0)
        gate[both] = gate_distance2(gate_probability, 3)
        cost = cost + np.where(both, height2, 0)
    cost = cost + 2 * np.log(false_density)
    return np.where((distance2 <= gate) & (cost < 0), cost, np.inf)


def near(bank: TrackBank, rows: np.ndarray, time_s: float, fixes: Sequence[Fix]) -> np.ndarray:
    """Which of the rows (T,) any of the fixes may belong to, bool (T,); a bound that needs no prediction of the models."""
    dt = time_s - bank.seen_s[rows]
    place = bank.mean[rows, :2] + bank.mean[rows, 2:4] * dt[:, None]
    spread = bank.covariance[rows]
    reach = _NEAR_SIGMAS * np.sqrt(
        np.einsum("tii->t", spread[:, :2, :2]) + dt**2 * np.einsum("tii->t", spread[:, 2:4, 2:4]))
    reach = reach + _NEAR_MPS2 * dt**2
    found = np.zeros(len(rows), bool)
    for fix in fixes:
        off = np.linalg.norm(place - fix.position_m[:2], axis=1)
        found |= off <= reach + _NEAR_SIGMAS * np.sqrt(np.trace(fix.covariance_m2[:2, :2]))
    return found


def pair(cost: np.ndarray) -> list[tuple[int, int]]:
    """The pairs (row, column) of smallest total cost (T, N). Staying alone costs 0; costs above 0 are never taken.

    Rows and columns whose only pairs are each other's are taken at once. The rest is solved by Jonker-Volgenant.
    """
    possible = cost < 0
    single = possible & (possible.sum(axis=1) == 1)[:, None] & (possible.sum(axis=0) == 1)[None]
    pairs = [(int(row), int(column)) for row, column in zip(*np.nonzero(single), strict=True)]
    rows = np.flatnonzero(possible.any(axis=1) & ~single.any(axis=1))
    columns = np.flatnonzero(possible.any(axis=0) & ~single.any(axis=0))
    if len(rows) and len(columns):
        from scipy.optimize import linear_sum_assignment
        part = cost[np.ix_(rows, columns)]
        for row, column in zip(*linear_sum_assignment(np.minimum(part, 0.0)), strict=True):
            if part[row, column] < 0:
                pairs.append((int(rows[row]), int(columns[column])))
    return pairs


def pair_in_turn(cost: np.ndarray, first: np.ndarray) -> list[tuple[int, int]]:
    """As ``pair``, but the rows in `first`, bool (T,), choose before the others."""
    pairs, left = [], np.ones(cost.shape[1], bool)
    for chosen in (first, ~first):
        if chosen.any() and left.any():
            rows, columns = np.flatnonzero(chosen), np.flatnonzero(left)
            for row, column in pair(cost[np.ix_(rows, columns)]):
                pairs.append((int(rows[row]), int(columns[column])))
                left[columns[column]] = False
    return pairs
