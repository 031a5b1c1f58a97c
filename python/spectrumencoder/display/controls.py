# SPDX-License-Identifier: GPL-3.0-or-later
"""The controls: radio and picture first, then what an alert costs; the settings of the network in a line that folds out.

Controls of settings request changes, and show what the chain reports, refusals included.
"""

from __future__ import annotations

from collections.abc import Iterable

from PyQt5 import QtCore, QtWidgets

from .. import keys
from .appearance import number
from .choices import Choices

FREQ, GAIN = "freq", "gain"  # of commands to a radio
_AS_SET_DB = -200.0  # no gain: nobody has said it
_LEVELS_DBFS = (-200.0, 50.0)
_NETWORK = {keys.DROPOUT_RATE: "Token dropout rate", keys.ROPE_MODE: "RoPE mode", keys.BACKEND: "Attention backend"}


class Controls(QtWidgets.QWidget):
    """The line of controls, with the line of the network below it, which is hidden at first.

    Signals: `changed`: {key: value} when the user chooses a setting; `commanded`: {"freq": Hz} or {"gain": dB} for the radio;
    `levels`: (darkest, brightest) in dBFS, or None to choose them; `paused`: whether drawing pauses.

    Args:
        choices: offered for the settings; None offers none. radio: whether there are controls of a radio.
    """

    changed, commanded = QtCore.pyqtSignal(dict), QtCore.pyqtSignal(dict)
    levels, paused = QtCore.pyqtSignal(object), QtCore.pyqtSignal(bool)

    def __init__(self, choices: Choices | None, radio: bool, level_range: tuple[float, float] | None):
        super().__init__()
        lines = QtWidgets.QVBoxLayout(self)
        lines.setContentsMargins(2, 2, 2, 2)
        line = QtWidgets.QHBoxLayout()
        lines.addLayout(line)
        self._boxes: dict[str, QtWidgets.QComboBox] = {}
        self._gain_db = self._gain_before_db = _AS_SET_DB
        self.freq = self.gain = None
        last = line
        if radio:
            self._add_radio(line)
            last = QtWidgets.QHBoxLayout()
            lines.addLayout(last)
        self._add_picture(last, level_range)
        if choices is not None:
            self._add_settings(line, last, lines, choices)
        for made in {line, last}:
            made.addStretch(1)

    # Making

    def _add_radio(self, line: QtWidgets.QHBoxLayout):
        self.freq = _spin((-1e6, 1e6), 4, " MHz", step=0.1)
        self.gain = _spin((_AS_SET_DB, 200.0), 1, " dB", step=1.0)
        self.gain.setSpecialValueText("as it is")
        self.gain.setValue(_AS_SET_DB)
        self.freq.valueChanged.connect(lambda mhz: self.commanded.emit({FREQ: 1e6 * mhz}))
        self.gain.valueChanged.connect(self._send_gain)
        for text, spin in (("Frequency", self.freq), ("Gain", self.gain)):
            _add(line, text, spin)

    def _add_picture(self, line: QtWidgets.QHBoxLayout, level_range: tuple[float, float] | None):
        self._auto = QtWidgets.QCheckBox("auto")
        self._auto.setChecked(level_range is None)
        self._low, self._high = (_spin(_LEVELS_DBFS, 0, "", step=5.0) for _ in range(2))
        for spin, value in zip((self._low, self._high), level_range or (-100.0, 0.0), strict=True):
            spin.setValue(value)
            spin.setEnabled(level_range is not None)
            spin.valueChanged.connect(self._send_levels)
        self._auto.toggled.connect(self._send_levels)
        _add(line, "Colours from", self._low, space=0)
        _add(line, "to", self._high, space=0)
        _add(line, "dBFS", self._auto)
        self.pause = QtWidgets.QPushButton("Pause")
        self.pause.setCheckable(True)
        self.pause.toggled.connect(self.paused)
        line.addWidget(self.pause)
        line.addSpacing(10)

    def _add_settings(self, line: QtWidgets.QHBoxLayout, last: QtWidgets.QHBoxLayout, lines: QtWidgets.QVBoxLayout,
                      choices: Choices):
        self._box(line, keys.FALSE_EVENTS_PER_HOUR, "False alerts an hour",
                  [(f"{rate:g}", rate) for rate in choices.false_events_per_hour])
        network = QtWidgets.QWidget()
        folded = QtWidgets.QHBoxLayout(network)
        folded.setContentsMargins(0, 0, 0, 0)
        items = {keys.DROPOUT_RATE: [(f"{rate:g}", rate) for rate in choices.dropout_rates],
                 keys.ROPE_MODE: [(mode, mode) for mode in choices.rope_modes],
                 keys.BACKEND: [(name, name) for name in choices.backends]}
        for key, text in _NETWORK.items():
            self._box(folded, key, text, items[key])
        folded.addStretch(1)
        network.hide()
        lines.addWidget(network)
        self.fold = QtWidgets.QToolButton()
        self.fold.setText("Network")
        self.fold.setCheckable(True)
        self.fold.setArrowType(QtCore.Qt.RightArrow)
        self.fold.setToolButtonStyle(QtCore.Qt.ToolButtonTextBesideIcon)
        self.fold.toggled.connect(network.setVisible)
        self.fold.toggled.connect(lambda on: self.fold.setArrowType(QtCore.Qt.DownArrow if on else QtCore.Qt.RightArrow))
        last.addWidget(self.fold)

    def _box(self, line: QtWidgets.QHBoxLayout, key: str, text: str, items: Iterable[tuple[str, object]]):
        box = self._boxes[key] = QtWidgets.QComboBox()
        for shown, value in items:
            box.addItem(shown, value)
        box.setCurrentIndex(-1)  # until a status says what holds
        box.activated.connect(lambda index: self.changed.emit({key: box.itemData(index)}))
        _add(line, text, box)

    def _send_gain(self, gain_db: float):
        if gain_db > _AS_SET_DB:
            self._gain_before_db, self._gain_db = self._gain_db, gain_db
            self.commanded.emit({GAIN: gain_db})

    def _send_levels(self):
        chosen = not self._auto.isChecked()
        for spin in (self._low, self._high):
            spin.setEnabled(chosen)
        low, high = self._low.value(), self._high.value()
        if not chosen or low < high:
            self.levels.emit((low, high) if chosen else None)

    # Settings

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
        """Shows the settings that a status message states, and takes back a gain that the radio refused."""
        refused = status.get(keys.STATUS_STATE) == "refused" and str(status.get(keys.MESSAGE)).startswith(f"{GAIN} ")
        if self.gain is not None and refused:
            self.show_gain(self._gain_before_db)
        for key, box in self._boxes.items():
            if key not in status or box.view().isVisible():
                continue
            value = status[key]
            index = box.findData(value)
            if index < 0:  # set elsewhere, to what is not in the list
                box.addItem(f"{value:g}" if isinstance(value, float) else str(value), value)
                index = box.count() - 1
            box.setCurrentIndex(index)

    # Radio and picture

    def show_gain(self, gain_db: float):
        """Shows the gain that the radio has."""
        if self.gain is not None and number(gain_db) is not None:
            self._gain_db = gain_db
            _show(self.gain, gain_db)

    def show_freq(self, center_hz: float):
        """Shows the centre frequency of the newest frame, unless the user is about to type another one."""
        if self.freq is not None and not self.freq.hasFocus():
            _show(self.freq, center_hz / 1e6)

    def show_levels(self, low: float, high: float):
        """Shows the colours' range that was chosen from the spectra."""
        if self._auto.isChecked():
            _show(self._low, low)
            _show(self._high, high)


def _spin(limits: tuple[float, float], decimals: int, unit: str, step: float) -> QtWidgets.QDoubleSpinBox:
    spin = QtWidgets.QDoubleSpinBox()
    spin.setRange(*limits)
    spin.setDecimals(decimals)
    spin.setSuffix(unit)
    spin.setSingleStep(step)
    spin.setKeyboardTracking(False)  # a number counts when it is complete
    spin.setFixedWidth(spin.fontMetrics().horizontalAdvance(f"{'0' * (5 + decimals)}{unit}") + 28)
    return spin


def _show(spin: QtWidgets.QDoubleSpinBox, value: float):
    """Sets a value without a word of it to anybody."""
    before = spin.blockSignals(True)
    spin.setValue(value)
    spin.blockSignals(before)


def _add(line: QtWidgets.QHBoxLayout, text: str, widget: QtWidgets.QWidget, space: int = 10):
    line.addWidget(QtWidgets.QLabel(text))
    line.addWidget(widget)
    line.addSpacing(space)
