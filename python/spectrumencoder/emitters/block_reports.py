# SPDX-License-Identifier: GPL-3.0-or-later
"""What a full block calls for: emitters that are gone, back, louder or have moved, the receiver, and alerts that are over."""

from __future__ import annotations

import numpy as np

from ..detector.events import Emitted, Segment
from . import alerts
from .activity import Heard
from .alerts import Alert, AlertLog, Sighting
from .bursts import BurstBuilder
from .emitter import Emitter
from .parts import whole_of
from .receiver import SAID, Change, ReceiverLog
from .registry import Registry
from .signs import sighting_of
from .tuning import TuningState

MOVED_S, MOVED_DB = 1.0, 6.0  # from the silence of an emitter to its like elsewhere; difference of level


class BlockReports:
    """Reports what blocks show. Args: of the detector."""

    def __init__(self, registry: Registry, builder: BurstBuilder, log: AlertLog, receiver: ReceiverLog):
        self._registry, self._builder, self._log, self._receiver = registry, builder, log, receiver

    def tell(self, kind: str, emitter: Emitter, sample: int, segment: Segment, emitted: list[Emitted]):
        """Reports that an emitter is gone, back or louder, or that all drift."""
        if kind == "drift":
            self._receiver.did(kind, said=SAID[kind].format(emitter.center_hz.mean / 1e6))
            return
        known = self._log.of_emitter(emitter)
        if known is not None:
            emitted.append(self._log.close(known, segment))
        if kind == "back" or self._registry.is_ignored(emitter.low_hz, emitter.high_hz):
            return
        if kind == alerts.GONE and emitter.steady and (moved := self._moved(emitter, segment)) is not None:
            emitted += self._log.once(alerts.MOVED, emitter, moved.sighting, segment)
            return
        sighting = sighting_of(emitter, sample, sample, emitter.level_db.mean)
        if kind == alerts.GONE:
            _, message = self._log.raise_alert(kind, emitter, sighting, segment)
            emitted.append(message)
        else:
            emitted += self._log.once(kind, emitter, sighting, segment)

    def changed(self, heard: Heard, segment: Segment, emitted: list[Emitted]):
        """Reports another waveform in the place of an emitter, as the last transmission showed it."""
        emitter = heard.emitter
        if self._registry.is_ignored(emitter.low_hz, emitter.high_hz) or self._log.of_emitter(emitter) is not None:
            return
        sighting = sighting_of(emitter, heard.sample_start, heard.sample_stop, heard.level_db)
        sighting.freq_center_hz, sighting.bandwidth_hz = heard.place or (sighting.freq_center_hz, sighting.bandwidth_hz)
        sighting.n_frames = round((heard.sample_stop - heard.sample_start) / segment.frame_hop)
        sighting.label, sighting.confidence = heard.label, heard.confidence
        emitted += self._log.once(alerts.CHANGED, emitter, sighting, segment)

    def _moved(self, emitter: Emitter, segment: Segment) -> Alert | None:
        """The alert of a new emitter that is like this one, and began when this one fell silent."""
        for alert in self._log.open.values():
            new = alert.emitter
            if alert.kind == alerts.NEW and new is not None and abs(new.first_s - emitter.last_s) < MOVED_S:
                ratio = alert.sighting.bandwidth_hz / max(emitter.bandwidth_hz, segment.rx_rate / self._builder.n_bins)
                level = alert.sighting.snr_db
                if level is not None and abs(level - emitter.level_db.mean) < MOVED_DB and 0.3 < ratio < 3.5:
                    return alert
        return None

    def receiver_did(self, change: Change, tuning: TuningState, gains: np.ndarray, start: int, last: int, segment: Segment,
                     emitted: list[Emitted]):
        """Names what the receiver did in a block, and alerts a raised floor. start, last: first samples of its end frames."""
        kind, change_db, count = change
        raised = next((a for a in self._log.open.values() if a.kind == alerts.RAISED_FLOOR), None)
        whole = Sighting(start, last, segment.rx_freq, segment.rx_rate, tuning.background.noise_db + float(np.median(gains)),
                         change_db, 10.0 ** (0.1 * abs(change_db)))
        if kind == "raised floor" and raised is None:
            _, message = self._log.raise_alert(alerts.RAISED_FLOOR, None, whole, segment, "floor")
            emitted.append(message)
        elif kind == "over" and raised is not None:
            emitted.append(self._log.close(raised, segment))
        elif kind == "gain step":
            emitted += self._log.once(alerts.RECEIVER, None, whole, segment, "gain step")
            self._receiver.did(kind, said=SAID[kind].format(change_db))
        elif kind == "impulses":
            self._receiver.did(kind, count, SAID[kind].format(change_db))

    def close_what_is_over(self, now_s: float, segment: Segment, emitted: list[Emitted]):
        """Closes alerts that have nothing more to report, and the oldest if too many are open."""
        for alert in list(self._log.open.values()):
            if self._is_over(alert, now_s):
                emitted.append(self._log.close(alert, segment))
        for alert in list(self._log.open.values())[:max(len(self._log.open) - alerts.MAX_OPEN, 0)]:
            emitted.append(self._log.close(alert, segment))

    def _is_over(self, alert: Alert, now_s: float) -> bool:
        emitter = alert.emitter
        if alert.kind == alerts.GONE:
            return emitter is not None and not emitter.gone
        if emitter is None:
            return False  # the end of a raised floor closes it
        on = any(burst.alert is alert for burst in self._builder.open)
        accepted = (whole_of(emitter, self._registry.emitters) or emitter).accepted
        return not on and (accepted or now_s - alert.last_s > alerts.CLOSE_S)
