# SPDX-License-Identifier: GPL-3.0-or-later
"""Some hundred damaged files for each reader of recordings, in a process of its own with little memory; see fuzz.py."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np

FUZZ = Path(__file__).with_name("fuzz.py")
COUNT = 300


def load_fuzz():
    spec = importlib.util.spec_from_file_location("fuzz_of_recordings", FUZZ)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_damaged_files_are_refused_in_one_line_or_read():
    readers = [name for name in load_fuzz().READERS if name != "digital_rf" or importlib.util.find_spec("digital_rf")]
    done = subprocess.run([sys.executable, str(FUZZ), "--count", str(COUNT), "--readers", *readers], capture_output=True,
                          text=True, timeout=110)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for name in readers:
        line = next(line for line in done.stdout.splitlines() if f"{name}: {COUNT} files" in line)
        assert ", 0 failures" in line


def test_mutations_are_seeded_and_damage():
    mutated, data = load_fuzz().mutated, bytes(range(256)) * 10
    first, again = (mutated(data, np.random.default_rng(5)) for _ in range(2))
    assert first == again != data


def test_the_harness_sees_what_is_no_error_of_one_line(tmp_path, monkeypatch):
    fuzz = load_fuzz()
    path = fuzz.READERS["wav"](tmp_path)
    assert fuzz.check(path)
    (tmp_path / "x.wav").write_bytes(b"RIFF")
    assert not fuzz.check(path)
    monkeypatch.setattr(fuzz, "open_recording", lambda path: 1 / 0)
    try:
        fuzz.check(path)
    except ZeroDivisionError:
        return
    raise AssertionError("it was not seen")
