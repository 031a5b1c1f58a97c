# SPDX-License-Identifier: GPL-3.0-or-later
"""Split-conformal calibration: normal frames in, a conformal table out (``table`` says how it judges).

The frames have three uses. One part teaches the usual behaviour of each bin and each box of the band. One teaches the median and
spread of each channel. The third, the table, gives the scores of normal frames: a table's scores and a new frame's are then
treated alike. If a band is learned the parts take turns in blocks of 32 frames, spread over a long calibration: an emitter that
is on for a half of it is then known on and off.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from ..encoder import features as layout
from .band_statistics import BandStatistics
from .box_search import HISTORY, BoxSearch, frame_rows
from .channels import ChannelPlan, channel_names
from .frame_batch import FrameBatch, FrameInputs, used_frames
from .table import Table, Tuning, scores_needed
from .tail import Tail

MAX_SCORES = 20_000  # kept in a table, evenly spaced in time
NORMALISER_SHARE, MIN_NORMALISER, MAX_NORMALISER = 0.25, 64, 4096  # frames for the normalisers
# If a band is learned, blocks of TURN_FRAMES are in turn for the band (B), the table (T) and the normalisers (N). MAX_BAND frames
# at most are shared out so, taken evenly from the first SPREAD; all others are for the table
TURN_FRAMES, TURNS, MAX_BAND, SPREAD = 32, "BTBNBT", 4096, 32_768


class TooFewFrames(ValueError):
    """Calibration with fewer frames than the false-alarm rate needs; ``needed`` is their number."""

    def __init__(self, n_frames: int, needed: int, false_alarm_rate: float):
        self.n_frames, self.needed = n_frames, needed
        super().__init__(f"{n_frames} frames are too few to calibrate a false-alarm rate of {false_alarm_rate:g}: "
                         f"{needed} are needed; give a longer recording")


def parts_of(n_frames: int, per_bin: bool = True) -> np.ndarray:
    """The use of each of the first n_frames frames, (n_frames,): "B" the band, "N" the normalisers, "T" the table."""
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
    """The number of n_frames that the table gets."""
    return int(np.count_nonzero(parts_of(n_frames, per_bin) == "T"))


def frames_needed(false_alarm_rate: float, per_bin: bool = True) -> int:
    """Frames that a calibration for this rate takes, those for the normalisers included."""
    table = scores_needed(false_alarm_rate)
    n_frames = table + MIN_NORMALISER
    while (missing := table - table_frames(n_frames, per_bin)) > 0:
        n_frames += missing
    return n_frames


class Calibrator:
    """Learns a Table from normal frames that come in order, in batches of any size.

    Args:
        n_expected: frames that will come, as far as is known; decides the use of each (``parts_of``).
        head: whether the model's anomaly head was trained (else its channel is left out).
        tuning: all frames are of this tuning: learn what each bin does. None: do not (a mixture of tunings).
        window_hop: samples from one averaged spectrum to the next; None: as many as there are bins (no overlap).
        drift_db_per_s: of the floor track; must be the detector's.
    """

    def __init__(self, n_expected: int, *, head: bool = True, tuning: Tuning | None = None, window_hop: int | None = None,
                 drift_db_per_s: float = 0.05):
        self._tuning, self._window_hop = tuning, window_hop
        self._parts = parts_of(max(n_expected, 1), tuning is not None)
        others = np.flatnonzero(self._parts != "T")
        self._n_waiting = int(others[-1]) + 1 if len(others) else 1  # frames that come before anything is learned
        self._channels = channel_names(tuning is not None, head)
        self._plan = ChannelPlan(self._channels, tuning is not None)
        self._inputs = FrameInputs(drift_db_per_s)
        self._waiting: list[tuple[FrameBatch, Hashable]] = []  # and their place
        self._n_frames = 0
        self._band: BandStatistics | None = None
        self._search: BoxSearch | None = None
        self._history: tuple[Hashable, np.ndarray | None] = (None, None)  # place, last rows there
        self._centre: tuple[np.ndarray, np.ndarray] | None = None
        self._fused: list[np.ndarray] = []

    @property
    def n_frames(self) -> int:
        """Frames taken so far, those that were skipped not counted."""
        return self._n_frames

    def add(self, residual: np.ndarray, features: np.ndarray, frame_s: float, place: Hashable = None, *,
            psd: np.ndarray | None = None):
        """Takes the next frames.

        Args:
            residual: (F, N). features: (F, 256), layout ``encoder.features``. frame_s: seconds from frame to frame.
            psd: (F, N) dBFS; needed to learn what each bin does.
            place: tells one tuning (or recording) from another; the floor track of each is its own.

        Raises:
            ValueError: psd is missing and needed.
        """
        if self._window_hop is None:
            self._window_hop = residual.shape[1]
        if psd is None and self._tuning is not None:
            raise ValueError("a calibration that learns what each bin of a band does needs the psd of its frames; give psd")
        used = used_frames(features)
        batch = self._inputs.batch(psd, residual, features, used, frame_s, place).of(used)
        while batch.n_frames:
            count = batch.n_frames if self._centre is not None else min(batch.n_frames, self._n_waiting - self._n_frames)
            first, batch = batch.of(slice(count)), batch.of(slice(count, None))
            self._n_frames += count
            if self._centre is not None:
                self._fused.append(self._fuse(self._values(first, place)))
                continue
            self._waiting.append((first, place))
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
                     self._band, self._search, tail)

    def _learn(self):
        """Learns from the frames that have waited: the band, the normalisers, and the first scores of the table."""
        waiting, self._waiting = self._waiting, []
        parts = self._parts[:self._n_frames]
        if self._tuning is not None:
            chosen = parts == "B"
            near = chosen.copy()  # and the frames before them, which their boxes reach back to
            for back in range(1, HISTORY + 1):
                near[:-back] |= chosen[back:]
            edges = np.cumsum([0, *(batch.n_frames for batch, _ in waiting)])
            level = np.concatenate([_level(batch)[near[a:b]]
                                    for (batch, _), a, b in zip(waiting, edges[:-1], edges[1:], strict=True)])
            chosen = chosen[near]
            self._band = BandStatistics.learn(level[chosen])
            self._search = BoxSearch.learn(frame_rows(self._band.standardise(level), level), level.shape[1], chosen)
        values = np.concatenate([self._values(batch, place) for batch, place in waiting])
        normal = values[parts == "N"] if (parts == "N").any() else values
        median = np.median(normal, axis=0)
        spread = self._plan.spreads(np.quantile(normal, 0.99, axis=0) - median)
        self._centre = median.astype(np.float32), spread.astype(np.float32)
        self._fused.append(self._fuse(values[parts == "T"]))

    def _values(self, batch: FrameBatch, place: Hashable) -> np.ndarray:
        """Channel values (F, C) of the next frames."""
        if self._search is not None:
            before, history = self._history
            rows = learned_rows(self._band, self._search, _level(batch), history if before == place else None)
            self._history = place, rows[-HISTORY:]
            batch = batch.with_boxes(self._search, rows)
        return self._plan.values(batch)[:, self._plan.columns]

    def _fuse(self, values: np.ndarray) -> np.ndarray:
        return ((values - self._centre[0]) / self._centre[1]).max(axis=1, initial=-np.inf)


def learn(residual: np.ndarray, features: np.ndarray, frame_s: float, *, false_alarm_rate: float = 0.01, head: bool = True,
          tuning: Tuning | None = None, window_hop: int | None = None, run: np.ndarray | None = None,
          drift_db_per_s: float = 0.05, psd: np.ndarray | None = None) -> Table:
    """A Table from frames in memory.

    Args:
        residual: (F, N) float32. features: (F, 256). frame_s: seconds from frame to frame. psd: (F, N) dBFS, with a tuning.
        run: (F,) number of the recording that each frame is from (frames of one lie together); None: all from one.
        The others: see Calibrator and ``Calibrator.finish``.

    Raises:
        TooFewFrames: not enough frames for this rate.
    """
    calibrator = Calibrator(len(residual), head=head, tuning=tuning, window_hop=window_hop, drift_db_per_s=drift_db_per_s)
    edges = [0, len(residual)] if run is None else [0, *(np.flatnonzero(np.diff(run)) + 1).tolist(), len(residual)]
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        calibrator.add(residual[start:stop], features[start:stop], frame_s, start, psd=None if psd is None else psd[start:stop])
    return calibrator.finish(false_alarm_rate)


def learned_rows(band: BandStatistics, search: BoxSearch, level: np.ndarray, history: np.ndarray | None = None) -> np.ndarray:
    """Rows (HISTORY + F, P) of the boxes of frames of these levels (F, N), dB over the floor.

    Args:
        history: the last rows before them; None: what is usual on the band.
    """
    return frame_rows(band.standardise(level), level, search.begin() if history is None else history)


def _level(batch: FrameBatch) -> np.ndarray:
    """(F, N) dB over each frame's floor."""
    return batch.psd - batch.features[:, layout.FLOOR_DBFS][:, None]


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
