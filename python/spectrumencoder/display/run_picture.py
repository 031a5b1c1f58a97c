# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a run: waterfall and residual over absolute frequency and time, with a box around every transmission."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from .. import keys
from ..atomic_file import write_file
from .appearance import event_label, threat_color
from .track_picture import draw_emissions
from .waterfall import Waterfall, WaterfallSegment

MAX_BOXES = 200  # the most certain ones; more boxes would hide what they mark
MAX_LABELS = 12


def save_plot(path: Path, waterfall: Waterfall, events: list[dict], title: str, tracks: list[dict] = ()):
    """Writes the picture (PNG) atomically.

    Args:
        waterfall: the spectra that the run collected.
        events: dicts with the keys of keys.EVENT_FIELDS, one for each transmission. Those of one event have its event_id.
        title: one line.
        tracks: messages of spectral tracks, drawn over the waterfall. The events' timestamps place them in time.

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
    for axes in (left, right):
        _limits(axes, segments)
        _boxes(axes, segments, shown, labels=axes is left)
    dated = next((e for e in events if e.get(keys.TIMESTAMP) is not None and keys.SAMPLE_START in e), None)
    if tracks and dated is not None:
        limits = left.axis()
        draw_emissions(left, tracks,
                       dated[keys.TIMESTAMP] - dated[keys.SAMPLE_START] / _rate_at(segments, dated[keys.SAMPLE_START]))
        left.axis(limits)
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
    for segment in segments:
        rows = np.asarray(getattr(segment, field))
        image = axes.imshow(rows, aspect="auto", interpolation="nearest", cmap=colors, vmin=low, vmax=high,
                            extent=_extent(segment))
    axes.set_facecolor("0.9")
    axes.set_xlabel("frequency (MHz)" if any(s.center_hz for s in segments) else "offset from centre frequency (MHz)")
    axes.ticklabel_format(useOffset=False, axis="x")
    axes.set_title(label, fontsize=11, loc="left")
    figure.colorbar(image, ax=axes, pad=0.01, fraction=0.04, aspect=50)


def _extent(segment: WaterfallSegment) -> tuple[float, float, float, float]:
    half_hz = segment.rate_hz / 2
    half_bin = segment.rate_hz / len(segment.psd[0]) / 2  # bins are centred on their frequency
    left, right = segment.center_hz - half_hz - half_bin, segment.center_hz + half_hz - half_bin
    return left / 1e6, right / 1e6, segment.stop_sample / segment.rate_hz, segment.start_sample / segment.rate_hz


def _limits(axes, segments: list[WaterfallSegment]):
    extents = np.array([_extent(segment) for segment in segments])
    axes.set_xlim(extents[:, 0].min(), extents[:, 1].max())
    axes.set_ylim(extents[:, 2].max(), extents[:, 3].min())


def _boxes(axes, segments: list[WaterfallSegment], events: list[dict], *, labels: bool):
    """A box around every transmission with a margin, so that what it marks is seen in it however small it is.

    The first ones have a label, one for an event.
    """
    from matplotlib.patches import Rectangle

    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()
    margin_x, margin_y = 0.008 * (high - low), 0.008 * (bottom - top)
    labelled: set[str] = set()
    for event in events:
        if any(event.get(key) is None for key in (keys.FREQ_CENTER_HZ, keys.SAMPLE_START, keys.SAMPLE_COUNT)):
            continue
        rate_hz = _rate_at(segments, event[keys.SAMPLE_START])
        width = (event.get(keys.BANDWIDTH_HZ) or 0.0) / 1e6 + 2 * margin_x
        height = event[keys.SAMPLE_COUNT] / rate_hz + 2 * margin_y
        x, y = event[keys.FREQ_CENTER_HZ] / 1e6 - width / 2, event[keys.SAMPLE_START] / rate_hz - margin_y
        color = threat_color(event)
        axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor="black", linewidth=2.6))
        axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=color, linewidth=1.4))
        identity = str(event.get(keys.EVENT_ID))
        if labels and len(labelled) < MAX_LABELS and identity not in labelled:
            labelled.add(identity)
            over = y - top > 0.08 * (bottom - top)
            right_half = x + width / 2 > (low + high) / 2
            corner = min(x + width, high) if right_half else max(x, low), y if over else y + height
            kind = f"{event[keys.ALERT]}, " if event.get(keys.ALERT) else ""
            axes.annotate(kind + event_label(event), corner,
                          xytext=(0, 4 if over else -4), textcoords="offset points", fontsize=8, color="white",
                          va="bottom" if over else "top", ha="right" if right_half else "left",
                          bbox={"facecolor": "black", "alpha": 0.65, "edgecolor": color, "linewidth": 0.6, "pad": 2})


def _rate_at(segments: list[WaterfallSegment], sample: int) -> float:
    before = [segment for segment in segments if segment.start_sample <= sample]
    return (before or segments[:1])[-1].rate_hz
