# SPDX-License-Identifier: GPL-3.0-or-later
"""Position fixes become tracks: association, filtering, births, deaths, reports out of order, impossible motion.

All tracks live in one bank (``imm``), horizontal and height apart, and a scan costs a few array operations however many there
are. A fix whose identity a track has belongs to that track; the others are shared out by global nearest neighbour, first the
strong ones, then the weak ones among the tracks left over (as ByteTrack does with faint detections, arXiv:2110.06864).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from . import impossible
from .associate import gate_distance2, pair
from .estimate import Estimate
from .filters import add_field, assemble
from .fix import Fix
from .group_field import Groups
from .imm import ImmState
from .impossible import MotionWatch, TrackAnomaly
from .motion_field import Gains, MotionField, Past, correct, learn, no_correction, no_gains, no_past, remember
from .settings import SpatialSettings

TENTATIVE, CONFIRMED = "tentative", "confirmed"
_MOST_ANOMALY_IDS = 32
_FEW = 200  # tracks; up to so many are all predicted without asking which are near
_SWEEP_S = 1.0


@dataclass(frozen=True)
class Track:
    """A track at one moment. id; state: tentative or confirmed; age_s since its first fix; updated_s: time of its last; hits;
    identity; source of the last fix; probability (M,) of the horizontal models; estimate; anomaly_ids of the emissions it was
    heard by; anomaly: the last impossible motion."""

    id: str
    state: str
    age_s: float
    updated_s: float
    hits: int
    identity: str | None
    source: str
    probability: np.ndarray
    estimate: Estimate
    anomaly_ids: tuple[str, ...] = ()
    anomaly: TrackAnomaly | None = None


@dataclass
class _Moment:
    """A fix that a track has taken, with the bank's rows after it; height and height_s None before any height."""

    fix: Fix
    horizontal: ImmState
    learned: tuple[Past, Gains]
    height: ImmState | None
    height_s: float | None


@dataclass
class _Entry:
    """What a track is besides its rows in the bank."""

    id: str
    row: int
    born_s: float
    fix: Fix
    identity: str | None
    state: str = TENTATIVE
    hits: int = 1
    missed: int = 0  # scans in a row
    chances: deque = field(default_factory=deque)
    watch: MotionWatch = field(default_factory=MotionWatch)
    moments: deque = field(default_factory=deque)
    anomaly_ids: deque = field(default_factory=lambda: deque(maxlen=_MOST_ANOMALY_IDS))
    anomaly: TrackAnomaly | None = None


class SpatialTracker:
    """Tracks of everything that reports or is reported.

    Attributes:
        counts: fixes by what became of them: used, born, late, duplicate, impossible_motion, duplicate_identity, unused.
        time_s: of the newest scan; None before any.
    """

    def __init__(self, settings: SpatialSettings | None = None):
        self.counts: Counter[str] = Counter()
        self.time_s: float | None = None
        self._entries: dict[int, _Entry] = {}  # by row
        self._by_identity: dict[str, int] = {}
        self._free: list[int] = []
        self._changed: dict[int, None] = {}  # rows that updated_since has not told of, in order
        self._n_born = 0
        self._swept_s = -np.inf
        self._horizontal: ImmState | None = None
        self._groups: Groups | None = None
        self._ended: list[Track] = []
        self._new_anomalies: list[Track] = []
        self.set_settings(settings or SpatialSettings())

    def set_settings(self, settings: SpatialSettings):
        """Takes effect with the next scan. The tracks stay, unless the number of motion models changes: then they end."""
        self.settings = settings
        horizontal, vertical = settings.horizontal_imm(), settings.vertical_imm()
        shape = (len(horizontal.models), len(vertical.models))
        self._imm, self._imm_height = horizontal, vertical
        self._field = MotionField.shipped() if settings.motion_field else None
        if self._field is not None and self._field.n_models != shape[0]:
            raise ValueError(f"the shipped motion field goes with {self._field.n_models} horizontal models, not {shape[0]}; set "
                             "motion_field=False")
        if self._groups is None or self._groups.radius_m != settings.group_radius_m:
            self._groups = Groups(settings.group_radius_m) if settings.group_radius_m else None
        if self._horizontal is None or shape != (self._horizontal.probability.shape[1], self._height.probability.shape[1]):
            self._entries.clear()
            self._by_identity.clear()
            self._changed.clear()
            self._allocate(64)

    def _gate(self, dimensions: int) -> float:
        return gate_distance2(self.settings.gate_probability, dimensions)

    # What comes in

    def scan(self, time_s: float, fixes: Sequence[Fix]) -> None:
        """Takes all fixes of one moment (one report is a scan of one); older than the newest scan, up to reorder_s, they are
        put into their places in the past. Raises ValueError when the time is not finite."""
        time_s = float(time_s)
        if not np.isfinite(time_s):
            raise ValueError(f"a scan at {time_s} s; times must be finite")
        if self.time_s is not None and time_s < self.time_s:
            self._late(time_s, fixes)
            return
        self.time_s = time_s
        pairs, others = self._by_name(fixes)
        strong, newborn = self._associate(time_s, [f for f in others if not f.weak], {row for row, _ in pairs})
        pairs += strong
        weak, unused = self._associate(time_s, [f for f in others if f.weak], {row for row, _ in pairs})
        pairs += weak
        self.counts.update(born=len(newborn), unused=len(unused))
        self._take(time_s, pairs)
        if not fixes or any(fix.identity is None for fix in fixes):
            self._count_misses({row for row, _ in pairs})
        self._start(time_s, newborn)
        if time_s - self._swept_s >= _SWEEP_S:
            self._sweep(time_s)

    # What comes out

    def tracks(self, time_s: float | None = None, tentative: bool = False) -> list[Track]:
        """Confirmed tracks (and tentative ones) at a time, by default that of the newest scan."""
        if self.time_s is None:
            return []
        entries = [e for e in self._entries.values() if tentative or e.state == CONFIRMED]
        return self._describe(entries, self.time_s if time_s is None else float(time_s))

    def updated_since(self, told_s: dict[str, float], interval_s: float) -> list[Track]:
        """Confirmed tracks that are not in told_s, or have a fix newer than told_s[id] by interval_s or more."""
        if self.time_s is None:
            return []
        due = [row for row in self._changed if self._entries[row].state == CONFIRMED
               and _due(float(self._seen_s[row]), told_s.get(self._entries[row].id), interval_s)]
        for row in due:
            del self._changed[row]
        return self._describe([self._entries[row] for row in due], self.time_s)

    @property
    def any_confirmed(self) -> bool:
        return any(entry.state == CONFIRMED for entry in self._entries.values())

    def correlate(self, anomaly_id: str, time_s: float, freq_center_hz: float, bandwidth_hz: float, near_s: float) -> None:
        """Notes an anomaly with the track whose emission it is: the only one whose last fix, near_s before or after at most, was
        heard on a frequency inside the anomaly."""
        found = [e for e in self._entries.values() if e.fix.freq_center_hz is not None
                 and abs(e.fix.freq_center_hz - freq_center_hz) <= bandwidth_hz / 2
                 and abs(self._seen_s[e.row] - time_s) <= near_s]
        if len(found) == 1 and anomaly_id not in found[0].anomaly_ids:
            found[0].anomaly_ids.append(anomaly_id)

    def forecasts(self, horizons_s: Sequence[float], time_s: float | None = None,
                  ids: set[str] | None = None) -> dict[str, list[Estimate]]:
        """For each confirmed track's id (of those in ids), an estimate at each of the rising horizons after a time."""
        entries = [e for e in self._entries.values() if e.state == CONFIRMED and (ids is None or e.id in ids)]
        result: dict[str, list[Estimate]] = {e.id: [] for e in entries}
        start = self.time_s if time_s is None else float(time_s)
        banks = None
        for horizon in horizons_s:
            banks, estimates = self._estimates(entries, start + float(horizon), banks)
            for entry, estimate in zip(entries, estimates, strict=True):
                result[entry.id].append(estimate)
        return result

    def take_ended(self) -> list[Track]:
        """Confirmed tracks that have ended since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def take_anomalies(self) -> list[Track]:
        """Tracks whose motion has become impossible since the last call."""
        found, self._new_anomalies = self._new_anomalies, []
        return found

    def restart(self) -> None:
        """Ends every track; the next scan is the first, whatever its time."""
        for entry in list(self._entries.values()):
            self._end(entry, self.time_s)
        self.time_s, self._swept_s = None, -np.inf

    def __len__(self):
        return len(self._entries)

    # Association

    def _by_name(self, fixes):
        """Pairs (row, fix) by identity, and the fixes of which no track knows the identity."""
        pairs, others, seen = [], [], set()
        for fix in fixes:
            row = self._by_identity.get(fix.identity) if fix.identity is not None else None
            if fix.identity is not None and fix.identity in seen:
                self.counts["duplicate"] += 1
                continue
            if fix.identity is not None:
                seen.add(fix.identity)
            if row is None:
                others.append(fix)
            else:
                pairs.append((row, fix))
        return pairs, others

    def _associate(self, time_s, fixes, taken):
        rows = np.array([row for row in self._entries if row not in taken], int)
        if not fixes:
            return [], []
        if len(rows) > _FEW:
            rows = rows[self._near(rows, time_s, fixes)]
        if not len(rows):
            return [], fixes
        cost = self._costs(rows, time_s, fixes)
        for column, fix in enumerate(fixes):
            if fix.identity is not None:  # a track of another name is not this one
                cost[[self._entries[row].identity is not None for row in rows], column] = np.inf
        confirmed = np.array([self._entries[row].state == CONFIRMED for row in rows])
        pairs, left = [], np.ones(len(fixes), bool)
        for chosen in (confirmed, ~confirmed):
            if chosen.any() and left.any():
                columns = np.flatnonzero(left)
                for row, column in pair(cost[np.ix_(chosen, columns)]):
                    pairs.append((int(rows[chosen][row]), fixes[columns[column]]))
                    left[columns[column]] = False
        return pairs, [fix for fix, alone in zip(fixes, left, strict=True) if alone]

    def _costs(self, rows, time_s, fixes) -> np.ndarray:
        """(T, N): see ``associate``; infinite outside the gate, and where the new report is no better than a false one."""
        bank = self._predicted(rows, time_s)
        position = np.array([fix.position_m[:2] for fix in fixes])
        noise = np.array([fix.covariance_m2[:2, :2] for fix in fixes])
        mean, covariance = self._imm.combined(bank)
        s = covariance[:, None, :2, :2] + noise[None]
        residual = position[None] - mean[:, None, :2]
        determinant = s[..., 0, 0] * s[..., 1, 1] - s[..., 0, 1] ** 2
        distance2 = (residual[..., 0] ** 2 * s[..., 1, 1] + residual[..., 1] ** 2 * s[..., 0, 0]
                     - 2 * residual[..., 0] * residual[..., 1] * s[..., 0, 1]) / determinant
        gate = np.full(distance2.shape, self._gate(2))
        cost = distance2 + np.log((2 * np.pi) ** 2 * determinant)
        with_height = np.array([len(fix.position_m) == 3 for fix in fixes])
        known = np.isfinite(self._height_s[rows])
        if with_height.any() and known.any():
            both = known[:, None] & with_height[None]
            mean, covariance = self._imm_height.combined(self._predicted_height(rows[known], time_s))
            z = np.array([fix.position_m[2] if len(fix.position_m) == 3 else 0.0 for fix in fixes])
            r = np.array([fix.covariance_m2[2, 2] if len(fix.position_m) == 3 else 1.0 for fix in fixes])
            s, off = covariance[:, 0, :1] + r, z - mean[:, :1]
            height2 = np.zeros_like(distance2)
            height2[known] = off**2 / s
            distance2 = distance2 + np.where(both, height2, 0)
            gate[both] = self._gate(3)
            cost = cost + np.where(both, height2, 0)
        cost = cost + 2 * np.log(self.settings.false_density)
        return np.where((distance2 <= gate) & (cost < 0), cost, np.inf)

    def _near(self, rows, time_s, fixes) -> np.ndarray:
        """Which rows any of the fixes may belong to, without predicting them exactly."""
        dt = time_s - self._seen_s[rows]
        place = self._mean[rows, :2] + self._mean[rows, 2:4] * dt[:, None]
        spread = self._covariance[rows]
        reach = 6 * np.sqrt(np.einsum("tii->t", spread[:, :2, :2]) + dt**2 * np.einsum("tii->t", spread[:, 2:4, 2:4]))
        reach = reach + 20 * dt**2
        near = np.zeros(len(rows), bool)
        for fix in fixes:
            off = np.linalg.norm(place - fix.position_m[:2], axis=1)
            near |= off <= reach + 6 * np.sqrt(np.trace(fix.covariance_m2[:2, :2]))
        return near

    # Filtering

    def _allocate(self, n):
        """Room for n tracks; the rows in use stay."""
        m, m_height = len(self._imm.models), len(self._imm_height.models)
        bank = ImmState(np.zeros((n, m, 6)), np.tile(np.eye(6), (n, m, 1, 1)), np.full((n, m), 1 / m))
        height = ImmState(np.zeros((n, m_height, 3)), np.tile(np.eye(3), (n, m_height, 1, 1)),
                          np.full((n, m_height), 1 / m_height))
        arrays = {"_seen_s": np.zeros(n), "_is_ahead": np.zeros(n, bool), "_height_s": np.full(n, np.nan),
                  "_mean": np.zeros((n, 6)), "_covariance": np.zeros((n, 6, 6))}
        past, gains, correction = no_past(n, m), no_gains(n), no_correction(n)
        used = len(self._entries) and len(self._seen_s)
        if used:
            bank.put(slice(0, used), self._horizontal)
            height.put(slice(0, used), self._height)
            past.put(slice(0, used), self._past)
            gains.put(slice(0, used), self._gains)
            correction.put(slice(0, used), self._correction)
            for name, array in arrays.items():
                array[:used] = getattr(self, name)
        self._horizontal, self._height = bank, height
        self._past, self._gains, self._correction = past, gains, correction
        self._ahead, self._ahead_s = bank.take(np.arange(n)), None
        for name, array in arrays.items():
            setattr(self, name, array)
        self._free = [row for row in range(n - 1, -1, -1) if row not in self._entries]

    def _predicted(self, rows, time_s) -> ImmState:
        """The bank of these rows at a time; a row that was predicted to that time already is not predicted again."""
        if time_s != self._ahead_s:
            self._ahead_s = time_s
            self._is_ahead[:] = False
        new = rows[~self._is_ahead[rows]]
        if len(new):
            dt = np.maximum(time_s - self._seen_s[new], 0)
            self._ahead.put(new, self._imm.predict(self._horizontal.take(new), dt))
            self._is_ahead[new] = True
        return self._ahead.take(rows)

    def _predicted_height(self, rows, time_s) -> ImmState:
        return self._imm_height.predict(self._height.take(rows), time_s - self._height_s[rows])

    def _take(self, time_s, pairs):
        """Updates the tracks with their fixes."""
        pairs = self._judge_motion(time_s, pairs)
        if not pairs:
            return
        rows = np.array([row for row, _ in pairs])
        fixes = [fix for _, fix in pairs]
        self._update(rows, time_s, fixes)
        for row, fix in pairs:
            self._took(self._entries[row], fix)
        self._remember(rows, fixes)
        if self._groups is not None:
            self._groups.heard(time_s, [self._entries[row].id for row in rows.tolist()], self._mean[rows, :4],
                               self._covariance[rows, :4, :4])
        self._judge_speed(rows, time_s)

    def _update(self, rows, time_s, fixes):
        position = np.array([fix.position_m[:2] for fix in fixes])
        noise = np.array([fix.covariance_m2[:2, :2] for fix in fixes])
        dt = time_s - self._seen_s[rows]
        bank, innovation = self._imm.update(self._predicted(rows, time_s), position, noise)
        self._write(rows, bank, time_s)
        self._learn(rows, dt, bank, innovation)
        tall = [k for k, fix in enumerate(fixes) if len(fix.position_m) == 3]
        if not tall:
            return
        z = np.array([fixes[k].position_m[2:] for k in tall])
        r = np.array([fixes[k].covariance_m2[2:, 2:] for k in tall])
        new = ~np.isfinite(self._height_s[rows[tall]])
        for chosen in (new, ~new):
            if chosen.any():
                some = rows[tall][chosen]
                if chosen is new:
                    bank = self._imm_height.start(z[chosen], r[chosen])
                else:
                    bank, _ = self._imm_height.update(self._predicted_height(some, time_s), z[chosen], r[chosen])
                self._height.put(some, bank)
                self._height_s[some] = time_s

    def _learn(self, rows, dt, bank, innovation):
        """What the motion field makes of an update: it learns from it, and says what comes."""
        if self._field is None:
            return
        self._gains.put(rows, learn(self._gains.take(rows), self._correction.take(rows), innovation, dt))
        self._past.put(rows, remember(self._past.take(rows), innovation, dt, bank.probability, self._mean[rows, 2:4]))
        self._correct(rows)

    def _correct(self, rows):
        self._correction.put(rows, correct(self._field, self._mean[rows], self._covariance[rows],
                                           self._horizontal.probability[rows], self._past.take(rows), self._gains.take(rows)))

    def _write(self, rows, bank, time_s):
        self._horizontal.put(rows, bank)
        self._is_ahead[rows] = False
        self._mean[rows], self._covariance[rows] = self._imm.combined(bank)
        self._seen_s[rows] = time_s
        self._changed.update(dict.fromkeys(rows.tolist()))

    def _took(self, entry, fix):
        self.counts["used"] += 1
        entry.hits += 1
        entry.missed = 0
        entry.fix = fix
        entry.chances.append(True)
        if fix.identity is not None and entry.identity is None:
            entry.identity = fix.identity
            self._by_identity[fix.identity] = entry.row
        if fix.anomaly_id is not None and fix.anomaly_id not in entry.anomaly_ids:
            entry.anomaly_ids.append(fix.anomaly_id)
        self._confirm(entry)

    def _confirm(self, entry):
        while len(entry.chances) > self.settings.confirm_scans:
            entry.chances.popleft()
        if entry.state == TENTATIVE and sum(entry.chances) >= self.settings.confirm_hits:
            entry.state = CONFIRMED

    def _remember(self, rows, fixes):
        """Keeps what later reports out of order go back to."""
        horizontal, height = self._horizontal.take(rows), self._height.take(rows)
        past, gains = self._past.take(rows), self._gains.take(rows)
        for k, (row, fix) in enumerate(zip(rows, fixes, strict=True)):
            one = slice(k, k + 1)
            entry, height_s = self._entries[int(row)], self._height_s[row]
            known = np.isfinite(height_s)
            entry.moments.append(_Moment(fix, horizontal.take(one), (past.take(one), gains.take(one)),
                                         height.take(one) if known else None,
                                         float(height_s) if known else None))
            self._forget(entry)

    def _forget(self, entry):
        oldest = entry.moments[-1].fix.time_s - self.settings.reorder_s
        while len(entry.moments) > 1 and entry.moments[1].fix.time_s <= oldest:
            entry.moments.popleft()

    # Births, deaths

    def _start(self, time_s, fixes):
        if not fixes:
            return
        while len(self._free) < len(fixes):
            self._allocate(2 * len(self._seen_s))
        rows = np.array([self._free.pop() for _ in fixes])
        position = np.array([fix.position_m[:2] for fix in fixes])
        noise = np.array([fix.covariance_m2[:2, :2] for fix in fixes])
        self._height_s[rows] = np.nan
        for row, fix in zip(rows, fixes, strict=True):
            self._n_born += 1
            entry = _Entry(f"S{self._n_born}", int(row), time_s, fix, fix.identity)
            entry.chances.append(True)
            if fix.anomaly_id is not None:
                entry.anomaly_ids.append(fix.anomaly_id)
            if fix.identity is not None:
                self._by_identity[fix.identity] = int(row)
            self._entries[int(row)] = entry
            self._confirm(entry)
        self._restart(rows, time_s, fixes, position, noise)

    def _restart(self, rows, time_s, fixes, position, noise):
        self._write(rows, self._imm.start(position, noise), time_s)
        self._past.put(rows, no_past(len(rows), len(self._imm.models)))
        self._gains.put(rows, no_gains(len(rows)))
        self._correction.put(rows, no_correction(len(rows)))
        self._height_s[rows] = np.nan
        tall = [k for k, fix in enumerate(fixes) if len(fix.position_m) == 3]
        if tall:
            self._height.put(rows[tall], self._imm_height.start(np.array([fixes[k].position_m[2:] for k in tall]),
                                                                np.array([fixes[k].covariance_m2[2:, 2:] for k in tall])))
            self._height_s[rows[tall]] = time_s
        for row in rows:
            self._entries[int(row)].moments.clear()
        self._remember(rows, fixes)

    def _count_misses(self, hit):
        """A scan that names nobody was a chance for every track without an identity."""
        for row, entry in list(self._entries.items()):
            if row in hit or entry.identity is not None:
                continue
            entry.chances.append(False)
            entry.missed += 1
            self._confirm(entry)
            missed = len(entry.chances) - sum(entry.chances)
            hopeless = entry.state == TENTATIVE and missed > self.settings.confirm_scans - self.settings.confirm_hits
            if hopeless or 0 < self.settings.death_scans <= entry.missed:
                self._end(entry, self.time_s)

    def _sweep(self, time_s):
        """Ends what nobody has heard for too long, or what could by now be anywhere; forms groups."""
        self._swept_s = time_s
        if self._groups is not None:
            lately = [e for e in self._entries.values() if e.state == CONFIRMED and time_s - self._seen_s[e.row] <= _SWEEP_S]
            rows = np.array([e.row for e in lately], int)
            self._groups.regroup(time_s, [e.id for e in lately], self._mean[rows, :4], self._covariance[rows, :4, :4])
        silent = [e for e in self._entries.values() if time_s - self._seen_s[e.row] > self.settings.silence_s]
        for entry in silent:
            self._end(entry, time_s)
        coasting = [e for e in self._entries.values()
                    if e.identity is None and e.state == CONFIRMED and time_s > self._seen_s[e.row]]
        if not coasting:
            return
        _, covariance = self._imm.combined(self._predicted(np.array([e.row for e in coasting]), time_s))
        sigma = np.sqrt(np.einsum("tii->t", covariance[:, :2, :2]))
        for entry, uncertain in zip(coasting, sigma > self.settings.death_sigma_m, strict=True):
            if uncertain:
                self._end(entry, time_s)

    def _end(self, entry, time_s):
        if entry.state == CONFIRMED:
            self._ended += self._describe([entry], time_s)
        del self._entries[entry.row]
        self._changed.pop(entry.row, None)
        if entry.identity is not None and self._by_identity.get(entry.identity) == entry.row:
            del self._by_identity[entry.identity]
        self._free.append(entry.row)

    # Impossible motion

    def _judge_motion(self, time_s, pairs):
        """Leaves out the fixes that no motion leads to; restarts a track that goes on elsewhere."""
        named = [(row, fix) for row, fix in pairs if fix.identity is not None]
        if not named:
            return pairs
        repeated = {row for row, _ in named if self._seen_s[row] == time_s}
        self.counts.update(duplicate=len(repeated))
        named = [(row, fix) for row, fix in named if row not in repeated]
        kept = [(row, fix) for row, fix in pairs if fix.identity is None]
        if not named:
            return kept
        rows = np.array([row for row, _ in named])
        mean, covariance = self._imm.combined(self._predicted(rows, time_s))
        for k, (row, fix) in enumerate(named):
            residual = fix.position_m[:2] - mean[k, :2]
            spread = covariance[k, :2, :2] + fix.covariance_m2[:2, :2]
            value = impossible.score(residual, spread, time_s - self._seen_s[row], float(np.hypot(*mean[k, 2:4])))
            entry = self._entries[row]
            if value <= impossible.THRESHOLD:
                entry.watch.possible()
                kept.append((row, fix))
                continue
            self.counts["duplicate_identity" if entry.watch.interleaved else "impossible_motion"] += 1
            anomaly = entry.watch.impossible(time_s, fix.position_m, float(np.linalg.norm(residual)), value,
                                             self.settings.top_speed_mps)
            if anomaly is not None:
                self._jumped(entry, time_s, fix, anomaly)
        return kept

    def _jumped(self, entry, time_s, fix, anomaly):
        if entry.state == TENTATIVE:  # one report made it: it was wrong, and there is no motion to speak of
            anomaly = None
        row = np.array([entry.row])
        self._restart(row, time_s, [fix], fix.position_m[None, :2], fix.covariance_m2[None, :2, :2])
        entry.fix = fix
        if anomaly is not None:
            entry.anomaly = anomaly
            self._new_anomalies += self._describe([entry], time_s)

    def _judge_speed(self, rows, time_s):
        top = self.settings.top_speed_mps
        speed = np.hypot(self._mean[rows, 2], self._mean[rows, 3])
        for row in rows[speed > top]:
            entry = self._entries[int(row)]
            sigma = np.sqrt(np.trace(self._covariance[row, 2:4, 2:4]))
            value = float(np.hypot(*self._mean[row, 2:4]) - 5 * sigma) / top
            fresh = entry.anomaly is None or time_s - entry.anomaly.time_s > self.settings.silence_s
            if value > 1 and entry.state == CONFIRMED and fresh:
                entry.anomaly = TrackAnomaly(time_s, 0.0, value, "speed")
                self._new_anomalies += self._describe([entry], time_s)

    # Out of order

    def _late(self, time_s, fixes):
        """Puts each fix into the past of its track: back to the moment before it, then again what came after."""
        named, others = self._by_name(fixes)
        for fix in others:
            row = self._closest_in_the_past(time_s, fix)
            if row is None:
                self.counts["late"] += 1
            else:
                named.append((row, fix))
        for row, fix in named:
            entry = self._entries[row]
            before = self._before(entry, time_s)
            if before is None or entry.moments[before].fix.time_s == time_s:
                self.counts["late" if before is None else "duplicate"] += 1
                continue
            if self._distance2(entry.moments[before], fix) > self._gate(2):
                self.counts["late"] += 1
                continue
            self._replay(entry, before, fix)

    def _before(self, entry, time_s) -> int | None:
        """Number of the last moment of a track not after a time."""
        newest = entry.moments[-1].fix.time_s
        if time_s < newest - self.settings.reorder_s:
            return None
        return max((k for k, moment in enumerate(entry.moments) if moment.fix.time_s <= time_s), default=None)

    def _closest_in_the_past(self, time_s, fix):
        best = None
        for row, entry in self._entries.items():
            before = self._before(entry, time_s)
            if before is None or entry.state != CONFIRMED or entry.moments[before].fix.time_s == time_s:
                continue
            if fix.identity is not None and entry.identity is not None:
                continue
            distance2 = self._distance2(entry.moments[before], fix)
            if distance2 <= self._gate(2) and (best is None or distance2 < best[0]):
                best = (distance2, row)
        return None if best is None else best[1]

    def _distance2(self, moment, fix) -> float:
        """Squared Mahalanobis distance, horizontal, of a fix from where a track was going at an earlier moment."""
        bank = self._imm.predict(moment.horizontal, np.array([fix.time_s - moment.fix.time_s]))
        mean, s = self._imm.measured(bank, fix.covariance_m2[:2, :2])
        off = fix.position_m[:2] - mean[0]
        return float(off @ np.linalg.solve(s[0], off))

    def _replay(self, entry, before, fix):
        moments = list(entry.moments)
        later = [fix, *(moment.fix for moment in moments[before + 1:])]
        base, row = moments[before], np.array([entry.row])
        entry.moments = deque(moments[:before + 1])
        self._write(row, base.horizontal, base.fix.time_s)
        for bank, kept in zip((self._past, self._gains), base.learned, strict=True):
            bank.put(row, kept)
        if self._field is not None:
            self._correct(row)
        self._height_s[row] = np.nan
        if base.height is not None:
            self._height.put(row, base.height)
            self._height_s[row] = base.height_s
        for one in later:
            self._update(row, one.time_s, [one])
            self._remember(row, [one])
        self._took(entry, fix)
        entry.fix = later[-1]

    # Descriptions

    def _describe(self, entries, time_s) -> list[Track]:
        _, estimates = self._estimates(entries, time_s)
        return [Track(e.id, e.state, time_s - e.born_s, float(self._seen_s[e.row]), e.hits, e.identity, e.fix.source,
                      self._horizontal.probability[e.row].copy(), estimate, tuple(e.anomaly_ids), e.anomaly)
                for e, estimate in zip(entries, estimates, strict=True)]

    def _estimates(self, entries, time_s, banks=None):
        """Estimates at a time, and the banks there, from which a later call can go on."""
        if not entries:
            return None, []
        rows = np.array([e.row for e in entries])
        known = np.isfinite(self._height_s[rows])
        if banks is None:
            flat = self._predicted(rows, time_s)
            tall = self._imm_height.predict(self._height.take(rows[known]), np.maximum(time_s - self._height_s[rows[known]], 0))
        else:
            then_s, flat, tall = banks
            flat = self._imm.predict(flat, np.full(len(rows), time_s - then_s))
            tall = self._imm_height.predict(tall, np.full(int(known.sum()), time_s - then_s))
        mean, covariance = self._imm.combined(flat)
        if self._field is not None:
            ahead_s = np.maximum(time_s - self._seen_s[rows], 0)
            mean, covariance = add_field(self._correction.take(rows), mean, covariance, ahead_s)
        mean_height, covariance_height = self._imm_height.combined(tall)
        place = np.cumsum(known) - 1
        estimates = []
        for k in range(len(rows)):
            parts = [self._with_group(entries[k].id, time_s, mean[k], covariance[k])]
            if known[k]:
                parts.append((mean_height[place[k]], covariance_height[place[k]]))
            estimates.append(assemble(time_s, parts))
        return (time_s, flat, tall), estimates

    def _with_group(self, track_id, time_s, mean, covariance):
        if self._groups is not None:
            mean, covariance = mean.copy(), covariance.copy()
            mean[:4], covariance[:4, :4] = self._groups.joined(track_id, time_s, mean[:4], covariance[:4, :4])
        return mean, covariance


def _due(seen_s: float, told_s: float | None, interval_s: float) -> bool:
    return told_s is None or (seen_s > told_s and seen_s - told_s >= interval_s)
