# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: `encoded` PDUs in, spectra out, by ``encoder.quantise``."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
import pmt
from gnuradio import gr

from .. import keys
from ..encoder.model_file import find_model, load
from ..encoder.pdu import CodecError, GroupHeader
from ..encoder.quantise import Codec, DecodedGroup
from . import messages
from .safe_block import WORK_DONE, SafeBlock, handler

_IDLE_S = 0.005  # GNU Radio calls an idle source again at once
_LINGER_S = 0.3  # messages that neighbours publish in stop arrive after their end was signalled
_SYSTEM, _DONE = pmt.intern("system"), pmt.intern("done")


class spectrum_decoder(SafeBlock, gr.sync_block):
    """Decodes the PDUs of ``spectrum_encoder`` to spectra, in the order of arrival.

    Message input `encoded`: PDUs of bytes (u8vector; the dict is not needed). Output 0: fft_size floats per frame, dBFS.
    Message output: `status`.

    The tags of ``fft_tokenizer`` come at the first frame and at each change or gap: ``rx_freq``, ``rx_rate``,
    ``rx_time`` (as far as known), ``frame_start``, ``frame_hop``, ``frame_average``. The encoder's ``label`` (symbol) and
    ``confidence`` (double) come when they change, if the PDUs hold classes. A PDU that is truncated, damaged, of an unknown
    version or of another model is counted in ``malformed``, logged and published on `status`. The next one decodes.

    Args:
        model: name of a shipped model, or path of a .safetensors file: the one that encoded.
        fft_size: must be the model's.
        min_output_buffer: items.

    Raises:
        ModelError: the model file is missing or invalid.
        ValueError: fft_size is not the model's, or min_output_buffer out of range.
    """

    def __init__(self, model: str = "base", fft_size: int = 1024, min_output_buffer: int = 64) -> None:
        gr.sync_block.__init__(self, "spectrum_decoder", None, [(np.float32, fft_size)])
        self.init_safe_block()
        file = load(find_model(model))
        wanted = file.contract["encoder"]["fft_size"]
        if fft_size != wanted:
            raise ValueError(f"fft_size is {fft_size}, the model {file.name} was trained with {wanted}; set it so, or choose "
                             "another model")
        if not 1 <= min_output_buffer <= 1 << 20:
            raise ValueError(f"min_output_buffer {min_output_buffer} items is outside 1..{1 << 20}")
        self.codec = Codec(file)
        self.set_min_output_buffer(int(min_output_buffer))
        self.set_msg_handler(_SYSTEM, self.handle_system)
        self.add_input_port(keys.ENCODED, self.handle_encoded)
        self._forget()

    def counters(self):
        return {keys.FRAMES: self.n_frames, keys.ENCODED_PDUS: self.n_pdus, keys.ENCODED_BYTES: self.n_bytes,
                keys.WAITING_PDUS: len(self._waiting)}

    def _forget(self):
        self._waiting: deque[bytes] = deque()
        self._group: DecodedGroup | None = None
        self._given = 0  # frames of the group that have gone out
        self._last: GroupHeader | None = None  # of the previous group
        self._last_tags = {keys.LABEL: None, keys.CONFIDENCE: None}  # of the last frame output
        self._ended_at: float | None = None
        self.n_frames = self.n_pdus = self.n_bytes = 0

    def _start(self):
        self._forget()
        self.publish_status("running", f"model {self.codec.file.name}")

    def _stop(self):
        self.publish_status("stopped")

    @handler
    def handle_encoded(self, message):
        self._waiting.append(messages.pdu_bytes(message))
        if self._ended_at is not None:
            self._ended_at = time.monotonic()

    def handle_system(self, message):
        """The neighbours are done: end once everything that has come is decoded, and a moment has passed."""
        if pmt.is_pair(message) and pmt.eqv(pmt.car(message), _DONE):
            self._ended_at = time.monotonic()
        else:
            self._count_malformed("system", messages.MalformedMessage(f"wants (done . 1), got {messages.kind(message)}"))

    def _work(self, input_items, output_items):
        out, given = output_items[0], 0
        while given < len(out) and self._next_group():
            take = min(len(out) - given, len(self._group.spectra) - self._given)
            out[given:given + take] = self._group.spectra[self._given:self._given + take]
            self._tag(self.nitems_written(0) + given, self._given, take)
            given, self._given = given + take, self._given + take
        self.n_frames += given
        if given:
            return given
        if self._ended_at is not None and time.monotonic() - self._ended_at > _LINGER_S:
            return WORK_DONE
        time.sleep(_IDLE_S)
        return 0

    def _next_group(self) -> bool:
        """True if a frame is ready; decodes the next PDU when the last one is used up."""
        while self._group is None or self._given == len(self._group.spectra):
            if self._group is not None:
                self._last, self._group = self._group.header, None
            if not self._waiting:
                return False
            data = self._waiting.popleft()
            try:
                self._group, self._given = self.codec.decode(data), 0
            except CodecError as error:
                self._count_malformed("decode", messages.MalformedMessage(str(error)))
                continue
            self.n_pdus += 1
            self.n_bytes += len(data)
        return True

    def _tag(self, offset: int, first: int, count: int):
        """Tags of frames [first, first + count) of the group, of which the first goes out at `offset`."""
        group = self._group
        assert group is not None  # a frame of it is going out
        header = group.header
        if first == 0 and not _follows(self._last, header):
            tags = {keys.RX_FREQ: header.rx_freq, keys.RX_RATE: header.rx_rate}
            for key, value in tags.items():
                if value is not None:
                    self.add_item_tag(0, offset, pmt.intern(key), pmt.from_double(value))
            if header.rx_time is not None:
                whole, fraction = divmod(header.rx_time, 1.0)
                self.add_item_tag(0, offset, pmt.intern(keys.RX_TIME),
                                  pmt.make_tuple(pmt.from_uint64(int(whole)), pmt.from_double(fraction)))
            for key, value in ((keys.FRAME_START, header.frame_start), (keys.FRAME_HOP, header.frame_hop),
                               (keys.FRAME_AVERAGE, header.average[0])):
                self.add_item_tag(0, offset, pmt.intern(key), pmt.from_uint64(value))
        if group.label is not None and group.confidence is not None:
            for frame in range(first, first + count):
                self._tell(offset + frame - first, {keys.LABEL: group.label[frame],
                                                    keys.CONFIDENCE: float(group.confidence[frame])})

    def _tell(self, offset: int, values: dict):
        """Tags the values that have changed since they were last sent."""
        for key, value in values.items():
            if value != self._last_tags[key]:
                self.add_item_tag(0, offset, pmt.intern(key), messages.to_pmt(value))
        self._last_tags = values


def _follows(last: GroupHeader | None, header: GroupHeader) -> bool:
    """True if the group continues the last one with nothing changed."""
    return last is not None and (last.rx_freq, last.rx_rate, last.frame_hop, last.average[-1]) == (
        header.rx_freq, header.rx_rate, header.frame_hop, header.average[0]) and (
        header.frame_start == last.frame_start + last.n_frames * last.frame_hop)
