# SPDX-License-Identifier: GPL-3.0-or-later
"""The speculative model in blocks: counters on status, the live threshold, events that name who answered; precisions."""

import numpy as np
import pmt
import pytest
from flowgraphs import collector, frame_source, run_within, status_store, stored, wait_for
from gnuradio import gr
from gnuradio.spectrumencoder import anomaly_detector, keys, spectrum_encoder, spectrum_monitor
from gnuradio.spectrumencoder.blocks.messages import to_pmt
from gnuradio.spectrumencoder.encoder import features
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.ensemble import open_engine
from gnuradio.spectrumencoder.encoder.model_file import ModelError
from small_models import write_small_model

N = 128


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    return [write_small_model(folder / f"{name}.safetensors", name, seed, embedding=16, **more)
            for name, seed, more in (("fast", 1, {"sharpness": 4.0}), ("large", 2, {"width": 32}))]


@pytest.fixture(scope="module")
def model(pair):
    return "speculative:" + ",".join(pair)


@pytest.fixture(scope="module")
def threshold(pair, make_items):
    """About half of make_items(60) is in doubt."""
    return float(np.median(Engine(pair[0]).encode(make_items(60)).features[:, features.PROBABILITIES].max(axis=1)))


def graph(encoder, items, repeat=False):
    top = gr.top_block()
    top.source, top.encoder = frame_source(items, repeat), encoder
    top.sinks = [collector(vlen) for vlen in (N, features.N_FEATURES, N)]
    top.connect(top.source, encoder)
    for port, sink in enumerate(top.sinks):
        top.connect((encoder, port), sink)
    return top


def test_outputs_and_counters_are_the_engines(model, make_items, threshold):
    items = make_items(60)
    top = graph(spectrum_encoder(model, N, confidence_threshold=threshold), items)
    assert run_within(top, [top.encoder]) is None
    wanted = open_engine(model, confidence_threshold=threshold).encode(items)
    for sink, values in zip(top.sinks, (wanted.residual, wanted.features, wanted.reconstruction), strict=True):
        np.testing.assert_array_equal(sink.data, values)
    refined = int(wanted.features[:, features.ANSWERED_BY].sum())
    counters = top.encoder.counters()
    assert 10 < refined < 50
    assert (counters[keys.ACCEPTED_FRAMES], counters[keys.REFINED_FRAMES]) == (60 - refined, refined)


@pytest.mark.parametrize("way", ["setter", "message"])
def test_the_threshold_changes_live(model, make_items, way):
    encoder = spectrum_encoder(model, N, confidence_threshold=0.0)
    top = graph(encoder, make_items(40), repeat=True)
    debug = status_store(top, encoder)
    top.start()
    wait_for(lambda: encoder.n_frames > 100)
    assert encoder.counters()[keys.REFINED_FRAMES] == 0
    if way == "setter":
        assert encoder.set_confidence_threshold(1.0)
    else:
        encoder.to_basic_block()._post(pmt.intern("control"), to_pmt({keys.CONFIDENCE_THRESHOLD: 1.0}))
    wait_for(lambda: encoder.counters()[keys.REFINED_FRAMES] > 100)
    encoder.set_confidence_threshold(1.0)
    wait_for(lambda: stored(debug)[-1][keys.REFINED_FRAMES] > 100)
    top.stop()
    top.wait()
    status = stored(debug)[-1]
    assert status[keys.CONFIDENCE_THRESHOLD] == 1.0 and status[keys.ACCEPTED_FRAMES] > 100
    answered_by = top.sinks[1].data[:, features.ANSWERED_BY]
    first = int(answered_by.argmax())
    assert first > 50 and (answered_by[first:] == 1).all()  # from one frame on, every frame


def test_impossible_thresholds_are_refused(model, pair, make_items):
    encoder = spectrum_encoder(model, N)
    assert not encoder.set_confidence_threshold(1.5)
    assert encoder.engine.confidence_threshold == 0.8
    single = spectrum_encoder(pair[0], N)
    assert not single.set_confidence_threshold(0.5)
    assert keys.REFINED_FRAMES not in single.counters()
    with pytest.raises(ValueError, match=r"confidence_threshold 2.0 is outside \[0, 1\]"):
        spectrum_encoder(pair[0], N, confidence_threshold=2.0)
    with pytest.raises(ModelError, match="does not name two models"):
        spectrum_encoder("speculative:base", N)


def test_the_monitor_names_who_answered(model, pair, make_recording, noise):
    monitor = spectrum_monitor(model, detector="boxes", threshold_mode="fixed", threshold=0.01, confidence_threshold=1.0,
                               fft_size=N)
    assert monitor.set_confidence_threshold(0.9) and monitor.set_confidence_threshold(1.0)
    assert monitor.detector.detector._models == ("fast", "large")
    from gnuradio import blocks
    top = gr.top_block()
    source = blocks.vector_source_c(noise(N * 16 * 20).tolist())
    top.connect(source, monitor)
    for port in range(2):
        top.connect((monitor, port), blocks.null_sink(4 * N))
    debug = blocks.message_debug()
    top.msg_connect(monitor, keys.ANOMALIES, debug, "store")
    assert run_within(top, monitor.blocks) is None
    assert {event[keys.MODEL] for event in stored(debug)} == {"large"}
    assert anomaly_detector(pair[0], N, detector="boxes").detector._models == ("fast",)


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_a_reduced_precision_is_the_engines(pair, make_items, dtype):
    items = make_items(20)
    top = graph(spectrum_encoder(pair[0], N, dtype=dtype), items)
    assert run_within(top, [top.encoder]) is None
    np.testing.assert_array_equal(top.sinks[1].data, Engine(pair[0], dtype=dtype).encode(items).features)
    with pytest.raises(ValueError, match="'fp7' is not one of auto, fp32, bf16, int8"):
        spectrum_encoder(pair[0], N, dtype="fp7")
