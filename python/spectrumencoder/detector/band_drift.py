# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes slowly on a calibrated band: tilt and ripple of the receiver are followed, and more than that is noticed.

Gain is taken off frame by frame, with the noise floor. What bends the floor (temperature, ageing of a filter) is followed by
a curve of ``KNOTS`` points over the bins that no emitter uses, from frames that are not suspicious, by at most
``DRIFT_DB_PER_HOUR``: so slow that nothing which comes within minutes is taken for drift. When the scores have moved all the
same (the table's own p-values say so), or most quiet bins deviate by more than they did, the calibration no longer holds.
"""

from __future__ import annotations

import numpy as np

from .band_statistics import BandStatistics
from .spline import cubic_spline

KNOTS = 16
DRIFT_DB_PER_HOUR = 5.0
BLOCK_FRAMES = 64  # after as many frames the curve moves: what a frame gives does not hang on how frames were batched
QUIET_STD = 1.5  # an emitter's bins vary this many times more than the middle bin, or belong to a component
_GAIN = 0.2  # of a block's mean deviation that the curve takes at once
_CLIP_STD = 3.0
WATCHED_FRAMES = 4096
SHARE, SURPLUS = 0.1, 0.1  # frames with p <= SHARE are so many; more than SURPLUS above that, twice on end, is no chance
_SIGNIFICANT = 5.0
ROUGHER = 1.2  # the deviation of the middle quiet bin, of that of the calibration: as much again, or as little, twice on end


class BandDrift:
    """Follows one band. ``curve`` (N,) float32, dB, is to be taken off the levels over the floor."""

    def __init__(self, band: BandStatistics):
        n_bins = len(band.mean)
        self._band, self._n_knots = band, min(KNOTS, n_bins)
        loud = np.square(band.components).sum(axis=0) > 4.0 / n_bins if len(band.components) else np.zeros(n_bins, bool)
        quiet = (band.std <= QUIET_STD * np.median(band.std)) & ~loud
        self._quiet = [np.flatnonzero(quiet[part]) + part[0] for part in np.array_split(np.arange(n_bins), self._n_knots)]
        self._all_quiet = np.flatnonzero(quiet)
        self._usable = np.array([len(q) >= 4 for q in self._quiet])
        self._centres = np.array([part.mean() for part in np.array_split(np.arange(n_bins), self._n_knots)])
        self._knots = np.zeros(self._n_knots)
        self.curve = np.zeros(n_bins, np.float32)
        self._level = np.empty((BLOCK_FRAMES, n_bins), np.float32)  # of the block that goes on, and which are unsuspicious
        self._unsuspicious = np.empty(BLOCK_FRAMES, bool)
        self._n_block = 0
        self._squares, self._n_squares, self._rough = np.zeros(len(self._all_quiet)), 0, 0
        self._watched = self._over = self._alarms = 0

    def left(self) -> int:
        """Frames that the curve holds for from here on."""
        return BLOCK_FRAMES - self._n_block

    def take(self, level: np.ndarray, unsuspicious: np.ndarray, frame_s: float) -> None:
        """Levels (F, N), F <= left(), dB over the floor without the curve, that were judged with it; `unsuspicious` (F,) bool."""
        block = slice(self._n_block, self._n_block + len(level))
        self._level[block], self._unsuspicious[block] = level, unsuspicious
        self._n_block = block.stop
        if self._n_block < BLOCK_FRAMES:
            return
        self._n_block = 0
        off, unsuspicious, std, quiet = self._level, self._unsuspicious, self._band.std, self._all_quiet
        off -= self._band.mean
        off -= self.curve
        np.minimum(off, _CLIP_STD * std, out=off)
        np.maximum(off, -_CLIP_STD * std, out=off)
        mean = None
        if unsuspicious.any():
            mean = (off if unsuspicious.all() else off[unsuspicious]).mean(axis=0, dtype=np.float64)
        off /= std
        np.square(off, out=off)
        self._squares += off.sum(axis=0, dtype=np.float64)[quiet]
        self._n_squares += len(off)
        if mean is not None and self._usable.any():
            part = [mean[q].mean() if usable else 0.0 for q, usable in zip(self._quiet, self._usable, strict=True)]
            most = DRIFT_DB_PER_HOUR / 3600.0 * frame_s * len(off)
            self._knots += np.where(self._usable, np.clip(_GAIN * np.array(part), -most, most), 0.0)
            self.curve = self._through_knots()

    def _through_knots(self) -> np.ndarray:
        """A cubic spline: between straight lines ripple would leave what boxes of many bins see."""
        places, knots = self._centres[self._usable], self._knots[self._usable]
        bins = np.arange(len(self.curve))
        return (cubic_spline(places, knots, bins) if len(places) > 3 else np.interp(bins, places, knots)).astype(np.float32)

    def watch(self, p_values: np.ndarray, effective_share: float) -> bool:
        """Takes p-values of the frames of ``take`` that could open no event. True when the table no longer holds.

        Args:
            effective_share: independent frames that a frame counts for (``Table.effective_n`` / n).
        """
        if self._n_squares >= WATCHED_FRAMES:
            rough = float(np.median(np.sqrt(self._squares / self._n_squares))) if len(self._squares) else 1.0
            self._rough = self._rough + 1 if not 1.0 / ROUGHER <= rough <= ROUGHER else 0
            self._squares[:], self._n_squares = 0.0, 0
            if self._rough == 2:
                return True
        for p in p_values:
            self._watched += 1
            self._over += bool(p <= SHARE)
            if self._watched < WATCHED_FRAMES:
                continue
            chance = _SIGNIFICANT * np.sqrt(SHARE * (1 - SHARE) / max(self._watched * effective_share, 1.0))
            moved = self._over / self._watched > SHARE + max(SURPLUS, chance)
            self._alarms = self._alarms + 1 if moved else 0
            self._watched = self._over = 0
            if self._alarms == 2:
                return True
        return False
