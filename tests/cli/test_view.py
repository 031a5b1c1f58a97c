# SPDX-License-Identifier: GPL-3.0-or-later
"""`spectrumencoder view`: the window shows the source and changes the radio; closing it, or a signal, ends it in good order."""

import os
import signal
import subprocess
import threading
import time

import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.recordings import open_recording
from gnuradio.spectrumencoder.session.flowgraph import RunSettings, quiet_logs
from gnuradio.spectrumencoder.session.sources import RadioOptions, RadioSource, RecordingSource
from gnuradio.spectrumencoder.session.view import DisplayPart, view

LONGEST_S = 180.0  # until something is seen, on a busy machine
pytestmark = pytest.mark.timeout(2 * LONGEST_S + 40)


@pytest.fixture(autouse=True)
def offscreen(monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")


class Watch:
    """Looks at the window while `view` works in this thread; when `seen(widget)` holds, it runs the next of `deeds`."""

    def __init__(self, part: DisplayPart, *deeds):
        from PyQt5 import QtCore
        self._part, self._deeds, self._until = part, list(deeds), time.monotonic() + LONGEST_S
        self.done = []
        self._timer = QtCore.QTimer()
        self._timer.timeout.connect(self._look)
        self._timer.start(50)

    def _look(self):
        if self._part.display is None:
            return
        widget = self._part.display.widget
        if time.monotonic() > self._until:
            widget.close()
        elif self._deeds and self._deeds[0][0](widget):
            name, deed = self._deeds.pop(0)[1:]
            self.done.append(name)
            deed(widget)


def test_a_recording_is_shown_and_stays_until_the_window_is_closed(demo_scene, model_file, tmp_path):
    quiet_logs()
    part, began = DisplayPart(), time.monotonic()
    progress = []
    watch = Watch(part, (lambda widget: progress and widget.history.end_s > 0.5, "closed", lambda widget: widget.close()))
    outcome = view(RecordingSource(open_recording(demo_scene), paced=True), RunSettings(model=str(model_file),
                   events=tmp_path / "e.jsonl"), part,
                   progress=lambda what, done, total: progress.append(what) if "has ended" in what else None)
    widget = part.display.widget
    assert watch.done == ["closed"] and not widget.isVisible() and time.monotonic() - began > 0.5
    assert not outcome.interrupted and not outcome.hung and outcome.n_alerts == 1
    assert widget.history.scale.row_s * widget.history.scale.n_rows == pytest.approx(0.524, abs=0.02)  # its whole length
    assert widget.events.n_events == 1 and widget.signals.newest_first() and "demo_scene" in widget.windowTitle()
    assert widget.controls.freq is None and None not in widget.controls.chosen().values()
    assert keys.ALERT in (tmp_path / "e.jsonl").read_text()


def test_a_radio_is_tuned_by_the_window_and_a_refused_gain_jumps_back(model_file):
    quiet_logs()
    part = DisplayPart(2.0)
    source = RadioSource(RadioOptions("driver=spectrumtest", 434e6, 1e6, gain=10.0))

    def is_at(hz):
        return lambda widget: widget._latest is not None and widget._latest.tuning.center_hz == pytest.approx(hz, abs=1.0)

    watch = Watch(
        part,
        (is_at(434e6), "tuned", lambda widget: widget.controls.freq.setValue(435.5)),
        (is_at(435.5e6), "gain", lambda widget: widget.controls.gain.setValue(20.0)),
        (lambda widget: source.block.gain == 20.0, "too much", lambda widget: widget.controls.gain.setValue(190.0)),
        (lambda widget: "refused" in widget._status_line.toolTip() and widget.controls.gain.value() != 190.0, "closed",
         lambda widget: widget.close()))
    outcome = view(source, RunSettings(model=str(model_file)), part)
    assert watch.done == ["tuned", "gain", "too much", "closed"]
    assert source.block.gain == part.display.widget.controls.gain.value() == 20.0
    assert not outcome.fault and not outcome.interrupted and outcome.n_frames > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_program_with_status_0(program, demo_scene, number):
    """Also when the recording has ended and its window stays."""
    running = subprocess.Popen([*program, "view", demo_scene], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=os.environ | {"SPECTRUMENCODER_DEBUG": ""})
    killer = threading.Timer(LONGEST_S, running.kill)
    killer.start()
    said = iter(running.stdout.readline, "")
    assert any("869.164" in line for line in said)
    time.sleep(0.5)
    assert running.poll() is None
    running.send_signal(number)
    rest, errors = running.communicate(timeout=LONGEST_S)
    killer.cancel()
    assert running.returncode == 0, errors
    assert "1 alert" in rest and "Traceback" not in errors


def test_a_radio_for_some_seconds_ends_by_itself(call):
    done = call("view", "soapy:driver=spectrumtest", "--freq", "434M", "--rate", "1M", "--duration", 1, "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("screen", [None, ":77"])
def test_without_a_screen_it_says_so(call, the_line, demo_scene, screen):
    line = the_line(call("view", demo_scene, env={"QT_QPA_PLATFORM": "", "DISPLAY": screen or "", "WAYLAND_DISPLAY": ""}), 1)
    assert "there is no screen" in line and "run --plot" in line


@pytest.mark.parametrize(("arguments", "says"), [
    (["soapy:driver=spectrumtest", "--freq", "1e8", "--rate", "1e6", "--fast"], "--fast is not for a radio"),
    (["soapy:driver=spectrumtest", "--rate", "1e6"], "a radio needs --rate HZ and --freq HZ"),
    (["{scene}", "--gain", "3"], "--gain is for radios"),
    (["{scene}", "--confidence", "0.5"], "--confidence 0.5 is for a speculative model"),
    (["{folder}"], "has 2 recordings, and a window shows one")])
def test_bad_usage(call, the_line, demo_scene, write_sigmf, noise, tmp_path, arguments, says):
    for name in ("a", "b"):
        write_sigmf(tmp_path, name, noise(2000))
    done = call("view", *(one.format(scene=demo_scene, folder=tmp_path) for one in arguments))
    assert says in the_line(done, 2)
