# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors that judge each place, or each frame, by what the learning frames showed: max-hold with a margin, and PCA."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from ..anomaly.baselines import MatchedResidual
from .alerts import Alert, joined
from .bands import BLOCK, N_BINS, FieldBand

_TINY = 1e-30


class PlaceDetector(ABC):
    """A detector that gives each place of each frame a score; what exceeds the point's threshold is joined to alerts.

    Attributes:
        name: in tables. points: its operating points. unit: of the points.
        width: bins in a place.
    """

    name: str
    points: tuple[float, ...]
    unit: str
    width = 8

    @abstractmethod
    def learn(self, band: FieldBand, first: int, stop: int) -> None:
        """Learns from frames [first, stop)."""

    @abstractmethod
    def scores(self, psd: np.ndarray) -> np.ndarray:
        """Scores (F, places) of the next frames (F, N)."""

    def limit(self, point: float) -> float:
        """The threshold of a point."""
        return point

    def watch(self, band: FieldBand, first: int, stop: int) -> dict[float, list[Alert]]:
        """Alerts of each point in frames [first, stop), which come after those that were learned."""
        limits = [self.limit(point) for point in self.points]
        frames, places, scores = [], [], []
        for low, psd in band.blocks(first, stop):
            score = self.scores(psd)
            frame, place = np.nonzero(score > min(limits))
            frames.append(frame + low)
            places.append(place)
            scores.append(score[frame, place])
        frame, place, score = np.concatenate(frames), np.concatenate(places), np.concatenate(scores)
        return {point: joined(frame[above], place[above], score[above], self.width)
                for point, limit in zip(self.points, limits, strict=True) for above in [score > limit]}


def place_name(title: str, width: int, frames: int) -> str:
    """A detector's name with the size of its places."""
    return f"{title}, {width} bins" + f", {frames} frames" * (frames > 1)


class Levels:
    """Mean power of places of ``width`` bins over the last ``frames`` frames, in dB. It remembers frames between calls."""

    def __init__(self, width: int, frames: int = 1):
        self.width, self._frames = width, frames
        self.reset()

    def reset(self) -> None:
        """Forgets earlier frames."""
        self._before = np.zeros((0, N_BINS // self.width), np.float32)

    def __call__(self, psd: np.ndarray) -> np.ndarray:
        """(F, N) dB -> (F, N / width) dB float32. The first frames of a stretch are averaged over those that there are."""
        power = np.exp(psd * np.float32(np.log(10) / 10)).reshape(len(psd), -1, self.width).mean(axis=2)
        if self._frames > 1:
            whole = np.concatenate((self._before, power))
            total = np.concatenate((np.zeros((1, whole.shape[1])), np.cumsum(whole, axis=0, dtype=np.float64)))
            ends = np.arange(len(self._before), len(whole)) + 1
            begins = np.maximum(ends - self._frames, 0)
            power = (total[ends] - total[begins]) / (ends - begins)[:, None]
            self._before = whole[-(self._frames - 1):]
        return (10 * np.log10(np.maximum(power, _TINY))).astype(np.float32)


class MaxHold(PlaceDetector):
    """The highest level of each place in the learning frames, and a margin in dB above it."""

    unit = "dB"

    def __init__(self, width: int = 8, frames: int = 1):
        self.width = width
        self.name = place_name("max-hold", width, frames)
        low = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0) if frames > 1 else tuple(map(float, range(1, 11)))
        self.points = (*low, 12.0, 15.0, 20.0)
        self._levels = Levels(width, frames)

    def learn(self, band, first, stop):
        self._levels.reset()
        self._highest = np.max([self._levels(psd).max(axis=0) for _, psd in band.blocks(first, stop)], axis=0)

    def scores(self, psd):
        return self._levels(psd) - self._highest


class PcaResidual:
    """``baselines.MatchedResidual``: 16 principal components, then the largest moving mean of what they do not explain.

    It has one score a frame, whose place is that of the largest mean. It learns from max ``MAX_LEARNED`` frames, evenly spaced.
    """

    name, unit, width = "PCA + matched residual", "", 8
    points = (1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 9.0, 14.0, 25.0)
    MAX_LEARNED = 12_000

    def learn(self, band: FieldBand, first: int, stop: int) -> None:
        """Learns from frames [first, stop)."""
        step = -(-(stop - first) // self.MAX_LEARNED)
        self._residual = MatchedResidual()
        self._residual.fit(np.asarray(band.psd[first:stop:step]))

    def watch(self, band: FieldBand, first: int, stop: int) -> dict[float, list[Alert]]:
        """Alerts of each point in frames [first, stop)."""
        rows = [(low, *self._residual.located(psd)) for low, psd in band.blocks(first, stop, BLOCK // 4)]
        score, begin, end = (np.concatenate([row[k] for row in rows]) for k in (1, 2, 3))
        out = {}
        for point in self.points:
            frame = np.flatnonzero(score > point)
            low, high = begin[frame] // self.width, -(-end[frame] // self.width)
            count = high - low
            place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(low, count)
            out[point] = joined(np.repeat(frame + first, count), place, np.repeat(score[frame], count), self.width)
        return out
