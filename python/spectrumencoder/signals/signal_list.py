# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of signals on the air: items of the tokenizer in, messages and a table out.

Frames are taken in looks of ``LOOK``, counted from the first frame of a tuning. So a result does not depend on how frames were
batched. A message is about one burst of a signal: it opens, is updated while it lasts, and closes.

Shape letters: F frames, N bins, M tokens, L labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import keys
from ..detector.decibels import powers
from ..emitters.boxes import LENGTHS, WIDTHS, Limits, limits
from ..emitters.law import independent_share
from ..emitters.steady import DC_BINS
from ..encoder.token_classes import without_hidden
from ..tokens.layout import FrameLayout, usable_bins
from .background import NoiseFloor
from .burst import Burst
from .emission import MIN_SNR_DB, Emission, Told, describe, is_receivers, named
from .link import Linker
from .segment import MIN_OVER, classes_of, find_segments

LOOK = LENGTHS[-1]  # frames
HOLD_S = 0.05  # for which a burst may be unseen before it ends
UPDATE_S = 0.5  # of signal, from one update of a burst to the next
LOG_P = -16.0  # logarithm of the probability that noise exceeds the limit of a box
FLOOR_ERROR = 0.05  # standard deviation of the noise of a bin, as ``background`` knows it
MAX_SIGNALS = 1000
OPEN, UPDATE, CLOSE = "open", "update", "close"
_IMPULSE = 1.12  # times the usual power of the quietest bins, from which a whole frame is raised
_PART = 0.7  # of a limit, from which a frame is searched
_QUIET = 0.1  # share of the bins that are the quietest
_EMPTY, _FILLED = 0.1, 0.6  # probability of `noise` under which a token surely holds a signal; share of them that fills the band
_SAME_PLACE, _SAME_WIDTH = 0.5, 2.5  # of the width; factor


@dataclass(eq=False)
class Signal:
    """An emitter: bursts of like place and width. Frequencies in bins, times in frames."""

    id: int
    middle: float
    width: float
    first: int
    last: int
    row: dict[str, Any]
    bursts: int = 0
    on: int = 0  # frames of closed bursts
    told: Told = field(default_factory=Told)  # what the model said of closed bursts


class SignalList:
    """The signals of one tuning.

    Args:
        samp_rate: samples per second. freq_hz: at the middle of the band; None: not known, frequencies count from the middle.
        frame_hop: samples from frame to frame. labels: L classes of the model, in its order; () without one.
        average: spectra in a frame. n_bins: N. stride: bins in a token. window: of the tokenizer.
        first_sample, start_s: number of the first frame's first sample, and its time (POSIX s).
        usable: share of the band that is looked at. listener: called with the message that closes a burst, and its emission.

    Raises:
        ValueError: samp_rate or frame_hop is not positive.
    """

    def __init__(self, samp_rate: float, freq_hz: float | None, frame_hop: int, labels: Sequence[str] = (), *,
                 average: int = 16, n_bins: int = 1024, stride: int = 8, window: str = "blackmanharris", first_sample: int = 0,
                 start_s: float = 0.0, usable: float = 1.0,
                 listener: Callable[[dict[str, Any], Emission], None] | None = None):
        if not samp_rate > 0.0 or frame_hop < 1:
            raise ValueError(f"samp_rate {samp_rate:g} and frame_hop {frame_hop} must be positive")
        self.layout, self.labels = FrameLayout(n_bins, stride), tuple(labels)
        self.samp_rate, self.freq_hz, self.frame_hop = float(samp_rate), freq_hz, frame_hop
        self.first_sample, self.start_s = first_sample, start_s
        self._noise_label = self.labels.index("noise") if "noise" in self.labels else -1
        share = independent_share(window, n_bins, max(frame_hop // average, 1), average)
        self.spectra = average * share
        self._limits: Limits = limits(window, n_bins, self.spectra, FLOOR_ERROR, LOG_P)
        self._deviation = math.sqrt(self._limits.variance[0, 0])
        self._floor = NoiseFloor(n_bins, self.spectra)
        self._unusable = np.ones(n_bins, bool)
        self._unusable[usable_bins(n_bins, usable)] = False
        self.linker = Linker(max(1, math.ceil(HOLD_S * samp_rate / frame_hop)), self._deviation)
        self._waiting: list[tuple[np.ndarray, np.ndarray | None]] = []
        self._listener = listener
        self._taken = 0  # frames in looks
        self.signals: dict[int, Signal] = {}
        self._next = 1

    @property
    def frame_s(self) -> float:
        """Seconds from frame to frame."""
        return self.frame_hop / self.samp_rate

    def update(self, items: np.ndarray, token_classes: np.ndarray | None = None) -> list[dict[str, Any]]:
        """Takes frames, and returns the messages that they cause, in the order of their bursts.

        Args:
            items: (F, item_size) of the tokenizer. token_classes: (F, M * (L + 2)), of the encoder; None: without a model.

        Raises:
            ValueError: the items or classes do not have this shape.
        """
        if items.ndim != 2 or items.shape[1] != self.layout.item_size:
            raise ValueError(f"items of shape {items.shape} are not (frames, {self.layout.item_size})")
        width = self.layout.n_tokens * (len(self.labels) + 2)
        if token_classes is not None and token_classes.shape != (len(items), width):
            raise ValueError(f"token_classes of shape {token_classes.shape} are not ({len(items)}, {width})")
        out: list[dict[str, Any]] = []
        at = 0
        while at < len(items):
            count = min(LOOK - sum(len(part) for part, _ in self._waiting), len(items) - at)
            classes = None if token_classes is None else token_classes[at:at + count].copy()
            self._waiting.append((items[at:at + count].copy(), classes))
            at += count
            if sum(len(part) for part, _ in self._waiting) == LOOK:
                out += self._take_look()
        return out

    def flush(self) -> list[dict[str, Any]]:
        """Takes the frames that wait for a look to fill, and ends all bursts: the messages of that."""
        out = self._take_look() if self._waiting else []
        return out + self._close(self.linker.end_all())

    def resume(self, first_sample: int, start_s: float):
        """Frames go on after a gap. Call it after ``flush``, if their time has jumped.

        Args:
            first_sample, start_s: number of the next frame's first sample, and its time (POSIX s).
        """
        self.first_sample = first_sample - self._taken * self.frame_hop
        self.start_s = start_s - self._taken * self.frame_s

    def on_air(self, signal_id: int) -> tuple[int, int]:
        """Frames in which a signal was on, and frames since it was heard first."""
        signal = self.signals[signal_id]
        now = sum(burst.n_frames for burst in self.linker.open if burst.signal_id == signal_id)
        return signal.on + now, max(self._taken - signal.first, 1)

    def table(self) -> list[dict[str, Any]]:
        """A row for each signal, by frequency: as a message has it, its values over all bursts."""
        rows = [self._row(signal) for signal in self.signals.values()]
        return sorted(rows, key=lambda row: row[keys.FREQ_CENTER_HZ])

    # -- looks

    def _take_look(self) -> list[dict[str, Any]]:
        items = np.concatenate([part for part, _ in self._waiting])
        classes = [part for _, part in self._waiting]
        tokens = None if any(part is None for part in classes) else without_hidden(
            np.concatenate(classes).reshape(len(items), self.layout.n_tokens, -1), self.labels)
        self._waiting = []
        parts, side = self.layout.split(items)
        psd = parts[:, :, :self.layout.stride].reshape(len(items), -1) + side[:, :1]
        first = self._taken
        self._taken += len(items)
        sound = np.isfinite(psd).all(axis=1)
        if not sound.any():
            return []
        mean_tokens = self._mean_tokens(tokens)
        self.floor_db = self._floor.take(psd[sound], self._signal_bins(mean_tokens))
        ratio = self._ratio(np.where(sound[:, None], psd, self.floor_db))
        self._see(first, ratio, mean_tokens, tokens)
        out = self._close(self.linker.ended(self._taken))
        return out + self._news()

    def _mean_tokens(self, tokens: np.ndarray | None) -> np.ndarray | None:
        """(M, L + 2) mean over the frames of a look that were encoded; None if none was."""
        if tokens is None:
            return None
        known = np.isfinite(tokens[:, 0, 0])
        return tokens[known].mean(axis=0) if known.any() else None

    def _signal_bins(self, tokens: np.ndarray | None) -> np.ndarray | None:
        """(N,) bool: bins in which the model is sure of a signal, if they fill the band: no energy tells that from noise."""
        if tokens is None or self._noise_label < 0:
            return None
        sure = tokens[:, self._noise_label] < _EMPTY
        return np.repeat(sure, self.layout.stride) if sure.mean() > _FILLED else None

    def _ratio(self, psd: np.ndarray) -> np.ndarray:
        """(F, N) power over the noise. Impulses, the receiver's own line and what is not usable are taken out."""
        ratio = powers(np.ascontiguousarray(psd - self.floor_db, np.float32))
        rank = int(_QUIET * ratio.shape[1])
        quiet = np.partition(ratio, rank, axis=1)[:, rank]
        usual = float(np.median(quiet))
        ratio /= np.maximum(np.where(quiet > _IMPULSE * usual, quiet / usual, 1.0), 1.0)[:, None].astype(np.float32)
        middle = ratio.shape[1] // 2
        beside = np.concatenate([ratio[:, middle - DC_BINS - 3:middle - DC_BINS],
                                 ratio[:, middle + DC_BINS + 1:middle + DC_BINS + 4]], axis=1)
        ratio[:, middle - DC_BINS:middle + DC_BINS + 1] = np.median(beside, axis=1)[:, None]
        ratio[:, self._unusable] = 1.0
        return ratio

    def _see(self, first: int, ratio: np.ndarray, tokens: np.ndarray | None, of_frames: np.ndarray | None):
        """Links a look: frame by frame what is strong, then what shows in the mean of the look alone."""
        loud = self._loud(ratio)
        for number in range(len(ratio)):
            frame = first + number
            known = self.linker.follow(frame, ratio[number])
            if loud[number]:
                segments = find_segments(ratio[number], self._limits, 1, tokens, self._noise_label)
                self.linker.see(frame, ratio[number], [s for s in segments if not known[s.low:s.high + 1].all()], known)
            self.linker.judge_doubtful(frame, ratio[number])
        mean = ratio.mean(axis=0)
        if len(ratio) == LOOK:
            segments = find_segments(mean, self._limits, LOOK, tokens, self._noise_label)
            self._take_weak(first, ratio, mean, segments)
        if of_frames is not None:
            self._classify(first, of_frames)
        self.linker.settle(0, first + len(ratio))

    def _loud(self, ratio: np.ndarray) -> np.ndarray:
        """(F,) bool: frames in which a segment may be. Boxes side by side miss a part of it, so less than a limit is enough."""
        limit = self._limits.limit[:, 0]
        loud = ratio.max(axis=1) > limit[0]
        for width, of_width in zip(WIDTHS[1:4], limit[1:4].tolist(), strict=True):
            if ratio.shape[1] % width == 0:
                means = ratio.reshape(len(ratio), -1, width).mean(axis=2)
                loud |= means.max(axis=1) - 1.0 > _PART * max(of_width - 1.0, MIN_OVER - 1.0)
        return loud

    def _take_weak(self, first: int, ratio: np.ndarray, mean: np.ndarray, segments):
        """Takes segments of a look's mean: frames in which a burst was too weak for one frame are on, too."""
        for segment in segments:
            touching = self.linker.touching(segment, first)
            if any(b.last >= first for b in touching):
                continue
            height = max(10.0 ** (0.1 * segment.level_db) - 1.0, 1e-3)
            on = np.flatnonzero(ratio[:, segment.low:segment.high + 1].mean(axis=1) - 1.0 > 0.3 * height)
            if touching:
                burst = max(touching, key=lambda b: min(b.high, segment.high) - max(b.low, segment.low))
                solid = not burst.is_remnant(segment)
                tail = on if solid else on[first + on <= burst.solid + self.linker.hold]
                for number in tail.tolist():
                    burst.take(first + number, ratio[number], segment.score, solid)
                on = on[len(tail):]
                if not on.size:
                    continue
            burst = Burst(segment.low, segment.high, first + int(on[0]) if on.size else first, np.zeros_like(mean))
            self.linker.open.append(burst)
            for number in on.tolist():
                burst.take(first + number, ratio[number], segment.score)

    def _classify(self, first: int, tokens: np.ndarray):
        for burst in self.linker.open:
            for number in range(len(tokens)):
                if burst.was_on(first + number):
                    probabilities, presence = classes_of(tokens[number], burst.low, burst.high, self.layout.fft_size,
                                                         self._noise_label)
                    if len(probabilities):
                        burst.classify(probabilities, presence)

    # -- messages

    def _close(self, bursts: list[Burst]) -> list[dict[str, Any]]:
        ordered = sorted(bursts, key=lambda b: (b.first, b.low))
        return self._withdrawn(bursts) + [row for burst in ordered for row in self._tell(burst, CLOSE)]

    def _news(self) -> list[dict[str, Any]]:
        """Messages about bursts that are open: those that are new, and those whose update is due."""
        out = self._withdrawn(self.linker.open)
        for burst in sorted(self.linker.open, key=lambda b: (b.first, b.low)):
            if burst.told < 0 or (self._taken - burst.told) * self.frame_s >= UPDATE_S:
                out += self._tell(burst, UPDATE if burst.signal_id else OPEN)
        return out

    def _withdrawn(self, bursts: list[Burst]) -> list[dict[str, Any]]:
        """Messages that close bursts which turned out to be parts of others: of no samples."""
        out = []
        for burst in bursts:
            for number in burst.taken_in:
                signal = self.signals.get(number)
                if signal is None:
                    continue
                out.append(signal.row | {keys.STATE: CLOSE, keys.SAMPLE_COUNT: 0})
                signal.bursts -= 1
                if not signal.bursts:
                    del self.signals[number]
            burst.taken_in = []
        return out

    def _tell(self, burst: Burst, state: str) -> list[dict[str, Any]]:
        """The messages about a burst; none if it is too weak, or the receiver's own."""
        opened = burst.signal_id
        emission = describe(burst, self.floor_db, self._deviation, self.frame_s)
        if not opened:
            if emission.snr_db < MIN_SNR_DB or not burst.sure or is_receivers(burst, emission, self.layout.fft_size // 2):
                return []
            burst.signal_id = self._signal_of(emission, burst).id
        signal = self.signals.get(burst.signal_id)
        if signal is None:
            return []
        emission = named(emission, burst, signal.told, self.labels, self._on_air_hz(emission))
        if state == CLOSE:
            signal.told = signal.told.and_of(burst)
        burst.told = self._taken
        row = self._fill(signal, burst, emission, state)
        if state == CLOSE and self._listener is not None:
            self._listener(row, emission)
        return ([row | {keys.STATE: OPEN}] if not opened and state == CLOSE else []) + [row]

    def _on_air_hz(self, emission: Emission) -> float | None:
        if not self.freq_hz:  # not known
            return None
        middle = 0.5 * (emission.low + emission.high) - self.layout.fft_size // 2
        return self.freq_hz + middle * self.samp_rate / self.layout.fft_size

    def _signal_of(self, emission: Emission, burst: Burst) -> Signal:
        """The signal that a burst is of: of like place and width, not on at the same time; else a new one."""
        middle, width = 0.5 * (emission.low + emission.high), emission.high - emission.low + 1.0
        busy = {b.signal_id for b in self.linker.open if b is not burst}
        near = [s for s in self.signals.values() if s.id not in busy
                and abs(s.middle - middle) <= max(_SAME_PLACE * min(s.width, width), 2.0)
                and max(s.width, width) <= _SAME_WIDTH * min(s.width, width) + 4.0]
        if near:
            signal = min(near, key=lambda s: abs(s.middle - middle))
            signal.middle += (middle - signal.middle) / (signal.bursts + 1)
            signal.width += (width - signal.width) / (signal.bursts + 1)
        else:
            if len(self.signals) >= MAX_SIGNALS:
                oldest = min((s for s in self.signals.values() if s.id not in busy), key=lambda s: s.last, default=None)
                if oldest is not None:
                    del self.signals[oldest.id]
            signal = Signal(self._next, middle, width, burst.first, burst.last, {})
            self.signals[signal.id] = signal
            self._next += 1
        signal.bursts += 1
        return signal

    def _fill(self, signal: Signal, burst: Burst, emission: Emission, state: str) -> dict[str, Any]:
        """The row of a burst's message."""
        bin_hz = self.samp_rate / self.layout.fft_size
        middle = 0.5 * (emission.low + emission.high) - self.layout.fft_size // 2
        signal.last = max(signal.last, burst.last)
        start = self.first_sample + burst.first * self.frame_hop
        on = signal.on + burst.n_frames
        if state == CLOSE:
            signal.on = on
        row = {
            keys.SIGNAL_ID: signal.id, keys.STATE: state, keys.SAMPLE_START: start,
            keys.SAMPLE_COUNT: (burst.last - burst.first + 1) * self.frame_hop,
            keys.FREQ_CENTER_HZ: (self.freq_hz or 0.0) + middle * bin_hz,
            keys.BANDWIDTH_HZ: (emission.high - emission.low + 1) * bin_hz, keys.FREQ_RELATIVE: self.freq_hz is None,
            keys.POWER_DBFS: emission.power_dbfs, keys.SNR_DB: emission.snr_db, keys.LABEL: emission.label,
            keys.CONFIDENCE: emission.confidence, keys.BURSTS: signal.bursts,
            keys.DUTY_CYCLE: min(1.0, on / max(self._taken - signal.first, 1)),
            keys.FIRST_HEARD: self.start_s + signal.first * self.frame_s,
            keys.LAST_HEARD: self.start_s + (signal.last + 1) * self.frame_s}
        signal.row = row
        return row

    def _row(self, signal: Signal) -> dict[str, Any]:
        bin_hz = self.samp_rate / self.layout.fft_size
        return signal.row | {
            keys.FREQ_CENTER_HZ: (self.freq_hz or 0.0) + (signal.middle - self.layout.fft_size // 2) * bin_hz,
            keys.BANDWIDTH_HZ: signal.width * bin_hz}
