# SPDX-License-Identifier: GPL-3.0-or-later
"""A history of each sensor, DIR/ID.db, in the form of ``history``: ``report`` reads it, and a page may."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .. import keys
from ..display.history import Tuning
from ..encoder.quantise import DecodedGroup
from ..history.recorder import Recorder
from ..history.run import Source
from ..session.listening import News
from .decoding import begin_s
from .site import Follower
from .station import Station


class Histories(Follower):
    """Writes the history of each sensor, once its first spectra say with which rate and K it watches.

    Args:
        folder: made if it is missing. say: gets lines for a person.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] = lambda line: None):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._say, self._lock = folder, say, threading.Lock()
        self._recorders: dict[str, Recorder] = {}
        self._running: dict[str, tuple[float, int]] = {}  # rate and K of the run that is noted
        self._early: dict[str, list[dict]] = {}  # alerts before the first spectra

    def begin(self, station: Station) -> None:
        with self._lock:
            self._end(station.sensor, "another run began", [])

    def spectra(self, station: Station, made_s: float, group: DecodedGroup) -> None:
        header = group.header
        with self._lock:
            recorder = self._recorder(station, header.rx_rate, int(header.average[0]))
            recorder.frames(np.ascontiguousarray(group.spectra), Tuning(header.rx_freq or 0.0, header.rx_rate,
                                                                        group.spectra.shape[1]),
                            begin_s(header, made_s), header.frame_hop / header.rx_rate)

    def news(self, station: Station, news: News) -> None:
        alerts = [fields for port, fields in news.messages if port == keys.EVENTS]
        if alerts:
            with self._lock:
                if station.sensor not in self._running:
                    self._early.setdefault(station.sensor, []).extend(alerts)
                else:
                    for fields in alerts:
                        self._recorders[station.sensor].alert(fields)

    def end(self, station: Station, notes: list[str]) -> None:
        with self._lock:
            self._end(station.sensor, "ended", notes)

    def close(self) -> None:
        with self._lock:
            for sensor in list(self._running):
                self._end(sensor, "the hub ended", [])
            for recorder in self._recorders.values():
                recorder.close()

    def _recorder(self, station: Station, rate: float, average: int) -> Recorder:
        """The recorder of a sensor, with a run of this rate and K noted."""
        sensor = station.sensor
        recorder = self._recorders.get(sensor)
        if recorder is None:
            station.history = self._folder / f"{sensor}.db"
            recorder = self._recorders[sensor] = Recorder(station.history, say=self._say)
        if self._running.get(sensor) != (rate, average):
            self._end(sensor, "its rate changed", [])
            row = {keys.SOURCE: station.name, "band": sensor, "samp_rate": rate, "fft_size": station.fft_size,
                   "average": average, keys.FREQ_CENTER_HZ: station.center_freq_hz, keys.MODEL: station.model, "is_radio": True}
            recorder.begin(Source(row, rate, average, poll=lambda: (dict(station.health_now), [])))
            self._running[sensor] = rate, average
            for fields in self._early.pop(sensor, []):
                recorder.alert(fields)
        return recorder

    def _end(self, sensor: str, why: str, notes: list[str]):
        if self._running.pop(sensor, None) is not None:
            self._recorders[sensor].end(why, notes)
