# SPDX-License-Identifier: GPL-3.0-or-later
"""Rarity of scores that are higher than nearly all of a table: a generalised Pareto tail.

A table of a thousand scores knows nothing of events that come once an hour. Excesses over a high quantile follow a generalised
Pareto distribution (Pickands 1975; as a threshold of streams: Siffer et al., KDD 2017). Frames come in clusters: the highest of
each cluster counts (Coles 2001, section 5.3.2). A few dozen clusters leave the shape open, so it has a prior around 0.15, a tail
a little heavier than exponential (in the manner of Martins and Stedinger, Water Resources Research 2000). It is never negative.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

START_SHARE = 0.05  # of scores above the start of the tail
CLUSTER_GAP = 8  # frames without an excess end a cluster: as long as the longest box
_SHAPES = np.linspace(0.0, 0.5, 51)
_PRIOR_MEAN, _PRIOR_STD = 0.15, 0.1
_MIN_SCALE = 1e-3


class Tail(NamedTuple):
    """Clusters whose highest score exceeds z >= start come rate * (1 + shape (z - start) / scale)^(-1 / shape) times a frame."""

    start: float
    scale: float
    shape: float
    rate: float

    @classmethod
    def fit(cls, scores: np.ndarray, ordered: bool = True) -> Tail:
        """Fits scores (n,) of normal frames. If they are not in the order of time, each counts as a cluster of its own."""
        scores = np.asarray(scores, np.float64)
        start = float(np.quantile(scores, 1.0 - START_SHARE))
        over = np.flatnonzero(scores > start)
        if not len(over):
            return cls(start, _MIN_SCALE, _PRIOR_MEAN, START_SHARE)
        first = np.flatnonzero(np.diff(over, prepend=-CLUSTER_GAP - 1) > CLUSTER_GAP) if ordered else np.arange(len(over))
        excess = np.maximum.reduceat(scores[over], first) - start
        scales = max(excess.mean(), _MIN_SCALE) * np.geomspace(0.2, 3.0, 80)
        ratio = excess / scales[:, None]
        likelihood = np.empty((len(_SHAPES), len(scales)))
        for row, shape in enumerate(_SHAPES):
            each = ratio if shape == 0 else (1.0 + 1.0 / shape) * np.log1p(shape * ratio)
            likelihood[row] = -each.sum(axis=1) - len(excess) * np.log(scales) - 0.5 * ((shape - _PRIOR_MEAN) / _PRIOR_STD) ** 2
        row, column = np.unravel_index(int(likelihood.argmax()), likelihood.shape)
        return cls(start, float(max(scales[column], _MIN_SCALE)), float(_SHAPES[row]), len(excess) / len(scores))

    def level(self, rate: float) -> float:
        """The score that clusters exceed `rate` times a frame, at least the start."""
        if rate >= self.rate:
            return self.start
        if self.shape == 0:
            return self.start + self.scale * math.log(self.rate / rate)
        return self.start + self.scale / self.shape * ((self.rate / rate) ** self.shape - 1.0)
