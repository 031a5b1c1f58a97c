# SPDX-License-Identifier: GPL-3.0-or-later
"""Flowgraphs that turn samples in memory into spectra, to be timed: ours, GNU Radio's own, and a bare chain."""

from __future__ import annotations

import numpy as np
from gnuradio import blocks, fft, gr
from gnuradio.fft import logpwrfft, window

from ..blocks.native import fft_tokenizer
from .memory_source import memory_source

OURS, LOGPWRFFT, BARE, SOURCE = "fft_tokenizer", "logpwrfft_c", "bare chain", "source alone"
WHAT = {
    OURS: "window, FFT, power, mean of K spectra in dBFS, noise floor, max-hold and spread over the K, tokens over the floor; a "
          "frame of K windows gives one item of each output",
    LOGPWRFFT: "window, FFT, power, a moving average (single-pole IIR, alpha = 2 / (K + 1)), dB; each window gives a spectrum. "
               "No noise floor, max-hold, spread or tokens, and tags are not minded",
    BARE: "stream_to_vector, window and FFT (fft_vcc), complex_to_mag_squared: no average, no dB; each window gives a spectrum",
    SOURCE: "the source in memory and a null sink: what the others pay for their samples",
}


def make(name: str, iq: np.ndarray, n_samples: int, *, fft_size: int, average: int, source_buffer: int) -> gr.top_block:
    """A top block that runs so many samples (of `iq`, repeated) through the chain of that name, and ends.

    Args:
        source_buffer: room for samples between the source and the chain; GNU Radio's default is 8192.
    """
    top = gr.top_block(name)
    source = memory_source(iq, n_samples, source_buffer)
    top.kept = [source, *_CHAINS[name](top, source, fft_size, average)]  # GNU Radio does not keep Python blocks alive
    return top


def _ours(top, source, fft_size, average):
    tokenizer = fft_tokenizer(fft_size=fft_size, stride=8, average=average)
    sinks = [blocks.null_sink(gr.sizeof_float * size) for size in (tokenizer.item_size(), fft_size)]
    top.connect(source, tokenizer)
    for port, sink in enumerate(sinks):
        top.connect((tokenizer, port), sink)
    return [tokenizer, *sinks]


def _logpwrfft(top, source, fft_size, average):
    rate = 1.0 * fft_size  # frame_rate = sample_rate / N: every window is used
    chain = logpwrfft.logpwrfft_c(sample_rate=rate, fft_size=fft_size, ref_scale=2.0, frame_rate=1.0,
                                  avg_alpha=2.0 / (average + 1), average=True, win=window.blackmanharris, shift=True)
    if chain.decimation() != 1:
        raise ValueError(f"logpwrfft_c leaves out windows: its decimation is {chain.decimation()}")
    sink = blocks.null_sink(gr.sizeof_float * fft_size)
    top.connect(source, chain, sink)
    return [chain, sink]


def _bare(top, source, fft_size, average):
    parts = [blocks.stream_to_vector(gr.sizeof_gr_complex, fft_size),
             fft.fft_vcc(fft_size, True, window.blackmanharris(fft_size), True), blocks.complex_to_mag_squared(fft_size),
             blocks.null_sink(gr.sizeof_float * fft_size)]
    top.connect(source, *parts)
    return parts


def _source_alone(top, source, fft_size, average):
    sink = blocks.null_sink(gr.sizeof_gr_complex)
    top.connect(source, sink)
    return [sink]


_CHAINS = {OURS: _ours, LOGPWRFFT: _logpwrfft, BARE: _bare, SOURCE: _source_alone}
