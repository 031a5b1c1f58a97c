# SPDX-License-Identifier: GPL-3.0-or-later
"""Emitters in frequency, bandwidth and power: from anomaly events and classified signals to drift, Doppler curve and hop set.

A track's frequency is filtered in parts per billion of its carrier, by the IMM of positions on one axis. One model drifts
steadily, for oscillators; the drift of the other changes, for Doppler curves. The middle of a signal is measured; its error
follows from its width.

A signal belongs to the track whose event it continues, else to the nearest track in frequency, width and power together. (Global
nearest neighbour would need several signals at once; they come one by one.) A signal may fit no track in frequency, but fit in
width and power a track that fell silent a moment ago. Then it may be that emitter gone elsewhere, and starts a track that
remembers the other. The two are one emitter that hops if the next such change comes and the other was not heard meanwhile. The
frequencies of an emitter are its hop set. A signal on one of them, while the emitter is silent elsewhere, is its own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from .imm import Imm, ImmState
from .motion_models import MotionModel, scaled

_MIN_CARRIER_HZ = 1e7  # carriers below it, as in baseband recordings, are treated like one of 10 MHz
_MAX_CHANNELS, _MAX_EVENTS = 128, 32
_CLOSE = "close"
_MAX_WIDTHS, _MAX_PPM = 1.5, 3.0  # bandwidths and parts per million; a signal further off its track is elsewhere
_NEW_HITS = 20  # signals; a track with more is not taken for a channel of a hopper
_LIKE = 4.0  # squared distance in width and power within which a signal elsewhere may be a hop


@dataclass(frozen=True)
class SpectralSettings:
    """Settings of the tracks of emissions.

    Attributes:
        models: of the frequency in ppb of the carrier (noise in ppb2/s3, acceleration_mps2 in ppb/s2).
        process_noise: factor on their noises.
        gate: squared distance (frequency, log width, power) up to which a signal belongs to a track.
        width_factor, power_db: standard deviations of a signal's width, as a factor, and power about those of its track.
        frequency_error: standard deviation of a measured middle, as a share of the bandwidth.
        start_drift_ppb_s: standard deviation of the drift of a signal seen once.
        confirm_hits: number of signals that confirm a track.
        silence_s: a track ends after this time without a signal.
        hop_gap_s, hop_span_hz: max silence after which, and max distance at which, an emitter comes up elsewhere.
        max_tracks: at one time.
    """

    models: tuple[MotionModel, ...] = (MotionModel("cv", noise=1e-3, acceleration_mps2=0.3, leave_per_s=0.003),
                                       MotionModel("ca", acceleration_mps2=3.0, fade_s=60.0, leave_per_s=0.01))
    process_noise: float = 1.0
    gate: float = 16.0
    width_factor: float = 1.6
    power_db: float = 5.0
    frequency_error: float = 0.15
    start_drift_ppb_s: float = 30.0
    confirm_hits: int = 2
    silence_s: float = 60.0
    hop_gap_s: float = 0.5
    hop_span_hz: float = 100e6
    max_tracks: int = 500

    def imm(self) -> Imm:
        """The models as a filter of one axis."""
        return Imm(scaled(self.models, self.process_noise), 1, self.start_drift_ppb_s)


@dataclass(frozen=True)
class Signal:
    """One sighting of an emission.

    Attributes:
        time_s: when its middle was at freq_center_hz; for an event, the middle of its time so far.
        until_s: when it was last on.
        freq_center_hz, bandwidth_hz: its middle and width.
        power_dbfs: its power; NaN if unknown.
        event_id, state: of its event; None without one.
        label: of a classifier; None without one.
        is_anomaly: whether its event is an anomaly.
        relative: the frequency counts from a centre that is not known.
    """

    time_s: float
    until_s: float
    freq_center_hz: float
    bandwidth_hz: float
    power_dbfs: float
    event_id: str | None = None
    state: str | None = None
    label: str | None = None
    is_anomaly: bool = False
    relative: bool = False


@dataclass(frozen=True)
class SpectralEstimate:
    """Frequency and drift of an emission at time_s, and their covariance (2, 2)."""

    time_s: float
    freq_center_hz: float
    drift_hz_s: float
    covariance: np.ndarray


@dataclass(frozen=True)
class SpectralTrack:
    """A track of an emission at one moment: as ``track.Track``, and

    Attributes:
        hop_set_hz: rising centre frequencies between which it has hopped; empty if it does not hop.
        hops: number of hops.
        curve: the last filtered pairs (time_s, freq_center_hz).
        active: whether an event of it is open.
        relative: as in Signal.
    """

    id: str
    state: str
    age_s: float
    updated_s: float
    hits: int
    label: str | None
    bandwidth_hz: float
    power_dbfs: float
    probability: np.ndarray
    estimate: SpectralEstimate
    hop_set_hz: tuple[float, ...]
    hops: int
    curve: tuple[tuple[float, float], ...]
    anomaly_ids: tuple[str, ...]
    active: bool
    relative: bool = False


@dataclass
class _Entry:
    id: str
    row: int
    born_s: float
    filtered_s: float  # time of the bank
    until_s: float  # when it was last on
    scale: float  # Hz per ppb
    bank: ImmState
    log_width: float
    power_dbfs: float
    hits: int = 1
    came_from: str = ""  # id of the track whose emitter it may be
    base: tuple | None = None  # the newest event's id, and the bank (None if the track began with it) and time before that event
    label: str | None = None
    labels: Counter = field(default_factory=Counter)
    open_events: set = field(default_factory=set)
    anomaly_ids: list = field(default_factory=list)
    channels_hz: list = field(default_factory=list)
    hops: int = 0
    curve: list = field(default_factory=list)
    relative: bool = False


class SpectralTracker:
    """Tracks of emissions.

    Attributes:
        counts: number of signals by what became of them: used, born, hop, full, old.
        time_s: time of the newest signal; None before any.
    """

    def __init__(self, settings: SpectralSettings | None = None):
        self.settings = settings or SpectralSettings()
        self.counts: Counter[str] = Counter()
        self.time_s: float | None = None
        self._imm = self.settings.imm()
        self._entries: dict[int, _Entry] = {}
        self._by_event: dict[str, int] = {}
        self._row_of: dict[str, int] = {}  # by track id
        self._changed: dict[int, None] = {}  # rows that updated_since has not reported yet, in order
        self._n_born = 0
        self._ended: list[SpectralTrack] = []
        n = self.settings.max_tracks
        self._free = list(range(n - 1, -1, -1))
        # for gating, per row: filtered_s, until_s, frequency, drift, their three (co)variances (Hz), log width, power
        self._table = np.full((n, 9), np.nan)

    def set_settings(self, settings: SpectralSettings):
        """Takes effect with the next signal."""
        self.settings = replace(settings, max_tracks=self.settings.max_tracks)
        self._imm = self.settings.imm()

    def add(self, signal: Signal) -> None:
        """Takes one sighting; it is left out if it is older than the newest by more than silence_s."""
        if self.time_s is not None and signal.time_s < self.time_s - self.settings.silence_s:
            self.counts["old"] += 1
            return
        self.time_s = signal.time_s if self.time_s is None else max(self.time_s, signal.time_s)
        row = self._by_event.get(signal.event_id) if signal.event_id is not None else None
        if row is None:
            row = self._nearest(signal)
        before = []
        if row is None or self._may_be_a_channel(self._entries[row], signal):
            before = self._silent_like(signal)
            hoppers = [self._entries[other] for other in before if self._entries[other].hops and other != row]
            if row is not None and hoppers:
                self._merge(hoppers[0], self._entries[row])
                row = hoppers[0].row
                self._hop(self._entries[row], signal)
                return
        if row is not None:
            self._use(self._entries[row], signal)
            return
        known = [row for row in before if self._is_channel(self._entries[row], signal)]
        if known:
            self._hop(self._entries[known[0]], signal)
        elif self._free:
            self._start(signal, self._entries[before[0]] if before else None)
        else:
            self.counts["full"] += 1

    def expire(self, time_s: float) -> None:
        """Ends tracks that have been silent for silence_s."""
        for entry in [e for e in self._entries.values() if time_s - e.until_s > self.settings.silence_s]:
            self._end(entry, time_s)

    def restart(self) -> None:
        """Ends every track; the next signal is the first, whatever its time."""
        for entry in list(self._entries.values()):
            self._end(entry, self.time_s)
        self.time_s = None

    def tracks(self, time_s: float | None = None) -> list[SpectralTrack]:
        """Confirmed tracks at a time, by default that of the newest signal."""
        time_s = self.time_s if time_s is None else time_s
        return [self._describe(entry, time_s) for entry in self._entries.values() if self._confirmed(entry)]

    def forecast(self, track_id: str, time_s: float) -> SpectralEstimate:
        """The estimate of one track at a later time.

        Raises:
            KeyError: there is no such track.
        """
        return self._estimate(self._entries[self._row_of[track_id]], time_s)

    def updated_since(self, reported_s: dict[str, float], interval_s: float) -> list[SpectralTrack]:
        """Confirmed tracks that are not in reported_s, or have a signal newer than reported_s[id] by interval_s or more."""
        due = [row for row in self._changed if self._confirmed(self._entries[row]) and (
            self._entries[row].id not in reported_s
            or self._entries[row].until_s - reported_s[self._entries[row].id] >= interval_s)]
        for row in due:
            del self._changed[row]
        return [self._describe(self._entries[row], self.time_s) for row in due]

    def take_ended(self) -> list[SpectralTrack]:
        """Confirmed tracks that have ended since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def __len__(self):
        return len(self._entries)

    # Association

    def _nearest(self, signal: Signal) -> int | None:
        t = self._table
        dt = np.maximum(signal.time_s - t[:, 0], 0)
        variance = t[:, 4] + 2 * dt * t[:, 5] + dt**2 * t[:, 6] + self._variance(signal)
        off = np.abs(signal.freq_center_hz - t[:, 2] - dt * t[:, 3])
        distance = off**2 / variance + self._unlike(signal)
        reach = _MAX_WIDTHS * signal.bandwidth_hz + _MAX_PPM * 1e-6 * max(abs(signal.freq_center_hz), _MIN_CARRIER_HZ)
        distance = np.where(np.isnan(distance) | (off > reach), np.inf, distance)
        best = int(np.argmin(distance))
        same = distance[best] <= self.settings.gate and self._entries[best].relative == signal.relative
        return best if same else None

    def _silent_like(self, signal: Signal) -> list[int]:
        """Rows that fell silent a moment ago and resemble this signal in all but frequency, best and latest first."""
        silent = signal.time_s - self._table[:, 1]
        unlike = self._unlike(signal)
        close = (silent > 0) & (silent <= self.settings.hop_gap_s) & (unlike <= _LIKE)
        close &= np.abs(signal.freq_center_hz - self._table[:, 2]) <= self.settings.hop_span_hz
        rows = [row for row in np.flatnonzero(close).tolist() if not self._entries[row].open_events
                and (signal.label == self._entries[row].label or None in (signal.label, self._entries[row].label))
                and signal.relative == self._entries[row].relative]
        return sorted(rows, key=lambda row: unlike[row] + _LIKE * silent[row] / self.settings.hop_gap_s)

    def _may_be_a_channel(self, entry: _Entry, signal: Signal) -> bool:
        """Whether a track is so new, and silent for so long, that it may have been a channel of a hopper all the time."""
        return entry.hits <= _NEW_HITS and not entry.open_events and signal.time_s - entry.until_s > self.settings.hop_gap_s

    @staticmethod
    def _is_channel(entry: _Entry, signal: Signal) -> bool:
        return any(abs(c - signal.freq_center_hz) < max(signal.bandwidth_hz / 2, 1.0) for c in entry.channels_hz)

    def _came_from(self, entry: _Entry) -> _Entry | None:
        """The track whose emitter this one may be: it has been silent since this one began."""
        other = self._entries.get(self._row_of.get(entry.came_from, -1))
        return other if other is not None and other.until_s < entry.born_s and not other.open_events else None

    def _unlike(self, signal: Signal) -> np.ndarray:
        """Squared distance in width and power from every track."""
        width = (np.log(signal.bandwidth_hz) - self._table[:, 7]) / np.log(self.settings.width_factor)
        power = (signal.power_dbfs - self._table[:, 8]) / self.settings.power_db
        return width**2 + np.where(np.isnan(power), np.where(np.isnan(width), np.nan, 0.0), power**2)

    def _variance(self, signal: Signal) -> float:
        return max(self.settings.frequency_error * signal.bandwidth_hz, 1e-3)**2

    # Filtering

    def _start(self, signal: Signal, before: _Entry | None = None):
        """Starts a track. `before` is the one whose emitter it may be. If that may be another's, those two are one that hops."""
        self.counts["born"] += 1
        if before is not None and (first := self._came_from(before)) is not None:
            before = self._merge(first, before)
        self._n_born += 1
        row = self._free.pop()
        scale = max(abs(signal.freq_center_hz), _MIN_CARRIER_HZ) * 1e-9
        entry = _Entry(f"F{self._n_born}", row, signal.time_s, signal.time_s, signal.until_s, scale, self._fresh(signal, scale),
                       float(np.log(signal.bandwidth_hz)), signal.power_dbfs, came_from=before.id if before else "",
                       relative=signal.relative)
        self._entries[row] = entry
        self._row_of[entry.id] = row
        entry.base = (signal.event_id, None, signal.time_s)
        self._note(entry, signal)

    def _fresh(self, signal: Signal, scale: float) -> ImmState:
        return self._imm.start(np.array([[signal.freq_center_hz / scale]]),
                               np.array([[[self._variance(signal) / scale**2]]]))

    def _use(self, entry: _Entry, signal: Signal):
        self.counts["used"] += 1
        if entry.base is None or entry.base[0] is None or entry.base[0] != signal.event_id:
            entry.base = (signal.event_id, entry.bank, entry.filtered_s)
        _, bank, time_s = entry.base  # a later sighting of an event replaces the earlier one
        dt = signal.time_s - time_s
        if bank is None:
            entry.bank, entry.filtered_s = self._fresh(signal, entry.scale), signal.time_s
        elif dt > 0:
            bank = self._imm.predict(bank, np.array([dt]))
            z = np.array([[signal.freq_center_hz / entry.scale]])
            entry.bank, _ = self._imm.update(bank, z, np.array([[[self._variance(signal) / entry.scale**2]]]))
            entry.filtered_s = signal.time_s
        self._seen(entry, signal)

    def _hop(self, entry: _Entry, signal: Signal):
        """The emitter comes up on another of its channels."""
        self.counts["hop"] += 1
        entry.hops += 1
        entry.bank, entry.filtered_s = self._fresh(signal, entry.scale), signal.time_s
        entry.base = (signal.event_id, None, signal.time_s)
        entry.curve.clear()
        self._seen(entry, signal)

    def _merge(self, first: _Entry, second: _Entry) -> _Entry:
        """The second track turns out to be the first one's emitter on another frequency."""
        self.counts["hop"] += 1
        for row in (first.row, second.row):
            self._add_channel(first, float(self._table[row, 2]))
        first.hops += 1 + second.hops
        first.hits += second.hits
        if second.until_s > first.until_s:
            first.bank, first.scale, first.base = second.bank, second.scale, second.base
            first.filtered_s, first.until_s = second.filtered_s, second.until_s
            first.curve = list(second.curve)
            self._table[first.row, :7] = self._table[second.row, :7]
        first.labels.update(second.labels)
        first.anomaly_ids = [*first.anomaly_ids, *second.anomaly_ids][-_MAX_EVENTS:]
        self._changed[first.row] = None
        self._end(second, second.until_s)
        return first

    @staticmethod
    def _add_channel(entry: _Entry, frequency: float):
        near = [c for c in entry.channels_hz if abs(c - frequency) < max(np.exp(entry.log_width) / 2, 1.0)]
        if not near and len(entry.channels_hz) < _MAX_CHANNELS:
            entry.channels_hz.append(frequency)

    def _seen(self, entry: _Entry, signal: Signal):
        entry.hits += 1
        entry.until_s = max(entry.until_s, signal.until_s)
        gain = 1 / min(entry.hits, 10) if entry.base[0] is None else max(0.5, 1 / entry.hits)
        entry.log_width += gain * (float(np.log(signal.bandwidth_hz)) - entry.log_width)
        if np.isfinite(signal.power_dbfs):
            before = entry.power_dbfs if np.isfinite(entry.power_dbfs) else signal.power_dbfs
            entry.power_dbfs = before + gain * (signal.power_dbfs - before)
        self._note(entry, signal)

    def _note(self, entry: _Entry, signal: Signal):
        """Notes labels, events, the curve, and the row that gating reads."""
        if signal.label:
            entry.labels[signal.label] += 1
            entry.label = entry.labels.most_common(1)[0][0]
        if signal.event_id is not None:
            self._note_event(entry, signal)
        self._changed[entry.row] = None
        estimate = self._estimate(entry, entry.filtered_s)
        entry.curve = [*entry.curve, (estimate.time_s, estimate.freq_center_hz)][-64:]
        p = estimate.covariance
        self._table[entry.row] = (entry.filtered_s, entry.until_s, estimate.freq_center_hz, estimate.drift_hz_s, p[0, 0],
                                  p[0, 1], p[1, 1], entry.log_width, entry.power_dbfs)

    def _note_event(self, entry: _Entry, signal: Signal):
        if signal.state == _CLOSE:
            entry.open_events.discard(signal.event_id)
            self._by_event.pop(signal.event_id, None)
        else:
            entry.open_events.add(signal.event_id)
            self._by_event[signal.event_id] = entry.row
        if signal.is_anomaly and signal.event_id not in entry.anomaly_ids:
            entry.anomaly_ids = [*entry.anomaly_ids, signal.event_id][-_MAX_EVENTS:]

    def _end(self, entry: _Entry, time_s: float):
        if self._confirmed(entry):
            self._ended.append(self._describe(entry, time_s))
        del self._entries[entry.row]
        self._changed.pop(entry.row, None)
        del self._row_of[entry.id]
        for event_id in [e for e in entry.open_events if self._by_event.get(e) == entry.row]:
            del self._by_event[event_id]
        self._table[entry.row] = np.nan
        self._free.append(entry.row)

    # Descriptions

    def _confirmed(self, entry: _Entry) -> bool:
        """Whether the track has enough signals, and may no longer turn out to be another track's emitter."""
        if entry.until_s - entry.born_s <= self.settings.hop_gap_s and self._came_from(entry) is not None:
            return False
        return entry.hits >= self.settings.confirm_hits

    def _estimate(self, entry: _Entry, time_s: float) -> SpectralEstimate:
        bank = self._imm.predict(entry.bank, np.array([max(time_s - entry.filtered_s, 0.0)]))
        mean, covariance = self._imm.combined(bank)
        return SpectralEstimate(float(time_s), float(mean[0, 0] * entry.scale), float(mean[0, 1] * entry.scale),
                                covariance[0, :2, :2] * entry.scale**2)

    def _describe(self, entry: _Entry, time_s: float) -> SpectralTrack:
        state = "confirmed" if self._confirmed(entry) else "tentative"
        return SpectralTrack(entry.id, state, time_s - entry.born_s, entry.until_s, entry.hits, entry.label,
                             float(np.exp(entry.log_width)), entry.power_dbfs, entry.bank.probability[0].copy(),
                             self._estimate(entry, time_s), tuple(sorted(entry.channels_hz)), entry.hops, tuple(entry.curve),
                             tuple(entry.anomaly_ids), bool(entry.open_events), entry.relative)
