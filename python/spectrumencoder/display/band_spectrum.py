# SPDX-License-Identifier: GPL-3.0-or-later
"""``BandSpectrum``: mean and maximum spectra of all tunings, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..tokens.layout import usable_bins

MAX_TUNINGS = 512  # beyond, the one that was left first is forgotten


class Piece(NamedTuple):
    """The spectrum of one tuning: frequencies in Hz, mean and maximum in dBFS, of its usable bins."""

    frequencies_hz: np.ndarray
    mean_db: np.ndarray
    max_db: np.ndarray


@dataclass
class _Sums:
    total: np.ndarray  # linear power
    high: np.ndarray  # dBFS
    frames: int = 0


class BandSpectrum:
    """Collects frames by tuning.

    Args:
        n_bins: N. usable: share of the band, around its middle, that counts.

    Attributes: n_frames: so far.
    """

    def __init__(self, n_bins: int, usable: float = 1.0):
        self._n_bins, self._usable = n_bins, usable_bins(n_bins, usable)
        self._tunings: OrderedDict[tuple[float, float], _Sums] = OrderedDict()
        self.n_frames = 0

    def add(self, center_hz: float, rate_hz: float, psd: np.ndarray):
        """Frames (F, N) dBFS of a tuning. Bins that are no finite power count as none."""
        if not len(psd):
            return
        key = (center_hz, rate_hz)
        sums = self._tunings.get(key)
        if sums is None:
            sums = self._tunings[key] = _Sums(np.zeros(self._n_bins), np.full(self._n_bins, -200.0))
            if len(self._tunings) > MAX_TUNINGS:
                self._tunings.popitem(last=False)
        self._tunings.move_to_end(key)
        psd = np.where(np.isfinite(psd), psd, -200.0)
        sums.total += (10.0 ** (0.1 * psd.astype(np.float64))).sum(axis=0)
        np.maximum(sums.high, psd.max(axis=0), out=sums.high)
        sums.frames += len(psd)
        self.n_frames += len(psd)

    def pieces(self) -> list[Piece]:
        """The tunings, by frequency."""
        made = []
        for (center, rate), sums in sorted(self._tunings.items()):
            frequencies = center + (np.arange(self._n_bins) - self._n_bins // 2) * (rate / self._n_bins)
            mean = 10.0 * np.log10(np.maximum(sums.total / sums.frames, 1e-20))
            made.append(Piece(frequencies[self._usable], mean[self._usable], sums.high[self._usable]))
        return made
