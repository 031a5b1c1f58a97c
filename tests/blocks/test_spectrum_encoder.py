# SPDX-License-Identifier: GPL-3.0-or-later
"""spectrum_encoder: batches, live changes, bands, refusals, overload."""

import numpy as np
import pmt
import pytest
from flowgraphs import collector, frame_source, run_within, status_store, stored, wait_for
from gnuradio import blocks, gr
from gnuradio.spectrumencoder import spectrum_encoder
from gnuradio.spectrumencoder.blocks.messages import to_pmt
from gnuradio.spectrumencoder.blocks.spectrum_encoder import FrameMismatch
from gnuradio.spectrumencoder.encoder import features
from gnuradio.spectrumencoder.encoder.adaptive_encoder import AdaptiveEncoder
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.model_file import ModelError
from gnuradio.spectrumencoder.tokens.layout import FrameLayout
from gnuradio.spectrumencoder.tokens.tokenize import tokenize

N = 128


def graph(encoder, items, repeat=False, tags=None, ports=3):
    top = gr.top_block()
    top.source = frame_source(items, repeat, tags)
    top.encoder = encoder
    top.sinks = [collector(vlen) for vlen in (N, features.N_FEATURES, N)[:ports]]
    top.connect(top.source, encoder)
    for port, sink in enumerate(top.sinks):
        top.connect((encoder, port), sink)
    return top


def encoded(model, items, bands="unknown", **settings):
    return Engine(model, **settings).encode(items, bands)


def test_outputs_are_the_engines(small_model, make_items):
    items = make_items(50)
    top = graph(spectrum_encoder(small_model, N, dropout_rate=0.5), items)
    assert run_within(top, [top.encoder]) is None
    wanted = encoded(small_model, items, dropout_rate=0.5)
    for sink, values in zip(top.sinks, (wanted.residual, wanted.features, wanted.reconstruction), strict=True):
        np.testing.assert_array_equal(sink.data, values)


def test_reconstruction_may_stay_unconnected(small_model, make_items):
    top = graph(spectrum_encoder(small_model, N), make_items(20), ports=2)
    assert run_within(top, [top.encoder]) is None
    assert len(top.sinks[0].data) == len(top.sinks[1].data) == 20


@pytest.mark.parametrize(("setter", "value", "setting"), [
    ("set_dropout_rate", 0.75, {"dropout_rate": 0.75}),
    ("set_dropout_rate", 0.0, {"dropout_rate": 0.0}),
    ("set_rope_mode", "static", {"rope_mode": "static"}),
    ("set_backend", "linear", {"backend": "linear"}),
    ("set_backend", "naive", {"backend": "naive"}),
    ("set_dropout_policy", "energy", {"dropout_policy": "energy"}),
])
@pytest.mark.parametrize("way", ["setter", "message"])
def test_live_change_equals_a_fresh_block(small_model, make_items, setter, value, setting, way):
    items = make_items(40)
    encoder = spectrum_encoder(small_model, N)
    top = graph(encoder, items, repeat=True)
    top.start()
    wait_for(lambda: encoder.n_frames > 100)
    if way == "setter":
        assert getattr(encoder, setter)(value)
    else:
        encoder.to_basic_block()._post(pmt.intern("control"), to_pmt({setter.removeprefix("set_"): value}))
    changed = encoder.n_frames
    wait_for(lambda: encoder.n_frames > changed + 400)
    top.stop()
    top.wait()
    assert encoder.failure is None
    before, after = encoded(small_model, items), encoded(small_model, items, **setting)
    wanted_old = (before.residual, before.features, before.reconstruction)
    wanted_new = (after.residual, after.features, after.reconstruction)
    total = min(len(sink.data) for sink in top.sinks)
    rows = np.arange(total) % len(items)
    is_new = (top.sinks[1].data[:total] == after.features[rows]).all(axis=1)
    first_new = int(np.argmax(is_new))
    assert 0 < first_new < total - 40
    for sink, old, new in zip(top.sinks, wanted_old, wanted_new, strict=True):
        np.testing.assert_array_equal(sink.data[:first_new], old[rows[:first_new]])
        np.testing.assert_array_equal(sink.data[first_new:total], new[rows[first_new:]])


@pytest.mark.parametrize(("setter", "value", "text"), [
    ("set_rope_mode", "none", "flash/static"), ("set_backend", "grouped", "linear/dynamic"),
    ("set_backend", "perceiver", "perceiver"), ("set_dropout_rate", 1.0, "[0, 1)"), ("set_dropout_policy", "luck", "gumbel")])
def test_impossible_change_is_refused_with_the_list(small_model, make_items, setter, value, text):
    items = make_items(30)
    encoder = spectrum_encoder(small_model, N)
    top = graph(encoder, items, repeat=True)
    debug = status_store(top, encoder)
    top.start()
    wait_for(lambda: encoder.n_frames > 50)
    assert not getattr(encoder, setter)(value)
    wait_for(lambda: any(message["status"] == "refused" for message in stored(debug)))
    top.stop()
    top.wait()
    refusal = next(message for message in stored(debug) if message["status"] == "refused")
    assert text in refusal["message"]
    assert encoder.failure is None
    rows = np.arange(len(top.sinks[0].data)) % len(items)
    np.testing.assert_array_equal(top.sinks[0].data, encoded(small_model, items).residual[rows])


def test_empty_setting_goes_back_to_the_models_own(small_model):
    encoder = spectrum_encoder(small_model, N, rope_mode="static", dropout_policy="energy")
    assert encoder.set_rope_mode("") and encoder.set_dropout_policy("")
    assert (encoder.engine.rope_mode, encoder.engine.dropout_policy) == ("dynamic", "gumbel")


def test_automatic_backend_is_that_of_a_fresh_block(small_model):
    encoder = spectrum_encoder(small_model, N, backend="linear")
    assert encoder.set_backend("auto")
    assert encoder.engine.backend == spectrum_encoder(small_model, N).engine.backend == "flash"


def test_band_follows_rx_freq_tags(small_model, make_items):
    items = make_items(40)
    tags = {10: {"rx_freq": 1575.42e6}, 21: {"rx_freq": 433.92e6}, 30: {"rx_freq": 10.0}}
    top = graph(spectrum_encoder(small_model, N), items, tags=tags)
    assert run_within(top, [top.encoder]) is None
    bands = ["unknown"] * 10 + ["gnss"] * 11 + ["ism"] * 9 + ["unknown"] * 10
    np.testing.assert_array_equal(top.sinks[0].data, encoded(small_model, items, bands).residual)
    for sink in top.sinks:  # tags pass on to every output, where they were
        assert [(offset, key) for offset, key, _ in sink.tags] == [(frame, "rx_freq") for frame in tags]


def test_tags_of_the_wrong_kind_are_counted_and_ignored(small_model, make_items):
    items = make_items(12)
    top = graph(spectrum_encoder(small_model, N), items, tags={0: {"rx_freq": 433.92e6}})
    top.source.tags[5] = {"rx_freq": "high", "frame_hop": None}
    assert run_within(top, [top.encoder]) is None
    assert top.encoder.malformed == 2
    np.testing.assert_array_equal(top.sinks[0].data, encoded(small_model, items, "ism").residual)


def test_fixed_band_takes_no_notice_of_tags(small_model, make_items):
    items = make_items(12)
    top = graph(spectrum_encoder(small_model, N, band="aero"), items, tags={0: {"rx_freq": 433.92e6}})
    assert run_within(top, [top.encoder]) is None
    np.testing.assert_array_equal(top.sinks[0].data, encoded(small_model, items, "aero").residual)


def test_tokens_of_kept_bands_are_kept_while_the_bands_last(small_model, make_items):
    items = make_items(60)  # 16 tokens of 8 bins of 1 kHz about 433.92 MHz
    width = float(FrameLayout(N, 8).split(items)[1][0, 2])
    encoder = spectrum_encoder(small_model, N, dropout_rate=0.75)
    top = graph(encoder, items, tags={0: {"rx_freq": 433.92e6}})
    low = 433.92e6 + (3 * 8 - N / 2) * width  # tokens 3 and 4
    encoder.handle_control(to_pmt({"keep_bands_hz": [[low + width, low + 12 * width], [0.0, 1e6]]}))
    assert run_within(top, [top.encoder]) is None
    wanted = np.zeros((60, 16), bool)
    wanted[:, 3:5] = True
    engine = Engine(small_model, dropout_rate=0.75)
    kept = engine.encode(items, "ism", wanted)
    np.testing.assert_array_equal(top.sinks[0].data, kept.residual)
    assert np.abs(kept.residual - engine.encode(items, "ism").residual).max() > 0.01
    encoder.handle_control(to_pmt({"keep_bands_hz": []}))
    top = graph(encoder, items, tags={0: {"rx_freq": 433.92e6}})
    assert run_within(top, [top.encoder]) is None
    np.testing.assert_array_equal(top.sinks[0].data, engine.encode(items, "ism").residual)


@pytest.mark.parametrize("bands", [[[1.0]], [[2.0, 1.0]], [["low", "high"]], [3.0], [[float("nan"), 1.0]], [[0.0, 1.0]] * 1025])
def test_kept_bands_that_are_none_are_refused(small_model, make_items, bands):
    encoder = spectrum_encoder(small_model, N)
    assert not encoder.set_keep_bands_hz(bands)
    assert encoder.failure is None


@pytest.mark.parametrize(("arguments", "error", "text"), [
    ({"fft_size": 256}, FrameMismatch, "fft_size is 256.*set fft_size=128"),
    ({"stride": 4}, FrameMismatch, "stride is 4.*set stride=8"),
    ({"window": "hann"}, FrameMismatch, "window is 'hann'.*set window='blackmanharris'"),
    ({"fft_size": 100}, ValueError, "stride 8 does not divide fft_size 100"),
    ({"dropout_rate": 1.5}, ValueError, "1.5"), ({"band": "marine"}, ValueError, "marine.*ism"),
    ({"overload": "panic"}, ValueError, "panic.*wait, skip"), ({"max_latency": 0}, ValueError, "max_latency 0"),
    ({"min_output_buffer": 0}, ValueError, "min_output_buffer 0"), ({"threads": 0}, ValueError, "threads 0"),
    ({"backend": "grouped"}, ValueError, "grouped"), ({"model": "absent"}, ModelError, "absent"),
])
def test_wrong_arguments_say_what_to_do(small_model, arguments, error, text):
    with pytest.raises(error, match=text):
        spectrum_encoder(**{"model": small_model, "fft_size": N} | arguments)


@pytest.mark.parametrize("average", [0, 33, np.nan])
def test_average_outside_the_models_range_ends_the_flowgraph(small_model, make_items, average):
    top = graph(spectrum_encoder(small_model, N), make_items(5, average=average))
    failure = run_within(top, [top.encoder])
    assert isinstance(failure.error, FrameMismatch)
    assert "average" in str(failure) and "1..32" in str(failure)


@pytest.mark.parametrize("message", [
    pmt.intern("faster"), pmt.from_long(3), pmt.PMT_NIL, pmt.make_dict(), pmt.init_f32vector(2, [1, 2]),
    pmt.cons(pmt.PMT_NIL, pmt.init_u8vector(1, [1])), to_pmt({"dropout_rate": "high"}), to_pmt({"dropout_rate": True}),
    to_pmt({"backend": 3}), to_pmt({"colour": 1.0})])
def test_malformed_control_is_counted_and_ignored(small_model, make_items, message):
    items = make_items(20)
    encoder = spectrum_encoder(small_model, N)
    top = graph(encoder, items, repeat=True)
    debug = status_store(top, encoder)
    top.start()
    encoder.to_basic_block()._post(pmt.intern("control"), message)
    wait_for(lambda: encoder.malformed == 1)
    before = encoder.n_frames
    wait_for(lambda: encoder.n_frames > before + 50)
    top.stop()
    top.wait()
    assert encoder.failure is None
    assert [m["malformed"] for m in stored(debug) if m["status"] == "malformed"] == [1]
    rows = np.arange(len(top.sinks[0].data)) % len(items)
    np.testing.assert_array_equal(top.sinks[0].data, encoded(small_model, items).residual[rows])


def test_overload_skips_the_oldest_and_says_so(small_model, make_items):
    """Frames of 0.256 us each can never be encoded in real time: all but the first ones must be skipped, none lost."""
    items = make_items(3000, average=2)
    items[:, N // 8 * 10 + 2] = 1e9 / N
    items[:, N // 8 * 10 + 3] = np.linspace(0.0, 1.0, 3000)  # share of samples at full scale
    top = graph(spectrum_encoder(small_model, N, overload="skip", max_latency=1e-3), items)
    debug = status_store(top, top.encoder)
    assert run_within(top, [top.encoder]) is None
    rows = top.sinks[1].data
    skipped = rows[:, features.SKIPPED] == 1
    assert len(rows) == 3000 and 0 < top.encoder.n_skipped == skipped.sum() < 3000
    assert (top.sinks[0].data[skipped] == 0).all()
    np.testing.assert_array_equal(rows[skipped][:, [features.K_EFF, features.FLOOR_DBFS]], [[2, -90]] * skipped.sum())
    np.testing.assert_array_equal(rows[:, features.CLIPPED_SHARE], items[:, N // 8 * 10 + 3])
    for sink in top.sinks:
        assert [offset for offset, key, _ in sink.tags if key == "skipped"] == np.flatnonzero(skipped).tolist()
    np.testing.assert_array_equal(top.sinks[0].data[~skipped], encoded(small_model, items).residual[~skipped])
    assert any(m["status"] == "skipped" and m["skipped_frames"] > 0 for m in stored(debug))


def test_skip_leaves_a_stream_that_is_slow_enough_alone(small_model, make_items):
    items = make_items(300, average=32)
    items[:, N // 8 * 10 + 2] = 32 / 0.5  # half a second a frame
    top = graph(spectrum_encoder(small_model, N, overload="skip", max_latency=0.5), items)
    assert run_within(top, [top.encoder]) is None
    assert top.encoder.n_skipped == 0


@pytest.mark.parametrize(("n_frames", "buffer", "pad_batch"), [
    (17, 64, 16), (17, 1, 1), (17, 4096, 64), (1, 64, 16), (1000, 8, 0), (5003, 2000, 16), (5003, 64, 256)])
def test_every_frame_comes_out_at_any_batch_and_buffer(small_model, make_items, n_frames, buffer, pad_batch):
    items = make_items(n_frames)
    top = gr.top_block()
    encoder = spectrum_encoder(small_model, N, min_output_buffer=buffer, pad_batch=pad_batch)
    source, sinks = frame_source(items), [collector(vlen) for vlen in (N, 256, N)]
    source.set_max_output_buffer(max(2, buffer))
    delay = blocks.copy(gr.sizeof_float * N)  # fan-out and reunion, as psd and tokens have
    top.connect(source, encoder)
    for port, sink in enumerate(sinks):
        top.connect((encoder, port), sink)
    top.connect((encoder, 0), delay, blocks.null_sink(gr.sizeof_float * N))
    assert run_within(top, [encoder], 20) is None
    assert [len(sink.data) for sink in sinks] == [n_frames] * 3
    if pad_batch == 16:
        np.testing.assert_array_equal(sinks[0].data, encoded(small_model, items).residual)


# Adaptive dropout


@pytest.fixture(scope="module")
def quiet_items():
    """200 frames of noise at 433.92 MHz for fft_size 128, with a burst of 5 frames from frame 150 on."""
    rng, hop = np.random.default_rng(4), 16 * N
    iq = rng.normal(0, 1e-2, (200 * hop, 2)).astype(np.float32).view(np.complex64)[:, 0]
    place = np.arange(150 * hop, 155 * hop)
    iq[place] += (0.02 * np.exp(2j * np.pi * 30 / N * place)).astype(np.complex64)
    return tokenize(iq, 1e6, fft_size=N, flush=False).items


@pytest.mark.parametrize("mode", ["few", "held"])
@pytest.mark.parametrize("runtime", ["native", "torch"])
def test_quiet_frames_take_fewer_tokens(small_model, quiet_items, mode, runtime):
    top = graph(spectrum_encoder(small_model, N, adaptive_dropout=mode, runtime=runtime), quiet_items)
    assert run_within(top, [top.encoder], 20.0) is None
    wanted = AdaptiveEncoder(Engine(small_model, runtime=runtime), mode).encode(quiet_items, "unknown")
    for sink, values in zip(top.sinks, (wanted.residual, wanted.features, wanted.reconstruction), strict=True):
        np.testing.assert_array_equal(sink.data, values)
    counters = top.encoder.counters()
    by_tokens = top.sinks[1].data[:, features.K_ENCODED]
    assert (by_tokens[150:159] == 12).all() and (by_tokens < 12).sum() > 100
    assert counters["full_frames"] == (by_tokens == 12).sum() and counters["mean_tokens"] == pytest.approx(by_tokens.mean())
    assert counters["few_frames" if mode == "few" else "held_frames"] == (by_tokens < 12).sum()
    assert counters["adaptive_dropout"] == mode and counters["frames"] == 200


def test_adaptive_dropout_changes_live(small_model, quiet_items):
    encoder = spectrum_encoder(small_model, N)
    assert "full_frames" not in encoder.counters()
    encoder.handle_control(to_pmt({"adaptive_dropout": "held"}))
    top = graph(encoder, quiet_items)
    assert run_within(top, [encoder]) is None
    assert encoder.counters()["held_frames"] > 100
    encoder.handle_control(to_pmt({"adaptive_dropout": "none"}))  # refused
    assert encoder.counters()["adaptive_dropout"] == "held" and encoder.failure is None
    assert encoder.set_adaptive_dropout("off")
    top = graph(encoder, quiet_items)
    assert run_within(top, [encoder]) is None
    np.testing.assert_array_equal(top.sinks[1].data, encoded(small_model, quiet_items).features)


def test_a_live_change_of_another_setting_is_answered_by_a_full_frame(small_model, quiet_items):
    encoder = spectrum_encoder(small_model, N, adaptive_dropout="held")
    top = graph(encoder, quiet_items[:100], repeat=True)
    top.start()
    wait_for(lambda: encoder.n_frames > 300)
    assert encoder.set_dropout_rate(0.5)
    frame = encoder.n_frames
    wait_for(lambda: encoder.n_frames > frame + 200)
    top.stop()
    top.wait()
    kept = top.sinks[1].data[:, features.K_KEPT]
    first = int(np.flatnonzero(kept == 8)[0])
    assert (kept[first:] == 8).all() and top.sinks[1].data[first, features.K_ENCODED] == 8


def test_a_kept_band_is_encoded_in_full(small_model, quiet_items):
    encoder = spectrum_encoder(small_model, N, adaptive_dropout="held")
    encoder.handle_control(to_pmt({"keep_bands_hz": [[433.9e6, 433.91e6]]}))
    top = graph(encoder, quiet_items, tags={0: {"rx_freq": 433.92e6}})
    assert run_within(top, [encoder]) is None
    assert (top.sinks[1].data[:, features.K_ENCODED] == 12).all()


def test_a_retune_is_encoded_in_full(small_model, quiet_items):
    top = graph(spectrum_encoder(small_model, N, adaptive_dropout="held"), quiet_items,
                tags={0: {"rx_freq": 433.92e6}, 60: {"rx_freq": 434.92e6}, 80: {"rx_freq": 433.92e6}})
    assert run_within(top, [top.encoder]) is None
    tokens = top.sinks[1].data[:, features.K_ENCODED]
    assert tokens[60] == tokens[80] == 12 and (tokens[:150] < 12).sum() > 100
