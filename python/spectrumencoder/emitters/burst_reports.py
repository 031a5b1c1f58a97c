# SPDX-License-Identifier: GPL-3.0-or-later
"""What a burst calls for: an alert, and what the registry learns of it."""

from __future__ import annotations

from ..detector.events import Emitted, Segment
from . import alerts
from .alerts import Alert, AlertLog
from .bursts import Burst, BurstBuilder
from .emitter import Emitter
from .hops import Hops
from .receiver import SAID, ReceiverLog
from .registry import Registry, Sign
from .signs import SignMaker
from .tuning import TuningState
from .verdict import LEARNED, OWN, PART, REPORTED, Judge, Verdict

HEARD_S = 10.0  # on the air that count as one more transmission, on the way to belong
_STAYS = 0.9  # share of its frames in which a carrier that stays is seen
TOGETHER = 2  # frames within which parts of one emission begin
_SIDE_WIDTHS, _SIDE_BINS = 16, 32  # between parts that lie side by side: widths of the wider one, and bins, whichever is more
_EXACT_BINS = 3  # from where a mirror image or a harmonic lies
_HARMONICS, _HARMONIC_DB = (2.0, 3.0), 10.0  # of the offset from the centre; how much weaker


class BurstReports:
    """Judges bursts and reports them.

    Args:
        registry, builder, log, signs, receiver, hops: of the detector.

    Attributes:
        judge: of bursts. belongs_after: transmissions after which a new emitter belongs. each: single bursts are reported, too.
    """

    def __init__(self, registry: Registry, builder: BurstBuilder, log: AlertLog, signs: SignMaker, receiver: ReceiverLog,
                 hops: Hops):
        self._registry, self._builder, self._log, self._signs, self._receiver = registry, builder, log, signs, receiver
        self.judge = Judge(registry)
        self._hops = hops
        self.belongs_after, self.each = 1, False

    def goes_on(self, tuning: TuningState, segment: Segment, burst: Burst, emitted: list[Emitted]):
        """A burst that has an alert is still on."""
        emitted += self._log.update(burst.alert, self._signs.sighting(tuning, segment, burst), segment)

    def decide(self, tuning: TuningState, segment: Segment, burst: Burst, emitted: list[Emitted]):
        """Judges a burst, and raises the alert that it calls for."""
        sign = self._signs.sign(tuning, segment, burst)
        verdict = burst.verdict = self.judge.verdict(burst, sign, tuning, not tuning.learned, lambda extent: self._signs.sign(
            tuning, segment, burst, extent))
        if verdict is None or verdict.kind not in REPORTED:
            if verdict is not None and verdict.kind not in (LEARNED, OWN):
                self._receiver.did(verdict.kind, said=SAID.get(verdict.kind, "").format(sign.center_hz / 1e6))
            return
        sighting = self._signs.sighting(tuning, segment, burst)
        if verdict.kind == alerts.NEW:
            verdict = burst.verdict = Verdict(alerts.NEW, self._hops.hopped_from(burst, sign, verdict.emitter))
            if verdict.emitter is not None:
                self._hops.add(verdict.emitter, burst, sign)
        if verdict.emitter is not None and not verdict.emitter.belongs:
            self._registry.begins(verdict.emitter, sign)
        known = None if verdict.emitter is None else self._log.of_emitter(verdict.emitter)
        if known is not None:
            burst.alert, known.first_index = known, burst.first
            emitted += self._log.update(known, sighting, segment)
            return
        if verdict.emitter is None and (other := self._begun_with(burst, sign, tuning)) is not None:
            if other.emitter is not None and not other.emitter.belongs:
                self._registry.begins(other.emitter, sign)
            self._joins(burst, other)
            return
        if verdict.emitter is None:
            emitter = self._registry.add(sign, belongs=False, learned=False)
            self._registry.begins(emitter, sign)
            burst.verdict, burst.counted = Verdict(verdict.kind, emitter), True
            self._hops.add(emitter, burst, sign)
        burst.alert, message = self._log.raise_alert(verdict.kind, burst.verdict.emitter, sighting, segment)
        burst.alert.first_index = burst.first
        emitted.append(message)

    def _joins(self, burst: Burst, other: Alert):
        """A burst is a part of the emission that an alert is about."""
        whole = next((b for b in self._builder.open if b.alert is other and b is not burst), None)
        if whole is not None and burst in self._builder.open:
            whole.absorb(burst)
            self._builder.open.remove(burst)
            if other.emitter is not None:
                other.emitter.parts += 1
        else:
            burst.verdict, burst.alert = Verdict(PART, other.emitter), other

    def _begun_with(self, burst: Burst, sign: Sign, tuning: TuningState) -> Alert | None:
        """The new alert that began together with this burst, if both may be parts of one emission.

        A few frames do not fill an emission, so that parts lie side by side. Otherwise one is the mirror image of the other, or a
        harmonic of its offset in the receiver.
        """
        return next((a for a in reversed(self._log.open.values()) if a.kind == alerts.NEW and a.emitter is not None
                     and abs(a.first_index - burst.first) <= TOGETHER and _of_one(a, sign, tuning)), None)

    def _often(self, emitter: Emitter, more_s: float = 0.0) -> bool:
        """Whether a new emitter was heard so often, or for so long, that it belongs to the band. more_s: of what is on."""
        return emitter.count + (emitter.on_s + more_s) / HEARD_S >= self.belongs_after

    def settled(self, tuning: TuningState, segment: Segment, emitted: list[Emitted]) -> list[Burst]:
        """New carriers that stay, and belong to the band by now: their bursts are over, and they are steady emitters."""
        found = []
        for burst in list(self._builder.open):
            verdict, length = burst.verdict, burst.last - burst.first + 1
            length_s = length * tuning.frame_s
            if (verdict is None or verdict.kind != alerts.NEW or verdict.emitter is None or verdict.emitter.hops_hz
                    or length_s < HEARD_S or burst.n_frames < _STAYS * length):
                continue
            emitter = verdict.emitter
            if emitter.belongs or self._often(emitter, length_s):
                self._builder.open.remove(burst)
                self.ended(tuning, segment, burst, emitted)
                self._registry.belongs_now(emitter)
                emitter.steady = True
                found.append(burst)
        return found

    def ended(self, tuning: TuningState, segment: Segment, burst: Burst, emitted: list[Emitted]):
        """A burst is over: the registry learns of it."""
        if burst.verdict is None:
            self.decide(tuning, segment, burst, emitted)
        verdict, registry = burst.verdict, self._registry
        if verdict is None:
            return
        sign = self._signs.sign(tuning, segment, burst)
        emitter = verdict.emitter
        if not tuning.learned and verdict.kind == LEARNED:
            emitter = registry.like(sign)
            if emitter is None:
                emitter = registry.add(sign, belongs=True, learned=True)
            else:
                registry.heard(emitter, sign)
        elif emitter is not None and emitter.belongs:
            registry.showed(emitter, sign)
        elif emitter is not None and verdict.kind == PART:
            registry.part_of(emitter, sign)
        elif emitter is not None:
            if burst.counted:
                registry.first_burst(emitter, sign)
            else:
                registry.heard(emitter, sign)
            emitter.on_s += sign.end_s - sign.start_s
            if self._often(emitter):
                registry.belongs_now(emitter)
        if burst.alert is not None and burst.alert.event_id in self._log.open:
            emitted += self._log.update(burst.alert, self._signs.sighting(tuning, segment, burst), segment,
                                        always=burst.alert.reported_s < segment.time_of(burst.sample_stop))
        if self.each and emitter is not None:
            emitted += self._log.once(alerts.BURST, emitter, self._signs.sighting(tuning, segment, burst), segment)


def _of_one(alert: Alert, sign: Sign, tuning: TuningState) -> bool:
    """Whether a burst that began with an alert may be a part of the same emission, by its place."""
    emitter, one = alert.emitter, alert.sighting
    low = min(emitter.low_hz, one.freq_center_hz - 0.5 * one.bandwidth_hz)
    high = max(emitter.high_hz, one.freq_center_hz + 0.5 * one.bandwidth_hz)
    own_low, own_high = sign.center_hz - 0.5 * sign.bandwidth_hz, sign.center_hz + 0.5 * sign.bandwidth_hz
    apart_hz = max(own_low - high, low - own_high)
    if apart_hz <= max(_SIDE_WIDTHS * max(high - low, sign.bandwidth_hz), _SIDE_BINS * sign.bin_hz):
        return True
    middle = tuning.key.freq_hz
    offset, own = one.freq_center_hz - middle, sign.center_hz - middle
    near = _EXACT_BINS * sign.bin_hz
    if abs(offset + own) < near:
        return True
    weaker_db = (one.snr_db or 0.0) - sign.level_db
    return any((abs(own - k * offset) < near and weaker_db > _HARMONIC_DB)
               or (abs(offset - k * own) < near and -weaker_db > _HARMONIC_DB) for k in _HARMONICS)
