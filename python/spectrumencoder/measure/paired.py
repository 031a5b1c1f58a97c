# SPDX-License-Identifier: GPL-3.0-or-later
"""Balanced accuracy of several settings judged on the same windows, and intervals of it and of differences between settings.

The bootstrap (Efron and Tibshirani, 1993, chapter 8) draws whole recordings with replacement within each class. It draws the
same ones for every setting, so that differences are paired. If a setting was trained several times, it draws the trainings
too.
"""

from __future__ import annotations

import numpy as np

LEVEL = (0.025, 0.975)


class PairedBootstrap:
    """Draws of recordings, fixed by the seed.

    Args:
        label: (F,) class of each window. recording: (F,) number of the recording of each window.
    """

    def __init__(self, label: np.ndarray, recording: np.ndarray, *, draws: int = 2000, seed: int = 0):
        groups, self._group = np.unique(np.stack((label, recording), axis=1), axis=0, return_inverse=True)
        self._group = self._group.reshape(-1)
        self._count = np.bincount(self._group).astype(float)  # windows of each group
        self._classes = [np.flatnonzero(groups[:, 0] == c) for c in np.unique(groups[:, 0])]
        self.n_recordings = len(np.unique(recording))
        rng = np.random.default_rng(seed)
        self._times = [np.concatenate((np.ones((1, len(c))), rng.multinomial(len(c), np.full(len(c), 1 / len(c)), draws)))
                       for c in self._classes]  # how often each group is drawn; first row: each once
        self._rng_seed, self._draws = seed, draws

    def balanced(self, right: np.ndarray) -> np.ndarray:
        """(..., F) bool -> (..., 1 + draws): mean recall of the classes, as it is and in each draw of recordings."""
        right = np.asarray(right, float)
        flat = right.reshape(-1, right.shape[-1])
        sums = np.stack([np.bincount(self._group, row, minlength=len(self._count)) for row in flat])
        recall = [(sums[:, c] @ t.T) / (self._count[c] @ t.T) for c, t in zip(self._classes, self._times, strict=True)]
        return np.mean(recall, axis=0).reshape(*right.shape[:-1], -1)

    def interval(self, right: np.ndarray, against: np.ndarray | None = None) -> dict:
        """Balanced accuracy of one setting, or its difference to another, with its 95 % interval.

        Args:
            right: (F,) or (trainings, F) bool. against: the same shape; row s of both has the same seed.

        Returns:
            mean, low, high (shares of 1).
        """
        right = np.atleast_2d(right)
        values = self.balanced(right)
        if against is not None:
            values = values - self.balanced(np.atleast_2d(against))
        trainings = len(right)
        drawn = np.random.default_rng((self._rng_seed, 1)).integers(0, trainings, (trainings, self._draws))
        means = values[drawn, np.arange(1, self._draws + 1)].mean(axis=0)
        low, high = np.quantile(means, LEVEL)
        return {"mean": round(float(values[:, 0].mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def pack(right: np.ndarray) -> str:
    """(F,) bool as hex text, eight windows to a byte."""
    return np.packbits(np.asarray(right, bool)).tobytes().hex()


def unpack(text: str, count: int) -> np.ndarray:
    """The first `count` values that `pack` wrote, (count,) bool."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=count).astype(bool)
