# SPDX-License-Identifier: GPL-3.0-or-later
"""The `encoded` port of ``spectrum_encoder``: places every frame by its tags, forms groups, makes PDUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import keys
from ..encoder.grouping import GroupBuilder, Place
from ..encoder.pdu import unpack
from ..encoder.quantise import Codec
from ..tokens import layout
from . import messages
from .tags import known_freq

if TYPE_CHECKING:
    from ..encoder.engine import EncodedFrames, Engine


class EncodedOutput:
    """Converts the frames of a batch and their tags to PDUs. An invalid tag is treated as absent (the block counts it).

    Args:
        engine: supplies model file and variant. size, step: see GroupBuilder.
    """

    def __init__(self, engine: Engine, size: int, step: float):
        self._engine, self._layout = engine, engine.layout
        self.builder = GroupBuilder(Codec(engine.file), size, step)
        self.restart()

    def restart(self):
        """Resets at a new start of the flowgraph: samples count from 0, no tag has been seen."""
        self.builder.clear()
        self.n_pdus = self.n_bytes = 0
        self._freq = self._rate = self._hop = None
        self._time: tuple[float, int] | None = None  # POSIX s, and the sample that it is of
        self._next_sample = 0

    def add(self, tags: dict[int, dict], items: np.ndarray, encoded: EncodedFrames, bands: list[str], n_skipped: int) -> list:
        """The PMTs to publish.

        Args:
            tags: {frame of the batch: {key: value}}, of ``frame_tags``. items: (F, item_size) of the whole batch.
            encoded: of those not skipped. bands: of the whole batch. n_skipped: frames at its front that were not encoded.
        """
        tokens, side = self._layout.split(items)
        places = [self._place(tags.get(frame, {}), side[frame], bands[frame]) for frame in range(len(items))]
        level = tokens[n_skipped:, :, :-2].reshape(-1, self._layout.fft_size)
        data = self.builder.flush() if n_skipped else []
        return self._pdus(data + self.builder.add(encoded, level, side[n_skipped:], places[n_skipped:]))

    def flush(self) -> list:
        """The PMT of the last, partial group."""
        return self._pdus(self.builder.flush())

    def _place(self, tags: dict, side: np.ndarray, band: str) -> Place:
        self._freq = known_freq(tags.get(keys.RX_FREQ), self._freq or 0.0)
        before, self._rate = self._rate, tags.get(keys.RX_RATE, self._rate)
        self._hop = tags.get(keys.FRAME_HOP, self._hop)
        start = tags.get(keys.FRAME_START, self._next_sample)
        time = tags.get(keys.RX_TIME)
        if time is not None:
            self._time = time, start
        elif self._time is not None and before and self._rate != before:  # time continues from its value at the change of rate
            self._time = self._time[0] + (start - self._time[1]) / before, start
        rate = self._rate or float(side[layout.BIN_WIDTH_HZ]) * self._layout.fft_size
        hop = int(self._hop or side[layout.K_EFF] * self._layout.fft_size)
        when = None if self._time is None else self._time[0] + (start - self._time[1]) / rate
        self._next_sample = start + hop
        return Place(start, hop, rate, self._freq, when, band, self._engine.variant)

    def _pdus(self, data: list[bytes]) -> list:
        self.n_pdus += len(data)
        self.n_bytes += sum(map(len, data))
        return [messages.bytes_pdu(self._metadata(one), one) for one in data]

    def _metadata(self, data: bytes) -> dict:
        """The metadata of a PDU, for routing it without decoding. Its bytes hold the same."""
        header, _, _ = unpack(data)
        known = {keys.RX_FREQ: header.rx_freq, keys.TIMESTAMP: header.rx_time}
        return {keys.MODEL: self._engine.file.name, keys.FRAMES: header.n_frames, keys.FRAME_START: header.frame_start,
                keys.FRAME_HOP: header.frame_hop, keys.RX_RATE: header.rx_rate,
                **{key: value for key, value in known.items() if value is not None}}
