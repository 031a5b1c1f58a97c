# SPDX-License-Identifier: GPL-3.0-or-later
"""The widget of ``anomaly_display``: plots, controls, table of events and a line of what the chain says; draws by a timer."""

from __future__ import annotations

import time
from collections import deque

from PyQt5 import QtCore, QtWidgets

from .. import keys
from .appearance import number
from .choices import Choices
from .controls import Controls
from .event_table import EventTable, SignalTable, TrackTable
from .feed import Feed, Latest
from .history import History
from .pace import Pace
from .plots import Plots
from .table_view import EventTableModel, EventTableView

_QUIET = ("running", "stopped")  # states that need no colour
_ALARM_S = 10.0  # for how long such a state does not take the place of another one
_LINES = 12  # latest statuses, to be seen when the mouse rests on the newest
_RATE_INTERVAL_S = 1.0


class DisplayWidget(QtWidgets.QWidget):
    """Draws the content of a Feed, at most `draw_rate` times a second.

    Args:
        feed: filled by the block.
        draw_rate: draws per second.
        level_range: dBFS of the darkest and the brightest colour; (0, 0) chooses.
        choices: offered by the controls; None shows no controls.
        send: called with {key: value} when a control was moved.
        fail: called with the exception of a failed draw; nothing is drawn after that.
    """

    def __init__(self, feed: Feed, draw_rate: float, level_range: tuple[float, float], choices: Choices | None, send, fail):
        super().__init__()
        self._feed, self._fail = feed, fail
        self.history = History()
        self.events, self.signals, self.tracks = EventTable(), SignalTable(), TrackTable()
        self.pace = Pace(1.0 / draw_rate)
        self._generation = feed.generation
        self._latest: Latest | None = None
        self._counted = (time.monotonic(), 0, 0)  # when, frames, draws
        self._lines, self._alarm_until = deque(maxlen=_LINES), 0.0
        self._posix_at_zero: float | None = None  # until an event states it
        self.plots = Plots(level_range)
        self.table = EventTableView(EventTableModel(feed.time_of))
        self.controls = None if choices is None else Controls(choices)
        if self.controls is not None:
            self.controls.changed.connect(send)
        self._rate_line, self._status_line = QtWidgets.QLabel("no frames yet"), QtWidgets.QLabel()
        self._status_line.setTextFormat(QtCore.Qt.PlainText)
        self._lay_out()
        self._timer = QtCore.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setTimerType(QtCore.Qt.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(0)

    def _lay_out(self):
        splitter = QtWidgets.QSplitter(QtCore.Qt.Vertical)
        splitter.addWidget(self.plots)
        splitter.addWidget(self.table)
        splitter.setStretchFactor(0, 1)
        splitter.setSizes([700, 150])
        lines = QtWidgets.QHBoxLayout()
        lines.addWidget(self._rate_line)
        lines.addStretch(1)
        self._status_line.setMinimumWidth(80)
        self._status_line.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Preferred)
        self._status_line.setAlignment(QtCore.Qt.AlignRight | QtCore.Qt.AlignVCenter)
        lines.addWidget(self._status_line, 3)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        if self.controls is not None:
            layout.addWidget(self.controls)
        layout.addWidget(splitter, 1)
        layout.addLayout(lines)

    def sizeHint(self):
        return QtCore.QSize(1280, 900)

    # By the timer

    def _tick(self):
        began = time.monotonic()
        try:
            self.draw()
        except Exception as error:  # noqa: BLE001 (an exception in a Qt slot would abort the process)
            self._fail(error)
            return
        self._timer.start(max(1, round(1000 * self.pace.drew(began, time.monotonic()))))

    def draw(self):
        """Takes the news of the feed, and shows it if the widget is visible."""
        if self._feed.generation != self._generation:
            self._restart()
        update = self._feed.take()
        for row in update.rows:
            self.history.add(row)
        changed = self._take_messages(update.messages)
        self._latest = update.latest or self._latest
        self._show_rates()
        if not self.isVisible():
            return
        if update.latest is not None:
            self.plots.draw_latest(update.latest)
        if self.history.empty:
            return
        if update.rows:
            self.plots.draw_history(self.history)
        if update.rows or changed:
            self.tracks.forget_before(self.history.begin_s)
            self.plots.draw_events(self.events.newest_first(), self.history, self._feed.time_of, self.table.selected_event())
            self.plots.draw_signals(self.signals.newest_first(), self.history, self._feed.time_of)
            self.plots.draw_tracks(self.tracks.tracks, self.history)
        self.plots.viewport().repaint()  # now, so that the time it takes counts

    def _restart(self):
        self._generation = self._feed.generation
        self.history.clear()
        self.events.clear()
        self.signals.clear()
        self.tracks.clear()
        self.table.show_events([])
        self.pace.restart()
        self._posix_at_zero = None
        self._counted = (time.monotonic(), 0, 0)

    def _take_messages(self, messages: list[tuple[str, dict]]) -> bool:
        """Takes messages; True if one was an event, a signal or a track."""
        ports = set()  # events first: they set the clock for tracks
        for port, fields in sorted(messages, key=lambda message: message[0] != keys.EVENTS):
            ports.add(port)
            if port == keys.EVENTS:
                self.events.update(fields)
                self._set_clock(fields)
            elif port == keys.SIGNALS:
                self.signals.update(fields)
            elif port == keys.TRACKS:
                self.tracks.update(fields, self._time_of_track(fields))
            else:
                self._show_status(fields)
        if keys.EVENTS in ports:
            self.table.show_events(self.events.newest_first())
        return bool(ports & {keys.EVENTS, keys.SIGNALS, keys.TRACKS})

    def _set_clock(self, event: dict):
        """Computes the POSIX time of stream time 0 from an event that states both its sample and its time."""
        start, posix_s = number(event.get(keys.SAMPLE_START)), number(event.get(keys.TIMESTAMP))
        if start is not None and posix_s is not None:
            self._posix_at_zero = posix_s - float(self._feed.time_of(start))

    def _time_of_track(self, fields: dict) -> float:
        """Stream time of a track's message, by its sample or its POSIX time; else now."""
        start, posix_s = number(fields.get(keys.SAMPLE_START)), number(fields.get(keys.TIMESTAMP))
        if start is not None:
            return float(self._feed.time_of(start + (number(fields.get(keys.SAMPLE_COUNT)) or 0)))
        if posix_s is not None and self._posix_at_zero is not None:
            return posix_s - self._posix_at_zero
        return 0.0 if self.history.empty else self.history.end_s

    def _show_status(self, status: dict):
        state, text = str(status.get(keys.STATUS_STATE)), str(status.get(keys.MESSAGE) or "")
        line = f"{status.get(keys.BLOCK)}: {state}{', ' if text else ''}{text}"
        self._lines.append(line)
        self._status_line.setToolTip("\n".join(self._lines))
        now, quiet = time.monotonic(), state in _QUIET
        if not quiet or now > self._alarm_until:
            self._alarm_until = now if quiet else now + _ALARM_S
            self._status_line.setText(line)
            self._status_line.setStyleSheet("" if quiet else "color: #c62828; font-weight: bold")
        if self.controls is not None:
            self.controls.show_status(status)

    def _show_rates(self):
        now, (then, frames, draws) = time.monotonic(), self._counted
        if now - then < _RATE_INTERVAL_S or self._latest is None:
            return
        self._counted = (now, self._feed.n_frames, self.pace.draws)
        tuning = self._latest.tuning
        lost = f", {self._feed.lost_rows} rows lost" if self._feed.lost_rows else ""
        frames, draws = (self._feed.n_frames - frames) / (now - then), (self.pace.draws - draws) / (now - then)
        self._rate_line.setText(
            f"{tuning.center_hz / 1e6:.4f} MHz, {tuning.rate_hz / 1e6:g} MS/s: {frames:.0f} frames/s, {draws:.0f} draws/s "
            f"({self.pace.skipped} left out{lost}), {self.events.n_events} events")
