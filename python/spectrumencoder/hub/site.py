# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hub knows now: its sensors, their alerts side by side, tracks, and who else hears what."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .. import keys
from ..encoder import pdu
from ..encoder.quantise import DecodedGroup
from ..session.listening import News
from . import together
from .bearings import Joiner
from .decoding import Decoder, begin_s
from .fields import ABOUT_FIELDS, bounded, numbers
from .message import ABOUT, ALERT, END, HEALTH, REPORT, SIGNAL, SPECTRA, MessageError, read_json
from .receiver import Accepted
from .station import Station
from .store import HubStore

MAX_ALERTS = 2000
MAX_REPORTS = 10_000
_SHOWN, _COMPARED = 100, 500  # alerts of an overview: the newest, and those that they are compared with
_MAX_GROUP_S = 30.0  # length of a group of spectra that is found
_LOOK_PDUS = 4  # PDUs of a sensor that are decoded to see whether it hears an alert of another


class Follower:
    """What follows the sensors, such as their feeds of a page or their histories. Called on threads of the hub; must not wait."""

    def begin(self, station: Station) -> None:
        """A sensor begins a run, or is known from the store."""

    def spectra(self, station: Station, made_s: float, group: DecodedGroup) -> None:
        """Decoded spectra of a sensor."""

    def news(self, station: Station, news: News) -> None:
        """Rows, and messages as (port, fields)."""

    def end(self, station: Station, notes: list[str]) -> None:
        """A sensor's run has ended."""

    def close(self) -> None:
        """Nothing more comes."""


class Site:
    """The state of a hub. ``take`` gets what the receiver has stored; the rest is for the page, on any thread.

    Args:
        store: for what came before, and for spectra of a moment. followers: see there. say: gets lines for a person.
    """

    def __init__(self, store: HubStore, followers: Iterable[Follower] = (), say: Callable[[str], None] = lambda line: None):
        self._store, self._followers, self._say = store, list(followers), say
        self._lock = threading.Lock()
        self.stations: dict[str, Station] = {}
        self._alerts: OrderedDict[tuple[str, str], tuple[together.Box | None, dict]] = OrderedDict()
        self._tracks: dict[str, dict] = {}
        self.refused_reports: Counter[str] = Counter()
        self._reports: queue.Queue = queue.Queue(MAX_REPORTS)
        self._joiner = Joiner()
        self._tracker: Any = None
        self.decoder = Decoder(self._decoded, say)
        for sensor, (_, about, last_s) in store.abouts().items():
            station = self._station(sensor)
            station.said(bounded(_fields(about), ABOUT_FIELDS))
            station.seen_s = station.made_s = last_s
        for row in store.alerts(limit=MAX_ALERTS):
            self._take_alert(row.sensor, bounded(_fields(row.payload), keys.EVENT_FIELDS))
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._track, name="hub tracker", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the threads."""
        self._closing.set()
        self._thread.join()
        self.decoder.close()
        for follower in self._followers:
            follower.close()

    # -- what comes

    def take(self, accepted: list[Accepted]) -> None:
        """Takes messages that are stored, in order; on the receiver's thread."""
        now_s = time.time()
        for message, stored_s, size in accepted:
            station = self._station(message.sensor)
            station.seen_s, station.made_s, station.delay_s = now_s, message.time_s, stored_s - message.time_s
            header = pdu.unpack(message.payload)[0] if message.kind == SPECTRA else None
            station.budget.add(now_s, message.kind, size, header)
            if header is not None:
                self.decoder.add(message.sensor, message.time_s, message.payload)
                continue
            fields = read_json(message.payload)
            if message.kind == ABOUT:
                station.said(bounded(fields, ABOUT_FIELDS))
                for follower in self._followers:
                    follower.begin(station)
            elif message.kind == HEALTH:
                station.health_now = numbers(fields)
                self._give(station, keys.STATUS, station.health_now)
            elif message.kind == ALERT:
                alert = bounded(fields, keys.EVENT_FIELDS)
                self._take_alert(message.sensor, alert)
                self._give(station, keys.EVENTS, alert)
            elif message.kind == SIGNAL:
                self._give(station, keys.SIGNALS, bounded(fields, keys.SIGNAL_FIELDS))
            elif message.kind == REPORT:
                self._report(message.sensor, fields)
            elif message.kind == END:
                notes = fields.get("notes")
                for follower in self._followers:
                    follower.end(station, [str(note)[:200] for note in notes[:100]] if isinstance(notes, list) else [])

    def _give(self, station: Station, port: str, fields: dict):
        for follower in self._followers:
            follower.news(station, News([], [(port, fields)]))

    def _decoded(self, sensor: str, made_s: float, group: DecodedGroup):
        station = self._station(sensor)
        news = News(station.spectra(made_s, group), [])
        for follower in self._followers:
            follower.spectra(station, made_s, group)
            follower.news(station, news)

    def _station(self, sensor: str) -> Station:
        with self._lock:
            if sensor not in self.stations:
                self.stations[sensor] = Station(sensor)
            return self.stations[sensor]

    def _take_alert(self, sensor: str, fields: dict):
        name = sensor, str(fields.get(keys.EVENT_ID))
        with self._lock:
            alert = self._alerts.get(name, (None, {}))[1] | fields | {keys.SENSOR: sensor}
            self._alerts[name] = together.box_of(alert), alert
            self._alerts.move_to_end(name)
            while len(self._alerts) > MAX_ALERTS:
                self._alerts.popitem(last=False)

    # -- positions and bearings

    def _report(self, sensor: str, fields: dict):
        try:
            self._reports.put_nowait((sensor, fields))
        except queue.Full:
            self.refused_reports["too many"] += 1

    def _track(self):
        while not self._closing.is_set():
            try:
                sensor, fields = self._reports.get(timeout=0.1)
                self._place(sensor, fields)
            except queue.Empty:
                pass
            now_s = time.monotonic()
            for report in self._joiner.due(now_s, self._n_measuring()):
                self._to_tracker(report)
            if self._reports.empty() and self._tracker is not None:
                self._tracker.flush()
                self._show_tracks()

    def _place(self, sensor: str, fields: dict):
        try:
            if self._joiner.add(sensor, fields, self._station(sensor).position, time.monotonic()):
                return
        except ValueError as error:
            self.refused_reports["bearing"] += 1
            self._say(f"{sensor}: a report cannot be used: {error}")
            return
        self._to_tracker(fields)

    def _n_measuring(self) -> int:
        """Sensors with a position: when all have measured, nobody is waited for."""
        with self._lock:
            return max(2, sum(1 for station in self.stations.values() if station.position))

    def _to_tracker(self, fields: dict):
        from ..tracker.doma import DomaTracker
        from ..tracker.fixes import Refused
        if self._tracker is None:
            self._tracker = DomaTracker()
        try:
            self._tracker.report(fields)
        except Refused as error:
            self.refused_reports[error.reason] += 1

    def _show_tracks(self):
        for track in self._tracker.messages():
            with self._lock:
                if track[keys.STATE] == "close":
                    self._tracks.pop(track[keys.TRACK_ID], None)
                else:
                    self._tracks[track[keys.TRACK_ID]] = track

    # -- for the page

    def overview(self) -> dict[str, Any]:
        """Sensors, alerts (the newest first, each with the alerts of others that go with it), tracks, counters."""
        with self._lock:
            stations = list(self.stations.values())
            alerts = list(self._alerts.values())
            tracks = [{key: track[key] for key in (keys.TRACK_ID, keys.IDENTITY, keys.TIMESTAMP, keys.LATITUDE, keys.LONGITUDE,
                                                   keys.FREQ_CENTER_HZ, keys.SOURCE) if key in track}
                      for track in self._tracks.values() if keys.LATITUDE in track]
        newest = sorted(alerts, key=lambda one: one[1].get(keys.TIMESTAMP) or 0.0, reverse=True)[:_COMPARED]
        rows = [alert | {"also": {sensor: {key: other.get(key) for key in (keys.EVENT_ID, keys.SNR_DB)}
                                  for sensor, other in together.same(alert[keys.SENSOR], box, newest).items()}}
                for box, alert in newest[:_SHOWN]]
        return {"sensors": [station.row() for station in stations], "alerts": rows, keys.TRACKS: tracks, "time": time.time(),
                keys.REFUSED_REPORTS: dict(self.refused_reports), "alone": self._joiner.n_alone,
                "decoded": self.decoder.n_decoded, "left_out": self.decoder.n_left_out, "not_decodable": self.decoder.n_failed}

    def who_hears(self, sensor: str, event_id: str) -> list[dict[str, Any]]:
        """Of each other sensor whether it hears an alert: {sensor, hears: alert | level | nothing | no data, level_db, event_id}.

        Its alerts say so, or the level over the noise in its stored spectra. It decodes some: not for the receiver's thread.

        Raises:
            KeyError: there is no such alert.
        """
        with self._lock:
            box, _ = self._alerts[sensor, event_id]
            alerts, names = list(self._alerts.values()), [name for name in self.stations if name != sensor]
        found = together.same(sensor, box, alerts)
        rows = []
        for name in names:
            level = None if box is None else self._level_db(name, box)
            hears = "no data" if level is None else "level" if level >= together.HEARD_DB else "nothing"
            row: dict[str, Any] = {keys.SENSOR: name, "hears": hears, "level_db": None if level is None else round(level, 1)}
            if name in found:
                row |= {"hears": "alert"} | {key: found[name].get(key) for key in (keys.EVENT_ID, keys.SNR_DB)}
            rows.append(row)
        return rows

    def _level_db(self, sensor: str, box: together.Box) -> float | None:
        """The largest level of a sensor in a box, by the PDUs that were made then; None if it has none."""
        levels = []
        for row in self._store.messages(SPECTRA, sensor, box.begin_s - _MAX_GROUP_S, box.end_s, limit=500):
            header = pdu.unpack(row.payload)[0]
            start_s = begin_s(header, row.time_s)
            end_s = start_s + header.n_frames * header.frame_hop / header.rx_rate
            if header.rx_freq is None or end_s < box.begin_s or start_s > box.end_s or len(levels) >= _LOOK_PDUS:
                continue
            try:
                group = self.decoder.decode(row.payload)
            except pdu.CodecError:
                continue
            times = start_s + (header.frame_hop / header.rx_rate) * np.arange(header.n_frames)
            level = together.level_db(group.spectra, times, header.rx_freq, header.rx_rate, box)
            if level is not None:
                levels.append(level)
        return max(levels, default=None)


def _fields(payload: bytes) -> dict:
    try:
        return read_json(payload)
    except MessageError:
        return {}
