# SPDX-License-Identifier: GPL-3.0-or-later
"""When something of a plan is on: its windows of life, and the starts in them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Generic, TypeVar

import numpy as np

from .plan import Life

T = TypeVar("T")
JITTER = 0.02  # standard deviation of a periodic interval, as a share of it


def generator(seed: int, name: str, *more: int) -> np.random.Generator:
    """The generator of one part of a band. Parts of other names do not depend on it."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *more])


def windows(life: Life, start: datetime, seconds: float) -> list[tuple[float, float]]:
    """Spans [begin, end) of its life within the recording, in seconds from the first sample."""
    low, high = life.from_s, min(life.until_s, seconds)
    if not life.daily:
        return [(low, high)] if low < high else []
    moment = start.astimezone(UTC)
    midnight = -(moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
    days = range(-1, int((seconds - midnight) // 86400) + 1)
    spans = [(max(low, midnight + 86400 * day + a), min(high, midnight + 86400 * day + b)) for day in days for a, b in life.daily]
    return sorted(span for span in spans if span[0] < span[1])


def is_on(spans: list[tuple[float, float]], moment: float) -> bool:
    """True if the moment lies in one of the spans."""
    return any(a <= moment < b for a, b in spans)


def starts(life: Life, spans: list[tuple[float, float]], rng: np.random.Generator, draw: Callable[[], tuple[float, T]], *,
           duty: float | None = None, mean_s: float = 0.0) -> list[tuple[float, T]]:
    """Starts in seconds, each with what is on. The next start is not before the end of the last.

    Args:
        draw: gives the length in seconds of the next one, and the thing itself.
        duty: share of time on, instead of the life's interval.
        mean_s: mean length.
    """
    if life.at_s is not None:
        return [(moment, draw()[1]) for moment in life.at_s if is_on(spans, moment)]
    interval = mean_s / duty if duty else life.interval_s
    assert interval is not None  # a plan gives one of the three
    out: list[tuple[float, T]] = []
    if not spans:
        return out
    periodic, moment, high = life.timing == "periodic", spans[0][0], spans[-1][1]
    moment += rng.uniform() * interval if periodic else rng.exponential(interval)
    while moment < high:
        length, item = draw()
        if is_on(spans, moment):
            out.append((moment, item))
        if periodic:
            moment += max(length, interval * (1 + JITTER * rng.standard_normal()))
        else:
            moment += length + rng.exponential(max(interval - mean_s, 0.01 * interval))
    return out


class Ordered(Generic[T]):
    """Things that last from one sample to another, to find those of a stretch.

    Args:
        ends: gives the samples [begin, end) of a thing.
    """

    def __init__(self, items: list[T], ends: Callable[[T], tuple[int, int]]):
        self._items = sorted(items, key=ends)
        self._ends = np.array([ends(item) for item in self._items], np.int64).reshape(-1, 2)
        self._longest = int(np.max(self._ends[:, 1] - self._ends[:, 0], initial=0))

    def __len__(self) -> int:
        return len(self._items)

    def touching(self, first: int, count: int) -> list[tuple[int, T]]:
        """Those that touch samples [first, first + count), in order, each with its number."""
        low, high = np.searchsorted(self._ends[:, 0], [first - self._longest, first + count])
        return [(i, self._items[i]) for i in range(low, high) if self._ends[i, 1] > first]
