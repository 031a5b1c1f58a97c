# SPDX-License-Identifier: GPL-3.0-or-later
"""Which report belongs to which track: gating by Mahalanobis distance, then global nearest neighbour.

The pairing of least total cost is taken. The cost of a pair is twice the negative log-likelihood ratio of "this track's
report" against "a false or new one", d^2 + log det(2 pi S) + 2 log(false density): pairs that are less likely than that stay
apart (Blackman, Popoli 1999, ch. 6).
"""

from __future__ import annotations

from functools import cache

import numpy as np


@cache
def gate_distance2(probability: float, dimensions: int) -> float:
    """Squared Mahalanobis distance within which a track's own report lies with this probability."""
    from scipy.special import gammaincinv
    return float(2.0 * gammaincinv(dimensions / 2.0, probability))  # the quantile of chi-squared


def pair(cost: np.ndarray) -> list[tuple[int, int]]:
    """The pairs (row, column) of least total cost (T, N), where staying alone costs 0; costs above 0 are never taken.

    Rows and columns whose only pairs are each other's are taken at once; the rest is solved by Jonker-Volgenant.
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
