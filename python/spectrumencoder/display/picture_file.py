# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of pictures: PNG, PDF or SVG by the suffix, written whole or not at all; the figure, and the legend below its axes."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from ..atomic_file import write_file

DPI = 120
_FORMATS = {"": "png", ".png": "png", ".pdf": "pdf", ".svg": "svg"}
_METADATA = {"png": {"Software": "gr-spectrumencoder"}, "pdf": {"Creator": "gr-spectrumencoder", "CreationDate": None},
             "svg": {"Creator": "gr-spectrumencoder", "Date": None}}


def picture_format(path: Path) -> str:
    """The format that a file's suffix names; PNG without one.

    Raises:
        ValueError: it names none of ours.
    """
    form = _FORMATS.get(path.suffix.lower())
    if form is None:
        raise ValueError(f"{path}: pictures are PNG, PDF or SVG; name a file that ends in .png, .pdf or .svg")
    return form


def new_figure(width: float, height: float):
    """A figure of some inches that lays itself out; ``settle`` ends that."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def settle(figure):
    """Lays the figure out for good, so that labels can be placed."""
    figure.canvas.draw()
    figure.set_layout_engine("none")


def box_key(color: str, text: str):
    """An entry of the legend: a box of this colour."""
    from matplotlib.patches import Patch
    return Patch(facecolor="none", edgecolor=color, linewidth=1.6, label=text)


def area_key(color: str, text: str):
    """An entry of the legend: an area of this colour."""
    from matplotlib.patches import Patch
    return Patch(facecolor=color, edgecolor="0.4", linewidth=0.5, label=text)


def line_key(style: str, color: str, text: str):
    """An entry of the legend: a line."""
    from matplotlib.lines import Line2D
    return Line2D([], [], linestyle=style, color=color, label=text)


def words_key(text: str):
    """An entry of the legend without a sign."""
    from matplotlib.lines import Line2D
    return Line2D([], [], linestyle="none", label=text)


def add_legend(axes, entries: Iterable, below: float = 0.07):
    """Puts a legend below the axes, by that share of their height, in place of the one that is there. The first call comes
    before ``settle``, with the widest entries that there may be."""
    entries = list(entries)
    if entries:
        axes.legend(handles=entries, loc="upper left", bbox_to_anchor=(0.0, -below), ncols=min(4, len(entries)), fontsize=8.5,
                    frameon=True, facecolor="0.65", borderaxespad=0.0)
    elif axes.get_legend() is not None:
        axes.get_legend().remove()


def save(figure, path: Path):
    """Writes the figure atomically.

    Raises:
        ValueError: see ``picture_format``. OSError: the file cannot be written.
    """
    form, content = picture_format(path), io.BytesIO()
    figure.savefig(content, format=form, dpi=DPI, metadata=_METADATA[form])
    write_file(path, content.getvalue())
