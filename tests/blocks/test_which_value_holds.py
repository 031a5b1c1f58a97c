# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of tags, what holds if tags and parameters differ, and what is a break: the reader that all blocks share."""

import json
import math

import numpy as np
import pmt
import pytest
from fft_tokenizer_rig import FRAME, SETTINGS, ChunkSource, K, N, expect, noise, run_samples, rx_time, tag
from flowgraphs import message_store, run_within, stored
from gnuradio import blocks, filter, gr
from gnuradio.filter import firdes
from gnuradio.spectrumencoder import anomaly_detector, fft_tokenizer, keys, sigmf_source, snippet_recorder, spectrum_monitor
from gnuradio.spectrumencoder.blocks.tags import frame_tags
from gnuradio.spectrumencoder.tokens.tokenize import native_module

native = native_module()
HZ, RATE, T0 = 433.92e6, 2.4e6, 1_700_000_000


def vector(*items):
    made = pmt.make_vector(len(items), pmt.PMT_NIL)
    for index, item in enumerate(items):
        pmt.vector_set(made, index, item)
    return made


def time_of(seconds, fraction=0.0):
    return pmt.make_tuple(pmt.from_uint64(seconds), pmt.from_double(fraction))


NUMBERS = {  # PMT -> its values by channel; None: malformed
    "double": (pmt.from_double(HZ), [HZ, HZ]), "integer": (pmt.from_long(433920000), [HZ, HZ]),
    "unsigned": (pmt.from_uint64(433920000), [HZ, HZ]),
    "f64": (pmt.init_f64vector(2, [HZ, 868.3e6]), [HZ, 868.3e6, None]),
    "f32": (pmt.init_f32vector(2, [1e6, 2e6]), [1e6, 2e6, None]),
    "s64": (pmt.init_s64vector(2, [433920000, -5]), [HZ, -5.0]), "u32": (pmt.init_u32vector(1, [7]), [7.0, None]),
    "vector": (vector(pmt.from_double(1.5), pmt.from_long(2)), [1.5, 2.0, None]),
    "tuple": (pmt.make_tuple(pmt.from_long(3), pmt.from_double(4.5)), [3.0, 4.5, None]),
    "empty": (pmt.init_f64vector(0, []), [None]), "text": (pmt.intern("high"), [None]), "nothing": (pmt.PMT_NIL, [None]),
    "true": (pmt.PMT_T, [None]), "complex": (pmt.from_complex(1j), [None]), "infinite": (pmt.from_double(math.inf), [None]),
    "complexes": (pmt.init_c64vector(1, [1j]), [None]), "bytes": (pmt.init_u8vector(2, [1, 2]), [None]),
    "dict": (pmt.to_pmt({"hz": 1.0}), [None]), "texts": (vector(pmt.intern("high")), [None]),
    "pair": (pmt.cons(pmt.from_double(1.0), pmt.from_double(2.0)), [None])}

TIMES = {  # PMT -> (seconds, fraction); None: malformed
    "tuple": (time_of(5, 0.25), (5, 0.25)), "pair": (pmt.cons(pmt.from_uint64(5), pmt.from_double(0.25)), (5, 0.25)),
    "vector": (vector(pmt.from_long(5), pmt.from_double(0.25)), (5, 0.25)), "doubles": (
        pmt.make_tuple(pmt.from_double(5.5), pmt.from_double(0.25)), (5, 0.75)),
    "list": (pmt.list2(pmt.from_uint64(5), pmt.from_double(0.25)), (5, 0.25)),
    "three": (pmt.make_tuple(pmt.from_uint64(5), pmt.from_double(0.25), pmt.PMT_NIL), (5, 0.25)),
    "array": (vector(time_of(5, 0.25), time_of(6)), (5, 0.25)), "number": (pmt.from_double(5.25), None),
    "negative": (pmt.make_tuple(pmt.from_long(-1), pmt.from_double(0.0)), None),
    "one": (pmt.make_tuple(pmt.from_uint64(5)), None),
    "text": (pmt.make_tuple(pmt.intern("5"), pmt.from_double(0.0)), None), "nil": (pmt.PMT_NIL, None),
    "nothings": (pmt.make_tuple(pmt.PMT_NIL, pmt.PMT_NIL), None), "dict": (pmt.to_pmt({"s": 1.0}), None),
    "nan": (pmt.make_tuple(pmt.from_uint64(5), pmt.from_double(math.nan)), None)}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name):
    value, by_channel = NUMBERS[name]
    for channel, wanted in enumerate(by_channel):
        assert native.tag_frequency(value, channel) == wanted
        assert native.tag_rate(value, channel) == (wanted if wanted is not None and wanted > 0 else None)


@pytest.mark.parametrize("name", TIMES)
def test_times(name):
    value, wanted = TIMES[name]
    assert native.tag_time(value) == wanted
    if name == "array":
        assert native.tag_time(value, 1) == (6, 0.0)


def test_a_frequency_of_nan_is_not_known_and_a_rate_of_nan_is_malformed():
    assert math.isnan(native.tag_frequency(pmt.from_double(math.nan))) and native.tag_rate(pmt.from_double(math.nan)) is None


class FrameReader(gr.sync_block):
    """Reads its tags as Python blocks of frames do."""

    def __init__(self):
        gr.sync_block.__init__(self, "frame_reader", [np.float32], None)
        self.malformed, self.found, self.said = 0, {}, []

    def log_due(self, subject):
        return True

    def publish_status(self, state, text):
        self.said.append(state)

    def work(self, input_items, output_items):
        begin = self.nitems_read(0)
        for frame, values in frame_tags(self, len(input_items[0])).items():
            self.found[begin + frame] = values
        return len(input_items[0])


def test_python_blocks_read_the_same_values():
    rows = [(keys.RX_FREQ, *row) for row in NUMBERS.values()]
    rows += [(keys.RX_TIME, value, [wanted]) for value, wanted in TIMES.values()]
    tags = [tag(at, key, value) for at, (key, value, _) in enumerate(rows)]
    reader, top = FrameReader(), gr.top_block()
    top.connect(blocks.vector_source_f([0.0] * 100, False, 1, tags), reader)
    top.run()
    wanted = {at: {key: sum(values[0]) if key == keys.RX_TIME else values[0]} for at, (key, _, values) in enumerate(rows)
              if values[0] is not None}
    assert reader.found == wanted and reader.malformed == len(rows) - len(wanted) > 10


def test_the_tokenizer_takes_one_channel_of_an_array():
    tags = [tag(0, keys.RX_FREQ, pmt.init_f64vector(2, [HZ, 868.3e6])),
            tag(0, keys.RX_RATE, pmt.init_s64vector(2, [2400000] * 2))]
    for channel, freq in enumerate((HZ, 868.3e6)):
        block, result = run_samples(noise(2 * FRAME), tags, tag_channel=channel)
        assert (result.tags[0][keys.RX_FREQ], result.tags[0][keys.RX_RATE], block.malformed()) == (freq, RATE, 0)
    block, result = run_samples(noise(2 * FRAME), tags, tag_channel=2, samp_rate=1e6, center_freq=5e6)
    assert (result.tags[0][keys.RX_FREQ], result.tags[0][keys.RX_RATE], block.malformed()) == (5e6, 1e6, 2)


# Precedence

def values(tags, **parameters):
    """(rx_freq, rx_rate) of the frames from each tagged one on; warnings."""
    block = fft_tokenizer(**SETTINGS | parameters)
    top, store = gr.top_block(), message_store()
    source = blocks.vector_source_c(noise(12 * FRAME), False, 1, tags)
    sink = blocks.vector_sink_f(block.item_size(), 64)
    top.connect(source, block, sink)
    top.msg_connect(block, keys.STATUS, store, "store")
    assert run_within(top, [store]) is None
    told = {}
    for one in sink.tags():
        told.setdefault(one.offset, {})[pmt.symbol_to_string(one.key)] = pmt.to_python(one.value)
    warnings = [m[keys.MESSAGE] for m in stored(store) if m[keys.STATUS_STATE] == "contradicted"]
    return [(one.get(keys.RX_FREQ), one[keys.RX_RATE]) for _, one in sorted(told.items())], warnings


TAGS = [tag(0, keys.RX_FREQ, HZ), tag(0, keys.RX_RATE, RATE), tag(4 * FRAME, keys.RX_FREQ, HZ + 2e6),
        tag(8 * FRAME, keys.RX_RATE, RATE / 2)]


def test_what_nobody_stated_the_tags_say():
    assert values(TAGS) == ([(HZ, RATE), (HZ + 2e6, RATE), (HZ + 2e6, RATE / 2)], [])


def test_stated_values_hold_and_tags_are_followed_from_there():
    """As behind a filter that shifts by 400 kHz and decimates by 4, with no option: F13."""
    told, warnings = values(TAGS, samp_rate=6e5, center_freq=HZ + 4e5)
    assert told == [(HZ + 4e5, 6e5), (HZ + 2.4e6, 6e5), (HZ + 2.4e6, 3e5)]
    assert len(warnings) == 2 and all(word in warnings[0] for word in ("2400000", "600000", "rate_factor", "use_tags"))
    assert all(word in warnings[1] for word in ("433920000", "434320000", "freq_offset", "center_freq"))


def test_the_same_said_outright():
    """center_freq and samp_rate agree with it, or are not stated: nothing to warn of."""
    for stated in ({}, {"samp_rate": 6e5, "center_freq": HZ + 4e5}):
        assert values(TAGS, rate_factor=0.25, freq_offset=4e5, **stated) == (
            [(HZ + 4e5, 6e5), (HZ + 2.4e6, 6e5), (HZ + 2.4e6, 3e5)], [])
    told, warnings = values(TAGS[:2], freq_offset=9.75e9, center_freq=HZ)
    assert told == [(HZ + 9.75e9, RATE)] and len(warnings) == 1 and "freq_offset" in warnings[0]


def test_rounding_of_a_radio_is_no_contradiction():
    told, warnings = values([tag(0, keys.RX_FREQ, HZ + 700.0), tag(0, keys.RX_RATE, RATE + 0.3)], samp_rate=RATE, center_freq=HZ)
    assert told == [(HZ + 700.0, RATE + 0.3)] and warnings == []


@pytest.mark.parametrize(("stated", "holds"), [(10.489e9, 10.489e9), (132.1e6, 132.1e6), (1.2e6, HZ), (1.21e6, 1.21e6)],
                         ids=["lnb", "upconverter", "placeholder", "low"])
def test_a_centre_whose_band_would_reach_zero_is_a_placeholder(stated, holds):
    told, warnings = values(TAGS[:2], samp_rate=RATE, center_freq=stated)
    assert told == [(holds, RATE)] and len(warnings) == 1 and f"the {'tag' if holds == HZ else 'parameter'} holds" in warnings[0]


def test_tags_ignored():
    assert values(TAGS, use_tags=False, samp_rate=6e5, center_freq=HZ) == ([(HZ, 6e5)], [])


def test_without_any_statement_the_frequency_is_not_known():
    assert values([]) == ([(None, 1e6)], [])
    told, _ = values([tag(0, keys.RX_FREQ, HZ), tag(4 * FRAME, keys.RX_FREQ, math.nan), tag(8 * FRAME, keys.RX_FREQ, HZ)])
    assert told[0][0] == told[2][0] == HZ and math.isnan(told[1][0]) and len(told) == 3


def test_a_first_tag_in_mid_stream_is_a_change():
    told, warnings = values([tag(4 * FRAME, keys.RX_FREQ, 2e6)], center_freq=1e6)
    assert [freq for freq, _ in told] == [1e6, 2e6] and warnings == []


def state(**options):
    return native.stream_state(**options)


def test_a_live_change_waits_for_the_tag_of_a_radio():
    followed = state(samp_rate=1e6, center_freq=100e6)
    followed.take(tag(0, keys.RX_FREQ, 100e6))
    followed.take(tag(0, keys.RX_RATE, 1e6))
    assert followed.set_parameters(1e6, 200e6, 5000) == "" and followed.center_freq == 100e6
    assert followed.take(tag(9000, keys.RX_FREQ, 200e6)) == "retune" and followed.center_freq == 200e6
    assert followed.set_parameters(1e6, 200e6, 5_000_000) == "" and followed.center_freq == 200e6
    # no tag comes: a filter was moved, not the radio
    assert followed.set_parameters(1e6, 200.3e6, 6_000_000) == ""
    assert followed.set_parameters(1e6, 200.3e6, 7_999_999) == "" and followed.center_freq == 200e6
    assert followed.set_parameters(1e6, 200.3e6, 8_000_000) == "retune" and followed.center_freq == 200.3e6
    assert len(followed.take_warnings()) == 1 and followed.take_warnings() == []
    assert followed.take(tag(9_000_000, keys.RX_FREQ, 210e6)) == "retune" and followed.center_freq == pytest.approx(210.3e6)


@pytest.mark.parametrize(("tagged", "wanted"), [(101e6, 101.4e6), (102e6, 103.4e6)], ids=["radio-and-filter", "filter-alone"])
def test_behind_a_filter_a_live_change_holds_at_once(tagged, wanted):
    """center_freq goes to 101.4 MHz. A tag of 101 MHz says that the radio did it; another one, that the filter had moved."""
    followed = state(samp_rate=1e6, center_freq=100.4e6)
    followed.take(tag(0, keys.RX_FREQ, 100e6))
    assert followed.center_freq == 100.4e6
    assert followed.set_parameters(1e6, 101.4e6, 5000) == "retune" and followed.center_freq == 101.4e6
    followed.take(tag(9000, keys.RX_FREQ, tagged))
    assert followed.center_freq == pytest.approx(wanted)


def test_without_tags_a_live_change_holds_at_once():
    followed = state(samp_rate=1e6, center_freq=100e6)
    assert followed.set_parameters(2e6, 100e6, 10) == "rate" and followed.samp_rate == 2e6
    assert followed.set_parameters(2e6, 0.0, 20) == "retune" and followed.center_freq is None


# Breaks

def contiguous(every, n, rate, digits=None):
    """rx_time tags that are right, every so many samples; digits: rounded to as many."""
    made = []
    for at in range(0, n, every):
        whole, rest = divmod(at, rate)
        fraction = rest / rate if digits is None else round(rest / rate, digits)
        made.append(rx_time(at, T0 + int(whole), fraction))
    return made


@pytest.mark.parametrize("digits", [None, 6])
@pytest.mark.parametrize("every", [FRAME // 2, FRAME, 100, 7777])
def test_times_that_continue_are_no_break(every, digits):
    """F14; and as SigMF states them, in microseconds."""
    n = 40 * FRAME
    tags = [tag(0, keys.RX_FREQ, HZ), tag(0, keys.RX_RATE, RATE), *contiguous(every, n, int(RATE), digits)]
    tags += [tag(at, key, value) for at in range(50, n, 999) for key, value in ((keys.RX_FREQ, HZ), (keys.RX_RATE, RATE))]
    block, result = run_samples(noise(n), tags)
    assert (block.overflows(), block.dropped_frames(), block.short_frames(), block.time_backward()) == (0, 0, 0, 0)
    assert list(result.tags) == [0] and np.array_equal(result.items, expect(noise(n), [(0, n)], samp_rate=RATE))


def test_times_computed_as_doubles_of_posix_seconds_continue():
    rate, n = 20_000_000, 50 * FRAME
    tags = [tag(0, keys.RX_RATE, float(rate))]
    for at in range(0, n, 1000):
        fraction, whole = math.modf(T0 + 0.3 + at / rate)
        tags.append(rx_time(at, int(whole), fraction))
    block, _ = run_samples(noise(n), tags)
    assert (block.overflows(), block.dropped_frames()) == (0, 0)


@pytest.mark.parametrize(("late", "is_break"), [(0.4, False), (-0.4, False), (0.6, True), (1, True), (-1, True), (1e6, True)])
def test_a_time_is_another_from_half_a_sample_on(late, is_break):
    at, rate = 2 * FRAME + 3 * N + 5, 1e6
    tags = [tag(0, keys.RX_RATE, rate), rx_time(0, T0, 0.123), rx_time(at, T0 + 1, (0.123 + (at + late) / rate - 1) % 1)]
    seconds, fraction = divmod(0.123 + (at + late) / rate, 1.0)
    tags[2] = rx_time(at, T0 + int(seconds), fraction)
    iq = noise(6 * FRAME)
    block, result = run_samples(iq, tags)
    spans = [(0, at), (at, None)] if is_break else [(0, None)]  # the frame before the break is short, as at the end
    assert np.array_equal(result.items, expect(iq, spans))
    assert (block.overflows(), block.short_frames(), block.dropped_frames()) == (is_break, sum(k < K for k in result.k_eff), 0)
    assert block.time_backward() == (late == -1)
    if is_break:
        whole, fraction = result.tags[3][keys.RX_TIME]
        assert result.tags[3][keys.FRAME_START] == at
        assert whole - T0 + fraction == pytest.approx(0.123 + (at + late) / rate, abs=1e-9)


def test_times_that_run_backwards_are_said_once():
    tags = [rx_time(k * FRAME, T0 - k, 0.0) for k in range(5)]
    block, top, store = fft_tokenizer(**SETTINGS), gr.top_block(), message_store()
    top.source = ChunkSource(noise(6 * FRAME), tags)
    top.connect(top.source, block, blocks.null_sink(4 * block.item_size()))
    top.msg_connect(block, keys.STATUS, store, "store")
    assert run_within(top, [store]) is None
    said = [m for m in stored(store) if m[keys.STATUS_STATE] == "time_backward"]
    assert block.time_backward() == block.overflows() == 4 and len(said) == 1 and stored(store)[-1][keys.TIME_BACKWARD] == 4


@pytest.mark.parametrize(("live", "timed", "overflows"), [(True, False, 1), (True, True, 0), (False, False, 0)])
def test_a_radio_without_a_clock_reports_an_overflow_by_the_same_tags_again(live, timed, overflows):
    tags = [tag(at, key, value) for at in (0, 2 * FRAME) for key, value in ((keys.RX_FREQ, HZ), (keys.RX_RATE, 1e6))]
    block, result = run_samples(noise(4 * FRAME), tags + ([rx_time(0, T0, 0.0)] if timed else []), live=live)
    assert block.overflows() == overflows and len(result.tags) == 1 + overflows and block.dropped_frames() == 0


def test_captures_shorter_than_a_frame_give_short_frames():
    """F05: 20 stored bursts of 3.5 windows, 0.1 s apart."""
    size = 3 * N + N // 2
    tags = [rx_time(k * size, T0, k * 0.1) if k < 10 else rx_time(k * size, T0 + k // 10, k % 10 / 10) for k in range(20)]
    iq = noise(20 * size)
    block, result = run_samples(iq, tags)
    assert result.k_eff == [3] * 20 and block.short_frames() == 20 and block.dropped_frames() == 0 and block.overflows() == 19
    assert np.array_equal(result.items, expect(iq, [(k * size, (k + 1) * size) for k in range(20)]))
    assert [result.tags[k][keys.FRAME_START] for k in range(20)] == [k * size for k in range(20)]


def test_a_malformed_tag_is_said_once_and_counted():
    block, top, store = fft_tokenizer(**SETTINGS), gr.top_block(), message_store()
    tags = [tag(at, keys.RX_FREQ, pmt.intern("high")) for at in range(0, 500, 100)]
    top.source = ChunkSource(noise(6 * FRAME), tags)
    top.connect(top.source, block, blocks.null_sink(4 * block.item_size()))
    top.msg_connect(block, keys.STATUS, store, "store")
    assert run_within(top, [store]) is None
    said = [m[keys.MESSAGE] for m in stored(store) if m[keys.STATUS_STATE] == "malformed"]
    assert block.malformed() == 5 and len(said) == 1 and "rx_freq" in said[0] and "high" in said[0]


# The chain and the recorder

def test_a_tone_behind_a_decimating_filter_is_where_it_is(small_model, make_recording, noise):
    """F13: the filter passes rx_rate and rx_freq on unchanged; only its rate and centre are stated."""
    rate, decim, shift, n = 2.4e6, 4, 400e3, 4 * 512 * 160
    iq = noise(n, -60.0)
    at = np.arange(n)
    iq[4 * 512 * 60:4 * 512 * 100] += (0.1 * np.exp(2j * np.pi * (shift + 50e3) / rate * at))[4 * 512 * 60:4 * 512 * 100]
    path = make_recording(iq.astype(np.complex64), samp_rate=rate)
    top = gr.top_block()
    top.source = sigmf_source(path)
    top.filter = filter.freq_xlating_fir_filter_ccf(decim, firdes.low_pass(1, rate, 250e3, 100e3), shift, rate)
    top.monitor = spectrum_monitor(small_model, samp_rate=rate / decim, center_freq=HZ + shift, average=4, learn_s=0.03,
                                   false_events_per_hour=1e5)
    top.store = message_store()
    top.connect(top.source, top.filter, top.monitor)
    top.msg_connect(top.monitor, "anomalies", top.store, "store")
    assert run_within(top, [top.source, *top.monitor.blocks, top.store], 20) is None
    events = [e for e in stored(top.store) if e["state"] == "open" and e["alert"] == "new"]
    assert events and all(keys.FREQ_RELATIVE not in e for e in events)
    strongest = max(events, key=lambda e: e[keys.POWER_DBFS])
    assert strongest[keys.FREQ_CENTER_HZ] == pytest.approx(HZ + shift + 50e3, abs=1.5 * rate / decim / 128)
    assert strongest[keys.BANDWIDTH_HZ] < 12 * rate / decim / 128


def snippets_of(tmp_path, tags, **parameters):
    """Metadata of the snippet of an event of samples [20000, 30000) of a stream at 2.4 MS/s."""
    folder = tmp_path / "snippets"
    event = {keys.EVENT_ID: "1", keys.STATE: "open", keys.SAMPLE_START: 20000, keys.SAMPLE_COUNT: 10000,
             keys.TIMESTAMP: T0 + 20000 / RATE, keys.FREQ_CENTER_HZ: HZ, keys.BANDWIDTH_HZ: 1e4}
    recorder = snippet_recorder(str(folder), pre_s=0.001, post_s=0.001, **parameters)

    class Announcer(ChunkSource):
        def work(self, input_items, output_items):
            if self.at == len(self.iq):
                for state in ("open", "close"):
                    recorder.to_basic_block()._post(pmt.intern(keys.EVENTS), pmt.to_pmt({**event, keys.STATE: state}))
            return super().work(input_items, output_items)

    top = gr.top_block()
    top.source = Announcer(noise(60000), tags)
    top.connect(top.source, recorder)
    assert run_within(top, [recorder]) is None
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.sigmf-meta"))], recorder


@pytest.mark.parametrize("freq", [pmt.from_double(HZ), pmt.init_f64vector(2, [HZ, 868.3e6])], ids=["number", "array"])
def test_the_snippet_recorder_follows_rate_and_frequency(tmp_path, freq):
    """F15: no rate was stated; the array ended the flowgraph."""
    tags = [tag(0, keys.RX_RATE, RATE), tag(0, keys.RX_FREQ, freq), rx_time(0, T0, 0.0)]
    (meta,), recorder = snippets_of(tmp_path, tags)
    assert meta["global"]["core:sample_rate"] == RATE and recorder.malformed == 0
    assert meta["captures"][0]["core:frequency"] == HZ
    note = meta["annotations"][0]
    assert (note["core:sample_start"], note["core:sample_count"]) == (round(0.001 * RATE), 10000)
    moment = meta["captures"][0]["core:datetime"]
    assert moment.startswith("2023-11-14T22:13:20.")
    assert float(moment[17:-1]) == pytest.approx(20.0 + 20000 / RATE - 0.001, abs=2e-6)


@pytest.mark.parametrize(("tags", "rate", "freq"), [
    ([], 1e6, None), ([tag(0, keys.RX_FREQ, HZ)], 1e6, HZ),
    ([tag(0, keys.RX_FREQ, pmt.intern("x")), tag(5, keys.RX_RATE, -1.0)], 1e6, None),
    ([tag(10000, keys.RX_RATE, RATE), tag(10000, keys.RX_FREQ, HZ)], RATE, HZ)], ids=["none", "freq", "malformed", "later"])
def test_the_snippet_recorder_with_other_tags(tmp_path, tags, rate, freq):
    (meta,), recorder = snippets_of(tmp_path, tags)
    assert meta["global"]["core:sample_rate"] == rate and meta["captures"][0].get("core:frequency") == freq
    assert recorder.failure is None and recorder.malformed == (2 if tags and freq is None else 0)


def test_the_snippet_recorder_has_the_precedence_of_the_tokenizer(tmp_path):
    tags = [tag(0, keys.RX_RATE, RATE), tag(0, keys.RX_FREQ, HZ), tag(40000, keys.RX_FREQ, HZ + 1e6)]
    (meta,), _ = snippets_of(tmp_path, tags, samp_rate=6e5, center_freq=HZ + 4e5)
    assert meta["global"]["core:sample_rate"] == 6e5 and meta["captures"][0]["core:frequency"] == HZ + 4e5
    assert len(meta["annotations"]) == 1


def test_a_repeated_time_cuts_no_snippet(tmp_path):
    (meta,), _ = snippets_of(tmp_path, [tag(0, keys.RX_RATE, RATE), *contiguous(4096, 60000, int(RATE))])
    assert meta["annotations"][0]["core:sample_count"] == 10000


def test_out_of_range(tmp_path, small_model):
    for make in (lambda **bad: snippet_recorder(str(tmp_path), **bad), fft_tokenizer,
                 lambda **bad: spectrum_monitor(small_model, **bad)):
        for bad in ({"rate_factor": 0.0}, {"rate_factor": -1.0}, {"freq_offset": math.inf}, {"tag_channel": -1},
                    {"samp_rate": -1.0}):
            with pytest.raises(ValueError, match=next(iter(bad))):
                make(**bad)
    with pytest.raises(ValueError, match="samp_rate"):
        anomaly_detector(small_model, 128, samp_rate=-1.0)
