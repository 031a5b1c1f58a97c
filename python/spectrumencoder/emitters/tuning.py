# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of one tuning: background, rows of the last frames, the block that is being filled.

Shape letters: F frames, N bins.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from ..detector.events import Segment
from .background import BLOCK, Background
from .box_classes import BoxClasses, TokensSeen
from .boxes import HISTORY, Limits, Search, boxes_per_frame, limits
from .bursts import CLIPPED
from .law import bin_correlation, box_variance, independent_share
from .registry import Grid, Registry
from .steady import SteadyTrack
from .usual import ENOUGH, Usual

START, START_S = 32, 0.1  # frames, and s, before the first is judged
MIN_START = 8  # frames, if no more are to be learned
NOISE_SHARE = 0.1  # of the false alerts an hour, that noise may cause
FLOOR_DB = 3.0  # from what is usual, that counts as much as the limit of a box
GAIN_DB_PER_S = 0.05  # that what is usual follows
RECENT = 8  # blocks: what was there in half of them is no cause of something new
_SLOW = 9  # frames, of whose gains an impulse stands out of the second lowest: two in three may hold one
_DISTURBED_DB, _DISTURBED_FACTOR, _UNSEEN_DB = 0.4, 8.0, 0.1  # see ``TuningState._calm``


class TuningKey(NamedTuple):
    """Centre frequency (Hz), rate (Hz), samples from frame to frame, and spectra in a frame."""

    freq_hz: float
    samp_rate: float
    frame_hop: int
    average: int


def key_of(segment: Segment) -> TuningKey:
    """The key of a segment's tuning."""
    return TuningKey(segment.rx_freq, segment.rx_rate, segment.frame_hop, segment.frame_average)


class Block(NamedTuple):
    """The frames of a full block.

    Attributes:
        psd: (F, N) dBFS less the gain. ratio: (F, N) power over the background. gains: dB, see ``TuningState.block``.
        starts: (F,) first samples. times: (F,) POSIX s of these, as they were when the frames came.
        classes: (F, C) probabilities; -1 for a frame that was not encoded. tokens: (F, M, L + 1), as ``Rows`` has them.
    """

    psd: np.ndarray
    ratio: np.ndarray
    gains: np.ndarray
    starts: np.ndarray
    times: np.ndarray
    classes: np.ndarray
    tokens: np.ndarray


class TuningState:
    """State of one tuning.

    Args:
        key: of the tuning. window: of the tokenizer. n_bins: N. usable: bins that are judged. n_classes: C, of the encoder.
        boxes: reads the classes of tokens; None: nobody does.
    """

    def __init__(self, key: TuningKey, window: str, n_bins: int, usable: slice, n_classes: int = 0,
                 boxes: BoxClasses | None = None):
        hop = max(key.frame_hop // key.average, 1)
        bin_hz = key.samp_rate / n_bins
        self.key, self._window, self.usable = key, window, usable
        self.frame_s = key.frame_hop / key.samp_rate
        self.grid = Grid(key.freq_hz - n_bins // 2 * bin_hz, bin_hz, n_bins)
        self.background = Background(n_bins, key.average * independent_share(window, n_bins, hop, key.average), usable)
        self._seen = TokensSeen(boxes)
        self.steady = SteadyTrack(self.grid, usable, self._labels_of)
        self.usual = Usual(n_bins, n_classes, self.background.sigma_db)
        self._first_db: np.ndarray | None = None  # background when `usual` began to learn
        self._settled_db: np.ndarray | None = None  # and when it had learned
        self._has_learned = False
        self.first_frames: list[tuple] = []  # until the background begins
        self.segment: Segment | None = None  # of its last frames
        self.allowed = np.ones(n_bins, np.float32)
        self.limits: Limits | None = None
        self.usual_gain_db: float | None = None
        self._version = -1
        self._means: deque[np.ndarray] = deque(maxlen=RECENT)  # power over the background of the last blocks
        self._recent: np.ndarray | None = None
        self._gains: deque[float] = deque(maxlen=_SLOW)
        self.clear_block()
        self.restart()

    @property
    def start(self) -> int:
        """Frames before the first is judged."""
        return max(START, math.ceil(START_S / self.frame_s))

    @property
    def held_s(self) -> float:
        """Signal (s) in frames that wait for the background to begin, or for their block to end."""
        return (len(self.first_frames) + self.filled) * self.frame_s

    def on_air_hz(self, low: float, high: float) -> float | None:
        """The frequency in the middle of the bins low to high; None if the tuner's is not known."""
        return self.grid.hz_of(0.5 * (low + high)) if self.key.freq_hz else None

    def _labels_of(self, low: int, high: int) -> dict[str, float]:
        """Probability of each class in the bins low to high, by all tokens so far."""
        return self._seen.labels(low, high, self.on_air_hz(low, high))

    def restart(self):
        """Time has jumped: the frames so far are not right before the next ones."""
        self._rows = np.ones((HISTORY, self.grid.n_bins), np.float32)
        self.usual.restart()
        self.steady.restart()

    # -- frames

    def search(self, psd: np.ndarray) -> tuple[Search, np.ndarray, np.ndarray]:
        """The boxes of the next frames (F, N), the gains (F,) and the power over the background (F, N)."""
        assert self.limits is not None  # `renew` gives them
        gains = self.background.gains_db(psd)
        rows = np.empty((HISTORY + len(psd), self.grid.n_bins), np.float32)
        rows[:HISTORY], fresh = self._rows, rows[HISTORY:]
        ratio = self.background.excess(psd, gains, self.allowed, fresh)
        self._calm(gains, fresh)
        fresh[:, :self.usable.start], fresh[:, self.usable.stop:] = 1.0, 1.0
        self._rows = rows[len(psd):].copy()
        return Search(rows, self.limits.limit), gains, ratio

    def score(self, search: Search, gains: np.ndarray, ratio: np.ndarray, psd: np.ndarray, classes: np.ndarray,
              learning: bool) -> np.ndarray:
        """(F,) how unusual each frame is; 1 is the limit of each part.

        The parts: what stands out of the noise, the whole floor, and what its places and its class usually show (``usual``).
        As long as that is not learned, steady emitters that are missing. An alert follows from the first one alone: floor and
        missing emitters alert after some frames, see ``receiver`` and ``steady``.

        Args:
            psd: (F, N) dBFS. classes: (F, C) probabilities. learning: whether what these frames show becomes usual.
        """
        score = np.maximum(search.score, self._unusual(ratio, psd - gains[:, None], classes, learning))
        if self.usual_gain_db is not None:
            np.maximum(score, np.abs(gains - self.usual_gain_db) * np.float32(1.0 / FLOOR_DB), out=score)
        return score

    def _unusual(self, ratio: np.ndarray, level: np.ndarray, classes: np.ndarray, learning: bool) -> np.ndarray:
        """(F,) how far frames of level (F, N) dBFS less the gain are from what is usual here."""
        assert self.background.mean_db is not None  # frames are judged from then on
        if self._first_db is None:
            self._first_db = self.background.mean_db.copy()
        if not learning and self._settled_db is None and (self._has_learned or self.usual.blocks >= ENOUGH):
            self.usual.settle(self.usable)
            self._settled_db = self.background.mean_db.copy()
        if learning:
            self._has_learned = True
        if self.usual.ready:
            return self.usual.score(level - (self._first_db + (self.background.mean_db - self._settled_db)), classes)
        if self._settled_db is None:
            self.usual.learn(level - self._first_db, classes)
        return self.steady.missing(ratio, self._variance)

    def _variance(self, width: int, length: int) -> float:
        """Variance of the mean of a box of noise."""
        return box_variance(width, length, self.background.spectra, bin_correlation(self._window, self.grid.n_bins))

    def _calm(self, gains: np.ndarray, fresh: np.ndarray):
        """Allows more in frames whose common gain stands out of those before them, and in those that follow.

        An impulse is in one of the K spectra of a frame. Its share of the frame's power is not averaged, so that bins scatter
        by about that share. It may be as strong where a filter takes the noise away, and there its share is larger.
        """
        recent = np.concatenate([np.array(self._gains), gains])
        if len(self._gains) == self._gains.maxlen and np.ptp(recent) <= _DISTURBED_DB:
            self._gains.extend(gains.tolist())
            return
        below = None
        for n, gain in enumerate(gains.tolist()):
            if len(self._gains) >= 3 and max(gain, *self._gains) - (slow := sorted(self._gains)[1]) > _DISTURBED_DB:
                if below is None:
                    below = np.maximum(10.0 ** (0.1 * (self.background.noise_db - self.background.mean_db)), 1.0)
                share = 1.0 - 10.0 ** (-0.1 * max(gain - slow, _UNSEEN_DB))
                allow = (1.0 + _DISTURBED_FACTOR * share * below).astype(np.float32)
                fresh[n] = np.where(fresh[n] <= allow, np.minimum(fresh[n], 1.0), fresh[n] / allow)
            self._gains.append(gain)

    def recent(self) -> np.ndarray:
        """(N,) median power over the background in the last blocks; at least 1."""
        if self._recent is None:
            self._recent = np.maximum(np.median(self._means, axis=0), 1.0) if self._means else np.ones(self.grid.n_bins)
        return self._recent

    # -- blocks

    @property
    def room(self) -> int:
        """Frames until the block is full."""
        return BLOCK - self.filled

    def fill(self, psd: np.ndarray, gains: np.ndarray, ratio: np.ndarray, starts: np.ndarray, times: np.ndarray,
             classes: np.ndarray, tokens: np.ndarray, clipped: np.ndarray):
        """Adds frames to the block. starts, times, classes, tokens: see ``Block``. clipped: (F,) share of samples at full scale.
        """
        self._psd.append(psd - gains[:, None])
        self._ratio.append(ratio)
        self._starts.append(starts)
        self._times.append(times)
        self._classes.append(classes)
        self._tokens.append(tokens.copy())
        self._block_gains.append(gains)
        self._block_clipped.append(clipped.copy())  # a view of a buffer that is used again
        self.filled += len(psd)

    def block(self) -> Block:
        """The full block.

        Clipping lowers the gain of all else: if some frames are not clipped, the gains are theirs alone.
        """
        ratio, gains = np.concatenate(self._ratio), np.concatenate(self._block_gains)
        sound = gains[np.concatenate(self._block_clipped) <= CLIPPED]
        gains = sound if sound.size else gains
        gain = float(np.median(gains))
        usual = gain if self.usual_gain_db is None else self.usual_gain_db
        step = GAIN_DB_PER_S * len(ratio) * self.frame_s
        self.usual_gain_db = usual + max(min(gain - usual, step), -step)
        self._means.append(ratio.mean(axis=0))
        self._recent = None
        tokens = np.concatenate(self._tokens)
        self._seen.add(tokens)
        return Block(np.concatenate(self._psd), ratio, gains, np.concatenate(self._starts), np.concatenate(self._times),
                     np.concatenate(self._classes), tokens)

    def clear_block(self):
        """Begins a new block."""
        self._psd: list[np.ndarray] = []
        self._ratio: list[np.ndarray] = []
        self._starts: list[np.ndarray] = []
        self._times: list[np.ndarray] = []
        self._classes: list[np.ndarray] = []
        self._tokens: list[np.ndarray] = []
        self._block_gains: list[np.ndarray] = []
        self._block_clipped: list[np.ndarray] = []
        self.filled = 0

    def renew(self, registry: Registry, false_per_hour: float):
        """Makes limits and allowed power anew, by background, registry and budget as they are."""
        log_p = math.log(NOISE_SHARE * false_per_hour * self.frame_s / 3600.0 / boxes_per_frame(self.grid.n_bins))
        error = float(f"{self.background.error:.2g}")
        self.limits = limits(self._window, self.grid.n_bins, self.background.spectra, error, min(round(log_p, 1), -3.0))
        if self._version != registry.version:
            self._version = registry.version
            self.allowed = registry.allowed(self.grid)
