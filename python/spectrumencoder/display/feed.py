# SPDX-License-Identifier: GPL-3.0-or-later
"""``Feed``: the handover from the scheduler's threads, which must not wait, to the drawing thread, which may be late."""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import NamedTuple

import numpy as np

from .. import keys
from .history import MAX_ROWS, Row, TimeScale, Tuning

MAX_MESSAGES = 10_000
_MAX_RATES = 64  # rate changes kept to compute the time of samples


class Latest(NamedTuple):
    """The newest frame; residual and reconstruction are None if the input is not connected."""

    tuning: Tuning
    psd: np.ndarray
    residual: np.ndarray | None
    reconstruction: np.ndarray | None


class Update(NamedTuple):
    """News since the last update: complete rows, the newest frame (None: no new one), messages (port, dict)."""

    rows: list[Row]
    latest: Latest | None
    messages: list[tuple[str, dict]]


class Feed:
    """Merges frames to waterfall rows, and keeps the newest frame and the messages. All are bounded in number.

    Stream time, in seconds, counts samples: it is 0 at the first one, regardless of any clock.

    Args:
        n_bins: length of psd, residual and reconstruction.
        center_hz, rate_hz: until tags say otherwise.
        history_s: seconds that the waterfall shows; a longer history has longer rows.

    Attributes: n_bins; n_frames; lost_rows, lost_messages: dropped because nobody took them in time.
    """

    def __init__(self, n_bins: int, center_hz: float, rate_hz: float, history_s: float):
        self.n_bins, self._lock = n_bins, threading.Lock()
        self._untagged = {keys.RX_FREQ: center_hz, keys.RX_RATE: rate_hz, keys.FRAME_HOP: 16 * n_bins}
        self._history_s = history_s
        self.restart()

    def restart(self):
        """Resets at a new start of the flowgraph: samples count from 0, no tag has been seen."""
        with self._lock:
            self.n_frames = self.lost_rows = self.lost_messages = 0
            self.generation = getattr(self, "generation", 0) + 1  # makes the drawing side restart too
            self._rows: deque[Row] = deque(maxlen=MAX_ROWS)
            self._messages: deque[tuple[str, dict]] = deque(maxlen=MAX_MESSAGES)
            self._latest: Latest | None = None
            self._pending: Row | None = None
            self._tagged: dict = {}
            self._next_sample = 0
            self._rates = deque([(0, 0.0, self._untagged[keys.RX_RATE])], maxlen=_MAX_RATES)  # from sample, its time, rate
            self._retune()

    # Scheduler's threads

    def set_untagged(self, key: str, value: float):
        """Sets RX_FREQ or RX_RATE of the next frames, if no tag has been seen."""
        with self._lock:
            self._untagged[key] = value
            self._retune()

    def set_history_s(self, history_s: float):
        with self._lock:
            self._history_s = history_s
            self._retune()

    def add_tags(self, tags: dict):
        """Takes the tags of the next frame: RX_FREQ, RX_RATE (Hz), FRAME_START, FRAME_HOP (samples)."""
        with self._lock:
            self._next_sample = tags.get(keys.FRAME_START, self._next_sample)
            self._tagged |= {key: tags[key] for key in self._untagged if key in tags}
            if math.isnan(self._tagged.get(keys.RX_FREQ, 0.0)):  # not known from here on: offsets from the centre
                self._tagged[keys.RX_FREQ] = 0.0
            self._retune()

    def add_frames(self, psd, residual=None, reconstruction=None, scores=None):
        """Frames (F, n_bins) that follow each other; scores (F,). They are copied as far as they are kept."""
        with self._lock:
            self._next_sample, first = self._next_sample + self._hop * len(psd), self._next_sample
            times = self._time_of(first + self._hop * np.arange(len(psd)))
            slots = np.floor(times / self._scale.row_s + 1e-6).astype(int)
            starts = np.flatnonzero(np.diff(slots, prepend=slots[0] - 1))
            levels = np.maximum.reduceat(psd, starts, axis=0)
            best = np.full(len(starts), np.nan) if scores is None else np.fmax.reduceat(scores, starts)
            for slot, row, score in zip(slots[starts].tolist(), levels, best.tolist(), strict=True):
                self._add_row(Row(slot, self._scale, self._tuning, row, score))
            self._latest = Latest(self._tuning, *(None if part is None else part[-1].copy()
                                                  for part in (psd, residual, reconstruction)))
            self.n_frames += len(psd)

    def flush(self):
        """The stream has ended: gives on the row that waits for more frames."""
        with self._lock:
            last, self._pending = self._pending, None
            if last is not None:
                self._rows.append(last)

    def add_message(self, port: str, fields: dict):
        """A message's dict."""
        with self._lock:
            self.lost_messages += len(self._messages) == MAX_MESSAGES
            self._messages.append((port, fields))

    def _retune(self):
        """Takes over what tags and settings say."""
        said = self._untagged | self._tagged
        self._hop = said[keys.FRAME_HOP]
        rate = said[keys.RX_RATE]
        self._tuning = Tuning(said[keys.RX_FREQ], rate, self.n_bins)
        if rate != self._rates[-1][2]:
            self._rates.append((self._next_sample, float(self._time_of(self._next_sample)), rate))
        self._scale = TimeScale.of(self._history_s, self._hop / rate)

    def _add_row(self, row: Row):
        """Joins rows of one time and tuning; gives on the one before."""
        last = self._pending
        if last is not None and last[:3] == row[:3]:
            row = row._replace(psd=np.maximum(last.psd, row.psd), score=float(np.fmax(last.score, row.score)))
        elif last is not None:
            self.lost_rows += len(self._rows) == MAX_ROWS
            self._rows.append(last)
        self._pending = row

    # Any thread

    def time_of(self, sample):
        """Stream time of samples (a number or an array), s."""
        with self._lock:
            return self._time_of(sample)

    def _time_of(self, sample):
        since, time_s, rate = self._rates[-1]
        if len(self._rates) > 1 and np.ndim(sample) == 0:
            since, time_s, rate = next((r for r in reversed(self._rates) if r[0] <= sample), self._rates[0])
        return time_s + (sample - since) / rate

    # Drawing thread

    def take(self) -> Update:
        """Everything new since the last call."""
        with self._lock:
            update = Update(list(self._rows), self._latest, list(self._messages))
            self._rows.clear()
            self._messages.clear()
            self._latest = None
        return update
