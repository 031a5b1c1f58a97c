# SPDX-License-Identifier: GPL-3.0-or-later
"""Steady emitters: carriers and other signals that are there all the time, so that they are a part of the background.

They are read from the background when learning ends, and then watched block by block: gone, back, louder.

Shape letters: F frames, N bins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .boxes import HISTORY, LENGTHS, means_of
from .emitter import Emitter
from .parts import Piece
from .registry import Grid, Registry, Sign

MIN_OVER_DB = 3.0  # over the noise, for a signal to be seen in the background
DC_BINS = 3  # around 0 Hz, where the receiver's own line is
_MIN_ALWAYS_DB = 2.0  # over the noise, nearly all the time
CONFIRM_S = 2.0  # for which it must be gone, back or louder
_DOUBT = 4.0  # by which it must be gone for longer each time that it came back
LOUDER_DB = 6.0
_GONE_SHARE = 0.6  # of the decibels over the noise that must be lost
_MIN_LOST_DB = 2.0
_RARE = 5.0  # deviations of noise
_BESIDE = 8  # bins on either side in which nothing is stronger than a signal that is louder itself
_FOLLOW = 2  # bins from its place in which its middle is looked for
_MOVED_DB = 1.0  # by which another bin must be stronger, for a signal to have moved there
_BORDER_BINS = 3  # from the end of the usable band, within which it cuts a signal
_NARROW = 8  # bins up to which a signal's middle is followed
_DRIFT, _ALIKE = 2, 0.75  # bins by which nearly all narrow ones were followed alike, and how many that are: a drift


class Standing(NamedTuple):
    """A signal in a background: as the registry takes it, its first and last bin, and its level in dBFS."""

    sign: Sign
    low: int
    high: int
    level_db: float


@dataclass
class _Steady:
    emitter: Emitter
    low: int  # first and last bin
    high: int
    peak: int  # its strongest bin
    level_db: float  # usual, dBFS less the gain: the largest mean power of its bins
    over_db: float  # over the noise
    loud_db: float  # the level that was told last; it may be a neighbour's, so that a return to the usual is no loss
    gone_s: float = 0.0
    back_s: float = 0.0
    louder_s: float = 0.0
    followed: int = 0  # bins, since it was said last
    returns: int = 0  # how often it was gone and came back: it is not that steady


class SteadyTrack:
    """The steady emitters of one tuning.

    Args:
        usable: bins in which they are. labels_of: (first bin, last bin) -> class -> probability of what was seen there.
    """

    def __init__(self, grid: Grid, usable: slice, labels_of: Callable[[int, int], dict[str, float]] = lambda low, high: {}):
        self._grid, self._usable, self._labels_of = grid, usable, labels_of
        self._known: list[_Steady] = []
        self.restart()

    @property
    def emitters(self) -> list[Emitter]:
        """Those that are watched."""
        return [one.emitter for one in self._known]

    def find(self, mean_db: np.ndarray, noise_db: float, registry: Registry, first_s: float, last_s: float,
             low_db: np.ndarray | None = None):
        """Reads them from a background (N,) dBFS, and puts those that are not known into the registry.

        Args:
            noise_db: level of the noise in the filter's pass band, dBFS.
            low_db: (N,) level that each bin had nearly all the time; None: no new ones are looked for.
        """
        self._known = []
        for sign, low, high, level in self.standing(mean_db, noise_db, first_s, last_s):
            emitter = registry.steady_at(sign)
            if emitter is None:
                if low_db is None or float(_without_line(low_db)[0][low:high + 1].max()) < noise_db + _MIN_ALWAYS_DB:
                    continue  # it comes and goes
                emitter = registry.add(sign, belongs=True, learned=True)
                emitter.steady = True
                registry.version += 1
            peak = low + int(mean_db[low:high + 1].argmax())
            self._known.append(_Steady(emitter, low, high, peak, level, level - noise_db, level))

    def standing(self, mean_db: np.ndarray, noise_db: float, first_s: float, last_s: float) -> Iterator[Standing]:
        """What stands out of the noise in a background; see ``find``."""
        mean_db, line = _without_line(mean_db)
        over_noise = mean_db > noise_db + MIN_OVER_DB
        over_noise[:self._usable.start], over_noise[self._usable.stop:] = False, False
        if not over_noise[[line.start - 1, line.stop]].all():  # else one signal lies on both sides of it
            over_noise[line] = False
        above = np.flatnonzero(over_noise)
        if not above.size:
            return
        cuts = np.flatnonzero(np.diff(above) > 3)
        for low, high in zip(above[np.concatenate([[0], cuts + 1])].tolist(),
                             above[np.concatenate([cuts, [above.size - 1]])].tolist(), strict=True):
            over = 10.0 ** (0.1 * (mean_db[low:high + 1] - noise_db)) - 1.0
            middle = low + float((over * np.arange(high - low + 1)).sum() / over.sum())
            level = float(mean_db[low:high + 1].max())
            own = max(high - low + 1 - 3, 1)
            sign = Sign(self._grid.hz_of(middle if high - low < _NARROW else (low + high) / 2), own * self._grid.bin_hz,
                        10.0 * math.log10(over.sum() / own), level, first_s, last_s, 1.0 + over, self._grid.hz_of(low),
                        self._grid.bin_hz, labels=self._labels_of(low, high))
            yield Standing(sign, low, high, level)

    def piece(self, emitter: Emitter, low: int, high: int, tuning: int) -> Piece:
        """A steady emitter in bins low..high of this tuning. tuning: its number."""
        start, stop, _ = self._usable.indices(self._grid.n_bins)
        return Piece(emitter, tuning, self._grid.hz_of(low - 0.5), self._grid.hz_of(high + 0.5), self._grid.bin_hz,
                     low - start < _BORDER_BINS, stop - 1 - high < _BORDER_BINS)

    def pieces(self, tuning: int) -> list[Piece]:
        """Those that are known. tuning: the number of this one."""
        return [self.piece(one.emitter, one.low, one.high, tuning) for one in self._known]

    def watch(self, mean: np.ndarray, noise_db: float, block_s: float, end_s: float, registry: Registry,
              raised_db: float = 0.0) -> list[tuple[str, Emitter]]:
        """Takes the mean power (N,) of a block, dBFS less the gain. Returns emitters gone, back or louder, and one if all drift.

        Args:
            raised_db: by how much the floor is raised. The gain holds it, but signals are as strong as they were.
        """
        found = []
        for one in self._known:
            if one.emitter.id not in registry.emitters:
                continue
            level = self._level(one, mean, registry)
            lost = one.level_db - level
            silent = lost - raised_db > max(_GONE_SHARE * min(one.over_db, one.level_db - noise_db + 1e-3), _MIN_LOST_DB)
            around = mean[max(one.low - _BESIDE, 0):one.high + _BESIDE + 1]
            loud = level - one.loud_db > LOUDER_DB and level > around.max() - 0.01  # else it is a neighbour's
            if not silent:
                one.emitter.last_s = max(one.emitter.last_s, end_s)
            one.gone_s = one.gone_s + block_s if silent else 0.0
            one.back_s = 0.0 if silent else one.back_s + block_s
            one.louder_s = one.louder_s + block_s if loud else 0.0
            if one.gone_s >= CONFIRM_S * _DOUBT**one.returns and not one.emitter.gone:
                one.emitter.gone = True
                found += [] if one.emitter.part_of else [("gone", one.emitter)]  # the whole is gone, too
            elif one.emitter.gone and one.back_s >= block_s:
                one.emitter.gone = False
                one.returns += 1
                found += [] if one.emitter.part_of else [("back", one.emitter)]
            elif one.louder_s >= CONFIRM_S:
                one.loud_db, one.louder_s = level, 0.0
                found.append(("louder", one.emitter))
        return found + self._drifted()

    def _drifted(self) -> list[tuple[str, Emitter]]:
        """One of the narrow ones, if nearly all have been followed the same way: the receiver's frequency drifts."""
        narrow = [one for one in self._known if one.high - one.low < _NARROW and not one.emitter.gone]
        middle = float(np.median([one.followed for one in narrow])) if len(narrow) > 1 else 0.0
        if abs(middle) < _DRIFT or sum(one.followed * middle > 0.0 for one in narrow) < _ALIKE * len(narrow):
            return []
        for one in narrow:
            one.followed = 0
        return [("drift", narrow[0].emitter)]

    def restart(self):
        """Time has jumped: the frames so far are not right before the next ones."""
        self._before: np.ndarray | None = None

    def missing(self, ratio: np.ndarray, variance_of: Callable[[int, int], float]) -> np.ndarray:
        """(F,) the largest loss of a steady emitter in frames of power over the background (F, N); 1: as when it is gone.

        Its mean power over 1 and 8 frames counts. What noise alone may take of that mean is allowed.

        Args:
            variance_of: of the mean of so many bins and frames, over that mean squared.
        """
        known = [one for one in self._known if not one.emitter.gone]
        score = np.zeros(len(ratio), np.float32)
        if not known:
            return score
        now = means_of(ratio, np.array([one.low for one in known]), np.array([one.high + 1 for one in known]))
        before = self._before
        if before is None or before.shape[1] != len(known):
            before = np.ones((HISTORY, len(known)))
        rows = np.concatenate([before, now])
        self._before = rows[-HISTORY:]
        for length in (1, LENGTHS[-1]):
            mean = np.mean([rows[HISTORY - k:len(rows) - k] for k in range(length)], axis=0)
            limit = np.array([max(_GONE_SHARE * one.over_db, _MIN_LOST_DB,
                                  _noise_takes_db(variance_of(one.high - one.low + 1, length))) for one in known])
            np.maximum(score, (-10.0 / limit * np.log10(np.maximum(mean, 1e-6))).max(axis=1), out=score)
        return score

    def carriers(self) -> list[tuple[int, int]]:
        """First and last bin of those that stand 10 dB or more over the noise: their level shows a change of gain."""
        return [(one.low, one.high) for one in self._known if one.over_db >= 10.0 and not one.emitter.gone]

    def _level(self, one: _Steady, mean: np.ndarray, registry: Registry) -> float:
        """Its level in this block. A narrow one that has drifted is followed, to where something is as strong as it was."""
        if one.high - one.low >= _NARROW:
            return max(float(_without_line(mean)[0][one.low:one.high + 1].max()), -200.0)
        low, high = max(one.low - _FOLLOW, 0), min(one.high + _FOLLOW, len(mean) - 1)
        part = mean[low:high + 1]
        level = float(part.max())
        shift = low + int(part.argmax()) - one.peak
        if (shift and level > mean[one.peak] + _MOVED_DB and abs(one.level_db - level) < _MIN_LOST_DB
                and 0 <= one.low + shift and one.high + shift < len(mean)):
            one.low, one.high, one.followed = one.low + shift, one.high + shift, one.followed + shift
            one.peak += shift
            one.emitter.center_hz.mean += shift * self._grid.bin_hz
            one.emitter.profile_low_hz += shift * self._grid.bin_hz
            registry.version += 1
        return level


def _without_line(mean_db: np.ndarray) -> tuple[np.ndarray, slice]:
    """Levels (N,) in dB with a straight line in the place of the receiver's own line, and the bins of that."""
    middle = len(mean_db) // 2
    line = slice(middle - DC_BINS, middle + DC_BINS + 1)
    out = mean_db.copy()
    out[line] = np.linspace(mean_db[line.start - 1], mean_db[line.stop], 2 * DC_BINS + 3)[1:-1]
    return out, line


def _noise_takes_db(variance: float) -> float:
    """Loss in dB of a gamma variable of mean 1 and this variance that is _RARE deviations below (Wilson and Hilferty 1931)."""
    return -30.0 * math.log10(max(1.0 - variance / 9.0 - _RARE * math.sqrt(variance / 9.0), 0.01))
