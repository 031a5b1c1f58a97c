# SPDX-License-Identifier: GPL-3.0-or-later
"""Possible types of an event: a guess from its shape and time alone, with probabilities, or none.

Multinomial logistic regression (Hastie, Tibshirani, Friedman 2009, ch. 4.4) on the standardised ``FEATURES`` of an event. There
is one for events that go on and one for those that have ended. Probabilities are tempered (Guo et al. 2017, arXiv:1706.04599).
The weights are a JSON file that ``tools/fit_threat_types.py`` writes.

The class ``NONE`` stands for false alarms, for side effects of another event, and for signals that changed in their channel,
which no event shows reliably. No type is given in three cases: that class is the likeliest, the likeliest type stays below the
file's limit, or no plan of the band was learned.

The classifier was fitted on simulated anomalies and knows no others; it says nothing about intent.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .band_statistics import BandStatistics
from .regions import EXCESS, LEVEL, MISSING

NONE = "none"
GOING, ENDED = "going", "ended"
PATH = Path(__file__).with_name("threat_types.json")
MAX_FRAMES = 16  # a longer event counts as this long: the events that the weights were fitted on end then
MIN_PROBABILITY = 0.05  # of a type that is reported
OCCUPIED_DB = 2.0  # a bin whose usual level exceeds that of the quiet ones by this much is occupied
_QUIET = 0.25  # quantile of the usual levels: of bins that are not occupied

# name -> meaning. "Frames" are those from an event's first to its last; "seen" those in which it has regions of its own.
FEATURES = {
    "missing": "1: less power than expected",
    "level": "1: the whole band's floor has moved",
    "width": "log10 of its share of the band",
    "width_squared": "square of `width`",
    "frames": f"log2 of its frames, at most {MAX_FRAMES}",
    "frames_squared": "square of `frames`",
    "duty": "frames in which it was seen or went on / frames",
    "snr": "dB, -10 to 30",
    "strength": "log2 of score / threshold, 0 to 6",
    "peak": "share of its excess energy in its strongest bin",
    "pieces": "log2 of the mean number of regions in a frame seen",
    "fill": "mean width of the frames seen / its width",
    "width_change": "standard deviation of the width of frames seen / mean of it",
    "travel": "mean move of its centre from a frame seen to the next / its width",
    "drift": "move of its centre from the first frame seen to the last / its width",
    "power_change": "standard deviation of its power over the frames seen, dB",
    "ripple": "mean step from bin to bin in the strongest frame, dB",
    "busy": "share of its bins that are occupied in the calibration",
    "others": f"log2 of 1 + other events of its kind within {MAX_FRAMES} frames",
    "opposite": f"1: an event of the opposite kind within {MAX_FRAMES} frames",
    "opposite_here": "share of its bins that such an event covers, too",
}


@dataclass
class Track:
    """Running sums over an event's frames so far; in bins if not said otherwise."""

    seen: int = 0
    pieces: int = 0
    width: float = 0.0
    width_2: float = 0.0
    moved: float = 0.0
    net: float = 0.0
    centre: float = math.nan
    level: float = 0.0  # dB
    level_2: float = 0.0
    ripple: float = 0.0  # dB, of the strongest frame

    def add(self, standard: np.ndarray, psd: np.ndarray, spans: list[tuple[int, int]], sign: int, strongest: bool):
        """Takes a frame in which the event has regions.

        Args:
            standard: (N,) deviations. psd: (N,) dBFS. spans: first and last bin of each region. sign: 1 excess, -1 missing.
            strongest: of its frames so far.
        """
        low, high = min(s[0] for s in spans), max(s[1] for s in spans)
        heights = np.maximum(sign * standard[low:high + 1], 0.0)
        total = float(heights.sum(dtype=np.float64))
        centre = (low + high) / 2.0
        if total > 0:
            centre = low + float((heights * np.arange(high - low + 1)).sum(dtype=np.float64)) / total
        width = float(sum(b - a + 1 for a, b in spans))
        if self.seen:
            self.moved += abs(centre - self.centre)
            self.net += centre - self.centre
        self.centre = centre
        self.seen += 1
        self.pieces += len(spans)
        self.width += width
        self.width_2 += width * width
        inside = psd[low:high + 1]
        level = 10.0 * math.log10(float(np.mean(10.0 ** (inside.astype(np.float64) / 10.0))) + 1e-30)
        self.level += level
        self.level_2 += level * level
        if strongest:
            self.ripple = float(np.abs(np.diff(inside)).mean(dtype=np.float64)) if high > low else 0.0


class Shape(NamedTuple):
    """An event when it is reported. Frames are numbers of frames, bins first and last."""

    kind: str
    low: int
    high: int
    first: int
    last: int
    n_frames: int  # in which it was seen or went on
    snr_db: float
    strength: float  # score / threshold
    weight: np.ndarray  # (N,) excess energy, or sightings
    track: Track


class Neighbour(NamedTuple):
    """Another event: its kind, first and last bin, last frame."""

    kind: str
    low: int
    high: int
    last: int


def features_of(shape: Shape, n_bins: int, occupied: np.ndarray | None, others: list[Neighbour]) -> np.ndarray:
    """(len(FEATURES),) float64, in the order of ``FEATURES``.

    Args:
        occupied: (N + 1,) number of occupied bins below each bin (``occupied_bins``); None: not known, counts as none.
        others: events about it in time, whatever their kind.
    """
    s, t = shape, shape.track
    bins = s.high - s.low + 1
    width = math.log10(bins / n_bins)
    frames = math.log2(min(s.last - s.first + 1, MAX_FRAMES))
    seen = max(t.seen, 1)
    mean = t.width / seen
    spread = math.sqrt(max(t.width_2 / seen - mean * mean, 0.0))
    level = t.level / seen
    inside = s.weight[s.low:s.high + 1]
    total = float(inside.sum())
    near = [o for o in others if s.first - o.last < MAX_FRAMES]
    opposite = {EXCESS: MISSING, MISSING: EXCESS}.get(s.kind)
    against = [o for o in near if o.kind == opposite]
    covered = max((min(o.high, s.high) - max(o.low, s.low) + 1 for o in against), default=0)
    return np.array([
        float(s.kind == MISSING), float(s.kind == LEVEL), width, width * width, frames, frames * frames,
        s.n_frames / max(s.last - s.first + 1, 1), min(max(s.snr_db, -10.0), 30.0),
        min(max(math.log2(max(s.strength, 1.0)), 0.0), 6.0), float(inside.max()) / total if total > 0 else 1.0,
        math.log2(max(t.pieces, 1) / seen), min(mean / bins, 1.0), spread / max(mean, 1.0),
        t.moved / max(seen - 1, 1) / bins, abs(t.net) / bins,
        min(math.sqrt(max(t.level_2 / seen - level * level, 0.0)), 20.0), min(t.ripple, 20.0),
        0.0 if occupied is None else float(occupied[s.high + 1] - occupied[s.low]) / bins,
        math.log2(1.0 + sum(o.kind == s.kind for o in near)), float(bool(against)), max(covered, 0) / bins])


@lru_cache(maxsize=8)
def occupied_bins(band: BandStatistics) -> np.ndarray:
    """Number of occupied bins below each bin in a band's calibration, (N + 1,)."""
    busy = band.mean > np.quantile(band.mean, _QUIET) + OCCUPIED_DB
    return np.concatenate(([0], np.cumsum(busy)))


@dataclass(frozen=True)
class _Head:
    """Logits are (features - mean) / scale @ weights + bias, over temperature. D features, C classes."""

    mean: np.ndarray  # (D,)
    scale: np.ndarray  # (D,)
    weights: np.ndarray  # (D, C)
    bias: np.ndarray  # (C,)
    temperature: float
    limit: float  # no type is given if the likeliest has less

    @classmethod
    def read(cls, of: dict, n_classes: int) -> _Head:
        mean, scale, weights, bias = (np.asarray(of[name], np.float64) for name in ("mean", "scale", "weights", "bias"))
        head = cls(mean, scale, weights, bias, float(of["temperature"]), float(of["limit"]))
        shape = (len(FEATURES),)
        if not (mean.shape == scale.shape == shape and weights.shape == (*shape, n_classes) and bias.shape == (n_classes,)):
            raise ValueError(f"weights of shape {weights.shape} for {shape[0]} features and {n_classes} classes")
        if not all(np.isfinite(part).all() for part in (mean, scale, weights, bias)):
            raise ValueError("weights that are not finite")
        if not ((scale > 0).all() and 0 < head.temperature < math.inf and 0 <= head.limit <= 1):
            raise ValueError("a scale or temperature that is not positive, or a limit outside 0..1")
        return head

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(..., D) -> (..., C)."""
        logits = ((features - self.mean) / self.scale @ self.weights + self.bias) / self.temperature
        likely = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return likely / likely.sum(axis=-1, keepdims=True)


class ThreatTypes:
    """The classifier of a weights file.

    Attributes:
        classes: names, ``NONE`` among them. fitted: the origin that the file states: commit, seed, scenes.
    """

    def __init__(self, content: dict):
        """Takes the content of a weights file, by ``json.load``.

        Raises:
            ValueError: a part is missing or invalid, or the features are others; one line.
        """
        try:
            self.classes = tuple(content["classes"])
            features = list(content["features"])
            if features != list(FEATURES):
                raise ValueError("weights of other features than this version's")
            if NONE not in self.classes or not all(isinstance(c, str) for c in self.classes):
                raise ValueError(f"no names of classes with {NONE!r} among them")
            self._heads = {name: _Head.read(content[name], len(self.classes)) for name in (GOING, ENDED)}
        except (KeyError, TypeError) as error:
            raise ValueError(f"without a valid {error}") from error
        self.fitted = {name: content.get(name) for name in ("commit", "seed", "scenes")}

    @classmethod
    def load(cls, path: Path = PATH) -> ThreatTypes:
        """Reads a weights file.

        Raises:
            ValueError: it is damaged; one line that names it.
        """
        try:
            return cls(json.loads(Path(path).read_text()))
        except (ValueError, OSError) as error:
            why = " ".join(str(error).split())
            raise ValueError(f"threat types {path}: {why}; tools/fit_threat_types.py makes such a file") from error

    def probabilities(self, features: np.ndarray, ended: bool) -> np.ndarray:
        """(..., D) ``features_of`` events that have ended, or go on -> (..., C) of ``classes``."""
        return self._heads[ENDED if ended else GOING].probabilities(features)

    def possible(self, features: np.ndarray, ended: bool) -> dict[str, float] | None:
        """Types of an event with their probabilities, most likely first; None if they are not known.

        The remainder, up to 1, belongs to a false alarm and to types that are less likely than ``MIN_PROBABILITY``.
        """
        chances = self.probabilities(features, ended)
        order = np.argsort(-chances, kind="stable")
        best = order[0]
        if self.classes[best] == NONE or chances[best] < self._heads[ENDED if ended else GOING].limit:
            return None
        return {self.classes[c]: round(float(chances[c]), 3) for c in order
                if self.classes[c] != NONE and chances[c] >= MIN_PROBABILITY}


@lru_cache(maxsize=1)
def shipped() -> ThreatTypes:
    """The classifier that comes with the package."""
    return ThreatTypes.load()
