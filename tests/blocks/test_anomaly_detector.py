# SPDX-License-Identifier: GPL-3.0-or-later
"""anomaly_detector with the detector "boxes" in a flowgraph: scores, messages, tags, live changes, jumps in tuning and time,
refusals."""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pmt
import pytest
from flowgraphs import collector, frame_source, run_within, status_store, stored
from gnuradio import blocks, gr
from gnuradio.spectrumencoder import anomaly_detector, event_log, keys
from gnuradio.spectrumencoder.blocks.messages import to_pmt
from gnuradio.spectrumencoder.encoder import features as layout
from gnuradio.spectrumencoder.encoder.model_file import ModelError, load, save

sys.path.append(str(Path(__file__).resolve().parents[1] / "detector"))
import frames as synthetic

N = 128
HOP = 16 * N
boxes_detector = partial(anomaly_detector, detector="boxes")
RATE, FREQ = 1e6, 433.92e6


@pytest.fixture(scope="module")
def model(small_model, tmp_path_factory):
    """The small model with a conformal table for band ism, 12 tokens of K = 16."""
    file = load(small_model)
    _, residual, rows = frames(2000, seed=50)
    from gnuradio.spectrumencoder.detector import calibrate
    table = calibrate.learn(residual, rows, HOP / RATE)
    file.set_table("softmax-dynamic/ism/12/16/gumbel/fp32", table.to_tensors())
    path = tmp_path_factory.mktemp("calibrated") / "small.safetensors"
    save(path, file.contract, file.tensors)
    return str(path)


def frames(count, seed):
    psd, residual, rows = synthetic.frames(count, seed, N)
    rows[:, layout.K_KEPT] = 12
    return psd, residual, rows


class score_collector(collector):
    """A collector of plain floats."""

    def __init__(self):
        gr.sync_block.__init__(self, "score_collector", [np.float32], None)
        self.parts, self.tags, self.vlen = [], [], 1


class tagged_source(frame_source):
    """A frame_source whose tags are PMTs."""

    def __init__(self, items, tags):
        frame_source.__init__(self, items)
        self.pmt_tags = tags

    def work(self, input_items, output_items):
        begin = self.position
        count = frame_source.work(self, input_items, output_items)
        for frame, tags in self.pmt_tags.items():
            if begin <= frame < begin + max(count, 0):
                for key, value in tags.items():
                    self.add_item_tag(0, frame, pmt.intern(key), value)
        return count


def start_tags(frame_start=0, freq=FREQ, seconds=1_700_000_000, rate=RATE):
    return {keys.RX_FREQ: pmt.from_double(freq), keys.RX_RATE: pmt.from_double(rate),
            keys.RX_TIME: pmt.make_tuple(pmt.from_uint64(seconds), pmt.from_double(0.25)),
            keys.FRAME_START: pmt.from_uint64(frame_start), keys.FRAME_HOP: pmt.from_uint64(HOP),
            keys.FRAME_AVERAGE: pmt.from_uint64(16)}


def graph(detector, psd, residual, rows, tags=None, score=True):
    top = gr.top_block()
    tags = {0: start_tags()} if tags is None else tags
    top.sources = [tagged_source(psd, tags), tagged_source(residual, tags), tagged_source(rows, tags)]
    top.detector = detector
    for port, source in enumerate(top.sources):
        top.connect(source, (detector, port))
    top.store = blocks.message_debug()
    top.msg_connect((detector, keys.ANOMALIES), (top.store, "store"))
    top.status = status_store(top, detector)
    if score:
        top.sink = score_collector()
        top.connect(detector, top.sink)
    return top


def events(top, **wanted):
    return [e for e in stored(top.store) if all(e[k] == v for k, v in wanted.items())]


def with_signal(count=200, first=50, last=89, seed=51):
    psd, residual, rows = frames(count, seed)
    synthetic.put(psd, residual, first, last, 30, 33, 15)
    return psd, residual, rows


@pytest.mark.parametrize("score", [True, False], ids=["score", "score unconnected"])
def test_a_signal_becomes_an_event(model, score):
    psd, residual, rows = with_signal()
    top = graph(boxes_detector(model, N, false_alarm_rate=0.001), psd, residual, rows, score=score)
    assert run_within(top, [top.detector]) is None
    event = max(events(top, state="close"), key=lambda e: e[keys.SAMPLE_COUNT])
    assert (event[keys.SAMPLE_START], event[keys.SAMPLE_COUNT]) == (50 * HOP, 40 * HOP)
    assert event[keys.FREQ_CENTER_HZ] == pytest.approx(FREQ + (31.5 - N // 2) * RATE / N, abs=2 * RATE / N)
    assert event[keys.TIMESTAMP] == pytest.approx(1_700_000_000.25 + 50 * HOP / RATE, abs=1e-6)
    assert (event[keys.TIME_SOURCE], event[keys.BAND], event[keys.MODEL]) == ("tag", "ism", "small")
    assert len(events(top, state="open")) == len(events(top, state="close"))
    if score:
        scores = top.sink.data.ravel()
        assert len(scores) == 200
        assert np.isfinite(scores).all()
        assert scores[50:90].min() > event[keys.THRESHOLD]


def test_messages_are_pdus_of_the_residual(model):
    psd, residual, rows = with_signal()
    top = graph(boxes_detector(model, N, false_alarm_rate=0.001), psd, residual, rows)
    run_within(top, [top.detector])
    message = top.store.get_message(0)
    assert pmt.is_pdu(message)
    assert pmt.is_f32vector(pmt.cdr(message))
    event = events(top)[0]
    start = event[keys.SAMPLE_START] // HOP
    np.testing.assert_array_equal(pmt.f32vector_elements(pmt.cdr(message)), residual[start])


def test_tags_pass_once(model):
    psd, residual, rows = frames(20, 52)
    top = graph(boxes_detector(model, N), psd, residual, rows, tags={0: start_tags(), 7: {"other": pmt.from_long(3)}})
    run_within(top, [top.detector])
    assert sorted((offset, key) for offset, key, _ in top.sink.tags) == sorted([(0, k) for k in start_tags()] + [(7, "other")])


def test_a_retune_closes_and_moves(model):
    psd, residual, rows = with_signal(first=50, last=149)
    tags = {0: start_tags(), 100: start_tags(frame_start=100 * HOP + 777, freq=434e6, seconds=1_700_000_009)}
    top = graph(boxes_detector(model, N, false_alarm_rate=0.001), psd, residual, rows, tags)
    assert run_within(top, [top.detector]) is None
    before, after = [e for e in events(top, state="close") if e[keys.SAMPLE_COUNT] > 10 * HOP]
    assert (before[keys.SAMPLE_START], before[keys.SAMPLE_COUNT]) == (50 * HOP, 50 * HOP)
    assert (after[keys.SAMPLE_START], after[keys.SAMPLE_COUNT]) == (100 * HOP + 777, 50 * HOP)
    assert after[keys.FREQ_CENTER_HZ] - before[keys.FREQ_CENTER_HZ] == pytest.approx(434e6 - FREQ)
    assert after[keys.TIMESTAMP] == pytest.approx(1_700_000_009.25, abs=1e-6)


def test_a_change_of_average_does_not_close(model):
    psd, residual, rows = with_signal(first=50, last=149)
    again = {keys.FRAME_START: pmt.from_uint64(100 * HOP), keys.FRAME_HOP: pmt.from_uint64(HOP),
             keys.FRAME_AVERAGE: pmt.from_uint64(16)}
    top = graph(boxes_detector(model, N, false_alarm_rate=0.001), psd, residual, rows, {0: start_tags(), 100: again})
    run_within(top, [top.detector])
    assert max(e[keys.SAMPLE_COUNT] for e in events(top, state="close")) == 100 * HOP


def test_an_event_at_the_end_is_closed(model, tmp_path):
    """Closing happens in stop: the project's sinks linger for it (GNU Radio's message_debug does not)."""
    psd, residual, rows = with_signal(count=100, first=90, last=99)
    top = graph(boxes_detector(model, N, false_alarm_rate=0.001), psd, residual, rows)
    top.log = event_log(str(tmp_path / "events.jsonl"))
    top.msg_connect((top.detector, keys.ANOMALIES), (top.log, keys.EVENTS))
    assert run_within(top, [top.detector, top.log]) is None
    logged = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert (logged[-1][keys.STATE], logged[-1][keys.SAMPLE_COUNT]) == ("close", 10 * HOP)


def test_without_tags_the_parameters_stand_in(model):
    psd, residual, rows = with_signal()
    detector = boxes_detector(model, N, samp_rate=2e6, center_freq=868e6, false_alarm_rate=0.001)
    top = graph(detector, psd, residual, rows, tags={})
    run_within(top, [detector])
    event = max(events(top, state="close"), key=lambda e: e[keys.SAMPLE_COUNT])
    assert event[keys.TIME_SOURCE] == "host"
    assert abs(event[keys.FREQ_CENTER_HZ] - 868e6) < 1e6
    assert event[keys.BANDWIDTH_HZ] % (2e6 / N) == pytest.approx(0, abs=1e-3)
    assert event[keys.SAMPLE_START] == 50 * HOP


def test_tags_of_wrong_types_are_ignored_and_counted(model):
    psd, residual, rows = with_signal()
    wrong = {keys.RX_FREQ: to_pmt("high"), keys.RX_RATE: to_pmt(-1.0), keys.RX_TIME: to_pmt(3.0),
             keys.FRAME_START: to_pmt(1.5), keys.FRAME_HOP: to_pmt(0), keys.FRAME_AVERAGE: to_pmt({"a": 1})}
    top = graph(boxes_detector(model, N, false_alarm_rate=0.001), psd, residual, rows, {0: start_tags(), 70: wrong})
    assert run_within(top, [top.detector]) is None
    assert top.detector.malformed == 6
    assert max(e[keys.SAMPLE_COUNT] for e in events(top, state="close")) == 40 * HOP


def test_an_uncalibrated_band_is_said_once_and_gives_no_event(model):
    psd, residual, rows = with_signal()
    top = graph(boxes_detector(model, N), psd, residual, rows, {0: start_tags(freq=1575.42e6)})
    assert run_within(top, [top.detector]) is None
    said = [s for s in stored(top.status) if s[keys.STATUS_STATE] == "uncalibrated"]
    assert len(said) == 1
    assert "gnss" in said[0][keys.MESSAGE]
    assert not events(top)
    assert np.isnan(top.sink.data).all()


def test_the_general_table_is_named_as_such(model, tmp_path):
    file = load(model)
    fields = file.tables["softmax-dynamic/ism/12/16/gumbel/fp32"]
    file.set_table("softmax-dynamic/unknown/12/16/gumbel/fp32", fields)
    save(tmp_path / "general.safetensors", file.contract, file.tensors)
    psd, residual, rows = with_signal()
    detector = boxes_detector(str(tmp_path / "general.safetensors"), N, false_alarm_rate=0.001)
    top = graph(detector, psd, residual, rows, {0: start_tags(freq=1575.42e6)})
    assert run_within(top, [detector]) is None
    said, = [s for s in stored(top.status) if s[keys.STATUS_STATE] == "general_table"]
    assert said[keys.MESSAGE].startswith("general table: ")
    assert not [s for s in stored(top.status) if s[keys.STATUS_STATE] == "uncalibrated"]
    assert {e[keys.BAND] for e in events(top)} == {"gnss"}


@pytest.mark.parametrize("tags", [{}, {0: start_tags(seconds=1000)}], ids=["host time", "rx_time"])
def test_time_goes_on_through_a_change_of_rate(model, tags):
    """After 100 frames the rate doubles, without a new rx_time: frame 150 comes 50 short frames after frame 100."""
    psd, residual, rows = with_signal(first=150, last=159)
    synthetic.put(psd, residual, 50, 59, 30, 33, 15)
    tags = tags | {100: {keys.RX_RATE: pmt.from_double(2 * RATE)}}
    top = graph(boxes_detector(model, N, RATE, FREQ, false_alarm_rate=0.001), psd, residual, rows, tags)
    run_within(top, [top.detector])
    times = {e[keys.SAMPLE_START] // HOP: e[keys.TIMESTAMP] for e in events(top, state="open")}
    assert times[150] - times[50] == pytest.approx(50 * HOP / RATE + 50 * HOP / (2 * RATE), abs=1e-5)


def test_a_live_change_of_tuning_closes_what_is_open(model):
    psd, residual, rows = with_signal(first=50, last=149)
    detector = boxes_detector(model, N, RATE, FREQ, false_alarm_rate=0.001)
    detector.start()
    whole = detector._judge(psd[:100], residual[:100], rows[:100], None)
    assert np.isfinite(whole).all()
    assert detector.detector.tracker.n_open == 1
    assert detector.set_center_freq(2.4e9)
    detector._judge(psd[190:191], residual[190:191], rows[190:191], None)
    assert detector.detector.tracker.n_open == 0


def test_stopped_and_started_again_it_starts_anew(model):
    psd, residual, rows = with_signal(count=200, first=50, last=149)
    rows[:, layout.FLOOR_DBFS] += np.linspace(0, 0.3, 200)
    top = graph(boxes_detector(model, N, false_alarm_rate=0.001), psd, residual, rows)
    runs = []
    for _ in range(2):
        for source in top.sources:
            source.position = 0
        top.sink.parts.clear()
        before = len(events(top))
        assert run_within(top, [top.detector]) is None
        runs.append(([{k: v for k, v in e.items() if k != keys.LATENCY_MS} for e in events(top)[before:]], top.sink.data))
    assert runs[0][0] == runs[1][0] != []
    np.testing.assert_array_equal(runs[0][1], runs[1][1])
    assert top.detector.detector.n_frames == 200


def test_the_same_events_however_it_is_cut(model):
    psd, residual, rows = with_signal(count=600)
    results = []
    for most in (0, 1, 5):
        top = graph(boxes_detector(model, N, false_alarm_rate=0.05), psd, residual, rows)
        if most:
            top.detector.set_max_noutput_items(most)
        run_within(top, [top.detector], seconds=10)
        results.append(([{k: v for k, v in e.items() if k != keys.LATENCY_MS} for e in events(top)], top.sink.data))
    for found, scores in results[1:]:
        assert found == results[0][0]
        np.testing.assert_array_equal(scores, results[0][1])


def test_live_changes(model):
    detector = boxes_detector(model, N)
    assert detector.set_false_alarm_rate(0.05)
    assert detector.set_hold(9)
    assert detector.set_threshold_mode("fixed")
    assert detector.set_threshold(3.0)
    assert (detector.detector.false_alarm_rate, detector.detector.hold) == (0.05, 9)
    psd, residual, rows = with_signal()
    top = graph(detector, psd, residual, rows)
    run_within(top, [detector])
    np.testing.assert_allclose(top.sink.data.ravel(), np.square(residual.astype(float)).mean(axis=1), rtol=1e-5)


@pytest.mark.parametrize(("setter", "value"), [
    ("set_false_alarm_rate", 0), ("set_threshold_mode", "soft"), ("set_threshold", -1), ("set_hold", -1),
    ("set_false_events_per_hour", 0),
    ("set_samp_rate", -1), ("set_hold", "x"),
])
def test_refused_changes_keep_the_old_value(model, setter, value):
    detector = boxes_detector(model, N)
    assert getattr(detector, setter)(value) is False
    assert detector.failure is None
    judge = detector.detector
    assert (judge.false_alarm_rate, judge.threshold_mode, judge.threshold, judge.hold) == (0.01, "calibrated", 0.1, 4)


@pytest.mark.parametrize(("settings", "message"), [
    ({"fft_size": 256}, "fft_size is 256, the model .* 128"), ({"band": "moon"}, "band 'moon'"),
    ({"time_source": "moon"}, "time_source 'moon'"), ({"samp_rate": -1}, "samp_rate -1 is outside"),
    ({"false_alarm_rate": 2}, "false_alarm_rate 2"), ({"hold": -3}, "hold -3"),
])
def test_arguments_out_of_range_are_named(model, settings, message):
    with pytest.raises(ValueError, match=message):
        boxes_detector(model, **{"fft_size": N, **settings})


def test_no_model():
    with pytest.raises(ModelError, match="no model named 'nothing'"):
        anomaly_detector("nothing")


def test_a_residual_that_is_not_finite_ends_the_flowgraph(model):
    psd, residual, rows = with_signal()
    residual[40] = np.nan
    top = graph(boxes_detector(model, N), psd, residual, rows)
    failure = run_within(top, [top.detector])
    assert "not finite" in str(failure)
