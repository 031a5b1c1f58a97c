# SPDX-License-Identifier: GPL-3.0-or-later
"""The block fft_tokenizer: the scheduler's side of the kernel. Tails, buffers, tags with exact offsets, discontinuities."""

import threading
import time

import numpy as np
import pmt
import pytest
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


# ---------------------------------------------------------------- whole recordings

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
    parts = [tokenize(iq[:retune.offset], 1e6, flush=False, **settings), tokenize(iq[retune.offset:], 1e6, **settings)]
    assert np.array_equal(result.items, np.concatenate([part.items for part in parts]))
    assert list(result.tags) == [0, len(parts[0])] and block.dropped_retune() == 1


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


# ---------------------------------------------------------------- tags

def test_tags_of_the_first_frame():
    block, result = run_samples(noise(3 * FRAME), samp_rate=2e6, center_freq=433.9e6)
    assert result.tags == {0: {keys.RX_FREQ: 433.9e6, keys.RX_RATE: 2e6, keys.FRAME_START: 0, keys.FRAME_HOP: FRAME,
                               keys.FRAME_AVERAGE: K}}


def test_tags_of_the_stream_win_over_parameters_and_do_not_settle_at_the_start():
    tags = [tag(0, keys.RX_FREQ, 100e6), tag(0, keys.RX_RATE, 5e5), rx_time(0, 1700000000, 0.25)]
    block, result = run_samples(noise(3 * FRAME), tags, samp_rate=2e6, center_freq=433.9e6, settle_ms=10.0)
    first = result.tags[0]
    assert (first[keys.RX_FREQ], first[keys.RX_RATE], first[keys.RX_TIME]) == (100e6, 5e5, (1700000000, 0.25))
    assert first[keys.FRAME_START] == 0 and len(result.items) == 3
    assert result.items[0, N // 8 * 10 + 2] == np.float32(5e5 / N)


@pytest.mark.parametrize("tags,counter", [
    ([tag(300, keys.RX_FREQ, 2e6)], "dropped_retune"),
    ([tag(300, keys.RX_RATE, 3e6)], "dropped_rate"),
    ([tag(300, keys.RX_FREQ, 0.0)], "dropped_retag"),
    ([tag(300, keys.RX_RATE, 1e6)], "dropped_retag"),
    ([rx_time(300, 5, 0.5)], "dropped_retag"),
    ([rx_time(300, 5, 0.5), tag(300, keys.RX_RATE, 3e6), tag(300, keys.RX_FREQ, 2e6)], "dropped_retune"),
    ([rx_time(300, 5, 0.5), tag(300, keys.RX_RATE, 3e6), tag(300, keys.RX_FREQ, 0.0)], "dropped_rate"),
], ids=["retune", "rate", "same-freq", "same-rate", "time", "all", "rate-and-time"])
def test_discontinuity_in_mid_frame(tags, counter):
    iq = noise(5 * FRAME)
    block, result = run_samples(iq, tags)
    rate = 3e6 if any(pmt.symbol_to_string(t.key) == keys.RX_RATE for t in tags) and counter != "dropped_retag" else 1e6
    after = expect(iq, [(300, None)], samp_rate=rate)
    assert np.array_equal(result.items, np.concatenate([expect(iq, [(0, FRAME)]), after]))
    assert list(result.tags) == [0, 1] and result.tags[1][keys.FRAME_START] == 300
    assert block.dropped_frames() == getattr(block, counter)() == 1


@pytest.mark.parametrize("overlap", [0.0, 0.5])
@pytest.mark.parametrize("offset", [1, 40, N - 1, N, FRAME - 1])
def test_first_frame_dropped(offset, overlap):
    iq = noise(4 * FRAME)
    block, result = run_samples(iq, [tag(offset, keys.RX_FREQ, 1e6)], overlap=overlap)
    hop = round(N * (1 - overlap))
    emitted = max(0, 1 + (offset - (K - 1) * hop - N) // (K * hop))
    assert np.array_equal(result.items[emitted:], expect(iq, [(offset, None)], overlap=overlap))
    assert result.tags[emitted][keys.FRAME_START] == offset and block.dropped_retune() == 1


def test_a_tag_on_a_frame_boundary_drops_nothing():
    iq = noise(4 * FRAME)
    block, result = run_samples(iq, [rx_time(2 * FRAME, 7, 0.0)])
    assert np.array_equal(result.items, tokenize(iq, 1e6, **SETTINGS).items)
    assert list(result.tags) == [0, 2] and block.dropped_frames() == 0
    assert keys.RX_TIME not in result.tags[0]
    assert result.tags[2][keys.FRAME_START] == 2 * FRAME and result.tags[2][keys.RX_TIME] == (7, 0.0)


def test_a_tag_where_overlapped_frames_meet_drops_the_one_that_reads_past_it():
    iq = noise(4 * FRAME)
    hop = N // 2
    block, result = run_samples(iq, [tag(K * hop, keys.RX_FREQ, 1e6)], overlap=0.5)
    assert block.dropped_retune() == 1 and list(result.tags) == [0]
    assert np.array_equal(result.items, expect(iq, [(K * hop, None)], overlap=0.5))


def test_settling_after_a_retune():
    iq = noise(6 * FRAME)
    retune = FRAME + 10
    block, result = run_samples(iq, [tag(retune, keys.RX_FREQ, 1e6)], settle_ms=0.1, samp_rate=1e6)
    assert np.array_equal(result.items, expect(iq, [(0, FRAME), (retune + 100, None)]))
    assert result.tags[1][keys.FRAME_START] == retune + 100 and block.dropped_retune() == 1


def test_settling_counts_from_the_last_retune_and_ignores_a_re_tag():
    iq = noise(6 * FRAME)
    tags = [tag(FRAME, keys.RX_FREQ, 1e6), tag(FRAME + 50, keys.RX_FREQ, 2e6), tag(FRAME + 80, keys.RX_FREQ, 2e6)]
    block, result = run_samples(iq, tags, settle_ms=0.1, samp_rate=1e6)
    assert np.array_equal(result.items, expect(iq, [(0, FRAME), (FRAME + 150, None)]))
    assert block.dropped_frames() == 0


def test_no_settling_after_a_re_tag():
    iq = noise(3 * FRAME)
    _, result = run_samples(iq, [tag(FRAME, keys.RX_FREQ, 0.0)], settle_ms=0.1)
    assert np.array_equal(result.items, tokenize(iq, 1e6, **SETTINGS).items)


def test_settling_past_the_end():
    block, result = run_samples(noise(FRAME + 50), [tag(FRAME, keys.RX_FREQ, 1e6)], settle_ms=60.0)
    assert len(result.items) == 1


def test_rx_time_is_advanced_to_the_frame():
    tags = [rx_time(0, 1700000000, 0.9), tag(3 * FRAME, keys.RX_FREQ, 1e6), tag(5 * FRAME, keys.RX_RATE, 500.0),
            tag(6 * FRAME, keys.RX_FREQ, 2e6)]
    _, result = run_samples(noise(7 * FRAME), tags, samp_rate=1000.0)
    for frame, seconds in {0: 0.9, 3: 0.9 + 3 * FRAME / 1000, 5: 0.9 + 5 * FRAME / 1000,
                           6: 0.9 + 5 * FRAME / 1000 + FRAME / 500}.items():
        whole, fraction = result.tags[frame][keys.RX_TIME]
        assert 0 <= fraction < 1
        assert whole - 1700000000 + fraction == pytest.approx(seconds, abs=1e-9)


def test_malformed_tags_are_counted_and_ignored():
    tags = [tag(10, keys.RX_FREQ, "high"), tag(20, keys.RX_RATE, -1.0), tag(30, keys.RX_RATE, float("nan")),
            tag(40, keys.RX_TIME, 3.0), tag(50, keys.RX_TIME, pmt.make_tuple(pmt.PMT_NIL, pmt.PMT_NIL)),
            tag(60, "burst", True)]
    iq = noise(3 * FRAME)
    block, result = run_samples(iq, tags)
    assert np.array_equal(result.items, tokenize(iq, 1e6, **SETTINGS).items)
    assert block.malformed() == 5 and block.dropped_frames() == 0 and list(result.tags) == [0]


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


@pytest.mark.parametrize("seed", range(40))
def test_random_tags_settings_and_buffers(seed):
    """Against a model that cuts the recording at its tags and tokenizes the pieces."""
    rng = np.random.default_rng(seed)
    fft_size = int(rng.choice([16, 64, 96, 1024]))
    overlap = float(rng.choice([0, 0.25, 0.9]))
    settings = {"fft_size": fft_size, "stride": 8, "average": int(rng.integers(1, 6)), "overlap": overlap}
    hop = round(fft_size * (1 - overlap))
    frame_hop = settings["average"] * hop
    iq = noise(int(rng.integers(0, 30 * frame_hop)), seed)
    iq[rng.integers(0, max(1, len(iq)), 2 if rng.random() < 0.5 else 0)] = np.nan
    cuts = np.unique(rng.integers(1, max(2, len(iq)), rng.integers(0, 8)))
    retunes = rng.random(len(cuts)) < 0.5
    settle = int(rng.choice([0, 37, 3 * fft_size]))

    tags, frames, starts, dropped, free_from = [], [], [], 0, 0
    edges = [0, *cuts.tolist(), len(iq)]
    for i, (begin, end) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        if i > 0:
            tags.append(tag(begin, keys.RX_FREQ, float(retunes[:i].sum())))
            if retunes[i - 1]:
                free_from = begin + settle  # a re-tag leaves the settling of an earlier retune as it is
        begin = max(begin, free_from)
        last = end == len(iq)
        piece = tokenize(iq[begin:end] if begin < end else iq[:0], 1e6, flush=last, **settings)
        frames.append(piece.items)
        starts += [begin + int(start) for start in piece.frame_start]
        whole = max(0, (end - begin - fft_size) // hop + 1) // settings["average"]
        dropped += not last and begin + whole * frame_hop < end

    block = fft_tokenizer(settle_ms=settle / 1e3, min_output_buffer=int(rng.choice([1, 64])), **settings)
    source = ChunkSource(iq, tags, lambda: int(rng.choice([1, 7, fft_size, 10_000])))
    result = run(block, source, int(rng.choice([1, 5, 100_000_000])))
    assert np.array_equal(result.items, np.concatenate(frames))
    assert block.dropped_frames() - block.dropped_nonfinite() == dropped
    start = -1
    for frame in range(len(starts)):
        start = result.tags[frame][keys.FRAME_START] if frame in result.tags else start + frame_hop
        assert start == starts[frame]


# ---------------------------------------------------------------- live parameters

class ScriptedSource(gr.sync_block):
    """Plays samples; when it gets to a sample in `script` it waits until the block has read all before it, and calls."""

    def __init__(self, iq, script, block):
        gr.sync_block.__init__(self, "scripted_source", None, [np.complex64])
        self.iq, self.script, self.block, self.at = iq, dict(script), block, 0

    def work(self, input_items, output_items):
        out = output_items[0]
        if self.at in self.script:
            call = self.script.pop(self.at)
            self.wait_until_read()
            call(self.block)
        stop = min([offset for offset in self.script if offset > self.at] + [len(self.iq), self.at + len(out)])
        n = stop - self.at
        if n == 0:
            return -1
        out[:n] = self.iq[self.at:stop]
        self.at = stop
        return n

    def wait_until_read(self):
        before = -1
        while before != (before := self.block.nitems_read(0)) or before < self.at - N:
            time.sleep(0.02)


def run_script(iq, script, **parameters):
    block = fft_tokenizer(**{**SETTINGS, **parameters})
    source = ScriptedSource(iq, script, block)
    return block, run(block, source)


def test_average_changes_at_the_next_frame_with_new_tags():
    iq = noise(20 * FRAME)
    _, result = run_script(iq, {5 * FRAME + 2 * N: lambda b: b.set_average(2), 10 * FRAME: lambda b: b.set_average(16)})
    assert result.k_eff[:6] == [4] * 6
    first_16 = result.k_eff.index(16)
    assert result.k_eff[6:first_16] == [2] * (first_16 - 6) and set(result.k_eff[first_16:-1]) == {16}
    assert {frame: (tags[keys.FRAME_START], tags[keys.FRAME_AVERAGE], tags[keys.FRAME_HOP])
            for frame, tags in result.tags.items()} == {
        0: (0, 4, FRAME), 6: (6 * FRAME, 2, 2 * N), first_16: (6 * FRAME + (first_16 - 6) * 2 * N, 16, 16 * N)}
    start = result.tags[first_16][keys.FRAME_START]
    parts = [(0, 6 * FRAME, 4), (6 * FRAME, start, 2), (start, None, 16)]
    expected = [expect(iq, [(begin, end)], average=average) for begin, end, average in parts]
    assert np.array_equal(result.items, np.concatenate(expected))


@pytest.mark.parametrize("change,counter,key,value", [
    (lambda b: b.set_center_freq(2e6), "dropped_retune", keys.RX_FREQ, 2e6),
    (lambda b: b.set_samp_rate(5e5), "dropped_rate", keys.RX_RATE, 5e5)])
def test_live_parameter_is_a_discontinuity(change, counter, key, value):
    iq = noise(10 * FRAME)
    block, result = run_script(iq, {2 * FRAME + 2 * N: change})
    assert getattr(block, counter)() == block.dropped_frames() == 1
    assert list(result.tags) == [0, 2] and result.tags[2][key] == value
    start = result.tags[2][keys.FRAME_START]
    assert 2 * FRAME < start <= 2 * FRAME + 2 * N
    assert np.array_equal(result.psd[2:], tokenize(iq[start:], 1e6, **SETTINGS).psd)


def test_live_parameter_is_overruled_by_tags():
    iq = noise(4 * FRAME)
    block = fft_tokenizer(**SETTINGS)

    class Tagged(ScriptedSource):
        def work(self, input_items, output_items):
            if self.at == 0:
                self.add_item_tag(0, 0, pmt.intern(keys.RX_FREQ), pmt.from_double(1e6))
                self.add_item_tag(0, 0, pmt.intern(keys.RX_RATE), pmt.from_double(1e6))
            return super().work(input_items, output_items)

    def change(b):
        b.set_center_freq(7e6)
        b.set_samp_rate(7e6)

    source = Tagged(iq, {FRAME + N: change}, block)
    result = run(block, source)
    assert list(result.tags) == [0] and block.dropped_frames() == 0 and len(result.items) == 4
    assert block.center_freq() == block.samp_rate() == 7e6


def test_waiting_for_samples_takes_no_processor_time():
    iq = noise(2 * FRAME + 100)
    spent = []

    def pause(block):
        before = time.process_time()
        time.sleep(0.5)
        spent.append(time.process_time() - before)

    run_script(iq, {FRAME + 70: pause})
    assert spent[0] < 0.1


# ---------------------------------------------------------------- status and refusals

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
    tags = [tag(offset, keys.RX_FREQ, float(offset)) for offset in (100, 200, 300)]
    top.connect(blocks.vector_source_c(noise(3 * FRAME), False, 1, tags), block,
                blocks.null_sink(block.item_size() * gr.sizeof_float))
    top.msg_connect((block, keys.STATUS), (keeper, "in"))
    top.run()
    assert keeper.arrived.wait(5)
    assert [kept[keys.STATUS_STATE] for kept in keeper.kept] == ["dropped", "stopped"]  # at most one a second
    last = keeper.kept[-1]
    assert last[keys.BLOCK] == "fft_tokenizer" and "3 dropped" in last[keys.MESSAGE]
    assert last[keys.FRAMES] == block.frames() == 2
    assert last[keys.DROPPED_FRAMES] == last[keys.DROPPED_RETUNE] == 3
    for name in (keys.DROPPED_RATE, keys.DROPPED_RETAG, keys.DROPPED_NONFINITE, keys.MALFORMED):
        assert last[name] == 0


@pytest.mark.parametrize("argument,value,range_named", [
    ("fft_size", 15, "16..65536"), ("fft_size", 65537, "16..65536"), ("stride", 0, "1..fft_size"), ("stride", -1, "1..fft_size"),
    ("stride", 7, "does not divide"), ("stride", 2048, "1..fft_size"), ("average", 0, "1..64"), ("average", 65, "1..64"),
    ("overlap", -0.01, "0..0.95"), ("overlap", 0.96, "0..0.95"), ("overlap", float("nan"), "0..0.95"),
    ("window", "boxcar", "blackmanharris"), ("samp_rate", 0.0, "positive"), ("samp_rate", float("inf"), "positive"),
    ("center_freq", float("nan"), "finite"), ("settle_ms", -1.0, "0..60000"), ("settle_ms", 60001.0, "0..60000"),
    ("min_output_buffer", 0, "1..65536"), ("min_output_buffer", 65537, "1..65536")])
def test_argument_out_of_range(argument, value, range_named):
    with pytest.raises(ValueError, match=argument) as refused:
        fft_tokenizer(**{argument: value})
    assert range_named in str(refused.value) and "\n" not in str(refused.value)
    assert (f"{value:g}" if isinstance(value, float) else str(value)) in str(refused.value)


@pytest.mark.parametrize("setter,value", [("set_average", 0), ("set_average", 65), ("set_samp_rate", -1.0),
                                          ("set_center_freq", float("inf")), ("set_settle_ms", -1.0)])
def test_live_value_out_of_range_changes_nothing(setter, value):
    block = fft_tokenizer()
    before = block.average(), block.samp_rate(), block.center_freq(), block.settle_ms()
    with pytest.raises(ValueError, match=setter.removeprefix("set_")):
        getattr(block, setter)(value)
    assert (block.average(), block.samp_rate(), block.center_freq(), block.settle_ms()) == before
