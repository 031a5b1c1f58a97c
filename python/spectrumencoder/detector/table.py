# SPDX-License-Identifier: GPL-3.0-or-later
"""Conformal tables: the scores of normal frames, and hence the p-value and threshold of a new score.

For exchangeable frames p = (1 + #{table >= score}) / (n + 1) is at most a with a probability of at most a (Vovk; Bates et al.,
Annals of Statistics 2023, arXiv:2104.08279). Given the table, the realised false-alarm rate at nominal a is Beta distributed:
``Table.far_interval`` states its 90 % interval. Frames that follow each other in one recording, and boxes of several frames, are
not independent. The interval then uses ``effective_n`` instead of n. ``calibrate`` makes tables.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..encoder.model_file import ModelFile
from ..tokens.tokenize import optional_native_module
from .band_statistics import BandStatistics
from .box_search import BoxSearch
from .channels import HEAD, ChannelPlan, FlaggedFrame
from .frame_batch import FrameBatch
from .regions import Region
from .tail import Tail

MIN_SCORES = 200


def check_false_alarm_rate(value: float) -> float:
    """The rate as a float.

    Raises:
        ValueError: outside (0, 0.5].
    """
    if not 0.0 < value <= 0.5:
        raise ValueError(f"false_alarm_rate {value} is outside (0, 0.5]")
    return float(value)


def scores_needed(false_alarm_rate: float) -> int:
    """Smallest table for which the rate has a finite threshold, at least ``MIN_SCORES``."""
    return max(MIN_SCORES, math.ceil(1.0 / check_false_alarm_rate(false_alarm_rate) - 1e-9) - 1)


class Tuning(NamedTuple):
    """The place of a spectrum: centre frequency in Hz (0 if nobody knows it) and samples per second."""

    freq_hz: float
    samp_rate: float

    def __str__(self):
        return f"{self.freq_hz / 1e6:.10g} MHz and {self.samp_rate / 1e6:.10g} MS/s"

    def same_bins(self, other: Tuning, n_bins: int) -> bool:
        """Whether each of n_bins bins lies within half a bin of its place at the other tuning."""
        off = abs(self.freq_hz - other.freq_hz) + abs(self.samp_rate - other.samp_rate) / 2.0  # of the outermost bin
        return off <= 0.5 * min(self.samp_rate, other.samp_rate) / n_bins


@dataclass(frozen=True, eq=False)
class Table:
    """The calibration of one band and one setting of the encoder.

    Attributes:
        channels: names of the channels in use, C of ``channels.channel_names`` in its order.
        median, spread: (C,) float32; spread is the 99 % quantile less the median.
        scores: (n,) float32, ascending: fused scores of normal frames.
        effective_n: the number of independent frames that would tell as much as the n autocorrelated ones.
        window_hop: samples from one averaged spectrum to the next: with overlap a frame of the same K varies more.
        tuning: the only one that the band's statistics are right for.
        band: what each bin usually does. search: what its boxes do. All three are None if no fixed channel plan was learned.
        given_tail: how often higher scores come; None: it is fitted as for independent frames. See ``tail``.

    Raises:
        ValueError: the fields do not fit each other.
    """

    channels: tuple[str, ...]
    median: np.ndarray
    spread: np.ndarray
    scores: np.ndarray
    effective_n: float
    window_hop: int
    tuning: Tuning | None = None
    band: BandStatistics | None = None
    search: BoxSearch | None = None
    given_tail: Tail | None = None

    def __post_init__(self):
        object.__setattr__(self, "_plan", ChannelPlan(self.channels, self.search is not None))
        if not len(self.median) == len(self.spread) == len(self.channels) or not (np.asarray(self.spread) > 0).all():
            raise ValueError(f"conformal table with {len(self.median)} medians and {len(self.spread)} spreads (all must be "
                             f"positive) for {len(self.channels)} channels; calibrate again")
        if not len(self.scores) or not np.isfinite(self.scores).all() or (np.diff(self.scores) < 0).any():
            raise ValueError(f"conformal table whose {len(self.scores)} scores are not finite and ascending; calibrate again")
        if not (self.band is None) == (self.tuning is None) == (self.search is None):
            raise ValueError("conformal table with some of a band's statistics, box search and tuning, not all; calibrate again")
        if not self.window_hop >= 1:
            raise ValueError(f"conformal table with a window hop of {self.window_hop} samples, not 1 or more; calibrate again")
        object.__setattr__(self, "_centre", tuple(np.ascontiguousarray(x, np.float32) for x in (self.median, self.spread)))

    @property
    def n(self) -> int:
        return len(self.scores)

    def within(self, bins: slice) -> Table:
        """A table for frames that are judged by these bins alone. The head, which judges whole frames, is left out.

        The scores stay those of all bins: the false-alarm rate is kept, or is lower.
        """
        kept = [number for number, name in enumerate(self.channels) if name not in HEAD.names]
        return replace(self, channels=tuple(self.channels[number] for number in kept), median=self.median[kept],
                       spread=self.spread[kept], search=self.search.within(bins) if self.search is not None else None)

    @cached_property
    def tail(self) -> Tail:
        """How often scores come that are higher than nearly all of the table. It is fitted when first asked for."""
        return self.given_tail or Tail.fit(self.scores, ordered=False)

    def misfit(self, tuning: Tuning, window_hop: float) -> str:
        """Why the table does not hold for frames of this tuning and window hop; empty if it does."""
        if window_hop != self.window_hop:
            return (f"was learned with {self.window_hop} samples from spectrum to spectrum, here they are {window_hop:g}: "
                    "another overlap")
        if self.tuning is not None and not self.tuning.same_bins(tuning, len(self.band.mean)):
            return f"has statistics per bin of {self.tuning}, here it is {tuning}"
        return ""

    # -- scoring

    def deviation(self, residual: np.ndarray, level: np.ndarray) -> np.ndarray:
        """Deviation of each bin, (..., N) float32, in units of what each bin does on this band.

        Args:
            residual: (..., N), the model's: the result if no band was learned. level: (..., N), dB over the floor.

        Raises:
            ValueError: the table was learned with another number of bins.
        """
        return np.asarray(residual, np.float32) if self.band is None else self.band.standardise(level)

    def values(self, batch: FrameBatch) -> np.ndarray:
        """The channels' values (F, all) float32, before they are standardised; on a learned band the batch has `rows`."""
        return self._plan.values(batch)

    def fuse(self, values: np.ndarray) -> np.ndarray:
        """Fused score (F,) float32: the largest standardised channel of ``values``. 0 is the median, 1 the 99 % quantile."""
        return largest_standardised(values, self._plan.columns, *self._centre)

    @cached_property
    def normalisers(self) -> dict[str, tuple[float, float]]:
        """(median, spread) of each channel."""
        return {c: (float(m), float(s)) for c, m, s in zip(self.channels, self.median, self.spread, strict=True)}

    def shown(self, values: np.ndarray) -> dict[str, float]:
        """Standardised value of each channel of one frame, from a row of ``values``."""
        row = values[self._plan.columns]
        return {c: (float(v) - m) / s for v, (c, (m, s)) in zip(row, self.normalisers.items(), strict=True)}

    def locate(self, flagged: FlaggedFrame) -> list[Region]:
        """The regions that speak for a flagged frame's score; none if all that spoke for it is over."""
        return self._plan.locate(flagged)

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """(1 + #{table >= score}) / (n + 1), (F,) -> (F,) float64."""
        below = np.searchsorted(self.scores, np.asarray(scores, np.float32), side="left")
        return (1.0 + self.n - below) / (self.n + 1.0)

    def threshold(self, false_alarm_rate: float) -> float:
        """A score above this has p <= false_alarm_rate; inf if the table is too small for the rate."""
        rank = math.ceil((self.n + 1) * (1.0 - check_false_alarm_rate(false_alarm_rate)) - 1e-9)
        return float(self.scores[rank - 1]) if rank <= self.n else math.inf

    def opening(self, false_alarm_rate: float, false_events_per_hour: float, frame_s: float) -> float:
        """A score above this opens an event: at least the threshold, and as rare as the false events per hour that are allowed.

        The rarity is an estimate, by the tail of the table. frame_s: seconds from frame to frame.
        """
        rate, threshold = false_events_per_hour * frame_s / 3600.0, self.threshold(false_alarm_rate)
        return threshold if rate >= self.tail.rate else max(threshold, self.tail.level(rate))

    def far_interval(self, false_alarm_rate: float, coverage: float = 0.9) -> tuple[float, float]:
        """Central interval of the realised false-alarm rate of this table's threshold (a Beta distribution)."""
        from scipy.special import betaincinv
        exceed = max(1.0, math.floor((self.effective_n + 1.0) * check_false_alarm_rate(false_alarm_rate) + 1e-9))
        rest = max(self.effective_n + 1.0 - exceed, 1.0)
        tail = (1.0 - coverage) / 2.0
        return float(betaincinv(exceed, rest, tail)), float(betaincinv(exceed, rest, 1.0 - tail))

    def describe(self, false_alarm_rate: float = 0.01) -> str:
        """Plain language, three lines."""
        low, high = self.far_interval(false_alarm_rate)
        plan = "no per-bin statistics"
        if self.tuning is not None:
            plan = f"a mean and deviation per bin and {len(self.band.components)} components, for {self.tuning} alone"
        return (f"{self.n} frames that count as {self.effective_n:.0f} independent ones; {plan}; "
                f"{self._plan.words()}\n"
                f"scores of normal frames: median {np.median(self.scores):.2f}, largest {self.scores[-1]:.2f}\n"
                f"threshold {self.threshold(false_alarm_rate):.2f} for a false-alarm rate of {100 * false_alarm_rate:g} %; "
                f"expect {100 * low:.2g} to {100 * high:.2g} % on this band (90 % interval)")

    # -- the model file's form

    def to_tensors(self) -> dict[str, np.ndarray]:
        """Arrays by field name, as stored in a model file."""
        tensors = {
            "channels": np.frombuffer(",".join(self.channels).encode(), np.uint8).copy(),
            "median": np.asarray(self.median, np.float32), "spread": np.asarray(self.spread, np.float32),
            "scores": np.asarray(self.scores, np.float32), "n": np.array([self.n], np.int64),
            "effective_n": np.array([self.effective_n], np.float64), "window_hop": np.array([self.window_hop], np.int64),
            "tail": np.array(self.tail, np.float64),
        }
        if self.tuning is not None:
            tensors |= {"band_mean": self.band.mean, "band_std": self.band.std, "band_components": self.band.components,
                        "scan_median": self.search.median, "scan_up": self.search.up, "scan_down": self.search.down,
                        "freq_hz": np.array([self.tuning.freq_hz], np.float64),
                        "samp_rate": np.array([self.tuning.samp_rate], np.float64)}
        return tensors

    @classmethod
    def from_tensors(cls, tensors: dict[str, np.ndarray]) -> Table:
        """Inverse of ``to_tensors``.

        Raises:
            ValueError: a field is missing or does not fit the others.
        """
        try:
            tuning = Tuning(_scalar(tensors, "freq_hz"), _scalar(tensors, "samp_rate")) if "freq_hz" in tensors else None
            band = BandStatistics(*(np.asarray(tensors[f"band_{k}"], np.float32) for k in ("mean", "std", "components"))) \
                if tuning else None
            search = BoxSearch(len(band.mean), *(np.asarray(tensors[f"scan_{k}"], np.float32)
                                                 for k in ("median", "up", "down"))) if tuning else None
            table = cls(tuple(bytes(np.asarray(tensors["channels"], np.uint8)).decode().split(",")),
                        np.asarray(tensors["median"], np.float32), np.asarray(tensors["spread"], np.float32),
                        np.asarray(tensors["scores"], np.float32), _scalar(tensors, "effective_n"),
                        int(_scalar(tensors, "window_hop")), tuning, band, search,
                        Tail(*np.asarray(tensors["tail"], np.float64).tolist()) if "tail" in tensors else None)
        except (KeyError, UnicodeDecodeError, IndexError, TypeError) as error:
            raise ValueError(f"conformal table without a valid {error}; calibrate again") from error
        if int(np.asarray(tensors.get("n", [table.n])).ravel()[0]) != table.n:
            raise ValueError(f"conformal table that states n = {tensors['n'][0]} and holds {table.n} scores; calibrate again")
        return table


def largest_standardised(values: np.ndarray, columns: np.ndarray, median: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """The largest (value - median) / spread of each frame, (F, all) -> (F,) float32; NaN if one is not a number.

    Args:
        columns: (C,) uint32, those that count. median, spread: (C,) float32.
    """
    native = optional_native_module()
    if native is None:
        return ((values[:, columns] - median) / spread).max(axis=1)
    return native.largest_standardised(values, columns, median, spread)


def read_tables(model: ModelFile) -> dict[str, Table]:
    """The conformal tables of a model file, by table key.

    Raises:
        ValueError: one is damaged; names it.
    """
    tables = {}
    for key, tensors in model.tables.items():
        try:
            tables[key] = Table.from_tensors(tensors)
        except ValueError as error:
            raise ValueError(f"{model.path or model.name}: table {key}: {error}") from error
    return tables


def _scalar(tensors: dict[str, np.ndarray], name: str) -> float:
    return float(np.asarray(tensors[name]).ravel()[0])
