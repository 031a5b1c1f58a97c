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
from functools import partial
from typing import Any

import numpy as np

from .. import keys
from ..detector.detector import Result
from ..detector.events import Emitted, Segment
from ..detector.notices import LEARN_AGAIN, OTHER_GAIN, OTHER_MODEL, Notices
from ..encoder import features as layout
from ..encoder.model_file import ModelFile
from ..settings import DEFAULTS, SETTINGS
from ..tokens.layout import usable_bins
from . import alerts
from .activity import Activity
from .alerts import AlertLog
from .background import BLOCK, Expected
from .band_file import BandFile, forget_model
from .block_reports import BlockReports
from .box_classes import BoxClasses
from .boxes import Search
from .burst_reports import BurstReports
from .bursts import BurstBuilder, FrameView
from .decisions import Decisions
from .hops import Hops
from .listing import rows_of
from .on_air import FIRST_S, OnAir
from .receiver import ReceiverLog
from .regions import find_regions
from .registry import Registry
from .rows import Rows
from .signs import SignMaker, sighting_of
from .tuning import MIN_START, TuningState, key_of
from .tunings import Tunings

FORGET_S = 86400.0  # after which a stranger that was heard once is forgotten
CONFIRM = 2  # frames of a burst after which it is judged, if it has not ended
LEARN_BURST_S = 0.5  # after which a burst that lasts is learned, before it ends
MAX_DB = 400.0  # of a bin, dBFS: beyond, or no number, the frame is left out


class EmitterDetector(Decisions):
    """Learns the emitters of a band, then reports those that are new, gone, louder, changed or moved.

    Args:
        contract: of the model file: window, bins, labels, name.
        band: what is known already; None: nothing. If its learning was finished, the detector watches from the first frame.
        learn_s: signal to learn before anything is reported, s. 0: all that stands out of the noise is new at once.
        false_events_per_hour: alerts an hour that may be false. inf counts as 1e6.
        hold: frames that a burst may be unseen before it ends.
        belongs_after: transmissions after which a new emitter belongs to the band.
        bursts: single bursts of all emitters are reported, too.
        usable: share of the band's width, around its middle, that is judged.
        learn_later: a tuning that comes when learning is over is learned, too, for learn_s; else it is watched at once.
        models: names of those that may have answered, as ``Detector`` has them.

    Attributes:
        registry: the emitters. n_frames, n_judged, n_flagged: frames so far. n_skipped: those that are short or not
            finite. n_uncalibrated: 0.
        n_learned: how often learning has ended.
        heard: the emitters that it heard, as ``listing.describe`` has them, at the end of learning; empty before.
        on_air: lists what stands out of the noise meanwhile.

    Raises:
        ValueError: an argument is out of range. BandFileError: the band is of frames of another kind.
    """

    n_uncalibrated = 0

    def __init__(self, contract: dict, *, band: BandFile | None = None, learn_s: float = DEFAULTS.learn_s,
                 false_events_per_hour: float = DEFAULTS.false_events_per_hour, hold: int = DEFAULTS.hold,
                 belongs_after: int = DEFAULTS.belongs_after, bursts: bool = DEFAULTS.bursts, usable: float = DEFAULTS.usable,
                 models: Sequence[str] = (), learn_later: bool = False):
        encoder = contract["encoder"]
        self.contract = contract
        self.n_bins, self._window = int(encoder["fft_size"]), encoder["window"]
        self._n_tokens = self.n_bins // int(encoder.get("stride", 8))
        self._labels = list(contract["labels"]) if contract.get("heads", {}).get("classes", True) else []
        self._models = tuple(models) or (contract["name"],)
        self._usable = usable_bins(self.n_bins, float(SETTINGS["usable"].check(usable)))
        self._bursts, self._learn_later = bool(bursts), bool(learn_later)
        if band is not None:
            band.check(self._window, self.n_bins)
        self._band = band
        self.hold, self.learn_s, self.belongs_after = DEFAULTS.hold, DEFAULTS.learn_s, DEFAULTS.belongs_after
        self.false_events_per_hour = DEFAULTS.false_events_per_hour
        self.reset()
        self.set_learn_s(learn_s)
        self.set_false_events_per_hour(false_events_per_hour)
        self.set_hold(hold)
        self.set_belongs_after(belongs_after)

    @classmethod
    def from_model(cls, model: ModelFile, **settings: Any) -> EmitterDetector:
        """A detector with the contract of the file model. settings: keyword arguments of the constructor."""
        return cls(model.contract, **settings)

    def reset(self) -> None:
        """Forgets all frames so far; keeps the settings, and begins with the band that it was given."""
        self.n_frames = self.n_judged = self.n_flagged = self.n_skipped = 0
        self._age = 0  # of the stream, in frames
        self._tuning: TuningState | None = None
        self._segment = Segment()
        self.registry = Registry() if self._band is None else deepcopy(self._band.registry)
        self.n_learned, self._finishing = 0, False  # learning is over, and what waits is taken in
        self._late: list[Emitted] = []  # that came between two batches
        self._builder = BurstBuilder(self.n_bins, self.hold)
        self._boxes = BoxClasses(self.contract["labels"], self.n_bins)
        self._activity = Activity(self.registry, self._labels, self._boxes)
        self._log = AlertLog(self.n_bins, self._models[0])
        self._notices = Notices()
        self._hops = Hops(self.registry)
        receiver = ReceiverLog(self._notices)
        self.receiver: dict[str, int] = receiver.counts  # what the receiver or a stronger signal explains, by kind
        self._of_bursts = BurstReports(self.registry, self._builder, self._log, SignMaker(self._labels, self._boxes), receiver,
                                       self._hops)
        self._of_bursts.judge.set_rate(self.false_events_per_hour)
        self._of_bursts.each = self._bursts
        self._of_bursts.belongs_after = self.belongs_after
        self._of_blocks = BlockReports(self.registry, self._builder, self._log, receiver)
        self.heard: list[dict[str, Any]] = []
        self.on_air = OnAir()
        self._now_s = 0.0
        make = partial(TuningState, window=self._window, n_bins=self.n_bins, usable=self._usable, n_classes=len(self._labels),
                       boxes=self._boxes)
        self._tunings = Tunings(make, self._band or BandFile(), self.registry, self._learn_later)
        if self._band is not None and (said := forget_model(self._band.model, self.contract["name"], self.registry)):
            self._notices.give(OTHER_MODEL, "", said)
        self._complete = not self.learn_s > 0.0 or self._tunings.known  # nothing is being learned

    def copy(self) -> EmitterDetector:
        """A detector in the present state, which goes on by itself."""
        return deepcopy(self, {id(self.contract): self.contract})

    # -- settings, which may change between batches

    def set_false_events_per_hour(self, false_events_per_hour: float) -> None:
        """Sets how many alerts an hour may be false. Raises ValueError: false_events_per_hour is not positive."""
        if not false_events_per_hour > 0:
            raise ValueError(f"false_events_per_hour {false_events_per_hour} must be positive")
        self.false_events_per_hour = min(float(false_events_per_hour), 1e6)
        self._of_bursts.judge.set_rate(self.false_events_per_hour)
        for tuning in self._tunings:
            tuning.limits = None

    def set_hold(self, hold: int) -> None:
        """Sets for how many frames a burst may be unseen. Raises ValueError: hold is not whole, or out of range."""
        self.hold = self._builder.hold = int(SETTINGS["hold"].check(hold))

    def set_learn_s(self, learn_s: float) -> None:
        """Sets how much signal is learned. Raises ValueError: learn_s is negative."""
        self.learn_s = float(SETTINGS["learn_s"].check(learn_s))
        if not self.learn_s > 0.0:
            self.finish_learning()

    def set_belongs_after(self, belongs_after: int) -> None:
        """Sets after how many transmissions a new emitter belongs. Raises ValueError: belongs_after is below 1."""
        self.belongs_after = self._of_bursts.belongs_after = int(SETTINGS["belongs_after"].check(belongs_after))

    @property
    def learning(self) -> bool:
        """Whether it still learns at the present tuning, and reports nothing new there."""
        return not self._complete and (self._tuning is None or not self._tuning.learned)

    @property
    def learned_s(self) -> float:
        """Signal that was learned, s; at the tunings that were learned last."""
        return self._tunings.learned_s

    def finish_learning(self) -> None:
        """Learning is over: all that was heard so far belongs."""
        if not self._complete:
            self._finishing = True
            if self._tuning is not None and self._tuning.learned:  # the others are elsewhere
                self._late += self.discontinuity()
            elif self._tuning is not None and len(self._tuning.first_frames) >= MIN_START:
                self._begin_now(self._tuning, self._late)
            self._begin_others()
            self._complete, self._finishing = True, False
            self._hops.settle(max((tuning.frame_s for tuning in self._tunings), default=0.0))
            fresh = [tuning for tuning in self._tunings.fresh if tuning.segment is not None]
            for tuning in fresh:
                self._settle(tuning)
            for burst in self._builder.open:  # one that has just begun was not learned: it is judged again
                burst.verdict = None
            self._tunings.mark_parts()
            self.heard = rows_of(self.registry, only=self._tunings.heard_at(fresh))
            if not self.heard and self.learned_s < FIRST_S:  # too short to claim that a carrier is always there
                self.look_on_air(fresh)
            self.n_learned += 1

    def look_on_air(self, tunings: list[TuningState] | None = None, last: bool = True) -> None:
        """Lists in `on_air` what stands out now, if it is not. tunings: where, None: where it learns. last: it is time."""
        self.on_air.look(self.registry, self._tunings.heard_at, tunings or self._tunings.fresh, self.learned_s, last)

    def expected(self) -> list[Expected]:
        """The usual spectrum of each tuning whose background is known, at the gain that it has now."""
        return self._tunings.expected()

    def band_file(self) -> BandFile:
        """The present state, to be saved; it shares the registry."""
        self.registry.prune(self._now_s - FORGET_S)
        return BandFile(self.registry, self._tunings.earlier_s + self.learned_s, self._complete, self._tunings.saved(),
                        self._window, self.n_bins, self.contract["name"], learning_s=self.learned_s)

    # -- frames

    def process(self, psd: np.ndarray, residual: np.ndarray, features: np.ndarray, sample_start: np.ndarray,
                segment: Segment, token_classes: np.ndarray | None = None) -> Result:
        """Judges the next frames, all of one segment.

        Args:
            psd: (F, N) dBFS. residual: (F, N) standardised, carried along. features: (F, 256), layout ``encoder.features``.
            sample_start: (F,) number of each frame's first sample. segment: tuning, rate and time of these frames.
            token_classes: (F, M (L + 2)) of ``encoder.token_classes``: what a signal is follows from the tokens in its box. None,
                or NaN: from its whole frames. They are given with all frames since the last reset, or with none.

        Returns:
            scores: how unusual each frame is (``TuningState.score``); 1 is the limit. NaN for the first frames of a tuning, for
            short ones, for those that were skipped, and for those with a bin that is no finite power.
        """
        began, count = time.perf_counter(), len(psd)
        result = Result(np.full(count, np.nan, np.float32), np.full(count, np.nan), np.zeros(count, bool))
        self.n_frames += count
        self.n_skipped += int(np.count_nonzero(features[:, layout.SKIPPED]))
        self._segment, tuning = segment, self._tuning_of(segment)
        result.emitted, self._late = self._late, []
        whole = (features[:, layout.K_EFF] >= segment.frame_average) & (np.abs(psd).max(axis=1, initial=0.0) < MAX_DB)
        self.n_skipped += count - int(whole.sum())
        rows, numbers = Rows(psd, residual, features, sample_start, self._boxes.read(token_classes, count)), np.flatnonzero(whole)
        if len(numbers) < count:  # the last, short frame of a recording follows another law; what is no power follows none
            rows = rows.part(numbers)
        first = 0
        if not tuning.background.ready:
            first = self._begin(tuning, rows, result.emitted)
        while first < rows.count:
            part = slice(first, first + min(max(self._room(tuning), 1), rows.count - first))
            result.scores[numbers[part]] = self._piece(tuning, rows.part(part), result.emitted)
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
                self._of_bursts.ended(self._tuning, self._segment, burst, emitted)
            self._tuning.restart()
        return emitted

    def flush(self) -> list[Emitted]:
        """The end of the stream: ends the bursts that are on, and closes what is open."""
        emitted, self._late = [*self._late, *self.discontinuity()], []
        for alert in list(self._log.open.values()):
            emitted.append(self._log.close(alert, self._segment))
        return emitted

    # -- parts

    def _tuning_of(self, segment: Segment) -> TuningState:
        tuning = self._tuning = self._tunings.at(key_of(segment), self._complete)
        tuning.segment = segment
        if self._complete and not tuning.learned:
            self._learn_again(tuning)
        return tuning

    def _learn_again(self, tuning: TuningState):
        """Learning is over, and a tuning is not learned: it is now, unless nothing is to be learned."""
        if not self.learn_s > 0.0:
            self._settle(tuning)
            tuning.learned = True
            return
        said, self._complete = self._tunings.begin_again(tuning, self.learn_s), False
        self.on_air.again()
        self._notices.give(LEARN_AGAIN, str(tuning.key), said)

    def _begin(self, tuning: TuningState, rows: Rows, emitted: list[Emitted]) -> int:
        """Collects the first frames of a tuning, and judges them once there are enough. Returns how many it took."""
        enough = tuning.start
        if not tuning.learned:  # what is to be learned may be shorter
            left = math.floor(self._left_s(tuning) / tuning.frame_s + 1e-6)
            enough = min(enough, max(left, MIN_START))
        taken = max(0, min(enough - len(tuning.first_frames), rows.count))
        tuning.first_frames += rows.part(slice(taken)).copies()
        if len(tuning.first_frames) >= enough:
            self._begin_now(tuning, emitted)
        return taken

    def _begin_now(self, tuning: TuningState, emitted: list[Emitted]):
        """Makes a background of the first frames, and judges them."""
        rows, tuning.first_frames = Rows.join(tuning.first_frames), []
        tuning.background.begin(rows.psd)
        first = 0
        while first < rows.count:
            part = slice(first, first + min(max(self._room(tuning), 1), rows.count - first))
            self._piece(tuning, rows.part(part), emitted)
            first = part.stop

    def _begin_others(self):
        """Learning is over: the tunings that are not on now are learned from the frames that they have."""
        present = self._tuning, self._segment
        for tuning in self._tunings:
            waiting = len(tuning.first_frames) >= MIN_START
            if tuning is not present[0] and not tuning.learned and (waiting or tuning.filled):
                self._late += self.discontinuity()  # ends the bursts of the tuning before
                self._tuning, self._segment = tuning, tuning.segment
                if waiting:
                    self._begin_now(tuning, self._late)
                if tuning.filled:
                    self._end_block(tuning, self._late)
        if present[0] is not self._tuning:
            self._late += self.discontinuity()
            self._tuning, self._segment = present

    def _piece(self, tuning: TuningState, rows: Rows, emitted: list[Emitted]) -> np.ndarray:
        """Judges frames that fit into the block; returns their scores."""
        psd, _, features, starts, tokens = rows
        if tuning.limits is None:
            tuning.renew(self.registry, self.false_events_per_hour)
        search, gains, ratio = tuning.search(psd)
        clipped = features[:, layout.CLIPPED_SHARE]
        for n, score in enumerate(search.score.tolist()):
            if score > 1.0 or self._builder.open:
                expected_db = tuning.background.expected_db(gains[n:n + 1])[0]
                frame = self._view(tuning, self._age + n, rows, n, expected_db, ratio[n], float(clipped[n]))
                self._look(tuning, search, n, frame, emitted)
        times = np.array([self._segment.time_of(start) for start in starts.tolist()])
        probabilities = features[:, layout.PROBABILITIES][:, :len(self._labels)]
        classes = np.where(features[:, layout.K_ENCODED, None] > 0.0, probabilities, np.float32(-1.0))
        tuning.fill(psd, gains, ratio, starts, times, classes, tokens, clipped)
        self._age += len(psd)
        scores = tuning.score(search, gains, ratio, psd, probabilities, not tuning.learned)
        if self._room(tuning) <= 0:
            self._end_block(tuning, emitted)
        return scores

    def _room(self, tuning: TuningState) -> int:
        """Frames until the block is over. The last block of learning ends with the last frame that is to be learned."""
        if tuning.learned or self._finishing:
            return tuning.room
        return min(tuning.room, math.floor(self._left_s(tuning) / tuning.frame_s + 1e-6) - tuning.filled)

    def _left_s(self, tuning: TuningState) -> float:
        """Signal (s) that is still to be learned, less what the other tunings hold already."""
        return self.learn_s - self.learned_s - sum(other.held_s for other in self._tunings.fresh if other is not tuning)

    def _view(self, tuning: TuningState, index: int, rows: Rows, n: int, expected_db, ratio, clipped: float) -> FrameView:
        """Frame n of these rows as bursts see it. index: its number."""
        psd, row, start = rows.psd[n], rows.features[n], int(rows.starts[n])
        power, expected = 10.0 ** (0.1 * psd.astype(np.float64)), 10.0 ** (0.1 * expected_db.astype(np.float64))
        answered_by = int(row[layout.ANSWERED_BY])
        if not 0 <= answered_by < len(self._models):
            raise ValueError(f"features say that model {answered_by} of an ensemble has answered, the detector knows "
                             f"{', '.join(self._models)}; give the encoder and the detector the same model")
        return FrameView(index, start, start + self._segment.frame_hop, power, expected, ratio,
                         power - expected * tuning.recent(), clipped, row[layout.PROBABILITIES][:len(self._labels)],
                         rows.residual[n], 1.0 - float(row[layout.K_KEPT]) / self._n_tokens, self._models[answered_by],
                         rows.tokens[n])

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
            self._of_bursts.ended(tuning, self._segment, burst, emitted)
        for burst in list(self._builder.open):
            if burst.verdict is None and burst.n_frames >= CONFIRM:
                self._of_bursts.decide(tuning, self._segment, burst, emitted)
            elif burst.alert is not None and burst.last == frame.index:
                self._of_bursts.goes_on(tuning, self._segment, burst, emitted)
            if not tuning.learned and (burst.last - burst.first) * tuning.frame_s > LEARN_BURST_S:
                self._builder.open.remove(burst)
                self._of_bursts.ended(tuning, self._segment, burst, emitted)

    def _end_block(self, tuning: TuningState, emitted: list[Emitted]):
        """The block is full: what was learned of it takes effect."""
        block = tuning.block()
        tuning.clear_block()
        psd, ratio, gains, starts = block.psd, block.ratio, block.gains, block.starts
        block_s, last = len(psd) * tuning.frame_s, int(starts[-1])
        self._now_s = max(self._now_s, float(block.times[-1]) + tuning.frame_s)
        learning = not tuning.learned
        for heard in self._activity.take(tuning, block, self.hold, 0.0 if learning else self.false_events_per_hour):
            if learning:
                self._hops.note(heard)
            if heard.changed:
                self._of_blocks.changed(heard, self._segment, emitted)
            if self._bursts and heard.counted:
                sighting = sighting_of(heard.emitter, heard.sample_start, heard.sample_stop, heard.level_db)
                emitted += self._log.once(alerts.BURST, heard.emitter, sighting, self._segment)
        if said := tuning.other_gain():
            self._notices.give(OTHER_GAIN, str(tuning.key), said)
        for change in self._tunings.gains[tuning.key].take(tuning, gains, ratio, block_s, learning):
            self._of_blocks.receiver_did(change, tuning, gains, int(starts[0]), last, self._segment, emitted)
        if learning:
            if len(psd) == BLOCK:
                tuning.background.learn(psd)
            self._tunings.learned_s += block_s
            self.look_on_air(last=False)
            if self._left_s(tuning) <= tuning.frame_s * (1.0 - 1e-6) and not self._finishing:
                self.finish_learning()
        else:
            tuning.background.follow(psd, block_s)
            for burst in self._of_bursts.settled(tuning, self._segment, emitted):
                tuning.background.take_over(*burst.whole(tuning.background.spectra), psd)
                tuning.steady.find(tuning.background.mean_db, tuning.background.noise_db, self.registry, 0.0, 0.0)
            mean = 10.0 * np.log10(np.mean(10.0 ** (0.1 * psd.astype(np.float64)), axis=0))
            for kind, emitter in tuning.steady.watch(mean, tuning.background.noise_db, block_s, self._now_s, self.registry,
                                                     self._tunings.gains[tuning.key].raised_db):
                self._of_blocks.tell(kind, emitter, last, self._segment, emitted)
            for emitter in self._activity.overdue(self.false_events_per_hour):
                self._of_blocks.tell(alerts.GONE, emitter, last, self._segment, emitted)
        self._of_blocks.close_what_is_over(self._now_s, self._segment, emitted)
        tuning.renew(self.registry, self.false_events_per_hour)

    def _settle(self, tuning: TuningState):
        """Learning is over at a tuning."""
        background = tuning.background
        if background.ready:
            background.settle()
            background.forget_blocks()
            tuning.steady.find(background.mean_db, background.noise_db, self.registry, self._now_s - self.learned_s, self._now_s,
                               background.low_db)
            tuning.renew(self.registry, self.false_events_per_hour)
        self._tunings.end(tuning)
