# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples: GRC's compiler takes them, and what it makes of them runs; so does the Python script."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    return os.environ | {"GRC_BLOCKS_PATH": str(ROOT / "grc"), "QT_QPA_PLATFORM": "offscreen", "GR_DONT_LOAD_PREFS": "1",
                         "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="session")
def compiled(environment, tmp_path_factory):
    """compiled(name) -> path of the Python program that grcc makes of examples/NAME.grc."""
    folder = tmp_path_factory.mktemp("compiled")

    def compile_example(name):
        grcc = shutil.which("grcc")
        assert grcc, "grcc is missing; apt install gnuradio"
        done = subprocess.run([sys.executable, grcc, "-o", str(folder), str(EXAMPLES / f"{name}.grc")], env=environment,
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return folder / f"{name}.py"
    return compile_example


def run(command, environment, seconds=60):
    done = subprocess.run([sys.executable, *map(str, command)], env=environment, cwd=EXAMPLES, capture_output=True, text=True,
                          timeout=seconds)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and "error" not in done.stdout + done.stderr
    return done.stdout


def test_every_example_compiles(compiled):
    names = sorted(path.stem for path in EXAMPLES.glob("*.grc"))
    assert names == ["recording_to_messages", "scene_to_qt"]
    for name in names:
        compile(compiled(name).read_text(), name, "exec")


def test_no_generated_program_lies_beside_an_example():
    assert not [path for path in EXAMPLES.glob("*.grc") if path.with_suffix(".py").exists()]


def test_recording_to_messages_runs(compiled, environment, tmp_path, model_file):
    run([compiled("recording_to_messages"), "--model", model_file, "--events", tmp_path / "events.jsonl"], environment)
    for line in (tmp_path / "events.jsonl").read_text().splitlines():
        assert json.loads(line)["model"]


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


def test_python_script_runs(environment, model_file):
    assert "64 frames, " in run([EXAMPLES / "monitor_recording.py", "--model", model_file], environment)


def test_tracks_from_decoded_pdus(environment, tmp_path):
    said = run([EXAMPLES / "adsb_to_tracks.py", "--seconds", "60", "--out", str(tmp_path)], environment)
    assert "180 reports, 3 tracks, 1 with an impossible motion" in said
    assert (tmp_path / "tracks.jsonl").stat().st_size > 0
