# SPDX-License-Identifier: GPL-3.0-or-later
"""Activity in the places of the band's own emitters: when, how long and how strong, and which has been silent for too long.

The search leaves out what an emitter may show. Its place is therefore watched here, by the mean power of its core bins.
Silence is counted in frames that were heard at its place: not while a scan is elsewhere, nor while nobody watches.

Shape letters: F frames, N bins, E emitters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .boxes import WIDTHS
from .bursts import WINDOW_BINS
from .emitter import Emitter
from .registry import JOIN_S, Registry
from .tuning import TuningState

GONE_SHARE = 0.2  # of the false alerts an hour, that unusual silence may cause
MIN_TRANSMISSIONS = 6  # that must have been heard before silence means anything


@dataclass
class _On:
    start_s: float
    end_s: float
    sample_start: int
    sample_stop: int
    gap_s: float = math.nan  # of silence before it
    total: float = 0.0
    frames: int = 0


class Heard(NamedTuple):
    """A transmission in an emitter's own place: first sample and the one after the last, level over the background in dB."""

    emitter: Emitter
    sample_start: int
    sample_stop: int
    level_db: float


class Activity:
    """Watches the places of the emitters of a registry."""

    def __init__(self, registry: Registry):
        self._registry = registry
        self._on: dict[int, _On] = {}
        self._silent_s: dict[int, float] = {}  # by emitter, up to now
        self._heard: set[int] = set()  # emitters whose next silence will have a beginning

    def take(self, tuning: TuningState, ratio: np.ndarray, starts: np.ndarray, times: np.ndarray, hold: int) -> list[Heard]:
        """Takes a block of power over the background, (F, N), with first samples (F,) and times (F,) of its frames.

        Returns:
            The transmissions that have ended.
        """
        usable = tuning.usable
        cores = [(emitter, low, high) for emitter, low, high in self._registry.cores(tuning.grid)
                 if not emitter.steady and usable.start <= low and high <= usable.stop]
        if not cores:
            return []
        cumulative = np.zeros((len(ratio), ratio.shape[1] + 1))
        np.cumsum(ratio, axis=1, dtype=np.float64, out=cumulative[:, 1:])
        low, high = np.array([core[1] for core in cores]), np.array([core[2] for core in cores])
        means = (cumulative[:, high] - cumulative[:, low]) / (high - low)
        limit = np.array([_limit(tuning, width) for width in (high - low).tolist()])
        active = means > limit
        found: list[Heard] = []
        join_s, span_s = max(hold * tuning.frame_s, JOIN_S), len(ratio) * tuning.frame_s
        some = active.any(axis=0)
        for k, (emitter, _, _) in enumerate(cores):
            state = self._on.get(emitter.id)
            silent_s = self._silent_s.get(emitter.id, 0.0)
            self._silent_s[emitter.id] = silent_s + span_s
            if state is None and not some[k]:
                continue
            for n in np.flatnonzero(active[:, k]).tolist():
                moment = float(times[n])
                if state is not None and moment - state.end_s > join_s:
                    found += self._ended(emitter, state, tuning)
                    state = None
                if state is None:
                    gap_s = silent_s + n * tuning.frame_s if emitter.id in self._heard else math.nan
                    state = _On(moment, moment, int(starts[n]), 0, gap_s)
                    self._heard.add(emitter.id)
                silent_s = -(n + 1) * tuning.frame_s
                self._silent_s[emitter.id] = silent_s + span_s
                state.end_s, state.sample_stop = moment + tuning.frame_s, int(starts[n]) + tuning.key.frame_hop
                state.total += float(means[n, k]) - 1.0
                state.frames += 1
            if state is not None and float(times[-1]) - state.end_s > join_s:
                found += self._ended(emitter, state, tuning)
                state = None
            if state is None:
                self._on.pop(emitter.id, None)
            else:
                self._on[emitter.id] = state
        return found

    def overdue(self, false_per_hour: float) -> list[Emitter]:
        """Emitters that have been silent for longer than they ever may, and count as gone from here on."""
        known = [e for e in self._registry.emitters.values() if e.log_gap.count and not e.steady]
        spans = [(e.gap_sum_s, e.log_gap.count) for e in known]
        gaps_per_hour = sum(3600.0 * count / max(total, 1.0) for total, count in spans)
        per_gap = min(max(GONE_SHARE * false_per_hour / max(gaps_per_hour, 1.0), 1e-7), 0.01)
        found = []
        for emitter in known:
            if (emitter.gone or emitter.count < MIN_TRANSMISSIONS or emitter.id in self._on
                    or self._silent_s.get(emitter.id, 0.0) <= emitter.overdue_s(per_gap)):
                continue
            emitter.gone = True
            found.append(emitter)
        return found

    def _ended(self, emitter: Emitter, state: _On, tuning: TuningState) -> list[Heard]:
        self._registry.count_gap(emitter, state.gap_s)
        if state.start_s <= emitter.last_s:  # counted already, by a burst that showed more than it may
            emitter.last_s = max(emitter.last_s, state.end_s)
            return []
        bins = max(round(emitter.bandwidth_hz / tuning.grid.bin_hz), 1)
        mean = state.total / state.frames * bins / max(bins - WINDOW_BINS, 1)
        level = 10.0 * math.log10(max(mean, 1e-3))
        self._registry.active(emitter, state.start_s, state.end_s, level)
        return [Heard(emitter, state.sample_start, state.sample_stop, level)]


def _limit(tuning: TuningState, width: int) -> float:
    assert tuning.limits is not None  # `renew` gives them
    return float(tuning.limits.limit[max(k for k, w in enumerate(WIDTHS) if w <= width), 0])
