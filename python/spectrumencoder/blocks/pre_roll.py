# SPDX-License-Identifier: GPL-3.0-or-later
"""The last samples of a stream, addressed by their number in it."""

from __future__ import annotations

import numpy as np


class PreRoll:
    """A ring of complex samples.

    Args:
        capacity: samples that it holds. start: number of the first sample to come.

    Attributes: end: number of the next sample to come.
    """

    def __init__(self, capacity: int, start: int = 0):
        if capacity < 1:
            raise ValueError(f"capacity {capacity} must be at least 1")
        self._ring = np.zeros(int(capacity), np.complex64)
        self.end = self._start = int(start)

    @property
    def begin(self) -> int:
        """Number of the oldest sample that is still here."""
        return max(self._start, self.end - len(self._ring))

    def add(self, samples: np.ndarray):
        """complex64 (n,): the next samples."""
        size = len(self._ring)
        self.end += len(samples)
        samples = samples[-size:]
        at = (self.end - len(samples)) % size
        first = min(len(samples), size - at)
        self._ring[at:at + first] = samples[:first]
        self._ring[:len(samples) - first] = samples[first:]

    def read(self, start: int, stop: int) -> tuple[int, np.ndarray]:
        """Samples [start, stop) as far as they are here, as a copy, with the number of the first."""
        start, stop = max(start, self.begin), min(stop, self.end)
        if start >= stop:
            return start, np.zeros(0, np.complex64)
        size = len(self._ring)
        at, count = start % size, stop - start
        first = min(count, size - at)
        return start, np.concatenate([self._ring[at:at + first], self._ring[:count - first]])
