# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples: GRC's compiler takes them, and what it makes of them runs; so does the Python script."""

import functools
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gnuradio import blocks
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.blocks.messages import metadata, pdu_bytes
from gnuradio.spectrumencoder.encoder.pdu import unpack

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
HOP = 16 * 1024  # samples from frame to frame


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    return os.environ | {"GRC_BLOCKS_PATH": str(ROOT / "grc"), "QT_QPA_PLATFORM": "offscreen", "GR_DONT_LOAD_PREFS": "1",
                         "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="session")
def compiled(environment, tmp_path_factory):
    """compiled(name) -> path of the Python program that grcc makes of examples/NAME.grc."""
    folder = tmp_path_factory.mktemp("compiled")

    @functools.cache
    def compile_example(name):
        grcc = shutil.which("grcc")
        assert grcc, "grcc is missing; apt install gnuradio"
        done = subprocess.run([sys.executable, grcc, "-o", str(folder), str(EXAMPLES / f"{name}.grc")], env=environment,
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return folder / f"{name}.py"
    return compile_example


def run(command, environment, seconds=120):
    done = subprocess.run([sys.executable, *map(str, command)], env=environment, cwd=EXAMPLES, capture_output=True, text=True,
                          timeout=seconds)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and "error" not in done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.grc")))
def test_every_example_compiles(compiled, name):
    compile(compiled(name).read_text(), name, "exec")
    assert f"def test_{name}_runs" in Path(__file__).read_text(), "each example is run by a test"


def test_no_generated_program_lies_beside_an_example():
    assert not [path for path in EXAMPLES.glob("*.grc") if path.with_suffix(".py").exists()]


def test_recording_to_messages_runs(compiled, environment, tmp_path, model_file):
    said = run([compiled("recording_to_messages"), "--model", model_file, "--events", tmp_path / "events.jsonl"], environment)
    assert [line for line in said.splitlines() if line.startswith('{"event_id"')] == (
        tmp_path / "events.jsonl").read_text().splitlines(), "the console has the events, too"
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert all(event["model"] for event in events)
    assert [round(event["freq_center_hz"] / 1e6, 2) for event in events if event["state"] == "open"] == [869.16]


def test_recording_to_tracks_runs(compiled, environment, tmp_path, model_file):
    run([compiled("recording_to_tracks"), "--model", model_file, "--tracks", tmp_path / "tracks.jsonl"], environment)
    tracks = [json.loads(line) for line in (tmp_path / "tracks.jsonl").read_text().splitlines()]
    assert tracks and all(track["track_id"] for track in tracks)


def test_scene_to_qt_runs_and_changes_live(compiled, environment, model_file):
    """In a process of its own, without a display: the controls are moved while the scene plays."""
    program = f"""
import sys
sys.path.insert(0, {str(compiled("scene_to_qt").parent)!r})
from PyQt5 import Qt
import scene_to_qt
application = Qt.QApplication([])
top = scene_to_qt.scene_to_qt(model={str(model_file)!r})
top.start()
top.show()
def change():
    top.set_dropout_rate(0.5)
    top.set_backend("naive")
    top.set_rope_mode(top.encoder.engine.rope_mode)
Qt.QTimer.singleShot(1500, change)
Qt.QTimer.singleShot(4000, application.quit)
application.exec_()
top.stop()
top.wait()
assert top.encoder.failure is None and top.detector.failure is None and top.source.failure is None
print("frames", top.encoder.n_frames, "kept", top.encoder.engine.k_kept, "backend", top.encoder.engine.backend)
"""
    last_line = next(line for line in run(["-c", program], environment).splitlines()[::-1] if line.startswith("frames"))
    _, frames, *rest = last_line.split()
    assert int(frames) > 20
    assert rest == ["kept", "64", "backend", "naive"]


def test_recording_analysis_runs_and_its_controls_work(compiled, environment, tmp_path, model_file):
    """In a process of its own, without a display: the boxes are there, and a control and a variable change the chain."""
    program = f"""
import sys
sys.path.insert(0, {str(compiled("recording_analysis").parent)!r})
from PyQt5 import Qt
import recording_analysis
application = Qt.QApplication([])
top = recording_analysis.recording_analysis(model={str(model_file)!r}, events={str(tmp_path / "events.jsonl")!r})
top.start()
top.show()
widget, engine = top.display.widget, top.monitor.encoder.engine
def change():
    widget.controls.choose("dropout_rate", 0.5)
    top.set_backend("naive")
def look():
    if widget.events.n_events and engine.backend == widget.controls.chosen()["backend"] == "naive" and engine.dropout_rate == 0.5:
        application.quit()
Qt.QTimer.singleShot(1000, change)
timer = Qt.QTimer()
timer.timeout.connect(look)
timer.start(50)
Qt.QTimer.singleShot(20000, application.quit)
application.exec_()
top.close()
assert not any(block.failure for block in (top.monitor, top.display, top.log, top.source))
print("events", widget.events.n_events, "kept", engine.k_kept, "backend", engine.backend)
"""
    last_line = next(line for line in run(["-c", program], environment).splitlines()[::-1] if line.startswith("events"))
    _, events, *rest = last_line.split()
    assert int(events) and rest == ["kept", "64", "backend", "naive"]
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) >= int(events)


class Inside:
    """A compiled flowgraph without a GUI, run in this process in a with statement; collects what ports of `monitor` give."""

    def __init__(self, path, name, **parameters):
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.top = getattr(module, name)(**parameters)
        self._stores = {}

    def __enter__(self):
        self.top.start()
        return self

    def __exit__(self, *error):
        self.top.stop()
        self.top.wait()

    def collect(self, port, block=None):
        store = self._stores[port] = blocks.message_debug()
        self.top.msg_connect((block or self.top.monitor, port), (store, "store"))

    def messages(self, port):
        store = self._stores[port]
        return [store.get_message(index) for index in range(store.num_messages())]

    def wait(self, condition, seconds=20.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.2)


def free_ports(count):
    """The first of so many TCP ports in a row that nobody uses."""
    for first in range(20000, 60000, 10):
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no free TCP ports")


def test_sensor_runs_and_grc_variables_take_effect_in_the_next_batch(compiled, tmp_path, model_file, monkeypatch):
    """Events and encoded spectra say with which settings a frame was judged: the old ones up to a batch, then the new ones."""
    monkeypatch.chdir(EXAMPLES)
    inside = Inside(compiled("sensor"), "sensor", model=str(model_file), events=str(tmp_path / "events.jsonl"),
                    port=free_ports(4), repeat=1, false_events_per_hour=1e5)
    top, variants = inside.top, inside.top.monitor.encoder.engine.file.variants
    for port in (keys.ANOMALIES, keys.ENCODED, keys.STATUS):
        inside.collect(port)

    def events():
        return [metadata(message) for message in inside.messages(keys.ANOMALIES)]

    def groups():
        return [unpack(pdu_bytes(message))[0] for message in inside.messages(keys.ENCODED)]

    def change(setter, value):
        """Changes a variable; the first sample of the first frame that is judged with it, by the status of the block."""
        getattr(top, setter)(value)
        text, said = f"{setter.removeprefix('set_')} is {value}", []

        def has_come():
            said.extend(m for m in map(metadata, inside.messages(keys.STATUS)) if m[keys.MESSAGE] == text)
            return said
        inside.wait(has_come)
        return said[0][keys.FRAMES] * HOP

    def opened():
        return [event for event in events() if event[keys.STATE] == "open"]

    with inside:
        inside.wait(lambda: len(opened()) >= 2)
        old = opened()[0][keys.THRESHOLD]
        since = change("set_false_alarm_rate", 0.05)
        inside.wait(lambda: opened()[-1][keys.SAMPLE_START] >= since)
        for event in opened():
            assert (event[keys.THRESHOLD] < old) == (event[keys.SAMPLE_START] >= since)
        since = change("set_dropout_rate", 0.5)
        inside.wait(lambda: opened()[-1][keys.DROPOUT_RATE] == 0.5)
        for event in opened():
            assert event[keys.DROPOUT_RATE] == (0.5 if event[keys.SAMPLE_START] >= since else 0.25)
        since = change("set_backend", "linear")
        inside.wait(lambda: groups()[-1].variant == variants.index("linear-dynamic"))
    for group in groups():
        assert variants[group.variant] == ("linear-dynamic" if group.frame_start >= since else "softmax-dynamic")
    assert top.monitor.failure is None and top.log.failure is None
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) >= len(opened())


def test_decoder_side_runs_and_changes_a_sensor(compiled, environment, tmp_path, model_file, monkeypatch):
    """Sensor and decoder in two processes, over loopback: spectra and events arrive, a control on one side acts on the other."""
    monkeypatch.chdir(EXAMPLES)
    port = free_ports(4)
    program = f"""
import sys
sys.path.insert(0, {str(compiled("decoder_side").parent)!r})
from PyQt5 import Qt
import decoder_side
application = Qt.QApplication([])
top = decoder_side.decoder_side(model={str(model_file)!r}, port={port}, events={str(tmp_path / "received.jsonl")!r})
top.start()
top.show()
widget = top.display.widget
def look():
    chosen = widget.controls.chosen()
    if widget.events.n_events and top.decoder.n_frames > 60 and None not in chosen.values():  # the sensor was there first
        if chosen["dropout_rate"] == 0.5:
            application.quit()
        else:
            widget.controls.choose("dropout_rate", 0.5)
timer = Qt.QTimer()
timer.timeout.connect(look)
timer.start(200)
Qt.QTimer.singleShot(40000, application.quit)
application.exec_()
top.close()
assert not any(block.failure for block in (top.decoder, top.display, top.log))
malformed = top.decoder.malformed + top.display.malformed
print("frames", top.decoder.n_frames, "events", widget.events.n_events, "malformed", malformed)
"""
    with Inside(compiled("sensor"), "sensor", model=str(model_file), events=str(tmp_path / "events.jsonl"), port=port,
                repeat=1) as inside:
        output = run(["-c", program], environment)
    last_line = next(line for line in output.splitlines()[::-1] if line.startswith("frames"))
    _, frames, _, events, _, malformed = last_line.split()
    assert int(frames) > 60 and int(events) > 0 and malformed == "0"
    assert inside.top.monitor.encoder.engine.dropout_rate == 0.5
    sent = (tmp_path / "events.jsonl").read_text().splitlines()
    assert set((tmp_path / "received.jsonl").read_text().splitlines()) <= set(sent)


@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="xvfb-run is missing; apt install xvfb")
def test_every_example_opens_in_grc_without_a_dialog_and_what_is_broken_is_seen(tmp_path):
    """GRC's real windows on a virtual screen: each flowgraph is valid there, and is drawn; of another one the fault is named."""
    text = (EXAMPLES / "recording_to_messages.grc").read_text()
    (tmp_path / "broken.grc").write_text(text.replace("false_alarm_rate: '0.01'", "false_alarm_rate: '3'"))
    paths = sorted(EXAMPLES.glob("*.grc"))
    tool = [sys.executable, ROOT / "tools" / "grc_pictures.py", "--out", tmp_path]
    done = subprocess.run([*tool, *paths, tmp_path / "broken.grc"], capture_output=True, text=True, timeout=100)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{len(paths) + 1} flowgraphs opened in GRC, 1 problems" in done.stdout, done.stdout
    assert "broken.grc: " in done.stdout and "false_alarm_rate" in done.stdout
    for name in (*(path.stem for path in paths), "window"):
        assert (tmp_path / f"grc_{name}.png").stat().st_size > 10_000


def test_python_script_runs(environment, model_file):
    assert "64 frames, " in run([EXAMPLES / "monitor_recording.py", "--model", model_file], environment)


def test_tracks_from_decoded_pdus(environment, tmp_path):
    said = run([EXAMPLES / "adsb_to_tracks.py", "--seconds", "60", "--out", str(tmp_path)], environment)
    assert "180 reports, 3 tracks, 1 with an impossible motion" in said
    assert (tmp_path / "tracks.jsonl").stat().st_size > 0


def test_scanner_runs(compiled):
    """The test radio is tuned by gr-soapy's port; two sweeps over a part of the FM band come."""
    inside = Inside(compiled("scanner"), "scanner", ranges="88e6:96e6", dwell_ms=50.0)
    inside.collect(keys.SWEEPS, inside.top.sweeper)
    with inside:
        inside.wait(lambda: len(inside.messages(keys.SWEEPS)) >= 2)
    sweep = metadata(inside.messages(keys.SWEEPS)[1])
    assert sweep[keys.HOPS] == 5 and sweep[keys.FREQ_START_HZ] <= 88.0e6 + 3e3
    assert inside.top.sweeper.failure is None


def test_live_monitor_runs(compiled, environment, tmp_path, model_file):
    """A radio through the chain into the display, in a process of its own; the display tunes it, and is legible as it opens."""
    program = f"""
import sys
sys.path.insert(0, {str(compiled("live_monitor").parent)!r})
from PyQt5 import Qt
import live_monitor
application = Qt.QApplication([])
top = live_monitor.live_monitor(model={str(model_file)!r}, events={str(tmp_path / "events.jsonl")!r})
top.start()
top.show()
widget = top.display.widget
def look():
    if top.monitor.health.snapshot()["frames"] > 200:
        widget.controls.freq.setValue(434.5)
        if widget._latest.tuning.center_hz == 434.5e6:
            application.quit()
timer = Qt.QTimer()
timer.timeout.connect(look)
timer.start(50)
Qt.QTimer.singleShot(60000, application.quit)
application.exec_()
seen = widget.visibleRegion().boundingRect()
top.close()
failures = [str(block.failure) for block in (top.monitor, top.display, top.log) if block.failure]
assert not failures, failures
waterfall, hidden = int(widget.plots.waterfall.getViewBox().height()), widget.height() - seen.height()
print("frames", top.monitor.health.snapshot()["frames"], widget._latest.tuning.center_hz, waterfall, hidden)
"""
    last_line = next(line for line in run(["-c", program], environment).splitlines()[::-1] if line.startswith("frames"))
    _, frames, center_hz, waterfall, hidden = last_line.split()
    assert int(frames) > 200 and float(center_hz) == 434.5e6  # tuned by the display
    assert int(waterfall) >= 180 and int(hidden) == 0  # the window has the room for it
