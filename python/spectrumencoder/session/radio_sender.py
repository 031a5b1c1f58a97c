# SPDX-License-Identifier: GPL-3.0-or-later
"""radio_sender: sends what a radio gives out of its process; see ``radio_process``."""

from __future__ import annotations

import time

import numpy as np
import pmt
from gnuradio import gr

from .. import keys
from ..blocks.messages import MalformedMessage, kind
from ..blocks.safe_block import SafeBlock, handler
from ..blocks.tags import tag_key
from .radio_process import Piece

_TAGS = (keys.RX_TIME, keys.RX_FREQ, keys.RX_RATE)


class radio_sender(SafeBlock, gr.sync_block):
    """Sink of complex samples. Message input `status`: dicts, which are sent, too.

    Args:
        send: called with each ``Piece``, and with each status as bytes of a PMT.

    Attributes: n_samples: sent so far.
    """

    def __init__(self, send):
        gr.sync_block.__init__(self, "radio_sender", [np.complex64], None)
        self.init_safe_block()
        self._send = send
        self.n_samples = 0
        self.add_input_port(keys.STATUS, self.handle_status)

    def _work(self, input_items, output_items):
        samples = input_items[0]
        begin = self.nitems_read(0)
        tags = [(tag.offset - begin, tag_key(tag), pmt.serialize_str(tag.value))
                for tag in self.get_tags_in_window(0, 0, len(samples)) if tag_key(tag) in _TAGS]
        self._send(Piece(samples.tobytes(), tags, time.time()))
        self.n_samples += len(samples)
        return len(samples)

    @handler
    def handle_status(self, message):
        if not pmt.is_dict(message):
            raise MalformedMessage(f"wants a status, got {kind(message)}")
        self._send(pmt.serialize_str(message))
