# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry: the emitters of a band, which of them a burst belongs to, and the power that they may show without an alert.

Frequencies are absolute, so that one registry serves all tunings of a scan. Shape letters: N bins, E emitters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from .emitter import Emitter, Running
from .parts import whole_of

PRIOR_LEVEL_DB, PRIOR_LOG_WIDTH, PRIOR_BINS = 4.0, 0.3, 1.0  # standard deviations of the next burst, before anything is known
MIN_MARGIN_DB, MAX_MARGIN_DB = 4.0, 20.0  # between the strongest burst heard and what alerts
_STEADY_BINS, _STEADY_MARGIN_DB = 2, 3.0  # of a steady emitter: bins to each side, and power
_MAX_SPREAD_BINS = 8  # that a centre may wander
_GATE = 9.0  # squared distance of a stranger's next burst
# deviations of a stranger's next burst; that of the centre is a share of the width
_STRANGE_LEVEL_DB, _STRANGE_LOG_WIDTH, _STRANGE_CENTER = 3.0, 0.12, 0.02
_MAX_HOPS = 256
_MAX_BEGINS = 8  # of a stranger whose bursts begin in several ways
_GROWN = 1.5  # times as wide as its first frames, from which on a burst is one of parts
JOIN_S = 0.5  # bursts with a shorter gap are one transmission
CROWD, CROWD_BINS = 4, 10  # emitters, and bins between neighbours
PLACE_AFTER = 3  # transmissions
_FOLLOW_SHARE, _FOLLOW_LOG_WIDTH = 0.25, 0.4  # of the width: from the mean, for a transmission's centre and width to count
FOLLOWED = 16  # transmissions of one of the band's own, over which its centre and width follow
SIGMAS = 4.0  # of a normal variable, beyond which a next burst is not expected


@dataclass
class Grid:
    """The bins of a tuning: frequency of the first one and width, Hz."""

    first_hz: float
    bin_hz: float
    n_bins: int

    def bin_of(self, freq_hz: float) -> float:
        """Bin, not rounded, that holds a frequency."""
        return (freq_hz - self.first_hz) / self.bin_hz

    def hz_of(self, bin_: float) -> float:
        """Frequency of the middle of a bin."""
        return self.first_hz + bin_ * self.bin_hz


@dataclass
class Sign:
    """A burst as the registry takes it: Hz, dB over the background, POSIX seconds; `peak` (M,) by bin from `low_hz` on."""

    center_hz: float
    bandwidth_hz: float
    level_db: float
    power_dbfs: float
    start_s: float
    end_s: float
    peak: np.ndarray
    low_hz: float
    bin_hz: float
    frame_s: float = 0.0
    labels: dict[str, float] = field(default_factory=dict)


class Registry:
    """The emitters of a band.

    Attributes:
        emitters: by id. ignored: ranges (low, high) in Hz that never alert. version: counts changes of what may show.
    """

    def __init__(self):
        self.emitters: dict[int, Emitter] = {}
        self.ignored: list[tuple[float, float]] = []
        self.version = 0
        self.sigmas = SIGMAS
        self._next = 1

    @property
    def n_whole(self) -> int:
        """Number of emitters that are no parts of others."""
        return sum(whole_of(emitter, self.emitters) is None for emitter in self.emitters.values())

    @property
    def next_id(self) -> int:
        """Number that the next emitter gets."""
        return self._next

    @classmethod
    def of(cls, emitters: Iterable[Emitter], ignored: Iterable[tuple[float, float]], next_id: int = 1) -> Registry:
        """A registry with these emitters and ranges, as a band file holds them. No number is given twice."""
        registry = cls()
        registry.emitters = {emitter.id: emitter for emitter in emitters}
        registry.ignored = [(float(low), float(high)) for low, high in ignored]
        registry._next = max([next_id - 1, *registry.emitters]) + 1
        return registry

    # -- what a burst is

    def stranger_of(self, sign: Sign) -> Emitter | None:
        """The emitter, not one of the band's own, whose bursts begin as this one does: in centre, width and level together.

        One that was heard PLACE_AFTER times has a place: a burst that fills at least half of it is its own.

        Args:
            sign: of the first frames of a burst.
        """
        best, least = None, _GATE
        for emitter in self.emitters.values():
            if emitter.belongs:
                continue
            fills = sign.bandwidth_hz > 0.5 * emitter.bandwidth_hz and self._share(emitter, sign) > 0.8
            if emitter.count >= PLACE_AFTER and fills:
                return emitter
            distance = self._distance(emitter, sign)
            if distance < least:
                best, least = emitter, distance
        return best

    def _distance(self, emitter: Emitter, sign: Sign) -> float:
        return min((_begin_distance(begin, sign) for begin in emitter.begins), default=math.inf)

    def begins(self, emitter: Emitter, sign: Sign):
        """Takes the first frames of a stranger's burst: its next burst is known by them, before it has ended."""
        seen = (sign.center_hz, math.log(sign.bandwidth_hz), sign.level_db)
        begin = min(emitter.begins, key=lambda b: _begin_distance(b, sign), default=None)
        if begin is not None and _begin_distance(begin, sign) < _GATE:
            begin[3] += 1.0
            for n, value in enumerate(seen):
                begin[n] += (value - begin[n]) / begin[3]
        elif len(emitter.begins) < (_MAX_HOPS if emitter.hops_hz else _MAX_BEGINS):
            emitter.begins.append([*seen, 1.0])

    def own_at(self, sign: Sign) -> Emitter | None:
        """The band's own emitter in whose place this burst lies: the one that shares the largest part of it, at least half."""
        best, largest = None, 0.5
        for emitter in self.emitters.values():
            if emitter.belongs and (share := self._share(emitter, sign)) > largest:
                best, largest = emitter, share
        return best

    def _share(self, emitter: Emitter, sign: Sign) -> float:
        """Share of a burst that lies in the place of an emitter."""
        low, high = sign.center_hz - 0.5 * sign.bandwidth_hz, sign.center_hz + 0.5 * sign.bandwidth_hz
        reach = self.wander_hz(emitter, sign.bin_hz)
        share = max(min(high, last + reach) - max(low, first - reach) for first, last in emitter.places()) / (high - low)
        if emitter.parts and share > 0.5:  # what lies between them may be of others
            bins = np.arange(low + 0.5 * sign.bin_hz, high, sign.bin_hz)
            shown = np.flatnonzero(emitter.profile > math.sqrt(emitter.profile.max(initial=1.0)))  # half of its decibels
            shown = emitter.profile_low_hz + shown * emitter.profile_bin_hz
            near = np.abs(bins[:, None] - shown[None, :]).min(axis=1, initial=math.inf) < reach + sign.bin_hz
            return float(near.mean())
        return share

    def steady_at(self, sign: Sign) -> Emitter | None:
        """The steady emitter whose place this signal takes."""
        for emitter in self.emitters.values():
            reach = 2.0 * sign.bin_hz + 0.25 * sign.bandwidth_hz
            if emitter.steady and abs(emitter.center_hz.mean - sign.center_hz) < reach:
                return emitter
        return None

    def crowd_at(self, sign: Sign) -> list[Emitter]:
        """The crowd in whose midst this burst lies: CROWD or more of the band's own emitters, each near the next one.

        If so many devices share a channel, one more that is no stronger is nothing new.
        """
        own = sorted((e for e in self.emitters.values() if e.belongs and not e.steady and not e.hops_hz), key=lambda e: e.low_hz)
        crowd: list[Emitter] = []
        end = -math.inf
        for emitter in own:
            if emitter.low_hz > end + CROWD_BINS * sign.bin_hz:
                if len(crowd) >= CROWD and crowd[0].low_hz <= sign.center_hz <= end:
                    return crowd
                crowd = []
            crowd.append(emitter)
            end = max(end, emitter.high_hz) if len(crowd) > 1 else emitter.high_hz
        return crowd if len(crowd) >= CROWD and crowd[0].low_hz <= sign.center_hz <= end else []

    def set_rate(self, false_per_hour: float):
        """Sets the alerts an hour that may be false. How far a next burst may go follows from it."""
        self.sigmas = min(max(SIGMAS - 0.5 * math.log10(max(false_per_hour, 1e-3)), 2.0), 5.5)
        self.version += 1

    def like(self, sign: Sign) -> Emitter | None:
        """The emitter that a burst heard while learning is put to: near in centre and width."""
        best, least = None, _GATE
        for emitter in self.emitters.values():
            width = max(emitter.bandwidth_hz, sign.bandwidth_hz)
            center = emitter.center_hz.scale(PRIOR_BINS * sign.bin_hz + 0.05 * width)
            log_width = emitter.log_width.scale(PRIOR_LOG_WIDTH + 1.5 * sign.bin_hz / width)
            level = emitter.level_db.scale(2 * PRIOR_LEVEL_DB)
            distance = (((sign.center_hz - emitter.center_hz.mean) / center) ** 2
                        + ((math.log(sign.bandwidth_hz) - emitter.log_width.mean) / log_width) ** 2
                        + ((sign.level_db - emitter.level_db.mean) / level) ** 2)
            if distance < least:
                best, least = emitter, distance
        return best

    def is_ignored(self, low_hz: float, high_hz: float) -> bool:
        """Whether the middle of a signal lies in an ignored range."""
        middle = 0.5 * (low_hz + high_hz)
        return any(low <= middle <= high for low, high in self.ignored)

    # -- changes

    def add(self, sign: Sign, *, belongs: bool, learned: bool) -> Emitter:
        """A new emitter with its first burst."""
        emitter = Emitter(self._next, sign.start_s, sign.end_s, belongs=belongs, learned=learned)
        self.emitters[emitter.id] = emitter
        self._next += 1
        self.heard(emitter, sign)
        return emitter

    def heard(self, emitter: Emitter, sign: Sign):
        """A further burst of an emitter. One that follows the last within ``JOIN_S`` belongs to the same transmission."""
        if not emitter.count or sign.start_s - emitter.last_s > JOIN_S:
            if emitter.count and not emitter.belongs:  # the gaps of the band's own are counted by ``activity``
                self.count_gap(emitter, sign.start_s - emitter.last_s)
            if not (emitter.count and emitter.parts):  # one part is not the whole of it
                if not (emitter.hops_hz and emitter.center_hz.count):  # its centre is that of the first hop
                    emitter.center_hz.add(sign.center_hz)
                emitter.log_width.add(math.log(sign.bandwidth_hz))
            self._count(emitter, sign.start_s, sign.end_s, sign.level_db)
        emitter.power_dbfs = sign.power_dbfs
        emitter.last_s = max(emitter.last_s, sign.end_s)
        emitter.labels.update(sign.labels)
        _widen(emitter, sign)
        self.version += 1

    def first_burst(self, emitter: Emitter, sign: Sign):
        """The burst that made this emitter known is over: what was taken of its first frames is replaced.

        If it has grown since, its first frames are a part of it, and so will those of the next one be.
        """
        low, high = emitter.low_hz, emitter.high_hz
        emitter.parts += sign.bandwidth_hz > _GROWN * (high - low)
        emitter.center_hz, emitter.log_width, emitter.level_db, emitter.log_length = Running(), Running(), Running(), Running()
        emitter.count = 0
        if not emitter.parts:
            emitter.profile = np.zeros(0, np.float32)
        self.heard(emitter, sign)
        if emitter.parts:
            self._reaches(emitter, low, high)

    def part_of(self, emitter: Emitter, sign: Sign):
        """A further part of the first emission of an emitter: it is as wide as both."""
        if emitter.count <= 1:
            self._reaches(emitter, sign.center_hz - 0.5 * sign.bandwidth_hz, sign.center_hz + 0.5 * sign.bandwidth_hz)
            emitter.parts += 1
        emitter.last_s = max(emitter.last_s, sign.end_s)
        _widen(emitter, sign)
        self.version += 1

    def _reaches(self, emitter: Emitter, low_hz: float, high_hz: float):
        """An emitter that was heard once takes in this range."""
        low, high = min(emitter.low_hz, low_hz), max(emitter.high_hz, high_hz)
        emitter.center_hz, emitter.log_width = Running(), Running()
        emitter.center_hz.add(0.5 * (low + high))
        emitter.log_width.add(math.log(high - low))

    def hops_to(self, emitter: Emitter, sign: Sign):
        """A new emitter goes on at another frequency."""
        emitter.hops_hz = emitter.hops_hz or [emitter.center_hz.mean]
        if len(emitter.hops_hz) < _MAX_HOPS:
            emitter.hops_hz.append(sign.center_hz)
        emitter.hopped += 1

    def is_second_hop(self, emitter: Emitter, sign: Sign) -> bool:
        """Whether a burst lies at the second of two hops."""
        return len(emitter.hops_hz) == 2 and abs(sign.center_hz - emitter.hops_hz[1]) < 0.5 * emitter.bandwidth_hz + sign.bin_hz

    def unhop(self, emitter: Emitter):
        """The second hop is another emitter's: forgets it."""
        first, second = emitter.hops_hz
        emitter.begins = [begin for begin in emitter.begins if abs(begin[0] - first) <= abs(begin[0] - second)]
        at = emitter.profile_low_hz + np.arange(len(emitter.profile)) * emitter.profile_bin_hz
        emitter.profile[np.abs(at - first) > np.abs(at - second)] = 1.0
        emitter.hops_hz, emitter.hopped = [], 0
        self.version += 1

    def join_hops(self, emitters: list[Emitter]):
        """Emitters of a hop set become one, the first of them. The silences of one hop are not those of the whole."""
        first, *others = emitters
        first.hops_hz = [emitter.center_hz.mean for emitter in emitters]
        first.log_gap, first.gap_sum_s = Running(), 0.0
        for other in others:
            first.count += other.count
            first.level_db.add(other.level_db.mean)
            first.level_db.high = max(first.level_db.high, other.level_db.high)
            first.first_s, first.last_s = min(first.first_s, other.first_s), max(first.last_s, other.last_s)
            first.labels.update(other.labels)
            _take_profile(first, other.profile, other.profile_low_hz, other.profile_bin_hz)
            del self.emitters[other.id]
        self.version += 1

    def prune(self, before_s: float):
        """Forgets strangers that were heard once, before this time, and to whom nobody gave a name."""
        for emitter in list(self.emitters.values()):
            if not (emitter.belongs or emitter.name) and emitter.count <= 1 and emitter.last_s < before_s:
                del self.emitters[emitter.id]

    def showed(self, emitter: Emitter, sign: Sign):
        """One of the band's own showed more than it may: it may do so from here on. Its centre and width stay."""
        emitter.count += sign.start_s - emitter.last_s > JOIN_S
        emitter.level_db.high = max(emitter.level_db.high, sign.level_db)
        emitter.last_s = max(emitter.last_s, sign.end_s)
        _widen(emitter, sign)
        self.version += 1

    def active(self, emitter: Emitter, start_s: float, end_s: float, level_db: float, place: tuple[float, float] | None = None):
        """The emitter's own place was active: a transmission like those that were heard.

        Args:
            place: centre and width, Hz, if they could be measured. Their means follow; how far they may go is known from bursts.
        """
        self._count(emitter, start_s, end_s, level_db)
        if place is not None and not emitter.parts:  # one part is not the whole of it
            change_hz, wider = abs(place[0] - emitter.center_hz.mean), abs(math.log(place[1]) - emitter.log_width.mean)
            if change_hz < _FOLLOW_SHARE * emitter.bandwidth_hz and wider < _FOLLOW_LOG_WIDTH:
                memory = min(1 + emitter.waveform.heard, FOLLOWED)
                emitter.center_hz.mean += (place[0] - emitter.center_hz.mean) / memory
                emitter.log_width.mean += (math.log(place[1]) - emitter.log_width.mean) / memory
        emitter.last_s = max(emitter.last_s, end_s)

    def _count(self, emitter: Emitter, start_s: float, end_s: float, level_db: float):
        emitter.count += 1
        emitter.level_db.add(level_db)
        emitter.log_length.add(math.log(max(end_s - start_s, 1e-4)))
        emitter.gone = False

    def count_gap(self, emitter: Emitter, gap_s: float):
        """A silence between two of its transmissions, in s."""
        if gap_s > 0.0:
            emitter.log_gap.add(math.log(max(gap_s, 1e-3)))
            emitter.gap_sum_s += gap_s

    def belongs_now(self, emitter: Emitter):
        """The emitter is one of the band's own from here on."""
        emitter.belongs = True
        self.version += 1

    # -- what may show

    def wander_hz(self, emitter: Emitter, bin_hz: float, sigmas: float = 3.0) -> float:
        """How far its centre may lie from the mean. That of a steady emitter is followed."""
        if emitter.steady:
            return _STEADY_BINS * bin_hz
        return min(emitter.center_hz.reach(PRIOR_BINS * bin_hz, sigmas), _MAX_SPREAD_BINS * bin_hz)

    def margin_db(self, emitter: Emitter, sigmas: float | None = None) -> float:
        """How far its next burst may rise over the strongest one heard."""
        level = emitter.level_db
        if not level.count:
            return MIN_MARGIN_DB
        over = level.mean + level.reach(PRIOR_LEVEL_DB, sigmas or self.sigmas) - level.high
        return min(max(over, MIN_MARGIN_DB), MAX_MARGIN_DB)

    def allowed(self, grid: Grid) -> np.ndarray:
        """(N,) power over the background that each bin may show; 1 if no emitter of the band's own is heard there."""
        out = np.ones(grid.n_bins, np.float32)
        for emitter in self._within(grid):
            if not emitter.profile.size:
                continue
            margin_db = _STEADY_MARGIN_DB if emitter.steady else self.margin_db(emitter)
            peak = emitter.profile * np.float32(10.0 ** (0.1 * margin_db))
            first = round(grid.bin_of(emitter.profile_low_hz))
            reach = math.ceil(self.wander_hz(emitter, grid.bin_hz) / grid.bin_hz)
            for shift in range(-reach, reach + 1):
                low, high = first + shift, first + shift + len(peak)
                part = slice(max(low, 0), min(high, grid.n_bins))
                if part.start < part.stop:
                    np.maximum(out[part], peak[part.start - low:part.stop - low], out=out[part])
        return out

    def cores(self, grid: Grid) -> list[tuple[Emitter, int, int]]:
        """The band's own emitters within a tuning, with first bin and end of each of their cores."""
        found = []
        for emitter in self._within(grid):
            for low_hz, high_hz in emitter.places():
                low = max(math.floor(grid.bin_of(low_hz) + 0.5), 0)
                high = min(math.floor(grid.bin_of(high_hz) + 0.5) + 1, grid.n_bins)
                if low < high:
                    found.append((emitter, low, high))
        return found

    def _within(self, grid: Grid) -> Iterator[Emitter]:
        low, high = grid.hz_of(-0.5), grid.hz_of(grid.n_bins - 0.5)
        return (e for e in self.emitters.values() if e.belongs and any(a < high and low < b for a, b in e.places()))


def _begin_distance(begin: list[float], sign: Sign) -> float:
    """Squared distance of the first frames of a burst from those of earlier ones, in deviations."""
    width = sign.bandwidth_hz
    return (((sign.center_hz - begin[0]) / (sign.bin_hz + _STRANGE_CENTER * width)) ** 2
            + ((math.log(width) - begin[1]) / (_STRANGE_LOG_WIDTH + 1.5 * sign.bin_hz / width)) ** 2
            + ((sign.level_db - begin[2]) / _STRANGE_LEVEL_DB) ** 2)


def _widen(emitter: Emitter, sign: Sign):
    """Takes the largest power by bin."""
    _take_profile(emitter, np.asarray(sign.peak, np.float32), sign.low_hz, sign.bin_hz)


def _take_profile(emitter: Emitter, peak: np.ndarray, low_hz: float, bin_hz: float):
    if not emitter.profile.size or abs(emitter.profile_bin_hz / bin_hz - 1.0) > 1e-6:
        emitter.profile, emitter.profile_low_hz, emitter.profile_bin_hz = peak.copy(), low_hz, bin_hz
        return
    shift = round((low_hz - emitter.profile_low_hz) / bin_hz)
    low, high = min(shift, 0), max(shift + len(peak), len(emitter.profile))
    wide = np.ones(high - low, np.float32)
    wide[-low:len(emitter.profile) - low] = emitter.profile
    part = slice(shift - low, shift - low + len(peak))
    np.maximum(wide[part], peak, out=wide[part])
    emitter.profile, emitter.profile_low_hz = wide, emitter.profile_low_hz + low * bin_hz
