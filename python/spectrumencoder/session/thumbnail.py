# SPDX-License-Identifier: GPL-3.0-or-later
"""The small picture of a recording: collects spectra and boxes while a flowgraph runs, and draws them at its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .. import keys
from .listening import SIGNALS

if TYPE_CHECKING:
    from ..recordings import Recording

MAX_ROWS = 320  # about the height of the picture, in pixels


class ThumbnailPart:
    """Connects a probe to a flowgraph; ``write`` then draws what it saw. path: of the picture (PNG)."""

    needs = frozenset({SIGNALS})

    def __init__(self, path: Path):
        self._path, self._probe = path, None

    def __call__(self, flowgraph) -> list:
        from .run_probe import run_probe
        source, monitor, top = flowgraph.source, flowgraph.monitor, flowgraph.top
        self._probe = run_probe(monitor.fft_size, source.samp_rate, source.center_freq, MAX_ROWS)
        top.connect((monitor, 0), (self._probe, 0))
        top.connect((monitor, 1), (self._probe, 1))
        top.msg_connect(monitor, keys.ANOMALIES, self._probe, keys.EVENTS)
        top.msg_connect(monitor, keys.SIGNALS, self._probe, keys.SIGNALS)
        return [self._probe]

    def write(self, recording: Recording) -> None:
        """Draws the picture, if there was a frame.

        Raises:
            OSError: it cannot be written.
        """
        from ..display.run_picture import save_thumbnail
        if self._probe.waterfall.rows():
            save_thumbnail(self._path, self._probe.waterfall, list(self._probe.transmissions.values()), self._probe.boxes)
