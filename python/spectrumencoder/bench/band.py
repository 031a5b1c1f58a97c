# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated band in memory that a detector has learned: the bundled demo without its anomaly, played as a loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle

import numpy as np

from ..detector.calibrate import frames_needed
from ..detector.events import Segment
from ..detector.learn_band import learn_bands
from ..detector.table import Table
from ..encoder.engine import Engine
from ..encoder.model_file import ModelFile
from ..recordings import MemoryRecording
from ..simulate.scenes import Scene
from ..tokens.band_plan import UNKNOWN
from ..tokens.tokenize import Frames, tokenize
from .engines import make_engine

BAND_HZ = 2.4e6
SCENE_SEED, SCENE_CENTER_HZ, NOISE_DBFS = 7, 868.5e6, -36.0
FALSE_ALARM_RATE = 0.01


@dataclass(frozen=True)
class CalibratedBand:
    """Samples (n,) complex64 that loop, the engine that learned them, its tables, and the segment of the frames."""

    iq: np.ndarray
    engine: Engine
    tables: dict[str, Table]
    segment: Segment

    def stretches(self, count: int) -> Iterator[np.ndarray]:
        """Samples of `count` frames, one stretch after the other, over and over: from memory, not from the caches."""
        hop = count * self.segment.frame_hop
        return cycle([self.iq[start:start + hop] for start in range(0, len(self.iq) - hop + 1, hop)])

    def frames(self, count: int) -> Frames:
        """The first `count` frames."""
        hop = self.segment.frame_hop
        return tokenize(self.iq[:count * hop], self.segment.rx_rate, fft_size=self.engine.n_bins,
                        stride=self.engine.layout.stride, average=self.segment.frame_average, window=self.engine.config.window,
                        center_freq=self.segment.rx_freq, flush=False)


@lru_cache(maxsize=2)
def scene_iq(samp_rate: float, n_samples: int) -> np.ndarray:
    """Samples of the demo's band, complex64 (n_samples,)."""
    scene = Scene.random(SCENE_SEED, samp_rate, noise_dbfs=NOISE_DBFS)
    return np.ascontiguousarray(scene.render(0, n_samples), np.complex64)


def calibrated_band(model: ModelFile, average: int, *, samp_rate: float = BAND_HZ, frames: int = 0,
                    engine: Engine | None = None) -> CalibratedBand:
    """The band at that rate, learned with K = `average`. The loop is the frames that a false-alarm rate of 1 % needs.

    Args:
        frames: minimum length of the loop. engine: the one that learns; None makes one with 16 frames to a pass.
    """
    engine = engine or make_engine(model)
    hop = average * engine.n_bins
    needed = max(frames, frames_needed(FALSE_ALARM_RATE, True)) * hop
    iq = scene_iq(samp_rate, needed)
    recording = MemoryRecording("band in memory", iq, samp_rate, SCENE_CENTER_HZ)
    tables = learn_bands([recording], engine, average=average, band=UNKNOWN, false_alarm_rate=FALSE_ALARM_RATE)
    return CalibratedBand(iq, engine, tables, Segment(SCENE_CENTER_HZ, samp_rate, UNKNOWN, hop, average))
