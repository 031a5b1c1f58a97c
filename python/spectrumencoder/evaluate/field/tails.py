# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors with a threshold for each place out of that place's own frames: extreme values, DSPOT, online conformal.

A place is some neighbouring bins, 8 in one frame if nothing else is said. The nominal exceedances an hour are those of all places
together.
"""

from __future__ import annotations

import numpy as np

from .alerts import Alert, joined
from .bands import FieldBand
from .places import Levels, PlaceDetector, place_name

TAIL = 0.02          # share of a place's frames that its tail is fitted to, as DSPOT has it
MIN_PEAKS = 10       # fewer tell nothing of a shape: an exponential tail
_GRID = 400          # points of the profile likelihood
_NEVER = 300.0       # -log10 of a probability of 0
PER_HOUR = (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0, 1e4)


class GpdTail(PlaceDetector):
    """A generalised Pareto tail over the 98 % quantile of each place (Siffer et al., KDD 2017, without their updates).

    Args:
        width, frames: of a place. ends: take a shape below 0, a law with an end, as it is fitted. Else the tail is then that of
            an exponential law: few frames do not tell where it ends.
    """

    unit, points = "an hour, nominal", PER_HOUR

    def __init__(self, width: int = 8, frames: int = 1, ends: bool = False):
        self.width, self._ends = width, ends
        self.name = place_name("Pareto tail with an end" if ends else "Pareto tail", width, frames)
        self._levels = Levels(width, frames)

    def learn(self, band, first, stop):
        levels = learned_levels(self._levels, band, first, stop)
        self._above = np.quantile(levels, 1 - TAIL, axis=0)
        tails = [fit_tail(x[x > u] - u, self._ends) for x, u in zip(levels.T, self._above, strict=True)]
        self._shape, self._scale = np.array(tails, float).T
        self._share = (levels > self._above).mean(axis=0)
        self._an_hour = levels.shape[1] * 3600.0 / band.frame_s

    def limit(self, point):
        return float(-np.log10(point / self._an_hour))

    def scores(self, psd):
        over = np.maximum(self._levels(psd) - self._above, 0.0) / self._scale
        with np.errstate(divide="ignore", invalid="ignore"):
            bent = np.log10(np.maximum(1 + self._shape * over, 0.0)) / self._shape
        decay = np.where(np.abs(self._shape) < 1e-6, over / np.log(10), bent)
        return np.where(over > 0, np.minimum(decay - np.log10(np.maximum(self._share, 1e-12)), _NEVER), 0.0)


class OnlineConformal:
    """A threshold for each place that follows its frames: up by ``STEP_DB`` times (1 - a) after an exceedance, else down by a
    times that (Gibbs and Candès 2021; Angelopoulos et al. 2023, eq. 4). It begins at the conformal quantile of the learning
    frames; a share a below one in their number begins at the highest."""

    name, unit, width = "online conformal", "share a", 8
    points = (1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 1e-6)
    STEP_DB = 1.0

    def __init__(self):
        self._levels = Levels(self.width)

    def learn(self, band: FieldBand, first: int, stop: int) -> None:
        """Learns from frames [first, stop)."""
        levels = np.sort(learned_levels(self._levels, band, first, stop), axis=0)
        count = len(levels)
        rank = [min(int(np.ceil((count + 1) * (1 - share))), count) - 1 for share in self.points]
        self._threshold = levels[rank].astype(np.float64)

    def watch(self, band: FieldBand, first: int, stop: int) -> dict[float, list[Alert]]:
        """Alerts of each point in frames [first, stop)."""
        threshold, share = self._threshold.copy(), np.array(self.points)[:, None]
        found = []
        for low, psd in band.blocks(first, stop):
            for number, level in enumerate(self._levels(psd)):
                missed = level > threshold
                if missed.any():
                    point, place = np.nonzero(missed)
                    found.append((point, np.full(len(point), low + number), place, level[place] - threshold[missed]))
                threshold += self.STEP_DB * (missed - share)
        if not found:
            return {point: [] for point in self.points}
        point, frame, place, over = (np.concatenate(column) for column in zip(*found, strict=True))
        return {value: joined(frame[mine], place[mine], over[mine], self.width)
                for number, value in enumerate(self.points) for mine in [point == number]}


class Dspot:
    """DSPOT (Siffer et al., KDD 2017) by its authors' ``libspot``: a Pareto tail for each place, fitted again with each new
    excess. Drift is the mean level of the last ``DEPTH`` frames.

    Raises:
        ModuleNotFoundError: libspot is not installed.
    """

    name, unit, width = "DSPOT", "an hour, nominal", 8
    points = (0.01, 1.0, 100.0)
    DEPTH = 4096

    def __init__(self):
        import libspot

        self._make, self._anomaly = libspot.Spot, libspot.ANOMALY
        self._levels = Levels(self.width)

    def learn(self, band: FieldBand, first: int, stop: int) -> None:
        """Learns from frames [first, stop)."""
        self._learned = learned_levels(self._levels, band, first, stop)

    def watch(self, band: FieldBand, first: int, stop: int) -> dict[float, list[Alert]]:
        """Alerts of each point in frames [first, stop)."""
        levels = np.concatenate([self._learned, *(self._levels(psd) for _, psd in band.blocks(first, stop))])
        moved = (levels - drift(levels, self.DEPTH)).astype(np.float64)
        count, places = len(self._learned), levels.shape[1]
        found: dict[float, tuple[list, list, list]] = {point: ([], [], []) for point in self.points}
        for place in range(places):
            taught, values = moved[:count, place].copy(), moved[count:, place].tolist()
            for point in self.points:
                spot = self._make(q=point * band.frame_s / 3600.0 / places, level=1 - TAIL)
                spot.fit(taught)
                step = spot.step
                frames = [number for number, value in enumerate(values) if step(value) == self._anomaly]
                columns = found[point]
                columns[0].extend(frames)
                columns[1].extend([place] * len(frames))
                columns[2].extend(values[number] for number in frames)
        return {point: joined(np.array(frame, int) + first, np.array(place, int), np.array(score, float), self.width)
                for point, (frame, place, score) in found.items()}


def learned_levels(levels: Levels, band: FieldBand, first: int, stop: int) -> np.ndarray:
    """Levels (F, places) in dB of the learning frames."""
    levels.reset()
    return np.concatenate([levels(psd) for _, psd in band.blocks(first, stop)])


def drift(levels: np.ndarray, depth: int) -> np.ndarray:
    """Mean (F, places) of max ``depth`` levels up to and with each; the first ones take the mean of the first ``depth``."""
    total = np.concatenate((np.zeros((1, levels.shape[1])), np.cumsum(levels, axis=0, dtype=np.float64)))
    depth = min(depth, len(levels))
    mean = (total[depth:] - total[:-depth]) / depth
    return np.concatenate((np.repeat(mean[:1], depth - 1, axis=0), mean))


def fit_tail(excess: np.ndarray, ends: bool = True) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto law by max likelihood (Grimshaw 1993: one search, over t = shape / scale).

    Args:
        excess: (E,), positive. ends: allow a shape below 0.
    """
    mean = float(excess.mean()) if len(excess) else 1.0
    if len(excess) < MIN_PEAKS:
        return 0.0, mean
    lowest, highest = float(excess.min()), float(excess.max())
    # t > -1 / highest; shapes below -1 have no max likelihood. Upper end: Grimshaw's bound, which can be far off
    upper = min(2 * (mean - lowest) / max(lowest**2, 1e-12), 1e3 / mean)
    t = np.concatenate((-np.geomspace(1e-4, 0.999, _GRID // 2)[::-1] / highest, np.geomspace(1e-4 / mean, max(upper, 1e-3 / mean),
                                                                                              _GRID // 2)))
    shape = np.log1p(t[:, None] * excess).mean(axis=1)
    likelihood = np.where(shape > -1, -np.log(shape / t) - shape - 1, -np.inf)
    best = int(likelihood.argmax())
    if likelihood[best] <= -np.log(mean) - 1 or (shape[best] < 0 and not ends):  # the exponential law
        return 0.0, mean
    return float(shape[best]), float(shape[best] / t[best])
