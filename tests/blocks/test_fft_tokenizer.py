# SPDX-License-Identifier: GPL-3.0-or-later
"""The block fft_tokenizer: whole recordings at any buffer setting, non-finite samples, status, refusals."""

import re
import threading

import numpy as np
import pmt
import pytest
from fft_tokenizer_rig import FRAME, SETTINGS, ChunkSource, K, N, Result, expect, noise, run, run_samples, rx_time, tag
from gnuradio import blocks, gr
from gnuradio.spectrumencoder import fft_tokenizer, keys, tokenize
from gnuradio.spectrumencoder.tokens.layout import K_EFF, FrameLayout
from gnuradio.spectrumencoder.tokens.tokenize import native_module

RUN = native_module().tokenizer.MIN_CONSTANT  # identical samples in a row that drop a frame
LONG = SETTINGS | {"average": 2 * RUN // N}  # a frame that can hold such a run
LONG_FRAME = N * LONG["average"]


@pytest.mark.parametrize("fft_size,stride,average,overlap", [
    (64, 8, 4, 0.0), (1024, 8, 16, 0.0), (96, 8, 3, 0.5), (60, 5, 1, 0.75), (27, 9, 5, 0.0), (4096, 16, 2, 0.9)])
def test_equals_tokenize_bit_for_bit(fft_size, stride, average, overlap):
    iq = noise(fft_size * average * 5 + 2 * fft_size + 7)
    parameters = {"fft_size": fft_size, "stride": stride, "average": average, "overlap": overlap}
    block, result = run_samples(iq, samp_rate=2e6, **parameters)
    frames = tokenize(iq, 2e6, **parameters)
    assert np.array_equal(result.items, frames.items) and np.array_equal(result.psd, frames.psd)
    assert block.frames() == len(frames) and block.dropped_frames() == 0
    assert list(result.tags) == [0]


@pytest.mark.parametrize("left_over", [0, 1, N - 1, N, N + 1, FRAME - 1])
@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_seventeen_frames_and_a_tail(left_over, overlap):
    hop = round(N * (1 - overlap))
    iq = noise(16 * K * hop + (K - 1) * hop + N + left_over)
    _, result = run_samples(iq, overlap=overlap)
    frames = tokenize(iq, 1e6, overlap=overlap, **SETTINGS)
    assert np.array_equal(result.items, frames.items)
    windows_left = left_over // hop
    assert len(result.items) == 17 + -(-windows_left // K)
    assert result.k_eff[:17] == [K] * 17


def test_last_short_frame_carries_its_k_eff():
    _, result = run_samples(noise(FRAME + 3 * N + N // 2))
    assert result.k_eff == [K, 3]


@pytest.mark.parametrize("n", [0, 1, N - 1])
def test_shorter_than_a_window_gives_nothing(n):
    block, result = run_samples(noise(n))
    assert len(result.items) == 0 and block.dropped_frames() == 0


@pytest.mark.parametrize("fft_size,overlap", [(64, 0.0), (1024, 0.0), (1024, 0.5), (4096, 0.95)])
@pytest.mark.parametrize("input_buffer,output_buffer,max_noutput_items,min_output_buffer", [
    (1, None, 100_000_000, 64), (1, 2, 1, 1), (700, None, 3, 1), (None, 2, 100_000_000, 64), (100_000, 1000, 17, 4096)])
def test_any_buffer_setting(fft_size, overlap, input_buffer, output_buffer, max_noutput_items, min_output_buffer):
    iq = noise(int(fft_size * (1 - overlap) * 4 * 17) + 2 * fft_size + 5)
    settings = {"fft_size": fft_size, "stride": 8, "average": 4, "overlap": overlap}
    block = fft_tokenizer(min_output_buffer=min_output_buffer, **settings)
    source = blocks.vector_source_c(iq)
    if input_buffer:
        source.set_max_output_buffer(input_buffer)
    if output_buffer:
        block.set_max_output_buffer(output_buffer)
    result = run(block, source, max_noutput_items)
    assert np.array_equal(result.items, tokenize(iq, 1e6, **settings).items)


@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_a_window_longer_than_the_input_buffer(overlap):
    """Connected to a running flowgraph, the block gets a buffer that was sized for someone else: 8192 samples."""
    settings = {"fft_size": 16384, "stride": 8, "average": 2, "overlap": overlap}
    iq = noise(16384 * 7 + 100)
    retune = tag(16384 * 3 + 5, keys.RX_FREQ, 1e6)
    block, source, top = fft_tokenizer(**settings), ChunkSource(iq, [retune]), gr.top_block()
    source.go.clear()
    tokens, psd = blocks.vector_sink_f(block.item_size(), 64), blocks.vector_sink_f(block.fft_size(), 64)
    top.connect(source, blocks.null_sink(gr.sizeof_gr_complex))
    top.start()
    top.lock()
    top.connect(source, block)
    top.connect((block, 0), tokens)
    top.connect((block, 1), psd)
    top.unlock()
    source.go.set()
    top.wait()
    result = Result(block, tokens, psd)
    parts = [tokenize(iq[:retune.offset], 1e6, **settings), tokenize(iq[retune.offset:], 1e6, **settings)]
    assert np.array_equal(result.items, np.concatenate([part.items for part in parts]))
    assert list(result.tags) == [0, len(parts[0])] and block.dropped_frames() == 0
    assert block.short_frames() == sum(part.layout.split(part.items)[1][-1, K_EFF] < 2 for part in parts)


@pytest.mark.parametrize("average,input_buffer", [(1, None), (16, None), (16, 1)])
def test_100003_windows(average, input_buffer):
    iq = noise(100_003 * 16 + 3)
    block = fft_tokenizer(fft_size=16, stride=8, average=average)
    source = blocks.vector_source_c(iq)
    if input_buffer:
        source.set_max_output_buffer(input_buffer)
    result = run(block, source)
    assert len(result.items) == -(-100_003 // average)
    assert np.array_equal(result.psd, tokenize(iq, 1e6, fft_size=16, stride=8, average=average).psd)


def test_psd_may_stay_unconnected():
    block = fft_tokenizer(**SETTINGS)
    top, sink = gr.top_block(), blocks.vector_sink_f(block.item_size())
    iq = noise(3 * FRAME)
    top.connect(blocks.vector_source_c(iq), block, sink)
    top.run()
    assert np.array_equal(np.array(sink.data(), np.float32), tokenize(iq, 1e6, **SETTINGS).items.ravel())


def test_a_second_run_starts_afresh():
    iq = noise(FRAME + N)
    block = fft_tokenizer(**SETTINGS)
    for _ in range(2):
        result = run(block, blocks.vector_source_c(iq, False, 1, [tag(0, keys.RX_FREQ, 1e6)]))
        assert result.k_eff == [K, 1] and block.frames() == 2
        assert result.tags[0][keys.FRAME_START] == 0


@pytest.mark.parametrize("bad", [complex(np.nan, 0), complex(0, np.inf), complex(1e30, 0)])
def test_non_finite_samples_drop_their_frame_only(bad):
    iq = noise(5 * FRAME + N)
    iq[FRAME + 100] = bad
    block, result = run_samples(iq)
    assert np.array_equal(result.items, expect(iq, [(0, FRAME), (2 * FRAME, None)]))
    assert result.tags[1][keys.FRAME_START] == 2 * FRAME and list(result.tags) == [0, 1]
    assert block.dropped_nonfinite() == block.dropped_frames() == 1


def test_nan_in_the_overlap_drops_both_frames():
    iq = noise(5 * FRAME)
    hop = N // 2
    iq[K * hop + 1] = np.nan
    block, result = run_samples(iq, overlap=0.5)
    assert block.dropped_nonfinite() == 2 and result.tags[0][keys.FRAME_START] == 2 * K * hop
    assert np.array_equal(result.items, expect(iq, [(2 * K * hop, None)], overlap=0.5))


def test_nan_in_the_last_short_frame():
    iq = noise(FRAME + 2 * N)
    iq[-1] = np.nan
    block, result = run_samples(iq)
    assert result.k_eff == [K] and block.dropped_nonfinite() == 1


@pytest.mark.parametrize("length,dropped", [(RUN - 1, 0), (RUN, 1)])
@pytest.mark.parametrize("chunk", [1, 50, RUN - 1, 4 * RUN])
def test_zeros_for_lost_samples_drop_their_frame_wherever_buffers_split(length, dropped, chunk):
    iq = noise(5 * LONG_FRAME + N)
    iq[LONG_FRAME + 100:LONG_FRAME + 100 + length] = 0
    block = fft_tokenizer(**LONG)
    result = run(block, ChunkSource(iq, [rx_time(0, 7, 0.25)], lambda: chunk))
    kept = [(0, LONG_FRAME), (2 * LONG_FRAME, None)] if dropped else [(0, None)]
    assert np.array_equal(result.items, expect(iq, kept, average=LONG["average"]))
    assert block.dropped_constant() == block.dropped_frames() == dropped and block.dropped_nonfinite() == 0
    if dropped:  # the next frame says where it is, in samples and in time
        assert list(result.tags) == [0, 1] and result.tags[1][keys.FRAME_START] == 2 * LONG_FRAME
        assert result.tags[1][keys.RX_TIME] == (7, pytest.approx(0.25 + 2 * LONG_FRAME / 1e6, abs=1e-9))
    else:
        assert list(result.tags) == [0]


def test_zeros_over_many_frames_end_with_the_right_time():
    iq = noise(40 * LONG_FRAME)
    iq[3 * LONG_FRAME - 50:30 * LONG_FRAME + 20] = 0  # 50 in frame 2, 20 in frame 30
    block = fft_tokenizer(**LONG)
    result = run(block, ChunkSource(iq, [rx_time(0, 7, 0.25)]))
    assert block.dropped_constant() == 27 and block.frames() == 13
    kept = [(0, 3 * LONG_FRAME), (30 * LONG_FRAME, None)]
    assert np.array_equal(result.items, expect(iq, kept, average=LONG["average"]))
    assert result.tags[3][keys.RX_TIME] == (7, pytest.approx(0.25 + 30 * LONG_FRAME / 1e6, abs=1e-9))


def test_a_window_longer_than_the_zeros_and_the_input_buffer():
    settings = {"fft_size": 16384, "stride": 8, "average": 2}
    iq = noise(16384 * 6)
    iq[16384 - 60:16384 - 60 + RUN] = 0  # the end of one window, the begin of the next
    block, source = fft_tokenizer(**settings), ChunkSource(iq, chunk_size=lambda: 777)
    source.set_max_output_buffer(2048)
    result = run(block, source)
    assert block.dropped_constant() == 1 and np.array_equal(result.items, tokenize(iq, 1e6, **settings).items)


def test_constant_samples_beside_nan_count_once():
    iq = noise(4 * LONG_FRAME)
    iq[LONG_FRAME:LONG_FRAME + RUN] = 0
    iq[LONG_FRAME + RUN + 20] = np.nan
    iq[2 * LONG_FRAME:2 * LONG_FRAME + RUN] = 0.5 - 0.25j
    block = fft_tokenizer(**LONG)
    run(block, ChunkSource(iq))
    assert (block.dropped_nonfinite(), block.dropped_constant(), block.dropped_frames()) == (1, 1, 2)


def test_a_receiver_held_at_its_rails_drops_nothing():
    iq = noise(4 * LONG_FRAME)
    iq[LONG_FRAME - 10:3 * LONG_FRAME] = 1 - 1j
    block = fft_tokenizer(**LONG)
    result = run(block, ChunkSource(iq, chunk_size=lambda: 50))
    assert block.frames() == 4 and block.dropped_frames() == 0 and block.clipped_frames() == 3
    share = FrameLayout(N, 8).clipped_share(result.items)
    assert share.tolist() == [np.float32(10 / LONG_FRAME), 1.0, 1.0, 0.0]


def test_frames_with_samples_at_full_scale_are_counted():
    iq = noise(5 * FRAME)
    iq[100], iq[2 * FRAME + 7], iq[3 * FRAME], iq[4 * FRAME + 1] = 1.0, -0.99j, 0.9899, np.inf
    block, result = run_samples(iq)
    assert block.clipped_frames() == 2 and block.frames() == 4  # a dropped frame is not counted
    assert FrameLayout(N, 8).clipped_share(result.items).tolist() == [1 / FRAME, 0, 1 / FRAME, 0]


class StatusKeeper(gr.basic_block):
    """Keeps the status messages it gets."""

    def __init__(self):
        gr.basic_block.__init__(self, "status_keeper", None, None)
        self.kept = []
        self.arrived = threading.Event()
        self.message_port_register_in(pmt.intern("in"))
        self.set_msg_handler(pmt.intern("in"), self.keep)

    def keep(self, message):
        self.kept.append(pmt.to_python(message))
        if self.kept[-1][keys.STATUS_STATE] == "stopped":
            self.arrived.set()


def test_status_messages():
    block, keeper = fft_tokenizer(**SETTINGS), StatusKeeper()
    top = gr.top_block()
    tags = [tag(offset, keys.RX_FREQ, float(offset)) for offset in (30, 60, 90)]  # each less than a window later
    top.connect(blocks.vector_source_c(noise(3 * FRAME), False, 1, tags), block,
                blocks.null_sink(block.item_size() * gr.sizeof_float))
    top.msg_connect((block, keys.STATUS), (keeper, "in"))
    top.run()
    assert keeper.arrived.wait(5)
    assert [kept[keys.STATUS_STATE] for kept in keeper.kept] == ["dropped", "stopped"]  # at most one a second
    last = keeper.kept[-1]
    assert last[keys.BLOCK] == "fft_tokenizer" and "3 dropped" in last[keys.MESSAGE]
    assert last[keys.FRAMES] == block.frames() == 3 and last[keys.SHORT_FRAMES] == block.short_frames() == 1
    assert last[keys.DROPPED_FRAMES] == last[keys.DROPPED_RETUNE] == 3
    for name in (keys.DROPPED_RATE, keys.DROPPED_RETAG, keys.DROPPED_NONFINITE, keys.DROPPED_CONSTANT, keys.CLIPPED_FRAMES,
                 keys.MALFORMED):
        assert last[name] == 0


@pytest.mark.parametrize("argument,value,range_named", [
    ("fft_size", 15, "16..65536"), ("fft_size", 65537, "16..65536"), ("stride", 0, "1..fft_size"), ("stride", -1, "1..fft_size"),
    ("stride", 7, "does not divide"), ("stride", 2048, "1..fft_size"), ("average", 0, "1..64"), ("average", 65, "1..64"),
    ("overlap", -0.01, "0..0.95"), ("overlap", 0.96, "0..0.95"), ("overlap", float("nan"), "0..0.95"),
    ("window", "boxcar", "blackmanharris"), ("samp_rate", -1.0, "positive"), ("samp_rate", float("inf"), "positive"),
    ("center_freq", float("nan"), "finite"), ("settle_ms", -1.0, "0..60000"), ("settle_ms", 60001.0, "0..60000"),
    ("rate_factor", 0.0, "positive"), ("rate_factor", float("nan"), "positive"), ("freq_offset", float("inf"), "-1e12..1e12"),
    ("tag_channel", -1, "0..65535"), ("min_output_buffer", 0, "1..65536"), ("min_output_buffer", 65537, "1..65536")])
def test_argument_out_of_range(argument, value, range_named):
    with pytest.raises(ValueError, match=argument) as refused:
        fft_tokenizer(**{argument: value})
    assert range_named in str(refused.value) and "\n" not in str(refused.value)
    assert (f"{value:g}" if isinstance(value, float) else str(value)) in str(refused.value)


def test_a_whole_number_may_come_as_a_float():
    """A QT GUI Range sends floats; an exception in its slot would lose the change."""
    block = fft_tokenizer()
    block.set_average(8.0)
    assert block.average() == 8
    block.set_average(8.999999999)  # a slider adds up its steps
    assert block.average() == 9
    block.set_average(np.int64(9))
    assert block.average() == 9
    for value in (8.5, float("nan"), float("inf"), 1e12):
        with pytest.raises(ValueError, match=rf"average {re.escape(f'{value:g}')} is .*1\.\.64"):
            block.set_average(value)
    with pytest.raises(TypeError):
        block.set_average("8")
    assert block.average() == 9


@pytest.mark.parametrize("setter,value", [("set_average", 0), ("set_average", 65), ("set_samp_rate", -1.0),
                                          ("set_center_freq", float("inf")), ("set_settle_ms", -1.0)])
def test_live_value_out_of_range_changes_nothing(setter, value):
    block = fft_tokenizer()
    before = block.average(), block.samp_rate(), block.center_freq(), block.settle_ms()
    with pytest.raises(ValueError, match=setter.removeprefix("set_")):
        getattr(block, setter)(value)
    assert (block.average(), block.samp_rate(), block.center_freq(), block.settle_ms()) == before
