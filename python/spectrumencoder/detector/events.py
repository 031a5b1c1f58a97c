# SPDX-License-Identifier: GPL-3.0-or-later
"""Events: anomalous regions of frames joined over time and frequency into open, update and close messages.

A region joins the event of its kind that lies within ``MERGE_BINS`` of it, else it opens one. Two events that grow together
become one: the older lives on, the younger closes. Once open, an event is seen for as long as its own bins keep half of its
height, whether or not the whole frame is flagged. Its end is thus judged like its edges in frequency. It closes ``hold`` frames
after the last frame in which it was seen, at a discontinuity, and at the end of the stream. Its last frame is the last in which
it was seen.

Its place is the occupied band of its excess energy so far: the narrowest stretch that leaves 0.5 % of it on each side (99 %
occupied bandwidth, ITU-R SM.328). One stray bin in one frame does not widen a long event.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .. import keys
from ..settings import DEFAULTS
from .regions import EDGE, EXCESS, LEVEL, MISSING, Region
from .threat_types import MAX_FRAMES, Neighbour, Shape, ThreatTypes, Track, features_of
from .threats import LEVELS, threat_level

OPEN, UPDATE, CLOSE = "open", "update", "close"
MERGE_BINS = 8
BURST_EVENTS, EVENTS_PER_S = 64, 1.0  # events that may open at once, and then per second: others are counted
UPDATE_FRAMES = 32  # an event that is still seen sends an update after as many frames
_TAIL = 0.005
_MIN_SIGNIFICANCE = 3.0  # of an open event's bins, in deviations of their sum: below, they are noise
_MIN_SNR = 1e-3  # -30 dB: for an event without power over the floor
_REMEMBERED = 32  # closed events, for the types of those about them in time


@dataclass(frozen=True)
class Segment:
    """Tuning, rate and time of a run of frames between two tags.

    Attributes:
        rx_freq: Hz, centre. rx_rate: samples per second. band: of the band plan.
        frame_hop: samples from frame to frame. frame_average: windows in a whole frame.
        time_anchor: (POSIX seconds, sample number to which they belong).
        time_source: "hardware" or "tag" for an rx_time tag, "host" for this computer's clock.
        freq_relative: the centre frequency is not known; rx_freq is 0, and frequencies count from the centre.
    """

    rx_freq: float = 0.0
    rx_rate: float = 1.0
    band: str = "unknown"
    frame_hop: int = 16384
    frame_average: int = 16
    time_anchor: tuple[float, int] = (0.0, 0)
    time_source: str = "host"
    freq_relative: bool = False

    @property
    def frame_s(self) -> float:
        """Seconds from frame to frame."""
        return self.frame_hop / self.rx_rate

    def time_of(self, sample: int) -> float:
        """POSIX seconds of a sample."""
        return self.time_anchor[0] + (sample - self.time_anchor[1]) / self.rx_rate


class Frame(NamedTuple):
    """A frame that holds an anomaly, or that comes while one is open. `index` counts frames that were not skipped."""

    index: int
    sample_start: int
    sample_stop: int
    psd: np.ndarray  # (N,) dBFS
    residual: np.ndarray  # (N,) of the encoder
    standard: np.ndarray  # (N,) deviation of each bin from its usual level, in units of its own deviation
    floor_dbfs: float  # of this frame
    expected_floor_dbfs: float  # of the slow track
    label: str | None
    confidence: float | None
    dropout_rate: float
    threshold: float
    opening: float = -math.inf  # score above which a region may open an event
    model: str | None = None  # whose label and confidence these are; None: the tracker's model
    occupied: np.ndarray | None = None  # (N + 1,) of ``threat_types.occupied_bins``; None: no plan of the band is known


class Sighting(NamedTuple):
    """A region with the p-value of its score (None if nothing was calibrated)."""

    region: Region
    p_value: float | None


class Emitted(NamedTuple):
    """One message: an event's fields (``keys.EVENT_FIELDS``, those that apply) and the residual of its strongest frame."""

    fields: dict
    residual: np.ndarray


@dataclass
class _Event:
    event_id: str
    kind: str
    sample_start: int
    n_bins: int
    low: int = 0  # union of its regions
    high: int = 0
    sample_stop: int = 0
    last_index: int = 0
    n_frames: int = 0
    frames_reported: int = 0
    level_reported: str = LEVELS[0]
    weight: np.ndarray = field(default=None, repr=False)  # (N,) excess energy, or sightings, per bin
    power: np.ndarray = field(default=None, repr=False)  # (N,) sum of linear powers
    floor: float = 0.0  # sum of linear floors per bin
    height: float = 0.0  # largest mean height of its regions: deviations per bin, or dB of the floor
    best: Sighting | None = None
    best_frame: dict = field(default_factory=dict)  # label, confidence, model, dropout rate, threshold at the best frame
    residual: np.ndarray = field(default=None, repr=False)
    first_index: int = 0
    occupied: np.ndarray | None = field(default=None, repr=False)
    track: Track = field(default_factory=Track, repr=False)

    def __post_init__(self):
        self.weight, self.power = np.zeros(self.n_bins), np.zeros(self.n_bins)

    def add(self, frame: Frame, sightings: list[Sighting], power: np.ndarray):
        """Takes the event's regions in one frame; `power` (N,) is the frame's linear power."""
        floor = self.extend(frame, power)
        for region, _ in sightings:
            self.low, self.high = min(self.low, region.low), max(self.high, region.high)
            self.height = max(self.height, self._height_in(frame, region.low, region.high))
            part = slice(region.low, region.high + 1)
            self.weight[part] += np.maximum(power[part] - floor, 0.0) if self.kind == EXCESS else 1.0
        strongest = max(sightings, key=lambda s: s.region.score)
        self.occupied = frame.occupied
        self.track.add(frame.standard, frame.psd, [(r.low, r.high) for r, _ in sightings], -1 if self.kind == MISSING else 1,
                       self.best is None or strongest.region.score > self.best.region.score)
        if self.best is None or strongest.region.score > self.best.region.score:
            self.best, self.residual = strongest, np.array(frame.residual, np.float32)
            self.best_frame = {"label": frame.label, "confidence": frame.confidence, "dropout_rate": frame.dropout_rate,
                               "threshold": frame.threshold, "model": frame.model}

    def extend(self, frame: Frame, power: np.ndarray) -> float:
        """Extends it to the end of this frame; returns the linear floor that it is measured against."""
        floor = 10.0 ** ((frame.expected_floor_dbfs if self.kind == LEVEL else frame.floor_dbfs) / 10.0)
        self.power += power
        self.floor += floor
        self.n_frames += 1
        self.last_index, self.sample_stop = frame.index, frame.sample_stop
        return floor

    def goes_on(self, frame: Frame) -> bool:
        """Whether its own bins still keep half of its height."""
        low, high = self.extent()
        height = self._height_in(frame, low, high)
        return height >= EDGE * self.height and (self.kind == LEVEL or height * math.sqrt(high - low + 1) >= _MIN_SIGNIFICANCE)

    def _height_in(self, frame: Frame, low: int, high: int) -> float:
        if self.kind == LEVEL:
            return abs(frame.floor_dbfs - frame.expected_floor_dbfs)
        mean = float(np.mean(frame.standard[low:high + 1], dtype=np.float64))
        return mean if self.kind == EXCESS else -mean

    def absorb(self, other: _Event):
        """Takes a younger event of the same kind over."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.sample_start = min(self.sample_start, other.sample_start)
        self.first_index = min(self.first_index, other.first_index)
        self.weight += other.weight
        self.height = max(self.height, other.height)
        if other.best.region.score > self.best.region.score:
            self.best, self.residual, self.best_frame = other.best, other.residual, other.best_frame

    def extent(self) -> tuple[int, int]:
        """First and last bin of its occupied band."""
        total = self.weight.sum()
        if self.kind == LEVEL or not total > 0:
            return self.low, self.high
        energy = np.cumsum(self.weight)
        return int(np.searchsorted(energy, _TAIL * total)), int(np.searchsorted(energy, (1.0 - _TAIL) * total))


class EventBuilder:
    """Turns the regions of frames into events.

    Args:
        n_bins: N. hold: frames that an event may be unseen before it closes.
        false_alarm_rate: of the threshold, for the threat level.
        enbw_bins: equivalent noise bandwidth of the window in bins: bins add up to ENBW times the power of what they hold.
        model: name put into events whose frames name none.
        types: puts possible types into events; None: events have none.
    """

    def __init__(self, n_bins: int, *, hold: int = DEFAULTS.hold, false_alarm_rate: float = DEFAULTS.false_alarm_rate,
                 enbw_bins: float = 1.0, model: str = "", types: ThreatTypes | None = None):
        self.n_bins, self.hold, self.false_alarm_rate = n_bins, hold, false_alarm_rate
        self.enbw_bins, self.model, self.types = enbw_bins, model, types
        self.reset()

    def reset(self):
        """Forgets every event without closing it; keeps the settings."""
        self._events: list[_Event] = []  # oldest first
        self._closed: deque[Neighbour] = deque(maxlen=_REMEMBERED)
        self._segment = Segment()
        self._count = self.n_suppressed = 0
        self._allowance, self._allowed_at = float(BURST_EVENTS), 0  # events that may still open, at a frame

    @property
    def n_open(self) -> int:
        return len(self._events)

    def expire(self, index: int) -> list[Emitted]:
        """Closes the events that were last seen more than `hold` frames before frame `index`."""
        due = sorted((e for e in self._events if index - e.last_index > self.hold), key=lambda e: e.last_index)
        return [self._close(event) for event in due]

    def see(self, frame: Frame, sightings: list[Sighting], segment: Segment) -> list[Emitted]:
        """Takes a frame, with its sightings (none: it comes while events are open).

        Returns:
            Messages of events that open, are due for an update, or close because they are due or have merged.
        """
        emitted = self.expire(frame.index)
        self._segment = segment
        power = 10.0 ** (np.asarray(frame.psd, np.float64) / 10.0)
        for kind in sorted({s.region.kind for s in sightings}):
            groups = _adjacent([s for s in sightings if s.region.kind == kind])
            emitted += self._see_kind(kind, groups, frame, power)
        for event in self._events:
            if event.last_index < frame.index and event.goes_on(frame):
                event.extend(frame, power)
                emitted += self._report(event)
        return emitted

    def close_all(self) -> list[Emitted]:
        """Closes every event: the end of the stream, or a discontinuity."""
        return [self._close(event) for event in list(self._events)]

    def _may_open(self, index: int) -> bool:
        """Takes one from the allowance, which grows by ``EVENTS_PER_S`` up to ``BURST_EVENTS``."""
        passed = (index - self._allowed_at) * self._segment.frame_s
        self._allowance = min(self._allowance + EVENTS_PER_S * passed, float(BURST_EVENTS))
        self._allowed_at = index
        if self._allowance < 1.0:
            return False
        self._allowance -= 1.0
        return True

    def _see_kind(self, kind, groups, frame, power) -> list[Emitted]:
        emitted, seen = [], {}
        for group in groups:
            low, high = group[0].region.low, max(s.region.high for s in group)
            near = [e for e in self._events if e.kind == kind and e.low - MERGE_BINS <= high and low <= e.high + MERGE_BINS]
            if near:
                event = near[0]
            elif max(s.region.score for s in group) <= frame.opening:
                continue
            elif not self._may_open(frame.index):
                self.n_suppressed += 1
                continue
            else:
                event = _Event(f"{frame.sample_start}-{self._count}", kind, frame.sample_start, self.n_bins, low, high,
                               first_index=frame.index)
                self._count += 1
                self._events.append(event)
            for younger in near[1:]:
                emitted.append(self._close(younger))
                event.absorb(younger)
                seen.setdefault(id(event), (event, []))[1].extend(seen.pop(id(younger), (None, []))[1])
            seen.setdefault(id(event), (event, []))[1].extend(group)
        for event, group in seen.values():
            event.add(frame, group, power)
            emitted += self._report(event)
        return emitted

    def _report(self, event: _Event) -> list[Emitted]:
        if event.n_frames == 1:
            state = OPEN
        elif event.n_frames - event.frames_reported >= UPDATE_FRAMES or \
                LEVELS.index(self._level(event)) > LEVELS.index(event.level_reported):
            state = UPDATE
        else:
            return []
        return [self._emit(event, state)]

    def _close(self, event: _Event) -> Emitted:
        self._events.remove(event)
        emitted = self._emit(event, CLOSE)
        self._closed.append(Neighbour(event.kind, *event.extent(), event.last_index))
        return emitted

    def _level(self, event: _Event) -> str:
        low, high = event.extent()
        return threat_level(score=event.best.region.score, threshold=event.best_frame["threshold"],
                            p_value=event.best.p_value, false_alarm_rate=self.false_alarm_rate,
                            extent=(high - low + 1) / self.n_bins, n_frames=event.n_frames)

    def _emit(self, event: _Event, state: str) -> Emitted:
        event.frames_reported, event.level_reported = event.n_frames, self._level(event)
        segment, best = self._segment, event.best_frame
        low, high = event.extent()
        width = segment.rx_rate / self.n_bins
        power = event.power[low:high + 1].sum() / event.n_frames
        floor = (high - low + 1) * event.floor / event.n_frames
        snr_db = 10.0 * math.log10(max(power / max(floor, 1e-20) - 1.0, _MIN_SNR))
        fields = {
            keys.EVENT_ID: event.event_id,
            keys.STATE: state,
            keys.TIMESTAMP: segment.time_of(event.sample_start),
            keys.TIME_SOURCE: segment.time_source,
            keys.SAMPLE_START: event.sample_start,
            keys.SAMPLE_COUNT: event.sample_stop - event.sample_start,
            keys.FREQ_CENTER_HZ: segment.rx_freq + ((low + high) / 2.0 - self.n_bins // 2) * width,
            keys.BANDWIDTH_HZ: (high - low + 1) * width,
            keys.POWER_DBFS: 10.0 * math.log10(max(power / self.enbw_bins, 1e-20)),
            keys.SNR_DB: snr_db,
            keys.ANOMALY_SCORE: float(event.best.region.score),
            keys.P_VALUE: event.best.p_value,
            keys.THRESHOLD: float(best["threshold"]),
            keys.IS_ANOMALY: True,
            keys.THREAT_LEVEL: event.level_reported,
            keys.ANALYSIS_TYPE: event.best.region.channel,
            keys.POSSIBLE_THREATS: self._types(event, low, high, snr_db, state),
            keys.LABEL: best["label"],
            keys.CONFIDENCE: best["confidence"],
            keys.BAND: segment.band,
            keys.MODEL: best["model"] or self.model,
            keys.DROPOUT_RATE: best["dropout_rate"],
        }
        return Emitted({key: value for key, value in fields.items() if value is not None}, event.residual)

    def _types(self, event: _Event, low: int, high: int, snr_db: float, state: str) -> dict[str, float] | None:
        """Possible types of the event with their probabilities; None if they are not known."""
        if self.types is None or event.occupied is None:
            return None
        shape = Shape(event.kind, low, high, event.first_index, event.last_index, event.n_frames, snr_db,
                      event.best.region.score / event.best_frame["threshold"], event.weight, event.track)
        others = [o for o in self._closed if event.first_index - o.last < MAX_FRAMES]
        others += [Neighbour(e.kind, e.low, e.high, e.last_index) for e in self._events if e is not event]
        return self.types.possible(features_of(shape, self.n_bins, event.occupied, others), state == CLOSE)


def _adjacent(sightings: list[Sighting]) -> list[list[Sighting]]:
    """Sightings of one kind in groups that lie within MERGE_BINS of each other, ascending in frequency."""
    groups: list[list[Sighting]] = []
    for sighting in sorted(sightings, key=lambda s: s.region.low):
        if groups and sighting.region.low <= max(s.region.high for s in groups[-1]) + MERGE_BINS:
            groups[-1].append(sighting)
        else:
            groups.append([sighting])
    return groups
