# SPDX-License-Identifier: GPL-3.0-or-later
"""A rolling table: conformal p-values against the last scores of one band, in place of those of its calibration.

It begins with the table's scores and takes in each new score that could open no event, flagged or not. If flagged ones were left
out, the threshold would sink with each of them. A change over hours then moves the threshold, not the share of frames that are
flagged. An anomaly that stays below an event for hours becomes usual, too.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

import numpy as np

CAPACITY = 4096


class Rolling:
    """The last CAPACITY scores of one band.

    Args:
        scores: (n,) to begin with, in any order; of more than CAPACITY, evenly spaced ones.
    """

    def __init__(self, scores: np.ndarray):
        few = np.sort(np.asarray(scores, np.float32))[np.unique(np.linspace(0, len(scores) - 1, CAPACITY).astype(int))].tolist()
        self._sorted = few
        self._order = deque(few[::2] + few[1::2][::-1])  # so that neither the low nor the high ones go first

    def judge(self, scores: np.ndarray, rate: float, opening: float) -> tuple[np.ndarray, np.ndarray]:
        """p-values (F,) and thresholds (F,) at this rate of scores (F,) in the order of time; takes in those up to `opening`."""
        p_values, thresholds = np.empty(len(scores)), np.empty(len(scores), np.float32)
        for n, score in enumerate(np.asarray(scores, np.float32).tolist()):
            count = len(self._sorted)
            p_values[n] = (1 + count - bisect_left(self._sorted, score)) / (count + 1)
            rank = math.ceil((count + 1) * (1.0 - rate) - 1e-9)
            thresholds[n] = self._sorted[rank - 1] if rank <= count else np.inf
            if score > opening:
                continue
            if count >= CAPACITY:
                del self._sorted[bisect_left(self._sorted, self._order.popleft())]
            insort(self._sorted, score)
            self._order.append(score)
        return p_values, thresholds
