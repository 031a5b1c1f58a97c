# SPDX-License-Identifier: GPL-3.0-or-later
"""The widget of ``anomaly_display``: plots, controls, table of events and a line of what the chain says; draws by a timer."""

from __future__ import annotations

import time
from collections import deque

from PyQt5 import QtCore, QtGui, QtWidgets

from .. import keys
from ..emitters.listing import count
from .appearance import number
from .choices import Choices
from .controls import Controls
from .event_table import EventTable, SignalTable, TrackTable
from .feed import Feed, Latest
from .history import History
from .pace import Pace
from .plots import Plots
from .table_view import EventTableModel, EventTableView

_QUIET = ("running", "stopped", "note", "learned", "on_air", "emitters")  # states that need no colour
_ALARM_S = 10.0  # for how long such a state does not take the place of another one
_LINES = 12  # latest statuses, to be seen when the mouse rests on the newest
_RATE_INTERVAL_S = 1.0
_RECENT_S = 60.0  # events of this time are counted in the first line
_SIZE = (1280, 900)
_MIN_PLOTS, _MIN_TABLE_ROWS, _TABLE_ROWS = (640, 400), 3, 4
_OF_SCREEN = 0.95


class DisplayWidget(QtWidgets.QWidget):
    """Draws the content of a Feed, at most `draw_rate` times a second.

    Args:
        feed: filled by the block.
        draw_rate: draws per second.
        level_range: dBFS of the darkest and the brightest colour; (0, 0) chooses.
        choices: offered by the controls; None shows no controls of settings.
        radio: whether there are controls of a radio.
        send: called with {key: value} when a control was moved. command: the same for the controls of the radio.
        fail: called with the exception of a failed draw; nothing is drawn after that.
    """

    def __init__(self, feed: Feed, draw_rate: float, level_range: tuple[float, float], choices: Choices | None, radio: bool,
                 send, command, fail):
        super().__init__()
        self._feed, self._fail = feed, fail
        self.history = History()
        self.events, self.signals, self.tracks = EventTable(), SignalTable(), TrackTable()
        self.pace = Pace(1.0 / draw_rate)
        self._generation = feed.generation
        self._latest: Latest | None = None
        self._counted = (time.monotonic(), 0, 0)  # when, frames, draws
        self._event_times: deque[float] = deque()  # of the last minute
        self._lines, self._alarm_until = deque(maxlen=_LINES), 0.0
        self._paused = self._resumed = self._fitted = False
        self._posix_at_zero: float | None = None  # until an event states it
        self.plots = Plots(level_range)
        self.table = EventTableView(EventTableModel(feed.time_of))
        self.controls = Controls(choices, radio, level_range if level_range[0] < level_range[1] else None)
        self.controls.changed.connect(send)
        self.controls.commanded.connect(command)
        self.controls.levels.connect(self.plots.set_level_range)
        self.controls.paused.connect(self._pause)
        self._rate_line, self._status_line = QtWidgets.QLabel("no frames yet"), ShortenedLabel()
        self._lay_out()
        self._timer = QtCore.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setTimerType(QtCore.Qt.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(0)

    def _lay_out(self):
        self.plots.setMinimumSize(*_MIN_PLOTS)
        self.table.hide()  # until there is an event: the waterfall has its room
        self.table.setMinimumHeight(self.table.height_of(_MIN_TABLE_ROWS))
        self._splitter = QtWidgets.QSplitter(QtCore.Qt.Vertical)
        for part in (self.plots, self.table):
            self._splitter.addWidget(part)
        self._splitter.setStretchFactor(0, 1)
        self._splitter.setChildrenCollapsible(False)
        lines = QtWidgets.QHBoxLayout()
        lines.addWidget(self._rate_line)
        lines.addStretch(1)
        lines.addWidget(self._status_line, 3)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.controls)
        layout.addWidget(self._splitter, 1)
        layout.addLayout(lines)
        self.resize(self.sizeHint().boundedTo(_OF_SCREEN * _room()))  # as a window of its own, until somebody sets another size

    def sizeHint(self):
        return QtCore.QSize(*_SIZE).expandedTo(self.minimumSizeHint())

    def showEvent(self, event):
        super().showEvent(event)
        if not self._fitted:
            self._fitted = True
            QtCore.QTimer.singleShot(0, self._fit_window)

    def _fit_window(self):
        """Enlarges the window, as far as the screen has room, if it shows less than the smallest picture that can be read.

        Windows of GRC's programs scroll what does not fit, and open at a size that has nothing to do with what they hold.
        """
        area = self.parent()
        while area is not None and not isinstance(area, QtWidgets.QScrollArea):
            area = area.parent()
        if area is None or area.widget() is None:
            return
        seen, wanted = area.viewport().size(), area.widget().sizeHint()
        smallest = area.widget().minimumSizeHint()
        if seen.width() < smallest.width() or seen.height() < smallest.height():
            window = self.window()
            window.resize((window.size() + wanted - seen).expandedTo(window.size()).boundedTo(_OF_SCREEN * _room()))

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
        if not self.isVisible() or self._paused:
            return
        if update.latest is not None:
            self.plots.draw_latest(update.latest)
            self.controls.show_freq(update.latest.tuning.center_hz)
        if self.history.empty:
            return
        if update.rows or self._resumed:
            self.plots.draw_history(self.history)
            self.controls.show_levels(*self.plots.level_range)
        if update.rows or changed or self._resumed:
            self.tracks.forget_before(self.history.begin_s)
            self.plots.draw_events(self.events.newest_first(), self.history, self._feed.time_of, self.table.selected_event())
            self.plots.draw_signals(self.signals.newest_first(), self.history, self._feed.time_of)
            self.plots.draw_tracks(self.tracks.tracks, self.history)
        self._resumed = False
        self.plots.viewport().repaint()  # now, so that the time it takes counts

    def _pause(self, paused: bool):
        """While it pauses all is received and kept, and the picture stays as it is."""
        self._paused, self._resumed = paused, not paused

    def _restart(self):
        self._generation = self._feed.generation
        self.history.clear()
        self.events.clear()
        self.signals.clear()
        self.tracks.clear()
        self._event_times.clear()
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
                known = self.events.n_events
                self.events.update(fields)
                self._event_times.extend([time.monotonic()] * (self.events.n_events - known))
                self._set_clock(fields)
            elif port == keys.SIGNALS:
                self.signals.update(fields)
            elif port == keys.TRACKS:
                self.tracks.update(fields, self._time_of_track(fields))
            else:
                self._show_status(fields)
        if keys.EVENTS in ports:
            self.table.show_events(self.events.newest_first())
            if self.table.isHidden():
                self.table.show()
                table = self.table.height_of(_TABLE_ROWS)
                self._splitter.setSizes([max(1, self._splitter.height() - table), table])
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
        self.controls.show_status(status)

    def _show_rates(self):
        now, (then, frames, draws) = time.monotonic(), self._counted
        if now - then < _RATE_INTERVAL_S or self._latest is None:
            return
        self._counted = (now, self._feed.n_frames, self.pace.draws)
        tuning = self._latest.tuning
        while self._event_times and now - self._event_times[0] > _RECENT_S:
            self._event_times.popleft()
        events = count(self.events.n_events, "event")
        recent = f", {len(self._event_times)} in the last minute" if self.events.n_events else ""
        left_out = f", {self.pace.skipped} draws left out" if self.pace.skipped else ""
        lost = f", {self._feed.lost_rows} rows lost" if self._feed.lost_rows else ""
        paused = "PAUSED, " if self._paused else ""
        frames, draws = (self._feed.n_frames - frames) / (now - then), (self.pace.draws - draws) / (now - then)
        place = f"{tuning.center_hz / 1e6:.4f} MHz, {tuning.rate_hz / 1e6:g} MS/s"
        self._rate_line.setText(f"{paused}{place}: {frames:.0f} frames/s, {draws:.0f} draws/s{left_out}{lost}; "
                                f"{events}{recent}")


class ShortenedLabel(QtWidgets.QLabel):
    """One line of plain text, which ends in dots where there is no room for it."""

    def __init__(self):
        super().__init__()
        self.setTextFormat(QtCore.Qt.PlainText)
        self.setMinimumWidth(80)
        self.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Preferred)

    def paintEvent(self, event):
        text = self.fontMetrics().elidedText(self.text().replace("\n", " "), QtCore.Qt.ElideRight, self.width())
        painter = QtGui.QPainter(self)
        self.style().drawItemText(painter, self.rect(), QtCore.Qt.AlignRight | QtCore.Qt.AlignVCenter, self.palette(),
                                  self.isEnabled(), text, self.foregroundRole())


def _room() -> QtCore.QSize:
    """Size of the screen, less what panels take."""
    return QtWidgets.QApplication.primaryScreen().availableGeometry().size()
