# SPDX-License-Identifier: GPL-3.0-or-later
"""Split-conformal calibration: what normal frames score, and hence the p-value and threshold of a new score.

Of the frames one part tells what each bin and each box of the band usually does, one the median and spread of each channel, and
one, the table, what normal frames score, so that a table's scores and a new frame's have been treated alike. Where a band is
learned the parts take turns in blocks of 32 frames, spread over a long calibration: an emitter that is on for a half of it is
then known on and off. For exchangeable frames p = (1 + #{table >= score}) / (n + 1) is at most a with
a probability of at most a (Vovk; Bates et al., Annals of Statistics 2023, arXiv:2104.08279). Given the table, the realised
false-alarm rate at nominal a is Beta distributed; ``Table.far_interval`` states its 90 % interval. Frames that follow each other
in one recording, and boxes of several frames, are not independent: the interval then uses ``effective_n`` instead of n.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..encoder import features as layout
from .band_statistics import BandStatistics
from .box_search import BOX_CHANNELS, HISTORY, BoxSearch, frame_rows
from .scores import BAND_CHANNELS, CHANNELS, FLOOR, HEAD, FloorTrack, channel_values, largest_standardised
from .tail import Tail

MAX_SCORES = 20_000  # kept in a table, evenly spaced in time
MIN_SCORES = 200
NORMALISER_SHARE, MIN_NORMALISER, MAX_NORMALISER = 0.25, 64, 4096  # frames for the normalisers
# Where a band is learned, blocks of so many frames in turn are for the band, the table, or the normalisers: MAX_BAND frames at
# most, taken evenly from the first SPREAD; all others are for the table
TURN_FRAMES, TURNS, MAX_BAND, SPREAD = 32, "BTBNBT", 4096, 32_768
# least spread of a channel: a receiver of perfectly steady gain must not turn 0.01 dB into an alarm
MIN_SPREAD = {name: 0.05 for name in (*CHANNELS, *BAND_CHANNELS)} | {FLOOR: 0.25}


class TooFewFrames(ValueError):
    """Calibration with fewer frames than the false-alarm rate needs; ``needed`` says how many."""

    def __init__(self, n_frames: int, needed: int, false_alarm_rate: float):
        self.n_frames, self.needed = n_frames, needed
        super().__init__(f"{n_frames} frames are too few to calibrate a false-alarm rate of {false_alarm_rate:g}: "
                         f"{needed} are needed; give a longer recording, or a higher false-alarm rate")


def check_false_alarm_rate(value: float) -> float:
    """The rate as a float.

    Raises:
        ValueError: outside (0, 0.5].
    """
    if not 0.0 < value <= 0.5:
        raise ValueError(f"false_alarm_rate {value} is outside (0, 0.5]")
    return float(value)


def parts_of(n_frames: int, per_bin: bool = True) -> np.ndarray:
    """What each of the n_frames first frames is for, (n_frames,) of "B" the band, "N" the normalisers, "T" the table."""
    if not per_bin:
        first = min(max(int(NORMALISER_SHARE * n_frames), MIN_NORMALISER), MAX_NORMALISER)
        return np.where(np.arange(n_frames) < first, "N", "T")
    most = MAX_BAND // TURN_FRAMES
    blocks = np.arange(-(-min(n_frames, SPREAD) // TURN_FRAMES))
    turn = blocks * most // max(most, len(blocks))
    of_block = np.where(np.diff(turn, prepend=-1) > 0, np.array(list(TURNS))[turn % len(TURNS)], "T")
    parts = np.full(n_frames, "T")
    parts[:SPREAD] = np.repeat(of_block, TURN_FRAMES)[:n_frames]
    return parts


def table_frames(n_frames: int, per_bin: bool = True) -> int:
    """How many of n_frames the table gets."""
    return int(np.count_nonzero(parts_of(n_frames, per_bin) == "T"))


def scores_needed(false_alarm_rate: float) -> int:
    """Table size from which the rate has a finite threshold, and not fewer than ``MIN_SCORES``."""
    return max(MIN_SCORES, math.ceil(1.0 / check_false_alarm_rate(false_alarm_rate) - 1e-9) - 1)


def frames_needed(false_alarm_rate: float, per_bin: bool = True) -> int:
    """Frames that a calibration for this rate takes, those for the normalisers included."""
    table = scores_needed(false_alarm_rate)
    n_frames = table + MIN_NORMALISER
    while (missing := table - table_frames(n_frames, per_bin)) > 0:
        n_frames += missing
    return n_frames


class Tuning(NamedTuple):
    """Where the spectrum lies: centre frequency in Hz (0 where nobody knows it) and samples per second."""

    freq_hz: float
    samp_rate: float

    def __str__(self):
        return f"{self.freq_hz / 1e6:.10g} MHz and {self.samp_rate / 1e6:.10g} MS/s"

    def same_bins(self, other: Tuning, n_bins: int) -> bool:
        """Whether each of n_bins bins lies within half a bin of where it lies at the other tuning."""
        off = abs(self.freq_hz - other.freq_hz) + abs(self.samp_rate - other.samp_rate) / 2.0  # of the outermost bin
        return off <= 0.5 * min(self.samp_rate, other.samp_rate) / n_bins


@dataclass(frozen=True, eq=False)
class Table:
    """What was learned about one band and one setting of the encoder.

    Attributes:
        channels: names of the channels in use, a subset of ``scores.CHANNELS`` (with a band, ``BAND_CHANNELS``) in its order.
        median, spread: (C,) float32; spread is the 99 % quantile less the median.
        scores: (n,) float32, ascending: fused scores of normal frames.
        effective_n: as many independent frames would tell as much as the n autocorrelated ones.
        window_hop: samples from one averaged spectrum to the next: with overlap a frame of the same K varies more.
        tuning: the only one that the band's statistics are right for.
        given_tail: how often higher scores come; None: it is fitted as of independent frames. See ``tail``.
        band: what each bin usually does. scan: what its boxes do. All three None where no fixed channel plan was learned.
    """

    channels: tuple[str, ...]
    median: np.ndarray
    spread: np.ndarray
    scores: np.ndarray
    effective_n: float
    window_hop: int
    tuning: Tuning | None = None
    band: BandStatistics | None = None
    scan: BoxSearch | None = None
    given_tail: Tail | None = None

    def __post_init__(self):
        known = CHANNELS if self.scan is None else BAND_CHANNELS
        unknown = [c for c in self.channels if c not in known]
        if unknown or not self.channels:
            raise ValueError(f"conformal table with channels {', '.join(unknown) or 'none'}; known are {', '.join(known)}; "
                             "calibrate again")
        if not len(self.median) == len(self.spread) == len(self.channels) or not (np.asarray(self.spread) > 0).all():
            raise ValueError(f"conformal table with {len(self.median)} medians and {len(self.spread)} spreads (all must be "
                             f"positive) for {len(self.channels)} channels")
        if not len(self.scores) or not np.isfinite(self.scores).all() or (np.diff(self.scores) < 0).any():
            raise ValueError(f"conformal table whose {len(self.scores)} scores are not finite and ascending")
        if not (self.band is None) == (self.tuning is None) == (self.scan is None):
            raise ValueError("conformal table with some of a band's statistics, scan and tuning, not all: incomplete")
        if not self.window_hop >= 1:
            raise ValueError(f"conformal table with a window hop of {self.window_hop} samples")
        object.__setattr__(self, "_columns", np.array([known.index(c) for c in self.channels], np.uint32))
        object.__setattr__(self, "_centre", tuple(np.ascontiguousarray(x, np.float32) for x in (self.median, self.spread)))

    @property
    def n(self) -> int:
        return len(self.scores)

    @cached_property
    def tail(self) -> Tail:
        """How often scores come that are higher than nearly all of the table. A model file holds many tables; few are asked."""
        return self.given_tail or Tail.fit(self.scores, ordered=False)

    def misfit(self, tuning: Tuning, window_hop: float) -> str:
        """Why the table does not hold for frames of this tuning and window hop; empty where it does."""
        if window_hop != self.window_hop:
            return (f"was learned with {self.window_hop} samples from spectrum to spectrum, here they are {window_hop:g}: "
                    "another overlap")
        if self.tuning is not None and not self.tuning.same_bins(tuning, len(self.band.mean)):
            return f"has statistics per bin of {self.tuning}, here it is {tuning}"
        return ""

    # -- scoring

    def deviation(self, residual: np.ndarray, level: np.ndarray) -> np.ndarray:
        """Deviation of each bin, (..., N) float32: of the level (..., N), dB over the floor, in units of what each bin does
        on this band; the model's residual where no band was learned.

        Raises:
            ValueError: the table was learned with another number of bins.
        """
        return np.asarray(residual, np.float32) if self.band is None else self.band.standardise(level)

    def rows(self, level: np.ndarray, history: np.ndarray | None = None) -> np.ndarray | None:
        """(HISTORY + F, P): what the boxes of frames of these levels (F, N) show, after `history`, the last rows before them
        (None: what is usual). None where no band was learned."""
        if self.scan is None:
            return None
        return _rows(self.band, self.scan, level, history)

    def channel_values(self, residual: np.ndarray, logit: np.ndarray, floor_deviation_db: np.ndarray,
                       rows: np.ndarray | None) -> np.ndarray:
        """All channels (F, C) of frames; see ``scores.channel_values``."""
        return channel_values(residual, logit, floor_deviation_db, self.scan, rows)

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Channel values (F, all) -> (F, C) float32: 0 is the median, 1 the 99 % quantile of normal frames."""
        return (values[:, self._columns] - self.median) / self.spread

    def fuse(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fused score (F,) float32, the largest standardised channel, and that channel's index in ``channels`` (F,)."""
        standard = self.standardise(values)
        winner = standard.argmax(axis=1)
        return standard[np.arange(len(standard)), winner], winner

    def largest(self, values: np.ndarray) -> np.ndarray:
        """Fused score (F,) float32 alone, of channel values (F, all) float32."""
        return largest_standardised(values, self._columns, *self._centre)

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """(1 + #{table >= score}) / (n + 1), (F,) -> (F,) float64."""
        below = np.searchsorted(self.scores, np.asarray(scores, np.float32), side="left")
        return (1.0 + self.n - below) / (self.n + 1.0)

    def threshold(self, false_alarm_rate: float) -> float:
        """A score above this has p <= false_alarm_rate; inf where the table is too small for the rate."""
        rank = math.ceil((self.n + 1) * (1.0 - check_false_alarm_rate(false_alarm_rate)) - 1e-9)
        return float(self.scores[rank - 1]) if rank <= self.n else math.inf

    def opening(self, false_alarm_rate: float, false_events_per_hour: float, frame_s: float) -> float:
        """A score above this opens an event: not less than the threshold, and so high that as many events an hour are false, as
        far as the tail of the table tells."""
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
                f"{self._channels_in_words()}\n"
                f"scores of normal frames: median {np.median(self.scores):.2f}, largest {self.scores[-1]:.2f}\n"
                f"threshold {self.threshold(false_alarm_rate):.2f} for a false-alarm rate of {100 * false_alarm_rate:g} %; "
                f"expect {100 * low:.2g} to {100 * high:.2g} % on this band (90 % interval)")

    def _channels_in_words(self) -> str:
        of_scan = sum(c in BOX_CHANNELS for c in self.channels)
        named = [c for c in self.channels if c not in BOX_CHANNELS]
        return (f"{of_scan} sizes of boxes of bins and frames, " if of_scan else "") + f"channels {', '.join(named)}"

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
                        "scan_median": self.scan.median, "scan_up": self.scan.up, "scan_down": self.scan.down,
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
            scan = BoxSearch(len(band.mean), *(np.asarray(tensors[f"scan_{k}"], np.float32) for k in ("median", "up", "down"))) \
                if tuning else None
            table = cls(tuple(bytes(np.asarray(tensors["channels"], np.uint8)).decode().split(",")),
                        np.asarray(tensors["median"], np.float32), np.asarray(tensors["spread"], np.float32),
                        np.asarray(tensors["scores"], np.float32), _scalar(tensors, "effective_n"),
                        int(_scalar(tensors, "window_hop")), tuning, band, scan,
                        Tail(*np.asarray(tensors["tail"], np.float64).tolist()) if "tail" in tensors else None)
        except (KeyError, UnicodeDecodeError, IndexError, TypeError) as error:
            raise ValueError(f"conformal table without a valid {error}; calibrate again") from error
        if int(np.asarray(tensors.get("n", [table.n])).ravel()[0]) != table.n:
            raise ValueError(f"conformal table that states n = {tensors['n'][0]} and holds {table.n} scores; calibrate again")
        return table


class _Frames(NamedTuple):
    """Frames in order: (F, N), (F, N), (F,), (F,), and where they are from."""

    residual: np.ndarray
    level: np.ndarray
    logit: np.ndarray
    floor_deviation: np.ndarray
    place: Hashable


class Calibrator:
    """Learns a Table from normal frames that come in order, in batches of any size.

    Args:
        n_expected: frames that will come, as far as is known; decides what each is for (``parts_of``).
        head: whether the model's anomaly head was trained (else its channel is left out).
        tuning: learn what each bin does, since all frames are of this tuning; None: do not (a mixture of tunings).
        window_hop: samples from one averaged spectrum to the next; None: those of no overlap, as many as there are bins.
        drift_db_per_s: of the floor track; must be the detector's.
    """

    def __init__(self, n_expected: int, *, head: bool = True, tuning: Tuning | None = None, window_hop: int | None = None,
                 drift_db_per_s: float = 0.05):
        self._tuning, self._window_hop = tuning, window_hop
        self._parts = parts_of(max(n_expected, 1), tuning is not None)
        others = np.flatnonzero(self._parts != "T")
        self._n_waiting = int(others[-1]) + 1 if len(others) else 1  # frames that come before anything is learned
        self._known = CHANNELS if tuning is None else BAND_CHANNELS
        self._channels = tuple(c for c in self._known if head or c != HEAD)
        self._floor = FloorTrack(drift_db_per_s)
        self._waiting: list[_Frames] = []
        self._n_frames = 0
        self._band: BandStatistics | None = None
        self._scan: BoxSearch | None = None
        self._history: tuple[Hashable, np.ndarray | None] = (None, None)  # place, last rows there
        self._centre: tuple[np.ndarray, np.ndarray] | None = None
        self._fused: list[np.ndarray] = []

    @property
    def n_frames(self) -> int:
        return self._n_frames

    def add(self, residual: np.ndarray, features: np.ndarray, frame_s: float, place: Hashable = None, *,
            psd: np.ndarray | None = None):
        """Takes the next frames.

        Args:
            residual: (F, N). features: (F, 256), layout ``encoder.features``. frame_s: seconds from frame to frame.
            psd: (F, N) dBFS; needed to learn what each bin does.
            place: tells one tuning (or recording) from another; the floor track of each is its own.
        """
        if self._window_hop is None:
            self._window_hop = residual.shape[1]
        if psd is None and self._tuning is not None:
            raise ValueError("a calibration that learns what each bin of a band does needs the psd of its frames")
        used = features[:, layout.SKIPPED] == 0
        residual, features = residual[used], features[used]
        # without a tuning no band is learned, and levels are not looked at
        level = residual if self._tuning is None else psd[used] - features[:, layout.FLOOR_DBFS][:, None]
        deviation = self._floor.deviations(features[:, layout.FLOOR_DBFS], frame_s, place)
        logit = features[:, layout.LOGIT]
        while len(residual):
            count = len(residual) if self._centre is not None else min(len(residual), self._n_waiting - self._n_frames)
            frames = _Frames(*(x[:count].copy() for x in (residual, level, logit, deviation)), place)
            residual, level, logit, deviation = (x[count:] for x in (residual, level, logit, deviation))
            self._n_frames += count
            if self._centre is not None:
                self._fused.append(self._fuse(frames))
                continue
            self._waiting.append(frames)
            if self._n_frames == self._n_waiting:
                self._learn()

    def finish(self, false_alarm_rate: float = 0.01) -> Table:
        """The table.

        Raises:
            TooFewFrames: not enough for this rate.
        """
        scores = np.concatenate(self._fused) if self._fused else np.zeros(0, np.float32)
        if len(scores) < scores_needed(false_alarm_rate):
            used = self._n_waiting - table_frames(self._n_waiting, self._tuning is not None)
            needed = max(frames_needed(false_alarm_rate, self._tuning is not None), used + scores_needed(false_alarm_rate))
            raise TooFewFrames(self.n_frames, needed, false_alarm_rate)
        tail, scores = Tail.fit(scores), thinned(scores)
        return Table(self._channels, *self._centre, np.sort(scores), effective_count(scores), self._window_hop, self._tuning,
                     self._band, self._scan, tail)

    def _learn(self):
        """From the frames that have waited: the band, the normalisers, and the first scores of the table."""
        waiting, self._waiting = self._waiting, []
        parts = self._parts[:self._n_frames]
        if self._tuning is not None:
            chosen = parts == "B"
            near = chosen.copy()  # and the frames before them, which their boxes reach back to
            for back in range(1, HISTORY + 1):
                near[:-back] |= chosen[back:]
            edges = np.cumsum([0, *(len(f.level) for f in waiting)])
            level = np.concatenate([f.level[near[a:b]] for f, a, b in zip(waiting, edges[:-1], edges[1:], strict=True)])
            chosen = chosen[near]
            self._band = BandStatistics.learn(level[chosen])
            self._scan = BoxSearch.learn(frame_rows(self._band.standardise(level), level), level.shape[1], chosen)
        values = np.concatenate([self._values(f) for f in waiting])
        normal = values[parts == "N"] if (parts == "N").any() else values
        median = np.median(normal, axis=0)
        spread = np.maximum(np.quantile(normal, 0.99, axis=0) - median, [MIN_SPREAD[c] for c in self._channels])
        of_scan = np.array([c in BOX_CHANNELS for c in self._channels])
        if of_scan.any():  # one that happened to be quiet must not come to speak for all
            spread[of_scan] = np.maximum(spread[of_scan], 0.5 * np.median(spread[of_scan]))
        self._centre = median.astype(np.float32), spread.astype(np.float32)
        self._fused.append(self._largest(values[parts == "T"]))

    def _values(self, frames: _Frames) -> np.ndarray:
        """Channel values of the next frames."""
        rows = None
        if self._scan is not None:
            place, history = self._history
            rows = _rows(self._band, self._scan, frames.level, history if place == frames.place else None)
            self._history = frames.place, rows[-HISTORY:]
        values = channel_values(frames.residual, frames.logit, frames.floor_deviation, self._scan, rows)
        return values[:, [self._known.index(c) for c in self._channels]]

    def _fuse(self, frames: _Frames) -> np.ndarray:
        return self._largest(self._values(frames))

    def _largest(self, values: np.ndarray) -> np.ndarray:
        return ((values - self._centre[0]) / self._centre[1]).max(axis=1, initial=-np.inf)


def learn(residual: np.ndarray, features: np.ndarray, frame_s: float, *, false_alarm_rate: float = 0.01, head: bool = True,
          tuning: Tuning | None = None, window_hop: int | None = None, run: np.ndarray | None = None,
          drift_db_per_s: float = 0.05, psd: np.ndarray | None = None) -> Table:
    """A Table from frames in memory.

    Args:
        residual: (F, N) float32. features: (F, 256). frame_s: seconds from frame to frame. psd: (F, N) dBFS, with a tuning.
        run: (F,) number of the recording that each frame is from (frames of one lie together); None: all from one.
        The rest: see Calibrator and ``Calibrator.finish``.

    Raises:
        TooFewFrames: not enough frames for this rate.
    """
    calibrator = Calibrator(len(residual), head=head, tuning=tuning, window_hop=window_hop, drift_db_per_s=drift_db_per_s)
    edges = [0, len(residual)] if run is None else [0, *(np.flatnonzero(np.diff(run)) + 1).tolist(), len(residual)]
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        calibrator.add(residual[start:stop], features[start:stop], frame_s, start, psd=None if psd is None else psd[start:stop])
    return calibrator.finish(false_alarm_rate)


def _rows(band: BandStatistics, scan: BoxSearch, level: np.ndarray, history: np.ndarray | None) -> np.ndarray:
    """See ``Table.rows``."""
    return frame_rows(band.standardise(level), level, scan.begin() if history is None else history)


def thinned(scores: np.ndarray) -> np.ndarray:
    """At most ``MAX_SCORES`` of the scores, evenly spaced in time."""
    if len(scores) <= MAX_SCORES:
        return scores
    return scores[np.linspace(0, len(scores) - 1, MAX_SCORES).astype(int)]


def effective_count(scores: np.ndarray) -> float:
    """n / (1 + 2 sum of autocorrelations) of the scores' ranks in order of time (Geyer's initial positive sequence)."""
    count = len(scores)
    ranks = np.argsort(np.argsort(scores, kind="stable"), kind="stable").astype(np.float64)
    ranks -= ranks.mean()
    spectrum = np.fft.rfft(ranks, 2 * count)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:count]
    if count < 3 or not correlation[0] > 0:
        return float(count)
    correlation /= correlation[0]
    pairs = correlation[1:count - 1:2] + correlation[2:count:2]
    negative = np.flatnonzero(pairs <= 0)
    total = pairs[:negative[0] if len(negative) else len(pairs)].sum()
    return float(min(count, count / (1.0 + 2.0 * total)))


def _scalar(tensors: dict[str, np.ndarray], name: str) -> float:
    return float(np.asarray(tensors[name]).ravel()[0])
