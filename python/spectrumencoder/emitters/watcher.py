# SPDX-License-Identifier: GPL-3.0-or-later
"""The door: frames in order -> emitters and alerts.

The result for a frame follows from that frame and the earlier ones, not from how frames were batched. What is learned takes
effect at the ends of blocks. Shape letters: F frames, N bins.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from .. import keys
from ..detector.detector import Result
from ..detector.events import Emitted, Segment
from ..detector.notices import Notices
from ..encoder import features as layout
from ..encoder.model_file import ModelFile
from ..settings import DEFAULTS, SETTINGS
from ..tokens.layout import usable_bins
from . import alerts, commands
from .activity import Activity
from .alerts import Alert, AlertLog, Sighting
from .background import BLOCK
from .band_file import BandFile, Tuning
from .boxes import Search
from .bursts import Burst, BurstBuilder, FrameView
from .emitter import Emitter
from .listing import describe
from .receiver import SAID, GainWatch
from .regions import find_regions
from .registry import Registry, Sign
from .tuning import MIN_START, TuningKey, TuningState, key_of
from .verdict import LEARNED, OWN, PART, REPORTED, Judge, Verdict

FORGET_S = 86400.0  # after which a stranger that was heard once is forgotten
TOGETHER = 2  # frames within which parts of one emission begin
CONFIRM = 2  # frames of a burst after which it is judged, if it has not ended
LEARN_BURST_S = 0.5  # after which a burst that lasts is learned, before it ends
MOVED_S, MOVED_DB = 1.0, 6.0  # from the silence of an emitter to its like elsewhere; difference of level
MIN_LABEL = 0.5  # mean probability of a class from which on a signal is called by it
MAX_DB = 400.0  # of a bin, dBFS: beyond, or no number, the frame is left out
SAID_AFTER = {"impulses": 20}  # frames, before it is worth a line
RECEIVER_STATE = "receiver"  # of a notice


class EmitterDetector:
    """Learns the emitters of a band, then reports those that are new, gone, louder or moved.

    Args:
        contract: of the model file: window, bins, labels, name.
        band: what is known already; None: nothing. If its learning was finished, the detector watches from the first frame.
        learn_s: signal to learn before anything is reported, s. 0: all that stands out of the noise is new at once.
        false_events_per_hour: alerts an hour that may be false. inf counts as 1e6.
        hold: frames that a burst may be unseen before it ends.
        belongs_after: transmissions after which a new emitter belongs to the band.
        bursts: single bursts of all emitters are reported, too.
        usable: share of the band's width, around its middle, that is judged.
        models: names of those that may have answered, as ``Detector`` has them.

    Attributes:
        registry: the emitters. n_frames, n_judged, n_flagged: frames so far. n_skipped: those that are short or not
            finite. n_uncalibrated: 0.
        heard: the emitters as ``listing.describe`` has them, at the end of learning; empty before.

    Raises:
        ValueError: an argument is out of range. BandFileError: the band is of frames of another kind.
    """

    n_uncalibrated = 0

    def __init__(self, contract: dict, *, band: BandFile | None = None, learn_s: float = DEFAULTS.learn_s,
                 false_events_per_hour: float = DEFAULTS.false_events_per_hour, hold: int = DEFAULTS.hold,
                 belongs_after: int = DEFAULTS.belongs_after, bursts: bool = DEFAULTS.bursts, usable: float = DEFAULTS.usable,
                 models: Sequence[str] = ()):
        encoder = contract["encoder"]
        self.contract = contract
        self.n_bins, self._window = int(encoder["fft_size"]), encoder["window"]
        self._n_tokens = self.n_bins // int(encoder.get("stride", 8))
        self._labels = list(contract["labels"]) if contract.get("heads", {}).get("classes", True) else []
        self._models = tuple(models) or (contract["name"],)
        self._usable = usable_bins(self.n_bins, float(SETTINGS["usable"].check(usable)))
        self._bursts = bool(bursts)
        if band is not None:
            band.check(self._window, self.n_bins)
        self._band = band
        self.hold, self.learn_s, self.false_events_per_hour = DEFAULTS.hold, DEFAULTS.learn_s, DEFAULTS.false_events_per_hour
        self.reset()
        self.set_learn_s(learn_s)
        self.set_false_events_per_hour(false_events_per_hour)
        self.set_hold(hold)
        self.set_belongs_after(belongs_after)

    @classmethod
    def from_model(cls, model: ModelFile, **settings: Any) -> EmitterDetector:
        """A detector with the contract of a model file. settings: keyword arguments of the constructor."""
        return cls(model.contract, **settings)

    def reset(self) -> None:
        """Forgets all frames so far; keeps the settings, and begins with the band that it was given."""
        self.n_frames = self.n_judged = self.n_flagged = self.n_skipped = 0
        self._age = 0  # of the stream, in frames
        self._tunings: dict[TuningKey, TuningState] = {}
        self._gains: dict[TuningKey, GainWatch] = {}
        self._tuning: TuningState | None = None
        self._segment = Segment()
        self.registry = Registry() if self._band is None else deepcopy(self._band.registry)
        self.learned_s = 0.0 if self._band is None else self._band.learned_s
        self._complete = not self.learn_s > 0.0 or (self._band is not None and self._band.complete)
        self._builder = BurstBuilder(self.n_bins, self.hold)
        self._activity = Activity(self.registry)
        self._log = AlertLog(self.n_bins, self._models[0])
        self._judge = Judge(self.registry)
        self._judge.set_rate(self.false_events_per_hour)
        self._notices = Notices()
        self.heard: list[dict[str, Any]] = []
        self.receiver: dict[str, int] = {}  # what the receiver or a stronger signal explains, by kind
        self._now_s = 0.0
        for tuning in () if self._band is None else self._band.tunings:
            key = TuningKey(tuning.freq_hz, tuning.samp_rate, tuning.frame_hop, tuning.average)
            state = self._tunings[key] = TuningState(key, self._window, self.n_bins, len(self._labels))
            state.background.restore(tuning.mean_db, tuning.frames)
            state.steady.find(tuning.mean_db, state.background.noise_db, self.registry, 0.0, 0.0)

    def copy(self) -> EmitterDetector:
        """A detector in the present state, which goes on by itself."""
        return deepcopy(self, {id(self.contract): self.contract})

    # -- settings, which may change between batches

    def set_false_events_per_hour(self, false_events_per_hour: float) -> None:
        """Sets how many alerts an hour may be false. Raises ValueError: it is not positive."""
        if not false_events_per_hour > 0:
            raise ValueError(f"false_events_per_hour {false_events_per_hour} must be positive")
        self.false_events_per_hour = min(float(false_events_per_hour), 1e6)
        self._judge.set_rate(self.false_events_per_hour)
        for tuning in self._tunings.values():
            tuning.limits = None

    def set_hold(self, hold: int) -> None:
        """Sets for how many frames a burst may be unseen. Raises ValueError: it is not whole, or out of range."""
        self.hold = self._builder.hold = int(SETTINGS["hold"].check(hold))

    def set_learn_s(self, learn_s: float) -> None:
        """Sets how much signal is learned. Raises ValueError: it is negative."""
        self.learn_s = float(SETTINGS["learn_s"].check(learn_s))
        if not self.learn_s > 0.0:
            self.finish_learning()

    def set_belongs_after(self, belongs_after: int) -> None:
        """Sets after how many transmissions a new emitter belongs. Raises ValueError: it is below 1."""
        self.belongs_after = int(SETTINGS["belongs_after"].check(belongs_after))

    @property
    def learning(self) -> bool:
        """Whether it still learns, and reports nothing new."""
        return not self._complete

    # -- what the operator decides

    def accept(self, emitter_id: int) -> None:
        """The emitter belongs to the band from here on. Raises ValueError: there is none of this number."""
        commands.accept(self.registry, emitter_id)

    def name(self, emitter_id: int, text: str) -> None:
        """Gives an emitter a name. Raises ValueError: there is none of this number, or the text is no line."""
        commands.name(self.registry, emitter_id, text)

    def ignore(self, low_hz: float, high_hz: float) -> None:
        """No signal in this range alerts from here on. Raises ValueError: it is no range."""
        commands.ignore(self.registry, low_hz, high_hz)

    def ignore_emitter(self, emitter_id: int) -> None:
        """Ignores the range of an emitter. Raises ValueError: there is none of this number."""
        commands.ignore_emitter(self.registry, emitter_id)

    def unignore(self, low_hz: float, high_hz: float) -> None:
        """Ignored ranges that overlap this one alert again. Raises ValueError: there is none."""
        commands.unignore(self.registry, low_hz, high_hz)

    def finish_learning(self) -> None:
        """Learning is over: all that was heard so far belongs."""
        if not self._complete:
            if self._tuning is not None and len(self._tuning.first_frames) >= MIN_START:
                self._begin_now(self._tuning, [])  # nothing is reported while learning
            self._complete = True
            for tuning in self._tunings.values():
                self._settle(tuning)
            for burst in self._builder.open:  # one that has just begun was not learned: it is judged again
                burst.verdict = None
            self.heard = [describe(emitter) for emitter in self.registry.emitters.values()]

    def band_file(self) -> BandFile:
        """The present state, to be saved; it shares the registry."""
        self.registry.prune(self._now_s - FORGET_S)
        tunings = [Tuning(*key, mean_db=state.background.mean_db.copy(), frames=state.background.frames)
                   for key, state in self._tunings.items() if state.background.ready]
        return BandFile(self.registry, self.learned_s, self._complete, tunings, self._window, self.n_bins, self.contract["name"])

    # -- frames

    def process(self, psd: np.ndarray, residual: np.ndarray, features: np.ndarray, sample_start: np.ndarray,
                segment: Segment) -> Result:
        """Judges the next frames, all of one segment.

        Args:
            psd: (F, N) dBFS. residual: (F, N) standardised, carried along. features: (F, 256), layout ``encoder.features``.
            sample_start: (F,) number of each frame's first sample. segment: tuning, rate and time of these frames.

        Returns:
            scores: how unusual each frame is (``TuningState.score``); 1 is the limit. NaN for the first frames of a tuning, for
            short ones, for those that were skipped, and for those with a bin that is no finite power.
        """
        began, count = time.perf_counter(), len(psd)
        result = Result(np.full(count, np.nan, np.float32), np.full(count, np.nan), np.zeros(count, bool))
        self.n_frames += count
        self.n_skipped += int(np.count_nonzero(features[:, layout.SKIPPED]))
        self._segment, tuning = segment, self._tuning_of(segment)
        whole = (features[:, layout.K_EFF] >= segment.frame_average) & (np.abs(psd).max(axis=1, initial=0.0) < MAX_DB)
        self.n_skipped += count - int(whole.sum())
        if not whole.all():  # the last, short frame of a recording follows another law; what is no power follows none
            numbers = np.flatnonzero(whole)
            psd, residual, features, sample_start = psd[numbers], residual[numbers], features[numbers], sample_start[numbers]
        else:
            numbers = np.arange(count)
        first = 0
        if not tuning.background.ready:
            first = self._begin(tuning, psd, residual, features, sample_start, result.emitted)
        while first < len(psd):
            part = slice(first, first + min(max(self._room(tuning), 1), len(psd) - first))
            scores = self._piece(tuning, psd[part], residual[part], features[part], sample_start[part], result.emitted)
            result.scores[numbers[part]] = scores
            first = part.stop
        result.flagged[:] = result.scores > 1.0
        judged = int(np.isfinite(result.scores).sum())
        self.n_judged += judged
        self.n_flagged += int(result.flagged.sum())
        result.notices = self._notices.take()
        for emitted in result.emitted:
            emitted.fields[keys.LATENCY_MS] = (time.perf_counter() - began) * 1e3
        return result

    def discontinuity(self) -> list[Emitted]:
        """Time or tuning has jumped: ends the bursts that are on. Alerts stay open."""
        emitted: list[Emitted] = []
        if self._tuning is not None:
            for burst in self._builder.end_all():
                self._ended(self._tuning, burst, emitted)
            self._tuning.restart()
        return emitted

    def flush(self) -> list[Emitted]:
        """The end of the stream: ends the bursts that are on, and closes what is open."""
        emitted = self.discontinuity()
        for alert in list(self._log.open.values()):
            emitted.append(self._log.close(alert, self._segment))
        return emitted

    # -- parts

    def _tuning_of(self, segment: Segment) -> TuningState:
        key = key_of(segment)
        if key not in self._tunings:
            self._tunings[key] = TuningState(key, self._window, self.n_bins, len(self._labels))
        if key not in self._gains:
            self._gains[key] = GainWatch()
        self._tuning = self._tunings[key]
        return self._tuning

    def _begin(self, tuning: TuningState, psd, residual, features, starts, emitted: list[Emitted]) -> int:
        """Collects the first frames of a tuning, and judges them once there are enough. Returns how many it took."""
        enough = tuning.start
        if self.learning:  # what is to be learned may be shorter
            left = math.floor((self.learn_s - self.learned_s) / tuning.frame_s + 1e-6)
            enough = min(enough, max(left, MIN_START))
        taken = min(enough - len(tuning.first_frames), len(psd))
        tuning.first_frames += [(psd[n].copy(), residual[n].copy(), features[n].copy(), int(starts[n])) for n in range(taken)]
        if len(tuning.first_frames) >= enough:
            self._begin_now(tuning, emitted)
        return taken

    def _begin_now(self, tuning: TuningState, emitted: list[Emitted]):
        """Makes a background of the first frames, and judges them."""
        rows = [np.stack(column) for column in zip(*tuning.first_frames, strict=True)]
        tuning.first_frames = []
        tuning.background.begin(rows[0])
        first = 0
        while first < len(rows[0]):
            part = slice(first, first + min(max(self._room(tuning), 1), len(rows[0]) - first))
            self._piece(tuning, rows[0][part], rows[1][part], rows[2][part], rows[3][part], emitted)
            first = part.stop

    def _piece(self, tuning: TuningState, psd, residual, features, starts, emitted: list[Emitted]) -> np.ndarray:
        """Judges frames that fit into the block; returns their scores."""
        if tuning.limits is None:
            tuning.renew(self.registry, self.false_events_per_hour)
        search, gains, ratio = tuning.search(psd, self._usable)
        clipped = features[:, layout.CLIPPED_SHARE]
        for n, score in enumerate(search.score.tolist()):
            if score > 1.0 or self._builder.open:
                expected_db = tuning.background.expected_db(gains[n:n + 1])[0]
                frame = self._view(tuning, self._age + n, psd[n], expected_db, ratio[n], residual[n], features[n], int(starts[n]),
                                   float(clipped[n]))
                self._look(tuning, search, n, frame, emitted)
        tuning.fill(psd, gains, ratio, starts, clipped)
        self._age += len(psd)
        classes = features[:, layout.PROBABILITIES][:, :len(self._labels)]
        scores = tuning.score(search, gains, ratio, psd, classes, self.learning, self._usable)
        if self._room(tuning) <= 0:
            self._end_block(tuning, emitted)
        return scores

    def _room(self, tuning: TuningState) -> int:
        """Frames until the block is over. The last block of learning ends with the last frame that is to be learned."""
        if self._complete:
            return tuning.room
        return min(tuning.room, math.floor((self.learn_s - self.learned_s) / tuning.frame_s + 1e-6) - tuning.filled)

    def _view(self, tuning: TuningState, index: int, psd, expected_db, ratio, residual, row, start: int,
              clipped: float) -> FrameView:
        power, expected = 10.0 ** (0.1 * psd.astype(np.float64)), 10.0 ** (0.1 * expected_db.astype(np.float64))
        return FrameView(index, start, start + self._segment.frame_hop, power, expected, ratio,
                         power - expected * tuning.recent(), clipped, row[layout.PROBABILITIES][:len(self._labels)], residual,
                         1.0 - float(row[layout.K_KEPT]) / self._n_tokens)

    def _look(self, tuning: TuningState, search: Search, n: int, frame: FrameView, emitted: list[Emitted]):
        """Takes a frame in which something stands out, or that comes while a burst is on."""
        regions = []
        if search.score[n] > 1.0:
            covered = np.zeros(self.n_bins, bool)
            self._builder.covered(covered, frame)
            regions = find_regions(search, n, tuning.limits.variance, covered)
        if not regions and not self._builder.open:
            return
        for burst in self._builder.see(frame, regions):
            self._ended(tuning, burst, emitted)
        for burst in list(self._builder.open):
            if burst.verdict is None and burst.n_frames >= CONFIRM:
                self._decide(tuning, burst, emitted)
            elif burst.alert is not None and burst.last == frame.index:
                emitted += self._log.update(burst.alert, self._sighting(tuning, burst), self._segment)
            if self.learning and (burst.last - burst.first) * tuning.frame_s > LEARN_BURST_S:
                self._builder.open.remove(burst)
                self._ended(tuning, burst, emitted)

    def _decide(self, tuning: TuningState, burst: Burst, emitted: list[Emitted]):
        """Judges a burst, and raises the alert that it calls for."""
        sign = self._sign(tuning, burst)
        verdict = burst.verdict = self._judge.verdict(burst, sign, tuning, self.learning, lambda extent: self._sign(
            tuning, burst, extent))
        if verdict is None or verdict.kind not in REPORTED:
            if verdict is not None and verdict.kind not in (LEARNED, OWN):
                self._receiver_did(verdict.kind, said=SAID.get(verdict.kind, "").format(sign.center_hz / 1e6))
            return
        sighting = self._sighting(tuning, burst)
        if verdict.emitter is not None and not verdict.emitter.belongs:
            self.registry.begins(verdict.emitter, sign)
        known = None if verdict.emitter is None else self._log.of_emitter(verdict.emitter)
        if known is not None:
            burst.alert, known.first_index = known, burst.first
            emitted += self._log.update(known, sighting, self._segment)
            return
        if verdict.emitter is None and (other := self._begun_with(burst)) is not None:
            if other.emitter is not None and not other.emitter.belongs:
                self.registry.begins(other.emitter, sign)
            whole = next((b for b in self._builder.open if b.alert is other and b is not burst), None)
            if whole is not None and burst in self._builder.open:
                whole.absorb(burst)
                self._builder.open.remove(burst)
                if other.emitter is not None:
                    other.emitter.parts += 1
            else:
                burst.verdict, burst.alert = Verdict(PART, other.emitter), other
            return
        if verdict.emitter is None:
            emitter = self.registry.add(sign, belongs=False, learned=False)
            self.registry.begins(emitter, sign)
            burst.verdict, burst.counted = Verdict(verdict.kind, emitter), True
        burst.alert, message = self._log.raise_alert(verdict.kind, burst.verdict.emitter, sighting, self._segment)
        burst.alert.first_index = burst.first
        emitted.append(message)

    def _begun_with(self, burst: Burst) -> Alert | None:
        """The new alert that began together with this burst: both are parts of one emission, which a few frames do not fill."""
        return next((a for a in reversed(self._log.open.values())
                     if a.kind == alerts.NEW and abs(a.first_index - burst.first) <= TOGETHER), None)

    def _ended(self, tuning: TuningState, burst: Burst, emitted: list[Emitted]):
        """A burst is over: the registry learns of it."""
        if burst.verdict is None:
            self._decide(tuning, burst, emitted)
        verdict = burst.verdict
        if verdict is None:
            return
        sign = self._sign(tuning, burst)
        emitter = verdict.emitter
        if self.learning and verdict.kind == LEARNED:
            emitter = self.registry.like(sign)
            if emitter is None:
                emitter = self.registry.add(sign, belongs=True, learned=True)
            else:
                self.registry.heard(emitter, sign)
        elif emitter is not None and emitter.belongs:
            self.registry.showed(emitter, sign)
        elif emitter is not None and verdict.kind == PART:
            self.registry.part_of(emitter, sign)
        elif emitter is not None:
            if burst.counted:
                self.registry.first_burst(emitter, sign)
            else:
                self.registry.heard(emitter, sign)
            if emitter.count >= self.belongs_after:
                self.registry.belongs_now(emitter)
        if burst.alert is not None and burst.alert.event_id in self._log.open:
            emitted += self._log.update(burst.alert, self._sighting(tuning, burst), self._segment,
                                        always=burst.alert.reported_s < self._segment.time_of(burst.sample_stop))
        if self._bursts and emitter is not None:
            emitted += self._log.once(alerts.BURST, emitter, self._sighting(tuning, burst), self._segment)

    def _end_block(self, tuning: TuningState, emitted: list[Emitted]):
        """The block is full: what was learned of it takes effect."""
        psd, ratio, starts, gains = tuning.block()
        tuning.clear_block()
        block_s = len(psd) * tuning.frame_s
        times = np.array([self._segment.time_of(int(s)) for s in starts])
        self._now_s = max(self._now_s, float(times[-1]) + tuning.frame_s)
        for heard in self._activity.take(tuning, ratio, starts, times, self.hold):
            if self._bursts:
                emitted += self._log.once(alerts.BURST, heard.emitter, self._of_emitter(heard.emitter, heard.sample_start,
                                                                                       heard.sample_stop, heard.level_db),
                                          self._segment)
        self._watch_receiver(tuning, gains, ratio, block_s, int(starts[0]), int(starts[-1]), emitted)
        if self.learning:
            if len(psd) == BLOCK:
                tuning.background.learn(psd)
            self.learned_s += block_s
            if self.learned_s + tuning.frame_s * (1.0 - 1e-6) >= self.learn_s:
                self.finish_learning()
        else:
            tuning.background.follow(psd, block_s)
            mean = 10.0 * np.log10(np.mean(10.0 ** (0.1 * psd.astype(np.float64)), axis=0))
            for kind, emitter in tuning.steady.watch(mean, tuning.background.noise_db, block_s, self._now_s, self.registry,
                                                     self._gains[tuning.key].raised_db):
                if kind == "drift":
                    self._receiver_did(kind, said=SAID[kind].format(emitter.center_hz.mean / 1e6))
                else:
                    self._tell(kind, emitter, int(starts[0]), emitted)
            for emitter in self._activity.overdue(self.false_events_per_hour):
                self._tell(alerts.GONE, emitter, int(starts[-1]), emitted)
        for alert in list(self._log.open.values()):
            self._close_if_over(alert, emitted)
        for alert in list(self._log.open.values())[:max(len(self._log.open) - alerts.MAX_OPEN, 0)]:
            emitted.append(self._log.close(alert, self._segment))
        tuning.renew(self.registry, self.false_events_per_hour)

    def _tell(self, kind: str, emitter: Emitter, sample: int, emitted: list[Emitted]):
        """Reports that an emitter is gone, back or louder."""
        known = self._log.of_emitter(emitter)
        if known is not None:
            emitted.append(self._log.close(known, self._segment))
        if kind == "back" or self.registry.is_ignored(emitter.low_hz, emitter.high_hz):
            return
        if kind == alerts.GONE and emitter.steady and (moved := self._moved(emitter)) is not None:
            emitted += self._log.once(alerts.MOVED, emitter, moved.sighting, self._segment)
            return
        sighting = self._of_emitter(emitter, sample, sample, emitter.level_db.mean)
        if kind == alerts.GONE:
            _, message = self._log.raise_alert(kind, emitter, sighting, self._segment)
            emitted.append(message)
        else:
            emitted += self._log.once(kind, emitter, sighting, self._segment)

    def _moved(self, emitter: Emitter) -> Alert | None:
        """The alert of a new emitter that is like this one, and began when this one fell silent."""
        for alert in self._log.open.values():
            new = alert.emitter
            if alert.kind == alerts.NEW and new is not None and abs(new.first_s - emitter.last_s) < MOVED_S:
                ratio = alert.sighting.bandwidth_hz / max(emitter.bandwidth_hz, self._segment.rx_rate / self.n_bins)
                level = alert.sighting.snr_db
                if level is not None and abs(level - emitter.level_db.mean) < MOVED_DB and 0.3 < ratio < 3.5:
                    return alert
        return None

    def _close_if_over(self, alert: Alert, emitted: list[Emitted]):
        """Closes an alert that has nothing more to report."""
        emitter = alert.emitter
        if alert.kind == alerts.GONE:
            over = emitter is not None and not emitter.gone
        elif emitter is None:
            over = False  # the end of a raised floor closes it
        else:
            on = any(burst.alert is alert for burst in self._builder.open)
            over = not on and (emitter.accepted or self._now_s - alert.last_s > alerts.CLOSE_S)
        if over:
            emitted.append(self._log.close(alert, self._segment))

    def _watch_receiver(self, tuning: TuningState, gains, ratio, block_s: float, start: int, last: int, emitted: list[Emitted]):
        """Names steps of the gain, and alerts a raised floor."""
        for kind, change_db, count in self._gains[tuning.key].take(tuning, gains, ratio, block_s, self.learning):
            raised = next((a for a in self._log.open.values() if a.kind == alerts.RAISED_FLOOR), None)
            whole = Sighting(start, last, self._segment.rx_freq, self._segment.rx_rate,
                             tuning.background.noise_db + float(np.median(gains)), change_db, 10.0 ** (0.1 * abs(change_db)))
            if kind == "raised floor" and raised is None:
                _, message = self._log.raise_alert(alerts.RAISED_FLOOR, None, whole, self._segment, "floor")
                emitted.append(message)
            elif kind == "over" and raised is not None:
                emitted.append(self._log.close(raised, self._segment))
            elif kind == "gain step":
                emitted += self._log.once(alerts.RECEIVER, None, whole, self._segment, "gain step")
                self._receiver_did(kind, said=SAID[kind].format(change_db))
            elif kind == "impulses":
                self._receiver_did(kind, count, SAID[kind].format(change_db))

    def _receiver_did(self, kind: str, count: int = 1, said: str = ""):
        """Counts what the receiver did, and says the first of each kind."""
        self.receiver[kind] = self.receiver.get(kind, 0) + count
        if said and self.receiver[kind] >= SAID_AFTER.get(kind, 1):
            self._notices.give(RECEIVER_STATE, kind, f"receiver: {said}")

    def _settle(self, tuning: TuningState):
        """Learning is over at a tuning."""
        background = tuning.background
        if background.ready:
            background.settle()
            background.forget_blocks()
            tuning.steady.find(background.mean_db, background.noise_db, self.registry, self._now_s - self.learned_s, self._now_s,
                               background.low_db)
            tuning.renew(self.registry, self.false_events_per_hour)

    def _sign(self, tuning: TuningState, burst: Burst, extent: tuple[int, int] | None = None) -> Sign:
        """A burst as the registry takes it. extent: first and last bin, if not its own."""
        low, high = extent or burst.extent()
        grid, segment = tuning.grid, self._segment
        power = burst.power[low:high + 1].sum() / max(burst.n_frames, 1)
        return Sign(grid.hz_of((low + high) / 2.0), (high - low + 1) * grid.bin_hz, burst.level_db(low, high) if extent
                    else burst.snr_db(), 10.0 * math.log10(max(power, 1e-20)), segment.time_of(burst.sample_start),
                    segment.time_of(burst.sample_stop), burst.peak[burst.low:burst.high + 1], grid.hz_of(burst.low), grid.bin_hz,
                    tuning.frame_s, self._classes(burst))

    def _classes(self, burst: Burst) -> dict[str, float]:
        """Mean probability of each class over its frames, of those that count."""
        if burst.labels is None or not len(burst.labels):
            return {}
        means = burst.labels / max(burst.n_frames, 1)
        return {self._labels[k]: float(means[k]) for k in np.flatnonzero(means > 0.05).tolist()}

    def _sighting(self, tuning: TuningState, burst: Burst) -> Sighting:
        """A burst as an alert states it."""
        sign = self._sign(tuning, burst)
        best = max(sign.labels, key=lambda name: sign.labels[name]) if sign.labels else None
        named = best is not None and sign.labels[best] >= MIN_LABEL
        return Sighting(burst.sample_start, burst.sample_stop, sign.center_hz, sign.bandwidth_hz, sign.power_dbfs, sign.level_db,
                        burst.best, burst.n_frames, best if named else None, sign.labels[best] if named and best else None,
                        burst.dropout_rate, burst.residual)

    def _of_emitter(self, emitter: Emitter, start: int, stop: int, level_db: float) -> Sighting:
        """A known emitter as an alert states it."""
        return Sighting(start, stop, emitter.center_hz.mean, emitter.bandwidth_hz,
                        emitter.power_dbfs if math.isfinite(emitter.power_dbfs) else None, level_db, 1.0, 1, emitter.label,
                        emitter.confidence)
