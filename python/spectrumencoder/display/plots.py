# SPDX-License-Identifier: GPL-3.0-or-later
"""The four plots: spectrum with reconstruction, residual, waterfall with boxes of events and signals and tracks, and scores.

Frequency axes are linked, and so are the time axes of waterfall and scores. Time runs upward: the newest row is at the top.
"""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PyQt5 import QtCore, QtGui

from .. import keys
from .appearance import SIGNAL_COLOR, THREAT_COLORS, event_label, is_of_event, number, same_place, signal_label, threat_color
from .event_table import Box, SpectralTrack, event_box
from .feed import Latest
from .history import History

MAX_BOXES = 200
MAX_LABELS, MAX_SIGNAL_LABELS = 8, 16
_AXIS_WIDTH = 62
_PSD, _EXPECTED, _PEAK, _RESIDUAL, _SCORE = "#1f77b4", "#ff7f0e", "#b0b0b0", "#d62728", "#2ca02c"
_TRACK_COLORS = ("#00e5ff", "#ff79c6", "#b9ff66", "#ffb86b", "#d0a8ff", "#ffffff")
_ROWS = ((20, 84), (10, 52), (70, 240))  # share of the height and minimum, pixels: spectrum, residual, waterfall
_MIN_SCORE = 0.01  # on the logarithmic axis of scores
_FEWEST_PIXELS = 7  # minimum size of a drawn box; a smaller one would hide in its own outline


class Plots(pg.GraphicsLayoutWidget):
    """Draws what it is given; does not deal with threads or messages.

    Args:
        level_range: dBFS of the darkest and the brightest colour; if they are equal, chosen from the data.
    """

    def __init__(self, level_range: tuple[float, float]):
        super().__init__()
        self._fixed_range = level_range if level_range[0] < level_range[1] else None
        self.level_range = self._fixed_range or (-100.0, 0.0)
        self._lookup = pg.colormap.get("viridis")
        palette = self.palette()
        self.setBackground(palette.color(QtGui.QPalette.Base))
        self._foreground = palette.color(QtGui.QPalette.Text)
        self._make_spectrum()
        self._make_residual()
        self._make_waterfall()
        self._make_scores()
        for row, (stretch, pixels) in enumerate(_ROWS):
            self.ci.layout.setRowStretchFactor(row, stretch)
            self.ci.layout.setRowMinimumHeight(row, pixels)
        self.ci.layout.setColumnStretchFactor(0, 84)
        self.ci.layout.setColumnStretchFactor(1, 16)

    # Making

    def _plot(self, row: int, column: int, bottom: str, left: str) -> pg.PlotItem:
        plot = self.addPlot(row, column)
        plot.setMenuEnabled(False)
        plot.hideButtons()
        plot.showGrid(x=True, y=True, alpha=0.2)
        for side, text in (("bottom", bottom), ("left", left)):
            axis = plot.getAxis(side)
            axis.enableAutoSIPrefix(False)
            axis.setStyle(maxTickLevel=0)
            axis.setPen(self._foreground)
            axis.setTextPen(self._foreground)
            if text:
                axis.setLabel(text, color=self._foreground.name())
        plot.getAxis("left").setWidth(_AXIS_WIDTH)
        return plot

    def _curve(self, plot: pg.PlotItem, color: str, **settings) -> pg.PlotCurveItem:
        curve = pg.PlotCurveItem(pen=pg.mkPen(color, width=1), skipFiniteCheck=True, **settings)
        plot.addItem(curve)
        return curve

    def _make_spectrum(self):
        self.spectrum = self._plot(0, 0, "", "dBFS")
        legend = self.spectrum.addLegend(offset=(-6, 4), labelTextColor=self._foreground, brush=pg.mkBrush(255, 255, 255, 160),
                                         colCount=3, verSpacing=-6)
        self._peak = self._curve(self.spectrum, _PEAK)
        self._psd = self._curve(self.spectrum, _PSD)
        self._expected = self._curve(self.spectrum, _EXPECTED)
        for curve, name in ((self._psd, "measured"), (self._expected, "expected"), (self._peak, "peak of the time shown")):
            legend.addItem(curve, name)
        self.spectrum.getAxis("bottom").setStyle(showValues=False)
        self._bar = pg.ColorBarItem(self.level_range, width=14, colorMap=self._lookup, interactive=False)
        bar_axis = self._bar.getAxis("right")
        bar_axis.setPen(self._foreground)
        bar_axis.setTextPen(self._foreground)
        bar_axis.setWidth(_AXIS_WIDTH)
        bar_axis.setLabel("waterfall (dBFS)", color=self._foreground.name())
        self.addItem(self._bar, 0, 1, 2, 1)

    def _make_residual(self):
        self.residual = self._plot(1, 0, "", "resid. (σ)")
        self._residual = self._curve(self.residual, _RESIDUAL)
        self.residual.setXLink(self.spectrum)
        self.residual.getAxis("bottom").setStyle(showValues=False)
        self.residual.addItem(pg.InfiniteLine(0, angle=0, pen=pg.mkPen(_PEAK)))

    def _make_waterfall(self):
        self.waterfall = self._plot(2, 0, "frequency (MHz)", "time (s)")
        self.waterfall.setXLink(self.spectrum)
        self.waterfall.showGrid(x=False, y=False)
        self.waterfall.getViewBox().setBackgroundColor(self._lookup.map(0.0, mode="qcolor"))
        self._image = pg.ImageItem(axisOrder="row-major")
        self._image.setLookupTable(self._lookup.getLookupTable(0.0, 1.0, 256))
        self.waterfall.addItem(self._image)
        self._signals = pg.PlotCurveItem(pen=pg.mkPen(SIGNAL_COLOR, width=1), shadowPen=pg.mkPen("black", width=3),
                                         connect="finite")
        self.waterfall.addItem(self._signals)
        self._boxes = {}
        for color in THREAT_COLORS:
            curve = pg.PlotCurveItem(pen=pg.mkPen(color, width=2), shadowPen=pg.mkPen("black", width=4), connect="finite")
            self.waterfall.addItem(curve)
            self._boxes[color] = curve
        self._selected = pg.PlotCurveItem(pen=pg.mkPen("white", width=3, style=QtCore.Qt.DashLine))
        self.waterfall.addItem(self._selected)
        self._labels = [self._label() for _ in range(MAX_LABELS)]
        self._signal_labels = [self._label() for _ in range(MAX_SIGNAL_LABELS)]
        self._taken: list[QtCore.QRectF] = []  # places of the labels, in pixels
        self._events_shown: list[dict] = []
        self._tracks: dict[str, tuple[pg.PlotCurveItem, pg.TextItem]] = {}

    def _label(self, color="white") -> pg.TextItem:
        label = pg.TextItem(color=color, fill=pg.mkBrush(0, 0, 0, 165))
        font = label.textItem.font()
        font.setPointSize(8)
        label.setFont(font)
        label.hide()
        self.waterfall.addItem(label, ignoreBounds=True)
        return label

    def _make_scores(self):
        self.scores = self._plot(2, 1, "score", "")
        self.scores.getAxis("bottom").setLogMode(x=True, y=False)
        self.scores.setYLink(self.waterfall)
        self.scores.getAxis("left").setStyle(showValues=False)
        self.scores.getAxis("left").setWidth(12)
        self._score = self._curve(self.scores, _SCORE, connect="finite")
        self._threshold = pg.InfiniteLine(angle=90, pen=pg.mkPen(_RESIDUAL, style=QtCore.Qt.DashLine))
        self._threshold.hide()
        self.scores.addItem(self._threshold)

    # Drawing

    def draw_latest(self, latest: Latest):
        """The newest frame."""
        megahertz = latest.tuning.frequencies_hz() / 1e6
        self._psd.setData(megahertz, latest.psd)
        if latest.reconstruction is not None:
            self._expected.setData(megahertz, latest.reconstruction)
        self._give_room(1, self.residual, latest.residual is not None)
        if latest.residual is not None:
            self._residual.setData(megahertz, latest.residual)
            _grow_range(self.residual, 1, float(latest.residual.min()), float(latest.residual.max()), minimum=(-5.0, 10.0))

    def _give_room(self, row: int, plot: pg.PlotItem, filled: bool):
        """A plot whose input is not connected leaves its room to the others."""
        if plot.isVisible() == filled:
            return
        plot.setVisible(filled)
        stretch, pixels = _ROWS[row] if filled else (0, 0)
        self.ci.layout.setRowStretchFactor(row, stretch)
        self.ci.layout.setRowMinimumHeight(row, pixels)
        self.ci.layout.setRowMaximumHeight(row, 16777215.0 if filled else 0.0)

    def draw_history(self, history: History):
        """Waterfall, peaks and scores."""
        levels = history.levels
        peak = levels.max(axis=0)
        self._set_levels(peak, levels)
        self._image.setImage(self._quantised(levels), autoLevels=False, levels=(0, 255))
        low, high = history.low_hz / 1e6, history.high_hz / 1e6
        self._image.setRect(QtCore.QRectF(low, history.begin_s, high - low, history.end_s - history.begin_s))
        _set_range(self.spectrum, 0, low, high)
        _set_range(self.waterfall, 1, history.begin_s, history.end_s)
        name = "frequency (MHz)" if low > 0 else "offset from the centre frequency (MHz)"
        if self.waterfall.getAxis("bottom").labelText != name:
            self.waterfall.getAxis("bottom").setLabel(name, color=self._foreground.name())
        self._peak.setData(history.frequencies_hz / 1e6, peak)
        scores = history.scores
        if np.isfinite(scores).any():
            times = history.begin_s + history.row_s * (np.arange(len(scores)) + 0.5)
            decades = np.log10(np.maximum(scores, _MIN_SCORE))
            self._score.setData(decades, times)
            _grow_range(self.scores, 0, float(np.nanmin(decades)), float(np.nanmax(decades)), minimum=(-0.5, 0.5))

    def _set_levels(self, peak: np.ndarray, levels: np.ndarray):
        """Colours and the axis of levels follow what is there, in steps of 5 dB, so that they rarely change."""
        seen = levels[-1][levels[-1] > -199.0]
        heard = peak[peak > -199.0]
        if not len(heard) or not len(seen):
            return
        floor = float(np.percentile(seen, 10.0))
        top = float(heard.max())
        if self._fixed_range is None:
            low, high = 5 * np.floor((floor - 2) / 5), 5 * np.ceil((np.percentile(heard, 99.5)) / 5)
            wanted = (float(low), float(max(high, low + 20)))
            if max(abs(wanted[0] - self.level_range[0]), abs(wanted[1] - self.level_range[1])) > 5:
                self.level_range = wanted
                self._bar.setLevels(wanted)
        with_legend = top + 8 + 0.25 * (top - floor)
        _grow_range(self.spectrum, 1, floor - 12, with_legend, minimum=(floor - 12, floor + 20))

    def set_level_range(self, level_range: tuple[float, float] | None):
        """Sets dBFS of the darkest and the brightest colour; None: chosen from the data. The next draw shows it."""
        self._fixed_range = level_range
        if level_range is not None:
            self.level_range = level_range
            self._bar.setLevels(level_range)

    def _quantised(self, levels: np.ndarray) -> np.ndarray:
        low, high = self.level_range
        scaled = (levels - np.float32(low)) * np.float32(255.0 / (high - low))
        return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)

    def draw_events(self, events: list[dict], history: History, time_of, selected: dict | None):
        """Draws boxes around the events in the time shown, labels at the newest ones, and the threshold of the newest one.

        Args:
            events: newest first. time_of: maps a sample to its stream time. selected: the event to mark, if any.
        """
        shown = _shown(events, history, time_of, MAX_BOXES)
        self._events_shown = [event for event, _ in shown]
        outlines = {color: [] for color in self._boxes}
        for event, box in shown:
            outlines[threat_color(event)].append(self._outline(box, history))
        for color, curve in self._boxes.items():
            curve.setData(*_joined(outlines[color]))
        marked = None if selected is None else event_box(selected, time_of)
        self._selected.setData(*_joined([] if marked not in [box for _, box in shown] else [self._outline(marked, history)]))
        self._taken = []
        self._draw_labels(self._labels, [(event_label(event), box) for event, box in shown], history)
        threshold = next((t for t in (number(event.get(keys.THRESHOLD)) for event in events) if t is not None), None)
        if threshold is not None:
            self._threshold.setValue(np.log10(max(threshold, _MIN_SCORE)))
            self._threshold.show()

    def draw_signals(self, bursts: list[dict], history: History, time_of):
        """Draws boxes around the bursts of signals in the time shown, and the class of each signal at its newest one.

        A burst that an event marks has the event's box alone, and a place with an event its label alone. Call it after
        ``draw_events``, whose labels take their places first.

        Args:
            bursts: newest first. time_of: maps a sample to its stream time.
        """
        shown = [(burst, box) for burst, box in _shown(bursts, history, time_of, MAX_BOXES)
                 if not is_of_event(burst, self._events_shown)]
        self._signals.setData(*_joined([self._outline(box, history) for _, box in shown]))
        newest: dict[str, tuple[str, Box]] = {}
        for burst, box in shown:
            if not any(same_place(burst, event) for event in self._events_shown):
                newest.setdefault(str(burst[keys.SIGNAL_ID]), (signal_label(burst), box))
        self._draw_labels(self._signal_labels, list(newest.values()), history)

    def _outline(self, box: Box, history: History) -> tuple[np.ndarray, np.ndarray]:
        pixel_x, pixel_y = (abs(size) for size in self.waterfall.getViewBox().viewPixelSize())
        grow_x = max(0.0, _FEWEST_PIXELS * pixel_x - (box.high_hz - box.low_hz) / 1e6) / 2 + 2 * pixel_x
        grow_y = max(0.0, _FEWEST_PIXELS * pixel_y - (box.end_s - box.begin_s)) / 2
        left, right = box.low_hz / 1e6 - grow_x, box.high_hz / 1e6 + grow_x
        bottom = max(box.begin_s - grow_y, history.begin_s + pixel_y)
        top = min(box.end_s + grow_y, history.end_s - pixel_y)
        return np.array([left, right, right, left, left, np.nan]), np.array([bottom, bottom, top, top, bottom, np.nan])

    def _draw_labels(self, labels: list[pg.TextItem], texts: list[tuple[str, Box]], history: History):
        """Puts texts beside their boxes; one that would overprint another is left out."""
        middle = (history.low_hz + history.high_hz) / 2
        waiting = list(labels)
        for text, box in texts:
            if not waiting:
                break
            label = waiting[0]
            if label.toPlainText() != text:
                label.setText(text)
            right_half = box.low_hz + box.high_hz > 2 * middle
            near_top = box.end_s > history.end_s - 0.08 * (history.end_s - history.begin_s)
            for below in (near_top, not near_top):
                anchor = (1.0 if right_half else 0.0, 0.0 if below else 1.0)
                place = ((box.high_hz if right_half else box.low_hz) / 1e6,
                         max(box.begin_s, history.begin_s) if below else min(box.end_s, history.end_s))
                if self._is_free(label, anchor, place):
                    label.setAnchor(anchor)
                    label.setPos(*place)
                    label.show()
                    waiting.pop(0)
                    break
        for label in waiting:
            label.hide()

    def _is_free(self, label: pg.TextItem, anchor: tuple[float, float], place: tuple[float, float]) -> bool:
        """Whether a label has a place to itself; takes that place."""
        pixel_x, pixel_y = (abs(size) for size in self.waterfall.getViewBox().viewPixelSize())
        size = label.boundingRect()
        rect = QtCore.QRectF(place[0] / pixel_x - anchor[0] * size.width(), -place[1] / pixel_y - anchor[1] * size.height(),
                             size.width(), size.height())
        if any(rect.intersects(other) for other in self._taken):
            return False
        self._taken.append(rect)
        return True

    def draw_tracks(self, tracks: dict[str, SpectralTrack], history: History):
        """A line along each track, its name at the newest point."""
        for name in self._tracks.keys() - tracks.keys():
            for item in self._tracks.pop(name):
                self.waterfall.removeItem(item)
        for name, track in tracks.items():
            if name not in self._tracks:
                color = _TRACK_COLORS[len(self._tracks) % len(_TRACK_COLORS)]
                curve = pg.PlotCurveItem(pen=pg.mkPen(color, width=2, style=QtCore.Qt.DotLine))
                self.waterfall.addItem(curve, ignoreBounds=True)
                self._tracks[name] = curve, self._label(color)
            curve, label = self._tracks[name]
            times, centers = np.array(track.times_s), np.array(track.centers_hz) / 1e6
            if not track.ended:  # goes on at its last place until the next word on it
                times, centers = np.append(times, max(times[-1], history.end_s)), np.append(centers, centers[-1])
            curve.setData(centers, times)
            label.setText(f"track {name}")
            label.setPos(centers[-1], min(times[-1], history.end_s))
            label.setAnchor((0.5, 0.0))
            label.show()


def _shown(items: list[dict], history: History, time_of, limit: int) -> list[tuple[dict, Box]]:
    """Those of the items, of which there are `limit` at most, whose boxes lie in the time and frequencies shown."""
    window, shown = Box(history.begin_s, history.end_s, history.low_hz, history.high_hz), []
    for item in items:
        box = event_box(item, time_of)
        if box is not None and box.meets(window):
            shown.append((item, box))
            if len(shown) == limit:
                break
    return shown


def _joined(outlines: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    if not outlines:
        return np.empty(0), np.empty(0)
    return tuple(np.concatenate(parts) for parts in zip(*outlines, strict=True))


def _set_range(plot: pg.PlotItem, axis: int, low: float, high: float):
    """Moves the axis if it is not there already, unless the user has moved it."""
    view = plot.getViewBox()
    if view.state["targetRange"][axis] != [low, high]:
        plot.setRange(**{"xRange" if axis == 0 else "yRange": (low, high)}, padding=0.0, disableAutoRange=True)


def _grow_range(plot: pg.PlotItem, axis: int, low: float, high: float, minimum: tuple[float, float]):
    """Makes the axis cover low..high and `minimum`. To stay calm it shrinks only when it is more than twice too large."""
    low, high = min(low, minimum[0]), max(high, minimum[1])
    now_low, now_high = plot.getViewBox().state["targetRange"][axis]
    if low < now_low or high > now_high or now_high - now_low > 2 * (high - low):
        margin = 0.1 * (high - low)
        _set_range(plot, axis, low if low == 0.0 else low - margin, high + margin)
