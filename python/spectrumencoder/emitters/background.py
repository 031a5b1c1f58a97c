# SPDX-License-Identifier: GPL-3.0-or-later
"""The background of a tuning: the mean power of each bin when nothing new is there, and the gain that is common to all bins.

Frames are taken in blocks of ``BLOCK``. The median of a block ignores what is on for less than half of it. A low quantile over
the blocks ignores emitters that come and go. Afterwards each bin follows slow change, so far as ``FOLLOW_DB_PER_S`` allows.

The compiled module (lib/noise_excess.h) gives the same bits as the NumPy code here. A frame's numbers do not depend on its batch.

Shape letters: F frames, N bins, R reference bins.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..detector.decibels import powers
from ..tokens.tokenize import optional_native_module

BLOCK = 32  # frames
FOLLOW_DB_PER_S = 0.003  # 11 dB an hour
MAX_BLOCKS = 1024  # whose medians are kept while learning; then every other one goes
_QUANTILE, _FEW = 0.35, 8  # over the blocks; the median as long as there are few
_Z_QUANTILE = -0.38532  # of a normal variable at _QUANTILE
_NOISE_RANKS, _NOISE_SPAN_DB = (0.15, 0.45), 1.5  # of the bins that give the gain
_TRIM = 3.0  # deviations of a bin, within which it counts for the gain
_ROUNDED = 0.02  # quantile of the bins whose power may be rounding alone
_ROUNDED_BELOW = 0.7  # of the median bin's power: if more, nothing separates rounding from noise
_LOW_DB = -0.1  # common gain below which rounding shows
BUSY = 1.05  # allowed power over the background from which a bin is one of the band's own emitters


class Rounding(NamedTuple):
    """What does not follow the gain.

    Attributes:
        share: (N,) float32, of each bin's mean that is rounding. parts: (F, 2) float32, factors of that share and of the rest,
            both over the frame's gain; zeros for a frame that is not low.
    """

    share: np.ndarray
    parts: np.ndarray


class Expected(NamedTuple):
    """The usual spectrum of a tuning.

    Attributes:
        freq_hz, samp_rate: of the tuning, Hz. mean_dbfs: (N,) float32, mean power of each bin.
        spectra: independent spectra in a frame; a frame's power is gamma distributed around the mean, with this shape.
    """

    freq_hz: float
    samp_rate: float
    mean_dbfs: np.ndarray
    spectra: float


_NOTHING_ROUNDED = Rounding(np.zeros(0, np.float32), np.zeros((0, 2), np.float32))


class Background:
    """Learns and follows the background of one tuning.

    Args:
        n_bins: N. spectra: independent spectra in a frame. usable: bins that may give the gain.
    """

    def __init__(self, n_bins: int, spectra: float, usable: slice = slice(None)):
        self.n_bins, self.spectra, self._usable = n_bins, spectra, usable
        self.sigma_db = 4.342945 / math.sqrt(spectra)  # of a bin in one frame
        self._median = (1.0 - 1.0 / (9.0 * spectra)) ** 3  # of a gamma variable of mean 1 (Wilson and Hilferty 1931)
        self._medians: list[np.ndarray] = []  # of blocks, (N,) dB
        self._stride = self._waiting = 1
        self.mean_db: np.ndarray | None = None
        self._known_shares: tuple[np.ndarray, float, float] | None = None  # of mean_db
        self._known_noise_db: float | None = None  # of mean_db
        self.low_db: np.ndarray | None = None  # (N,) dBFS, exceeded in nine blocks of ten
        self.frames = 0  # behind mean_db

    @property
    def ready(self) -> bool:
        return self.mean_db is not None

    @property
    def error(self) -> float:
        """Standard deviation of a bin's mean over that mean."""
        return 1.2533 / math.sqrt(max(self.frames, 1) * self.spectra)

    def gains_db(self, psd: np.ndarray) -> np.ndarray:
        """Common gain of each frame against the background, (F, N) dBFS -> (F,) dB: a trimmed mean over the reference bins.

        It is NaN if one of those bins is not finite.
        """
        native = optional_native_module()
        given = common_gains_numpy if native is None else native.common_gains
        psd = np.ascontiguousarray(psd, np.float32)
        return (given(psd, self.mean_db, self._reference, _TRIM * self.sigma_db) + self._log_bias()).astype(np.float32)

    def excess(self, psd: np.ndarray, gains_db: np.ndarray, allowed: np.ndarray, fresh: np.ndarray) -> np.ndarray:
        """Power over what is expected, (F, N) dBFS -> (F, N).

        Args:
            gains_db: (F,), of ``gains_db``. allowed: (N,) power over the background that each bin may show.
            fresh: (F, N) float32, written: 1 if a busy bin shows what it may, and else its power over that. A bin is busy if
                `allowed` is more than BUSY there.
        """
        native = optional_native_module()
        given = noise_excess_numpy if native is None else native.noise_excess
        psd, gains_db, allowed = (np.ascontiguousarray(part, np.float32) for part in (psd, gains_db, allowed))
        ratio = np.empty_like(psd)
        given(psd, gains_db, self.mean_db, *self._rounding(gains_db), allowed, BUSY, ratio, fresh)
        return ratio

    def _set(self, mean_db: np.ndarray, frames: int):
        """Takes a background, and chooses the reference bins of the gain: those at the level of the noise.

        Bins are ranked by level. The lowest may be a filter's stop band, the highest are signals. What lies between is noise,
        if signals take less than half of the band; all bins near its level are reference bins.
        """
        self.mean_db, self.frames = mean_db.astype(np.float32), frames
        self._known_shares = self._known_noise_db = None
        usable = self.mean_db[self._usable]
        low, high = (int(share * len(usable)) for share in _NOISE_RANKS)
        level = float(np.median(np.sort(usable)[low:high + 1]))
        first = self._usable.indices(self.n_bins)[0]
        self._reference = (first + np.flatnonzero(np.abs(usable - level) < _NOISE_SPAN_DB)).astype(np.uint32)

    @property
    def noise_db(self) -> float:
        """Level of the noise in the pass band, dBFS: of the reference bins."""
        if self._known_noise_db is None:
            self._known_noise_db = float(np.median(self.mean_db[self._reference]))
        return self._known_noise_db

    def restore(self, mean_db: np.ndarray, frames: int):
        """Takes a background (N,) dBFS that was learned before, and the number of frames behind it."""
        self._set(np.asarray(mean_db, np.float32), frames)

    def begin(self, frames: np.ndarray):
        """Takes the first frames (F, N) dBFS of the tuning."""
        self._set(self._mean_of_block(frames), len(frames))

    def expected_db(self, gains_db: np.ndarray) -> np.ndarray:
        """Expected power of each bin, (F,) dB -> (F, N) dBFS.

        If a filter takes the noise away, rounding to 8 bits may be what is left. That part does not follow the gain. Which part
        it is cannot be known, so the larger expectation holds.
        """
        share, parts = self._rounding(gains_db)
        whole = self.mean_db + gains_db[:, None]
        return whole + 10.0 * np.log10(_raised(share, parts)) if share.size else whole

    def _rounding(self, gains_db: np.ndarray) -> Rounding:
        low = gains_db < _LOW_DB
        if not low.any():
            return _NOTHING_ROUNDED
        share, rounding, middle = self._shares()
        if rounding >= _ROUNDED_BELOW * middle:
            return _NOTHING_ROUNDED
        gain = 10.0 ** (0.1 * gains_db.astype(np.float64))
        follows = np.maximum((gain * middle - rounding) / (middle - rounding), 0.0)
        parts = np.where(low[:, None], np.stack([1.0 / gain, follows / gain], axis=1), 0.0)
        return Rounding(share, parts.astype(np.float32))

    def _shares(self) -> tuple[np.ndarray, float, float]:
        """Share (N,) float32 of rounding in each bin's mean, power of rounding in a bin, mean power of the middle bin."""
        if self._known_shares is None:
            linear, rank = 10.0 ** (0.1 * self.mean_db.astype(np.float64)), int(_ROUNDED * self.n_bins)
            rounding = float(np.partition(linear, rank)[rank])
            self._known_shares = (rounding / linear).astype(np.float32), rounding, float(np.median(linear))
        return self._known_shares

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
        self.low_db = np.partition(blocks, len(blocks) // 10, axis=0)[len(blocks) // 10]
        if len(blocks) < _FEW:
            mean = np.median(blocks, axis=0)
        else:
            rank = int(_QUANTILE * len(blocks))
            mean = np.partition(blocks, rank, axis=0)[rank] - _Z_QUANTILE * self.sigma_db * 1.2533 / math.sqrt(BLOCK)
        self._set(mean, len(blocks) * BLOCK)

    def follow(self, block: np.ndarray, block_s: float):
        """Moves each bin towards a block of frames, (BLOCK, N) dB less their gain, by what FOLLOW_DB_PER_S allows."""
        step = FOLLOW_DB_PER_S * block_s
        self.mean_db += np.clip(self._mean_of_block(block) - self.mean_db, -step, step)
        self._known_shares = self._known_noise_db = None

    def take_over(self, low: int, high: int, block: np.ndarray):
        """Bins low..high hold a carrier that stays: their background is what a block of frames shows, dB less their gain."""
        mean = self.mean_db.copy()
        mean[low:high + 1] = self._mean_of_block(block)[low:high + 1]
        self._set(mean, self.frames)

    def forget_blocks(self):
        """Learning is over: drops the medians that only that needed."""
        self._medians = []

    def _mean_of_block(self, block: np.ndarray) -> np.ndarray:
        native = optional_native_module()
        block = np.ascontiguousarray(block, np.float32)
        median = np.median(block, axis=0) if native is None else native.column_medians(block)
        return median - np.float32(10.0 * math.log10(self._median))

    def _log_bias(self) -> float:
        """10 log10 of the mean less the mean of 10 log10, of a gamma variable of shape ``spectra``."""
        return 4.342945 * (0.5 / self.spectra + 1.0 / (12.0 * self.spectra**2))


def common_gains_numpy(psd: np.ndarray, mean_db: np.ndarray, reference: np.ndarray, near_db: float) -> np.ndarray:
    """Mean over the reference bins (R,) of what is near their median, made near twice: (F, N) -> (F,) float64 dB."""
    over = np.take(psd, reference, axis=1) - mean_db[reference]
    gain = np.median(over, axis=1).astype(np.float64)
    over = over.astype(np.float64)
    for _ in range(2):
        near = np.abs(over - gain[:, None]) < near_db
        gain = np.where(near, over, 0.0).sum(axis=1) / np.maximum(near.sum(axis=1), 1)
    return np.where(np.isfinite(over).all(axis=1), gain, np.nan)


def noise_excess_numpy(psd, gains_db, mean_db, share, parts, allowed, busy, ratio, fresh) -> None:
    """The same as the compiled module's, bit for bit. Writes ratio and fresh (F, N)."""
    ratio[:] = powers((psd - mean_db) - gains_db[:, None])
    if share.size:
        ratio /= _raised(share, parts)
    fresh[:] = np.where(allowed > np.float32(busy), np.where(ratio <= allowed, np.float32(1.0), ratio / allowed), ratio)


def _raised(share: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """The factor by which rounding raises what is expected, (N,), (F, 2) -> (F, N), min 1."""
    follows = np.maximum(np.float32(1.0) - share, np.float32(0.0))
    return np.maximum(share * parts[:, :1] + follows * parts[:, 1:], np.float32(1.0))
