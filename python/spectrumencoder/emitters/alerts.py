# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts: one event for each, which opens, is updated when the emitter is heard again, and closes.

``sample_start`` and ``sample_count`` of each message are of the transmission that it is about; ``first_heard`` and
``last_heard`` are of the emitter.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .. import keys
from ..detector.events import CLOSE, OPEN, UPDATE, Emitted, Segment
from ..detector.threats import LEVELS, threat_level
from .emitter import Emitter

NEW, GONE, LOUDER, MOVED, CHANGED = "new", "gone", "louder", "moved", "changed"
RAISED_FLOOR, RECEIVER, BURST = "raised floor", "receiver", "burst"
UPDATE_S, MAX_UPDATE_S = 1.0, 600.0  # min time between two updates of an alert; it doubles while a transmission goes on, to this
UPDATE_DB = 3.0  # change of level that is told at once
CLOSE_S = 3600.0  # of silence, after which the alert of an emitter closes
MAX_OPEN = 500  # alerts; beyond, the oldest closes


@dataclass(eq=False)
class Sighting:
    """A transmission as an alert states it: place in samples and Hz, level, score (1: at the limit), number of frames, class,
    model that gave it."""

    sample_start: int
    sample_stop: int
    freq_center_hz: float
    bandwidth_hz: float
    power_dbfs: float | None = None
    snr_db: float | None = None
    score: float = 1.0
    n_frames: int = 1
    label: str | None = None
    confidence: float | None = None
    dropout_rate: float | None = None
    residual: np.ndarray | None = field(default=None, repr=False)
    model: str = ""


@dataclass(eq=False)
class Alert:
    """An alert that is open.

    Attributes:
        kind: one of the names above. emitter: None for a change of the whole band. last_s: POSIX s, when it was heard last.
        reported_s: signal time of its last message. first_index: frame at which it began. told: sighting of its last message.
        wait_s: time to its next update.
    """

    event_id: str
    kind: str
    emitter: Emitter | None
    sighting: Sighting
    last_s: float
    reported_s: float
    level: str = LEVELS[0]
    analysis: str = "emitter"
    first_index: int = -1
    told: Sighting | None = None
    wait_s: float = UPDATE_S


class AlertLog:
    """Makes the messages of alerts, and keeps the open ones.

    Args:
        n_bins: N. model: name put into messages whose sighting has none.
    """

    def __init__(self, n_bins: int, model: str):
        self._n_bins, self._model = n_bins, model
        self.open: dict[str, Alert] = {}  # by event_id, oldest first
        self._count = 0

    def of_emitter(self, emitter: Emitter) -> Alert | None:
        """The open alert of an emitter."""
        return next((a for a in self.open.values() if a.emitter is emitter), None)

    def raise_alert(self, kind: str, emitter: Emitter | None, sighting: Sighting, segment: Segment,
                    analysis: str = "emitter") -> tuple[Alert, Emitted]:
        """Opens an alert."""
        alert = Alert(f"{sighting.sample_start}-{self._count}", kind, emitter, sighting, segment.time_of(sighting.sample_stop),
                      segment.time_of(sighting.sample_stop), analysis=analysis)
        self._count += 1
        self.open[alert.event_id] = alert
        return alert, self._message(alert, OPEN, segment)

    def update(self, alert: Alert, sighting: Sighting, segment: Segment, *, always: bool = False) -> list[Emitted]:
        """Takes a further sighting. Gives its message if it is time for one, or always if that is asked for.

        The time is UPDATE_S after the last one. It doubles while one transmission goes on at the same level.
        """
        now, told = segment.time_of(sighting.sample_stop), alert.told or alert.sighting
        alert.sighting, alert.last_s = sighting, max(alert.last_s, now)
        other = sighting.sample_start != told.sample_start or abs((sighting.snr_db or 0.0) - (told.snr_db or 0.0)) > UPDATE_DB
        if not always and now - alert.reported_s < (UPDATE_S if other else alert.wait_s):
            return []
        alert.wait_s = UPDATE_S if other else min(2.0 * alert.wait_s, MAX_UPDATE_S)
        alert.reported_s, alert.told = now, sighting
        return [self._message(alert, UPDATE, segment)]

    def close(self, alert: Alert, segment: Segment) -> Emitted:
        """Closes an alert."""
        del self.open[alert.event_id]
        return self._message(alert, CLOSE, segment)

    def once(self, kind: str, emitter: Emitter | None, sighting: Sighting, segment: Segment,
             analysis: str = "emitter") -> list[Emitted]:
        """An alert that opens and closes at once."""
        alert, opened = self.raise_alert(kind, emitter, sighting, segment, analysis)
        return [opened, self.close(alert, segment)]

    def _message(self, alert: Alert, state: str, segment: Segment) -> Emitted:
        one, emitter = alert.sighting, alert.emitter
        if alert.kind in (RECEIVER, BURST):
            level = LEVELS[0]
        else:
            level = threat_level(score=one.score, threshold=1.0, p_value=None, false_alarm_rate=1.0,
                                 extent=one.bandwidth_hz / segment.rx_rate, n_frames=one.n_frames)
        alert.level = max(alert.level, level, key=LEVELS.index)
        fields = {
            keys.EVENT_ID: alert.event_id, keys.STATE: state, keys.TIMESTAMP: segment.time_of(one.sample_start),
            keys.TIME_SOURCE: segment.time_source, keys.SAMPLE_START: one.sample_start,
            keys.SAMPLE_COUNT: max(one.sample_stop - one.sample_start, 0), keys.FREQ_CENTER_HZ: one.freq_center_hz,
            keys.BANDWIDTH_HZ: one.bandwidth_hz, keys.POWER_DBFS: one.power_dbfs, keys.SNR_DB: one.snr_db,
            keys.ANOMALY_SCORE: float(one.score), keys.THRESHOLD: 1.0,
            keys.IS_ANOMALY: alert.kind not in (RECEIVER, BURST), keys.THREAT_LEVEL: alert.level,
            keys.ANALYSIS_TYPE: alert.analysis, keys.LABEL: one.label, keys.CONFIDENCE: one.confidence,
            keys.BAND: segment.band, keys.MODEL: one.model or self._model, keys.DROPOUT_RATE: one.dropout_rate,
            keys.ALERT: alert.kind,
        }
        if emitter is not None:
            fields |= {keys.EMITTER_ID: emitter.part_of or emitter.id,
                       keys.EMITTER_NAME: emitter.name or None, keys.BURSTS: emitter.count,
                       keys.FIRST_HEARD: emitter.first_s, keys.LAST_HEARD: max(emitter.last_s, alert.last_s)}
        residual = np.zeros(self._n_bins, np.float32) if one.residual is None else one.residual
        return Emitted({key: value for key, value in fields.items() if value is not None}, residual)
