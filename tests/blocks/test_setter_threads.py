# SPDX-License-Identifier: GPL-3.0-or-later
"""Setters, control messages and counters from other threads while frames go through the chain. `make sanitize SANITIZER=thread`
runs it, too."""

import random
import threading
import time

import numpy as np
import pmt
from flowgraphs import run_within
from gnuradio import blocks, gr
from gnuradio.spectrumencoder import fft_tokenizer, keys, spectrum_monitor
from gnuradio.spectrumencoder.blocks.messages import to_pmt

SECONDS, N = 1.5, 128
IN_TIME_S = 60.0  # a sanitizer makes it slow


def noise_source(rate):
    rng = np.random.default_rng(4)
    samples = (0.01 * rng.standard_normal((1 << 16, 2))).astype(np.float32).view(np.complex64)[:, 0]
    tags = [gr.tag_utils.python_to_tag((0, pmt.intern("rx_freq"), pmt.from_double(434e6))),
            gr.tag_utils.python_to_tag((30_000, pmt.intern("rx_rate"), pmt.from_double(rate)))]
    return blocks.vector_source_c(samples.tolist(), True, 1, tags)


def hammer(actions, stop, done):
    """A thread that takes the actions in a random order, until it is stopped. done: number of calls, by action."""
    draw = random.Random(threading.get_ident())

    def work():
        while not stop.is_set():
            name = draw.choice(sorted(actions))
            actions[name](draw)
            done[name] = done.get(name, 0) + 1
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def run_with(top, watched, actions, n_threads=3):
    """Runs it for SECONDS while the threads work; the number of calls."""
    stop, done = threading.Event(), {}
    threads = [hammer(actions, stop, done) for _ in range(n_threads)]
    began = time.monotonic()
    try:
        failure = run_within(top, watched, IN_TIME_S, should_stop=lambda: time.monotonic() - began > SECONDS)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failure is None
    assert set(done) == set(actions)
    return done


def test_the_tokenizer_obeys_other_threads():
    top, tokenizer = gr.top_block(), fft_tokenizer(fft_size=N, samp_rate=1e6)
    sinks = [blocks.null_sink(size) for size in tokenizer.output_signature().sizeof_stream_items()]
    source = noise_source(1e6)
    top.connect(source, tokenizer)
    for port, sink in enumerate(sinks):
        top.connect((tokenizer, port), sink)
    run_with(top, [], {
        "average": lambda draw: tokenizer.set_average(draw.randint(1, 32)),
        "samp_rate": lambda draw: tokenizer.set_samp_rate(draw.choice((1e6, 2e6))),
        "center_freq": lambda draw: tokenizer.set_center_freq(draw.uniform(1e8, 1e9)),
        "settle_ms": lambda draw: tokenizer.set_settle_ms(draw.choice((0.0, 1.0))),
        "read": lambda draw: (tokenizer.frames(), tokenizer.dropped_frames(), tokenizer.average())})
    assert tokenizer.frames() > 0


def test_the_chain_obeys_other_threads(small_model):
    top = gr.top_block()
    monitor = spectrum_monitor(small_model, samp_rate=1e6, signals=True)
    throttle = blocks.throttle(gr.sizeof_gr_complex, 2e6)
    top.connect(noise_source(1e6), throttle, monitor)

    def control(draw):
        word, value = draw.choice(((keys.DROPOUT_RATE, draw.choice((0.25, 0.5, 0.75))), (keys.ROPE_MODE, "static"),
                                   (keys.ROPE_MODE, "dynamic"), (keys.BACKEND, "linear"), (keys.BACKEND, "auto")))
        monitor.encoder.to_basic_block()._post(pmt.intern(keys.CONTROL), to_pmt({word: value}))
        time.sleep(0.002)  # the queue of a block has an end
    done = run_with(top, monitor.blocks, {
        "average": lambda draw: monitor.set_average(draw.randint(4, 32)),
        "samp_rate": lambda draw: monitor.set_samp_rate(draw.choice((1e6, 2e6))),
        "center_freq": lambda draw: monitor.set_center_freq(draw.uniform(1e8, 1e9)),
        "settle_ms": lambda draw: monitor.set_settle_ms(draw.choice((0.0, 1.0))),
        "dropout": lambda draw: monitor.set_dropout_rate(draw.choice((0.25, 0.5))),
        "control": control,
        "read": lambda draw: (monitor.health.snapshot(), monitor.encoder.counters(), monitor.detector.counters(),
                              monitor.signal_list.table())})
    health = monitor.health.snapshot()
    assert health[keys.FRAMES] > 0 and done["control"] > 0
    monitor.release()
