# SPDX-License-Identifier: GPL-3.0-or-later
"""sweep_log: what the command line writes the rows of `band_scanner` with: a JSON line per sweep, the spectrum in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pmt
from gnuradio import gr

from .. import keys
from ..blocks.messages import MalformedMessage, kind, metadata, whole
from ..blocks.safe_block import SafeBlock, handler
from ..display.appearance import number
from ..display.sweep_rows import SweepRows
from ..lines_file import LinesFile, close, finite

ROW = "power_dbfs"


class sweep_log(SafeBlock, gr.basic_block):
    """Sink of the message input `sweeps`.

    Args:
        file: path, written after what it holds; "" counts only. max_mb: see ``event_log``. keep: keep the rows for a
            picture.

    Attributes: n_sweeps: rows received; n_hops, sample_count, dwell_samples: sums over all rows; rows: a ``SweepRows``, or None.
    """

    def __init__(self, file: str = "", max_mb: float = 0.0, keep: bool = False):
        gr.basic_block.__init__(self, "sweep_log", None, None)
        self.init_safe_block()
        self._path, self._file, self._max_bytes = Path(file) if file else None, None, round(max_mb * 1e6)
        self.n_sweeps = self.n_hops = self.sample_count = self.dwell_samples = 0
        self.rows = SweepRows() if keep else None
        self.add_input_port(keys.SWEEPS, self.handle_sweep)

    def _start(self):
        self._open()

    def _open(self):
        if self._path is not None and self._file is None:
            self._file = LinesFile(self._path, max_bytes=self._max_bytes)

    def _stop(self):
        file, self._file = self._file, None
        close(file)

    @handler
    def handle_sweep(self, message):
        if not pmt.is_pair(message) or not pmt.is_f32vector(pmt.cdr(message)):
            raise MalformedMessage(f"wants a PDU of floats, got {kind(message)}")
        fields = metadata(message)
        hops, samples, dwell = (whole(fields, key) for key in (keys.HOPS, keys.SAMPLE_COUNT, keys.DWELL_SAMPLES))
        self.n_sweeps += 1
        self.n_hops += hops
        self.sample_count += samples
        self.dwell_samples += dwell
        if self.rows is not None:
            start_hz, bin_hz = (number(fields.get(key)) for key in (keys.FREQ_START_HZ, keys.BIN_WIDTH_HZ))
            if start_hz is None or not bin_hz:
                raise MalformedMessage(f"wants {keys.FREQ_START_HZ} and {keys.BIN_WIDTH_HZ}, got {', '.join(fields)[:80]}")
            self.rows.add(np.array(pmt.f32vector_elements(pmt.cdr(message)), np.float32), start_hz, bin_hz,
                          whole(fields, keys.SAMPLE_START), samples)
        self._open()
        if self._file is not None:
            row = [round(value, 2) for value in pmt.f32vector_elements(pmt.cdr(message))]
            self._file.write(json.dumps(finite(fields | {ROW: row}), allow_nan=False, default=str))
