# SPDX-License-Identifier: GPL-3.0-or-later
"""The background of a tuning: the mean power of each bin when nothing new is there, and the gain that is common to all bins.

Frames are taken in blocks of ``BLOCK``. The median of a block ignores what is on for less than half of it. A low quantile over
the blocks ignores emitters that come and go. Afterwards each bin follows slow change, so far as ``FOLLOW_DB_PER_S`` allows.

Shape letters: F frames, N bins.
"""

from __future__ import annotations

import math

import numpy as np

BLOCK = 32  # frames
FOLLOW_DB_PER_S = 0.003  # 11 dB an hour
MAX_BLOCKS = 1024  # whose medians are kept while learning; then every other one goes
_QUANTILE, _FEW = 0.35, 8  # over the blocks; the median as long as there are few
_Z_QUANTILE = -0.38532  # of a normal variable at _QUANTILE
_NOISE_RANKS, _NOISE_SPAN_DB = (0.15, 0.45), 1.5  # of the bins that tell the gain
_TRIM = 3.0  # deviations of a bin within which it tells the gain
_ROUNDED = 0.02  # quantile of the bins whose power may be rounding alone


class Background:
    """Learns and follows the background of one tuning.

    Args:
        n_bins: N. spectra: independent spectra in a frame.
    """

    def __init__(self, n_bins: int, spectra: float):
        self.n_bins, self.spectra = n_bins, spectra
        self.sigma_db = 4.342945 / math.sqrt(spectra)  # of a bin in one frame
        self._median = (1.0 - 1.0 / (9.0 * spectra)) ** 3  # of a gamma variable of mean 1 (Wilson and Hilferty 1931)
        self._medians: list[np.ndarray] = []  # of blocks, (N,) dB
        self._stride = self._waiting = 1
        self.mean_db: np.ndarray | None = None
        self.frames = 0  # behind mean_db

    @property
    def ready(self) -> bool:
        return self.mean_db is not None

    @property
    def error(self) -> float:
        """Standard deviation of a bin's mean over that mean."""
        return 1.2533 / math.sqrt(max(self.frames, 1) * self.spectra)

    def gains_db(self, psd: np.ndarray) -> np.ndarray:
        """Common gain of each frame against the background, (F, N) dBFS -> (F,) dB: a trimmed mean over the reference bins."""
        over = psd[:, self._reference] - self.mean_db[self._reference]
        gain = np.median(over, axis=1)
        for _ in range(2):
            near = np.abs(over - gain[:, None]) < _TRIM * self.sigma_db
            gain = np.where(near, over, 0.0).sum(axis=1, dtype=np.float64) / np.maximum(near.sum(axis=1), 1)
        return (gain + self._log_bias()).astype(np.float32)

    def _set(self, mean_db: np.ndarray, frames: int):
        """Takes a background, and chooses the bins that tell the gain: those at the level of the noise.

        Bins are ranked by level. The lowest may be a filter's stop band, the highest are signals. What lies between is noise,
        if signals take less than half of the band; all bins near its level are reference bins.
        """
        self.mean_db, self.frames = mean_db.astype(np.float32), frames
        low, high = (int(share * self.n_bins) for share in _NOISE_RANKS)
        level = float(np.median(np.sort(self.mean_db)[low:high + 1]))
        self._reference = np.flatnonzero(np.abs(self.mean_db - level) < _NOISE_SPAN_DB)

    def begin(self, frames: np.ndarray):
        """Takes the first frames (F, N) dBFS of the tuning."""
        self._set(self._mean_of_block(frames), len(frames))

    def expected_db(self, gains_db: np.ndarray) -> np.ndarray:
        """Expected power of each bin, (F,) dB -> (F, N) dBFS.

        Where a filter takes the noise away, rounding to 8 bits may be what is left. That part does not follow the gain. Which
        part it is cannot be known, so the larger expectation holds.
        """
        whole = self.mean_db + gains_db[:, None]
        low = np.flatnonzero(gains_db < -0.1)
        if low.size:
            linear = 10.0 ** (0.1 * self.mean_db)
            rounding = float(np.partition(linear, int(_ROUNDED * self.n_bins))[int(_ROUNDED * self.n_bins)])
            middle = float(np.median(linear))
            if rounding < 0.7 * middle:
                factor = np.maximum((10.0 ** (0.1 * gains_db[low]) * middle - rounding) / (middle - rounding), 0.0)
                fixed = rounding + np.maximum(linear - rounding, 0.0) * factor[:, None]
                whole[low] = np.maximum(whole[low], 10.0 * np.log10(np.maximum(fixed, 1e-20)))
        return whole

    def learn(self, block: np.ndarray):
        """Takes a block of frames, (BLOCK, N) dB less their gain, and makes the background anew when twice as many are there."""
        self._waiting -= 1
        if self._waiting:
            return
        self._waiting = self._stride
        self._medians.append(self._mean_of_block(block))
        if len(self._medians) > MAX_BLOCKS:
            self._medians = self._medians[::2]
            self._stride *= 2
        count = len(self._medians)
        if count & (count - 1) == 0 or count % 64 == 0:
            self.settle()

    def settle(self):
        """Makes the background of all blocks so far."""
        if not self._medians:
            return
        blocks = np.stack(self._medians)
        if len(blocks) < _FEW:
            mean = np.median(blocks, axis=0)
        else:
            rank = int(_QUANTILE * len(blocks))
            mean = np.partition(blocks, rank, axis=0)[rank] - _Z_QUANTILE * self.sigma_db * 1.2533 / math.sqrt(BLOCK)
        self._set(mean, len(blocks) * BLOCK)

    def follow(self, block: np.ndarray, block_s: float):
        """Moves each bin towards a block of frames, (BLOCK, N) dB less their gain, by as much as may be."""
        step = FOLLOW_DB_PER_S * block_s
        self.mean_db += np.clip(self._mean_of_block(block) - self.mean_db, -step, step)

    def forget_blocks(self):
        """Learning is over: lets go of what only that needed."""
        self._medians = []

    def _mean_of_block(self, block: np.ndarray) -> np.ndarray:
        return np.median(block, axis=0) - np.float32(10.0 * math.log10(self._median))

    def _log_bias(self) -> float:
        """10 log10 of the mean less the mean of 10 log10, of a gamma variable of shape ``spectra``."""
        return 4.342945 * (0.5 / self.spectra + 1.0 / (12.0 * self.spectra**2))
