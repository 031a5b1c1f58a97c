# SPDX-License-Identifier: GPL-3.0-or-later
"""The second baseline: a random forest that tells the class of a found box by its features.

It learns from the boxes that energy finds in scenes of the recordings that the model was trained on.

Shape letters: B boxes, X features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...encoder.token_classes import UNKNOWN_SIGNAL
from .boxes import FoundBox
from .matching import matched
from .scenes import LAYOUT, N_BINS, STRIDE, Scene

TREES = 300
POINTS = 16  # of a box's spectrum
MAX_FRAMES = 64  # of a box that are looked at


def box_features(scene: Scene, box: FoundBox) -> np.ndarray:
    """(X,) of a box: width, length, level, time on, spread and max-hold of its tokens, and the shape of its spectrum."""
    low, high = int(np.clip(round(box.low), 0, N_BINS - 1)), int(np.clip(round(box.high) - 1, 0, N_BINS - 1))
    high = max(high, low)
    items = np.asarray(scene.items[box.first:min(box.last + 1, box.first + MAX_FRAMES)])
    tokens, _ = LAYOUT.split(items)
    levels = tokens[:, :, :STRIDE].reshape(len(items), -1)[:, low:high + 1]
    power = 10.0 ** (0.1 * levels)
    of_tokens = tokens[:, low // STRIDE:high // STRIDE + 1]
    over_time = power.mean(axis=1)
    mean = power.mean(axis=0)
    at = np.linspace(0, len(mean) - 1, POINTS)
    shape = 10.0 * np.log10(np.maximum(np.interp(at, np.arange(len(mean)), mean) / mean.mean(), 1e-4))
    flatness = float(np.exp(np.log(np.maximum(mean, 1e-9)).mean()) / mean.mean())
    width_hz = (box.high - box.low) * scene.rate_hz / N_BINS
    return np.concatenate([[
        np.log2(width_hz), np.log2(box.high - box.low), box.snr_db, np.log2((box.last - box.first + 1) * scene.frame_s),
        float(of_tokens[:, :, STRIDE].mean() - of_tokens[:, :, :STRIDE].mean()), float(of_tokens[:, :, STRIDE + 1].mean()),
        float(of_tokens[:, :, STRIDE + 1].max()), float(over_time.std() / over_time.mean()),
        float((over_time > 0.5 * over_time.mean()).mean()), flatness], shape])


class BoxForest:
    """A forest that has learned from boxes of scenes.

    Args:
        examples: (B, X). labels: (B,) classes, ``UNKNOWN_SIGNAL`` among them.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.
        ValueError: there is no example.
    """

    def __init__(self, examples: np.ndarray, labels: Sequence[str], seed: int = 0):
        from sklearn.ensemble import RandomForestClassifier

        if not len(labels):
            raise ValueError("no box of the training scenes was found; compose more with --train-scenes")
        self._forest = RandomForestClassifier(TREES, min_samples_leaf=2, class_weight="balanced", random_state=seed, n_jobs=1)
        self._forest.fit(examples, list(labels))

    def judged(self, scene: Scene, boxes: Sequence[FoundBox]) -> list[FoundBox]:
        """The boxes with classes."""
        if not boxes:
            return []
        probabilities = self._forest.predict_proba(np.stack([box_features(scene, box) for box in boxes]))
        names = self._forest.classes_.tolist()
        unknown = names.index(UNKNOWN_SIGNAL) if UNKNOWN_SIGNAL in names else None
        out = []
        for box, row in zip(boxes, probabilities, strict=True):
            best = int(row.argmax())
            out.append(replace(box, label=names[best], confidence=box.score * float(row[best]),
                               known=float(row.max() if unknown is None else 1.0 - row[unknown])))
        return out


def examples_of(scene: Scene, boxes: Sequence[FoundBox]) -> tuple[list[list[float]], list[str]]:
    """Features and classes of the found boxes that are those of an emitter."""
    near = [true for true in scene.truth if not true.covered]
    partner = matched(boxes, near, in_time=True)
    chosen = [(box_features(scene, box).tolist(), near[p].label) for box, p in zip(boxes, partner, strict=True) if p >= 0]
    return [row for row, _ in chosen], [label for _, label in chosen]
