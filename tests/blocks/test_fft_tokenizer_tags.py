# SPDX-License-Identifier: GPL-3.0-or-later
"""The block fft_tokenizer: tags with exact offsets, discontinuities, live parameters."""

import time

import numpy as np
import pmt
import pytest
from fft_tokenizer_rig import FRAME, SETTINGS, ChunkSource, K, N, expect, noise, run, run_samples, rx_time, tag
from gnuradio import gr
from gnuradio.spectrumencoder import fft_tokenizer, keys, tokenize


def test_tags_of_the_first_frame():
    block, result = run_samples(noise(3 * FRAME), samp_rate=2e6, center_freq=433.9e6)
    assert result.tags == {0: {keys.RX_FREQ: 433.9e6, keys.RX_RATE: 2e6, keys.FRAME_START: 0, keys.FRAME_HOP: FRAME,
                               keys.FRAME_AVERAGE: K}}


def test_tags_say_what_is_not_stated_and_do_not_settle_at_the_start():
    tags = [tag(0, keys.RX_FREQ, 100e6), tag(0, keys.RX_RATE, 5e5), rx_time(0, 1700000000, 0.25)]
    block, result = run_samples(noise(3 * FRAME), tags, settle_ms=10.0)
    first = result.tags[0]
    assert (first[keys.RX_FREQ], first[keys.RX_RATE], first[keys.RX_TIME]) == (100e6, 5e5, (1700000000, 0.25))
    assert first[keys.FRAME_START] == 0 and len(result.items) == 3
    assert result.items[0, N // 8 * 10 + 2] == np.float32(5e5 / N)


@pytest.mark.parametrize("tags,counter", [
    ([tag(300, keys.RX_FREQ, 2e6)], "dropped_retune"),
    ([tag(300, keys.RX_RATE, 3e6)], "dropped_rate"),
    ([rx_time(300, 5, 0.5)], "dropped_retag"),
    ([rx_time(300, 5, 0.5), tag(300, keys.RX_RATE, 3e6), tag(300, keys.RX_FREQ, 2e6)], "dropped_retune"),
    ([rx_time(300, 5, 0.5), tag(300, keys.RX_RATE, 3e6), tag(300, keys.RX_FREQ, 5e6)], "dropped_rate"),
], ids=["retune", "rate", "time", "all", "rate-and-time"])
def test_discontinuity_in_mid_frame(tags, counter):
    """44 samples after the first frame are left out: less than a window, and no frame. Alone between two breaks they are one."""
    iq = noise(5 * FRAME)
    block, result = run_samples(iq, tags, center_freq=5e6)
    rate = 3e6 if any(pmt.symbol_to_string(t.key) == keys.RX_RATE for t in tags) else 1e6
    after = expect(iq, [(300, None)], samp_rate=rate)
    assert np.array_equal(result.items, np.concatenate([expect(iq, [(0, FRAME)]), after]))
    assert list(result.tags) == [0, 1] and result.tags[1][keys.FRAME_START] == 300
    assert block.dropped_frames() == 0
    block, alone = run_samples(iq, [rx_time(FRAME, 3, 0.0), *tags], center_freq=5e6)
    assert np.array_equal(alone.items, result.items)
    assert block.dropped_frames() == getattr(block, counter)() == 1


@pytest.mark.parametrize("overlap", [0.0, 0.5])
@pytest.mark.parametrize("offset", [1, 40, N - 1, N, FRAME - 1])
def test_a_break_in_the_first_frame_leaves_a_short_one(offset, overlap):
    iq = noise(4 * FRAME)
    block, result = run_samples(iq, [tag(offset, keys.RX_FREQ, 1e6)], overlap=overlap)
    before = expect(iq, [(0, offset)], overlap=overlap)  # as at the end of a recording
    assert np.array_equal(result.items, np.concatenate([before, expect(iq, [(offset, None)], overlap=overlap)]))
    assert result.tags[len(before)][keys.FRAME_START] == offset
    assert block.dropped_retune() == block.dropped_frames() == (offset < N)
    assert keys.RX_FREQ not in result.tags.get(0, {}) or offset < N  # a frequency that nobody stated is not known


def test_a_tag_on_a_frame_boundary_drops_nothing():
    iq = noise(4 * FRAME)
    block, result = run_samples(iq, [rx_time(2 * FRAME, 7, 0.0)])
    assert np.array_equal(result.items, tokenize(iq, 1e6, **SETTINGS).items)
    assert list(result.tags) == [0, 2] and block.dropped_frames() == 0
    assert keys.RX_TIME not in result.tags[0]
    assert result.tags[2][keys.FRAME_START] == 2 * FRAME and result.tags[2][keys.RX_TIME] == (7, 0.0)


def test_a_tag_where_overlapped_frames_meet_shortens_the_one_that_reads_past_it():
    iq = noise(4 * FRAME)
    hop = N // 2
    block, result = run_samples(iq, [tag(K * hop, keys.RX_FREQ, 1e6)], overlap=0.5)
    assert block.dropped_frames() == 0 and list(result.tags) == [0, 1] and result.k_eff[0] == K - 1
    assert np.array_equal(result.items, expect(iq, [(0, K * hop), (K * hop, None)], overlap=0.5))


def test_settling_after_a_retune():
    iq = noise(6 * FRAME)
    retune = FRAME + 10
    block, result = run_samples(iq, [tag(retune, keys.RX_FREQ, 1e6)], settle_ms=0.1, samp_rate=1e6)
    assert np.array_equal(result.items, expect(iq, [(0, FRAME), (retune + 100, None)]))
    assert result.tags[1][keys.FRAME_START] == retune + 100 and block.dropped_frames() == 0


def test_settling_counts_from_the_last_retune_and_ignores_a_re_tag():
    iq = noise(6 * FRAME)
    tags = [tag(FRAME, keys.RX_FREQ, 1e6), tag(FRAME + 50, keys.RX_FREQ, 2e6), tag(FRAME + 80, keys.RX_FREQ, 2e6)]
    block, result = run_samples(iq, tags, settle_ms=0.1, samp_rate=1e6)
    assert np.array_equal(result.items, expect(iq, [(0, FRAME), (FRAME + 150, None)]))
    assert block.dropped_frames() == 0


def test_no_settling_after_a_gap():
    iq = noise(3 * FRAME)
    _, result = run_samples(iq, [rx_time(0, 5, 0.0), rx_time(FRAME, 7, 0.0)], settle_ms=0.1)
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
    retunes, repeats = rng.random((2, len(cuts))) < 0.5
    settle = int(rng.choice([0, 37, 3 * fft_size]))

    tags, frames, starts, dropped, free_from = [tag(0, keys.RX_FREQ, 1.0), rx_time(0, 0, 0.0)], [], [], 0, 0
    edges = [0, *cuts.tolist(), len(iq)]
    for i, (begin, end) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        if i > 0:
            tags += [tag(begin, keys.RX_FREQ, 1.0 + retunes[:i].sum()), rx_time(begin, 10 * i, 0.0)]
            if retunes[i - 1]:
                free_from = begin + settle  # a re-tag leaves the settling of an earlier retune as it is
        if i < len(cuts) and repeats[i]:  # anywhere: it continues what is known
            within = int(rng.integers(begin, end)) if end > begin else begin
            tags += [tag(within, keys.RX_FREQ, 1.0 + retunes[:i].sum()), rx_time(within, 10 * i, (within - begin) / 1e6)]
        begin = max(begin, free_from)
        last = end == len(iq)
        piece = tokenize(iq[begin:end] if begin < end else iq[:0], 1e6, **settings)
        frames.append(piece.items)
        starts += [begin + int(start) for start in piece.frame_start]
        dropped += not last and 0 < end - begin < fft_size  # no window, so no frame

    block = fft_tokenizer(settle_ms=settle / 1e3, min_output_buffer=int(rng.choice([1, 64])), **settings)
    source = ChunkSource(iq, tags, lambda: int(rng.choice([1, 7, fft_size, 10_000])))
    result = run(block, source, int(rng.choice([1, 5, 100_000_000])))
    assert np.array_equal(result.items, np.concatenate(frames))
    assert block.dropped_frames() - block.dropped_nonfinite() == dropped
    start = -1
    for frame in range(len(starts)):
        start = result.tags[frame][keys.FRAME_START] if frame in result.tags else start + frame_hop
        assert start == starts[frame]


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


@pytest.mark.parametrize("change,key,value", [
    (lambda b: b.set_center_freq(2e6), keys.RX_FREQ, 2e6), (lambda b: b.set_samp_rate(5e5), keys.RX_RATE, 5e5)])
def test_live_parameter_is_a_discontinuity(change, key, value):
    iq = noise(10 * FRAME)
    block, result = run_script(iq, {2 * FRAME + 2 * N: change})
    assert block.dropped_frames() == 0  # what is left of the first stretch is less than a window
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
