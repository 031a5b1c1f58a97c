# SPDX-License-Identifier: GPL-3.0-or-later
"""``Run``: what one run has given and the history does not hold yet: minutes that go on, alerts, emitters that changed."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .. import keys
from .channels import MINUTE_S, Meter, Reach, Sums, channel_hz, level_of
from .packing import Channels
from .store import BLOCK, History, MinuteRow

MAX_ALERTS = 20_000  # messages that wait
MAX_MINUTES = 1500  # that wait: a day
MAX_LOSSES = 20  # of a minute that are kept, and gaps in it
COUNTERS = (keys.DROPPED_FRAMES, keys.DROPPED_CONSTANT, keys.CLIPPED_FRAMES, keys.SKIPPED_FRAMES, keys.OVERFLOWS, keys.EVENTS)
FIGURES = (keys.LATENCY_P50_MS, keys.LATENCY_P99_MS, keys.QUEUE_DEPTH, keys.FRAMES_PER_S)


class Source(NamedTuple):
    """What is known of a run as it begins; see ``History.begin_run`` for ``row``.

    usable: share of a tuning's width that counts. span_hz: of the ranges of a scan, together. poll: returns the health and the
    rows of the emitters by now; called on the recorder's thread.
    """

    row: Mapping[str, Any]
    samp_rate: float
    average: int
    usable: float = 1.0
    span_hz: float = 0.0
    poll: Callable[[], tuple[dict, list[dict]]] = lambda: ({}, [])


class Written(NamedTuple):
    """What was written with one commit: number of the run, last message, emitters, minutes, and whether the end was among it."""

    run_id: int
    last_alert: int
    emitters: dict[int, dict]
    minutes: list[Minute]
    ended: bool


class Minute:
    """A minute of a run, as it grows."""

    def __init__(self, minute: int, part: int, begin_s: float):
        self.minute, self.part, self.begin_s, self.end_s = minute, part, begin_s, begin_s
        self.seconds, self.frames, self.floor_sum, self.changed = 0.0, 0, 0.0, True
        self.health: dict[str, Any] = {}
        self._blocks: dict[tuple[float, int], np.ndarray] = {}  # (width, block) -> (4, BLOCK): frames, occupied, sum, max
        self._levels: dict[int, list[float]] = {}

    def add(self, sums: Sums, places: list[Reach]) -> None:
        """Takes the sums of a tuning, and from them the levels of the emitters at these places."""
        self.changed = True
        self.begin_s, self.end_s = min(self.begin_s, sums.begin_s), max(self.end_s, sums.end_s)
        self.seconds, self.frames = self.seconds + sums.seconds, self.frames + sums.frames
        self.floor_sum += sums.floor_sum
        grid, done = sums.grid, 0
        while done < grid.n_channels:
            block, place = divmod(grid.first + done, BLOCK)
            count = min(BLOCK - place, grid.n_channels - done)
            table = self._blocks.setdefault((grid.channel_hz, block), np.zeros((4, BLOCK)))
            here, part = slice(place, place + count), slice(done, done + count)
            table[0, here] += sums.frames
            table[1, here] += sums.channel_n[part]
            table[2, here] += sums.channel_sum[part]
            table[3, here] = np.maximum(table[3, here], sums.channel_max[part])
            done += count
        for place in places:
            level = level_of(sums, place)
            if level is not None:
                row = self._levels.setdefault(place.emitter_id, [0.0, 0.0, 0.0, 0.0])
                row[:] = row[0] + level.frames, row[1] + level.n, row[2] + level.power_sum, max(row[3], level.power_max)

    def note(self, key: str, what: Any) -> None:
        """Adds to a list in the health of the minute."""
        self.health[key] = [*self.health.get(key, []), what][-MAX_LOSSES:]
        self.changed = True

    def row(self) -> MinuteRow:
        """As the history takes it."""
        channels = {}
        for (width, block), table in self._blocks.items():
            there = np.flatnonzero(table[0])
            frames, occupied, total, highest = table[:, there[0]:there[-1] + 1]
            with np.errstate(divide="ignore", invalid="ignore"):
                channels[width, block * BLOCK + int(there[0])] = Channels(
                    frames, np.where(frames > 0, occupied / frames, 0.0), 10 * np.log10(total / frames), 10 * np.log10(highest))
        levels = [(number, min(1.0, n / frames), 10 * np.log10(total / n), 10 * np.log10(highest))
                  for number, (frames, n, total, highest) in self._levels.items() if n]
        return MinuteRow(self.minute, self.part, self.begin_s, self.end_s, self.seconds, self.frames,
                         self.floor_sum / self.frames, self.health, levels, channels)


class Run:
    """A run on its way into a history. ``add_alert`` and ``add_loss`` are for any thread, ``meter.add`` for another; the rest for
    the recorder's.

    Attributes: meter; begin_s, end_s: POSIX, of its signal; why, notes: set as it ends; done: its end is written; lost_alerts,
    lost_minutes: dropped since they waited for too long.
    """

    def __init__(self, source: Source):
        self._source = source
        self.meter = Meter(channel_hz(source.samp_rate, source.span_hz), source.average, source.usable)
        self.begin_s: float | None = None
        self.end_s: float | None = None
        self.why: str | None = None
        self.notes: list[str] = []
        self.done, self.lost_alerts, self.lost_minutes = False, 0, 0
        self._run_id: int | None = None
        self._alerts: deque[tuple[int, Mapping[str, Any]]] = deque()
        self._alert_numbers, self._alerts_lock = itertools.count(1), threading.Lock()
        self._losses: deque[dict[str, Any]] = deque(maxlen=MAX_LOSSES)
        self._minutes: dict[int, Minute] = {}
        self._newest: Minute | None = None
        self._parts = itertools.count()
        self._emitters: list[dict] = []
        self._written_emitters: dict[int, dict] = {}
        self._counted: dict[str, int] = {}

    def add_alert(self, message: Mapping[str, Any]) -> None:
        """Takes a message of an alert."""
        with self._alerts_lock:
            if len(self._alerts) >= MAX_ALERTS:
                self._alerts.popleft()
                self.lost_alerts += 1
            self._alerts.append((next(self._alert_numbers), message))

    def add_loss(self, posix_s: float, why: str) -> None:
        """Takes the time of a radio's last sample before it was lost; why: one line."""
        self._losses.append({keys.TIMESTAMP: posix_s, keys.WHY: why})

    def collect(self) -> None:
        """Takes what the run has given since the last call."""
        health, self._emitters = self._source.poll()
        if self.why is not None:
            self.meter.finish()
        places = [place for row in self._emitters for place in _places(row)]
        for minute, sums in self.meter.take():
            if minute not in self._minutes:
                self._minutes[minute] = Minute(minute, next(self._parts), sums.begin_s)
            self._newest = self._minutes[minute]
            self._newest.add(sums, places)
            self.begin_s = sums.begin_s if self.begin_s is None else min(self.begin_s, sums.begin_s)
            self.end_s = sums.end_s if self.end_s is None else max(self.end_s, sums.end_s)
        if self._newest is not None:
            self._add_health(self._newest, health)
        for begin_s, end_s in self.meter.take_gaps():
            number = math.floor(begin_s / MINUTE_S)
            if number == math.floor(end_s / MINUTE_S) and number in self._minutes:  # others show between rows
                self._minutes[number].note(keys.GAPS, [begin_s, end_s])
        while self._losses and self._newest is not None:
            loss = self._losses.popleft()
            self._minutes.get(math.floor(loss[keys.TIMESTAMP] / MINUTE_S), self._newest).note(keys.LOSSES, loss)

    def _add_health(self, minute: Minute, health: Mapping[str, Any]) -> None:
        for name in COUNTERS:
            more = max(0, int(health.get(name) or 0) - self._counted.get(name, 0))
            minute.health[name] = minute.health.get(name, 0) + more
            self._counted[name] = self._counted.get(name, 0) + more
            minute.changed |= more > 0
        minute.health |= {name: health[name] for name in FIGURES if health.get(name) is not None}

    def write(self, history: History) -> Written:
        """Writes what waits, inside a transaction of the history."""
        run_id = history.begin_run(self._source.row) if self._run_id is None else self._run_id
        with self._alerts_lock:
            alerts = list(self._alerts)
        for _, message in alerts:
            history.add_alert(run_id, message, self.end_s if self.end_s is not None else time.time())
        emitters = {row[keys.EMITTER_ID]: row for row in self._emitters
                    if self._written_emitters.get(row[keys.EMITTER_ID]) != row}
        history.put_emitters(run_id, emitters.values())
        minutes = [minute for minute in self._minutes.values() if minute.changed]
        for minute in minutes:
            history.put_minute(run_id, minute.row())
        why = self.why
        if self.begin_s is not None and self.end_s is not None:
            history.mark_run(run_id, self.begin_s, self.end_s, why, self.notes)
        return Written(run_id, alerts[-1][0] if alerts else 0, emitters, minutes, why is not None)

    def forget(self, written: Written) -> None:
        """What was written has been committed."""
        self._run_id, self.done = written.run_id, written.ended
        with self._alerts_lock:
            while self._alerts and self._alerts[0][0] <= written.last_alert:
                self._alerts.popleft()
        self._written_emitters |= written.emitters
        for minute in written.minutes:
            minute.changed = False
        for number in sorted(self._minutes)[:-2]:
            if not self._minutes[number].changed:
                del self._minutes[number]

    def noted_in(self, history: History) -> None:
        """The history was opened anew: if it is another file, the run begins anew in it."""
        if self._run_id is not None and not history.has_run(self._run_id):
            self._run_id, self._written_emitters = None, {}
            for minute in self._minutes.values():
                minute.changed = True

    def bound(self) -> None:
        """Drops the oldest minutes if too many wait."""
        for number in sorted(self._minutes)[:-MAX_MINUTES]:
            del self._minutes[number]
            self.lost_minutes += 1

    def give_up(self) -> None:
        """What still waits is lost."""
        self.lost_alerts += len(self._alerts)
        self.lost_minutes += sum(minute.changed for minute in self._minutes.values())


def _places(row: Mapping[str, Any]) -> list[Reach]:
    half = 0.5 * (row.get(keys.BANDWIDTH_HZ) or 0.0)
    centers = row.get(keys.HOP_SET_HZ) or [row[keys.FREQ_CENTER_HZ]]
    return [Reach(row[keys.EMITTER_ID], center - half, center + half) for center in centers if center is not None]
