# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of the experiments: one look, drawn without a display, written whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path

from ..atomic_file import write_file


def figure(columns: int = 1, *, width: float = 5.0, height: float = 3.8):
    """A figure with `columns` axes side by side; gives it and the list of axes."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width * columns, height), layout="constrained")
    axes = fig.subplots(1, columns, squeeze=False)[0]
    for axis in axes:
        axis.grid(alpha=0.3)
    return fig, list(axes)


def finish(fig, path: Path) -> None:
    """Writes the figure as PNG."""
    content = io.BytesIO()
    fig.savefig(content, format="png", dpi=110, metadata={"Software": None})
    write_file(path, content.getvalue())
