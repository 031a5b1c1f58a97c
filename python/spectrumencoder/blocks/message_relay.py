# SPDX-License-Identifier: GPL-3.0-or-later
"""message_relay: passes messages on. It stands between a message input of a hier block and the stages; see spectrum_monitor."""

from __future__ import annotations

import pmt
from gnuradio import gr

from .safe_block import SafeBlock, handler

IN, UNTIL, OUT = "in", "until", "out"
_OUT = pmt.intern(OUT)


class message_relay(SafeBlock, gr.basic_block):
    """Every message that comes on `in` leaves on `out`.

    What comes on `until` is left alone. GNU Radio ends a block without streams when a block that sends to it has ended: connect
    one of the flowgraph there, since nothing may be connected to `in`.
    """

    def __init__(self):
        gr.basic_block.__init__(self, "message_relay", None, None)
        self.init_safe_block()
        self.message_port_register_out(_OUT)
        self.add_input_port(IN, self.handle_message)
        self.add_input_port(UNTIL, self.handle_until)

    @handler
    def handle_message(self, message):
        self.message_port_pub(_OUT, message)

    @handler
    def handle_until(self, message):
        pass
