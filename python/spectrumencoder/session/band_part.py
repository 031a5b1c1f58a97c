# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a survey: collects spectra while a flowgraph runs, and draws them with the signals."""

from __future__ import annotations

from pathlib import Path

from ..atomic_file import cannot_write
from .errors import SessionError


class BandPart:
    """Connects a collector of spectra to a flowgraph; draws at the end. path: of the picture."""

    def __init__(self, path: Path):
        self._path, self._probe = path, None

    def __call__(self, flowgraph) -> list:
        from .band_probe import band_probe
        source = flowgraph.source
        self._probe = band_probe(flowgraph.monitor.fft_size, source.samp_rate, source.center_freq, flowgraph.settings.usable)
        flowgraph.top.connect((flowgraph.monitor, 0), self._probe)
        return [self._probe]

    def save(self, flowgraph) -> None:
        """Draws the picture, if there was a frame.

        Raises:
            SessionError: it cannot be written.
        """
        from ..display.band_picture import save_band
        from ..emitters.listing import plain
        rows = flowgraph.signals or []
        if self._probe.spectrum.n_frames == 0:
            return
        title = f"{flowgraph.source.name}: {len(rows)} signals in {plain(flowgraph.seconds)} s, model {flowgraph.model_name}"
        try:
            save_band(self._path, self._probe.spectrum, rows, flowgraph.probe.boxes, title, flowgraph.source.samp_rate)
        except OSError as error:
            raise SessionError(cannot_write(self._path, error)) from error
