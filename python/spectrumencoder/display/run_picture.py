# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a run: waterfall and residual over absolute frequency and time, with a box around every signal and event."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import keys
from ..emitters.listing import count
from .appearance import (
    SIGNAL_COLOR,
    event_kind,
    event_label,
    is_of_event,
    number,
    place_difference_hz,
    same_place,
    signal_label,
    threat_color,
)
from .grouping import join_by_signal
from .labels import Label, draw_labels
from .picture_file import add_legend, area_key, box_key, line_key, new_figure, picture_format, save, settle, words_key
from .track_picture import draw_emissions
from .waterfall import Waterfall, WaterfallSegment

MAX_BOXES = 200  # events, the most certain ones; more boxes would hide what they mark
MAX_BURSTS = 2000  # of signals, the strongest ones
MAX_LABELS, MAX_SIGNAL_LABELS = 12, 60
_GAP_COLOR, _UNJUDGED_COLOR = "0.9", "#5b7fa6"


class _Drawn(NamedTuple):
    """What was drawn: the labels, one for an event or signal; the colour of each kind of box; all boxes (x0, x1, y0, y1)."""

    labels: list[Label]
    kinds: dict[str, str]
    boxes: list[tuple]


def save_plot(path: Path, waterfall: Waterfall, events: list[dict], title: str, tracks: list[dict] = (),
              signals: list[dict] = (), listed: list[dict] | None = None):
    """Writes the picture (PNG, PDF or SVG by its suffix) atomically. Signals have light boxes; events have thick ones in the
    colours of threats, and at their place no signal says the same again.

    Args:
        waterfall: the spectra that the run collected.
        events: dicts with the keys of keys.EVENT_FIELDS, one for each transmission. Those of one event have its event_id.
        title: one line.
        tracks: messages of spectral tracks, drawn over the waterfall. The events' timestamps place them in time.
        signals: dicts with the keys of keys.SIGNAL_FIELDS, one for each burst. Those of one signal have its signal_id.
        listed: rows of the list of signals: each has one label, at its strongest burst. None: each signal_id has one.

    Raises:
        ValueError: the run has no frames to show, or the suffix is of no such format. OSError: the file cannot be written.
    """
    picture_format(path)
    segments = waterfall.rows()
    if not segments:
        raise ValueError(f"nothing to plot in {path}: the run gave no frame")
    figure = new_figure(16, 9.5)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    figure.suptitle(title, fontsize=13, x=0.01, ha="left")
    psd_low, psd_high = _range(np.concatenate([np.ravel(s.psd) for s in segments]))
    _panel(figure, left, segments, "psd", "power (dBFS per bin)", "viridis", psd_low, psd_high)
    _panel(figure, right, segments, "residual", "residual: what the model did not expect (σ)", "inferno", 0.0, 10.0)
    left.set_ylabel("time (s)")
    joined = join_by_signal(sorted(events, key=_rank), listed)
    shown = joined[:MAX_BOXES]
    bursts = sorted(signals, key=lambda burst: -(burst.get(keys.SNR_DB) or 0.0))[:MAX_BURSTS]
    for axes in (left, right):
        _limits(axes, segments)
    of_signals = _draw_signals(left, segments, bursts, shown, listed)
    of_events = _draw_events(left, segments, shown)
    _draw_events(right, segments, shown)
    n_tracks = _draw_tracks(left, segments, tracks, events)
    labels = of_events.labels[:MAX_LABELS] + of_signals.labels[:MAX_SIGNAL_LABELS]  # those of events take their places first
    n_labels = len(of_events.labels) + len(of_signals.labels)
    known = [box_key(color, text) for text, color in (of_signals.kinds | of_events.kinds).items()]
    known += [line_key("--", "C0", count(n_tracks, "track"))] if n_tracks else []
    known += [words_key(f"{count(len(items) - limit, what)} more, without a box") for items, limit, what in (
        (joined, MAX_BOXES, "event"), (signals, MAX_BURSTS, "burst")) if len(items) > limit]
    left_out = [words_key(f"{n_labels} labels left out for lack of room")]  # the widest text that it may become
    add_legend(left, known + (left_out if n_labels else []))
    add_legend(right, _right_keys(segments))
    settle(figure)
    missing = n_labels - draw_labels(left, labels, unnamed=of_events.boxes + of_signals.boxes)
    add_legend(left, known + ([words_key(f"{count(missing, 'label')} left out for lack of room")] if missing else []))
    save(figure, path)


def save_thumbnail(path: Path, waterfall: Waterfall, events: list[dict], signals: list[dict] = ()):
    """Writes a small picture (PNG, 640 x 360) of the waterfall with its boxes, without words, atomically.

    Args:
        waterfall, events, signals: as of ``save_plot``.

    Raises:
        ValueError: the run has no frames to show. OSError: the file cannot be written.
    """
    segments = waterfall.rows()
    if not segments:
        raise ValueError(f"nothing to draw in {path}: the run gave no frame")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.08, 0.115, 0.905, 0.865))
    low, high = _range(np.concatenate([np.ravel(s.psd) for s in segments]))
    _images(axes, segments, "psd", "viridis", low, high)
    axes.tick_params(labelsize=8, length=2)
    axes.locator_params(nbins=6)
    _limits(axes, segments)
    shown = sorted(events, key=_rank)[:MAX_BOXES]
    _draw_signals(axes, segments, sorted(signals, key=lambda burst: -(burst.get(keys.SNR_DB) or 0.0))[:MAX_BOXES], shown, None)
    _draw_events(axes, segments, shown)
    save(figure, path)


def _rank(event: dict) -> tuple:
    """The most certain first: by p-value, which alerts of emitters lack; anomalies before others; by score."""
    p_value = event.get(keys.P_VALUE)
    return 1.0 if p_value is None else p_value, event.get(keys.IS_ANOMALY) is False, -(event.get(keys.ANOMALY_SCORE) or 0.0)


def _range(values: np.ndarray) -> tuple[float, float]:
    """Colour limits in dB, from just under the floor to the maximum, at least 10 dB apart."""
    low, high = np.percentile(values, 5.0) - 2.0, np.percentile(values, 99.9) + 1.0
    return float(low), float(max(high, low + 10.0))


def _panel(figure, axes, segments: list[WaterfallSegment], field: str, label: str, colors: str, low: float, high: float):
    image = _images(axes, segments, field, colors, low, high)
    axes.set_xlabel("frequency (MHz)" if any(s.center_hz for s in segments) else "offset from centre frequency (MHz)")
    axes.set_title(label, fontsize=11, loc="left")
    figure.colorbar(image, ax=axes, pad=0.01, fraction=0.04, aspect=50)


def _images(axes, segments: list[WaterfallSegment], field: str, colors: str, low: float, high: float):
    """Draws a field of all segments; returns the last image."""
    from matplotlib import colormaps
    shades = colormaps[colors].with_extremes(bad=_UNJUDGED_COLOR)
    for segment in segments:
        rows = np.array(getattr(segment, field))
        if field == "residual":
            rows[_unjudged(segment)] = np.nan
        image = axes.imshow(rows, aspect="auto", interpolation="nearest", cmap=shades, vmin=low, vmax=high,
                            extent=_extent(segment))
    axes.set_facecolor(_GAP_COLOR)
    axes.ticklabel_format(useOffset=False, axis="x")
    return image


def _unjudged(segment: WaterfallSegment) -> np.ndarray:
    """(rows,) True if no frame of a row was judged: the encoder passes such frames on with a residual of 0."""
    return ~np.any(np.asarray(segment.residual), axis=1)


def _right_keys(segments: list[WaterfallSegment]) -> list:
    """What the plain areas of the panels are, if there are some."""
    found = [area_key(_UNJUDGED_COLOR, "not judged: the machine was too slow")] if any(
        _unjudged(segment).any() for segment in segments) else []
    ends = [segment.start_sample + segment.n_samples for segment in segments]
    gaps = any(after.start_sample - end > after.row_samples for end, after in zip(ends, segments[1:], strict=False))
    if gaps or len({(segment.center_hz, segment.rate_hz) for segment in segments}) > 1:
        found.append(area_key(_GAP_COLOR, "not received"))
    return found


def _extent(segment: WaterfallSegment) -> tuple[float, float, float, float]:
    half_hz = segment.rate_hz / 2
    half_bin = segment.rate_hz / len(segment.psd[0]) / 2  # bins are centred on their frequency
    left, right = segment.center_hz - half_hz - half_bin, segment.center_hz + half_hz - half_bin
    return left / 1e6, right / 1e6, segment.stop_sample / segment.rate_hz, segment.start_sample / segment.rate_hz


def _limits(axes, segments: list[WaterfallSegment]):
    extents = np.array([_extent(segment) for segment in segments])
    ends = [(segment.start_sample + segment.n_samples) / segment.rate_hz for segment in segments]
    axes.set_xlim(extents[:, 0].min(), extents[:, 1].max())
    axes.set_ylim(max(ends), extents[:, 3].min())


def _draw_tracks(axes, segments: list[WaterfallSegment], tracks: list[dict], events: list[dict]) -> int:
    """Draws the tracks, if an event says when the samples were taken; gives their number."""
    dated = next((e for e in events if e.get(keys.TIMESTAMP) is not None and keys.SAMPLE_START in e), None)
    if not tracks or dated is None:
        return 0
    limits = axes.axis()
    number = draw_emissions(axes, tracks,
                            dated[keys.TIMESTAMP] - dated[keys.SAMPLE_START] / _rate_at(segments, dated[keys.SAMPLE_START]))
    axes.axis(limits)
    return number


def _draw_events(axes, segments: list[WaterfallSegment], events: list[dict]) -> _Drawn:
    """A box around every transmission of an event."""
    labels: dict[str, Label] = {}
    kinds: dict[str, str] = {}
    boxes = []
    for event in events:
        if not _is_placed(event):
            continue
        color = threat_color(event)
        kinds.setdefault(event_kind(event), color)
        box = _draw_box(axes, segments, event, color, 1.4, (0.008, 0.008))
        boxes.append(tuple(box))
        labels.setdefault(str(event.get(keys.EVENT_ID)), Label(event_label(event), *box, color))
    return _Drawn(list(labels.values()), kinds, boxes)


def _draw_signals(axes, segments: list[WaterfallSegment], bursts: list[dict], events: list[dict],
                  listed: list[dict] | None) -> _Drawn:
    """A light box around every burst of a signal, unless an event marks it. Bursts are in the order of their labels; each signal
    has one, at its longest burst."""
    labels: dict[str, Label] = {}
    longest: dict[str, float] = {}
    boxes = []
    for burst in bursts:
        if not _is_placed(burst) or is_of_event(burst, events):
            continue
        box = _draw_box(axes, segments, burst, SIGNAL_COLOR, 0.8, (0.003, 0.004))
        boxes.append(tuple(box))
        row = burst if listed is None else min((row for row in listed if same_place(burst, row)), default=None,
                                               key=lambda row: place_difference_hz(row, burst))
        if row is None or any(same_place(row, event) for event in events):
            continue
        name, long = str(row.get(keys.SIGNAL_ID)), number(burst.get(keys.SAMPLE_COUNT)) or 0.0
        if name not in labels or long > longest[name]:
            labels[name], longest[name] = Label(signal_label(row), *box, SIGNAL_COLOR), long
    return _Drawn(list(labels.values()), {"signal": SIGNAL_COLOR} if bursts else {}, boxes)


def _is_placed(item: dict) -> bool:
    return all(item.get(key) is not None for key in (keys.FREQ_CENTER_HZ, keys.SAMPLE_START, keys.SAMPLE_COUNT))


def _draw_box(axes, segments: list[WaterfallSegment], item: dict, color: str, thick: float,
              margins: tuple[float, float]) -> tuple[float, float, float, float]:
    """Draws a box with margins (shares of the axes), so that what it marks is seen in it however small it is; gives its sides."""
    from matplotlib.patches import Rectangle

    (low, high), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    margin_x, margin_y = margins[0] * (high - low), margins[1] * (bottom - top)
    rate_hz = _rate_at(segments, item[keys.SAMPLE_START])
    width = (item.get(keys.BANDWIDTH_HZ) or 0.0) / 1e6 + 2 * margin_x
    height = item[keys.SAMPLE_COUNT] / rate_hz + 2 * margin_y
    x, y = item[keys.FREQ_CENTER_HZ] / 1e6 - width / 2, item[keys.SAMPLE_START] / rate_hz - margin_y
    axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor="black", linewidth=thick + 1.2))
    axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=color, linewidth=thick))
    return x, x + width, y, y + height


def _rate_at(segments: list[WaterfallSegment], sample: int) -> float:
    before = [segment for segment in segments if segment.start_sample <= sample]
    return (before or segments[:1])[-1].rate_hz
