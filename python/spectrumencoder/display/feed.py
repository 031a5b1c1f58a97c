# SPDX-License-Identifier: GPL-3.0-or-later
"""``Feed``: the handover from the scheduler's thread, which must not wait, to the drawing thread, which may be late.

No lock is in it. Programs that GRC generates stop the flowgraph in a handler of SIGINT, which Python runs in the drawing thread,
at any line, and wait there for the scheduler's threads. One of those that waited for a lock of the drawing thread would never
end. So each thing is handed over by one operation of a deque, or by one assignment.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from .. import keys
from .history import MAX_ROWS, Row, TimeScale, Tuning

MAX_MESSAGES = 10_000
_HISTORY_S = "history_s"
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
        self.n_bins, self.generation = n_bins, 0
        self._untagged = {keys.RX_FREQ: center_hz, keys.RX_RATE: rate_hz, keys.FRAME_HOP: 16 * n_bins}
        self._history_s = history_s
        self._wanted: deque[tuple[str, float]] = deque()  # settings that the next frames take over
        self.restart()

    # Scheduler's thread

    def restart(self):
        """Resets at a new start of the flowgraph: samples count from 0, no tag has been seen."""
        self.n_frames = self.lost_rows = self.lost_messages = 0
        self._rows: deque[Row] = deque()
        self._messages: deque[tuple[str, dict]] = deque()
        self._latest: deque[Latest] = deque(maxlen=1)
        self._pending: Row | None = None
        self._tagged: dict = {}
        self._next_sample = 0
        self._take_over()
        self._rates = ((0, 0.0, self._untagged[keys.RX_RATE]),)  # (from sample, its time, rate), replaced as a whole
        self._retune()
        self.generation += 1  # makes the drawing side restart too

    def add_tags(self, tags: dict):
        """Takes the tags of the next frame: RX_FREQ, RX_RATE (Hz), FRAME_START, FRAME_HOP (samples)."""
        self._next_sample = tags.get(keys.FRAME_START, self._next_sample)
        self._tagged |= {key: tags[key] for key in self._untagged if key in tags}
        if math.isnan(self._tagged.get(keys.RX_FREQ, 0.0)):  # not known from here on: offsets from the centre
            self._tagged[keys.RX_FREQ] = 0.0
        self._retune()

    def add_frames(self, psd, residual=None, reconstruction=None, scores=None):
        """Frames (F, n_bins) that follow each other; scores (F,). They are copied as far as they are kept."""
        if self._wanted:
            self._take_over()
            self._retune()
        self._next_sample, first = self._next_sample + self._hop * len(psd), self._next_sample
        times = self.time_of(first + self._hop * np.arange(len(psd)))
        slots = np.floor(times / self._scale.row_s + 1e-6).astype(int)
        starts = np.flatnonzero(np.diff(slots, prepend=slots[0] - 1))
        levels = np.maximum.reduceat(psd, starts, axis=0)
        best = np.full(len(starts), np.nan) if scores is None else np.fmax.reduceat(scores, starts)
        for slot, row, score in zip(slots[starts].tolist(), levels, best.tolist(), strict=True):
            self._add_row(Row(slot, self._scale, self._tuning, row, score))
        self._latest.append(Latest(self._tuning, *(None if part is None else part[-1].copy()
                                                   for part in (psd, residual, reconstruction))))
        self.n_frames += len(psd)

    def flush(self):
        """The stream has ended: gives on the row that waits for more frames."""
        last, self._pending = self._pending, None
        if last is not None:
            self._rows.append(last)

    def add_message(self, port: str, fields: dict):
        """A message's dict."""
        self.lost_messages += _put(self._messages, (port, fields), MAX_MESSAGES)

    def _take_over(self):
        """Takes over the settings that other threads have put there."""
        while self._wanted:
            key, value = self._wanted.popleft()
            if key == _HISTORY_S:
                self._history_s = value
            else:
                self._untagged[key] = value

    def _retune(self):
        """Takes over what tags and settings say."""
        said = self._untagged | self._tagged
        self._hop = said[keys.FRAME_HOP]
        rate = said[keys.RX_RATE]
        self._tuning = Tuning(said[keys.RX_FREQ], rate, self.n_bins)
        if rate != self._rates[-1][2]:
            change = (self._next_sample, float(self.time_of(self._next_sample)), rate)
            self._rates = (*self._rates, change)[-_MAX_RATES:]
        self._scale = TimeScale.of(self._history_s, self._hop / rate)

    def _add_row(self, row: Row):
        """Joins rows of one time and tuning; gives on the one before."""
        last = self._pending
        if last is not None and last[:3] == row[:3]:
            row = row._replace(psd=np.maximum(last.psd, row.psd), score=float(np.fmax(last.score, row.score)))
        elif last is not None:
            self.lost_rows += _put(self._rows, last, MAX_ROWS)
        self._pending = row

    # Any thread

    @property
    def rate_hz(self) -> float:
        """Sample rate of the newest frames."""
        return self._tuning.rate_hz

    def set_untagged(self, key: str, value: float):
        """Sets RX_FREQ or RX_RATE of the next frames, if no tag has been seen."""
        self._wanted.append((key, value))

    def set_history_s(self, history_s: float):
        """Sets the seconds that the waterfall shows, from the next frames on."""
        self._wanted.append((_HISTORY_S, history_s))

    def time_of(self, sample):
        """Stream time of samples (a number or an array), s."""
        rates = self._rates
        since, time_s, rate = rates[-1]
        if len(rates) > 1 and np.ndim(sample) == 0:
            since, time_s, rate = next((r for r in reversed(rates) if r[0] <= sample), rates[0])
        return time_s + (sample - since) / rate

    # Drawing thread

    def take(self) -> Update:
        """Everything new since the last call."""
        latest = _all_of(self._latest)
        return Update(_all_of(self._rows), latest[-1] if latest else None, _all_of(self._messages))


def _put(queue: deque, item, room: int) -> int:
    """Appends an item; drops the oldest one if there is no room. Returns the number dropped."""
    lost = 0
    if len(queue) >= room:
        try:
            queue.popleft()
            lost = 1
        except IndexError:  # the other side has just taken them all
            pass
    queue.append(item)
    return lost


def _all_of(queue: deque) -> list:
    """Takes the items that a queue holds now, oldest first."""
    items = []
    for _ in range(len(queue)):
        try:
            items.append(queue.popleft())
        except IndexError:  # the other side dropped some
            break
    return items
