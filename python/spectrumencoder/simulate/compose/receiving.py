# SPDX-License-Identifier: GPL-3.0-or-later
"""What the receiver does to a band: drifts, gain steps, impulses, the filter, the converter, lost samples."""

from __future__ import annotations

import numpy as np

from ..injections import note
from ..receivers import Receiver
from ..signal import phasor
from .plan import Life, Plan
from .timing import Ordered, generator, starts, windows

Spell = tuple[int, int, float]  # begin and end in samples, level in dB
_BITS = {"ci8": 8, "cu8": 8, "ci16_le": 16, "cf32_le": None}


class Receiving:
    """The receiver of a plan, with everything that happens to it drawn for the whole recording. truth: SigMF annotations."""

    def __init__(self, plan: Plan):
        what, self._plan = plan.receiver, plan
        rng = generator(plan.seed, "receiver")
        # The data type rounds and clips by itself
        bits = what.bits if what.bits != _BITS[plan.datatype] else None
        self.receiver = Receiver(passband=what.passband, rolloff=what.rolloff, stop_db=what.stop_db, ripple_db=what.ripple_db,
                                 tilt_db=what.tilt_db, iq_image_db=what.iq_image_db, dc_dbfs=what.dc_dbfs, bits=bits,
                                 seed=int(rng.integers(1 << 31)))
        self._phases = rng.uniform(0, 2 * np.pi, 2)
        self._lnb_phase = float(generator(plan.seed, "LNB drift").uniform(0, 2 * np.pi))
        self.truth: list[dict] = []
        if what.lnb_drift_hz:
            self.truth.append(note(0, plan.n_samples, "receiver: LNB drift", f"{what.lnb_drift_hz:g} Hz; truth"))
        self._steps = self._drawn("gain step", what.gain_steps, "hold_s", "step_db", "gain {:+.1f} dB")
        self._losses = self._drawn("loss", what.losses, "length_s", None, "zeros for lost samples")
        self._impulses = self._drawn("impulse", what.impulses, "length_s", "level_db", "")
        self.gains = bool(what.gain_drift_db or len(self._steps))

    def gain(self, first: int, count: int) -> np.ndarray:
        """Amplitude factor (count,) float32 of samples from ``first`` on. The filter smooths its steps."""
        what, rate = self._plan.receiver, self._plan.rate_hz
        ends = np.array([first, first + count]) / rate
        turns = 2 * np.pi * ends[:, None] / what.gain_drift_s * np.array([1.0, 2.7]) + self._phases
        low, high = what.gain_drift_db / 2 * (np.sin(turns) @ np.array([0.7, 0.3]))
        decibel = np.linspace(low, high, count, endpoint=False, dtype=np.float32)
        for start, stop, step_db in _within(self._steps, first, count):
            decibel[start:stop] += np.float32(step_db)
        return np.exp(decibel * np.float32(np.log(10) / 20))

    def drift_hz(self, sample: np.ndarray) -> np.ndarray:
        """Shift of all frequencies at these samples, in Hz: that of the LNB."""
        what = self._plan.receiver
        return what.lnb_drift_hz / 2 * np.sin(self._lnb_angle(sample))

    def shift(self, iq: np.ndarray, first: int) -> np.ndarray:
        """Samples (n,) from ``first`` on as the LNB shifts them."""
        what = self._plan.receiver
        if not what.lnb_drift_hz:
            return iq
        # The integral of drift_hz, in cycles
        cycles = -what.lnb_drift_hz * what.lnb_drift_s / (4 * np.pi) * np.cos(self._lnb_angle(first + np.arange(len(iq))))
        return iq * phasor(cycles)

    def drifted(self, notes: list[dict]) -> list[dict]:
        """Annotations whose boxes hold all frequencies to which the LNB shifts them."""
        if not self._plan.receiver.lnb_drift_hz:
            return notes
        return [self._drifted(row) if "core:freq_lower_edge" in row else row for row in notes]

    def _drifted(self, row: dict) -> dict:
        start, count = row["core:sample_start"], row["core:sample_count"]
        turns = count / self._plan.rate_hz / self._plan.receiver.lnb_drift_s
        shift = self.drift_hz(start + np.linspace(0, count, 2 + min(1000, int(64 * turns))))
        return row | {"core:freq_lower_edge": row["core:freq_lower_edge"] + float(shift.min()),
                      "core:freq_upper_edge": row["core:freq_upper_edge"] + float(shift.max())}

    def _lnb_angle(self, sample: np.ndarray) -> np.ndarray:
        return 2 * np.pi / (self._plan.rate_hz * self._plan.receiver.lnb_drift_s) * sample + self._lnb_phase

    def add_impulses(self, iq: np.ndarray, first: int) -> None:
        """Adds the impulses to samples (n,) from ``first`` on, in place."""
        noise_dbfs = self._plan.receiver.noise_dbfs
        for number, (begin, end, level_db) in self._impulses.touching(first, len(iq)):
            rng = generator(self._plan.seed, "impulse", number)
            shape = rng.standard_normal((end - begin, 2)) @ np.array([1, 1j]) * 10 ** ((noise_dbfs + level_db) / 20) / np.sqrt(2)
            low, high = max(begin, first), min(end, first + len(iq))
            iq[low - first:high - first] += shape[low - begin:high - begin].astype(np.complex64)

    def lose(self, iq: np.ndarray, first: int) -> np.ndarray:
        """Samples (n,) from ``first`` on, with zeros for the lost ones."""
        lost = _within(self._losses, first, len(iq))
        if lost:
            iq = iq.copy()
        for start, stop, _ in lost:
            iq[start:stop] = 0
        return iq

    def _drawn(self, title: str, life: Life | None, length: str, level: str | None, comment: str) -> Ordered[Spell]:
        """The spells of a life, each with an annotation; impulses have one for each span of their life."""
        if life is None:
            return Ordered([], _ends)
        plan, rng = self._plan, generator(self._plan.seed, title)
        lengths, levels = getattr(life, length), getattr(life, level) if level else (0.0, 0.0)

        def draw() -> tuple[float, tuple[float, float]]:
            seconds = float(rng.uniform(*lengths))
            return seconds, (seconds, float(rng.uniform(*levels)))

        out, spans = [], windows(life, plan.start, plan.seconds)
        for moment, (seconds, decibel) in starts(life, spans, rng, draw, mean_s=sum(lengths) / 2):
            begin = round(moment * plan.rate_hz)
            end = min(begin + max(1, round(seconds * plan.rate_hz)), plan.n_samples)
            if begin < end:
                out.append((begin, end, decibel))
        marked = [(a, b, comment.format(decibel)) for a, b, decibel in out]
        if title == "impulse":
            marked = [(round(a * plan.rate_hz), round(b * plan.rate_hz), "impulses every now and then") for a, b in spans]
        self.truth += [note(a, b - a, f"receiver: {title}", f"{text}; truth") for a, b, text in marked]
        return Ordered(out, _ends)


def _within(items: Ordered[Spell], first: int, count: int) -> list[Spell]:
    """The spells, counted from sample ``first`` and cut to [0, count)."""
    return [(max(0, a - first), min(count, b - first), level) for _, (a, b, level) in items.touching(first, count)]


def _ends(spell: Spell) -> tuple[int, int]:
    return spell[:2]
