# SPDX-License-Identifier: GPL-3.0-or-later
"""The bursts and carriers of all emitters over the whole recording, with their truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ... import keys
from ..injections import note, own_width
from .cuts import BLEND_S, Cut, Library
from .plan import EmitterPlan, Plan
from .timing import generator, starts, windows

EMITTER = keys.SIGMF_PREFIX + "emitter"
SNR = keys.SIGMF_PREFIX + keys.SNR_DB
SOURCE = keys.SIGMF_PREFIX + "source"


@dataclass(frozen=True, slots=True)
class Burst:
    """A cut at a place of the recording.

    Attributes:
        first: sample at which it begins to rise; the burst itself begins ``cut.lead`` later.
        gain: factor with a phase.
    """

    first: int
    cut: Cut
    offset_hz: float
    gain: complex

    @property
    def end(self) -> int:
        return self.first + self.cut.length


@dataclass(frozen=True, slots=True)
class Carrier:
    """A carrier that is on in spans [begin, end) of samples."""

    offset_hz: float
    gain: complex
    spans: tuple[tuple[int, int], ...]


@dataclass
class Traffic:
    """What the emitters of a band send.

    Attributes:
        bursts: by their first sample.
        channels: (low, high, highest SNR in dB) of the frequencies in use, offsets from the centre.
        truth: SigMF annotations.
    """

    bursts: list[Burst]
    carriers: list[Carrier]
    channels: list[tuple[float, float, float]]
    truth: list[dict]


def traffic(plan: Plan, library: Library) -> Traffic:
    """Draws all bursts and carriers of a plan. The same plan and recordings give the same ones.

    Raises:
        PlanError: a pattern matches nothing, or a waveform does not fit.
    """
    out = Traffic([], [], [], [])
    for index, emitter in enumerate(plan.emitters):
        where = f"{plan.name}: emitters[{index}] {emitter.id!r}"
        carrier = emitter.continuous and emitter.waveform == "tone"
        cuts = [] if carrier else library.of_emitter(emitter, where, generator(plan.seed, f"cuts of {emitter.id}"))
        for number in range(emitter.count):
            name = emitter.id if emitter.count == 1 else f"{emitter.id}-{number + 1}"
            device = _Device(plan, emitter, name, generator(plan.seed, f"emitter {name}"),
                             generator(plan.seed, f"times of {name}"))
            if carrier:
                device.carry(out)
            elif emitter.continuous:
                device.stay(out, cuts)
            else:
                device.burst(out, cuts)
    out.bursts.sort(key=lambda b: b.first)
    return out


class _Device:
    """One device of an emitter's plan: its own level and frequency. Times have a generator of their own, so that a longer
    recording begins as a shorter one does."""

    def __init__(self, plan: Plan, emitter: EmitterPlan, name: str, rng: np.random.Generator, clock: np.random.Generator):
        self.plan, self.emitter, self.name, self.rng, self.clock = plan, emitter, name, rng, clock
        self.density = noise_density(plan)
        self.level_db = emitter.snr_db + emitter.device_db * rng.standard_normal()
        self.shift_hz = emitter.device_hz * rng.standard_normal()
        self.spans = windows(emitter, plan.start, plan.seconds)

    def draw(self, width_hz: float, power: float, by_burst: bool = True) -> tuple[float, float, complex]:
        """(frequency, SNR, gain) of a burst of this width and mean power."""
        offset = float(self.rng.choice(self.emitter.offset_hz)) + self.shift_hz
        snr_db = self.level_db
        if by_burst:
            offset += self.emitter.burst_hz * self.rng.standard_normal()
            snr_db += self.emitter.burst_db * self.rng.standard_normal()
        return offset, snr_db, scaled(self.rng, snr_db, self.density * width_hz, power)

    def burst(self, out: Traffic, cuts: list[Cut]) -> None:
        rate, total = self.plan.rate_hz, self.plan.n_samples
        mean_s = float(np.mean([c.count for c in cuts])) / rate

        def draw() -> tuple[float, Cut]:
            made = cuts[int(self.clock.integers(len(cuts)))]
            return made.count / rate, made

        for moment, made in starts(self.emitter, self.spans, self.clock, draw, duty=self.emitter.duty, mean_s=mean_s):
            start = round(moment * rate)
            offset, snr_db, gain = self.draw(made.width_hz, made.power)
            if start < total:
                out.bursts.append(Burst(start - made.lead, made, offset, gain))
                self.report(out, start, min(made.count, total - start), offset, made.width_hz, made.label, snr_db, made.source)
        width = max(c.width_hz for c in cuts)
        spread = 3 * self.emitter.burst_hz
        highest = self.level_db + 3 * self.emitter.burst_db
        out.channels += [(f + self.shift_hz - width / 2 - spread, f + self.shift_hz + width / 2 + spread, highest)
                         for f in self.emitter.offset_hz]

    def stay(self, out: Traffic, cuts: list[Cut]) -> None:
        """Pieces that overlap by the time in which they blend, all at one frequency and level."""
        rate, total = self.plan.rate_hz, self.plan.n_samples
        blend, wide = round(BLEND_S * rate), max(cuts, key=lambda c: c.width_hz)
        offset, snr_db, _ = self.draw(wide.width_hz, wide.power, by_burst=False)
        for begin, end in self.spans:
            first, stop = round(begin * rate), min(round(end * rate), total)
            place = first
            while place < stop:
                made = cuts[int(self.rng.integers(len(cuts)))]
                out.bursts.append(Burst(place, made, offset, scaled(self.rng, snr_db, self.density * made.width_hz, made.power)))
                place += max(made.count - blend, 1)
            if first < stop:
                self.report(out, first, stop - first, offset, wide.width_hz, wide.label, snr_db, wide.source)
        out.channels.append((offset - wide.width_hz / 2, offset + wide.width_hz / 2, snr_db))

    def carry(self, out: Traffic) -> None:
        rate, total = self.plan.rate_hz, self.plan.n_samples
        width = own_width("tone", rate) or 0.0
        offset, snr_db, gain = self.draw(width, 1.0, by_burst=False)
        spans = [(round(a * rate), min(round(b * rate), total)) for a, b in self.spans]
        out.carriers.append(Carrier(offset, gain, tuple(spans)))
        for first, stop in spans:
            self.report(out, first, stop - first, offset, width, "tone", snr_db, "tone")
        out.channels.append((offset - width / 2, offset + width / 2, snr_db))

    def report(self, out: Traffic, start: int, count: int, offset: float, width: float, label: str, snr_db: float,
               source: str) -> None:
        out.truth.append(truth_note(self.plan, start, count, label, "emitter; truth", offset, width)
                         | {EMITTER: self.name, SNR: round(snr_db, 2), SOURCE: source})


def truth_note(plan: Plan, start: int, count: int, label: str, comment: str, offset: float, width: float) -> dict:
    """An annotation with a box, whose edges are those of the part within the rate."""
    half = plan.rate_hz / 2
    low, high = max(offset - width / 2, -half), min(offset + width / 2, half)
    return note(start, count, label, comment, plan.freq_hz + (low + high) / 2, high - low)


def noise_density(plan: Plan) -> float:
    """Noise power per Hz."""
    return 10 ** (plan.receiver.noise_dbfs / 10) / plan.rate_hz


def scaled(rng: np.random.Generator, snr_db: float, noise: float, power: float) -> complex:
    """The factor that brings a signal of this power to snr_db over the noise, with a drawn phase."""
    return complex(np.sqrt(10 ** (snr_db / 10) * noise / power) * np.exp(2j * np.pi * rng.uniform()))
