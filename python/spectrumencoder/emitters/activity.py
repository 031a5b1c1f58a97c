# SPDX-License-Identifier: GPL-3.0-or-later
"""Activity in the places of the band's own emitters: when, how long, how strong and of what kind; and who is silent for too long.

The search leaves out what an emitter may show. Its place is therefore watched here, by the mean power of its core bins.
Silence is counted in frames that were heard at its place: not while a scan is elsewhere, nor while nobody watches.

Shape letters: F frames, N bins, E emitters, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..tokens.class_plan import possible
from .box_classes import BoxClasses
from .boxes import WIDTHS, means_of
from .bursts import WHOLE_GAP, WINDOW_BINS, occupied, stands_out
from .emitter import Emitter
from .registry import JOIN_S, Registry
from .tuning import Block, TuningKey, TuningState
from .waveform import CELLS, Look

GONE_SHARE = 0.2  # of the false alerts an hour, that unusual silence may cause
CHANGED_SHARE = 0.1  # and another waveform in a known place
MIN_TRANSMISSIONS = 6  # that must have been heard before silence means anything
_BESIDE = 0.5, 4  # of its width, and bins, to each side of a place, in which its transmissions are measured
_APART = 2  # bins at least between the cores of emitters that are measured
_MIN_MEASURED_DB = 3.0  # level of a transmission whose place and kind are measured
_OTHERS = 0.25  # of the power in a place: if less is elsewhere, the class of the frame is that of the emitter
_MIN_CLASS = 0.5  # mean probability


@dataclass
class _On:
    """A transmission that is on. gap_s: of silence before it. spectrum: power over the background by bin from `left` on."""

    start_s: float
    end_s: float
    sample_start: int
    sample_stop: int
    gap_s: float
    key: TuningKey
    left: int
    spectrum: np.ndarray
    classes: np.ndarray
    alone: int = 0  # frames in which nothing else was on
    mixed: bool = False  # whether others were in its place, too
    total: float = 0.0
    frames: int = 0
    runs: list[list[float]] = field(default_factory=list)  # begin and end of each uninterrupted part of it, s
    tokens: float | np.ndarray = 0.0  # (L + 1,) mean classes of the tokens in its place, summed over frames


class Heard(NamedTuple):
    """A transmission in an emitter's own place.

    Attributes:
        sample_start, sample_stop: first sample and the one after the last. level_db: over the background.
        counted: it is none that was reported as a burst. changed: how the last ones differ from all before them, or None.
        place: centre and width, Hz, if they could be measured. label: its class, by the tokens in its place, or by the whole
            frame if nothing else was on. confidence: by tokens.
        runs: POSIX s of begin and end of each part that was not interrupted.
    """

    emitter: Emitter
    sample_start: int
    sample_stop: int
    level_db: float
    counted: bool
    changed: str | None = None
    place: tuple[float, float] | None = None
    label: str | None = None
    runs: Sequence[list[float]] = ()
    confidence: float | None = None


class _Places:
    """The cores of emitters in a block: bins low..high - 1, and left..right - 1 in which they are measured.

    Attributes:
        shared: (E,) bool, whether the core meets that of another emitter: nobody can tell whose the power there is.
        meet: (E, E) bool, whether the second one's core meets the bins in which the first one is measured.
    """

    def __init__(self, cores: list[tuple[Emitter, int, int]], n_bins: int):
        self.emitters = [core[0] for core in cores]
        self.low, self.high = np.array([core[1] for core in cores]), np.array([core[2] for core in cores])
        beside = (_BESIDE[0] * (self.high - self.low)).astype(int) + _BESIDE[1]
        self.left, self.right = np.maximum(self.low - beside, 0), np.minimum(self.high + beside, n_bins)
        self.meet = (self.left[:, None] < self.high) & (self.low < self.right[:, None])  # (E, E)
        np.fill_diagonal(self.meet, False)
        near = (self.low[:, None] < self.high + _APART) & (self.low < self.high[:, None] + _APART)
        np.fill_diagonal(near, False)
        self.shared = near.any(axis=1)
        self.groups: dict[int, list[int]] = {}  # by emitter: one core, or one for each hop
        for k, emitter in enumerate(self.emitters):
            self.groups.setdefault(emitter.id, []).append(k)
        self.shared |= np.array([len(self.groups[emitter.id]) > 1 for emitter in self.emitters])


class Activity:
    """Watches the places of the emitters of a registry.

    Args:
        labels: names of the C classes. boxes: reads the classes of tokens; None: nobody does.
    """

    def __init__(self, registry: Registry, labels: Sequence[str] = (), boxes: BoxClasses | None = None):
        self._registry, self._labels, self._boxes = registry, list(labels), boxes
        self._on: dict[int, _On] = {}
        self._silent_s: dict[int, float] = {}  # by emitter, up to now
        self._heard: set[int] = set()  # emitters whose next silence will have a beginning

    def take(self, tuning: TuningState, block: Block, hold: int, false_per_hour: float) -> list[Heard]:
        """Takes a block. false_per_hour: alerts an hour that may be false; 0 while learning.

        Returns:
            The transmissions that have ended.
        """
        usable, ratio = tuning.usable, block.ratio
        cores = [(emitter, low, high) for emitter, low, high in self._registry.cores(tuning.grid)
                 if not emitter.steady and usable.start <= low and high <= usable.stop]
        if not cores:
            return []
        places = _Places(cores, ratio.shape[1])
        means = means_of(ratio, places.low, places.high)
        limit = np.array([_limit(tuning, width) for width in (places.high - places.low).tolist()])
        active = means > limit
        mixed = active @ places.meet.T | places.shared
        elsewhere = ratio.sum(axis=1, dtype=np.float64) - ratio.shape[1]
        change = CHANGED_SHARE * false_per_hour / max(self._gaps_per_hour(), 1.0)
        found: list[Heard] = []
        join_s, span_s = max(hold * tuning.frame_s, JOIN_S), len(ratio) * tuning.frame_s
        for ks in places.groups.values():
            k, emitter, on = ks[0], places.emitters[ks[0]], active[:, ks].any(axis=1)
            state = self._on.get(emitter.id)
            silent_s = self._silent_s.get(emitter.id, 0.0)
            self._silent_s[emitter.id] = silent_s + span_s
            if state is None and not on.any():
                continue
            for n in np.flatnonzero(on).tolist():
                moment = float(block.times[n])
                if state is not None and moment - state.end_s > join_s:
                    found += self._ended(emitter, state, tuning, change)
                    state = None
                if state is None:
                    gap_s = silent_s + n * tuning.frame_s if emitter.id in self._heard else math.nan
                    left, right = int(places.left[k]), int(places.right[k])
                    state = _On(moment, moment, int(block.starts[n]), 0, gap_s, tuning.key, left, np.zeros(right - left),
                                np.zeros(len(self._labels)))
                    self._heard.add(emitter.id)
                silent_s = -(n + 1) * tuning.frame_s
                self._silent_s[emitter.id] = silent_s + span_s
                # A block of another tuning, which has the place too, may be of an earlier time
                state.end_s = max(state.end_s, moment + tuning.frame_s)
                state.sample_stop = max(state.sample_stop, int(block.starts[n]) + tuning.key.frame_hop)
                if not state.runs or moment - state.runs[-1][1] > hold * tuning.frame_s:
                    state.runs.append([moment, moment])
                state.runs[-1] = [min(state.runs[-1][0], moment), state.end_s]
                state.total += float(means[n, ks].max()) - 1.0
                state.frames += 1
                state.mixed |= bool(mixed[n, k]) or state.key != tuning.key
                if not state.mixed:
                    _measure(state, block, n, float(elsewhere[n]))
                    if self._boxes is not None and block.tokens.size:
                        state.tokens += self._boxes.mean(block.tokens[n], int(places.low[k]), int(places.high[k]) - 1)
            if state is not None and float(block.times[-1]) - state.end_s > join_s:
                found += self._ended(emitter, state, tuning, change)
                state = None
            if state is None:
                self._on.pop(emitter.id, None)
            else:
                self._on[emitter.id] = state
        return found

    def overdue(self, false_per_hour: float) -> list[Emitter]:
        """Emitters that have been silent for longer than they ever may, and count as gone from here on; not parts of others."""
        per_gap = min(max(GONE_SHARE * false_per_hour / max(self._gaps_per_hour(), 1.0), 1e-7), 0.01)
        found = []
        for emitter in self._known():
            if (emitter.gone or emitter.part_of or emitter.count < MIN_TRANSMISSIONS or emitter.id in self._on
                    or self._silent_s.get(emitter.id, 0.0) <= emitter.overdue_s(per_gap)):
                continue
            emitter.gone = True
            found.append(emitter)
        return found

    def _known(self) -> list[Emitter]:
        return [e for e in self._registry.emitters.values() if e.log_gap.count and not e.steady]

    def _gaps_per_hour(self) -> float:
        """Transmissions an hour of all emitters."""
        return sum(3600.0 * e.log_gap.count / max(e.gap_sum_s, 1.0) for e in self._known())

    def _ended(self, emitter: Emitter, state: _On, tuning: TuningState, change: float) -> list[Heard]:
        """A transmission is over. change: probability with which it may be called another waveform though it is none."""
        self._registry.count_gap(emitter, state.gap_s)
        bins = max(round(emitter.bandwidth_hz / tuning.grid.bin_hz), 1)
        mean = state.total / state.frames * bins / max(bins - WINDOW_BINS, 1)
        level = 10.0 * math.log10(max(mean, 1e-3))
        place, label, confidence, changed = None, None, None, None
        if not state.mixed and level > _MIN_MEASURED_DB:
            place = _place(state, tuning)
        if place is not None:
            label, confidence = self._class_of(state, place[0] if tuning.key.freq_hz else None)
            length_s = max(state.end_s - state.start_s, 1e-4)
            look = Look(math.log(place[1]), math.log(length_s), _shape(emitter, state, tuning), label)
            changed = emitter.waveform.take(look, min(change, 0.01))
        counted = state.start_s > emitter.last_s  # else it was counted already, by a burst that showed more than it may
        if counted:
            self._registry.active(emitter, state.start_s, state.end_s, level, place)
        else:
            emitter.last_s = max(emitter.last_s, state.end_s)
        return [Heard(emitter, state.sample_start, state.sample_stop, level, counted, changed, place, label, state.runs,
                      confidence)]

    def _class_of(self, state: _On, freq_hz: float | None) -> tuple[str | None, float | None]:
        """The class of the tokens in its place, and its probability; else that of its frames, if in half of them nothing else was
        on. freq_hz: of the place; None: not known."""
        shares = self._boxes.shares(state.tokens, freq_hz) if self._boxes is not None and np.ndim(state.tokens) else {}
        if shares:
            name = max(shares, key=lambda one: shares[one])
            return (name, shares[name]) if shares[name] >= _MIN_CLASS else (None, None)
        if not len(state.classes) or 2 * state.alone < state.frames:
            return None, None
        likely = possible(state.classes, self._labels, freq_hz)
        best = int(likely.argmax())
        return self._labels[best] if likely[best] >= _MIN_CLASS * state.alone else None, None


def _measure(state: _On, block: Block, n: int, elsewhere: float):
    """Takes a frame of a transmission. elsewhere: excess power of all bins, over the background."""
    part = block.ratio[n, state.left:state.left + len(state.spectrum)]
    state.spectrum += part
    mine = float(part.sum()) - len(part)
    if len(state.classes) and block.classes[n, 0] >= 0.0 and elsewhere - mine < _OTHERS * mine:
        state.classes += block.classes[n]
        state.alone += 1


def _place(state: _On, tuning: TuningState) -> tuple[float, float] | None:
    """Centre and width of a transmission, Hz; None if it cannot be seen."""
    mean = state.spectrum / state.frames
    at = np.flatnonzero(stands_out(mean, tuning.background.spectra * state.frames))
    if not at.size:
        return None
    cuts = np.flatnonzero(np.diff(at) > WHOLE_GAP)
    first, last = at[np.concatenate([[0], cuts + 1])], at[np.concatenate([cuts, [at.size - 1]])]
    strongest = int(mean.argmax())
    mine = int(np.searchsorted(first, strongest, side="right")) - 1
    if mine < 0 or strongest > last[mine]:
        return None
    low, high = occupied(np.maximum(mean[first[mine]:last[mine] + 1] - 1.0, 0.0))
    low, high = low + int(first[mine]) + state.left, high + int(first[mine]) + state.left
    return tuning.grid.hz_of((low + high) / 2.0), (high - low + 1) * tuning.grid.bin_hz


def _shape(emitter: Emitter, state: _On, tuning: TuningState) -> np.ndarray | None:
    """Share of its power in each of CELLS parts of its emitter's place; None if that has fewer bins."""
    low = round(tuning.grid.bin_of(emitter.low_hz)) - state.left
    high = round(tuning.grid.bin_of(emitter.high_hz)) + 1 - state.left
    low, high = max(low, 0), min(high, len(state.spectrum))
    if high - low < CELLS:
        return None
    energy = np.concatenate([[0.0], np.cumsum(np.maximum(state.spectrum[low:high] / state.frames - 1.0, 0.0))])
    parts = np.diff(np.interp(np.linspace(0, high - low, CELLS + 1), np.arange(high - low + 1), energy))
    return parts / parts.sum() if parts.sum() > 0.0 else None


def _limit(tuning: TuningState, width: int) -> float:
    assert tuning.limits is not None  # `renew` gives them
    return float(tuning.limits.limit[max(k for k, w in enumerate(WIDTHS) if w <= width), 0])
