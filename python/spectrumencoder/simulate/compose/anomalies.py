# SPDX-License-Identifier: GPL-3.0-or-later
"""The anomalies of a plan, drawn for the whole recording: place, level and truth of each, and its samples when they are needed.

New signals take frequencies that no emitter of the plan uses at any time. Kinds that change a signal (moved, replaced, missing)
take what the spectrum shows at that moment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import fft

from ... import keys
from ..anomalies import MIN_SAMPLES, Anomaly
from ..anomaly_draws import draw_anomaly
from ..anomaly_rendering import anomaly_change
from ..injections import Change, Truth, own_width
from ..occupancy import channels_of, free_place
from ..signal import power_spectrum
from .checks import PlanError
from .cuts import Library
from .emitters import EMITTER, SOURCE, Burst, Traffic, noise_density, scaled, truth_note
from .plan import RECORDING, AnomalyPlan, Plan
from .timing import generator, starts, windows

INR = keys.SIGMF_PREFIX + "inr_db"
KIND = keys.SIGMF_PREFIX + "kind"
CHANGING = ("detshift", "dclass", "missing", "spoof")  # kinds that need the samples to be drawn
_NEW = ("tone", "scont", "pulse", "chirp", "hopper", RECORDING)  # kinds that take a free place
_VISIBLE_DB = -10.0   # SNR from which an IQ image takes a place
_MASK_BINS = 4096
_MAX_TAKEN = 0.7      # max share of the rate in use, above which free places are not told from taken ones
_DRAWN_SHARE = 0.06   # max width of a sweep that takes a free place, as a share of the rate

Samples = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class Placed:
    """A drawn anomaly, at samples [start, end) of the recording; the anomaly counts from ``start``."""

    start: int
    end: int
    anomaly: Anomaly

    def change(self, samples: Samples, samp_rate: float) -> tuple[Change, list[Truth]]:
        """What it adds to the samples (start, count), and its truth with offsets from the centre."""
        change, truths = anomaly_change(lambda begin, count: samples(self.start + begin, count), self.end - self.start, samp_rate,
                                        self.anomaly)
        return (Change(self.start + change.start, change.iq),
                [dataclasses.replace(row, sample_start=self.start + row.sample_start) for row in truths])


def place_anomalies(plan: Plan, library: Library, busy: Traffic,
                    samples: Samples) -> tuple[list[Placed], list[Burst], list[dict]]:
    """Draws all anomalies: those to render, those that are bursts of recordings, and their annotations.

    Args:
        samples: the band without anomalies, (start, count) -> complex64 (count,).

    Raises:
        PlanError: no place is free, or the kind has nothing to change.
    """
    placed: list[Placed] = []
    bursts: list[Burst] = []
    notes: list[dict] = []
    mask = _taken(plan, busy)
    full = float(np.mean(mask > 1)) > _MAX_TAKEN
    for index, what in enumerate(plan.anomalies):
        where = f"{plan.name}: anomalies[{index}] {what.kind}"
        rng, clock = generator(plan.seed, "anomalies", index), generator(plan.seed, "times of anomalies", index)
        cuts = library.of_recordings(what.recordings, where) if what.kind == RECORDING else []

        def draw(what=what, rng=clock, cuts=cuts):
            if cuts:
                made = cuts[int(rng.integers(len(cuts)))]
                return made.count / plan.rate_hz, made
            seconds = float(np.exp(rng.uniform(*np.log(what.length_s))))
            return seconds, seconds

        mean_s = float(np.mean([c.count for c in cuts])) / plan.rate_hz if cuts else float(np.mean(what.length_s))
        found = starts(what, windows(what, plan.start, plan.seconds), clock, draw, mean_s=mean_s)
        for number, (moment, item) in enumerate(found, 1):
            start, inr_db = round(moment * plan.rate_hz), float(rng.uniform(*what.inr_db))
            try:
                if full and what.offset_hz is None and what.kind in _NEW:
                    raise ValueError(f"emitters take {np.mean(mask > 1):.0%} of the rate; give an offset_hz or a wider rate_hz")
                if what.kind == RECORDING:
                    made = item
                    offset = _free(rng, plan, mask, made.width_hz) if what.offset_hz is None else what.offset_hz
                    gain = scaled(rng, inr_db, noise_density(plan) * made.width_hz, made.power)
                    bursts.append(Burst(start - made.lead, made, offset, gain))
                    rows = [(start, min(made.count, plan.n_samples - start), offset, made.width_hz, inr_db)]
                    more = {SOURCE: made.source}
                else:
                    drawn, rows = _drawn(plan, what, rng, start, round(item * plan.rate_hz), inr_db, mask, samples)
                    placed.append(drawn)
                    more = {}
            except ValueError as error:
                raise PlanError(f"{where} at {moment:.3f} s: {error}") from error
            notes += [truth_note(plan, begin, count, f"anomaly: {what.kind}", "injected; truth", offset, width)
                      | {EMITTER: f"anomaly-{index + 1}-{number}", KIND: what.kind, INR: round(level, 2)} | more
                      for begin, count, offset, width, level in rows if count > 0]
    return placed, bursts, notes


def _drawn(plan: Plan, what: AnomalyPlan, rng: np.random.Generator, start: int, count: int, inr_db: float, mask: np.ndarray,
           samples: Samples) -> tuple[Placed, list[tuple]]:
    """An anomaly of a simulated kind, and the rows (start, count, offset, width, level) of its truth.

    Raises:
        ValueError: it does not fit.
    """
    count = fft.next_fast_len(max(count, MIN_SAMPLES))  # its level takes transforms of this length
    start = min(start, plan.n_samples - count)
    if start < 0:
        raise ValueError(f"the recording of {plan.n_samples} samples is shorter than the anomaly, {count} samples")
    width = None if what.width_hz is None else float(rng.uniform(*what.width_hz))
    offset = what.offset_hz
    if what.kind == "chirp" and offset is None:
        width = width or float(rng.uniform(0.01, _DRAWN_SHARE)) * plan.rate_hz
        offset = _free(rng, plan, mask, width)
    background = power_spectrum(samples(start, count)) if what.kind in CHANGING else mask
    drawn = draw_anomaly(rng, what.kind, background, plan.rate_hz, count, level_db=inr_db, sample_start=0, sample_count=count,
                         freq_offset_hz=offset, bandwidth_hz=None if own_width(what.kind, plan.rate_hz) else width)
    made = Placed(start, start + count, drawn)
    if what.kind in CHANGING:
        rows = [(t.sample_start, t.sample_count, t.freq_center_hz, t.bandwidth_hz, t.level_db)
                for t in made.change(samples, plan.rate_hz)[1]]
    else:
        wide = drawn.params.get("dwell_width_hz", drawn.bandwidth_hz)
        rows = [(start + begin, n, f, wide, inr_db) for begin, n, f in drawn.dwells or [(0, count, drawn.freq_offset_hz)]]
    return made, rows


def _taken(plan: Plan, busy: Traffic) -> np.ndarray:
    """A power spectrum in which every channel of the plan stands out, used by the draws to find free places."""
    step = plan.rate_hz / _MASK_BINS
    freq = (np.arange(_MASK_BINS) - _MASK_BINS // 2) * step
    mask = np.ones(_MASK_BINS)
    for low, high, snr_db in busy.channels:
        spans = [(low, high)]
        if plan.receiver.iq_image_db is not None and snr_db + plan.receiver.iq_image_db > _VISIBLE_DB:
            spans.append((-high, -low))
        for a, b in spans:
            mask[(freq > a - 2 * step) & (freq < b + 2 * step)] = 100.0
    return mask


def _free(rng: np.random.Generator, plan: Plan, mask: np.ndarray, width: float) -> float:
    place = free_place(rng, channels_of(mask, plan.rate_hz), plan.rate_hz, width)
    if place is None:
        raise ValueError(f"no place of {width:g} Hz is free beside the emitters; give an offset_hz or fewer emitters")
    return place
