# SPDX-License-Identifier: GPL-3.0-or-later
"""overload=skip: how far behind the encoder believes to be, and what the whole chain then does."""

import time

import numpy as np
import pytest
from flowgraphs import collector, frame_source, run_within
from gnuradio import gr
from gnuradio.spectrumencoder import sigmf_source, spectrum_encoder, spectrum_monitor
from gnuradio.spectrumencoder.blocks.backlog import FEW_FRAMES, MAX_FRAMES, MIN_FRAMES, SETTLED_S, Backlog, frames_at_once

N = 128
MANY = 4 * FEW_FRAMES


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def backlog(clock):
    return Backlog(clock)


def test_pauses_between_calls_do_not_count_as_caught_up(clock, backlog):
    """Half of real time, with pauses of every length, as another thread that holds the interpreter makes them."""
    for pause_s in np.random.default_rng(1).exponential(0.02, 200):
        behind_s = backlog.enter(MANY, pause_s / 2)
        clock.now_s += pause_s
    assert behind_s == pytest.approx((clock.now_s - 100) / 2, abs=0.1)


def test_a_block_that_keeps_up_is_never_behind(clock, backlog):
    for jitter_s in np.random.default_rng(2).uniform(-2e-3, 2e-3, 1000):
        clock.now_s += 0.01
        clock.now_s, exact = clock.now_s + jitter_s, clock.now_s
        assert backlog.enter(1, 0.01) < 0.01
        clock.now_s = exact


def test_what_is_worked_off_lessens_it(clock, backlog):
    backlog.enter(MANY, 0.0)
    clock.now_s += 2.0
    assert backlog.enter(MANY, 1.5) == pytest.approx(2.0)
    assert backlog.enter(MANY, 0.0) == pytest.approx(0.5)


def test_catching_up_through_an_empty_input_is_not_caught_up(clock, backlog):
    """The backlog may lie further up, in a source that paces itself: the encoder's own input is empty meanwhile."""
    backlog.enter(MANY, 0.0)
    clock.now_s += 2.0
    for step in range(100):
        behind_s = backlog.enter(1, 0.02)
        assert behind_s == pytest.approx(2.0 - 0.01 * step)
        clock.now_s += 0.01


def test_samples_that_a_radio_lost_are_forgiven(clock, backlog):
    """They never come: once the input has been empty for a while and the lag stays, it is no backlog."""
    backlog.enter(1, 0.01)
    clock.now_s += 3.0
    for _ in range(int(2 * SETTLED_S / 0.01)):
        behind_s = backlog.enter(1, 0.01)
        clock.now_s += 0.01
    assert behind_s == pytest.approx(0.0, abs=1e-6)


def test_samples_that_a_radio_tells_it_has_lost_are_forgiven_at_once(clock, backlog):
    """Even where many frames always wait, so that nothing else would forgive them."""
    for number in range(100):
        lost = number in (30, 60)
        clock.now_s += 0.02 + 0.7 * lost
        behind_s = backlog.enter(MANY, 0.02, lost=lost)
    assert behind_s < 0.05


def test_clocks_that_drift_apart_are_forgiven(clock, backlog):
    for _ in range(100_000):  # 100 ppm over some 28 hours
        assert backlog.enter(1, 1.0) < 1e-3
        clock.now_s += 1.0001


def test_a_stretch_left_out_counts_as_time_of_the_stream(clock, backlog):
    backlog.enter(MANY, 0.1)
    clock.now_s += 1.0
    assert backlog.enter(MANY, 0.1, gap_s=0.9) == pytest.approx(0.0)


def test_dropped_frames_are_not_a_backlog(small_model, make_items):
    """Every other frame is dropped by the tokenizer (a scan that settles): frame_start says so, nothing is skipped."""
    frame_s, items = 0.02, make_items(60)
    items[:, N // 8 * 10 + 2] = 16 / frame_s  # bin width of frames that last frame_s
    hop = 16 * N
    tags = {frame: {"frame_start": 2 * frame * hop, "frame_hop": hop} for frame in range(60)}
    encoder = spectrum_encoder(small_model, N, overload="skip", max_latency=0.3)
    top = gr.top_block()

    class paced(frame_source):
        def work(self, input_items, output_items):
            time.sleep(2 * frame_s)
            return super().work(input_items, [output_items[0][:1]])

    top.source, top.sinks = paced(items, tags=tags), [collector(N), collector(256)]
    top.connect(top.source, encoder)
    for port, sink in enumerate(top.sinks):
        top.connect((encoder, port), sink)
    assert run_within(top, [encoder], 10) is None
    assert encoder.n_frames == 60 and encoder.n_skipped == 0


def test_a_backlog_is_worked_off_in_large_batches_and_a_lone_frame_at_once(small_model, make_items):
    """400 frames at once, then one at a time: batches are large where frames wait; each lone frame comes out before the next."""
    encoder, sink, items = spectrum_encoder(small_model, N, min_output_buffer=1024), collector(N), make_items(420)
    top = gr.top_block()
    late, sizes, encode = [], [], encoder.engine.encode

    def counted(frames, *others, **named):
        sizes.append(len(frames))
        return encode(frames, *others, **named)

    encoder.engine.encode = counted

    class source(frame_source):
        def work(self, input_items, output_items):
            if self.position < 400:
                return super().work(input_items, [output_items[0][:400]])
            began = time.monotonic()
            while sum(map(len, sink.parts)) < self.position and time.monotonic() - began < 5:
                time.sleep(1e-3)
            late.append(sum(map(len, sink.parts)) < self.position)
            return super().work(input_items, [output_items[0][:1]])

    top.source, top.sink, features = source(items), sink, collector(256)
    top.source.set_min_output_buffer(1024)
    top.connect(top.source, encoder, sink)
    top.connect((encoder, 1), features)
    assert run_within(top, [encoder], 30) is None
    assert sum(sizes) == len(sink.data) == 420 and not any(late) and len(late) == 21
    assert sizes[-20:] == [1] * 20
    assert 64 < max(sizes) <= MAX_FRAMES


@pytest.mark.parametrize("frame_s, frames", [(1e-6, MAX_FRAMES), (1e-3, 100), (1.0, MIN_FRAMES), (0.0, MAX_FRAMES)])
def test_a_call_takes_as_many_frames_as_it_can_do_in_a_tenth_of_a_second(frame_s, frames):
    assert frames_at_once(frame_s) == frames


@pytest.mark.parametrize("n_samples", [400_000, 20_000_000])
def test_the_chain_keeps_pace_by_skipping(small_model, make_recording, noise, n_samples):
    """Twice or more what the encoder can do, from a short recording that repeats (tags at every seam) and a long one."""
    rate, seconds, max_latency = 10e6, 4.0, 0.5
    source = sigmf_source(make_recording(noise(n_samples), samp_rate=rate), repeat=True, throttle=True)
    monitor = spectrum_monitor(small_model, samp_rate=rate, overload="skip", max_latency=max_latency, pad_batch=1,
                               runtime="torch")  # the slower one
    top = gr.top_block()
    top.connect(source, monitor)
    began = time.monotonic()
    assert run_within(top, [source, *monitor.blocks], seconds + 5, lambda: time.monotonic() - began > seconds) is None
    played_s = monitor.encoder.n_frames * 16 * N / rate
    assert monitor.encoder.n_skipped > 0.2 * monitor.encoder.n_frames
    assert monitor.encoder.n_frames > monitor.encoder.n_skipped
    assert monitor.detector.counters()["skipped_frames"] > 0
    assert played_s > seconds - max_latency - 1.0
