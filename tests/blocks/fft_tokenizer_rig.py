# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the block fft_tokenizer share: samples, tags, a source, a run, what came out."""

import threading

import numpy as np
import pmt
from gnuradio import blocks, gr
from gnuradio.spectrumencoder import fft_tokenizer, keys, tokenize
from gnuradio.spectrumencoder.tokens.layout import K_EFF, FrameLayout

N, K = 64, 4
FRAME = N * K
SETTINGS = {"fft_size": N, "stride": 8, "average": K}


def noise(n, seed=0):
    rng = np.random.default_rng(seed)
    return ((rng.standard_normal(n) + 1j * rng.standard_normal(n)) * 0.1).astype(np.complex64)


def tag(offset, key, value):
    made = gr.tag_t()
    made.offset, made.key, made.value = offset, pmt.intern(key), pmt.to_pmt(value) if not isinstance(
        value, pmt.pmt_base) else value
    return made


def rx_time(offset, seconds, fraction):
    return tag(offset, keys.RX_TIME, pmt.make_tuple(pmt.from_uint64(seconds), pmt.from_double(fraction)))


class Result:
    """What came out: items (F, item_size), psd (F, N), tags {frame: {key: value}} of both outputs."""

    def __init__(self, block, tokens, psd):
        self.items = np.array(tokens.data(), np.float32).reshape(-1, block.item_size())
        self.psd = np.array(psd.data(), np.float32).reshape(-1, block.fft_size())
        self.tags, psd_tags = gather(tokens.tags()), gather(psd.tags())
        assert psd_tags == self.tags


    @property
    def k_eff(self):
        return FrameLayout(N, SETTINGS["stride"]).split(self.items)[1][:, K_EFF].astype(int).tolist()


def gather(tags):
    found = {}
    for one in tags:
        at_frame = found.setdefault(one.offset, {})
        key = pmt.symbol_to_string(one.key)
        assert key not in at_frame
        at_frame[key] = pmt.to_python(one.value)
    return found


class ChunkSource(gr.sync_block):
    """Plays samples with their tags, in chunks of the sizes that `chunk_size()` gives, once `go` is set."""

    def __init__(self, iq, tags=(), chunk_size=lambda: 1_000_000):
        gr.sync_block.__init__(self, "chunk_source", None, [np.complex64])
        self.iq, self.tags, self.chunk_size, self.at = iq, tags, chunk_size, 0
        self.go = threading.Event()
        self.go.set()

    def work(self, input_items, output_items):
        if not self.go.wait(0.01):
            return 0
        if self.at == len(self.iq):
            return -1
        n = min(self.chunk_size(), len(output_items[0]), len(self.iq) - self.at)
        output_items[0][:n] = self.iq[self.at:self.at + n]
        for one in self.tags:
            if self.at <= one.offset < self.at + n:
                self.add_item_tag(0, one.offset, one.key, one.value)
        self.at += n
        return n


def run(block, source, max_noutput_items=100_000_000):
    top = gr.top_block()
    tokens, psd = blocks.vector_sink_f(block.item_size(), 64), blocks.vector_sink_f(block.fft_size(), 64)
    top.connect(source, block)
    top.connect((block, 0), tokens)
    top.connect((block, 1), psd)
    top.run(max_noutput_items)
    return Result(block, tokens, psd)


def run_samples(iq, tags=(), **parameters):
    block = fft_tokenizer(**{**SETTINGS, **parameters})
    return block, run(block, blocks.vector_source_c(iq, False, 1, list(tags)))


def expect(iq, spans, **parameters):
    """Items of the frames at the given (start, stop) sample spans, each tokenized on its own."""
    settings = {**SETTINGS, **parameters}
    samp_rate = settings.pop("samp_rate", 1e6)
    return np.concatenate([tokenize(iq[start:stop], samp_rate, **settings).items for start, stop in spans])
