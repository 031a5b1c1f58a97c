# SPDX-License-Identifier: GPL-3.0-or-later
"""A history as a monitor on the 433 MHz band would have written it, seeded: days in seconds, to look at and to measure.

Nothing here was received. Channels and levels of each minute are drawn from what emitters of that band do; alerts, gaps and
health follow a script (``EVENTS``), which repeats each week. All of it is written by ``history.store.History``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import keys
from ..history.packing import Channels
from ..history.store import BLOCK, History, MinuteRow

CENTER_HZ, RATE_HZ, CHANNEL_HZ = 434e6, 2.4e6, 25e3
FRAMES = 8789  # of a minute: 16 spectra of 1024 bins in each
FLOOR_DBFS = -92.0
HOUR, DAY, WEEK = 60, 1440, 10080  # minutes
_FIRST = int(np.floor((CENTER_HZ - RATE_HZ / 2) / CHANNEL_HZ)) + 1
N_CHANNELS = 96


@dataclass
class Station:
    """An emitter of the site.

    Attributes:
        number, name, label: as in a registry. freq_hz, width_hz; level_db: over the floor. bursts: a minute; burst_s: length.
        day: how much more it sends by day than at night, 0 to 1. begin, end: minutes at which it comes and goes.
        louder: (from minute, to minute, dB).
    """

    number: int
    freq_hz: float
    width_hz: float
    level_db: float
    bursts: float
    burst_s: float
    label: str
    name: str = ""
    day: float = 0.0
    begin: int = 0
    end: int = 1 << 40
    louder: tuple[int, int, float] = (0, 0, 0.0)
    learned: bool = True
    count: int = field(default=0, init=False)
    last_minute: int = field(default=-1, init=False)


STATIONS = (
    Station(1, 433.075e6, 8e3, 21.0, 0.03, 25.0, "NFM", "taxi dispatch", 0.9),
    Station(2, 433.4249e6, 12e3, 14.0, 1.2, 0.18, "ISM-sensor-FSK", "weather station", end=3 * DAY + 7 * HOUR + 12),
    Station(3, 433.775e6, 125e3, 9.0, 6.0, 0.4, "LoRa", "gateway uplinks", 0.6),
    Station(4, 433.92e6, 40e3, 24.0, 2.6, 0.09, "ISM-sensor-OOK", "car keys and sensors", 0.85),
    Station(5, 434.0747e6, 10e3, 12.5, 0.97, 0.12, "ISM-sensor-FSK", "tyre pressure", 0.7),
    Station(6, 434.475e6, 3e3, 18.0, 1.0, 60.0, "carrier", "beacon", louder=(5 * DAY + 9 * HOUR, 6 * DAY + 1 * HOUR, 9.0)),
    Station(7, 434.65e6, 180e3, 7.0, 0.4, 2.5, "unknown signal", "", 0.95),
    Station(8, 434.8e6, 12e3, 27.0, 0.5, 18.0, "NFM", "repeater", 0.95),
    Station(9, 433.1999e6, 15e3, 17.0, 0.5, 0.3, "ISM-sensor-FSK", begin=1 * DAY + 18 * HOUR + 4, learned=False),
    Station(10, 434.35e6, 260e3, 31.0, 1.0, 52.0, "OFDM", begin=2 * DAY + 14 * HOUR + 20, end=2 * DAY + 16 * HOUR + 5,
            learned=False),
    Station(11, 434.9124e6, 4e3, 13.0, 1.0, 60.0, "carrier", begin=4 * DAY + 11 * HOUR + 31, learned=False),
)
EVENTS = (  # minute, kind, number of the station, minutes that it lasts
    (1 * DAY + 18 * HOUR + 4, "new", 9, 1), (2 * DAY + 14 * HOUR + 20, "new", 10, 105),
    (3 * DAY + 9 * HOUR + 2, "gone", 2, 0), (4 * DAY + 11 * HOUR + 31, "new", 11, 1768),  # until the run is stopped
    (5 * DAY + 9 * HOUR, "louder", 6, 479), (5 * DAY + 17 * HOUR + 5, "louder", 6, 475),
    (6 * DAY + 20 * HOUR + 40, "changed", 5, 0),
    (2 * DAY + 3 * HOUR + 15, "raised floor", 0, 34), (0 * DAY + 22 * HOUR + 9, "receiver", 0, 0),
)
GAPS = ((3 * DAY + 2 * HOUR + 10, 3 * DAY + 5 * HOUR + 35, None), (5 * DAY + 17 * HOUR, 5 * DAY + 17 * HOUR + 4, "stopped"))


def simulate_history(history: History, begin_s: float, n_minutes: int, first: int = 0, seed: int = 1) -> None:
    """Writes days of a site into an empty history.

    Args:
        begin_s: POSIX time at which the script begins, a multiple of 60. n_minutes: number of minutes to write, from the minute
            `first` of the script on.
    """
    site = _Site(history, int(begin_s) // 60, np.random.default_rng(seed))
    for begin in range(first, first + n_minutes, HOUR):
        with history:
            for minute in range(begin, min(begin + HOUR, first + n_minutes)):
                site.play(minute)
    with history:
        site.end_run("ended")


class _Site:
    def __init__(self, history: History, first_minute: int, rng: np.random.Generator):
        self._history, self._first, self._rng, self._run = history, first_minute, rng, 0
        self._stations = [Station(**{name: getattr(one, name) for name in one.__dataclass_fields__
                                     if name not in ("count", "last_minute")}) for one in STATIONS]
        self._begin = self._end = 0

    def play(self, minute: int) -> None:
        of_week = minute % WEEK
        gap = next((gap for gap in GAPS if gap[0] <= of_week < gap[1]), None)
        if gap is not None:
            if of_week == gap[0]:
                self.end_run(gap[2])
            return
        if not self._run:
            self._run, self._begin = self._history.begin_run({
                keys.SOURCE: "rtlsdr", "band": "/var/lib/spectrumencoder/roof.band", "samp_rate": RATE_HZ,
                keys.FREQ_CENTER_HZ: CENTER_HZ, "fft_size": 1024, "average": 16, keys.MODEL: "base", "is_radio": True,
                "settings": {"learn_s": 120.0, "false_events_per_hour": 1.0}}), minute
        self._end = minute + 1
        raised = 5.0 if any(kind == "raised floor" and begin <= of_week < begin + long
                            for begin, kind, _, long in EVENTS) else 0.0
        row = self._minute(minute, of_week, raised)
        self._history.put_minute(self._run, row)
        for begin, kind, number, long in EVENTS:
            if of_week in (begin, begin + long):
                self._alert(minute - (of_week - begin), kind, number, long, of_week == begin + long)
        self._history.mark_run(self._run, 60.0 * (self._first + self._begin), 60.0 * (self._first + self._end))
        if minute % 10 == 0:
            self._put_emitters()

    def end_run(self, why: str | None) -> None:
        self._put_emitters()
        self._history.mark_run(self._run, 60.0 * (self._first + self._begin), 60.0 * (self._first + self._end), why)
        self._run = 0

    def _minute(self, minute: int, of_week: int, raised_db: float) -> MinuteRow:
        rng = self._rng
        occupied = np.zeros(N_CHANNELS)
        mean, highest = 10 ** (rng.normal(1.6, 0.1, N_CHANNELS) / 10), 10 ** (rng.normal(4.6, 0.4, N_CHANNELS) / 10)
        levels = []
        day = max(0.0, np.sin(np.pi * ((minute % DAY) / HOUR - 6.0) / 16.0))  # from 6 to 22 UTC
        for one in self._stations:
            if not one.begin <= of_week < one.end and not (minute >= WEEK and one.begin and of_week < one.begin):
                continue
            bursts = 1 if one.burst_s >= 52.0 else rng.poisson(one.bursts * (1 - one.day + one.day * day))
            if not bursts:
                continue
            share = min(1.0, bursts * one.burst_s / 60.0 * rng.uniform(0.8, 1.2)) if one.burst_s < 60.0 else 1.0
            more = one.louder[2] if one.louder[0] <= of_week < one.louder[1] else 0.0
            level = one.level_db + more - raised_db + rng.normal(0.0, 0.5)
            one.count, one.last_minute = one.count + bursts, minute
            if level < 6.0:
                continue
            levels.append((one.number, share, level, level + 1.5 + abs(rng.normal(0.0, 0.8))))
            low, high = (round((one.freq_hz + half) / CHANNEL_HZ) - _FIRST for half in (-one.width_hz / 2, one.width_hz / 2))
            part, power = slice(max(0, low), high + 1), 10 ** (level / 10)
            occupied[part] = np.maximum(occupied[part], share)
            mean[part] += share * power
            highest[part] = np.maximum(highest[part], 1.3 * power)
        channels, done = {}, 0
        while done < N_CHANNELS:
            first = _FIRST + done
            count = min(BLOCK - first % BLOCK, N_CHANNELS - done)
            part = slice(done, done + count)
            channels[CHANNEL_HZ, first] = Channels(np.full(count, FRAMES), occupied[part], 10 * np.log10(mean[part]),
                                                   10 * np.log10(highest[part]))
            done += count
        lost = int(rng.poisson(4.0)) if rng.random() < 0.002 else 0
        health = {keys.DROPPED_FRAMES: lost, keys.OVERFLOWS: lost // 3, keys.CLIPPED_FRAMES: 0, keys.SKIPPED_FRAMES: 0,
                  keys.DROPPED_CONSTANT: 0, keys.EVENTS: 0, keys.LATENCY_P50_MS: 19.0 + rng.normal(0, 1),
                  keys.LATENCY_P99_MS: 41.0 + abs(rng.normal(0, 6)), keys.QUEUE_DEPTH: int(rng.integers(0, 3))}
        at = self._first + minute
        return MinuteRow(at, 0, 60.0 * at, 60.0 * at + 60.0, 60.0, FRAMES - lost, FLOOR_DBFS + raised_db + 0.6 * day, health,
                         levels, channels)

    def _alert(self, begin: int, kind: str, number: int, long: int, closed: bool) -> None:
        at = 60.0 * (self._first + begin) + 12.4
        message: dict[str, Any] = {
            keys.EVENT_ID: f"{begin}-{number}", keys.STATE: "close" if closed else "open", keys.TIMESTAMP: at,
            keys.TIME_SOURCE: "host", keys.ALERT: kind, keys.IS_ANOMALY: kind != "receiver", keys.FREQ_CENTER_HZ: CENTER_HZ,
            keys.BANDWIDTH_HZ: RATE_HZ, keys.MODEL: "base", keys.BAND: "ism", keys.THREAT_LEVEL: "LOW",
            keys.LAST_HEARD: at + 60.0 * long if closed else at}
        if kind == "gone":
            message[keys.LAST_HEARD] = 60.0 * (self._first + self._stations[number - 1].last_minute) + 30.0
        one = next((one for one in self._stations if one.number == number), None)
        if one is not None:
            message |= {keys.EMITTER_ID: number, keys.EMITTER_NAME: one.name, keys.FREQ_CENTER_HZ: one.freq_hz,
                        keys.BANDWIDTH_HZ: one.width_hz, keys.SNR_DB: one.level_db, keys.LABEL: one.label, keys.CONFIDENCE: 0.8,
                        keys.POWER_DBFS: FLOOR_DBFS + one.level_db, keys.BURSTS: max(1, one.count),
                        keys.FIRST_HEARD: 60.0 * (self._first + one.begin) + 12.4,
                        keys.THREAT_LEVEL: "MEDIUM" if one.level_db > 20.0 else "LOW"}
        self._history.add_alert(self._run, message, at)

    def _put_emitters(self) -> None:
        self._history.put_emitters(self._run, [self._emitter(one) for one in self._stations if one.last_minute >= 0])

    def _emitter(self, one: Station) -> Mapping[str, Any]:
        last = 60.0 * (self._first + one.last_minute) + 30.0
        return {keys.EMITTER_ID: one.number, keys.EMITTER_NAME: one.name, keys.FREQ_CENTER_HZ: one.freq_hz,
                keys.BANDWIDTH_HZ: one.width_hz, keys.POWER_DBFS: FLOOR_DBFS + one.level_db, keys.SNR_DB: one.level_db,
                keys.BURSTS: one.count, keys.FIRST_HEARD: 60.0 * (self._first + one.begin) + 12.4, keys.LAST_HEARD: last,
                keys.LABEL: one.label, keys.CONFIDENCE: 0.8, keys.BELONGS: one.learned or one.count > 50, keys.ACCEPTED: False,
                keys.STEADY: one.burst_s >= 60.0, keys.GONE: one.learned and self._end > one.end + 2 * HOUR,
                keys.HOP_SET_HZ: []}
