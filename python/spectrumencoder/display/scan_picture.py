# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a scan: for each range the spectrum of all sweeps with its signals named, and the sweeps as a waterfall."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .. import keys
from ..emitters.listing import count
from .appearance import event_kind, event_label, same_place, threat_color
from .band_picture import colors_of, draw_signals, draw_spectrum, labels_left_out
from .grouping import join_by_signal
from .labels import Label, draw_labels
from .picture_file import add_legend, box_key, line_key, new_figure, picture_format, save, settle, words_key
from .sweep_rows import RangeRows, SweepRows

MAX_PANELS = 6  # ranges side by side
MAX_BOXES, MAX_LABELS = 200, 24
_BELOW = 0.14  # of the lower panels' height: the legend below them


def save_scan(path: Path, sweeps: SweepRows, events: list[dict], listed: list[dict], title: str, samp_rate: float,
              seams_hz: Iterable[float] = ()):
    """Writes the picture (PNG, PDF or SVG by its suffix) atomically.

    A signal where an event is has the event's label alone.

    Args:
        sweeps: that the scan collected. events: dicts with the keys of keys.EVENT_FIELDS, one for each transmission. listed: rows
            of the list of signals. title: one line. samp_rate: samples per second. seams_hz: where hops join.

    Raises:
        ValueError: there is no sweep, or the suffix is of no such format. OSError: the file cannot be written.
    """
    picture_format(path)
    ranges = sweeps.ranges()
    if not ranges:
        raise ValueError(f"nothing to plot in {path}: the scan ended before its first sweep")
    events = join_by_signal(events, listed)
    panels, more = ranges[:MAX_PANELS], len(ranges) - MAX_PANELS
    figure = new_figure(16, 9.5)
    spans = [one.edges_hz[1] - one.edges_hz[0] for one in panels]
    grid = figure.subplots(2, len(panels), sharex="col", sharey="row", squeeze=False, height_ratios=(5, 4),
                           width_ratios=[max(span, 0.22 * max(spans)) for span in spans])
    figure.suptitle(title + (f"; {count(more, 'range')} more, not drawn" if more > 0 else ""), fontsize=13, x=0.01, ha="left")
    colors, limits = colors_of(listed), _levels(panels)
    labels, kinds, ends = [], {}, []
    for column, (rows, (upper, lower)) in enumerate(zip(panels, grid.T, strict=True)):
        pieces = [rows.piece()]
        draw_spectrum(upper, pieces)
        ends.append(upper.get_ylim())
        for seam in seams_hz:
            upper.axvline(seam / 1e6, color="0.85", linewidth=0.8, zorder=0)
        upper.set_xlim(*(edge / 1e6 for edge in rows.edges_hz))
        inside = [row for row in listed if rows.edges_hz[0] <= row[keys.FREQ_CENTER_HZ] <= rows.edges_hz[1]]
        of_signals = draw_signals(upper, pieces, [row for row in inside if not any(same_place(row, one) for one in events)],
                                  colors)
        image = _draw_rows(lower, rows, samp_rate, limits)
        of_events = _draw_events(lower, rows, events, samp_rate, kinds)
        lower.set_xlabel("frequency (MHz)")
        lower.ticklabel_format(useOffset=False, axis="x")
        labels += [(upper, of_signals), (lower, of_events)]
        if column:
            upper.set_ylabel("")
            upper.get_legend().remove()
    grid[0][0].set_ylim(min(low for low, _ in ends), max(high for _, high in ends))
    grid[1][0].set_ylabel("time (s)")
    grid[1][0].set_ylim(max(rows.stop for rows in panels) / samp_rate, min(rows.starts[0] for rows in panels) / samp_rate)
    figure.colorbar(image, ax=list(grid[1]), pad=0.01, fraction=0.04, aspect=30, label="dBFS per bin")
    known = [box_key(color, text) for text, color in kinds.items()]
    known += [line_key("-", "0.85", "where hops join")] if seams_hz else []
    n_labels = sum(len(some) for _, some in labels)
    add_legend(grid[1][0], known + ([words_key(labels_left_out(n_labels))] if n_labels else []), _BELOW)
    settle(figure)
    missing = n_labels - sum(draw_labels(axes, some) for axes, some in labels)
    add_legend(grid[1][0], known + ([words_key(labels_left_out(missing))] if missing else []), _BELOW)
    save(figure, path)


def _levels(panels: list[RangeRows]) -> tuple[float, float]:
    """Colour limits in dB, from just under the floor to the maximum, at least 10 dB apart."""
    values = np.concatenate([np.ravel(rows.rows) for rows in panels])
    low, high = np.percentile(values, 5.0) - 2.0, np.percentile(values, 99.9) + 1.0
    return float(low), float(max(high, low + 10.0))


def _draw_rows(axes, rows: RangeRows, samp_rate: float, limits: tuple[float, float]):
    """The sweeps, each from its first sample to that of the next."""
    values = np.array(rows.rows)
    low, high = (edge / 1e6 for edge in rows.edges_hz)
    seconds = np.array([*rows.starts, rows.stop]) / samp_rate
    return axes.pcolorfast(np.linspace(low, high, values.shape[1] + 1), seconds, values, cmap="viridis", vmin=limits[0],
                           vmax=limits[1])


def _draw_events(axes, rows: RangeRows, events: list[dict], samp_rate: float, kinds: dict[str, str]) -> list[Label]:
    """A box around each transmission in this range; the labels, one for each event. kinds takes the colour of each kind."""
    from matplotlib.patches import Rectangle

    low, high = rows.edges_hz
    margin_x, margin_y = 0.004 * (high - low) / 1e6, 0.008 * (rows.stop - rows.starts[0]) / samp_rate
    labels: dict[str, Label] = {}
    for event in events[:MAX_BOXES]:
        center, start, length = (event.get(key) for key in (keys.FREQ_CENTER_HZ, keys.SAMPLE_START, keys.SAMPLE_COUNT))
        if center is None or start is None or not low <= center <= high:
            continue
        color = threat_color(event)
        kinds.setdefault(event_kind(event), color)
        half = (event.get(keys.BANDWIDTH_HZ) or 0.0) / 2e6 + margin_x
        x, y, tall = center / 1e6 - half, start / samp_rate - margin_y, (length or 0) / samp_rate + 2 * margin_y
        axes.add_patch(Rectangle((x, y), 2 * half, tall, fill=False, edgecolor="black", linewidth=2.6))
        axes.add_patch(Rectangle((x, y), 2 * half, tall, fill=False, edgecolor=color, linewidth=1.4))
        labels.setdefault(str(event.get(keys.EVENT_ID)), Label(event_label(event), x, x + 2 * half, y, y + tall, color))
    return list(labels.values())[:MAX_LABELS]
