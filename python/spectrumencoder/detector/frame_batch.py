# SPDX-License-Identifier: GPL-3.0-or-later
"""The inputs of the channels: everything that is known of some frames when they are measured.

Detector and calibration make batches in the same way, by ``FrameInputs``. A channel with a new input gets it as a field of
``FrameBatch``; an input that needs a memory of earlier frames keeps it in ``FrameInputs``.

Shape letters: F frames, N bins, P boxes of one frame.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np

from ..encoder import features as layout
from .box_search import BoxSearch
from .floor_track import FloorTrack


class FrameBatch(NamedTuple):
    """Frames in the order of time."""

    psd: np.ndarray | None  # (F, N) dBFS; None: a calibration of no one tuning was not given it
    residual: np.ndarray  # (F, N) float32, the model's, standardised
    features: np.ndarray  # (F, 256), layout encoder.features
    floor_deviation: np.ndarray  # (F,) float32, dB, signed, from the slow track; 0 if skipped
    # the last two, which do not have a row for each frame
    search: BoxSearch | None = None  # of the band; None: its plan was not learned
    rows: np.ndarray | None = None  # (HISTORY + F, P) of the search's boxes, those of the frames before first

    @property
    def n_frames(self) -> int:
        return len(self.residual)

    def of(self, frames: slice | np.ndarray) -> FrameBatch:
        """Some of the frames, without boxes; a slice copies nothing."""
        return FrameBatch(*(None if part is None else part[frames] for part in self[:-2]))

    def with_boxes(self, search: BoxSearch, rows: np.ndarray) -> FrameBatch:
        """The same frames, with the boxes of their band."""
        return FrameBatch(*self[:-2], search, rows)


class FrameInputs:
    """Makes batches, and remembers of earlier frames what the inputs of later ones need.

    Args:
        drift_db_per_s: how fast the floor's slow track may move.
    """

    def __init__(self, drift_db_per_s: float):
        self._floor = FloorTrack(drift_db_per_s)

    def reset(self):
        """Forgets all frames so far."""
        self._floor.reset()

    def batch(self, psd: np.ndarray | None, residual: np.ndarray, features: np.ndarray, used: np.ndarray, frame_s: float,
              place: Hashable) -> FrameBatch:
        """The next frames as a batch.

        Args:
            psd, residual, features: see ``FrameBatch``.
            used: (U,) numbers of the frames that were not skipped: only these are remembered.
            frame_s: seconds from frame to frame. place: any key that tells one tuning from another.
        """
        deviations = self._floor.deviations(features[as_slice(used), layout.FLOOR_DBFS], frame_s, place)
        if len(used) < len(residual):
            floor_deviation = np.zeros(len(residual), np.float32)
            floor_deviation[used] = deviations
        else:
            floor_deviation = deviations
        return FrameBatch(psd, residual, features, floor_deviation)


def used_frames(features: np.ndarray) -> np.ndarray:
    """Numbers (U,) of the frames (F, 256) that were not skipped."""
    return (features[:, layout.SKIPPED] == 0).nonzero()[0]


def as_slice(numbers: np.ndarray) -> slice | np.ndarray:
    """Ascending numbers as a slice if they follow each other, which they nearly always do: a slice takes no copies."""
    return slice(int(numbers[0]), int(numbers[-1]) + 1) if len(numbers) and numbers[-1] - numbers[0] + 1 == len(numbers) \
        else numbers
