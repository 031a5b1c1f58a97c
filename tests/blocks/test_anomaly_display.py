# SPDX-License-Identifier: GPL-3.0-or-later
"""anomaly_display in a flowgraph, without a screen: what it draws, its controls, messages of every kind, failures, no Qt."""

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pmt
import pytest
from flowgraphs import frame_source, status_store, stored
from gnuradio import gr
from gnuradio.spectrumencoder import anomaly_display, keys
from gnuradio.spectrumencoder.blocks.messages import pdu, to_pmt
from gnuradio.spectrumencoder.blocks.safe_block import first_failure
from gnuradio.spectrumencoder.display.appearance import SIGNAL_COLOR, THREAT_COLORS, event_label
from PyQt5 import QtCore, QtGui, QtWidgets
from test_malformed import MESSAGES

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))
from display_pictures import picture, run_until, shown_chain

N = 128
RATE, CENTER, HOP = 1e6, 433.92e6, 16 * N
TAGS = {keys.RX_FREQ: CENTER, keys.RX_RATE: RATE, keys.FRAME_START: 0, keys.FRAME_HOP: HOP}
EVENT = {keys.EVENT_ID: "a", keys.STATE: "open", keys.FREQ_CENTER_HZ: CENTER + 1e5, keys.BANDWIDTH_HZ: 5e4,
         keys.SAMPLE_START: 20 * HOP, keys.SAMPLE_COUNT: 20 * HOP, keys.TIMESTAMP: 1e9 + 20 * HOP / RATE,
         keys.THREAT_LEVEL: "HIGH", keys.THRESHOLD: 2.0}

EVENT_LABEL = event_label(EVENT)


@pytest.fixture(autouse=True)
def no_widget_is_left():
    """Frees a test's widgets here. Left to chance, the garbage collector frees them while the next one paints: Qt crashes."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def application():
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication([])


def psd_frames(count, seed=5):
    return np.random.default_rng(seed).normal(-90, 1, (count, N)).astype(np.float32)


def shown(display, source=None):
    top = gr.top_block()
    top.source, top.display = source or frame_source(psd_frames(200), tags={0: TAGS}), display
    top.connect(top.source, display)
    display.widget.resize(900, 700)
    display.widget.show()
    return top


def pixels(image: QtGui.QImage, color: str) -> int:
    """How many pixels have the colour, to within antialiasing's rounding."""
    image = image.convertToFormat(QtGui.QImage.Format_RGB32)
    data = np.frombuffer(image.bits().asarray(image.byteCount()), np.uint8).reshape(image.height(), image.width(), 4)
    wanted = QtGui.QColor(color)
    return int((np.abs(data[..., :3].astype(int) - [wanted.blue(), wanted.green(), wanted.red()]).max(axis=2) < 8).sum())


def finish(application, top, condition=lambda: True, seconds=20.0):
    """Runs until the stream has ended, the condition holds and all is drawn."""
    top.start()
    run_until(application, lambda: condition() and top.display.feed.n_frames >= 200, seconds)
    top.stop()
    top.wait()
    top.display.widget.draw()


def test_the_bundled_scene_with_its_events(application, model_file, tmp_path):
    """The whole picture of the documentation, with the shipped model's general table: boxes, labels, curves, rows, rates."""
    top = shown_chain(str(model_file), detector="boxes", false_events_per_hour=1000.0)
    picture(application, top, tmp_path / "display.png", n_events=2)
    assert first_failure(top.blocks) is None
    widget, image = top.display.widget, QtGui.QImage(str(tmp_path / "display.png"))
    assert image.width() >= 1300
    assert max(pixels(image, color) for color in THREAT_COLORS[:-1]) > 200  # boxes
    for color in ("#1f77b4", "#ff7f0e", "#d62728", "#2ca02c"):  # measured, expected, residual, scores
        assert pixels(image, color) > 100, color
    assert widget.table.model().rowCount() >= 2
    assert widget.plots._labels[0].isVisible() and "MHz" in widget.plots._labels[0].toPlainText()
    assert widget.history.low_hz == pytest.approx(867.5e6, abs=2e3) and widget.history.high_hz == pytest.approx(869.5e6, abs=2e3)
    assert widget.controls.chosen() == {keys.DROPOUT_RATE: 0.25, keys.ROPE_MODE: "dynamic", keys.BACKEND: "flash",
                                        keys.FALSE_EVENTS_PER_HOUR: 1000.0}
    assert top.display.counters()[keys.DRAWS] >= 3


def test_controls_change_the_chain_and_show_what_it_refuses(application, model_file):
    top = shown_chain(str(model_file))
    controls, engine = top.display.widget.controls, top.monitor.encoder.engine
    top.display.widget.show()
    top.start()
    run_until(application, lambda: None not in controls.chosen().values() and top.monitor.encoder.n_frames > 5, 20.0)
    for key, value in ((keys.DROPOUT_RATE, 0.5), (keys.BACKEND, "linear"), (keys.FALSE_EVENTS_PER_HOUR, 10.0)):
        controls.choose(key, value)
    run_until(application, lambda: (engine.dropout_rate, engine.backend,
                                    top.monitor.detector.counters()[keys.FALSE_EVENTS_PER_HOUR])
              == (0.5, "linear", 10.0), 10.0)
    controls.choose(keys.ROPE_MODE, "static")  # the model holds no linear weights for it
    run_until(application, lambda: "refused" in top.display.widget._status_line.toolTip(), 10.0)
    run_until(application, lambda: controls.chosen() == {
        keys.DROPOUT_RATE: 0.5, keys.ROPE_MODE: "dynamic", keys.BACKEND: "linear", keys.FALSE_EVENTS_PER_HOUR: 10.0}, 10.0)
    top.monitor.set_false_events_per_hour(0.033)  # elsewhere, to what the list does not have
    run_until(application, lambda: controls.chosen()[keys.FALSE_EVENTS_PER_HOUR] == 0.033, 10.0)
    with pytest.raises(ValueError, match="perceiver.*not offered"):
        controls.choose(keys.BACKEND, "perceiver")
    top.stop()
    top.wait()
    assert first_failure(top.blocks) is None


def test_signals_have_light_boxes_and_labels_that_do_not_overprint(application, tmp_path):
    display = anomaly_display(N, history_s=0.5, model="")
    top = shown(display)
    signal = {keys.STATE: "open", keys.SAMPLE_START: 20 * HOP, keys.SAMPLE_COUNT: 100 * HOP, keys.LABEL: "LoRa",
              keys.CONFIDENCE: 0.9}
    signals = [signal | {keys.SIGNAL_ID: n, keys.FREQ_CENTER_HZ: CENTER + f, keys.BANDWIDTH_HZ: 3e4}
               for n, f in enumerate((-3e5, -2.9e5, -2.8e5, 2e5))]
    messages = [(keys.SIGNALS, to_pmt(one)) for one in (*signals, signals[0] | {keys.STATE: "close", keys.LABEL: "BLE"})]
    for port, message in [*messages, (keys.EVENTS, pdu(EVENT, np.zeros(N)))]:
        display.to_basic_block()._post(pmt.intern(port), message)
    finish(application, top, lambda: len(display.widget.signals.newest_first()) == 4
           and display.widget.signals.newest_first()[-1][keys.LABEL] == "BLE" and display.widget.table.model().rowCount() == 1)
    plots = display.widget.plots
    x, y = plots._signals.getData()
    assert np.isnan(x).sum() == 4 and np.nanmin(x) == pytest.approx((CENTER - 3.15e5) / 1e6, abs=0.02)
    assert (np.nanmin(y), np.nanmax(y)) == (pytest.approx(20 * HOP / RATE, abs=0.02), pytest.approx(120 * HOP / RATE, abs=0.02))
    labels = [label for label in (*plots._labels, *plots._signal_labels) if label.isVisible()]
    assert {label.toPlainText() for label in labels} >= {"LoRa 90 %", EVENT_LABEL}
    places = [label.mapRectToScene(label.boundingRect()) for label in labels]
    assert not any(a.intersects(b) for n, a in enumerate(places) for b in places[n + 1:])
    display.widget.grab().save(str(tmp_path / "display.png"))
    assert pixels(QtGui.QImage(str(tmp_path / "display.png")), SIGNAL_COLOR) > 100
    display.feed.restart()  # as at a new start
    display.widget.draw()
    assert display.widget.signals.newest_first() == []


@pytest.mark.parametrize("when", [lambda sample: {keys.SAMPLE_START: sample},
                                  lambda sample: {keys.TIMESTAMP: 1e9 + sample / RATE}], ids=["by sample", "by time"])
def test_events_and_tracks_are_where_they_say(application, when):
    display = anomaly_display(N, history_s=0.5, model="")
    top = shown(display)
    elsewhere = EVENT | {keys.EVENT_ID: "elsewhere", keys.FREQ_CENTER_HZ: 1e6}
    posted = [(keys.EVENTS, pdu(EVENT, np.zeros(N))), (keys.EVENTS, to_pmt(elsewhere))]
    posted += [(keys.TRACKS, to_pmt({keys.TRACK_ID: 4, keys.FREQ_CENTER_HZ: CENTER - 2e5 + 1e3 * n} | when(n * HOP)))
               for n in range(0, 150, 10)]
    for port, message in posted:
        display.to_basic_block()._post(pmt.intern(port), message)
    finish(application, top, lambda: display.widget.table.model().rowCount() == 2 and display.widget.tracks.tracks)
    plots = display.widget.plots
    x, y = plots._boxes[THREAT_COLORS[2]].getData()
    assert np.nanmin(x) < (CENTER + 0.75e5) / 1e6 < np.nanmin(x) + 0.02 and np.nanmax(x) > (CENTER + 1.25e5) / 1e6
    assert (np.nanmin(y), np.nanmax(y)) == (pytest.approx(20 * HOP / RATE, abs=0.02), pytest.approx(40 * HOP / RATE, abs=0.02))
    assert np.isnan(x).sum() == 1  # the other one is outside the frequencies shown
    curve, label = plots._tracks["4"]
    centers, times = curve.getData()
    np.testing.assert_allclose(centers[:15], (CENTER - 2e5 + 1e4 * np.arange(15)) / 1e6)
    np.testing.assert_allclose(times[:15], np.arange(0, 150, 10) * HOP / RATE, atol=1e-6)
    assert label.toPlainText() == "track 4"
    display.widget.table.selectRow(1)
    display.widget.draw()
    assert display.widget.table.selected_event()[keys.EVENT_ID] == "a"
    assert display.widget.table.model().data(display.widget.table.model().index(1, 1)) == f"{20 * HOP / RATE:.3f}"


@pytest.mark.parametrize("inputs", [1, 2, 3, 4])
def test_inputs_after_the_first_may_stay_unconnected(application, inputs):
    display = anomaly_display(N, model="")
    top = shown(display)
    top.others = [frame_source(psd_frames(200)) for _ in range(min(inputs, 3) - 1)]
    if inputs == 4:
        from gnuradio import blocks
        top.others.append(blocks.vector_source_f([0.5] * 200))
    for port, source in enumerate(top.others, 1):
        top.connect(source, (display, port))
    finish(application, top)
    assert display.failure is None
    assert np.isfinite(display.widget.history.scores).any() == (inputs == 4)


def test_whatever_comes_by_message_is_shown_or_counted(application):
    display = anomaly_display(N, model="base")
    top = shown(display)
    messages = [*MESSAGES.values(), *(to_pmt({keys.EVENT_ID: "x", keys.TRACK_ID: 1, keys.STATUS_STATE: 3, key: value})
                                      for key in (*keys.EVENT_FIELDS[1:], keys.BLOCK, keys.MESSAGE, keys.ROPE_MODE)
                                      for value in ("text", -1, 1e300, [1, 2], {"a": "b"}))]
    for message in messages:
        for port in (keys.EVENTS, keys.TRACKS, keys.STATUS):
            display.to_basic_block()._post(pmt.intern(port), message)
    finish(application, top)
    assert display.failure is None and 0 < display.malformed < 3 * len(messages)
    assert display.widget.grab().toImage().width() >= 900


def test_a_second_start_begins_anew(application):
    display = anomaly_display(N, model="", history_s=1.0)
    source = frame_source(psd_frames(200), tags={0: TAGS})
    top = shown(display, source)
    display.to_basic_block()._post(pmt.intern(keys.EVENTS), to_pmt(EVENT))
    finish(application, top, lambda: display.widget.events.n_events == 1)
    source.position = 0
    finish(application, top)
    assert display.widget.events.n_events == 0 and display.feed.n_frames == 200
    assert display.widget.history.end_s == pytest.approx(200 * HOP / RATE, abs=0.01)


def test_without_tags_the_settings_are_live(application):
    display = anomaly_display(N, samp_rate=2e6, center_freq=10e6, model="")
    top = shown(display, frame_source(psd_frames(50), repeat=True))
    debug = status_store(top, display)
    top.start()
    run_until(application, lambda: not display.widget.history.empty, 10.0)
    assert display.widget.history.low_hz == pytest.approx(9e6, abs=2e4)
    assert display.set_center_freq(20e6) and display.set_samp_rate(1e6) and display.set_history_s(2.0)
    run_until(application, lambda: display.widget.history.low_hz == pytest.approx(19.5e6, abs=2e4), 10.0)
    assert not display.set_samp_rate(-1.0) and not display.set_history_s(0)
    run_until(application, lambda: sum(m["status"] == "refused" for m in stored(debug)) == 2, 10.0)
    top.stop()
    top.wait()


def test_a_hidden_display_draws_nothing_and_loses_nothing(application):
    display = anomaly_display(N, model="", history_s=0.2)
    top = shown(display)
    display.widget.hide()
    finish(application, top)
    assert display.counters()[keys.LOST_ROWS] == 0 and len(display.widget.plots._psd.getData()[0]) == 0
    display.widget.show()
    display.feed.add_frames(psd_frames(3))
    display.widget.draw()
    assert len(display.widget.plots._psd.getData()[0]) == N


def test_a_failure_while_drawing_ends_the_flowgraph(application):
    display = anomaly_display(N, model="")
    top = shown(display, frame_source(psd_frames(50), repeat=True))
    top.start()
    display.widget.plots = None
    run_until(application, lambda: display.failure is not None, 10.0)
    top.wait()
    assert display.failure.where == "draw" and isinstance(display.failure.error, AttributeError)


@pytest.mark.parametrize(("arguments", "text"), [
    ({"draw_rate": 0}, "draw_rate 0 is outside"), ({"draw_rate": 100}, "draw_rate 100"),
    ({"history_s": -1}, "-1.0 is not a positive"), ({"samp_rate": 0}, "0.0 is not a positive"),
    ({"level_min": 0, "level_max": -10}, "level_max -10 dBFS is below")])
def test_wrong_arguments(application, arguments, text):
    with pytest.raises(ValueError, match=text):
        anomaly_display(N, model="", **arguments)


WITHOUT = """
import sys
from gnuradio import spectrumencoder
for missing in ("PyQt5", "pyqtgraph"):
    sys.modules[missing] = None
    try:
        spectrumencoder.anomaly_display
    except ImportError as error:
        print(error)
    del sys.modules[missing]
spectrumencoder.spectrum_monitor, spectrumencoder.event_log
try:
    spectrumencoder.anomaly_display(model="")
except RuntimeError as error:
    print(error)
"""


def test_without_qt_or_an_application_only_the_display_is_missing_and_says_why():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    for line, missing in zip(lines, ("PyQt5", "pyqtgraph"), strict=True):
        assert line.startswith("the block 'anomaly_display' needs PyQt5 and pyqtgraph")
        assert missing in line and "apt install python3-pyqt5 python3-pyqtgraph" in line
    assert "needs a Qt application" in last


def test_in_another_thread_it_says_so(application):
    errors = []

    class worker(QtCore.QThread):
        def run(self):
            try:
                anomaly_display(N, model="")
            except RuntimeError as error:
                errors.append(str(error))
    thread = worker()
    thread.start()
    assert thread.wait(20000)
    assert errors == ["anomaly_display must be made in the thread of the Qt application"]
