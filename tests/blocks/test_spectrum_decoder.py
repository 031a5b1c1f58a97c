# SPDX-License-Identifier: GPL-3.0-or-later
"""`encoded` PDUs: when spectrum_encoder ends a group, and that spectrum_decoder gives the spectra, tags and errors back."""

import numpy as np
import pmt
import pytest
from flowgraphs import collector, frame_source, run_within, status_store, stored
from gnuradio import blocks, gr
from gnuradio.spectrumencoder import keys, spectrum_decoder, spectrum_encoder, spectrum_monitor
from gnuradio.spectrumencoder.blocks.messages import bytes_pdu, metadata, pdu_bytes, to_pmt
from gnuradio.spectrumencoder.blocks.safe_block import SafeBlock, handler
from gnuradio.spectrumencoder.encoder import features
from gnuradio.spectrumencoder.encoder.adaptive_encoder import AdaptiveEncoder
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.model_file import ModelError, load
from gnuradio.spectrumencoder.encoder.pdu import iterate, unpack
from gnuradio.spectrumencoder.encoder.quantise import Codec
from gnuradio.spectrumencoder.session.encoded_file import encoded_file
from gnuradio.spectrumencoder.tokens.layout import FrameLayout
from gnuradio.spectrumencoder.tokens.tokenize import tokenize
from small_models import write_small_model

N = 128
HOP = 16 * N
CLASSES = (keys.LABEL, keys.CONFIDENCE)
START = {keys.RX_FREQ: 868e6, keys.RX_RATE: 1e6, keys.FRAME_START: 0, keys.FRAME_HOP: HOP, keys.FRAME_AVERAGE: 16}


class pdu_store(SafeBlock, gr.basic_block):
    """Keeps every PDU; unlike message_debug also what is published in stop."""

    def __init__(self):
        gr.basic_block.__init__(self, "pdu_store", None, None)
        self.init_safe_block()
        self.kept = []
        self.add_input_port("encoded", self.handle_encoded)

    @handler
    def handle_encoded(self, message):
        self.kept.append(message)


def encode(model, items, tags=None, **settings):
    """(headers, PDU bytes, metadata dicts) that spectrum_encoder publishes for the frames, and the block."""
    settings = {"encoded_group": 16, "encoded_step": 1.0} | settings
    top = gr.top_block()
    source, encoder, store = frame_source(items, tags=tags), spectrum_encoder(model, N, **settings), pdu_store()
    sinks = [blocks.null_sink(4 * n) for n in (N, 256)]
    top.connect(source, encoder)
    for port, sink in enumerate(sinks):
        top.connect((encoder, port), sink)
    top.msg_connect((encoder, "encoded"), (store, "encoded"))
    assert run_within(top, [encoder, store]) is None
    data = [pdu_bytes(message) for message in store.kept]
    return [unpack(d)[0] for d in data], data, [metadata(message) for message in store.kept], encoder


def test_a_full_group_is_published_and_the_last_one_at_stop(small_model, make_items):
    headers, data, said, encoder = encode(small_model, make_items(40), {0: START})
    assert [h.n_frames for h in headers] == [16, 16, 8]
    assert [h.frame_start for h in headers] == [0, 16 * HOP, 32 * HOP]
    assert said[1] == {keys.MODEL: "small", keys.FRAMES: 16, keys.FRAME_START: 16 * HOP, keys.FRAME_HOP: HOP,
                           keys.RX_RATE: 1e6, keys.RX_FREQ: 868e6}
    assert encoder.counters()[keys.ENCODED_BYTES] == sum(map(len, data))
    assert all(Codec(load(small_model)).decode(d).band == "ism" for d in data)


@pytest.mark.parametrize("mode", ["few", "held"])
def test_quiet_frames_are_compressed_too(small_model, mode):
    iq = np.random.default_rng(4).normal(0, 1e-2, (60 * HOP, 2)).astype(np.float32).view(np.complex64)[:, 0]
    items = tokenize(iq, 1e6, fft_size=N, flush=False).items
    data, encoder = encode(small_model, items, {0: START}, adaptive_dropout=mode)[1::2]
    assert encoder.counters()["few_frames" if mode == "few" else "held_frames"] > 10
    decoded = np.concatenate([Codec(load(small_model)).decode(one).spectra for one in data])
    wanted = AdaptiveEncoder(Engine(small_model), mode).encode(items, "ism").reconstruction
    assert decoded.shape == wanted.shape and np.abs(decoded - wanted).mean() < 1.0  # dB; the quantiser's step is 1


def test_no_pdus_unless_asked_for(small_model, make_items):
    assert encode(small_model, make_items(40), encoded_group=0)[0] == []


@pytest.mark.parametrize(("tags", "counts"), [
    ({0: START, 10: START | {keys.RX_FREQ: 915e6, keys.FRAME_START: 10 * HOP}}, [10, 16, 4]),
    ({0: START, 10: START | {keys.RX_RATE: 2e6, keys.FRAME_START: 10 * HOP}}, [10, 16, 4]),
    ({0: START, 10: START | {keys.FRAME_START: 10 * HOP + 5}}, [10, 16, 4]),
    ({0: START, 10: START | {keys.FRAME_START: 10 * HOP}}, [16, 14]),
    ({0: START, 10: {keys.FRAME_HOP: 2 * HOP}}, [10, 16, 4]),
], ids=["retune", "rate", "gap", "nothing changes", "hop"])
def test_what_ends_a_group(small_model, make_items, tags, counts):
    assert [h.n_frames for h in encode(small_model, make_items(30), tags)[0]] == counts


def test_times_go_on_across_groups_and_rates(small_model, make_items):
    time = pmt.make_tuple(pmt.from_uint64(1700000000), pmt.from_double(0.25))
    tags = {0: START | {keys.RX_TIME: time}, 10: START | {keys.RX_RATE: 2e6, keys.FRAME_START: 10 * HOP}}
    headers = encode(small_model, make_items(30), tags)[0]
    assert headers[0].rx_time == 1700000000.25
    assert headers[1].rx_time == pytest.approx(1700000000.25 + 10 * HOP / 1e6, abs=1e-6)
    assert headers[2].rx_time == pytest.approx(headers[1].rx_time + 16 * HOP / 2e6, abs=1e-6)


def test_without_tags_frames_count_from_0_and_the_frequency_is_unknown(small_model, make_items):
    headers, _, said, _ = encode(small_model, make_items(20))
    assert (headers[1].frame_start, headers[1].frame_hop, headers[1].rx_freq) == (16 * HOP, HOP, None)
    assert headers[0].rx_rate == pytest.approx(1e6) and keys.RX_FREQ not in said[0]


def test_a_frame_that_is_not_finite_is_left_out(small_model, make_items):
    items = make_items(20)
    items[5, 3] = np.nan
    headers = encode(small_model, items, {0: START})[0]
    assert [(h.frame_start // HOP, h.n_frames) for h in headers] == [(0, 5), (6, 14)]


def test_a_live_step_holds_from_the_next_pdu(small_model, make_items):
    encoder = spectrum_encoder(small_model, N, encoded_group=16, encoded_step=1.0)
    assert encoder.set_encoded_step(4.0) and encoder.counters()[keys.ENCODED_STEP] == 4.0
    assert not encoder.set_encoded_step(1e4) and encoder.counters()[keys.ENCODED_STEP] == 4.0
    assert not spectrum_encoder(small_model, N).set_encoded_step(1.0)
    with pytest.raises(ValueError, match=r"encoded_group 8 is outside \[16, 64\] frames, and not 0"):
        spectrum_encoder(small_model, N, encoded_group=8)


def decode(model, pdus):
    """What spectrum_decoder gives for PMTs posted to it: collector, statuses, block."""
    top = gr.top_block()
    decoder, sink = spectrum_decoder(model, N), collector(N)
    top.connect(decoder, sink)
    statuses = status_store(top, decoder)
    top.start()
    for pdu in pdus:
        decoder.to_basic_block()._post(pmt.intern("encoded"), pdu)
    decoder.to_basic_block()._post(pmt.intern("system"), pmt.cons(pmt.intern("done"), pmt.from_long(1)))
    top.wait()  # it ends by itself
    return sink, stored(statuses), decoder


def test_spectra_and_tags_come_back(small_model, make_items):
    tags = {0: START, 20: START | {keys.RX_FREQ: 915e6, keys.FRAME_START: 20 * HOP}}
    _, data, _, _ = encode(small_model, make_items(30), tags)
    sink, _, decoder = decode(small_model, [bytes_pdu({}, d) for d in data])
    codec = Codec(load(small_model))
    np.testing.assert_array_equal(sink.data, np.concatenate([codec.decode(d).spectra for d in data]))
    by_frame = {}
    for offset, key, value in sink.tags:
        if key not in CLASSES:
            by_frame.setdefault(offset, {})[key] = value
    assert by_frame == {0: START, 20: tags[20]}
    assert decoder.failure is None and decoder.counters()[keys.FRAMES] == 30
    assert decoder.counters().keys() <= set(keys.vocabulary().values())


@pytest.fixture(scope="module")
def sure_model(tmp_path_factory):
    """One whose labels and confidences differ from frame to frame."""
    return write_small_model(tmp_path_factory.mktemp("sure") / "sure.safetensors", "sure", 0, sharpness=30.0)


def test_label_and_confidence_come_back_as_tags_where_they_change(sure_model, make_items):
    items = make_items(40)
    FrameLayout(N, 8).split(items)[0][24:, 8:] += 20.0  # the upper half of the band becomes louder
    _, data, _, encoder = encode(sure_model, items, {0: START})
    told = encoder.engine.encode(items, "ism").features[:, features.PROBABILITIES]
    sink, _, _ = decode(sure_model, [bytes_pdu({}, d) for d in data])
    changes = {key: {offset: value for offset, k, value in sink.tags if k == key} for key in CLASSES}
    follow = lambda key: [changes[key][max(o for o in changes[key] if o <= n)] for n in range(40)]  # noqa: E731
    names = load(sure_model).contract["labels"]
    assert follow(keys.LABEL) == [names[i] for i in told.argmax(axis=1)]
    assert np.abs(np.array(follow(keys.CONFIDENCE)) - told.max(axis=1)).max() <= 1 / 32
    for key in CLASSES:  # only where they change
        values = list(changes[key].values())
        assert 1 < len(values) < 40 and all(a != b for a, b in zip(values, values[1:], strict=False))


def test_what_does_not_decode_is_counted_and_the_next_pdu_decodes(small_model, make_items):
    _, data, _, _ = encode(small_model, make_items(48), {0: START})
    damaged = bytearray(data[1])
    damaged[-10] ^= 4
    pdus = [bytes_pdu({}, data[0]), bytes_pdu({}, bytes(damaged)), bytes_pdu({}, data[0][:20]), to_pmt({"no": "bytes"}),
            pmt.cons(pmt.make_dict(), pmt.init_f32vector(1, [1.0])), pmt.PMT_NIL, bytes_pdu({"any": "thing"}, data[2])]
    sink, statuses, decoder = decode(small_model, pdus)
    assert len(sink.data) == 32 and decoder.failure is None
    assert decoder.malformed == 5
    assert any(s[keys.STATUS_STATE] == "malformed" for s in statuses)
    places = {offset for offset, key, _ in sink.tags if key not in CLASSES}
    assert sorted(places) == [0, 16]  # frames are missing between the two: tags again


def test_in_one_flowgraph_with_the_encoder_and_a_file(small_model, make_items, tmp_path):
    """The flowgraph ends by itself, and the group that is published at stop is decoded too."""
    top = gr.top_block()
    source, encoder = frame_source(make_items(40), tags={0: START}), spectrum_encoder(small_model, N, encoded_group=32)
    decoder, sink, file = spectrum_decoder(small_model, N), collector(N), encoded_file(str(tmp_path / "spectra.bin"))
    nulls = [blocks.null_sink(4 * n) for n in (N, 256)]
    top.connect(source, encoder)
    for port, null in enumerate(nulls):
        top.connect((encoder, port), null)
    top.msg_connect((encoder, "encoded"), (decoder, "encoded"))
    top.msg_connect((encoder, "encoded"), (file, "encoded"))
    top.connect(decoder, sink)
    assert run_within(top, [encoder, decoder, file]) is None
    assert len(sink.data) == 40
    found = [unit for _, unit in iterate((tmp_path / "spectra.bin").read_bytes())]
    assert [unpack(unit)[0].n_frames for unit in found] == [32, 8] and file.n_frames == 40


def test_monitor_passes_the_port_on(small_model):
    monitor = spectrum_monitor(small_model, encoded_group=16)
    assert monitor.set_encoded_step(2.0) and monitor.encoder.counters()[keys.ENCODED_STEP] == 2.0


def test_arguments(small_model):
    with pytest.raises(ValueError, match="fft_size is 1024, the model small was trained with 128"):
        spectrum_decoder(small_model)
    with pytest.raises(ValueError, match="min_output_buffer 0"):
        spectrum_decoder(small_model, N, min_output_buffer=0)
    with pytest.raises(ModelError):
        spectrum_decoder("no_such_model")
