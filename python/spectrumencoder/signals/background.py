# SPDX-License-Identifier: GPL-3.0-or-later
"""The noise under the signals of a band, from a few frames on, although nothing is known of the band.

In time, a bin's noise is a low quantile over the medians of its last looks: it ignores what comes and goes. In frequency, noise
follows the receiver's filter: flat within its pass band, and lower beyond. So what stands out of the lowest part of the middle
of the band is signal, however long it lasts, and what lies below that is the filter.

Shape letters: F frames, N bins, T parts of PART bins.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from ..tokens.tokenize import optional_native_module

PART = 8  # bins
LOOKS = 32  # whose medians are kept
_TIME_QUANTILE = 0.25
_REACH = 16  # parts on either side of one, among which its noise is looked for
_FREQUENCY_QUANTILE = 0.4  # over them
_MIDDLE = 0.7  # share of the band that lies in the pass band of a usual receiver
_LOWEST, _NEAR_DB = 0.05, 2.0  # quantile over the middle, and what lies so near above it is noise
_OVER_DB = 2.0  # by which the noise of a part may exceed that of the middle: tilt and ripple
_BELOW_DB = 1.2  # by which a part lies below the middle if the filter takes its noise away
_SLOPE = 0.5  # dB allowed for each dB from part to part


class NoiseFloor:
    """Follows the noise of one tuning.

    Args:
        n_bins: N. spectra: independent spectra in a frame.
    """

    def __init__(self, n_bins: int, spectra: float):
        self.n_bins, self._part = n_bins, min(PART, n_bins)
        self._looks: deque[np.ndarray] = deque(maxlen=LOOKS)
        self._spectra = spectra
        self._at = (np.arange(n_bins) + 0.5) / self._part - 0.5

    def take(self, psd: np.ndarray, signal: np.ndarray | None = None) -> np.ndarray:
        """Takes a look of frames (F, N) dBFS; the noise (N,) dBFS under it.

        Args:
            signal: (N,) bool, bins of which another source says that a signal is there all the time; they do not count.
        """
        native = optional_native_module()
        median = np.median(psd, axis=0) if native is None else native.column_medians(np.ascontiguousarray(psd, np.float32))
        bias = 4.342945 / (3.0 * self._spectra)  # of a median in dB: (1 - 1 / (9 K))^3
        parts = np.median(median.reshape(-1, self._part), axis=1).astype(np.float64) + bias
        self._looks.append(parts)
        level = np.partition(np.stack(self._looks), int(_TIME_QUANTILE * len(self._looks)), axis=0)[
            int(_TIME_QUANTILE * len(self._looks))]
        noise = self._under(level, None if signal is None else signal.reshape(-1, self._part).mean(axis=1) > 0.5)
        slope = np.abs(np.gradient(noise)) if len(noise) > 1 else np.zeros_like(noise)
        noise = noise + _SLOPE * np.where(slope > 0.25, slope, 0.0)
        return np.interp(self._at, np.arange(len(noise)), noise).astype(np.float32)

    def _under(self, level: np.ndarray, signal: np.ndarray | None) -> np.ndarray:
        """Noise (T,) under levels (T,) in dB."""
        count = len(level)
        margin = int(0.5 * (1.0 - _MIDDLE) * count)
        middle = level[margin:count - margin]
        if signal is not None:
            free = ~signal[margin:count - margin]
            if free.mean() >= _LOWEST:
                middle = middle[free]
            elif not signal.all():
                middle = level[~signal]
        lowest = np.quantile(middle, _LOWEST)
        flat = float(np.median(middle[middle <= lowest + _NEAR_DB]))
        padded = np.concatenate([level[:1], level, level[-1:]])
        smooth = (padded[:-2] + padded[1:-1] + padded[2:]) / 3.0
        reach = min(_REACH, count - 1)
        noise = (level >= flat - _BELOW_DB) & (level <= flat + _OVER_DB)
        passed = np.pad(np.where(noise, level, flat), reach, mode="reflect")
        around = np.lib.stride_tricks.sliding_window_view(passed, 2 * reach + 1)
        rank = int(_FREQUENCY_QUANTILE * (2 * reach + 1))
        return np.where(smooth < flat - _BELOW_DB, smooth, np.partition(around, rank, axis=1)[:, rank])

    def restart(self):
        """The gain or the place of the band has changed: nothing of before holds."""
        self._looks.clear()
