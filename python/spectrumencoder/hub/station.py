# SPDX-License-Identifier: GPL-3.0-or-later
"""A sensor as the hub knows it: what it said of itself, how it is, its link, and its feed for the page."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from .. import keys
from ..display.history import Tuning
from ..encoder.quantise import DecodedGroup
from ..session.listening import ROW_S, SpectrumRow
from .budget import Budget
from .decoding import begin_s
from .fields import is_number

QUIET_S = 10.0  # without a message for so long, a sensor counts as away


class Station:
    """A sensor. It also answers for it to a page (``web.feed.Followed``): it is watched from here, and not steered.

    Attributes: sensor; about, health: as it sent them; seen_s: when its last message came; made_s: when that was made, by its
    clock; budget; latest: its newest spectra (posix_s, DecodedGroup).
    """

    is_radio, is_scan, can_steer, snippets = False, False, False, None
    history: Path | None = None  # the file of its history, if the hub keeps one

    def __init__(self, sensor: str):
        self.sensor, self.name = sensor, sensor
        self.about: dict[str, Any] = {}
        self.health_now: dict[str, Any] = {}
        self.seen_s = self.made_s = 0.0
        self.delay_s = 0.0
        self.budget = Budget()
        self.latest: tuple[float, DecodedGroup] | None = None
        self.samp_rate, self.center_freq_hz, self.fft_size, self.frame_s, self.model = 1.0, 0.0, 1024, 1.0, ""

    def said(self, about: dict[str, Any]) -> None:
        """Takes what a sensor says of itself."""
        self.about |= about
        for key, name in ((keys.RX_RATE, "samp_rate"), (keys.RX_FREQ, "center_freq_hz"), ("fft_size", "fft_size"),
                          ("frame_s", "frame_s")):
            value = about.get(key)
            if is_number(value) and value > 0:
                setattr(self, name, type(getattr(self, name))(value))
        self.model = str(self.about.get(keys.MODEL, ""))
        self.name = f"{self.sensor}: {self.about[keys.SOURCE]}" if self.about.get(keys.SOURCE) else self.sensor

    @property
    def position(self) -> dict[str, float]:
        """LATITUDE and LONGITUDE, if they are known."""
        place = {key: self.about.get(key) for key in (keys.LATITUDE, keys.LONGITUDE)}
        return place if all(map(is_number, place.values())) else {}

    def spectra(self, made_s: float, group: DecodedGroup) -> list[SpectrumRow]:
        """Takes decoded spectra, and returns them as rows."""
        header = group.header
        start_s, frame_s = begin_s(header, made_s), header.frame_hop / header.rx_rate
        self.latest = (start_s, group)
        self.samp_rate, self.frame_s, self.fft_size = header.rx_rate, frame_s, group.spectra.shape[1]
        if header.rx_freq is not None:
            self.center_freq_hz = header.rx_freq
        tuning = Tuning(header.rx_freq or 0.0, header.rx_rate, group.spectra.shape[1])
        step = max(1, round(ROW_S / frame_s))
        return [SpectrumRow(start_s + first * frame_s, min(step, header.n_frames - first) * frame_s, tuning,
                            group.spectra[first:first + step].max(axis=0)) for first in range(0, header.n_frames, step)]

    def row(self) -> dict[str, Any]:
        """For the overview page."""
        now_s = time.time()
        levels = None
        if self.latest is not None:
            psd = self.latest[1].spectra[-8:].max(axis=0)
            levels = [round(float(level), 1) for level in np.max(psd.reshape(128, -1), axis=1)] if psd.size % 128 == 0 else None
        return {**self.about, **self.position, keys.SENSOR: self.sensor, "here": now_s - self.seen_s < QUIET_S,
                "seen_s": self.seen_s, "delay_s": self.delay_s, keys.HEALTH: self.health_now, "budget": self.budget.table(now_s),
                "levels": levels, "levels_s": None if self.latest is None else self.latest[0]}

    # -- as web.feed asks

    def control(self, message: dict) -> None:
        raise ValueError(f"{self.sensor} is a sensor at a hub: it is steered where it runs")

    tune = control

    def scan(self, ranges: str | None = None, pause: bool | None = None) -> None:
        self.control({})

    def health(self) -> dict:
        return self.health_now

    def learning(self) -> dict:
        return {}

    def emitters(self) -> list[dict]:
        return []

    def ignored_hz(self) -> list[list[float]]:
        return []

    def expected(self) -> list:
        return []

    def settings(self) -> dict[str, Any]:
        return {}
