# SPDX-License-Identifier: GPL-3.0-or-later
"""spectrum_monitor: the chain as one block, its live settings, its messages and its failures."""

import gc
import inspect
import json

import numpy as np
import pmt
import pytest
from flowgraphs import collector, run_within, status_store, stored, wait_for
from gnuradio import blocks, gr
from gnuradio.spectrumencoder import event_log, keys, sigmf_source, spectrum_encoder, spectrum_monitor, tokenize
from gnuradio.spectrumencoder.blocks.messages import to_pmt
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.settings import SETTINGS as declared
from gnuradio.spectrumencoder.tokens.band_plan import band_of

N = 128
FRAME = 16 * N


def graph(monitor, source, ports=(0, 1)):
    top = gr.top_block()
    top.source, top.monitor = source, monitor
    top.sinks = [collector(N) for _ in ports]
    top.connect(source, monitor)
    for port, sink in zip(ports, top.sinks, strict=True):
        top.connect((monitor, port), sink)
    return top


def fixed(small_model, **settings):
    """A monitor that needs no calibration: the fixed threshold."""
    return spectrum_monitor(small_model, detector="boxes", threshold_mode="fixed", **settings)


def test_psd_and_residual_are_the_stages(small_model, make_recording, noise):
    iq = noise(20 * FRAME + 3 * N)
    top = graph(spectrum_monitor(small_model), sigmf_source(make_recording(iq)))
    assert run_within(top, [top.source, *top.monitor.blocks]) is None
    frames = tokenize(iq, 1e6, fft_size=N)
    np.testing.assert_array_equal(top.sinks[0].data, frames.psd)
    np.testing.assert_array_equal(top.sinks[1].data, Engine(small_model).encode(frames.items, band_of(433.92e6)).residual)
    assert len(frames) == 21


@pytest.mark.parametrize("ports", [(), (0,), (1,), (2,)])
def test_outputs_may_stay_unconnected(small_model, make_recording, noise, ports):
    top = graph(spectrum_monitor(small_model), sigmf_source(make_recording(noise(20 * FRAME))), ports)
    assert run_within(top, [top.source, *top.monitor.blocks]) is None
    assert top.monitor.encoder.n_frames == 20
    assert all(len(sink.data) == 20 for sink in top.sinks)


def test_events_reach_the_log_also_those_that_close_at_the_end(small_model, make_recording, noise, tmp_path):
    top = graph(fixed(small_model, threshold=1e-6, hold=1), sigmf_source(make_recording(noise(30 * FRAME))))
    log = event_log(str(tmp_path / "events.jsonl"))
    top.msg_connect(top.monitor, keys.ANOMALIES, log, keys.EVENTS)
    assert run_within(top, [top.source, *top.monitor.blocks, log]) is None
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    opened, closed = ({event[keys.EVENT_ID] for event in events if event[keys.STATE] == state} for state in ("open", "close"))
    assert opened and opened == closed
    assert {event[keys.BAND] for event in events} == {"ism"}


@pytest.mark.parametrize("motion_aware", [False, True])
def test_events_become_tracks_and_what_to_keep(small_model, make_recording, noise, tmp_path, motion_aware):
    monitor = fixed(small_model, threshold=1e-6, hold=1, motion_aware=motion_aware, tracks_file=str(tmp_path / "tracks.jsonl"))
    top = graph(monitor, sigmf_source(make_recording(noise(60 * FRAME))))
    log = event_log(str(tmp_path / "events.jsonl"))
    top.msg_connect(monitor, keys.ANOMALIES, log, keys.EVENTS)
    assert run_within(top, [top.source, *monitor.blocks, log], 20.0) is None
    events, tracks = ([json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
                      for name in ("events", "tracks"))
    tracked = {event_id for track in tracks for event_id in track[keys.ANOMALY_IDS]}
    assert tracked and tracked <= {event[keys.EVENT_ID] for event in events}
    assert monitor.encoder.malformed == 0 and monitor.tracker.malformed == 0
    assert bool(len(monitor.encoder._keep_bands)) == motion_aware


def test_uncalibrated_model_says_so_and_makes_nothing_up(small_model, make_recording, noise):
    top = graph(spectrum_monitor(small_model, detector="boxes"), sigmf_source(make_recording(noise(200 * FRAME)), throttle=True))
    debug, events = status_store(top, top.monitor), blocks.message_debug()
    top.msg_connect(top.monitor, keys.ANOMALIES, events, "store")
    assert run_within(top, [top.source, *top.monitor.blocks]) is None
    assert any(m["block"] == "anomaly_detector" and m["status"] == "uncalibrated" for m in stored(debug))
    assert events.num_messages() == 0


SETTINGS = [("average", 8, 0), ("samp_rate", 2e6, -1.0), ("center_freq", 1e8, float("nan")), ("settle_ms", 5.0, -1.0),
            ("dropout_rate", 0.5, 2.0), ("rope_mode", "static", "helical"), ("backend", "naive", "perceiver"),
            ("dropout_policy", "energy", "luck"), ("false_alarm_rate", 0.05, 0.9), ("threshold_mode", "fixed", "guess"),
            ("threshold", 0.2, -1.0), ("hold", 9, -1), ("learn_s", 5.0, -1.0), ("belongs_after", 3, 0),
            ("false_events_per_hour", 10.0, 0.0)]


@pytest.mark.parametrize(("name", "good", "bad"), SETTINGS, ids=[name for name, _, _ in SETTINGS])
def test_every_live_setting_is_taken_or_refused(small_model, make_recording, noise, name, good, bad):
    source = sigmf_source(make_recording(noise(40 * FRAME)), repeat=True)
    of_boxes = name in declared and declared[name].only == "boxes"
    top = graph(spectrum_monitor(small_model, detector="boxes" if of_boxes else "emitters"), source, ())
    debug = status_store(top, top.monitor)
    monitor = top.monitor
    top.start()
    wait_for(lambda: monitor.encoder.n_frames > 50)
    assert getattr(monitor, f"set_{name}")(good) is True
    assert getattr(monitor, f"set_{name}")(bad) is False
    before = monitor.encoder.n_frames
    wait_for(lambda: monitor.encoder.n_frames > before + 50)
    wait_for(lambda: any(m["status"] == "refused" for m in stored(debug)))
    top.stop()
    top.wait()
    assert monitor.failure is None


def test_average_outside_the_models_range_is_refused_before_it_can_end_the_flowgraph(small_model):
    monitor = spectrum_monitor(small_model, average=32)
    assert monitor.set_average(33) is False and monitor.tokenizer.average() == 32
    with pytest.raises(ValueError, match=r"average 64 is outside 1\.\.32"):
        spectrum_monitor(small_model, average=64)


def test_average_auto_goes_by_the_sample_rate(small_model):
    hop = 1250 * N  # samples per second with which one spectrum a frame would be just slow enough
    monitor = spectrum_monitor(small_model, average="auto", samp_rate=16 * hop)
    assert monitor.tokenizer.average() == 16
    assert monitor.set_samp_rate(17 * hop) and monitor.tokenizer.average() == 32  # the most of this model
    assert monitor.set_average(8) and monitor.set_samp_rate(16 * hop) and monitor.tokenizer.average() == 8
    assert monitor.set_average("auto") and monitor.tokenizer.average() == 16
    assert monitor.set_average("most") is False and monitor.tokenizer.average() == 16
    with pytest.raises(ValueError, match=r"average 'most' is neither 'auto' nor a number in 1\.\.32"):
        spectrum_monitor(small_model, average="most")


def test_a_control_message_reaches_the_stages_that_it_concerns(small_model, make_recording, noise):
    top = graph(spectrum_monitor(small_model, detector="boxes"), sigmf_source(make_recording(noise(40 * FRAME)), repeat=True), ())
    monitor, settings = top.monitor, {"dropout_rate": 0.75, "false_alarm_rate": 0.02, "hold": 7, "threshold_mode": "quantile"}
    top.strobe = blocks.message_strobe(to_pmt(settings), 50)
    top.msg_connect(top.strobe, "strobe", monitor, keys.CONTROL)
    debug = status_store(top, monitor)
    top.start()
    wait_for(lambda: monitor.encoder.engine.k_kept == 4 and monitor.detector.detector.hold == 7)
    wait_for(lambda: any(m.get(keys.FALSE_ALARM_RATE) == 0.02 for m in stored(debug)))
    top.stop()
    top.wait()
    assert monitor.failure is None and monitor.encoder.malformed == monitor.detector.malformed == 0
    assert monitor.detector.detector.threshold_mode == "quantile"
    told = [m for m in stored(debug) if m["block"] == "spectrum_encoder"]
    assert (told[-1][keys.DROPOUT_RATE], told[-1][keys.ROPE_MODE], told[-1][keys.BACKEND]) == (0.75, "dynamic", "flash")


def test_reconstruction_and_score_come_out(small_model, make_recording, noise):
    iq = noise(20 * FRAME)
    top = graph(fixed(small_model), sigmf_source(make_recording(iq)), (2,))
    top.scores = blocks.vector_sink_f()
    top.connect((top.monitor, 3), top.scores)
    assert run_within(top, [top.source, *top.monitor.blocks]) is None
    wanted = Engine(small_model).encode(tokenize(iq, 1e6, fft_size=N).items, band_of(433.92e6))
    np.testing.assert_array_equal(top.sinks[0].data, wanted.reconstruction)
    np.testing.assert_allclose(top.scores.data(), np.mean(wanted.residual.astype(float)**2, axis=1), rtol=1e-5)


def test_live_change_in_the_chain_equals_a_fresh_chain(small_model, make_recording, noise):
    """Dropout rate, RoPE mode and backend, one after the other, while it runs."""
    iq = noise(40 * FRAME)
    source = sigmf_source(make_recording(iq, captures=[{"core:sample_start": 0}]), repeat=True)
    monitor = spectrum_monitor(small_model)
    top = graph(monitor, source)
    top.start()
    wait_for(lambda: monitor.encoder.n_frames > 100)
    for setter, value in (("set_dropout_rate", 0.5), ("set_rope_mode", "static"), ("set_backend", "naive")):
        assert getattr(monitor, setter)(value)
        before = monitor.encoder.n_frames
        wait_for(lambda before=before: monitor.encoder.n_frames > before + 200)
    top.stop()
    top.wait()
    wanted = Engine(small_model, dropout_rate=0.5, rope_mode="static", backend="naive").encode(
        tokenize(iq, 1e6, fft_size=N, flush=False).items)
    last = top.sinks[1].data[-100:]
    rows = np.arange(len(top.sinks[1].data))[-100:] % 40
    np.testing.assert_array_equal(last, wanted.residual[rows])


@pytest.mark.parametrize("policy", ["gumbel", "random"])
def test_the_same_flowgraph_again_gives_the_same(small_model, make_recording, noise, tmp_path, policy):
    """Stopped in the middle and started again: samples, tags, bands, random draws and counters all begin anew."""
    captures = [{"core:sample_start": 0, "core:frequency": 1575.42e6, "core:datetime": "2024-05-01T12:00:00Z"},
                {"core:sample_start": 25 * FRAME, "core:frequency": 10.0}]
    monitor = fixed(small_model, threshold=1e-6, hold=1, dropout_policy=policy)
    source = sigmf_source(make_recording(noise(51 * FRAME + N), captures=captures))
    top, log, outputs = graph(monitor, source), event_log(str(tmp_path / "events.jsonl")), []
    top.msg_connect(monitor, keys.ANOMALIES, log, keys.EVENTS)
    n_events = 0
    for interrupted in (False, True, False):
        for sink in top.sinks:
            sink.parts.clear()
        top.start()
        if interrupted:
            wait_for(lambda: monitor.encoder.n_frames > 10)
            top.stop()
        top.wait()
        log.drain()
        assert monitor.failure is None
        events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
        told = [{key: value for key, value in event.items() if key not in (keys.EVENT_ID, keys.LATENCY_MS)}
                for event in events[n_events:]]
        n_events = len(events)
        outputs.append((*(sink.data for sink in top.sinks), told, monitor.encoder.n_frames))
    for first, third in zip(outputs[0], outputs[2], strict=True):
        np.testing.assert_array_equal(first, third)
    assert outputs[0][-1] == 52 and outputs[0][-2]  # the last one short


def test_a_stages_failure_is_the_monitors(small_model, make_recording, noise):
    top = graph(spectrum_monitor(small_model), sigmf_source(make_recording(noise(400 * FRAME)), repeat=True))
    top.start()
    top.monitor.encoder.set_dropout_rate(None)
    top.wait()
    assert top.monitor.failure.block == "spectrum_encoder"


def test_the_monitor_keeps_its_stages(small_model, make_recording, noise):
    """A Python block that nothing refers to crashes GNU Radio at start; who keeps the monitor keeps its stages."""
    top, source, monitor = gr.top_block(), sigmf_source(make_recording(noise(20 * FRAME))), spectrum_monitor(small_model)
    top.connect(source, monitor)
    gc.collect()
    top.run()
    assert monitor.encoder.n_frames == 20


def test_arguments_are_those_of_the_stages():
    """What a stage can be told, the monitor can be told, with the same default."""
    from gnuradio.spectrumencoder.blocks.anomaly_detector import anomaly_detector
    own = inspect.signature(spectrum_monitor.__init__).parameters
    for stage in (spectrum_encoder, anomaly_detector):
        for name, parameter in inspect.signature(stage.__init__).parameters.items():
            assert name in own, f"{stage.__name__}: {name}"
            if name not in ("self", "fft_size", "stride", "window"):  # the model's own unless given
                assert own[name].default == parameter.default, name


@pytest.mark.parametrize("message", [pmt.intern("x"), pmt.from_double(1.0), pmt.PMT_NIL, to_pmt({"gain": 3})])
def test_wrong_control_messages(small_model, make_recording, noise, message):
    top = graph(spectrum_monitor(small_model), sigmf_source(make_recording(noise(40 * FRAME)), repeat=True), ())
    strobe = blocks.message_strobe(message, 20)
    top.msg_connect(strobe, "strobe", top.monitor, keys.CONTROL)
    top.start()
    wait_for(lambda: top.monitor.encoder.malformed >= 3)
    top.stop()
    top.wait()
    assert top.monitor.failure is None
