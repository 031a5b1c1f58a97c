# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples of any stretch of a band. They are made in tiles of a fixed length, so that the same plan gives the same samples, in
whatever stretches they are asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..injections import Change
from ..signal import phasor
from .anomalies import Placed, place_anomalies
from .cuts import Library
from .emitters import Burst, Carrier, traffic
from .plan import Plan
from .receiving import Receiving
from .timing import Ordered, generator

TILE = 1 << 16
MAX_KEPT = 1 << 23      # samples of rendered bursts that are kept
RISE = 256              # samples in which a carrier comes up


class Band:
    """A plan with the recordings of some folders. truth: SigMF annotations by their first sample.

    Raises:
        PlanError: a pattern matches nothing, or an anomaly finds no place.
        CorpusError, RecordingError: a recording is unreadable.
    """

    def __init__(self, plan: Plan, folders: Sequence[Path]):
        self.plan = plan
        library = Library(folders, plan.rate_hz)
        busy = traffic(plan, library)
        self.receiving = Receiving(plan)
        self._bursts = Ordered(busy.bursts, lambda b: (b.first, b.end))
        self._carriers = [_Oscillator(c, plan.rate_hz) for c in busy.carriers]
        self._noise = np.float32(np.sqrt(10 ** (plan.receiver.noise_dbfs / 10) / 2))
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._changes: OrderedDict[int, Change] = OrderedDict()
        self._anomalies: Ordered[Placed] = Ordered([], lambda p: (p.start, p.end))
        placed, bursts, notes = place_anomalies(plan, library, busy, self.quiet)
        self._anomalies = Ordered(placed, lambda p: (p.start, p.end))
        self._foreign = Ordered(bursts, lambda b: (b.first, b.end))
        self._kept_foreign: OrderedDict[int, np.ndarray] = OrderedDict()
        self.truth = sorted(self.receiving.drifted(busy.truth + notes) + self.receiving.truth,
                            key=lambda a: a["core:sample_start"])
        self.n_bursts, self.n_anomalies = len(busy.truth), len(placed) + len(bursts)

    def quiet(self, start: int, count: int) -> np.ndarray:
        """Noise and emitters before the receiver, complex64 (count,): what is there without anomalies."""
        low, high = start // TILE, -(-(start + count) // TILE)
        out = np.concatenate([self._tile(number) for number in range(low, high)])
        return out[start - low * TILE:][:count]

    def stream(self, block: int = TILE) -> Iterator[np.ndarray]:
        """The whole recording as the receiver gives it, complex64, in blocks of this length (the last may be shorter)."""
        waiting: list[np.ndarray] = []
        for part in self._received():
            waiting.append(part)
            if sum(map(len, waiting)) >= block:
                whole = np.concatenate(waiting)
                ready = len(whole) // block * block
                yield from (whole[low:low + block] for low in range(0, ready, block))
                waiting = [whole[ready:]]
        if sum(map(len, waiting)):
            yield np.concatenate(waiting)

    def _received(self) -> Iterator[np.ndarray]:
        first = 0
        for part in self.receiving.receiver.stream(self._sent()):
            yield self.receiving.lose(part, first)
            first += len(part)

    def _sent(self) -> Iterator[np.ndarray]:
        """What arrives at the receiver's filter, times the gain before it."""
        total = self.plan.n_samples
        for number in range(-(-total // TILE)):
            first = number * TILE
            iq = self._tile(number)
            self._paint(iq, first, self._foreign, self._kept_foreign)
            iq = self._with_anomalies(iq, first)[:total - first]
            iq = self.receiving.shift(iq, first)
            self.receiving.add_impulses(iq, first)
            if self.receiving.gains:
                iq *= self.receiving.gain(first, TILE)[:len(iq)]
            yield iq

    def _tile(self, number: int) -> np.ndarray:
        first = number * TILE
        iq = generator(self.plan.seed, "noise", number).standard_normal(2 * TILE, np.float32).view(np.complex64)
        iq *= self._noise
        for carrier in self._carriers:
            carrier.add(iq, first)
        self._paint(iq, first, self._bursts, self._kept)
        return iq

    def _paint(self, iq: np.ndarray, first: int, bursts: Ordered[Burst], kept: OrderedDict[int, np.ndarray]) -> None:
        """Adds the bursts that touch the samples; each is rendered once and kept while there is room."""
        touching = bursts.touching(first, len(iq))
        for number, burst in touching:
            if number not in kept:
                kept[number] = burst.cut.at(burst.offset_hz) * np.complex64(burst.gain)
            kept.move_to_end(number)
            made = kept[number]
            low, high = max(burst.first, first), min(burst.first + len(made), first + len(iq))
            if low < high:
                iq[low - first:high - first] += made[low - burst.first:high - burst.first]
        while len(kept) > len(touching) and sum(map(len, kept.values())) > MAX_KEPT:
            kept.popitem(last=False)

    def _with_anomalies(self, iq: np.ndarray, first: int) -> np.ndarray:
        touching = self._anomalies.touching(first, len(iq))
        for number, placed in touching:
            if number not in self._changes:
                self._changes[number] = placed.change(self.quiet, self.plan.rate_hz)[0]
            iq = self._changes[number].applied(iq, first)
        while len(self._changes) > len(touching):
            self._changes.popitem(last=False)
        return iq


class _Oscillator:
    """A carrier, with the phases of one tile ready."""

    def __init__(self, carrier: Carrier, samp_rate: float):
        self._carrier, self._cycles = carrier, carrier.offset_hz / samp_rate
        self._tile = (phasor(np.arange(TILE) * self._cycles) * np.complex64(carrier.gain)).astype(np.complex64)

    def add(self, iq: np.ndarray, first: int) -> None:
        """Adds it to the samples (TILE,) from ``first`` on."""
        for begin, end in self._carrier.spans:
            low, high = max(begin, first), min(end, first + len(iq))
            if low >= high:
                continue
            turned = self._tile * np.complex64(np.exp(2j * np.pi * ((first * self._cycles) % 1.0)))
            if begin >= first or end <= first + len(iq):  # it comes up or goes down in this tile
                turned *= _gate(begin, end, first, len(iq))
            iq += turned


def _gate(begin: int, end: int, first: int, count: int) -> np.ndarray:
    """0..1 (count,) from sample ``first`` on of a span [begin, end) whose ends rise and fall."""
    place = np.arange(first, first + count)
    rise = np.clip(np.minimum((place - begin + 0.5) / RISE, (end - place - 0.5) / RISE), 0, 1)
    return np.sin(np.pi / 2 * rise).astype(np.float32) ** 2
