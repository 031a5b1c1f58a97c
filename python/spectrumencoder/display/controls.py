# SPDX-License-Identifier: GPL-3.0-or-later
"""The controls, one for each live setting. They request changes, and show what the chain reports, refusals included."""

from __future__ import annotations

from PyQt5 import QtCore, QtWidgets

from .. import keys
from .choices import Choices


class Controls(QtWidgets.QWidget):
    """Emits `changed` with {key: value} when the user chooses.

    Args:
        choices: what is offered.
    """

    changed = QtCore.pyqtSignal(dict)

    def __init__(self, choices: Choices):
        super().__init__()
        line = QtWidgets.QHBoxLayout(self)
        line.setContentsMargins(2, 2, 2, 2)
        self._boxes = {
            keys.DROPOUT_RATE: self._box([(f"{rate:g}", rate) for rate in choices.dropout_rates]),
            keys.ROPE_MODE: self._box([(mode, mode) for mode in choices.rope_modes]),
            keys.BACKEND: self._box([(name, name) for name in choices.backends]),
            keys.FALSE_EVENTS_PER_HOUR: self._box([(f"{rate:g}", rate) for rate in choices.false_events_per_hour]),
        }
        for key, text in ((keys.DROPOUT_RATE, "Token dropout rate"), (keys.ROPE_MODE, "RoPE mode"),
                          (keys.BACKEND, "Attention backend"), (keys.FALSE_EVENTS_PER_HOUR, "False alerts an hour")):
            box = self._boxes[key]
            line.addWidget(QtWidgets.QLabel(text))
            line.addWidget(box)
            line.addSpacing(16)
            box.activated.connect(lambda index, key=key, box=box: self.changed.emit({key: box.itemData(index)}))
        line.addStretch(1)

    @staticmethod
    def _box(items: list[tuple[str, object]]) -> QtWidgets.QComboBox:
        box = QtWidgets.QComboBox()
        for text, value in items:
            box.addItem(text, value)
        box.setCurrentIndex(-1)  # until a status says what holds
        return box

    def choose(self, key: str, value):
        """Acts as if the user had chosen the value. Raises ValueError if it is not offered."""
        box = self._boxes[key]
        index = box.findData(value)
        if index < 0:
            offered = ", ".join(box.itemText(i) for i in range(box.count()))
            raise ValueError(f"{key} {value!r} is not offered; there are {offered}")
        box.setCurrentIndex(index)
        box.activated.emit(index)

    def chosen(self) -> dict:
        """{key: value} as shown; None before the first status."""
        return {key: box.currentData() for key, box in self._boxes.items()}

    def show_status(self, status: dict):
        """Shows the settings that a status message states."""
        for key, box in self._boxes.items():
            if key not in status or box.view().isVisible():
                continue
            value = status[key]
            index = box.findData(value)
            if index < 0:  # set elsewhere, to what is not in the list
                box.addItem(f"{value:g}" if isinstance(value, float) else str(value), value)
                index = box.count() - 1
            box.setCurrentIndex(index)
