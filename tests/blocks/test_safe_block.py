# SPDX-License-Identifier: GPL-3.0-or-later
"""What GNU Radio hands to a block of ours: all that waits at once, as arrays that are its own buffers."""

import gc

import numpy as np
from flowgraphs import frame_source, run_within
from gnuradio import gr
from gnuradio.spectrumencoder.blocks.safe_block import SafeBlock, handler


class two_inputs(SafeBlock, gr.sync_block):
    """Sum of two streams of vectors, when both have come; keeps how many came at once."""

    def __init__(self, vlen):
        vector = (np.float32, vlen)
        gr.sync_block.__init__(self, "two_inputs", [vector, vector], [vector])
        self.init_safe_block()
        self.sizes, self.seen = [], []

    def _work(self, input_items, output_items):
        one, other = input_items
        assert len(one) == len(other) == len(output_items[0]) and one.dtype == np.float32 and one.shape[1:] == (16,)
        assert not one.flags.owndata and one.flags.c_contiguous and output_items[0].flags.writeable
        output_items[0][:] = one + other
        self.sizes.append(len(one))
        self.seen.append(output_items[0].copy())
        return len(one)


class scalar_sink(SafeBlock, gr.sync_block):
    def __init__(self, dtype):
        gr.sync_block.__init__(self, "scalar_sink", [dtype], None)
        self.init_safe_block()
        self.parts = []

    def _work(self, input_items, output_items):
        self.parts.append(input_items[0].copy())
        return len(input_items[0])


def test_all_that_every_input_holds_comes_at_once():
    """60 items on one input, 37 on the other: GNU Radio alone would hand over 32 and then 4 and 1."""
    items = np.random.default_rng(0).standard_normal((60, 16)).astype(np.float32)
    top, block = gr.top_block(), two_inputs(16)
    top.sources = [frame_source(items), frame_source(items[:37])]
    top.sink = scalar_sink((np.float32, 16))
    for port, source in enumerate(top.sources):
        top.connect(source, (block, port))
    top.connect(block, top.sink)
    assert run_within(top, [block, top.sink]) is None
    np.testing.assert_array_equal(np.concatenate(block.seen), 2 * items[:37])
    np.testing.assert_array_equal(np.concatenate(top.sink.parts), 2 * items[:37])
    assert max(block.sizes) > 32 or len(block.sizes) <= 3


def test_scalar_streams_are_flat():
    from gnuradio import blocks
    top, values = gr.top_block(), np.arange(1000) + 1j
    top.source, top.sink = blocks.vector_source_c(values.tolist()), scalar_sink(np.complex64)
    top.connect(top.source, top.sink)
    assert run_within(top, [top.sink]) is None
    got = np.concatenate(top.sink.parts)
    assert got.dtype == np.complex64 and got.ndim == 1
    np.testing.assert_array_equal(got, values.astype(np.complex64))


class counted_sink(SafeBlock, gr.sync_block):
    """Counts every question of the scheduler that reaches Python."""

    def __init__(self):
        gr.sync_block.__init__(self, "counted_sink", [np.float32, np.float32], None)
        self.init_safe_block()
        self.n_asked, self.waiting = 0, []

    def forecast(self, noutput_items, ninputs):
        self.n_asked += 1
        return [1] * ninputs

    def _work(self, input_items, output_items):
        self.waiting.append((self.n_waiting, len(input_items[0])))
        return len(input_items[0])


def test_the_scheduler_asks_python_nothing_but_work():
    from gnuradio import blocks
    top, sink = gr.top_block(), counted_sink()
    top.sources = [blocks.vector_source_f(range(5000)), blocks.null_source(4)]
    top.head = blocks.head(4, 3000)
    top.connect(top.sources[0], (sink, 0))
    top.connect(top.sources[1], top.head, (sink, 1))
    assert run_within(top, [sink]) is None
    assert sink.n_asked == 0 and sum(count for _, count in sink.waiting) == 3000
    assert all(waiting == count for waiting, count in sink.waiting)


def test_a_block_that_nobody_keeps_ends_the_flowgraph():
    """GNU Radio's own gateway crashes there."""
    from gnuradio import blocks
    top = gr.top_block()
    top.source = blocks.null_source(4)
    top.connect(top.source, scalar_sink(np.float32))
    gc.collect()
    assert run_within(top, []) is None


def test_tags_and_messages_go_as_in_any_python_block():
    import pmt
    from gnuradio import blocks

    top, seen = gr.top_block(), []

    class tagger(SafeBlock, gr.sync_block):
        def __init__(self):
            gr.sync_block.__init__(self, "tagger", [np.float32], [np.float32])
            self.init_safe_block()
            self.add_input_port("note", self.handle_note)

        @handler
        def handle_note(self, message):
            seen.append(pmt.to_python(message))

        def _work(self, input_items, output_items):
            tags = self.get_tags_in_window(0, 0, len(input_items[0]))
            assert [t.offset for t in tags] == [t.offset for t in self.get_tags_in_range(
                0, self.nitems_read(0), self.nitems_read(0) + len(input_items[0]))]
            for tag in tags:
                self.add_item_tag(0, tag.offset + 1, tag.key, tag.value, pmt.intern("me"))
            output_items[0][:] = input_items[0]
            return len(input_items[0])

    tag = gr.tag_utils.python_to_tag((5, pmt.intern("k"), pmt.from_long(7), pmt.PMT_F))
    top.source, top.tagger = blocks.vector_source_f([0.0] * 20, False, 1, [tag]), tagger()
    top.sink = blocks.vector_sink_f()
    top.connect(top.source, top.tagger, top.sink)
    top.tagger.to_basic_block()._post(pmt.intern("note"), pmt.intern("hello"))
    assert run_within(top, [top.tagger]) is None
    assert seen == ["hello"]
    assert {(t.offset, pmt.to_python(t.value), pmt.to_python(t.srcid)) for t in top.sink.tags()} == {(5, 7, False), (6, 7, "me")}
