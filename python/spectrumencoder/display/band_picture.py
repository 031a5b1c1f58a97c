# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a survey: the spectrum of the whole band with its signals named, and when each of them was on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import keys
from ..emitters.listing import count
from ..encoder.token_classes import UNKNOWN_SIGNAL
from .appearance import signal_label
from .band_spectrum import BandSpectrum, Piece
from .labels import Label, draw_labels
from .picture_file import new_figure, picture_format, save, settle

_COLORS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#e377c2", "#8c564b", "#bcbd22", "#3b5bdb")
_UNKNOWN_COLOR = "#707070"
_MIN_SHARE = 0.002  # of an axis that a box takes at least, to be seen


def save_band(path: Path, spectrum: BandSpectrum, rows: list[dict], bursts: list[dict], title: str, samp_rate: float):
    """Writes the picture (PNG, PDF or SVG by its suffix) atomically.

    Args:
        spectrum: of the band. rows: of its signals, with the keys of keys.SIGNAL_FIELDS. bursts: their messages, the last one of
            each burst. title: one line. samp_rate: samples per second, by which sample numbers become times.

    Raises:
        ValueError: the suffix is of no such format. OSError: the file cannot be written.
    """
    picture_format(path)
    figure = new_figure(16, 9)
    top, low = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    figure.suptitle(title, fontsize=13, x=0.01, ha="left")
    colors = colors_of(rows)
    pieces = spectrum.pieces()
    draw_spectrum(top, pieces)
    labels = draw_signals(top, pieces, rows, colors)
    _draw_bursts(low, bursts, {row[keys.SIGNAL_ID]: row for row in rows}, colors, samp_rate)
    relative = any(row.get(keys.FREQ_RELATIVE) for row in rows)
    low.set_xlabel("offset from centre frequency (MHz)" if relative else "frequency (MHz)")
    low.ticklabel_format(useOffset=False, axis="x")
    settle(figure)
    missing = len(labels) - draw_labels(top, labels)
    if missing:
        top.set_title(labels_left_out(missing), fontsize=9, loc="right")
    save(figure, path)


def labels_left_out(number: int) -> str:
    """The line about labels that have no room."""
    return f"{count(number, 'label')} left out for lack of room"


def colors_of(rows: list[dict]) -> dict[str, str]:
    """A colour for each class; gray for what is unknown."""
    names = sorted({row[keys.LABEL] for row in rows} - {UNKNOWN_SIGNAL})
    return {name: _COLORS[n % len(_COLORS)] for n, name in enumerate(names)} | {UNKNOWN_SIGNAL: _UNKNOWN_COLOR}


def draw_spectrum(axes, pieces: list[Piece]):
    """Maximum and mean of each piece, with room for labels above."""
    highest, lowest = -200.0, 0.0
    for number, piece in enumerate(pieces):
        frequency = piece.frequencies_hz / 1e6
        axes.plot(frequency, piece.max_db, color="#b8c4d6", linewidth=0.8, label="maximum" if not number else None)
        axes.plot(frequency, piece.mean_db, color="#24476b", linewidth=0.9, label="mean" if not number else None)
        highest, lowest = max(highest, float(piece.max_db.max())), min(lowest, float(np.percentile(piece.mean_db, 5.0)))
    axes.set_xlim(pieces[0].frequencies_hz[0] / 1e6, max(piece.frequencies_hz[-1] for piece in pieces) / 1e6)
    span = max(highest - lowest, 10.0)
    axes.set_ylim(lowest - 0.1 * span, highest + 0.5 * span)  # room for the labels
    axes.set_ylabel("power (dBFS per bin)")
    axes.grid(alpha=0.2)
    axes.legend(loc="lower right", fontsize=8, ncols=2)


def draw_signals(axes, pieces: list[Piece], rows: list[dict], colors: dict[str, str]) -> list[Label]:
    """Shades the place of each signal; returns the labels, the strongest first."""
    low, high = axes.get_xlim()
    bottom, _ = axes.get_ylim()
    labels = []
    for row in sorted(rows, key=lambda row: -row[keys.POWER_DBFS]):
        half = max(0.5 * row[keys.BANDWIDTH_HZ] / 1e6, 0.5 * _MIN_SHARE * (high - low))
        middle, color = row[keys.FREQ_CENTER_HZ] / 1e6, colors[row[keys.LABEL]]
        axes.axvspan(middle - half, middle + half, color=color, alpha=0.22, linewidth=0)
        peak = max((float(piece.max_db[part].max()) for piece in pieces
                    if (part := np.abs(piece.frequencies_hz / 1e6 - middle) <= half).any()), default=bottom)
        labels.append(Label(f"{signal_label(row)}\n{_place(row)}", middle - half, middle + half, bottom, peak, color))
    return labels


def _place(row: dict) -> str:
    hz = row[keys.FREQ_CENTER_HZ]
    return f"{hz / 1e3:+.1f} kHz" if row.get(keys.FREQ_RELATIVE) else f"{hz / 1e6:.3f} MHz"


def _draw_bursts(axes, bursts: list[dict], rows: dict[int, dict], colors: dict[str, str], samp_rate: float):
    """A box for each burst over frequency and time, which runs downwards."""
    from matplotlib.patches import Rectangle
    low, high = axes.get_xlim()
    ends = [(b[keys.SAMPLE_START] + b[keys.SAMPLE_COUNT]) / samp_rate for b in bursts]
    until = max(ends, default=1.0)
    for burst in bursts:
        begin, long = burst[keys.SAMPLE_START] / samp_rate, burst[keys.SAMPLE_COUNT] / samp_rate
        width = max(burst[keys.BANDWIDTH_HZ] / 1e6, _MIN_SHARE * (high - low))
        color = colors.get(burst[keys.LABEL], _UNKNOWN_COLOR)
        corner = burst[keys.FREQ_CENTER_HZ] / 1e6 - width / 2, begin
        axes.add_patch(Rectangle(corner, width, max(long, 0.004 * until), color=color, alpha=0.75, linewidth=0))
    axes.set_ylim(until, 0.0)
    axes.set_xlim(low, high)
    axes.set_ylabel("time (s)")
    axes.grid(alpha=0.2)
