# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors of this package, with an event life of their own: those that are calibrated, and those that learn while they watch.

``ours`` takes anything with the door of ``detector.Detector``: ``process(psd, residual, features, sample_start, segment)`` gives
a result with ``emitted`` messages, ``flush()`` the last ones. Their fields are those of ``keys.EVENT_FIELDS``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from ... import keys
from ...detector.calibrate import Calibrator
from ...detector.detector import Detector
from ...detector.events import OPEN, Segment
from ...detector.table import Table, Tuning
from ...encoder.engine import Engine
from .alerts import GAP, Alert
from .bands import AVERAGE, HOP, N_BINS, FieldBand

Settings = dict[str, Any]


class DetectorLike(Protocol):
    """What ``detector.Detector`` and its like offer to a block."""

    def process(self, psd: np.ndarray, residual: np.ndarray, features: np.ndarray, sample_start: np.ndarray,
                segment: Segment) -> Any:
        """A result whose ``emitted`` holds messages with ``fields``."""

    def flush(self) -> Iterable[Any]:
        """The last messages."""


Make = Callable[[dict, Settings], DetectorLike]  # (contract, settings) -> a detector that has seen nothing


class EventDetector(ABC):
    """Detectors of one kind, one for each operating point; all of them watch the same encoded frames.

    Args:
        engine: encodes the frames. points: values of the setting ``false_events_per_hour``.
    """

    name: str
    unit = "an hour, nominal"

    def __init__(self, engine: Engine, points: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0)):
        self._engine, self.points = engine, points
        self._detectors: dict[float, DetectorLike] = {}
        self._alerts: dict[float, Collected] = {}

    @abstractmethod
    def learn(self, band: FieldBand, first: int, stop: int) -> None:
        """Learns from frames [first, stop)."""

    def watch(self, band: FieldBand, first: int, stop: int) -> dict[float, list[Alert]]:
        """Alerts of each point in frames [first, stop). What is opened before ``first`` does not count."""
        self._feed(band, first, stop)
        for point, detector in self._detectors.items():
            self._alerts[point].take(detector.flush())
        return {point: [a for a in collected.alerts() if a.opened > first] for point, collected in self._alerts.items()}

    def _start(self, band: FieldBand, detectors: dict[float, DetectorLike]) -> None:
        self._detectors = detectors
        self._alerts = {point: Collected(band) for point in detectors}

    def _feed(self, band: FieldBand, first: int, stop: int) -> None:
        segment = segment_of(band, self._engine)
        for low, psd, made in band.encoded(self._engine, first, stop):
            starts = (low + np.arange(len(psd))) * HOP
            for point, detector in self._detectors.items():
                self._alerts[point].take(detector.process(psd, made.residual, made.features, starts, segment).emitted)


class Boxes(EventDetector):
    """The detector of boxes on a calibrated band, calibrated as ``spectrumencoder calibrate`` does it."""

    name = "boxes"

    def learn(self, band, first, stop):
        engine = self._engine
        tables = {engine.table_key(segment_of(band, engine).band, AVERAGE): learned(band, engine, first, stop)}
        self._start(band, {point: Detector(engine.contract, tables, false_events_per_hour=point) for point in self.points})


class Ours(EventDetector):
    """A detector that learns from the first frames that it is given, for ``learn_s`` of its settings.

    Args:
        encoded: it takes more from the encoder than the class of what it finds, which is not judged here.
    """

    def __init__(self, engine: Engine, name: str, make: Make, points: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0), *,
                 encoded: bool = True):
        super().__init__(engine, points)
        self.name, self._make, self._encoded = name, make, encoded

    def _feed(self, band, first, stop):
        if self._encoded:
            super()._feed(band, first, stop)
            return
        segment = segment_of(band, self._engine)
        for low, psd in band.blocks(first, stop):
            before = np.asarray(band.psd[max(low - 1, 0)])
            known = (psd != np.concatenate([before[None], psd[:-1]])).any(axis=1)  # the others were dropped: see ``FieldBand``
            psd, features = psd[known], band.features(low, low + len(psd))[known]
            residual = np.zeros_like(psd)
            starts = (low + np.flatnonzero(known)) * HOP
            for point, detector in self._detectors.items():
                self._alerts[point].take(detector.process(psd, residual, features, starts, segment).emitted)

    def learn(self, band, first, stop):
        learn_s = (stop - first) * band.frame_s
        self._start(band, {point: self._make(self._engine.contract, {"learn_s": learn_s, "false_events_per_hour": point})
                           for point in self.points})
        self._feed(band, first, stop)


def learned(band: FieldBand, engine: Engine, first: int, stop: int) -> Table:
    """The conformal table of frames [first, stop), which are of one tuning."""
    calibrator = Calibrator(stop - first, head=bool(engine.contract["heads"].get("anomaly", False)),
                            tuning=Tuning(band.freq_hz, band.rate_hz), window_hop=N_BINS)
    for _, psd, made in band.encoded(engine, first, stop):
        calibrator.add(made.residual, made.features, band.frame_s, 0, psd=psd)
    return calibrator.finish()


def segment_of(band: FieldBand, engine: Engine) -> Segment:
    """The tuning of a band. Its time begins with 0."""
    return Segment(band.freq_hz, band.rate_hz, band.band if band.band in engine.bands else "unknown", HOP, AVERAGE)


class Collected:
    """The alerts that messages report: each ``open`` begins one, ``update`` and ``close`` of the same id refine its box.

    An ``update`` that begins after what was reported of its id so far is a further burst (``Alert.again``).
    """

    def __init__(self, band: FieldBand):
        self._step, self._left = band.rate_hz / N_BINS, band.freq_hz - band.rate_hz / 2
        self._of: dict[str, Alert] = {}
        self._again: list[Alert] = []
        self._last: dict[str, int] = {}  # frame after the last that was reported

    def take(self, messages: Iterable[Any]) -> None:
        """Takes messages in their order. One that is no anomaly (``is_anomaly`` false) is no alert."""
        for fields in (message.fields for message in messages):
            known = self._of.get(fields[keys.EVENT_ID])
            if known is None and (fields[keys.STATE] != OPEN or not fields.get(keys.IS_ANOMALY, True)):
                continue
            begin = round(fields[keys.SAMPLE_START] / HOP)
            end = max(begin + 1, -(-(fields[keys.SAMPLE_START] + fields[keys.SAMPLE_COUNT]) // HOP))
            middle = (fields[keys.FREQ_CENTER_HZ] - self._left) / self._step + 0.5
            half = fields[keys.BANDWIDTH_HZ] / self._step / 2
            event = fields[keys.EVENT_ID]
            later, last = known is not None and begin > self._last[event] + GAP, self._last.get(event, 0)
            self._last[event] = max(last, end)
            made = Alert(begin, end, end, middle - half, middle + half, fields[keys.ANALYSIS_TYPE],
                         float(fields[keys.ANOMALY_SCORE]), len(self._of) if known is None else known.of, later)
            if later:
                self._again.append(made)
            elif known is None or begin <= known.end + GAP:
                self._of[event] = made if known is None else replace(made, begin=known.begin, opened=known.opened)

    def alerts(self) -> list[Alert]:
        """All so far, further bursts among them, in the order in which they were opened."""
        return sorted([*self._of.values(), *self._again], key=lambda alert: (alert.opened, alert.begin))
