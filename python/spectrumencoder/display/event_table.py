# SPDX-License-Identifier: GPL-3.0-or-later
"""The events, signals and tracks that the display shows: the latest message of each, bounded in number."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from .. import keys
from .appearance import number

MAX_EVENTS = 500
MAX_BURSTS = 2000  # of signals
MAX_TRACKS = 64
MAX_POINTS = 2000  # per track
ENDED = ("close", "closed", "deleted", "ended", "lost", "terminated")  # states in which a track goes no further


class Box(NamedTuple):
    """A box in the waterfall: stream time in s, frequency in Hz."""

    begin_s: float
    end_s: float
    low_hz: float
    high_hz: float

    def meets(self, other: Box) -> bool:
        return (self.end_s > other.begin_s and self.begin_s < other.end_s
                and self.high_hz >= other.low_hz and self.low_hz <= other.high_hz)


class EventTable:
    """Events by their event_id. Beyond MAX_EVENTS the oldest are dropped.

    Attributes: n_events (distinct events received).
    """

    def __init__(self):
        self.clear()

    def clear(self):
        self._events: dict[str, dict] = {}
        self.n_events = 0

    def update(self, event: dict):
        """Takes an event's dict, which has an EVENT_ID."""
        identity = str(event[keys.EVENT_ID])
        self.n_events += identity not in self._events
        self._events[identity] = event
        while len(self._events) > MAX_EVENTS:
            del self._events[next(iter(self._events))]

    def newest_first(self) -> list[dict]:
        return list(reversed(self._events.values()))


class SignalTable:
    """Bursts of signals, each by its latest message. Beyond MAX_BURSTS the oldest are dropped."""

    def __init__(self):
        self.clear()

    def clear(self):
        self._bursts: deque[dict] = deque(maxlen=MAX_BURSTS)
        self._open: dict[str, dict] = {}  # signal_id -> its burst that is on, of those above

    def update(self, signal: dict):
        """Takes a signal's dict, which has a SIGNAL_ID."""
        identity, state = str(signal[keys.SIGNAL_ID]), signal.get(keys.STATE)
        burst = self._open.get(identity)
        if burst is None or state == "open":
            burst = self._open[identity] = {}
            self._bursts.append(burst)
        burst.clear()
        if state != "close" or signal.get(keys.SAMPLE_COUNT):  # else it turned out to be a part of another one
            burst.update(signal)
        if state == "close":
            del self._open[identity]

    def newest_first(self) -> list[dict]:
        return [burst for burst in reversed(self._bursts) if burst]


def event_box(event: dict, time_of) -> Box | None:
    """The box of an event or signal; None if it does not state its place.

    Args:
        time_of: maps a sample to its stream time, s.
    """
    where = [number(event.get(key)) for key in (keys.FREQ_CENTER_HZ, keys.SAMPLE_START, keys.SAMPLE_COUNT)]
    if None in where:
        return None
    center, start, count = where
    half = (number(event.get(keys.BANDWIDTH_HZ)) or 0.0) / 2
    return Box(float(time_of(start)), float(time_of(start + count)), center - half, center + half)


@dataclass
class SpectralTrack:
    """A track's path: stream times in s and centre frequencies in Hz; the newest bandwidth; whether it goes on."""

    name: str
    times_s: deque = field(default_factory=lambda: deque(maxlen=MAX_POINTS))
    centers_hz: deque = field(default_factory=lambda: deque(maxlen=MAX_POINTS))
    bandwidth_hz: float = 0.0
    ended: bool = False


class TrackTable:
    """Tracks by their track_id. A message without a frequency (a track of positions) is ignored."""

    def __init__(self):
        self.clear()

    def clear(self):
        self.tracks: dict[str, SpectralTrack] = {}

    def update(self, fields: dict, time_s: float):
        """Takes a track's dict, which has a TRACK_ID, received at a stream time."""
        center = number(fields.get(keys.FREQ_CENTER_HZ))
        if center is None:
            return
        name = str(fields[keys.TRACK_ID])
        track = self.tracks.setdefault(name, SpectralTrack(name))
        track.times_s.append(time_s)
        track.centers_hz.append(center)
        track.bandwidth_hz = number(fields.get(keys.BANDWIDTH_HZ)) or 0.0
        track.ended = str(fields.get(keys.STATE)).lower() in ENDED
        while len(self.tracks) > MAX_TRACKS:
            del self.tracks[min(self.tracks, key=lambda name: self.tracks[name].times_s[-1])]

    def forget_before(self, time_s: float):
        """Drops the tracks whose last message is older."""
        self.tracks = {name: track for name, track in self.tracks.items() if track.times_s[-1] >= time_s}
