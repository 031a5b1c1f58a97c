# SPDX-License-Identifier: GPL-3.0-or-later
"""iq_recorder: what the command line records a radio with: cf32 SigMF, with a capture at each tag."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from gnuradio import gr

from ..atomic_file import close_synced, write_file
from ..blocks.safe_block import WORK_DONE, SafeBlock
from ..blocks.tags import SampleTags
from ..recordings import DATA_SUFFIX


class iq_recorder(SafeBlock, gr.sync_block):
    """Writes ``count`` complex samples. A new capture begins at a tag that reports a jump in time or tuning.

    The metadata is written at the start, in case the recording does not reach its end, and again at the end.

    Args:
        meta: path of the .sigmf-meta.
        samp_rate, center_freq: Hz.
        count: number of samples.

    Attributes: n_samples: written so far.
    """

    def __init__(self, meta: str, samp_rate: float, center_freq: float, count: int):
        gr.sync_block.__init__(self, "iq_recorder", [np.complex64], None)
        self.init_safe_block()
        self._meta, self._rate, self._count = Path(meta), float(samp_rate), int(count)
        self._file = None
        self.n_samples = 0
        self._tags = SampleTags(self, self._rate)
        self._captures: dict[int, float | None] = {0: center_freq or None}

    def _start(self):
        self._write_meta()
        self._file = self._meta.with_suffix(DATA_SUFFIX).open("wb")

    def _stop(self):
        file, self._file = self._file, None
        if file is not None:
            close_synced(file)
            self._write_meta()

    def _work(self, input_items, output_items):
        n = min(len(input_items[0]), self._count - self.n_samples)
        if n <= 0:
            return WORK_DONE
        for cut in self._tags.take(self.get_tags_in_window(0, 0, n)):
            self._captures[cut.offset] = cut.center_freq
        input_items[0][:n].tofile(self._file)
        self.n_samples += n
        return n

    def _write_meta(self):
        captures = [{"core:sample_start": start} | ({} if freq is None else {"core:frequency": freq})
                    for start, freq in sorted(self._captures.items())]
        write_file(self._meta, (json.dumps({
            "global": {"core:datatype": "cf32_le", "core:sample_rate": self._rate, "core:version": "1.2.0",
                       "core:recorder": "gr-spectrumencoder"},
            "captures": captures, "annotations": []}, indent=1) + "\n").encode())
