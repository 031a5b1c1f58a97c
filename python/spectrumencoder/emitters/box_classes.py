# SPDX-License-Identifier: GPL-3.0-or-later
"""The class of what a box holds, by the classes of the tokens in it.

Shape letters: F frames, N bins, M tokens, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..encoder.token_classes import NOISE, UNKNOWN_SIGNAL, classes, split, without_hidden
from ..tokens.class_plan import possible

_MIN_SHARE = 0.05  # of a class, to be counted


class BoxClasses:
    """Reads class probabilities of tokens as those of boxes.

    Args:
        labels: of the model. n_bins: N.
    """

    def __init__(self, labels: Sequence[str], n_bins: int):
        self._labels, self._names, self._n_bins = list(labels), classes(labels), n_bins
        self._noise = self._names.index(NOISE) if NOISE in self._names else None
        self._given: bool | None = None  # whether there are items

    def read(self, items: np.ndarray | None, count: int) -> np.ndarray:
        """(F, M, L + 1) class probabilities of frames; zeros for a frame without an answer, M = 0 without items.

        Args:
            items: (F, M (L + 2)) of the stream `token_classes`, or None: always, or never. count: F.

        Raises:
            ValueError: the items are not made of whole tokens, or some frames have them and some not.
        """
        if self._given is None:
            self._given = items is not None
        if self._given != (items is not None):
            raise ValueError(f"token_classes came {'with' if self._given else 'without'} the first frames, and not so with "
                             "these; give them with all frames or with none")
        if items is None:
            return np.zeros((count, 0, len(self._names)), np.float32)
        tokens = without_hidden(split(items, self._labels)[0], self._labels)
        silent = np.isnan(tokens[:, :1, 0]).any(axis=1)
        return np.where(silent[:, None, None], np.float32(0.0), tokens) if silent.any() else tokens

    def mean(self, tokens: np.ndarray, low: int, high: int) -> np.ndarray:
        """(L + 1,) mean of (M, L + 1) over the bins low to high, both included; zeros without tokens."""
        if not len(tokens):
            return np.zeros(len(self._names))
        stride = self._n_bins // len(tokens)
        first, last = low // stride, high // stride
        bins = np.full(last - first + 1, float(stride))
        bins[0] -= low - first * stride
        bins[-1] -= (last + 1) * stride - 1 - high
        return bins @ tokens[first:last + 1].astype(np.float64) / (high - low + 1)

    def shares(self, mean: np.ndarray, freq_hz: float | None) -> dict[str, float]:
        """Probability of each class given that something is there, of those that count; empty if nothing was answered.

        Args:
            mean: (L + 1,), to any scale. Its part of noise is left out.
            freq_hz: of the box: classes that cannot be there are left out. None: not known.
        """
        left = np.array(mean, np.float64)
        if self._noise is not None:
            left[self._noise] = 0.0
        left = possible(left, self._labels, freq_hz, self._names.index(UNKNOWN_SIGNAL))
        total = left.sum()
        if not total > 0.0:
            return {}
        return {self._names[k]: float(left[k] / total) for k in np.flatnonzero(left > _MIN_SHARE * total).tolist()}

    def of_box(self, tokens: np.ndarray | None, low: int, high: int, freq_hz: float | None) -> dict[str, float]:
        """``shares`` of the bins low to high of (M, L + 1), summed over any number of frames; empty without tokens."""
        return {} if tokens is None else self.shares(self.mean(tokens, low, high), freq_hz)


class TokensSeen:
    """What the tokens of one tuning said so far. boxes: reads them; None: there are none."""

    def __init__(self, boxes: BoxClasses | None):
        self._boxes, self._sum = boxes, None

    def add(self, tokens: np.ndarray):
        """Takes the tokens (F, M, L + 1) of frames."""
        if tokens.size:
            self._sum = tokens.sum(axis=0, dtype=np.float64) + (0.0 if self._sum is None else self._sum)

    def labels(self, low: int, high: int, freq_hz: float | None) -> dict[str, float]:
        """``BoxClasses.shares`` of the bins low to high. freq_hz: where they are on the air; None: not known."""
        return {} if self._boxes is None else self._boxes.of_box(self._sum, low, high, freq_hz)
