# SPDX-License-Identifier: GPL-3.0-or-later
"""The channels of the anomaly score: what each frame is measured by before anything is calibrated.

* ``residual_S`` (S = 1, 4, 16, 64 bins): the largest moving sum of the standardised residual over S neighbouring bins,
  divided by sqrt(S), so that unit-variance independent bins give every scale the same variance. More power than expected.
* ``missing_S`` (S = 16, 64): the same of the negative residual. Less power than expected: an emitter that fell silent.
* ``model_S``, ``model_missing_S``: the same of the model's own residual, where the others are of the band's (see below).
* ``head``: the anomaly logit that the encoder's head has learned.
* ``floor``: how far the frame's absolute noise floor is from its own slow track, in dB. Frames are normalised by their
  floor before the encoder sees them, so only this channel can see a barrage that raises the whole band.

* ``excess_S_T``, ``missing_S_T``, ``power_S_T``, ``power_missing_S_T``: of boxes of S bins and T frames (``box_search``).

On a band whose plan was learned the last kind stands in place of the first two, which look at the model's residual.

Mean-square error alone is a weak score (it dilutes a narrow signal over all bins); the maxima at several scales are not.

Shape letters: F frames, N bins, C channels.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable

import numpy as np

from ..tokens.tokenize import optional_native_module
from .box_search import BOX_CHANNELS, BoxSearch

SCALES = (1, 4, 16, 64)
MISSING_SCALES = (16, 64)
HEAD, FLOOR = "head", "floor"
# name -> (sign, scale in bins) of the channels that have a place in frequency
WINDOWS = {f"residual_{s}": (1, s) for s in SCALES} | {f"missing_{s}": (-1, s) for s in MISSING_SCALES}
_WINDOW_SIGNS = np.array([sign for sign, _ in WINDOWS.values()], np.int32)
_WINDOW_SCALES = np.array([scale for _, scale in WINDOWS.values()], np.uint32)
MODEL = {f"model_{name.removeprefix('residual_')}": name for name in WINDOWS}  # channel -> the window that it is as wide as
CHANNELS = (*WINDOWS, HEAD, FLOOR)  # where no band was learned
BAND_CHANNELS = (*BOX_CHANNELS, *MODEL, HEAD, FLOOR)  # where one was
_CHUNK = 256  # frames at a time: bounds the memory of the cumulative sums


def moving_sums(residual: np.ndarray) -> dict[int, np.ndarray]:
    """Per scale of ``SCALES``: sums over that many neighbouring bins / sqrt(scale), (F, N) -> (F, N - scale + 1) float64.

    A scale wider than the band is cut to it.
    """
    cumulative = np.zeros((residual.shape[0], residual.shape[1] + 1))
    np.cumsum(residual, axis=1, dtype=np.float64, out=cumulative[:, 1:])
    sums = {}
    for scale in SCALES:
        width = min(scale, residual.shape[1])
        sums[scale] = (cumulative[:, width:] - cumulative[:, :-width]) * (1.0 / math.sqrt(width))
    return sums


def residual_maxima(residual: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """The channels of ``WINDOWS``, in its order: (F, N) standardised residual -> (F, len(WINDOWS)) float32.

    Args:
        out: written and returned; columns of a wider array may be given.
    """
    out = np.empty((len(residual), len(WINDOWS)), np.float32) if out is None else out
    native = optional_native_module()
    if native is None:
        out[:] = residual_maxima_numpy(residual)
    else:
        native.window_maxima(np.ascontiguousarray(residual, np.float32), _WINDOW_SCALES, _WINDOW_SIGNS, out)
    return out


def residual_maxima_numpy(residual: np.ndarray) -> np.ndarray:
    """As ``residual_maxima``, bit for bit, without the compiled module."""
    values = np.empty((len(residual), len(WINDOWS)), np.float32)
    for start in range(0, len(residual), _CHUNK):
        rows = slice(start, start + _CHUNK)
        sums = moving_sums(residual[rows])
        for column, (sign, scale) in enumerate(WINDOWS.values()):
            values[rows, column] = sums[scale].max(axis=1) if sign > 0 else -sums[scale].min(axis=1)
    return values


def channel_values(residual: np.ndarray, logit: np.ndarray, floor_deviation_db: np.ndarray, scan: BoxSearch | None = None,
                   rows: np.ndarray | None = None) -> np.ndarray:
    """All channels of ``CHANNELS``, or with a band's scan of ``BAND_CHANNELS``, in that order.

    Args:
        residual: (F, N) float32, the model's, standardised.
        logit: (F,) of the head.
        floor_deviation_db: (F,) signed, from ``FloorTrack.deviations``.
        rows: (HISTORY + F, P) of the scan's boxes, those of the frames before first.

    Returns:
        (F, C) float32.
    """
    n_scan = 0 if scan is None else len(BOX_CHANNELS)
    values = np.empty((len(residual), n_scan + len(WINDOWS) + 2), np.float32)
    if scan is not None:
        scan.maxima(rows, values[:, :n_scan])
    residual_maxima(residual, values[:, n_scan:-2])
    values[:, -2] = logit
    np.abs(floor_deviation_db, out=values[:, -1])
    return values


def largest_standardised(values: np.ndarray, columns: np.ndarray, median: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """The largest (value - median) / spread of each frame, (F, all) -> (F,) float32; NaN where one is not a number.

    Args:
        columns: (C,) uint32, those that are looked at. median, spread: (C,) float32.
    """
    native = optional_native_module()
    if native is None:
        return ((values[:, columns] - median) / spread).max(axis=1)
    return native.largest_standardised(values, columns, median, spread)


def mean_square(residual: np.ndarray) -> np.ndarray:
    """Mean-square residual of each frame, (F, N) -> (F,) float32: the score of the fixed threshold."""
    return np.array([np.dot(row, row) / len(row) for row in np.asarray(residual, np.float64)], np.float32)


class FloorTrack:
    """The slow, rate-limited track of the absolute noise floor, one per place (centre frequency and rate) of the tuner.

    The track follows the floor by at most ``drift_db_per_s`` times the frame's duration, so that slow drift of gain is
    followed while a barrage stands out for minutes. So that it starts from more than one frame's luck, the n-th frame of a
    place may move it by 1/n dB if that is more; and a deviation from a track of n frames counts sqrt(n / (n + 1)), since that
    track has its own error. State is in the order of the frames, however they are batched.
    """

    PLACES = 64  # as many places are remembered; the one unseen for longest is forgotten first

    def __init__(self, drift_db_per_s: float = 0.05):
        if not 0.0 <= drift_db_per_s < np.inf:
            raise ValueError(f"drift_db_per_s {drift_db_per_s} must be a number of dB per second, 0 or more")
        self.drift_db_per_s = drift_db_per_s
        self.reset()

    def reset(self):
        """Forgets every place."""
        self._places: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()  # place -> (track in dBFS, frames seen)

    def deviations(self, floor_dbfs: np.ndarray, frame_s: float, place: Hashable = None) -> np.ndarray:
        """Signed deviation of each frame's floor from the track before that frame moves it.

        Args:
            floor_dbfs: (F,) in the order of time. frame_s: from one frame to the next, in seconds.
            place: whatever tells one tuning from another; each has its own track.

        Returns:
            (F,) float32, dB; 0 for the first frame of a place.
        """
        floors = floor_dbfs.tolist()
        if not floors:
            return np.zeros(0, np.float32)
        track, count = self._places.pop(place, (floors[0], 0))
        slow_step = self.drift_db_per_s * frame_s
        result = []
        for floor in floors:
            deviation = floor - track
            result.append(deviation * math.sqrt(count / (count + 1)))
            count += 1
            step = max(slow_step, 1.0 / count)
            track += min(max(deviation, -step), step)
        self._places[place] = (track, count)
        if len(self._places) > self.PLACES:
            self._places.popitem(last=False)
        return np.asarray(result, np.float32)
