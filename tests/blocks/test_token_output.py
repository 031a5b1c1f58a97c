# SPDX-License-Identifier: GPL-3.0-or-later
"""spectrum_encoder's output token_classes: computed if connected, NaN where there is no answer."""

import numpy as np
import pytest
from flowgraphs import collector, frame_source, run_within
from gnuradio import gr
from gnuradio.spectrumencoder import spectrum_encoder
from gnuradio.spectrumencoder.encoder import features
from gnuradio.spectrumencoder.encoder.adaptive_encoder import AdaptiveEncoder
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.tokens.tokenize import tokenize
from small_models import write_small_model

N, N_TOKENS = 128, 16
FLOATS = N_TOKENS * (3 + 2)  # 3 labels


@pytest.fixture(scope="module")
def head_model(tmp_path_factory):
    return write_small_model(tmp_path_factory.mktemp("head") / "head.safetensors", "head", 1, token_classes=True)


@pytest.fixture(scope="module")
def plain_model(tmp_path_factory):
    return write_small_model(tmp_path_factory.mktemp("plain") / "plain.safetensors", "plain", 1)


def graph(encoder, items, tags=None, ports=4):
    top = gr.top_block()
    top.source = frame_source(items, tags=tags)
    top.encoder = encoder
    top.sinks = [collector(vlen) for vlen in (N, features.N_FEATURES, N, FLOATS)[:ports]]
    top.connect(top.source, encoder)
    for port, sink in enumerate(top.sinks):
        top.connect((encoder, port), sink)
    return top


def log_of(encoder, monkeypatch):
    """The warnings that the block logs from here on."""
    lines = []
    monkeypatch.setattr(encoder, "logger", type("Log", (), {"warn": staticmethod(lines.append)})())
    return lines


@pytest.mark.parametrize("buffer", [1, 64])
@pytest.mark.parametrize("runtime", ["native", "torch"])
def test_it_is_the_engines(head_model, make_items, runtime, buffer):
    items = make_items(50)
    top = graph(spectrum_encoder(head_model, N, runtime=runtime, min_output_buffer=buffer), items, {7: {"rx_freq": 433.92e6}})
    assert run_within(top, [top.encoder]) is None
    bands = ["unknown"] * 7 + ["ism"] * 43
    wanted = Engine(head_model, runtime=runtime).encode(items, bands, token_classes=True)
    for sink, values in zip(top.sinks, (*wanted[:3], wanted.token_classes), strict=True):
        np.testing.assert_array_equal(sink.data, values)
    assert [(offset, key) for offset, key, _ in top.sinks[3].tags] == [(7, "rx_freq")]


@pytest.mark.parametrize("ports", [2, 3])
def test_it_may_stay_unconnected_and_changes_nothing_else(head_model, make_items, ports):
    items = make_items(20)
    top = graph(spectrum_encoder(head_model, N), items, ports=ports)
    assert run_within(top, [top.encoder]) is None
    wanted = Engine(head_model).encode(items)
    for sink, values in zip(top.sinks, wanted[:ports], strict=True):
        np.testing.assert_array_equal(sink.data, values)


def test_a_model_without_the_head_gives_nan_and_one_line(plain_model, make_items, monkeypatch):
    items = make_items(80)
    top = graph(spectrum_encoder(plain_model, N, min_output_buffer=8), items)
    lines = log_of(top.encoder, monkeypatch)
    assert run_within(top, [top.encoder]) is None
    assert np.isnan(top.sinks[3].data).all() and top.sinks[3].data.shape == (80, FLOATS)
    np.testing.assert_array_equal(top.sinks[0].data, Engine(plain_model).encode(items).residual)
    assert len([line for line in lines if "has no token head" in line]) == 1


def test_a_model_without_the_head_is_silent_if_nobody_asks(plain_model, make_items, monkeypatch):
    top = graph(spectrum_encoder(plain_model, N), make_items(20), ports=3)
    lines = log_of(top.encoder, monkeypatch)
    assert run_within(top, [top.encoder]) is None
    assert not lines


def test_skipped_frames_are_nan(head_model, make_items):
    """Frames of 0.256 us each can never be encoded in real time."""
    items = make_items(3000, average=2)
    items[:, N_TOKENS * 10 + 2] = 1e9 / N
    top = graph(spectrum_encoder(head_model, N, overload="skip", max_latency=1e-3), items)
    assert run_within(top, [top.encoder]) is None
    skipped = top.sinks[1].data[:, features.SKIPPED] == 1
    assert 0 < skipped.sum() == top.encoder.n_skipped < 3000
    assert np.isnan(top.sinks[3].data[skipped]).all()
    wanted = Engine(head_model).encode(items, token_classes=True).token_classes
    np.testing.assert_array_equal(top.sinks[3].data[~skipped], wanted[~skipped])
    assert [offset for offset, key, _ in top.sinks[3].tags if key == "skipped"] == np.flatnonzero(skipped).tolist()


@pytest.mark.parametrize("mode", ["few", "held"])
def test_quiet_frames_are_the_adaptive_encoder_s(head_model, mode):
    rng = np.random.default_rng(4)
    items = tokenize(rng.normal(0, 1e-2, (200 * 16 * N, 2)).astype(np.float32).view(np.complex64)[:, 0], 1e6, fft_size=N,
                     flush=False).items
    top = graph(spectrum_encoder(head_model, N, adaptive_dropout=mode), items)
    assert run_within(top, [top.encoder]) is None
    quiet = top.sinks[1].data[:, features.K_ENCODED] < 12
    assert 100 < quiet.sum() < 200
    got = top.sinks[3].data
    np.testing.assert_array_equal(got, AdaptiveEncoder(Engine(head_model), mode).encode(items, token_classes=True).token_classes)
    if mode == "held":
        np.testing.assert_array_equal(got[quiet], got[np.maximum.accumulate(np.where(quiet, 0, np.arange(200)))[quiet]])
