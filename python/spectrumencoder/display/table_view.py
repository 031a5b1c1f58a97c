# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of events, newest first."""

from __future__ import annotations

from PyQt5 import QtCore, QtGui, QtWidgets

from .. import keys
from .appearance import likeliest_threat, number, threat_color


def _figure(event: dict, key: str, scale: float, form: str) -> str:
    value = number(event.get(key))
    return "" if value is None else format(value * scale, form)


def _text(event: dict, key: str) -> str:
    return "" if event.get(key) is None else str(event[key])


_COLUMNS = (
    ("state", lambda event, time_of: _text(event, keys.STATE)),
    ("begin (s)", lambda event, time_of: "" if number(event.get(keys.SAMPLE_START)) is None
        else f"{time_of(event[keys.SAMPLE_START]):.3f}"),
    ("MHz", lambda event, time_of: _figure(event, keys.FREQ_CENTER_HZ, 1e-6,
                                           "+.4f" if event.get(keys.FREQ_RELATIVE) else ".4f")),  # a sign: from the centre
    ("kHz wide", lambda event, time_of: _figure(event, keys.BANDWIDTH_HZ, 1e-3, ".1f")),
    ("SNR (dB)", lambda event, time_of: _figure(event, keys.SNR_DB, 1.0, ".1f")),
    ("p-value", lambda event, time_of: _figure(event, keys.P_VALUE, 1.0, ".1e")),
    ("threat", lambda event, time_of: _text(event, keys.THREAT_LEVEL)),
    ("alert", lambda event, time_of: _text(event, keys.ALERT)),
    ("bursts", lambda event, time_of: _text(event, keys.BURSTS)),
    ("label", lambda event, time_of: _text(event, keys.EMITTER_NAME) or _text(event, keys.LABEL)),
    ("may be", lambda event, time_of: likeliest_threat(event)),
)
_OF_BOXES = tuple(number for number, (title, _) in enumerate(_COLUMNS) if title in ("p-value", "may be"))  # only that detector's
_COLOR_COLUMN = next(number for number, (title, _) in enumerate(_COLUMNS) if title == "threat")


class EventTableModel(QtCore.QAbstractTableModel):
    """Rows of events; ``show_events`` replaces them all.

    Args:
        time_of: maps a sample to its stream time, s.
    """

    def __init__(self, time_of):
        super().__init__()
        self._time_of, self._events = time_of, []

    def show_events(self, events: list[dict]):
        """Newest first."""
        self.beginResetModel()
        self._events = events
        self.endResetModel()

    def event_at(self, row: int) -> dict | None:
        return self._events[row] if 0 <= row < len(self._events) else None

    def row_of(self, event_id) -> int | None:
        return next((row for row, event in enumerate(self._events) if event[keys.EVENT_ID] == event_id), None)

    # Called by Qt

    def rowCount(self, parent=None):
        return len(self._events)

    def columnCount(self, parent=None):
        return len(_COLUMNS)

    def headerData(self, section, orientation, role=QtCore.Qt.DisplayRole):
        if role == QtCore.Qt.DisplayRole and orientation == QtCore.Qt.Horizontal:
            return _COLUMNS[section][0]
        return None

    def data(self, index, role=QtCore.Qt.DisplayRole):
        event = self._events[index.row()]
        if role == QtCore.Qt.DisplayRole:
            return _COLUMNS[index.column()][1](event, self._time_of)
        if role == QtCore.Qt.BackgroundRole and index.column() == _COLOR_COLUMN and event.get(keys.THREAT_LEVEL):
            return QtGui.QBrush(QtGui.QColor(threat_color(event)))
        if role == QtCore.Qt.ForegroundRole and index.column() == _COLOR_COLUMN and event.get(keys.THREAT_LEVEL):
            return QtGui.QBrush(QtGui.QColor("black"))
        return None


class EventTableView(QtWidgets.QTableView):
    """Shows an EventTableModel; one row can be selected, and stays selected when others arrive."""

    def __init__(self, model: EventTableModel):
        super().__init__()
        self.setModel(model)
        self.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectRows)
        self.setSelectionMode(QtWidgets.QAbstractItemView.SingleSelection)
        self.setEditTriggers(QtWidgets.QAbstractItemView.NoEditTriggers)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 6)
        self.setWordWrap(False)
        metrics = self.fontMetrics()
        for column, sample in enumerate(("update", "0000.000", "0000.0000", "kHz wide", "SNR (dB)", "0.0e-00", "MEDIUM",
                                         "raised floor", "00000", "ISM-sensor", "wideband pulse 100 %")):
            self.setColumnWidth(column, metrics.horizontalAdvance(sample) + 16)
        self.horizontalHeader().setStretchLastSection(True)
        self.horizontalHeader().setHighlightSections(False)

    def height_of(self, rows: int) -> int:
        """Height in pixels with this number of rows to be seen."""
        bar = self.horizontalScrollBar().sizeHint().height()
        return self.horizontalHeader().sizeHint().height() + rows * self.verticalHeader().defaultSectionSize() + bar + 4

    def selected_event(self) -> dict | None:
        rows = self.selectionModel().selectedRows()
        return self.model().event_at(rows[0].row()) if rows else None

    def show_events(self, events: list[dict]):
        """Newest first."""
        selected = self.selected_event()
        self.model().show_events(events)
        for column in _OF_BOXES:
            stated = any(_COLUMNS[column][1](event, None) for event in events)
            if self.isColumnHidden(column) == stated:
                self.setColumnHidden(column, not stated)
        row = None if selected is None else self.model().row_of(selected[keys.EVENT_ID])
        if row is not None:
            self.selectRow(row)
