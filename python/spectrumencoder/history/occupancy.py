# SPDX-License-Identifier: GPL-3.0-or-later
"""Occupancy over time and frequency, summed up from the minutes of a history into a map of few cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .packing import Channels
from .reader import MINUTE_S, Reader
from .store import BLOCK

MAX_COLUMNS = 1200
_STEPS_MIN = (1, 2, 5, 10, 15, 20, 30, 60, 120, 240, 360, 720, 1440)
HOURS, DAY_S = 24, 86400.0
MIN_DAYS = 3  # on which a channel was occupied, before an hour is called busy


@dataclass
class OccupancyMap:
    """A range of channels side by side. Shape letters: T stretches of time, C channels.

    Attributes:
        begin_s: POSIX time of the first stretch. step_s: their length. first: number of the first channel, centred on
            first * channel_hz.
        occupancy: (T, C) share of the frames above the floor, NaN if nothing was heard there. frames: (T, C).
        total: (C,) over all time, NaN likewise. by_hour: (24, C) by hour of the day, UTC.
        mean_db, max_db: (C,) dB over the floor.
    """

    begin_s: float
    step_s: float
    channel_hz: float
    first: int
    occupancy: np.ndarray
    frames: np.ndarray
    total: np.ndarray
    by_hour: np.ndarray
    mean_db: np.ndarray
    max_db: np.ndarray

    @property
    def centers_hz(self) -> np.ndarray:
        """(C,)"""
        return (self.first + np.arange(len(self.total))) * self.channel_hz

    @property
    def low_hz(self) -> float:
        return (self.first - 0.5) * self.channel_hz

    @property
    def high_hz(self) -> float:
        return self.low_hz + len(self.total) * self.channel_hz

    def busiest_hour(self, channel: int) -> int | None:
        """Hour of the day, UTC, in which a channel is occupied most; None if hours hardly differ, or days are few."""
        hours = self.by_hour[:, channel]
        known = hours[np.isfinite(hours)]
        busy = np.nan_to_num(self.occupancy[:, channel]) > 0
        days = np.unique(np.floor((self.begin_s + self.step_s * np.flatnonzero(busy)) / DAY_S))
        if len(days) < MIN_DAYS or len(known) < HOURS or known.max() < 1.5 * np.median(known):
            return None
        return int(np.nanargmax(hours))


def occupancy_maps(reader: Reader, since_s: float, until_s: float) -> list[OccupancyMap]:
    """The maps of this time: one for each range of channels without a hole, lowest frequency first."""
    step_min = next((step for step in _STEPS_MIN if (until_s - since_s) / MINUTE_S / step <= MAX_COLUMNS), _STEPS_MIN[-1])
    first_minute = math.floor(since_s / MINUTE_S / step_min) * step_min
    n_steps = max(1, math.ceil((until_s / MINUTE_S - first_minute) / step_min))
    blocks: dict[tuple[float, int], _Block] = {}
    for minute, width, first, channels in reader.channel_rows(since_s, until_s):
        block = first // BLOCK
        if (width, block) not in blocks:
            blocks[width, block] = _Block(n_steps)
        blocks[width, block].add((minute - first_minute) // step_min, minute // 60 % HOURS, first % BLOCK, channels)
    maps = []
    for width in sorted({width for width, _ in blocks}):
        numbers = sorted(block for of, block in blocks if of == width)
        for run in np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1):
            joined = _Block.joined([blocks[width, int(block)] for block in run])
            there = np.flatnonzero(joined.frames.any(axis=0))
            for part in np.split(there, np.flatnonzero(np.diff(there) > 1) + 1):
                if len(part):
                    maps.append(joined.map(slice(part[0], part[-1] + 1), width, int(run[0]) * BLOCK, 60.0 * first_minute,
                                           60.0 * step_min))
    return sorted(maps, key=lambda one: one.low_hz)


class _Block:
    """Sums of BLOCK channels over time."""

    def __init__(self, n_steps: int, n_channels: int = BLOCK):
        self.frames, self.occupied = (np.zeros((n_steps, n_channels), np.float32) for _ in range(2))
        self.hour_frames, self.hour_occupied = (np.zeros((HOURS, n_channels)) for _ in range(2))
        self.power, self.highest = np.zeros(n_channels), np.full(n_channels, -np.inf)

    def add(self, step: int, hour: int, first: int, channels: Channels) -> None:
        part = slice(first, first + len(channels.frames))
        occupied = channels.occupancy * channels.frames
        self.frames[step, part] += channels.frames
        self.occupied[step, part] += occupied
        self.hour_frames[hour, part] += channels.frames
        self.hour_occupied[hour, part] += occupied
        self.power[part] += np.where(channels.frames > 0, 10 ** (0.1 * channels.mean_db), 0.0) * channels.frames
        self.highest[part] = np.fmax(self.highest[part], channels.max_db)

    @classmethod
    def joined(cls, blocks: list[_Block]) -> _Block:
        whole = cls(0)
        for name in vars(whole):
            setattr(whole, name, np.concatenate([getattr(block, name) for block in blocks], axis=-1))
        return whole

    def map(self, part: slice, width: float, first: int, begin_s: float, step_s: float) -> OccupancyMap:
        frames, total = self.frames[:, part], self.hour_frames[:, part].sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return OccupancyMap(
                begin_s, step_s, width, first + int(part.start), self.occupied[:, part] / frames, frames,
                self.hour_occupied[:, part].sum(axis=0) / total, self.hour_occupied[:, part] / self.hour_frames[:, part],
                10 * np.log10(self.power[part] / total), self.highest[part])
