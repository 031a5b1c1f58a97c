# SPDX-License-Identifier: GPL-3.0-or-later
"""signal_list by itself and in spectrum_monitor; and alerts with the class of their own box, in flowgraphs."""

import sys
from pathlib import Path

import numpy as np
import pytest
from flowgraphs import collector, frame_source, message_store, run_within, stored
from gnuradio import gr
from gnuradio.spectrumencoder import anomaly_detector, keys, sigmf_source, signal_list, spectrum_monitor, tokenize
from gnuradio.spectrumencoder.detector.events import Segment
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.token_classes import columns
from gnuradio.spectrumencoder.signals.watch import SignalWatch
from small_models import write_small_model

sys.path.append(str(Path(__file__).resolve().parents[1] / "detector"))
import frames as synthetic

N, M, RATE, FREQ = 128, 16, 1e6, 433.92e6
HOP = 16 * N
START_S = 1714564800.25  # of the recording: 2024-05-01T12:00:00.25Z
LABELS = ("noise", "LoRa", "ISM-sensor-OOK")


@pytest.fixture(scope="module")
def head_model(tmp_path_factory):
    """Path of a model with a token head, untrained."""
    return write_small_model(tmp_path_factory.mktemp("head") / "head.safetensors", "head", 1, token_classes=True, labels=LABELS)


@pytest.fixture(scope="module")
def plain_model(tmp_path_factory):
    return write_small_model(tmp_path_factory.mktemp("plain") / "plain.safetensors", "plain", 1)


def samples(frames=120, seed=0):
    """Noise, a tone that is always there, and a burst of noise in frames 40..59, complex64."""
    rng = np.random.default_rng(seed)
    iq = (rng.standard_normal((frames * HOP, 2)) @ np.array([1, 1j]) * 0.007).astype(np.complex64)
    n = np.arange(len(iq))
    iq += (0.03 * np.exp(2j * np.pi * 30 / N * n)).astype(np.complex64)
    burst = rng.standard_normal((20 * HOP, 2)) @ np.array([1, 1j])
    spectrum = np.fft.fft(burst)
    spectrum[round(0.1 * len(burst)):round(0.9 * len(burst))] = 0  # the middle fifth of the band stays
    iq[40 * HOP:60 * HOP] += (0.03 * np.fft.ifft(spectrum) * np.exp(-2j * np.pi * 0.25 * n[:20 * HOP])).astype(np.complex64)
    return iq


def without_model(rows):
    return [{key: value for key, value in row.items() if key != keys.MODEL} for row in rows]


def list_graph(block, items, token_classes=None, tags=None):
    top = gr.top_block()
    top.block, top.sources = block, [frame_source(items, tags=tags)]
    top.connect(top.sources[0], (block, 0))
    if token_classes is not None:
        top.sources.append(frame_source(token_classes))
        top.connect(top.sources[1], (block, 1))
    top.store = message_store()
    top.msg_connect((block, keys.SIGNALS), (top.store, "store"))
    return top


TAGS = {keys.RX_FREQ: FREQ, keys.RX_RATE: RATE, keys.FRAME_START: 0, keys.FRAME_HOP: HOP, keys.FRAME_AVERAGE: 16}


def test_it_publishes_what_the_watch_says(head_model):
    items = tokenize(samples(), RATE, fft_size=N).items
    classes = Engine(head_model).encode(items, token_classes=True).token_classes
    top = list_graph(signal_list(head_model, N), items, classes, {0: TAGS})
    assert run_within(top, [top.block]) is None
    watch = SignalWatch(LABELS, n_bins=N)
    wanted = watch.update(items, classes, 0, Segment(FREQ, RATE, "ism", HOP, 16, (0.0, 0))) + watch.leave()
    said = stored(top.store)
    assert len(said) == len(wanted) > 3 and {row[keys.MODEL] for row in said} == {"head"}
    host = (keys.TIMESTAMP, keys.FIRST_HEARD, keys.LAST_HEARD, keys.MODEL)  # counted from the clock of this computer
    assert [{k: v for k, v in row.items() if k not in host} for row in said] == [
        {k: v for k, v in row.items() if k not in host} for row in wanted]
    assert {row[keys.TIME_SOURCE] for row in said} == {"host"}
    table = top.block.table()
    assert [row[keys.SIGNAL_ID] for row in table] == [row[keys.SIGNAL_ID] for row in watch.table()] and len(table) == 2
    assert top.block.counters() == {keys.FRAMES: 120, keys.SIGNALS: watch.n_signals}
    assert top.block.counters().keys() <= set(keys.vocabulary().values())


def test_tags_say_where_and_when_and_a_jump_ends_bursts(head_model):
    items = tokenize(samples(), RATE, fft_size=N).items
    tags = {0: TAGS | {keys.RX_TIME: (1_700_000_000, 0.5)}, 60: TAGS | {keys.RX_FREQ: 868e6, keys.FRAME_START: 100 * HOP}}
    top = list_graph(signal_list(head_model, N, usable=0.9), items, tags=tags)
    assert run_within(top, [top.block]) is None
    said = stored(top.store)
    tones = [row for row in said if row[keys.BANDWIDTH_HZ] < 1e5 and row[keys.STATE] == "close"]
    assert [round(row[keys.FREQ_CENTER_HZ] / 1e6) for row in tones] == [434, 868]
    assert [row[keys.SAMPLE_START] for row in tones] == [0, 100 * HOP]
    assert tones[0][keys.TIMESTAMP] == 1_700_000_000.5 and tones[0][keys.TIME_SOURCE] == "tag"
    assert tones[1][keys.TIMESTAMP] == pytest.approx(1_700_000_000.5 + 100 * HOP / RATE)
    assert {row[keys.LABEL] for row in said} == {"unknown signal"}  # nothing is connected to input 1


def test_without_any_frequency_signals_are_relative_until_it_is_stated(head_model):
    items = tokenize(samples(), RATE, fft_size=N).items
    top = list_graph(signal_list(head_model, N, samp_rate=RATE), items)
    assert run_within(top, [top.block]) is None
    assert all(row[keys.FREQ_RELATIVE] for row in stored(top.store)) and stored(top.store)
    assert top.block.set_center_freq(FREQ) is True and top.block.set_samp_rate(-1.0) is False
    again = list_graph(top.block, items)
    assert run_within(again, [again.block]) is None
    assert not any(keys.FREQ_RELATIVE in row for row in stored(again.store)) and stored(again.store)


@pytest.mark.parametrize(("arguments", "text"), [
    ({"fft_size": 256}, "fft_size is 256 and stride 8, the model .* was trained with 128 and 8"),
    ({"usable": 0.0}, "usable 0.0 is outside"), ({"time_source": "sun"}, "time_source 'sun' is not one of tag, hardware")])
def test_what_does_not_fit_is_refused(head_model, arguments, text):
    with pytest.raises(ValueError, match=text):
        signal_list(**{"model": head_model, "fft_size": N} | arguments)


def monitor_graph(monitor, source, ports=()):
    top = gr.top_block()
    top.source, top.monitor = source, monitor
    top.connect(source, monitor)
    top.sinks = [collector(N) for _ in ports]
    for port, sink in zip(ports, top.sinks, strict=True):
        top.connect((monitor, port), sink)
    top.signals, top.anomalies = message_store(), message_store()
    top.msg_connect(monitor, keys.SIGNALS, top.signals, "store")
    top.msg_connect(monitor, keys.ANOMALIES, top.anomalies, "store")
    return top


@pytest.mark.parametrize("ports", [(), (0,), (1, 2)])
@pytest.mark.parametrize("with_head", [True, False])
def test_the_monitor_lists_signals_if_it_is_asked(head_model, plain_model, make_recording, with_head, ports):
    model, iq = head_model if with_head else plain_model, samples()
    top = monitor_graph(spectrum_monitor(model, signals=True, learn_s=0.1), sigmf_source(make_recording(iq)), ports)
    assert run_within(top, [top.source, *top.monitor.blocks]) is None
    items = tokenize(iq, RATE, fft_size=N).items
    classes = Engine(model).encode(items, "ism", token_classes=True).token_classes if with_head else None
    watch = SignalWatch(LABELS, n_bins=N)
    wanted = watch.update(items, classes, 0, Segment(FREQ, RATE, "ism", HOP, 16, (START_S, 0), "tag")) + watch.leave()
    assert without_model(stored(top.signals)) == wanted and len(wanted) > 3
    assert top.monitor.signal_list.table() == watch.table()
    assert all(len(sink.data) == 120 for sink in top.sinks)
    if with_head:
        assert {row[keys.LABEL] for row in wanted} <= {"LoRa", "ISM-sensor-OOK", "unknown signal"}
    else:
        assert {row[keys.LABEL] for row in wanted} == {"unknown signal"}


def test_the_monitor_is_silent_on_signals_and_computes_nothing_for_it_by_default(plain_model, make_recording, monkeypatch):
    top = monitor_graph(spectrum_monitor(plain_model), sigmf_source(make_recording(samples())))
    asked = []
    encode = Engine.encode
    monkeypatch.setattr(Engine, "encode", lambda self, *a, **k: (asked.append(k.get("token_classes")), encode(self, *a, **k))[1])
    assert run_within(top, [top.source, *top.monitor.blocks]) is None
    assert top.signals.num_messages() == 0 and top.monitor.signal_list is None and len(top.monitor.blocks) == 6
    assert asked and not any(one is not None and one is not False for one in asked)


def test_live_changes_reach_the_list(head_model, make_recording):
    monitor = spectrum_monitor(head_model, signals=True)
    assert monitor.set_samp_rate(2e6) and monitor.set_center_freq(868e6)
    assert (monitor.signal_list._samp_rate, monitor.signal_list._center_freq) == (2e6, 868e6)


# Alerts

LEARN, NEW = 1500, (80, 83)  # frames; bins


def token_stream(count, first, last, bins, name):
    tokens = np.zeros((count, M, len(columns(LABELS))), np.float32)
    tokens[..., 0] = 1.0
    part = tokens[first:last + 1, bins[0] // 8:bins[1] // 8 + 1]
    part[..., 0], part[..., columns(LABELS).index(name)] = 0.2, 0.8
    return tokens.reshape(count, -1)


@pytest.mark.parametrize("name", ["LoRa", "unknown signal"])
def test_an_alert_has_the_class_of_its_box(head_model, name):
    psd, residual, rows = synthetic.frames(2600, 1, N)
    from gnuradio.spectrumencoder.encoder import features as layout
    rows[:, layout.K_KEPT], rows[:, layout.K_ENCODED] = 12, 12
    rows[:, layout.PROBABILITIES][:, 2] = 0.9  # the frame is called ISM-sensor-OOK throughout
    synthetic.put(psd, residual, 2000, 2099, *NEW, 15.0)
    for tokens, label, confidence in ((token_stream(2600, 2000, 2099, NEW, name), name, 1.0), (None, "ISM-sensor-OOK", 0.9),
                                      (np.full((2600, M * 5), np.nan, np.float32), "ISM-sensor-OOK", 0.9)):
        top = gr.top_block()
        top.detector = anomaly_detector(head_model, N, RATE, FREQ, learn_s=LEARN * HOP / RATE)
        top.sources = [frame_source(items) for items in (psd, residual, rows, *([] if tokens is None else [tokens]))]
        for port, source in enumerate(top.sources):
            top.connect(source, (top.detector, port))
        top.store = message_store()
        top.msg_connect((top.detector, keys.ANOMALIES), (top.store, "store"))
        assert run_within(top, [top.detector], 20.0) is None
        alert, = [event for event in stored(top.store) if event[keys.STATE] == "open"]
        assert (alert[keys.ALERT], alert[keys.LABEL]) == ("new", label)
        assert alert[keys.CONFIDENCE] == pytest.approx(confidence, abs=0.01)


def test_boxes_takes_no_token_classes(head_model):
    assert not anomaly_detector(head_model, N, detector="boxes").takes_token_classes
    assert anomaly_detector(head_model, N).takes_token_classes


def test_the_whole_chain_gives_an_alert_the_class_that_its_tokens_have(head_model, make_recording):
    """With real (untrained) token classes: those of the frames and bins of the box, averaged here in the plain way."""
    iq = samples(400)
    iq[40 * HOP:60 * HOP] = iq[100 * HOP:120 * HOP]  # quiet while learning
    rng = np.random.default_rng(7)
    burst = np.fft.fft(rng.standard_normal((40 * HOP, 2)) @ np.array([1, 1j]))
    burst[round(0.05 * len(burst)):round(0.95 * len(burst))] = 0
    n = np.arange(40 * HOP)
    iq[300 * HOP:340 * HOP] += (0.05 * np.fft.ifft(burst) * np.exp(-2j * np.pi * 0.25 * n)).astype(np.complex64)
    top = monitor_graph(spectrum_monitor(head_model, learn_s=250 * HOP / RATE), sigmf_source(make_recording(iq)))
    assert run_within(top, [top.source, *top.monitor.blocks], 20.0) is None
    events = [event for event in stored(top.anomalies) if event.get(keys.ALERT) == "new"]
    assert events
    items = tokenize(iq, RATE, fft_size=N).items
    tokens = Engine(head_model).encode(items, "ism", token_classes=True).token_classes.reshape(400, M, -1)[..., :-1]
    last = events[-1]
    first, stop = last[keys.SAMPLE_START] // HOP, (last[keys.SAMPLE_START] + last[keys.SAMPLE_COUNT]) // HOP
    low = round((last[keys.FREQ_CENTER_HZ] - last[keys.BANDWIDTH_HZ] / 2 - FREQ) / (RATE / N) + N / 2 + 0.5)
    high = low + round(last[keys.BANDWIDTH_HZ] / (RATE / N)) - 1
    bins = np.repeat(tokens[first:stop].mean(axis=0), 8, axis=0)[low:high + 1].mean(axis=0)
    shares = bins[1:] / bins[1:].sum()
    assert last[keys.LABEL] == [*LABELS[1:], "unknown signal"][int(shares.argmax())]
    assert last[keys.CONFIDENCE] == pytest.approx(shares.max(), abs=0.01)
