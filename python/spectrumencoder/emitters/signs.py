# SPDX-License-Identifier: GPL-3.0-or-later
"""Bursts as the registry takes them, and as alerts state them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..detector.events import Segment
from ..tokens.class_plan import possible
from .alerts import Sighting
from .box_classes import BoxClasses
from .bursts import Burst
from .emitter import Emitter
from .registry import Sign
from .tuning import TuningState

MIN_LABEL = 0.5  # mean probability of a class from which on a signal is called by it
_MIN_SHARE = 0.05  # of a class, to be counted


class SignMaker:
    """Makes signs and sightings.

    Args:
        labels: names of the model's classes; empty if it has none. boxes: reads the classes of tokens; None: nobody does.
    """

    def __init__(self, labels: Sequence[str], boxes: BoxClasses | None = None):
        self._labels, self._boxes = list(labels), boxes

    def sign(self, tuning: TuningState, segment: Segment, burst: Burst, extent: tuple[int, int] | None = None) -> Sign:
        """A burst as the registry takes it. extent: first and last bin, if not its own."""
        low, high = extent or burst.extent()
        grid = tuning.grid
        power = burst.power[low:high + 1].sum() / max(burst.n_frames, 1)
        return Sign(grid.hz_of((low + high) / 2.0), (high - low + 1) * grid.bin_hz, burst.level_db(low, high) if extent
                    else burst.snr_db(), 10.0 * math.log10(max(power, 1e-20)), segment.time_of(burst.sample_start),
                    segment.time_of(burst.sample_stop), burst.peak[burst.low:burst.high + 1], grid.hz_of(burst.low), grid.bin_hz,
                    tuning.frame_s, self._of_box(tuning, burst, low, high) or self._classes(tuning, burst))

    def sighting(self, tuning: TuningState, segment: Segment, burst: Burst) -> Sighting:
        """A burst as an alert states it."""
        sign = self.sign(tuning, segment, burst)
        best = max(sign.labels, key=lambda name: sign.labels[name]) if sign.labels else None
        of_box = burst.tokens is not None and bool(self._of_box(tuning, burst, *burst.extent()))
        named = best is not None and (of_box or sign.labels[best] >= MIN_LABEL)  # a box has a class, a frame may have many
        return Sighting(burst.sample_start, burst.sample_stop, sign.center_hz, sign.bandwidth_hz, sign.power_dbfs, sign.level_db,
                        burst.best, burst.n_frames, best if named else None, sign.labels[best] if named and best else None,
                        burst.dropout_rate, burst.residual, burst.model)

    def _of_box(self, tuning: TuningState, burst: Burst, low: int, high: int) -> dict[str, float]:
        """Probability of each class in its own box, by the tokens there; empty if no model answered."""
        return {} if self._boxes is None else self._boxes.of_box(burst.tokens, low, high, tuning.on_air_hz(low, high))

    def _classes(self, tuning: TuningState, burst: Burst) -> dict[str, float]:
        """Mean probability of each class of the whole frame over its frames, of those that count."""
        if burst.labels is None or not len(burst.labels):
            return {}
        means = possible(burst.labels / max(burst.n_frames, 1), self._labels, tuning.on_air_hz(*burst.extent()))
        return {self._labels[k]: float(means[k]) for k in np.flatnonzero(means > _MIN_SHARE).tolist()}


def sighting_of(emitter: Emitter, start: int, stop: int, level_db: float) -> Sighting:
    """A known emitter as an alert states it. start, stop: first sample and the one after the last."""
    return Sighting(start, stop, emitter.center_hz.mean, emitter.bandwidth_hz,
                    emitter.power_dbfs if math.isfinite(emitter.power_dbfs) else None, level_db, 1.0, 1, emitter.label,
                    emitter.confidence)
