# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged model files: a line says what is wrong; nothing crashes, and no damage is taken for a model."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from gnuradio.spectrumencoder.encoder.model_file import ModelError, load, save
from small_models import write_small_model

SCRIPT = Path(__file__).with_name("model_attacks.py")


@pytest.fixture
def original(tmp_path):
    path = tmp_path / "original.safetensors"
    write_small_model(path, "small", seed=1)
    model = load(path)
    model.set_table("softmax-dynamic/ism/8/16/gumbel/fp32", {"scores": np.arange(300, dtype=np.float32), "n": np.array([300])})
    save(path, model.contract, model.tensors)
    return path


def check_attacks(folder, first, count):
    done = subprocess.run([sys.executable, SCRIPT, folder, str(first), str(count)], capture_output=True, text=True, timeout=600,
                          check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, (rows[-1:], done.stderr[-2000:])
    ends = [row for row in rows if "end" in row]
    assert len(ends) == count
    assert not [row for row in ends if row["end"] == "raw" or "\n" in row["text"]]
    for row in ends:  # what is checked by size or by checksum is never taken
        assert row["kind"] in (1, 2) or row["end"] in ("refused", "same"), row
    return ends


def test_two_hundred_damaged_files(original):
    ends = check_attacks(original.parent, first=0, count=200)
    assert {row["kind"] for row in ends if row["end"] == "refused"} == {0, 1, 2, 3, 4}


@pytest.mark.soak
def test_a_thousand_damaged_files(original):
    check_attacks(original.parent, first=1000, count=1000)


@pytest.mark.parametrize("how", ["replaced", "rewritten", "cut"])
def test_a_file_that_changes_while_it_is_loaded(original, how):
    """In a process of its own: a memory map of such a file ends the process."""
    code = ("import sys\nfrom gnuradio.spectrumencoder.encoder.model_file import ModelError, load\n"
            "for _ in range(150):\n    try:\n        print(load(sys.argv[1]).contract['steps'])\n"
            "    except ModelError as error:\n        print('refused', '\\n' in str(error))\n")
    whole, path, stop = original.read_bytes(), original.with_name("changing.safetensors"), threading.Event()
    path.write_bytes(whole)

    def change():
        while not stop.is_set():
            if how == "replaced":
                path.with_suffix(".new").write_bytes(whole)
                os.replace(path.with_suffix(".new"), path)
            else:
                with path.open("r+b") as file:
                    if how == "cut":
                        file.truncate(5000)
                    file.seek(0)
                    file.write(whole)
    changing = threading.Thread(target=change)
    changing.start()
    try:
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120, check=False)
    finally:
        stop.set()
        changing.join()
    assert done.returncode == 0, done.stderr[-500:]
    assert set(done.stdout.splitlines()) <= {"1", "refused False"} and len(done.stdout.splitlines()) == 150
    if how == "replaced":
        assert set(done.stdout.splitlines()) == {"1"}


def test_no_bit_of_a_calibration_changes_unseen(original):
    whole = original.read_bytes()
    place = whole.rindex(np.arange(290, 300, dtype=np.float32).tobytes())
    for byte in range(place, place + 8):
        original.write_bytes(whole[:byte] + bytes([whole[byte] ^ 4]) + whole[byte + 1:])
        with pytest.raises(ModelError, match="does not match its checksum"):
            load(original)
