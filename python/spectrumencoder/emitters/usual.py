# SPDX-License-Identifier: GPL-3.0-or-later
"""How unusual a frame is at each place of a tuning, and by its class: for the score alone. No alert follows from it.

What is busy is judged by its own place. Each box of bins and frames (``detector.box_search``) has a mean and the largest
excursions that it showed while learning, up and down. So a known emitter that is displaced, absent or of another shape is
unusual, and none of its usual bursts is. The class of the frames is judged in the same way: another waveform in a known place may
have the same spectrum.

Bins are standardised by mean and deviation of the frames so far, anew when there are twice as many. Excursions are those of the
present scale and of the one before. Learning thus needs no memory of frames.

Shape letters: F frames, N bins, P boxes of a frame, T lengths, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..detector.box_search import HISTORY, LENGTHS, MIN_SHARE, PARTS, BoxSearch, boxes, frame_rows, max_near
from .background import BLOCK

FIRST, ENOUGH = 8, 64  # blocks behind a judgement; those that are learned if a band file left nothing to learn
LIMIT, CLASS_LIMIT = 2.0, 1.5  # largest excursions of a box, and of a class, that count as much as the limit of noise
_CLASS_ERROR = 0.02  # of a class's probability, added to its largest excursions


@dataclass
class _Extent:
    """Sum, largest and least of rows (T, P), over `count` frames."""

    total: np.ndarray
    high: np.ndarray
    low: np.ndarray
    count: int = 0

    @classmethod
    def of(cls, columns: int) -> _Extent:
        shape = (len(LENGTHS), columns)
        return cls(np.zeros(shape), np.full(shape, -np.inf), np.full(shape, np.inf))

    def add(self, rows: np.ndarray):
        """Takes rows (HISTORY + F, columns): sums over the lengths, divided by their roots."""
        for n, sums in enumerate(_running(rows)):
            self.total[n] += sums.sum(axis=0)
            np.maximum(self.high[n], sums.max(axis=0), out=self.high[n])
            np.minimum(self.low[n], sums.min(axis=0), out=self.low[n])
        self.count += len(rows) - HISTORY

    def joined(self, other: _Extent) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, and largest excursions up and down, of both."""
        mean = (self.total + other.total) / max(self.count + other.count, 1)
        return mean, np.maximum(self.high, other.high) - mean, mean - np.minimum(self.low, other.low)


class Usual:
    """What one tuning usually shows.

    Args:
        n_bins: N. n_classes: C. sigma_db: of a bin of noise in one frame.
    """

    def __init__(self, n_bins: int, n_classes: int, sigma_db: float):
        self._n_bins, self._n_classes, self._sigma_db = n_bins, n_classes, sigma_db
        self._sum, self._squares = np.zeros(n_bins), np.zeros(n_bins)
        self._mean, self._per_std = np.zeros(n_bins, np.float32), np.full(n_bins, 1.0 / sigma_db, np.float32)
        self._columns = boxes(n_bins).edges[-1]
        self._now, self._before = _Extent.of(self._columns), _Extent.of(self._columns)
        self._classes_seen = _Extent.of(n_classes)
        self._search: BoxSearch | None = None
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self.blocks = 0
        self.restart()

    def restart(self):
        """Time has jumped: the frames so far are not right before the next ones."""
        self._rows = np.zeros((HISTORY, self._columns), np.float32) if self._search is None else self._search.begin()
        self._class_rows: np.ndarray | None = None

    @property
    def ready(self) -> bool:
        """Whether frames can be judged."""
        return self._search is not None

    def learn(self, level: np.ndarray, classes: np.ndarray):
        """Takes frames, (F, N) dB over the background at its first moment, and (F, C) probabilities."""
        self._waiting.append((level.copy(), classes.copy()))
        while sum(len(part) for part, _ in self._waiting) >= BLOCK:
            level, classes = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
            self._waiting = [(level[BLOCK:], classes[BLOCK:])] if len(level) > BLOCK else []
            self._learn_block(level[:BLOCK], classes[:BLOCK])

    def _learn_block(self, level: np.ndarray, classes: np.ndarray):
        if self.blocks >= FIRST // 2 and self.blocks & (self.blocks - 1) == 0:
            self._rescale()
        self.blocks += 1
        self._sum += level.sum(axis=0, dtype=np.float64)
        self._squares += np.square(level, dtype=np.float64).sum(axis=0)
        if self.blocks > FIRST // 2:
            self._now.add(self._of(level))
        if self._n_classes:
            self._classes_seen.add(self._of_classes(classes))

    def _rescale(self):
        """Standardises by all frames so far from here on."""
        count = self.blocks * BLOCK
        mean = self._sum / count
        std = np.sqrt(np.maximum(self._squares / count - mean**2, self._sigma_db**2))
        self._mean, self._per_std = mean.astype(np.float32), (1.0 / std).astype(np.float32)
        self._before, self._now = self._now, _Extent.of(self._columns)
        self._rows[:] = 0.0

    def settle(self, usable: slice):
        """Learning is over: frames can be judged from here on if there were enough, by boxes within `usable` bins."""
        self._waiting = []
        if self.blocks < FIRST or self.ready:
            return
        mean, up, down = self._now.joined(self._before)
        plan = boxes(self._n_bins)
        for unit in (up, down):
            for row in unit:
                for part, (kind, _) in enumerate(PARTS):
                    mine = plan.part(part)
                    floor = max(MIN_SHARE[kind] * float(np.median(row[mine])), 1e-3)
                    row[mine] = np.maximum(max_near(row[mine]), floor)
        self._search = BoxSearch(self._n_bins, mean, up, down).within(usable)
        self._now, self._before = _Extent.of(0), _Extent.of(0)
        if self._n_classes:
            self._usual_classes, *reach = self._classes_seen.joined(_Extent.of(self._n_classes))
            root = np.sqrt(np.array(LENGTHS, float))[:, None]
            self._per_reach = [1.0 / (CLASS_LIMIT * (part + _CLASS_ERROR * root)) for part in reach]
        self.restart()

    def score(self, level: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """(F,) the largest excursion of each frame, of frames as ``learn`` takes them; 1 is a limit times the largest learned."""
        assert self._search is not None
        score = self._search.maxima(self._of(level)).max(axis=1) * np.float32(1.0 / LIMIT)
        if self._n_classes:
            for n, sums in enumerate(_running(self._of_classes(classes))):
                over = sums - self._usual_classes[n]
                parts = np.maximum(over * self._per_reach[0][n], -over * self._per_reach[1][n])
                np.maximum(score, parts.max(axis=1), out=score)
        return score

    def _of(self, level: np.ndarray) -> np.ndarray:
        """Rows (HISTORY + F, P) of frames and of those before them."""
        rows = frame_rows((level - self._mean) * self._per_std, level, self._rows)
        self._rows = rows[len(level):].copy()
        return rows

    def _of_classes(self, classes: np.ndarray) -> np.ndarray:
        """Rows (HISTORY + F, C). A frame that was not encoded has no classes, and repeats those before."""
        before = np.repeat(classes[:1], HISTORY, axis=0) if self._class_rows is None else self._class_rows
        rows = np.concatenate([before, classes])
        rows = rows[np.maximum.accumulate(np.where(rows.any(axis=1), np.arange(len(rows)), 0))]
        self._class_rows = rows[-HISTORY:]
        return rows


def _running(rows: np.ndarray):
    """Sums of rows (HISTORY + F, columns) over the last of ``LENGTHS``, by the root of each: (F, columns).

    Each sum is made of two halves, so that it does not depend on where a batch began.
    """
    running = rows
    for length in LENGTHS:
        half = length // 2
        if half:
            longer = running.copy()
            longer[half:] += running[:-half]
            running = longer
        yield running[HISTORY:] * np.float32(1.0 / np.sqrt(length))

