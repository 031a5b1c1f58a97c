# SPDX-License-Identifier: GPL-3.0-or-later
"""Small flowgraphs for the block tests: sources of frames and messages, collectors, and runs with a deadline."""

import time

import numpy as np
import pmt
from gnuradio import gr
from gnuradio.spectrumencoder.blocks.messages import metadata, to_pmt
from gnuradio.spectrumencoder.blocks.run_flowgraph import run_flowgraph
from gnuradio.spectrumencoder.blocks.safe_block import SafeBlock, handler


class frame_source(gr.sync_block):
    """Gives the rows of a float32 array, once or again and again, with tags {frame: {key: value or PMT}}."""

    def __init__(self, items, repeat=False, tags=None):
        gr.sync_block.__init__(self, "frame_source", None, [(np.float32, items.shape[1])])
        self.items, self.repeat, self.tags, self.position = items, repeat, tags or {}, 0

    def work(self, input_items, output_items):
        first = self.position % len(self.items)
        if self.position >= len(self.items) and not self.repeat:
            return -1
        count = min(len(output_items[0]), len(self.items) - first)
        output_items[0][:count] = self.items[first:first + count]
        for frame, tags in self.tags.items():
            if self.position <= frame < self.position + count:
                for key, value in tags.items():
                    pmt_value = value if isinstance(value, pmt.pmt_base) else to_pmt(value)
                    self.add_item_tag(0, frame, pmt.intern(key), pmt_value)
        self.position += count
        return count


class collector(gr.sync_block):
    """Keeps every vector and every tag of one float stream."""

    def __init__(self, vlen):
        gr.sync_block.__init__(self, "collector", [(np.float32, vlen)], None)
        self.parts, self.tags, self.vlen = [], [], vlen

    def work(self, input_items, output_items):
        count = len(input_items[0])
        self.parts.append(input_items[0].copy())
        for tag in self.get_tags_in_window(0, 0, count):
            self.tags.append((tag.offset, pmt.symbol_to_string(tag.key), pmt.to_python(tag.value)))
        return count

    @property
    def data(self):
        return np.concatenate(self.parts) if self.parts else np.zeros((0, self.vlen), np.float32)


class message_store(SafeBlock, gr.basic_block):
    """Keeps every message at its port `store`; unlike a message_debug also the last ones on a busy machine (``stored``)."""

    def __init__(self):
        gr.basic_block.__init__(self, "message_store", None, None)
        self.init_safe_block()
        self.messages = []
        self.add_input_port("store", self.handle_store)

    @handler
    def handle_store(self, message):
        self.messages.append(message)

    def num_messages(self):
        return len(self.messages)

    def get_message(self, index):
        return self.messages[index]


def run_within(top_block, watched, seconds=5.0, should_stop=None):
    """Runs to the end; asserts that it ended by itself within the time; returns the failure or None."""
    began = time.monotonic()
    failure = run_flowgraph(top_block, watched, should_stop=should_stop or (lambda: time.monotonic() - began > seconds))
    assert time.monotonic() - began < seconds, "the flowgraph did not end"
    return failure


def stored(debug):
    """Dicts of the messages that a message_debug or message_store has kept."""
    if isinstance(debug, message_store):
        debug.drain()
    return [metadata(debug.get_message(index)) for index in range(debug.num_messages())]


def wait_for(condition, seconds=10.0):
    """Polls until the condition holds; fails after the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def status_store(top_block, *sources):
    """A message_store that keeps the status messages of these blocks."""
    store = message_store()
    for source in sources:
        top_block.msg_connect(source, "status", store, "store")
    return store
