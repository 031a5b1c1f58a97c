# SPDX-License-Identifier: GPL-3.0-or-later
"""Sweeps over a scan plan: spectra in, retunes and stitched rows out. Time is counted in samples alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .scan_plan import RangePlan, ScanPlan

RETUNE_TIMEOUT_S = 1.0  # of samples, until a retune is sent again


@dataclass(frozen=True)
class Retune:
    """The radio is to be tuned to this."""

    center_hz: float


@dataclass(frozen=True)
class LostRetune:
    """The stream did not say within RETUNE_TIMEOUT_S that the radio was tuned to this; the retune is sent again."""

    center_hz: float
    heard_hz: float


@dataclass(frozen=True)
class Sweep:
    """One pass over one range.

    Attributes: number: of the sweep; row: (B,) float32, dBFS per bin; freq_start_hz, bin_hz; sample_start, sample_count: from the
    first frame that went in to the end of the last; dwell_samples: that went in; hops; held_hops: at which an event held it up.
    """

    number: int
    row: np.ndarray
    freq_start_hz: float
    bin_hz: float
    sample_start: int
    sample_count: int
    dwell_samples: int
    hops: int
    held_hops: int


class Sweeper:
    """Visits the hops of a plan repeatedly.

    Each hop gives the mean of ``dwell_frames`` spectra; a bin of the row comes from the hop with the nearest centre.
    An open event holds the hop until ``hold_frames`` after the event's last message, ``max_hold_frames`` in total.
    An event that opens just after the scanner has moved on brings it back.

    Args:
        plan: the hops.
        dwell_frames: spectra per hop.
        hold_frames, max_hold_frames: see above; 0 disables holding.
        dc_bins: bins in the middle of each spectrum that are not used (a receiver's spike). If no other hop covers these bins,
            the row is interpolated linearly in dB.
        seed: seed of the jitter.
    """

    def __init__(self, plan: ScanPlan, dwell_frames: int, *, hold_frames: int = 0, max_hold_frames: int = 0, dc_bins: int = 0,
                 seed: int = 0):
        self.plan, self.dwell_frames = plan, max(1, int(dwell_frames))
        self.hold_frames, self.max_hold_frames, self.dc_bins = hold_frames, max_hold_frames, dc_bins
        self._random = np.random.default_rng(seed)
        self.paused = False
        self.n_sweeps = self.n_hops = self.n_lost_retunes = 0
        self._begin_sweep()

    # Called by the block

    def take(self, psd: np.ndarray, center_hz: float, sample_start: int, frame_hop: int) -> Iterator[Retune | LostRetune | Sweep]:
        """Spectra (F, N) in dBFS at one tuning, the first of which starts at this sample; what is to be done now."""
        for number, spectrum in enumerate(psd):
            if self.paused:
                return
            yield from self._take_one(spectrum, center_hz, sample_start + number * frame_hop, frame_hop)

    def event(self, state: str, freq_hz: float):
        """An event is open, goes on or closes (its `state`) at this frequency."""
        if not self.hold_frames or state == "close" or self.paused:
            return
        if self._sees(self.target_hz, freq_hz):
            self._hold_left = self.hold_frames
        elif state == "open" and self._previous_hz is not None and self._sees(self._previous_hz, freq_hz):
            self._excursion_hz = self._previous_hz
            self._clear_hop()
            self._hold_left = self.hold_frames

    # Frames

    def _take_one(self, spectrum, center_hz: float, sample: int, frame_hop: int):
        if not self._is_target(center_hz):
            yield from self._ask(center_hz, frame_hop)
            return
        self._asked_frames = 0
        held = self._hold_left > 0 and self._n_held < self.max_hold_frames
        if held:
            self._hold_left -= 1
            self._n_held += 1
        if self._excursion_hz is not None:
            if not held:
                self._excursion_hz = None
                self._held_hops += 1
                self._clear_hop()
                yield from self._go(center_hz)
            return
        self._add(spectrum, center_hz, sample, frame_hop)
        if not held and self._n_summed >= self.dwell_frames:
            yield from self._next_hop(center_hz)

    def _add(self, spectrum, center_hz: float, sample: int, frame_hop: int):
        self._sum = self._sum + 10.0 ** (np.asarray(spectrum, np.float64) / 10.0)
        self._n_summed += 1
        self._heard_hz = center_hz
        if self._sample_start is None:
            self._sample_start = sample
        self._sample_stop = sample + frame_hop
        self._dwell_samples += frame_hop

    def _ask(self, center_hz: float, frame_hop: int):
        """Frames of another tuning: the first is answered by a retune, the next are on their way still."""
        self._asked_frames += 1
        if self._asked_frames == 1:
            yield Retune(self.target_hz)
        elif self._asked_frames * frame_hop > RETUNE_TIMEOUT_S * self.plan.samp_rate:
            self.n_lost_retunes += 1
            self._asked_frames = 0
            yield LostRetune(self.target_hz, center_hz)

    def _next_hop(self, center_hz: float):
        self._stitch()
        self.n_hops += 1
        self._held_hops += self._n_held > 0
        self._previous_hz = center_hz
        self._hop += 1
        if self._hop == len(self._plan.centers):
            yield self._finish_range()
        self._clear_hop()
        yield from self._go(center_hz)

    def _go(self, center_hz: float):
        """A retune, if the radio's present frequency is not the target."""
        if not self._is_target(center_hz):
            self._asked_frames = 1
            yield Retune(self.target_hz)

    # Frequencies

    @property
    def _plan(self) -> RangePlan:
        return self.plan.plans[self._range]

    @property
    def target_hz(self) -> float:
        """Frequency that the radio should be at."""
        if self._excursion_hz is not None:
            return self._excursion_hz
        return self._plan.frequency_hz(self._plan.centers[self._hop] + self._shift)

    def _is_target(self, center_hz: float) -> bool:
        """Tuners have steps. Frames are placed at their reported frequency, so this only needs to separate neighbouring hops."""
        plan = self._plan
        return abs(center_hz - self.target_hz) <= max(2 * plan.bin_hz, 0.1 * plan.half * plan.bin_hz)

    def _sees(self, center_hz: float, freq_hz: float) -> bool:
        return abs(freq_hz - center_hz) <= self.plan.samp_rate / 2

    # Rows

    def _begin_sweep(self):
        self._range = 0
        self._previous_hz = self._excursion_hz = None
        self._begin_range()
        self._clear_hop()

    def _begin_range(self):
        self._hop, spare = 0, self._plan.spare
        self._shift = int(self._random.integers(-spare, spare + 1)) if spare else 0
        self._row = np.zeros(self._plan.n_bins)
        self._distance = np.full(self._plan.n_bins, np.inf)
        self._sample_start = self._sample_stop = None
        self._dwell_samples = self._held_hops = 0

    def _clear_hop(self):
        self._sum, self._n_summed = 0.0, 0
        self._n_held = self._hold_left = self._asked_frames = 0

    def _stitch(self):
        """Puts the hop's mean spectrum into the row, except in bins that a hop with a nearer centre has filled."""
        plan, middle = self._plan, self._plan.fft_size // 2
        distance = np.abs(np.arange(plan.fft_size) - middle)
        used = (distance <= plan.half) & (2 * distance >= self.dc_bins)
        place = round(plan.bin_of(self._heard_hz)) + np.arange(plan.fft_size) - middle
        used &= (place >= 0) & (place < plan.n_bins)
        place, distance, mean = place[used], distance[used], (self._sum / self._n_summed)[used]
        nearer = distance < self._distance[place]
        self._row[place[nearer]] = mean[nearer]
        self._distance[place[nearer]] = distance[nearer]

    def _finish_range(self) -> Sweep:
        plan, seen = self._plan, np.isfinite(self._distance)
        row = np.full(plan.n_bins, -200.0, np.float32)
        if seen.any():
            known = np.flatnonzero(seen)
            row[:] = np.interp(np.arange(plan.n_bins), known, 10.0 * np.log10(np.maximum(self._row[known], 1e-20)))
        sweep = Sweep(self.n_sweeps, row, plan.low_hz, plan.bin_hz, self._sample_start, self._sample_stop - self._sample_start,
                      self._dwell_samples, len(plan.centers), self._held_hops)
        self._range += 1
        if self._range == len(self.plan.plans):
            self._range = 0
            self.n_sweeps += 1
        self._begin_range()
        return sweep
