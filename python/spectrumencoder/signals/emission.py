# SPDX-License-Identifier: GPL-3.0-or-later
"""A burst as a row: place, width, level and class, and whether it is a signal or the receiver's own.

Shape letters: N bins, L labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..emitters.steady import DC_BINS
from ..encoder.token_classes import UNKNOWN_SIGNAL, classes
from ..tokens.class_plan import possible
from .burst import Burst

MIN_SNR_DB = 0.0
_IMAGE_DB, _IMAGE_BINS = 20.0, 3  # by which an image is weaker than what it mirrors, and how far its edges may differ
_CONSTANT, _WEIGHTS = -4.0, (0.02, 0.37, 0.53, 0.02, -0.21, 0.2)  # of ``energy_presence``


@dataclass(frozen=True)
class Emission:
    """What a burst is.

    Attributes:
        low, high: first and last bin of its occupied band. snr_db: over the noise in that band. power_dbfs: with the noise.
        label: class of the model, or ``UNKNOWN_SIGNAL``. confidence: that there is a signal of this class, 0..1.
        presence: that there is a signal, 0..1. probabilities: (L + 1,), empty without a model.
    """

    low: int
    high: int
    snr_db: float
    power_dbfs: float
    label: str
    confidence: float
    presence: float
    probabilities: np.ndarray


@dataclass(frozen=True)
class Told:
    """What a model said of some bursts: sum of the logarithms of class probabilities (L + 1,), over a number of frames."""

    log_classes: np.ndarray | float = 0.0
    n_classes: int = 0

    def and_of(self, burst: Burst) -> Told:
        """The same with one more burst."""
        if not burst.n_classes:
            return self
        assert burst.log_classes is not None
        return Told(self.log_classes + burst.log_classes, self.n_classes + burst.n_classes)


def describe(burst: Burst, floor_db: np.ndarray, deviation: float, frame_s: float) -> Emission:
    """The emission of a burst, over the noise (N,) dBFS, without its class.

    Args:
        deviation: see ``Burst.edges``. frame_s: seconds from frame to frame.
    """
    low, high = burst.edges(deviation)
    mean = burst.mean()[low:high + 1]
    over = max(float((mean - 1.0).mean()), 1e-3)
    power = float((mean * 10.0 ** (0.1 * floor_db[low:high + 1])).sum())
    snr_db = 10.0 * math.log10(over)
    presence = energy_presence(burst, high - low + 1, snr_db, frame_s)
    if burst.n_classes:
        presence = 0.5 * (presence + burst.presence / burst.n_classes)
    return Emission(low, high, snr_db, 10.0 * math.log10(max(power, 1e-20)), UNKNOWN_SIGNAL, presence, presence, np.zeros(0))


def named(emission: Emission, burst: Burst, before: Told, labels: Sequence[str], freq_hz: float | None) -> Emission:
    """The emission with its class: by this burst and the earlier ones of its signal.

    Args:
        freq_hz: of the emission: classes that cannot be there are left out. None: not known.
    """
    told = before.and_of(burst)
    if not told.n_classes:
        return emission
    mean_log = np.asarray(told.log_classes) / told.n_classes
    weighed = np.exp(mean_log - mean_log.max())
    names = classes(labels)
    probabilities = possible(weighed / weighed.sum(), labels, freq_hz, names.index(UNKNOWN_SIGNAL))
    best = int(probabilities.argmax())
    return replace(emission, label=names[best], confidence=emission.presence * float(probabilities[best]),
                   probabilities=probabilities)


def energy_presence(burst: Burst, width: int, snr_db: float, frame_s: float) -> float:
    """Probability that a burst is one whole emission, by its power alone: of logistic regression.

    It was fitted to the boxes of 28 scenes of ``evaluate signals`` (folds 2 and 3, seeds below 14), by energy alone.

    Args:
        width: bins of its occupied band. snr_db: in that. frame_s: seconds from frame to frame.
    """
    span = burst.last - burst.first + 1
    facts = (math.log2(max(burst.score, 0.1)), math.log2(burst.n_frames), math.log2(width), snr_db, math.log2(span * frame_s),
             math.log2(burst.n_frames / span))
    return 1.0 / (1.0 + math.exp(-(_CONSTANT + sum(w * x for w, x in zip(_WEIGHTS, facts, strict=True)))))


def is_receivers(burst: Burst, emission: Emission, middle: int) -> bool:
    """Whether a burst is the receiver's own line at 0 Hz, or the mirror image of something much stronger."""
    low, high = emission.low, emission.high
    if middle - DC_BINS <= low and high <= middle + DC_BINS:
        return True
    first, last = 2 * middle - high, 2 * middle - low
    if last >= low and first <= high or first < _IMAGE_BINS or last >= len(burst.ratio) - _IMAGE_BINS:
        return False
    mean = burst.mean()
    mirrored = mean[first - _IMAGE_BINS:last + 1 + _IMAGE_BINS]
    own = float(mean[low:high + 1].max()) - 1.0
    strong = float(mirrored.max()) - 1.0 > own * 10.0 ** (0.1 * _IMAGE_DB)
    # What it mirrors ends where it ends, but for what is too weak to be seen in it
    return strong and bool(mean[first:last + 1].mean() - 1.0 > 0.3 * (float(mirrored.mean()) - 1.0))
