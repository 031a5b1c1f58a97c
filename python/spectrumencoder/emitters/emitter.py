# SPDX-License-Identifier: GPL-3.0-or-later
"""An emitter: what is known of one source of signals, and how far its next burst may go beyond that.

Each quantity (level, centre, width, length, gap) is a running mean and variance with a prior. The next value follows Student's t
distribution then (Gelman et al., Bayesian Data Analysis, 3rd ed., section 3.3): an emitter that was heard twice may surprise, one
that was heard a hundred times may not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, fields
from typing import Any

import numpy as np

from .waveform import Waveform

_PRIOR_WEIGHT = 8.0  # observations that the prior variance counts for


@dataclass
class Running:
    """Running count, mean, sum of squared deviations, min and max of a quantity."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def add(self, value: float):
        """Takes a value (Welford 1962)."""
        self.count += 1
        change = value - self.mean
        self.mean += change / self.count
        self.squares += change * (value - self.mean)
        self.low, self.high = min(self.low, value), max(self.high, value)

    def scale(self, prior: float) -> float:
        """Standard deviation of the next value, with a prior one."""
        freedom = _PRIOR_WEIGHT + max(self.count - 1, 0)
        return math.sqrt((_PRIOR_WEIGHT * prior**2 + self.squares) / freedom * (1.0 + 1.0 / max(self.count, 1)))

    def reach(self, prior: float, sigmas: float) -> float:
        """How far from the mean the next value may lie: the quantile of Student's t that a normal one has at `sigmas`.

        By the first terms of the expansion of Cornish and Fisher (Abramowitz and Stegun, 26.7.5).
        """
        freedom = _PRIOR_WEIGHT + max(self.count - 1, 0)
        z = sigmas
        t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        return t * self.scale(prior)


@dataclass
class Emitter:
    """A source of signals.

    Attributes:
        id: number in its band file. name: given by the operator.
        center_hz, log_width, level_db, log_length, log_gap: see the module; widths in Hz, lengths and gaps in s,
            levels in dB over the background.
        begins: of a new emitter, how its bursts begin: lists of centre (Hz), log width, level (dB) and how often.
        power_dbfs: of its last burst.
        first_s, last_s: POSIX time of its first and last sign. count: bursts.
        belongs: it is usual on this band. accepted: because the operator said so. learned: it was there while learning.
        on_s: how long it was on, s, while it was new. steady: it is there all the time. gone: it has been silent for longer than
            it ever was.
        labels: class -> sum of probabilities. waveform: what its transmissions look like.
        hops_hz: centres of its hop set, in the order in which they were heard; empty if it does not hop. center_hz is that of
            the first. hopped: how often it was seen to hop while it was new.
        part_of: number of the steady emitter that this one is a part of, see ``parts``; 0: of none.
        parts: further bursts that began with its first one, and growth of that. Its place is where any of them was.
        profile: largest power over the background by bin; profile_low_hz: of its first bin; profile_bin_hz: width of a bin.
    """

    id: int
    first_s: float
    last_s: float
    center_hz: Running = field(default_factory=Running)
    log_width: Running = field(default_factory=Running)
    level_db: Running = field(default_factory=Running)
    log_length: Running = field(default_factory=Running)
    log_gap: Running = field(default_factory=Running)
    power_dbfs: float = -math.inf
    count: int = 0
    name: str = ""
    belongs: bool = False
    accepted: bool = False
    learned: bool = False
    steady: bool = False
    gone: bool = False
    parts: int = 0
    part_of: int = 0
    on_s: float = 0.0
    hopped: int = 0
    labels: Counter = field(default_factory=Counter)
    waveform: Waveform = field(default_factory=Waveform)
    hops_hz: list[float] = field(default_factory=list)
    begins: list[list[float]] = field(default_factory=list)
    profile: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    profile_low_hz: float = 0.0
    profile_bin_hz: float = 1.0

    @property
    def bandwidth_hz(self) -> float:
        return math.exp(self.log_width.mean) if self.log_width.count else 0.0

    @property
    def low_hz(self) -> float:
        return self.center_hz.mean - 0.5 * self.bandwidth_hz

    @property
    def high_hz(self) -> float:
        return self.center_hz.mean + 0.5 * self.bandwidth_hz

    def places(self) -> list[tuple[float, float]]:
        """Lowest and highest frequency of each of its places, Hz: one, or one for each hop."""
        half = 0.5 * self.bandwidth_hz
        return [(hop - half, hop + half) for hop in self.hops_hz] or [(self.low_hz, self.high_hz)]

    @property
    def label(self) -> str | None:
        return self.labels.most_common(1)[0][0] if self.labels else None

    @property
    def confidence(self) -> float | None:
        total = sum(self.labels.values())
        return self.labels.most_common(1)[0][1] / total if total > 0 else None

    def overdue_s(self, per_gap: float) -> float:
        """Silence, in s, that a gap exceeds with probability `per_gap`.

        Gaps are taken to be exponential. Their mean is known from the gaps heard alone, so that the next one follows a Lomax
        distribution.
        """
        count = self.log_gap.count
        if not count:
            return math.inf
        mean = self.gap_sum_s / count
        return count * mean * (per_gap ** (-1.0 / (count + 1.0)) - 1.0)

    gap_sum_s: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON takes them: a running quantity as its five numbers, what is infinite as None."""
        rows = {name: _finite(getattr(self, name)) for name in _PLAIN}
        rows |= {name: [_finite(v) for v in astuple(getattr(self, name))] for name in _RUNNING}
        return rows | {"labels": dict(self.labels), "profile": [round(float(p), 3) for p in self.profile],
                       "hops_hz": list(self.hops_hz), "begins": [list(begin) for begin in self.begins],
                       "waveform": self.waveform.as_dict()}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Emitter:
        """The emitter that ``as_dict`` made a dict of; fields that it does not know are left out.

        Raises:
            KeyError, TypeError, ValueError: a field is missing or of another kind.
        """
        values = {name: -math.inf if row[name] is None else row[name] for name in _PLAIN if name in row}
        for name in _RUNNING:
            count, mean, squares, low, high = row[name]
            values[name] = Running(int(count), float(mean), float(squares), math.inf if low is None else float(low),
                                   -math.inf if high is None else float(high))
        values["part_of"] = int(row.get("part_of", 0))
        profile = np.array(row["profile"], np.float64)
        if profile.ndim != 1 or not (np.abs(profile) < 1e30).all():
            raise ValueError(f"the profile of emitter {values.get('id')} is no list of finite numbers")
        return cls(**values, labels=Counter(row["labels"]), hops_hz=[float(hop) for hop in row["hops_hz"]],
                   begins=[[float(number) for number in begin] for begin in row["begins"]],
                   profile=profile.astype(np.float32),
                   waveform=Waveform.from_dict(row["waveform"]) if "waveform" in row else Waveform())


_RUNNING = tuple(f.name for f in fields(Emitter) if f.default_factory is Running)
_PLAIN = tuple(f.name for f in fields(Emitter) if f.name not in (*_RUNNING, "labels", "profile", "hops_hz", "begins", "waveform"))


def _finite(value):
    return None if isinstance(value, float) and not math.isfinite(value) else value
