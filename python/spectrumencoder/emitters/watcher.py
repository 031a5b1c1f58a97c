# SPDX-License-Identifier: GPL-3.0-or-later
"""The door: frames in order -> emitters and alerts."""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass

import numpy as np

from ..detector.events import Segment
from ..encoder import features as layout
from .background import BLOCK, Background
from .boxes import HISTORY, Search, boxes_per_frame, limits
from .bursts import WINDOW_BINS, Burst, BurstBuilder, FrameView
from .law import independent_share
from .regions import find_regions
from .registry import JOIN_S, Grid, Registry, Sign

START, START_S = 32, 0.1           # frames, and s, of a tuning before the first is judged
NOISE_SHARE = 0.1    # of the false alerts an hour that noise may cause
CONFIRM = 2          # frames of a burst after which it is judged, if it has not ended
DISTURBED_DB = 0.4   # common gain of a frame over those before it: an impulse
RECENT = 8            # blocks: what was there for half of them is no cause of something new
LEARNED_S = 0.5  # after which a burst that lasts is learned, before it ends


@dataclass
class Alert:
    kind: str
    emitter: object
    burst: Burst
    start_s: float
    center_hz: float
    bandwidth_hz: float
    snr_db: float
    index: int
    note: str = ""


class _Tuning:
    """State of one tuning."""

    def __init__(self, grid: Grid, background: Background):
        self.grid, self.background = grid, background
        self.waiting: list = []
        self.rows = np.ones((HISTORY, grid.n_bins), np.float32)
        self.block_psd: list[np.ndarray] = []
        self.block_ratio: list[np.ndarray] = []
        self.block_index: list[int] = []
        self.gains: deque = deque(maxlen=9)
        self.allowed = np.ones(grid.n_bins, np.float32)
        self.busy = np.zeros(0, int)
        self.means: deque = deque(maxlen=RECENT)  # of the last blocks, power over the background
        self.recent = None
        self.version = -1
        self.limits = None


class EmitterDetector:
    def __init__(self, contract, *, learn_s=120.0, false_alerts_per_hour=1.0, hold=4, debug=None):
        encoder = contract["encoder"]
        self.window, self.n_bins = encoder["window"], int(encoder["fft_size"])
        self.learn_s, self.rate, self.hold = learn_s, false_alerts_per_hour, hold
        self.registry = Registry()
        self.alerts: list[Alert] = []
        self.dismissed: list = []
        self.debug = debug
        self.reset()

    def reset(self):
        self._tunings = {}
        self._age = 0
        self._learned_s = 0.0
        self._builder = BurstBuilder(self.n_bins, self.hold)
        self._activity = {}
        self.n_flagged = 0

    @property
    def learning(self):
        return self._learned_s < self.learn_s

    def process(self, psd, features, sample_start, segment: Segment, clipped=None):
        tuning = self._tuning(segment, features)
        self._segment = segment
        scores = np.full(len(psd), np.nan, np.float32)
        first = 0
        if not tuning.background.ready:
            start = max(START, math.ceil(START_S / segment.frame_s))
            take = min(start - len(tuning.waiting), len(psd))
            for n in range(take):
                tuning.waiting.append((psd[n], features[n], int(sample_start[n])))
            first = take
            if len(tuning.waiting) < start:
                return scores
            rows = np.stack([w[0] for w in tuning.waiting])
            tuning.background.begin(rows)
            self._pieces(tuning, rows, np.stack([w[1] for w in tuning.waiting]), np.array([w[2] for w in tuning.waiting]), None)
            tuning.waiting = []
        if first < len(psd):
            scores[first:] = self._pieces(tuning, psd[first:], features[first:], sample_start[first:],
                                          None if clipped is None else clipped[first:])
        return scores

    def flush(self):
        for burst in self._builder.end_all():
            self._ended(self._last_tuning, burst)

    def _tuning(self, segment, features):
        key = (segment.rx_freq, segment.rx_rate, segment.frame_hop, segment.frame_average)
        if key not in self._tunings:
            hop = segment.frame_hop // segment.frame_average
            spectra = segment.frame_average * independent_share(self.window, self.n_bins, hop, segment.frame_average)
            bin_hz = segment.rx_rate / self.n_bins
            grid = Grid(segment.rx_freq - self.n_bins // 2 * bin_hz, bin_hz, self.n_bins)
            self._tunings[key] = _Tuning(grid, Background(self.n_bins, spectra))
        self._last_tuning = self._tunings[key]
        return self._last_tuning

    def _pieces(self, tuning, psd, features, starts, clipped):
        """Frames in pieces that end with a block."""
        out, first = [], 0
        while first < len(psd):
            count = min(BLOCK - len(tuning.block_psd), len(psd) - first)
            part = slice(first, first + count)
            out.append(self._piece(tuning, psd[part], features[part], starts[part], None if clipped is None else clipped[part]))
            first += count
            if len(tuning.block_psd) == BLOCK:
                self._end_block(tuning)
        return np.concatenate(out)

    def _piece(self, tuning, psd, features, starts, clipped):
        background, segment = tuning.background, self._segment
        if tuning.limits is None:
            self._renew(tuning)
        gains = background.gains_db(psd)
        rows = np.empty((HISTORY + len(psd), self.n_bins), np.float32)
        rows[:HISTORY], fresh = tuning.rows, rows[HISTORY:]
        ratio = background.excess(psd, gains, tuning.allowed, fresh)
        for n, gain in enumerate(gains.tolist()):
            if len(tuning.gains) >= 3:
                slow = statistics.median(tuning.gains)
                if gain - slow > DISTURBED_DB:
                    allow = np.float32(1.0 + 8.0 * (1.0 - 10.0 ** (-0.1 * (gain - slow))))
                    fresh[n] = np.where(fresh[n] <= allow, np.minimum(fresh[n], 1.0), fresh[n] / allow)
            tuning.gains.append(gain)
        search = Search(rows, tuning.limits.limit)
        tuning.rows = rows[len(psd):].copy()
        index = self._age
        for n, score in enumerate(search.score.tolist()):
            if score > 1.0 or self._builder.open:
                expected_db = background.expected_db(gains[n:n + 1])[0]
                self._look(tuning, search, n, index + n, psd[n], expected_db, ratio[n], features[n], int(starts[n]),
                           0.0 if clipped is None else float(clipped[n]))
        tuning.block_psd.extend(psd - gains[:, None])
        tuning.block_ratio.extend(ratio)
        tuning.block_index.append(starts)
        self._age += len(psd)
        if self.learning:
            self._learned_s += len(psd) * segment.frame_s
            if not self.learning:
                background.settle()
                background.forget_blocks()
                self._renew(tuning)
        return search.score

    def _look(self, tuning, search, n, index, psd, expected_db, ratio, row, start, clipped):
        regions = []
        if search.score[n] > 1.0:
            self.n_flagged += 1
            covered = np.zeros(self.n_bins, bool)
            self._builder.covered(covered)
            regions = find_regions(search, n, tuning.limits.variance, covered)
        if not regions and not self._builder.open:
            return
        labels = row[layout.PROBABILITIES]
        power, expected = 10.0 ** (0.1 * psd.astype(np.float64)), 10.0 ** (0.1 * expected_db.astype(np.float64))
        if tuning.recent is None:
            tuning.recent = np.median(tuning.means, axis=0) if tuning.means else np.ones(self.n_bins)
        frame = FrameView(index, start, start + self._segment.frame_hop, power, expected, ratio,
                          power - expected * np.maximum(1.0, tuning.recent), clipped, labels)
        for burst in self._builder.see(frame, regions):
            self._ended(tuning, burst)
        for burst in list(self._builder.open):
            if burst.judged is None and burst.n_frames >= CONFIRM:
                self._judge(tuning, burst)
            if self.learning and (burst.last - burst.first) * self._segment.frame_s > LEARNED_S:
                self._builder.open.remove(burst)
                self._ended(tuning, burst)

    def _sign(self, tuning, burst, extent=None) -> Sign:
        low, high = extent or burst.extent()
        grid, segment = tuning.grid, self._segment
        count = max(burst.n_frames, 1)
        power = burst.power[low:high + 1].sum() / count
        return Sign(grid.hz_of((low + high) / 2.0), (high - low + 1) * grid.bin_hz, burst.level_db(low, high) if extent else burst.snr_db(),
                    10.0 * math.log10(max(power, 1e-20)), segment.time_of(burst.sample_start), segment.time_of(burst.sample_stop),
                    burst.peak[burst.low:burst.high + 1], grid.hz_of(burst.low), grid.bin_hz, segment.frame_s)

    def _judge(self, tuning, burst):
        if burst.max_snr_db < 0.0:
            return
        side = burst.side_effect()
        sign = self._sign(tuning, burst)
        if self.learning:
            burst.judged = "learning"
            return
        if side:
            burst.judged = side
            self.dismissed.append((side, sign))
            return
        if self.registry.is_ignored(sign.center_hz - sign.bandwidth_hz / 2, sign.center_hz + sign.bandwidth_hz / 2):
            burst.judged = "ignored"
            return
        own = self.registry.own_at(sign)
        if own is None:
            whole = burst.whole(tuning.background.spectra)
            if whole[1] - whole[0] + 1 >= 1.5 * (burst.extent()[1] - burst.extent()[0] + 1):
                own = self.registry.own_at(self._sign(tuning, burst, whole))
                if own is not None:
                    self.dismissed.append(("whole", sign))
        if own is None:
            crowd = self.registry.crowd_at(sign)
            if crowd and float(sign.peak.max()) <= 2.5 * max(float(e.profile.max()) for e in crowd):
                burst.judged = "crowd"
                self.dismissed.append(("crowd", sign))
                return
        stranger = self.registry.stranger_of(sign) if own is None else None
        if own is not None:
            if not self._is_louder(tuning, burst, own):
                burst.judged = ("own", own)
                return
            kind = "louder"
        else:
            kind = "update" if stranger else "new"
        burst.judged = (kind, own or stranger)
        self.alerts.append(Alert(kind, own or stranger, burst, sign.start_s, sign.center_hz, sign.bandwidth_hz, sign.level_db, self._age))

    def _is_louder(self, tuning, burst, emitter) -> bool:
        """Whether the emitter's whole place, not just an edge of it, is stronger than its next burst may be."""
        low = max(round(tuning.grid.bin_of(emitter.low_hz)), 0)
        high = min(round(tuning.grid.bin_of(emitter.high_hz)), self.n_bins - 1)
        a, b = burst.extent()
        low, high = min(low, a), max(high, b)
        level = burst.level_db(low, high)
        return level > emitter.level_db.high + self.registry.margin_db(emitter)

    def _ended(self, tuning, burst):
        if burst.judged is None:
            self._judge(tuning, burst)
        if burst.judged is None or isinstance(burst.judged, str) and burst.judged not in ("learning", "image", "skirt", "splatter", "sideline"):
            return
        sign = self._sign(tuning, burst)
        if burst.judged == "learning" or isinstance(burst.judged, str):
            if not self.learning:
                return
            emitter = self.registry.like(sign)
            if emitter is None:
                self.registry.add(sign, belongs=True, learned=True)
            else:
                self.registry.heard(emitter, sign)
            return
        kind, emitter = burst.judged
        if emitter is not None and emitter.belongs:
            self.registry.showed(emitter, sign)
        elif emitter is None:
            self.registry.add(sign, belongs=False, learned=False)
        else:
            self.registry.heard(emitter, sign)

    def _renew(self, tuning):
        per_frame = NOISE_SHARE * self.rate * self._segment.frame_s / 3600.0
        log_p = round(math.log(per_frame / boxes_per_frame(self.n_bins)), 1)
        error = float(f"{tuning.background.error:.2g}")
        tuning.limits = limits(self.window, self.n_bins, tuning.background.spectra, error, log_p)
        if tuning.version != self.registry.version:
            tuning.version = self.registry.version
            tuning.allowed = self.registry.allowed(tuning.grid)
            tuning.busy = np.flatnonzero(tuning.allowed > 1.05)

    def _end_block(self, tuning):
        block, ratio = np.stack(tuning.block_psd), np.stack(tuning.block_ratio)
        tuning.means.append(ratio.mean(axis=0))
        if self._builder.open:
            tuning.recent = np.median(tuning.means, axis=0)
        else:
            tuning.recent = None
        block_s = BLOCK * self._segment.frame_s
        self._follow_activity(tuning, ratio, np.concatenate(tuning.block_index))
        tuning.block_psd, tuning.block_ratio, tuning.block_index = [], [], []
        if self.learning:
            tuning.background.learn(block)
        else:
            tuning.background.follow(block, block_s)
        self._renew(tuning)

    def _follow_activity(self, tuning, ratio, starts):
        cores = self.registry.cores(tuning.grid)
        if not cores:
            return
        cumulative = np.zeros((len(ratio), self.n_bins + 1))
        np.cumsum(ratio, axis=1, dtype=np.float64, out=cumulative[:, 1:])
        low, high = np.array([c[1] for c in cores]), np.array([c[2] for c in cores])
        means = (cumulative[:, high] - cumulative[:, low]) / (high - low)
        limit = np.array([self._core_limit(tuning, int(h - l)) for l, h in zip(low, high)])
        on = means > limit
        frame_s = self._segment.frame_s
        for k, (emitter, _, _) in enumerate(cores):
            state = self._activity.get(emitter.id)
            if not on[:, k].any() and state is None:
                continue
            for n in range(len(ratio)):
                moment = self._segment.time_of(int(starts[n]))
                if on[n, k]:
                    if state is None:
                        state = [moment, moment + frame_s, 0.0, 0]
                    state[1] = moment + frame_s
                    state[2] += means[n, k] - 1.0
                    state[3] += 1
                elif state is not None and moment - state[1] > max(self.hold * frame_s, JOIN_S):
                    self._burst_of(emitter, state)
                    state = None
            if state is None:
                self._activity.pop(emitter.id, None)
            else:
                self._activity[emitter.id] = state

    def _burst_of(self, emitter, state):
        start, end, total, count = state
        if start > emitter.last_s + 1e-9:
            bins = max(round(emitter.bandwidth_hz / self._last_tuning.grid.bin_hz), 1)
            self.registry.active(emitter, start, end, 10 * math.log10(max(total / count * bins / max(bins - WINDOW_BINS, 1), 1e-3)))

    def _core_limit(self, tuning, width):
        from .boxes import WIDTHS
        i = max(k for k, w in enumerate(WIDTHS) if w <= width)
        return tuning.limits.limit[i, 0]
