# SPDX-License-Identifier: GPL-3.0-or-later
"""Position fixes become tracks: names, births and deaths, confirmation, impossible motion.

A scan costs a few array operations however many tracks there are (``track_bank``). A fix whose identity a track has belongs to
that track. The others are shared out by global nearest neighbour (``associate``): first the strong ones, then the weak ones among
the tracks left over, as ByteTrack does with faint detections (arXiv:2110.06864). Late fixes go into the past (``reorder``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from . import impossible, reorder
from .associate import costs, gate_distance2, near, pair_in_turn
from .estimate import Estimate
from .filters import assemble
from .fix import Fix
from .group_field import Groups
from .impossible import TrackAnomaly
from .motion_field import MotionField
from .settings import SpatialSettings
from .track import CONFIRMED, TENTATIVE, Track, TrackEntry
from .track_bank import Positions, TrackBank

_FEW = 200  # tracks; up to this many are all predicted, without asking which are near
_SWEEP_S = 1.0


class SpatialTracker:
    """Tracks of everything that reports its position or whose position is reported.

    Attributes:
        counts: number of fixes by what became of them: used, born, late, duplicate, impossible_motion, duplicate_identity,
            unused.
        time_s: time of the newest scan; None before any.
    """

    def __init__(self, settings: SpatialSettings | None = None):
        self.counts: Counter[str] = Counter()
        self.time_s: float | None = None
        self._entries: dict[int, TrackEntry] = {}  # by row
        self._by_identity: dict[str, int] = {}
        self._changed: dict[int, None] = {}  # rows that updated_since has not reported yet, in order
        self._n_born = 0
        self._swept_s = -np.inf
        self._bank: TrackBank | None = None
        self._groups: Groups | None = None
        self._ended: list[Track] = []
        self._new_anomalies: list[Track] = []
        self.set_settings(settings or SpatialSettings())

    def set_settings(self, settings: SpatialSettings) -> None:
        """Takes effect with the next scan. The tracks stay, unless the number of motion models changes: then they end.

        Raises:
            ValueError: the shipped motion field does not go with the models.
        """
        horizontal, vertical = settings.horizontal_imm(), settings.vertical_imm()
        field = MotionField.shipped() if settings.motion_field else None
        if self._bank is not None and self._bank.fits(horizontal, vertical):
            self._bank.set_models(horizontal, vertical, field)
        else:
            self._bank = TrackBank(horizontal, vertical, field)
            self._entries.clear()
            self._by_identity.clear()
            self._changed.clear()
        self.settings = settings
        if self._groups is None or self._groups.radius_m != settings.group_radius_m:
            self._groups = Groups(settings.group_radius_m) if settings.group_radius_m else None

    # In

    def scan(self, time_s: float, fixes: Sequence[Fix]) -> None:
        """Takes all fixes of one moment; a single report is a scan of one. A scan older than the newest one, by reorder_s at
        most, is put into its place in the past.

        Raises:
            ValueError: the time is not finite.
        """
        time_s = float(time_s)
        if not np.isfinite(time_s):
            raise ValueError(f"a scan at {time_s} s; times must be finite")
        if self.time_s is not None and time_s < self.time_s:
            self._take_late(fixes)
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

    def correlate(self, anomaly_id: str, time_s: float, freq_center_hz: float, bandwidth_hz: float, near_s: float) -> None:
        """Notes an anomaly with the track whose emission it is: the only one that was heard on a frequency inside the anomaly,
        with its last fix near_s before or after at most."""
        found = [e for e in self._entries.values() if e.fix.freq_center_hz is not None
                 and abs(e.fix.freq_center_hz - freq_center_hz) <= bandwidth_hz / 2
                 and abs(self._bank.seen_s[e.row] - time_s) <= near_s]
        if len(found) == 1:
            found[0].note_anomaly(anomaly_id)

    def restart(self) -> None:
        """Ends every track; the next scan is the first, whatever its time."""
        for entry in list(self._entries.values()):
            self._end(entry, self.time_s)
        self.time_s, self._swept_s = None, -np.inf

    # Out

    def tracks(self, time_s: float | None = None, tentative: bool = False) -> list[Track]:
        """Confirmed tracks, and on request tentative ones, at a time; by default that of the newest scan."""
        if self.time_s is None:
            return []
        entries = [e for e in self._entries.values() if tentative or e.state == CONFIRMED]
        return self._describe(entries, self.time_s if time_s is None else float(time_s))

    def updated_since(self, reported_s: dict[str, float], interval_s: float) -> list[Track]:
        """Confirmed tracks that are not in reported_s, or have a fix newer than reported_s[id] by interval_s or more."""
        if self.time_s is None:
            return []
        due = [row for row in self._changed if self._entries[row].state == CONFIRMED
               and _due(float(self._bank.seen_s[row]), reported_s.get(self._entries[row].id), interval_s)]
        for row in due:
            del self._changed[row]
        return self._describe([self._entries[row] for row in due], self.time_s)

    def forecasts(self, horizons_s: Sequence[float], time_s: float | None = None,
                  ids: set[str] | None = None) -> dict[str, list[Estimate]]:
        """Estimates of each confirmed track, by its id, at each of the rising horizons after a time. `ids`: of these alone."""
        entries = [e for e in self._entries.values() if e.state == CONFIRMED and (ids is None or e.id in ids)]
        result: dict[str, list[Estimate]] = {e.id: [] for e in entries}
        start = self.time_s if time_s is None else float(time_s)
        ahead = None
        for horizon in horizons_s:
            ahead, estimates = self._estimates(entries, start + float(horizon), ahead)
            for entry, estimate in zip(entries, estimates, strict=True):
                result[entry.id].append(estimate)
        return result

    @property
    def any_confirmed(self) -> bool:
        """Whether there is a confirmed track."""
        return any(entry.state == CONFIRMED for entry in self._entries.values())

    def take_ended(self) -> list[Track]:
        """Confirmed tracks that have ended since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def take_anomalies(self) -> list[Track]:
        """Tracks whose motion has become impossible since the last call."""
        found, self._new_anomalies = self._new_anomalies, []
        return found

    def __len__(self):
        return len(self._entries)

    # Whose fix it is

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
        """Pairs (row, fix) by distance among the rows that are not taken, and the fixes left over."""
        rows = np.array([row for row in self._entries if row not in taken], int)
        if not fixes:
            return [], []
        if len(rows) > _FEW:
            rows = rows[near(self._bank, rows, time_s, fixes)]
        if not len(rows):
            return [], fixes
        cost = costs(self._bank, rows, time_s, fixes, self.settings.gate_probability, self.settings.false_density)
        for column, fix in enumerate(fixes):
            if fix.identity is not None:  # a track of another name is not this one
                cost[[self._entries[row].identity is not None for row in rows], column] = np.inf
        confirmed = np.array([self._entries[row].state == CONFIRMED for row in rows])
        pairs = pair_in_turn(cost, confirmed)
        used = {column for _, column in pairs}
        return [(int(rows[row]), fixes[column]) for row, column in pairs], [f for k, f in enumerate(fixes) if k not in used]

    def _take(self, time_s, pairs):
        """Updates the tracks with their fixes."""
        pairs = self._judge_motion(time_s, pairs)
        if not pairs:
            return
        rows, fixes = np.array([row for row, _ in pairs]), [fix for _, fix in pairs]
        entries = [self._entries[row] for row, _ in pairs]
        self._bank.update(rows, time_s, Positions.of(fixes))
        for entry, fix in zip(entries, fixes, strict=True):
            self._hit(entry, fix)
        reorder.remember(self._bank, entries, fixes, self.settings.reorder_s)
        if self._groups is not None:
            self._groups.heard(time_s, [entry.id for entry in entries], self._bank.mean[rows, :4],
                               self._bank.covariance[rows, :4, :4])
        self._judge_speed(rows, time_s)

    def _take_late(self, fixes):
        bank, gate2, reorder_s = self._bank, gate_distance2(self.settings.gate_probability, 2), self.settings.reorder_s
        named, others = self._by_name(fixes)
        for fix in others:
            entry = reorder.closest(bank, self._entries.values(), fix, gate2, reorder_s)
            if entry is None:
                self.counts[reorder.LATE] += 1
            else:
                named.append((entry.row, fix))
        for row, fix in named:
            entry = self._entries[row]
            verdict = reorder.late(bank, entry, fix, gate2, reorder_s)
            if verdict == reorder.USED:
                self._hit(entry, fix)
                entry.fix = entry.moments[-1].fix
            else:
                self.counts[verdict] += 1

    def _hit(self, entry, fix):
        self.counts["used"] += 1
        self._changed[entry.row] = None
        if fix.identity is not None and entry.identity is None:
            self._by_identity[fix.identity] = entry.row
        entry.hit(fix)
        self._confirm(entry)

    # Life

    def _start(self, time_s, fixes):
        if not fixes:
            return
        self._make_room(len(fixes), time_s)
        rows = self._bank.reserve(len(fixes))
        for row, fix in zip(rows.tolist(), fixes, strict=True):
            self._n_born += 1
            entry = self._entries[row] = TrackEntry(f"S{self._n_born}", row, time_s, fix, fix.identity)
            entry.note_anomaly(fix.anomaly_id)
            if fix.identity is not None:
                self._by_identity[fix.identity] = row
            self._confirm(entry)
        self._restart(rows, time_s, fixes)

    def _make_room(self, n_new, time_s):
        """Ends tracks for new ones, if there are too many: first those seen once or twice, each time the longest unheard."""
        n_over = len(self._entries) + n_new - self.settings.max_tracks
        if n_over > 0:
            seen_s = self._bank.seen_s
            oldest = sorted(self._entries.values(), key=lambda e: (e.state == CONFIRMED, seen_s[e.row]))
            for entry in oldest[:n_over]:
                self._end(entry, time_s)

    def _restart(self, rows, time_s, fixes):
        """Starts the filters of tracks, new or old, at fixes."""
        self._bank.restart(rows, time_s, Positions.of(fixes))
        entries = [self._entries[row] for row in rows.tolist()]
        for entry in entries:
            self._changed[entry.row] = None
            entry.moments.clear()
        reorder.remember(self._bank, entries, fixes, self.settings.reorder_s)

    def _confirm(self, entry):
        entry.confirm(self.settings.confirm_hits, self.settings.confirm_scans)

    def _count_misses(self, hit):
        """A scan that names nobody was a chance for every track without an identity."""
        for row, entry in list(self._entries.items()):
            if row in hit or entry.identity is not None:
                continue
            entry.miss()
            self._confirm(entry)
            missed = len(entry.chances) - sum(entry.chances)
            hopeless = entry.state == TENTATIVE and missed > self.settings.confirm_scans - self.settings.confirm_hits
            if hopeless or 0 < self.settings.death_scans <= entry.missed:
                self._end(entry, self.time_s)

    def _sweep(self, time_s):
        """Ends tracks that nobody has heard for too long, and those that could by now be anywhere; forms groups."""
        self._swept_s = time_s
        seen_s = self._bank.seen_s
        if self._groups is not None:
            lately = [e for e in self._entries.values() if e.state == CONFIRMED and time_s - seen_s[e.row] <= _SWEEP_S]
            rows = np.array([e.row for e in lately], int)
            self._groups.regroup(time_s, [e.id for e in lately], self._bank.mean[rows, :4], self._bank.covariance[rows, :4, :4])
        silent = [e for e in self._entries.values() if time_s - seen_s[e.row] > self.settings.silence_s]
        for entry in silent:
            self._end(entry, time_s)
        coasting = [e for e in self._entries.values()
                    if e.identity is None and e.state == CONFIRMED and time_s > seen_s[e.row]]
        if not coasting:
            return
        _, covariance = self._bank.predicted(np.array([e.row for e in coasting]), time_s)
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
        self._bank.release(entry.row)

    # Verdicts on motion

    def _judge_motion(self, time_s, pairs):
        """Leaves out the fixes to which no motion leads; restarts a track that goes on elsewhere."""
        named = [(row, fix) for row, fix in pairs if fix.identity is not None]
        if not named:
            return pairs
        repeated = {row for row, _ in named if self._bank.seen_s[row] == time_s}
        self.counts.update(duplicate=len(repeated))
        named = [(row, fix) for row, fix in named if row not in repeated]
        kept = [(row, fix) for row, fix in pairs if fix.identity is None]
        if not named:
            return kept
        mean, covariance = self._bank.predicted(np.array([row for row, _ in named]), time_s)
        for k, (row, fix) in enumerate(named):
            residual = fix.position_m[:2] - mean[k, :2]
            spread = covariance[k, :2, :2] + fix.covariance_m2[:2, :2]
            value = impossible.score(residual, spread, time_s - self._bank.seen_s[row], float(np.hypot(*mean[k, 2:4])))
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
        self._restart(np.array([entry.row]), time_s, [fix])
        entry.fix = fix
        if entry.state == CONFIRMED:  # one report made a tentative track: that was wrong, and there is no motion to speak of
            self._report(entry, time_s, anomaly)

    def _judge_speed(self, rows, time_s):
        top, mean = self.settings.top_speed_mps, self._bank.mean
        speed = np.hypot(mean[rows, 2], mean[rows, 3])
        for row in rows[speed > top]:
            entry = self._entries[int(row)]
            value = impossible.speed_score(mean[row, 2:4], self._bank.covariance[row, 2:4, 2:4], top)
            fresh = entry.anomaly is None or time_s - entry.anomaly.time_s > self.settings.silence_s
            if value > 1 and entry.state == CONFIRMED and fresh:
                self._report(entry, time_s, TrackAnomaly(time_s, 0.0, value, "speed"))

    def _report(self, entry, time_s, anomaly):
        entry.anomaly = anomaly
        self._new_anomalies += self._describe([entry], time_s)

    # Descriptions

    def _describe(self, entries, time_s) -> list[Track]:
        _, estimates = self._estimates(entries, time_s)
        bank = self._bank
        return [Track(e.id, e.state, time_s - e.born_s, float(bank.seen_s[e.row]), e.hits, e.identity, e.fix.source,
                      bank.horizontal.probability[e.row].copy(), estimate, tuple(e.anomaly_ids), e.anomaly)
                for e, estimate in zip(entries, estimates, strict=True)]

    def _estimates(self, entries, time_s, since=None):
        """Estimates at a time, and the bank's predictions there, from which a later call can go on."""
        if not entries:
            return None, []
        ahead, parts = self._bank.estimates(np.array([e.row for e in entries]), time_s, since)
        return ahead, [assemble(time_s, [self._with_group(entry.id, time_s, *flat), *height])
                       for entry, (flat, *height) in zip(entries, parts, strict=True)]

    def _with_group(self, track_id, time_s, mean, covariance):
        if self._groups is not None:
            mean, covariance = mean.copy(), covariance.copy()
            mean[:4], covariance[:4, :4] = self._groups.joined(track_id, time_s, mean[:4], covariance[:4, :4])
        return mean, covariance


def _due(seen_s: float, reported_s: float | None, interval_s: float) -> bool:
    return reported_s is None or (seen_s > reported_s and seen_s - reported_s >= interval_s)
