# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of a report: what a history says of a stretch of time, as plain values for JSON, and as arrays for pictures."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .. import keys
from .occupancy import OccupancyMap, occupancy_maps
from .reader import BAND, Reader, gaps_of
from .schema import HistoryError
from .times import stamp

BUSY_CHANNELS = 12
ALIKE = 1.25  # ratio of the occupancies of channels side by side that count as one
MIN_BUSY = 1e-4  # share of the time from which on a channel is listed
NEW, GONE, RECEIVER, BURST = "new", "gone", "receiver", "burst"  # kinds of alerts
AWAY = "the radio was away"
_LOSS_S = 2.0  # a loss may be noted so long before the last frame ends
WHOLE_BAND = ("raised floor", RECEIVER)


@dataclass
class Levels:
    """Levels of an emitter: (M,) minutes (POSIX s), shares of their frames, mean and max level in dB over the floor."""

    minutes_s: np.ndarray
    shares: np.ndarray
    mean_db: np.ndarray
    max_db: np.ndarray


@dataclass
class Report:
    """What a history says of the time from since_s to until_s.

    Attributes:
        site: name of the file. made_s: POSIX time at which it was made. runs, alerts, emitters, health: as ``Reader`` has them;
            alerts oldest first, emitters with `duty`, `level_db` and `status`.
        gaps: stretches without signal. watched_s: length of the rest. maps: occupancy. young: the history
            begins with it: more was asked for. levels: (band, emitter_id) -> levels.
        busiest: channels, the busiest first.
    """

    site: str
    since_s: float
    until_s: float
    made_s: float
    runs: list[dict[str, Any]]
    alerts: list[dict[str, Any]]
    emitters: list[dict[str, Any]]
    health: list[dict[str, Any]]
    gaps: list[tuple[float, float]]
    maps: list[OccupancyMap]
    young: bool = False
    levels: dict[tuple[str, int], Levels] = field(default_factory=dict)
    busiest: list[dict[str, Any]] = field(default_factory=list)

    @property
    def watched_s(self) -> float:
        return self.until_s - self.since_s - sum(end - begin for begin, end in self.gaps)

    @property
    def n_minutes(self) -> int:
        """Number of minutes with signal."""
        return len({row[keys.TIMESTAMP] // 60.0 for row in self.health})

    @property
    def relative(self) -> bool:
        """Whether frequencies count from a centre that is not known."""
        return any(row.get(keys.FREQ_RELATIVE) for row in self.alerts) or any(one.low_hz < 0 < one.high_hz for one in self.maps)

    @cached_property
    def _losses(self) -> list[dict[str, Any]]:
        """Of the radio, over all of the time."""
        return [loss for row in self.health for loss in row.get(keys.LOSSES, [])]

    def reason(self, gap: tuple[float, float]) -> str:
        """Why no signal came in a gap."""
        losses = [loss[keys.WHY] for loss in self._losses if gap[0] - _LOSS_S <= loss[keys.TIMESTAMP] < gap[1]]
        if losses:
            return f"{AWAY}: {losses[-1]}"
        within = any(run[keys.TIMESTAMP] <= gap[0] and gap[1] <= run[keys.TIMESTAMP_END] for run in self.runs)
        return "no signal came" if within else "the monitor did not run"

    def kinds(self) -> Counter:
        """Number of alerts by kind."""
        return Counter(alert.get(keys.ALERT) or "anomaly" for alert in self.alerts)

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [alert for alert in self.alerts if alert.get(keys.ALERT) == kind]

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it, with the maps' totals and not their cells."""
        totals = self.totals()
        return {
            "site": self.site, "since": stamp(self.since_s), "until": stamp(self.until_s), "since_s": self.since_s,
            "until_s": self.until_s, "made_s": self.made_s, "watched_s": self.watched_s,
            "gaps": [{keys.TIMESTAMP: gap[0], keys.TIMESTAMP_END: gap[1], keys.WHY: self.reason(gap)} for gap in self.gaps],
            "totals": totals,
            "alerts_by_kind": dict(self.kinds()), "alerts": self.alerts, "emitters": self.emitters, "runs": self.runs,
            "busiest_channels": self.busiest,
            "channels": [{keys.FREQ_START_HZ: one.first * one.channel_hz, keys.CHANNEL_HZ: one.channel_hz,
                          keys.OCCUPANCY: _rounded(one.total, 6), keys.MEAN_DB: _rounded(one.mean_db, 2),
                          keys.MAX_DB: _rounded(one.max_db, 2)} for one in self.maps]}

    def totals(self) -> dict[str, Any]:
        """Counters of all minutes, and ranges of what was measured."""
        counted = {name: sum(row.get(name) or 0 for row in self.health) for name in (
            keys.FRAMES, keys.DROPPED_FRAMES, keys.DROPPED_CONSTANT, keys.CLIPPED_FRAMES, keys.SKIPPED_FRAMES, keys.OVERFLOWS)}
        floors = [row[keys.FLOOR_DBFS] for row in self.health if keys.FLOOR_DBFS in row]
        late = [row[keys.LATENCY_P99_MS] for row in self.health if row.get(keys.LATENCY_P99_MS) is not None]
        return counted | {"floor_low_dbfs": min(floors, default=None), "floor_high_dbfs": max(floors, default=None),
                          "floor_median_dbfs": float(np.median(floors)) if floors else None,
                          "latency_p99_median_ms": float(np.median(late)) if late else None,
                          "latency_p99_max_ms": max(late, default=None)}


def make_report(reader: Reader, since_s: float, until_s: float, made_s: float) -> Report:
    """Gathers a report. It begins with the history, if that is younger than since_s.

    Raises:
        HistoryError: there is nothing in this time.
    """
    span = reader.span()
    if span is None:
        raise HistoryError(f"{reader.path} is empty: no run has written into it yet")
    young = since_s < span[0] < until_s
    since_s = span[0] if young else since_s
    health = reader.health(since_s, until_s)
    alerts = reader.alerts(since_s, until_s)[::-1]
    if not health and not alerts:
        raise HistoryError(f"{reader.path} has nothing from {stamp(since_s)} to {stamp(until_s)}; it goes from {stamp(span[0])} "
                           f"to {stamp(span[1])}: give --since and --until in that time, or --since all")
    emitters = reader.emitters(since_s, until_s)
    report = Report(reader.path.name, since_s, until_s, made_s, reader.runs(since_s, until_s), alerts, emitters, health,
                    gaps_of(health, since_s, until_s), occupancy_maps(reader, since_s, until_s), young)
    for band in sorted({row[BAND] for row in report.runs}):
        report.levels |= {(band, number): levels for number, levels in _levels(reader, since_s, until_s, band).items()}
    for row in emitters:
        _describe(row, report)
    report.busiest = _busiest(report)
    return report


def _levels(reader: Reader, since_s: float, until_s: float, band: str) -> dict[int, Levels]:
    rows = list(reader.level_rows(since_s, until_s, band))
    if not rows:
        return {}
    minutes = np.repeat([60.0 * row[0] for row in rows], [len(row[1]) for row in rows])
    ids, shares, means, highest = (np.concatenate([row[n] for row in rows]) for n in range(1, 5))
    return {int(number): Levels(minutes[of := ids == number], shares[of], means[of], highest[of]) for number in np.unique(ids)}


def _describe(row: dict[str, Any], report: Report) -> None:
    """Adds to an emitter its duty, its level in this time, and what it is to the band."""
    levels = report.levels.get((row[BAND], row[keys.EMITTER_ID]))
    heard = levels is not None and len(levels.minutes_s)
    row["duty"] = round(float(levels.shares.sum()) / max(report.n_minutes, 1), 6) if heard else 0.0
    row["level_db"] = round(float(np.median(levels.mean_db)), 1) if heard else None
    first = row.get(keys.FIRST_HEARD) or -math.inf
    opened = {alert.get(keys.EMITTER_ID) for alert in report.of_kind(NEW) if alert[BAND] == row[BAND]}
    row["status"] = ("gone" if row.get(keys.GONE) else "accepted" if row.get(keys.ACCEPTED) else
                     "new" if row[keys.EMITTER_ID] in opened and first >= report.since_s else
                     "usual" if row.get(keys.BELONGS) else "not usual")


def _busiest(report: Report) -> list[dict[str, Any]]:
    """The busiest channels; those side by side that are as busy as each other count as one, such as those of a wide signal."""
    found = []
    for one in report.maps:
        total = np.nan_to_num(one.total)
        busy = np.flatnonzero(total >= MIN_BUSY)
        alike = (np.diff(busy) == 1) & (np.abs(np.diff(np.log(total[busy]))) < math.log(ALIKE)) if len(busy) else []
        for group in np.split(busy, np.flatnonzero(~np.asarray(alike, bool)) + 1) if len(busy) else []:
            low, high = (one.first + group[0] - 0.5) * one.channel_hz, (one.first + group[-1] + 0.5) * one.channel_hz
            best = int(group[np.argmax(total[group])])
            inside = [row for row in report.emitters if low <= row[keys.FREQ_CENTER_HZ] <= high]
            found.append({
                keys.FREQ_CENTER_HZ: float(low + high) / 2, keys.BANDWIDTH_HZ: float(high - low),
                keys.CHANNEL_HZ: one.channel_hz, keys.OCCUPANCY: round(float(total[best]), 6),
                keys.MEAN_DB: round(float(one.mean_db[best]), 1), keys.MAX_DB: round(float(one.max_db[group].max()), 1),
                "busiest_hour_utc": one.busiest_hour(best), keys.EMITTERS: [row[keys.EMITTER_ID] for row in inside]})
    return sorted(found, key=lambda row: -row[keys.OCCUPANCY])[:BUSY_CHANNELS]


def _rounded(values: np.ndarray, digits: int) -> list[float | None]:
    return [None if not math.isfinite(value) else round(value, digits) for value in values.tolist()]
