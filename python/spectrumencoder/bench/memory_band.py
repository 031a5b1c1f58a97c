# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples in memory as a source of a run, for ``session.flowgraph.run_source``: the counterpart of ``session.sources``."""

from __future__ import annotations

import numpy as np

from ..session.sources import RECORDING_BUFFER_FRAMES, RadioSource, RecordingSource, live_buffer_frames
from .memory_source import memory_source, paced_source


class _MemoryBand:
    recording, time_source, fault, freq_offset, notes, finite, reconnects = None, "tag", "", 0.0, (), True, None

    def __init__(self, block, samp_rate: float, center_freq: float, total: int, settings_of):
        self.name, self.block, self.watched = "band in memory", block, [block]
        self.samp_rate, self.center_freq, self.total = samp_rate, center_freq, total
        self.overload, self.pad_batch = settings_of.overload, settings_of.pad_batch

    def check(self, fft_size: int):
        """There are always samples enough."""

    def begin(self):
        """Nothing to prepare."""

    def ended(self) -> bool:
        """It ends by itself."""
        return False

    def buffer_frames(self, frame_hop: float) -> int:
        if self.overload == RecordingSource.overload:
            return RECORDING_BUFFER_FRAMES
        return live_buffer_frames(self.samp_rate, frame_hop)

    @property
    def n_samples(self) -> int:
        return self.block.n_samples


def unthrottled(iq: np.ndarray, samp_rate: float, center_freq: float, count: int) -> _MemoryBand:
    """`count` samples, with the settings of a recording."""
    return _MemoryBand(memory_source(iq, count), samp_rate, center_freq, count, RecordingSource)


def by_the_clock(iq: np.ndarray, samp_rate: float, center_freq: float, seconds: float) -> _MemoryBand:
    """`seconds` of samples, with the settings of a radio."""
    return _MemoryBand(paced_source(iq, samp_rate, center_freq, seconds), samp_rate, center_freq, round(samp_rate * seconds),
                       RadioSource)
