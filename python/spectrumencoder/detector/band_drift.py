# SPDX-License-Identifier: GPL-3.0-or-later
"""Slow changes of a calibrated band: tilt and ripple of the receiver are followed, and larger changes are noticed.

Gain is taken off frame by frame, with the noise floor. Temperature, or the ageing of a filter, bends the floor. A curve of
``KNOTS`` points over the bins that no emitter uses follows that bend, from frames that are not suspicious. It moves by at most
``DRIFT_DB_PER_HOUR``: so slowly that nothing which comes within minutes is taken for drift.

The calibration no longer holds if the scores have moved all the same, by the table's own p-values. It does not hold either if
most quiet bins deviate by more than they did.
"""

from __future__ import annotations

import numpy as np

from ..tokens.tokenize import optional_native_module
from .band_statistics import BandStatistics
from .spline import cubic_spline

KNOTS = 16
DRIFT_DB_PER_HOUR = 5.0
BLOCK_FRAMES = 64  # the curve moves after as many frames, however frames are batched
QUIET_STD = 1.5  # an emitter's bins vary this many times more than the middle bin, or belong to a component
_GAIN = 0.2  # share of a block's mean deviation that the curve takes at once
_CLIP_STD = 3.0
WATCHED_FRAMES = 4096
SHARE, SURPLUS = 0.1, 0.1  # the share of frames with p <= SHARE is SHARE; SURPLUS more than that, twice on end, is no chance
_SIGNIFICANT = 5.0
ROUGHER = 1.2  # deviation of the median quiet bin over that of the calibration: above this, or below 1 / this, twice on end


class BandDrift:
    """Follows one band. ``curve`` (N,) float32, dB, is to be taken off the levels over the floor."""

    def __init__(self, band: BandStatistics):
        n_bins = len(band.mean)
        self._band, self._n_knots = band, min(KNOTS, n_bins)
        loud = np.square(band.components).sum(axis=0) > 4.0 / n_bins if len(band.components) else np.zeros(n_bins, bool)
        quiet = (band.std <= QUIET_STD * np.median(band.std)) & ~loud
        parts = [np.flatnonzero(quiet[part]) + part[0] for part in np.array_split(np.arange(n_bins), self._n_knots)]
        self._all_quiet = np.flatnonzero(quiet)
        self._usable = np.array([len(part) >= 4 for part in parts])
        self._counts = np.array([len(part) for part in parts])[self._usable]  # number of bins of each usable knot
        self._bins = np.concatenate([np.zeros(0, int), *(part for part in parts if len(part) >= 4)])
        self._limit = np.float32(_CLIP_STD) * band.std
        self._spline = self._through_knots(np.array([part.mean() for part in np.array_split(np.arange(n_bins), self._n_knots)]))
        self._knots = np.zeros(len(self._counts))  # of those that are usable
        self.curve = np.zeros(n_bins, np.float32)
        self._n_block = self._n_unsuspicious = 0  # frames of the block that goes on
        self._off, self._off_squares = np.zeros(n_bins), np.zeros(n_bins)  # sums of its deviations: dB, and squares
        self._squares, self._n_squares, self._rough = np.zeros(len(self._all_quiet)), 0, 0
        self._watched = self._over = self._alarms = 0

    def left(self) -> int:
        """Frames that the curve holds for from here on."""
        return BLOCK_FRAMES - self._n_block

    def take(self, level: np.ndarray, unsuspicious: np.ndarray, frame_s: float) -> None:
        """Takes frames that were judged with the curve.

        Args:
            level: (F, N) float32, F <= left(), dB over the floor, the curve not taken off.
            unsuspicious: (F,) bool. frame_s: seconds from frame to frame.
        """
        native, band = optional_native_module(), self._band
        given = _add_deviations_numpy if native is None else native.add_deviations
        given(level, band.mean, self.curve, self._limit, band.std, unsuspicious, self._off, self._off_squares)
        self._n_block += len(level)
        self._n_unsuspicious += int(np.count_nonzero(unsuspicious))
        if self._n_block == BLOCK_FRAMES:
            self._end_block(frame_s)

    def _end_block(self, frame_s: float):
        self._squares += self._off_squares[self._all_quiet]
        self._n_squares += self._n_block
        if self._n_unsuspicious and len(self._bins):
            sums = np.add.reduceat(self._off[self._bins], np.cumsum(self._counts) - self._counts)
            most = DRIFT_DB_PER_HOUR / 3600.0 * frame_s * self._n_block
            self._knots += np.clip(_GAIN * sums / (self._counts * self._n_unsuspicious), -most, most)
            self.curve = (self._spline * self._knots[:, None]).sum(axis=0).astype(np.float32)
        self._n_block = self._n_unsuspicious = 0
        self._off[:], self._off_squares[:] = 0.0, 0.0

    def _through_knots(self, centres: np.ndarray) -> np.ndarray:
        """The curve through a knot of 1 if the others are 0, (usable knots, N). A curve is linear in its knots.

        A cubic spline: boxes of many bins would see the error of straight lines.
        """
        places, bins = centres[self._usable], np.arange(len(self._band.mean))
        units = np.eye(len(places))
        return np.array([cubic_spline(places, u, bins) if len(places) > 3 else np.interp(bins, places, u) for u in units])

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
        over = np.asarray(p_values) <= SHARE
        while len(over):
            some, over = over[:WATCHED_FRAMES - self._watched], over[WATCHED_FRAMES - self._watched:]
            self._watched += len(some)
            self._over += int(np.count_nonzero(some))
            if self._watched < WATCHED_FRAMES:
                break
            chance = _SIGNIFICANT * np.sqrt(SHARE * (1 - SHARE) / max(self._watched * effective_share, 1.0))
            moved = self._over / self._watched > SHARE + max(SURPLUS, chance)
            self._alarms = self._alarms + 1 if moved else 0
            self._watched = self._over = 0
            if self._alarms == 2:
                return True
        return False


def _add_deviations_numpy(levels, mean, curve, limit, deviation, chosen, sums, squares) -> None:
    """The same as the compiled module's, bit for bit: adds to the sums frame by frame."""
    for level, counts in zip(levels, chosen, strict=True):
        off = np.maximum(np.minimum(level - mean - curve, limit), -limit)
        if counts:
            sums += off
        squares += np.square(off / deviation)
