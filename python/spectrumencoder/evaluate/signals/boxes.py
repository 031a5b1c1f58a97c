# SPDX-License-Identifier: GPL-3.0-or-later
"""Found boxes: what a list of signals makes of a scene, by a model's tokens or by energy alone.

Shape letters: F frames, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import keys
from ...encoder.token_classes import UNKNOWN_SIGNAL
from ...signals.emission import Emission
from ...signals.signal_list import SignalList
from .scenes import AVERAGE, HOP, N_BINS, Scene

BATCH = 64  # frames; a result does not depend on it


@dataclass
class FoundBox:
    """A burst as it was found.

    Attributes:
        low, high: first bin, and the bin after the last, with parts of bins. first, last: frames, last included.
        signal: number of its signal. score: that there is a signal, for the order of boxes.
        label: its class. confidence: that there is a signal of this class, 0..1.
        known: how sure it is that its class is one of the model's, 0..1.
    """

    low: float
    high: float
    first: int
    last: int
    signal: int
    score: float
    snr_db: float
    label: str = UNKNOWN_SIGNAL
    confidence: float = 0.0
    known: float = 0.0


def find_boxes(scene: Scene, labels: Sequence[str] = (), token_classes: np.ndarray | None = None) -> list[FoundBox]:
    """The boxes of a scene, by their first frame.

    Args:
        token_classes: (F, M * (L + 2)) of a model with these L labels; None: by energy alone.
    """
    found: list[FoundBox] = []

    def closed(row: dict[str, Any], emission: Emission):
        first = row[keys.SAMPLE_START] // HOP
        probabilities = emission.probabilities
        found.append(FoundBox(
            emission.low, emission.high + 1.0, first, first + row[keys.SAMPLE_COUNT] // HOP - 1, row[keys.SIGNAL_ID],
            emission.presence, emission.snr_db, emission.label, emission.confidence,
            float(probabilities[:-1].max()) if len(probabilities) else 0.0))

    listed = SignalList(scene.rate_hz, None, HOP, labels if token_classes is not None else (), average=AVERAGE, n_bins=N_BINS,
                        listener=closed)
    for at in range(0, len(scene.items), BATCH):
        listed.update(np.asarray(scene.items[at:at + BATCH]), None if token_classes is None else token_classes[at:at + BATCH])
    listed.flush()
    return sorted(found, key=lambda box: (box.first, box.low))
