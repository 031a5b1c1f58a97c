# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad usage ends with 2, a failure with 1, each with one line on stderr that says what to do."""

import json
import os
import subprocess
import time

import numpy as np
import pytest


def call(program, *arguments, **settings):
    environment = {**os.environ, "SPECTRUMENCODER_DEBUG": "", "COLUMNS": "100"}
    return subprocess.run([*program, *map(str, arguments)], capture_output=True, text=True, timeout=60, env=environment,
                          **settings)


def the_line(done, status):
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def write_recording(folder, name, iq, **head):
    iq.tofile(folder / f"{name}.sigmf-data")
    meta = {"global": {"core:datatype": "cf32_le", "core:sample_rate": 1e6, "core:version": "1.2.0", **head},
            "captures": [{"core:sample_start": 0, "core:frequency": 433.92e6}], "annotations": []}
    (folder / f"{name}.sigmf-meta").write_text(json.dumps(meta))
    return folder / f"{name}.sigmf-meta"


def noise(n_samples):
    rng = np.random.default_rng(1)
    return (0.01 * (rng.normal(size=n_samples) + 1j * rng.normal(size=n_samples))).astype(np.complex64)


def test_help_answers_without_loading_torch_or_gnuradio(program):
    code = ("import sys; from gnuradio.spectrumencoder.cli import main; status = main.main(['--help']);"
            "heavy = {'torch', 'matplotlib', 'gnuradio.gr'} & set(sys.modules); sys.exit(f'{heavy}' if heavy else status)")
    begun = time.monotonic()
    done = call([program[0], "-c", code])
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun < 5
    for command in ("run", "calibrate", "train", "evaluate", "dataset", "models", "doctor"):
        assert command in done.stdout


@pytest.mark.parametrize("command", [["run"], ["calibrate"], ["train"], ["evaluate", "classify"], ["dataset"], ["models"],
                                     ["doctor"]], ids=" ".join)
def test_every_command_has_help(program, command):
    done = call(program, *command, "--help")
    assert done.returncode == 0 and "Usage" in done.stdout, done.stderr


@pytest.mark.parametrize("arguments, says", [
    (["walk"], "walk"),
    (["run"], "SOURCE"),
    (["run", "a.sigmf-meta", "--speed", "9"], "--speed"),
    (["run", "a.sigmf-meta", "--average", "65"], "65"),
    (["run", "a.sigmf-meta", "--pfa", "0"], "pfa"),
    (["run", "a.sigmf-meta", "--rate", "1e6", "--format", "cu8"], "states its own"),
    (["run", "samples.cu8", "--rate", "1e6"], "--format"),
    (["run", "a.sigmf-meta", "--freq", "1e8"], "--freq"),
    (["run", "soapy:driver=rtlsdr"], "SigMF"),
    (["evaluate", "classify", "--corpus", ".", "--condition", "nice"], "nice"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_bad_usage(program, arguments, says, tmp_path):
    assert says in the_line(call(program, *arguments, cwd=tmp_path), 2)


def test_no_command_prints_help_and_is_bad_usage(program):
    done = call(program)
    assert done.returncode == 2 and "Usage" in done.stdout + done.stderr


def test_raw_samples_without_their_rate(program, tmp_path):
    (tmp_path / "samples.cu8").write_bytes(bytes(4096))
    assert "--rate" in the_line(call(program, "run", tmp_path / "samples.cu8"), 2)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 an archive of pickles", b"\x80\x04 a pickle", bytes(64)],
                         ids=["missing", "empty", "zip", "pickle", "zeros"])
def test_what_is_no_model(program, tmp_path, content):
    recording = write_recording(tmp_path, "noise", noise(20_000))
    model = tmp_path / "wrong.safetensors"
    if content is not None:
        model.write_bytes(content)
    assert "wrong.safetensors" in the_line(call(program, "run", recording, "--model", model), 1)


def test_an_unknown_model_names_those_that_exist(program, tmp_path):
    recording = write_recording(tmp_path, "noise", noise(20_000))
    line = the_line(call(program, "run", recording, "--model", "gigantic"), 1)
    assert "gigantic" in line and "base" in line


@pytest.mark.parametrize("damage, says", [
    (lambda folder: (folder / "noise.sigmf-data").unlink(), "noise.sigmf-data"),
    (lambda folder: (folder / "noise.sigmf-meta").write_text("{"), "JSON"),
    (lambda folder: (folder / "noise.sigmf-meta").unlink(), "no such recording"),
], ids=["no samples", "damaged metadata", "no file"])
def test_damaged_recordings(program, tmp_path, damage, says):
    recording = write_recording(tmp_path, "noise", noise(20_000))
    damage(tmp_path)
    assert says in the_line(call(program, "run", recording), 1)


@pytest.mark.parametrize("option, name", [("--events", "nowhere/e.jsonl"), ("--plot", "nowhere/p.png"),
                                          ("--json", "nowhere/s.json")])
def test_a_result_with_no_place_to_go_is_found_before_the_run(program, tmp_path, option, name):
    recording = write_recording(tmp_path, "noise", noise(20_000))
    assert "nowhere" in the_line(call(program, "run", recording, option, tmp_path / name), 1)


def test_shorter_than_one_fft(program, tmp_path, model_file):
    recording = write_recording(tmp_path, "short", noise(1000))
    line = the_line(call(program, "run", recording), 1)
    assert "1000 samples" in line and "1024" in line


def test_a_folder_goes_on_after_a_bad_recording(program, tmp_path, model_file):
    write_recording(tmp_path, "a_short", noise(100))
    write_recording(tmp_path, "b_good", noise(40_000))
    done = call(program, "run", tmp_path, "--events", tmp_path / "e.jsonl", "--json", tmp_path / "s.json")
    assert done.returncode == 1
    assert "b_good: 3 frames" in done.stdout and "a_short" in done.stderr
    summary = json.loads((tmp_path / "s.json").read_text())
    assert [r["name"] for r in summary["recordings"]] == ["b_good"] and len(summary["errors"]) == 1


def test_debug_shows_where(program, tmp_path):
    environment = {**os.environ, "SPECTRUMENCODER_DEBUG": "1"}
    done = subprocess.run([*program, "run", str(tmp_path / "none.sigmf-meta")], capture_output=True, text=True, timeout=60,
                          env=environment)
    assert done.returncode == 1 and "Traceback" in done.stderr
