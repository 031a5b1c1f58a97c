# SPDX-License-Identifier: GPL-3.0-or-later
"""Found boxes: the messages of a signal list as boxes in bins and frames.

Shape letters: F frames, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ... import keys
from ...signals.signal_list import CLOSE, SignalList
from .scenes import AVERAGE, HOP, N_BINS, Scene


@dataclass
class FoundBox:
    """A burst as it was found.

    Attributes:
        low, high: first bin, and the bin after the last. first, last: frames, last included. signal: number of its signal.
        score: that there is a signal, for the order of boxes. label: its class, of confidence 0..1.
        known: how sure it is that the class is one of the model's, 0..1.
    """

    low: float
    high: float
    first: int
    last: int
    signal: int
    score: float
    label: str
    confidence: float
    known: float = 0.0
    snr_db: float = 0.0
    probabilities: list[float] = field(default_factory=list)


def find_boxes(scene: Scene, labels: Sequence[str] = (), token_classes: np.ndarray | None = None,
               batch: int = 64) -> list[FoundBox]:
    """The boxes of a scene. token_classes: (F, M * (L + 2)) of the model with these labels; None: by energy alone."""
    listed = SignalList(scene.rate_hz, None, HOP, labels if token_classes is not None else (), average=AVERAGE, n_bins=N_BINS)
    rows: list[Mapping[str, Any]] = []
    for at in range(0, len(scene.items), batch):
        classes = None if token_classes is None else token_classes[at:at + batch]
        rows += listed.update(np.asarray(scene.items[at:at + batch]), classes)
    rows += listed.flush()
    return [box_of(row, scene) for row in rows if row[keys.STATE] == CLOSE and row[keys.SAMPLE_COUNT]]


def box_of(row: Mapping[str, Any], scene: Scene) -> FoundBox:
    """The box of a message that closes a burst."""
    bin_hz = scene.rate_hz / N_BINS
    middle, width = row[keys.FREQ_CENTER_HZ] / bin_hz + N_BINS / 2 + 0.5, row[keys.BANDWIDTH_HZ] / bin_hz
    first = row[keys.SAMPLE_START] // HOP
    return FoundBox(middle - width / 2, middle + width / 2, first, first + row[keys.SAMPLE_COUNT] // HOP - 1,
                    row[keys.SIGNAL_ID], row[keys.CONFIDENCE], row[keys.LABEL], row[keys.CONFIDENCE], row[keys.CONFIDENCE],
                    row[keys.SNR_DB])
