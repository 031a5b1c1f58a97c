# SPDX-License-Identifier: GPL-3.0-or-later
"""A run reads its model file and its recording's metadata once, whatever is made of them: they are passed on by hand.

The search of a folder reads metadata once more.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from gnuradio.spectrumencoder.encoder.model_file import tables_path

PROGRAM = """
import json, os, sys
report, arguments, names = sys.argv[1], sys.argv[2:], []

def hook(event, values):
    if event == "open" and isinstance(values[0], (str, bytes)):
        names.append(os.path.basename(os.fsdecode(values[0])))

sys.addaudithook(hook)
from gnuradio.spectrumencoder.cli.main import main
status = main(arguments)
with open(report, "w") as file:
    json.dump(names, file)
sys.exit(status)
"""


@pytest.fixture
def opened(tmp_path):
    """Runs the program; returns how often it opened each file, by name."""
    def run(*arguments):
        report = tmp_path / "report.json"
        done = subprocess.run([sys.executable, "-c", PROGRAM, report, *map(str, arguments)], capture_output=True, text=True,
                              timeout=100, env={**os.environ, "SPECTRUMENCODER_DEBUG": ""})
        assert done.returncode == 0, done.stderr
        return Counter(json.loads(report.read_text()))
    return run


@pytest.fixture
def model(model_file, tmp_path):
    return copied(model_file, tmp_path / "mine.safetensors")


def copied(path: Path, copy: Path) -> Path:
    """A model file and the tables beside it, by another name."""
    shutil.copy(tables_path(path), tables_path(copy))
    return shutil.copy(path, copy)


def results(folder):
    return ("--annotate", "--events", folder / "e.jsonl", "--tracks", folder / "t.jsonl", "--encoded", folder / "x.bin",
            "--plot", folder / "p.png")


def test_one_recording(opened, write_sigmf, noise, model, tmp_path):
    path = write_sigmf(tmp_path, "hiss", noise(60_000))
    counts = opened("run", path, "--model", model, *results(tmp_path))
    assert (counts["hiss.sigmf-meta"], counts["mine.safetensors"]) == (1, 1)
    assert counts["hiss.sigmf-data"] > 0 and (tmp_path / "hiss-events.sigmf-meta").is_file()


def test_a_folder_of_them_with_two_models(opened, write_sigmf, noise, model, tmp_path):
    folder = tmp_path / "band"
    folder.mkdir()
    for name in "abc":
        write_sigmf(folder, name, noise(60_000))
    second = copied(model, tmp_path / "second.safetensors")
    counts = opened("run", folder, "--model", f"speculative:{model},{second}", "--events", tmp_path / "e.jsonl")
    assert [counts[f"{name}.sigmf-meta"] for name in "abc"] == [2, 2, 2]  # the search looks whose samples each tells of
    assert (counts["mine.safetensors"], counts["second.safetensors"]) == (1, 1)


def test_calibrate(opened, write_sigmf, noise, model, tmp_path):
    path = write_sigmf(tmp_path, "hiss", noise(1_000_000))
    counts = opened("calibrate", path, "--detector", "boxes", "--model", model, "--average", "1", "--no-per-bin", "--out",
                    tmp_path / "out.safetensors")
    assert (counts["hiss.sigmf-meta"], counts["mine.safetensors"]) == (1, 1)
