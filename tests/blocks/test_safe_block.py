# SPDX-License-Identifier: GPL-3.0-or-later
"""What GNU Radio hands to a block of ours: all that waits at once, as arrays that are its own buffers."""

import numpy as np
from flowgraphs import frame_source, run_within
from gnuradio import gr
from gnuradio.spectrumencoder.blocks.safe_block import SafeBlock


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
