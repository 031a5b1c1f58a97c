# SPDX-License-Identifier: GPL-3.0-or-later
"""The slow track of the absolute noise floor, which a barrage stands out from."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable

import numpy as np


class FloorTrack:
    """The slow, rate-limited track of the absolute noise floor, one per place (centre frequency and rate) of the tuner.

    The track follows the floor by at most ``drift_db_per_s`` times the frame's duration. Slow drift of gain is followed, and a
    barrage stands out for minutes. The n-th frame of a place may move the track by 1/n dB if that is more, so that its start
    does not hang on one frame. A track of n frames has an error of its own: a deviation from it counts sqrt(n / (n + 1)).
    State is in the order of the frames, however they are batched.
    """

    PLACES = 64  # the number of places remembered; the one unseen for longest is forgotten first

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
            place: any key that tells one tuning from another; each has its own track.

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
