# SPDX-License-Identifier: GPL-3.0-or-later
"""Converts frequency ranges to tuning frequencies on a grid of FFT bins, so that hops join without resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

Range = tuple[float, float]
MAX_HZ, MAX_BINS = 1e12, 1 << 26  # of a range's ends; of the row that joins all hops of a range


def parse_ranges(text: str) -> list[Range]:
    """[(88e6, 108e6), ...] of "88e6:108e6,433e6:435e6", Hz, in the order given.

    Raises:
        ValueError: one line that says how a range is written.
    """
    ranges = []
    for part in filter(None, (piece.strip() for piece in str(text).split(","))):
        low, colon, high = part.partition(":")
        try:
            ends = float(low), float(high)
        except ValueError:
            ends = (0.0, 0.0)
        if not colon or not 0 < ends[0] < ends[1] <= MAX_HZ:
            raise ValueError(f"range {part!r} is not LOW:HIGH in Hz up to {MAX_HZ:g}, such as 88e6:108e6")
        ranges.append(ends)
    if not ranges:
        raise ValueError(f"ranges {text!r} holds none; write LOW:HIGH in Hz, such as 88e6:108e6,433e6:435e6")
    return ranges


@dataclass(frozen=True)
class RangePlan:
    """One range as a row of bins, and the bins of that row to tune to.

    Attributes: low_hz: of bin 0 of the row; bin_hz; n_bins: of the row; fft_size; half: bins of an FFT that are used to each side
    of its centre; spare: bins by which all centres may be shifted together; centers: bins of the row.
    """

    low_hz: float
    bin_hz: float
    n_bins: int
    fft_size: int
    half: int
    spare: int
    centers: tuple[int, ...]

    def frequency_hz(self, bin_number: float) -> float:
        return self.low_hz + bin_number * self.bin_hz

    def bin_of(self, frequency_hz: float) -> float:
        return (frequency_hz - self.low_hz) / self.bin_hz


@dataclass(frozen=True)
class ScanPlan:
    """All ranges of a scan.

    Args:
        ranges: Hz.
        samp_rate, fft_size: of the spectra to come.
        usable: share of the band around its centre that is used, (0, 1]: the filter's flat part.
        overlap: share of the usable band that neighbouring hops have in common, [0, 0.9]. From 0.5 on each bin is also seen
            off-centre.
        jitter: share of the usable band by which the centres move from sweep to sweep, [0, 0.4]. The receiver's own spurs
            then stay in place within the band and move in the row.

    Raises:
        ValueError: an argument is out of range.
    """

    ranges: list[Range]
    samp_rate: float
    fft_size: int
    usable: float = 0.8
    overlap: float = 0.0
    jitter: float = 0.0
    plans: list[RangePlan] = field(init=False)

    def __post_init__(self):
        for name, low, high in (("usable", 0.05, 1.0), ("overlap", 0.0, 0.9), ("jitter", 0.0, 0.4)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} {getattr(self, name):g} is outside {low:g}..{high:g}")
        if not 0 < self.samp_rate < math.inf:
            raise ValueError(f"samp_rate {self.samp_rate:g} is not a positive number of samples per second")
        object.__setattr__(self, "plans", [self._plan(low, high) for low, high in self.ranges])

    def _plan(self, low: float, high: float) -> RangePlan:
        bin_hz = self.samp_rate / self.fft_size
        if (high - low) / bin_hz > MAX_BINS:
            raise ValueError(f"range {low:g}:{high:g} has {(high - low) / bin_hz:.3g} bins of {bin_hz:g} Hz, of which {MAX_BINS} "
                             "are possible; give a narrower range, or a larger rate")
        n_bins = int((high - low) / bin_hz) + 1
        half = max(1, int(self.usable * self.fft_size / 2))
        spare = min(int(self.jitter * 2 * half), half - 1)
        reach = half - spare  # covered to each side of a hop, whatever its shift
        if n_bins <= 2 * reach:
            centers = [n_bins // 2]
        else:
            step = max(1, int(2 * reach * (1.0 - self.overlap)))
            first, last = reach, n_bins - reach
            count = math.ceil((last - first) / step) + 1
            centers = [first + round(number * (last - first) / (count - 1)) for number in range(count)]
        return RangePlan(low, bin_hz, n_bins, self.fft_size, half, spare, tuple(centers))

    @property
    def n_hops(self) -> int:
        return sum(len(plan.centers) for plan in self.plans)
