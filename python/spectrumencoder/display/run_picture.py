# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a run: waterfall and residual over absolute frequency and time, with a box around every signal and event."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from .. import keys
from ..atomic_file import write_file
from .appearance import SIGNAL_COLOR, event_label, signal_label, threat_color
from .labels import Label, draw_labels
from .track_picture import draw_emissions
from .waterfall import Waterfall, WaterfallSegment

MAX_BOXES = 200  # events, the most certain ones; more boxes would hide what they mark
MAX_BURSTS = 2000  # of signals, the strongest ones
MAX_LABELS, MAX_SIGNAL_LABELS = 12, 60


def save_plot(path: Path, waterfall: Waterfall, events: list[dict], title: str, tracks: list[dict] = (),
              signals: list[dict] = ()):
    """Writes the picture (PNG) atomically. Signals have light boxes; events have thick ones in the colours of threats.

    Args:
        waterfall: the spectra that the run collected.
        events: dicts with the keys of keys.EVENT_FIELDS, one for each transmission. Those of one event have its event_id.
        title: one line.
        tracks: messages of spectral tracks, drawn over the waterfall. The events' timestamps place them in time.
        signals: dicts with the keys of keys.SIGNAL_FIELDS, one for each burst. Those of one signal have its signal_id.

    Raises:
        ValueError: the run has no frames to show. OSError: the file cannot be written.
    """
    segments = waterfall.rows()
    if not segments:
        raise ValueError(f"nothing to plot in {path}: the run gave no frame")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 9.5), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    figure.suptitle(title, fontsize=13, x=0.01, ha="left")
    psd_low, psd_high = _range(np.concatenate([np.ravel(s.psd) for s in segments]))
    _panel(figure, left, segments, "psd", "power (dBFS per bin)", "viridis", psd_low, psd_high)
    _panel(figure, right, segments, "residual", "residual: what the model did not expect (σ)", "inferno", 0.0, 10.0)
    left.set_ylabel("time (s)")
    shown = sorted(events, key=_rank)[:MAX_BOXES]
    bursts = sorted(signals, key=lambda burst: -(burst.get(keys.SNR_DB) or 0.0))[:MAX_BURSTS]
    for axes in (left, right):
        _limits(axes, segments)
    labels = _draw_boxes(left, segments, bursts, signals=True)
    labels = _draw_boxes(left, segments, shown) + labels  # those of events take their places first
    _draw_boxes(right, segments, shown)
    dated = next((e for e in events if e.get(keys.TIMESTAMP) is not None and keys.SAMPLE_START in e), None)
    if tracks and dated is not None:
        limits = left.axis()
        draw_emissions(left, tracks,
                       dated[keys.TIMESTAMP] - dated[keys.SAMPLE_START] / _rate_at(segments, dated[keys.SAMPLE_START]))
        left.axis(limits)
    canvas.draw()
    figure.set_layout_engine("none")  # labels are placed in pixels
    draw_labels(left, labels)
    content = io.BytesIO()
    canvas.print_png(content, metadata={"Software": "gr-spectrumencoder"})
    write_file(path, content.getvalue())


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
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.08, 0.115, 0.905, 0.865))
    low, high = _range(np.concatenate([np.ravel(s.psd) for s in segments]))
    _images(axes, segments, "psd", "viridis", low, high)
    axes.tick_params(labelsize=8, length=2)
    axes.locator_params(nbins=6)
    _limits(axes, segments)
    _draw_boxes(axes, segments, sorted(signals, key=lambda burst: -(burst.get(keys.SNR_DB) or 0.0))[:MAX_BOXES], signals=True)
    _draw_boxes(axes, segments, sorted(events, key=_rank)[:MAX_BOXES])
    content = io.BytesIO()
    canvas.print_png(content, metadata={"Software": "gr-spectrumencoder"})
    write_file(path, content.getvalue())


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
    for segment in segments:
        rows = np.asarray(getattr(segment, field))
        image = axes.imshow(rows, aspect="auto", interpolation="nearest", cmap=colors, vmin=low, vmax=high,
                            extent=_extent(segment))
    axes.set_facecolor("0.9")
    axes.ticklabel_format(useOffset=False, axis="x")
    return image


def _extent(segment: WaterfallSegment) -> tuple[float, float, float, float]:
    half_hz = segment.rate_hz / 2
    half_bin = segment.rate_hz / len(segment.psd[0]) / 2  # bins are centred on their frequency
    left, right = segment.center_hz - half_hz - half_bin, segment.center_hz + half_hz - half_bin
    return left / 1e6, right / 1e6, segment.stop_sample / segment.rate_hz, segment.start_sample / segment.rate_hz


def _limits(axes, segments: list[WaterfallSegment]):
    extents = np.array([_extent(segment) for segment in segments])
    axes.set_xlim(extents[:, 0].min(), extents[:, 1].max())
    axes.set_ylim(extents[:, 2].max(), extents[:, 3].min())


def _draw_boxes(axes, segments: list[WaterfallSegment], items: list[dict], *, signals: bool = False) -> list[Label]:
    """A box around every transmission with a margin, so that what it marks is seen in it however small it is.

    Returns the labels of the first ones, one for an event or signal.
    """
    from matplotlib.patches import Rectangle

    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()
    margin_x, margin_y = (0.003, 0.004) if signals else (0.008, 0.008)
    margin_x, margin_y = margin_x * (high - low), margin_y * (bottom - top)
    labels: dict[str, Label] = {}
    for item in items:
        if any(item.get(key) is None for key in (keys.FREQ_CENTER_HZ, keys.SAMPLE_START, keys.SAMPLE_COUNT)):
            continue
        rate_hz = _rate_at(segments, item[keys.SAMPLE_START])
        width = (item.get(keys.BANDWIDTH_HZ) or 0.0) / 1e6 + 2 * margin_x
        height = item[keys.SAMPLE_COUNT] / rate_hz + 2 * margin_y
        x, y = item[keys.FREQ_CENTER_HZ] / 1e6 - width / 2, item[keys.SAMPLE_START] / rate_hz - margin_y
        color, thick = (SIGNAL_COLOR, 0.8) if signals else (threat_color(item), 1.4)
        axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor="black", linewidth=thick + 1.2))
        axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=color, linewidth=thick))
        kind = f"{item[keys.ALERT]}, " if item.get(keys.ALERT) else ""
        text = signal_label(item) if signals else kind + event_label(item)
        identity = str(item.get(keys.SIGNAL_ID if signals else keys.EVENT_ID))
        labels.setdefault(identity, Label(text, x, x + width, y, y + height, color))
    return list(labels.values())[:MAX_SIGNAL_LABELS if signals else MAX_LABELS]


def _rate_at(segments: list[WaterfallSegment], sample: int) -> float:
    before = [segment for segment in segments if segment.start_sample <= sample]
    return (before or segments[:1])[-1].rate_hz
