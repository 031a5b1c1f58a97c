# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad usage ends with 2, a failure with 1, each with one line on stderr that says what to do."""

import json
import re
import subprocess
import time

import pytest


def test_help_answers_without_loading_torch_or_gnuradio(program):
    code = ("import sys; from gnuradio.spectrumencoder.cli import main; status = main.main(['--help']);"
            "heavy = {'torch', 'matplotlib', 'gnuradio.gr'} & set(sys.modules); sys.exit(f'{heavy}' if heavy else status)")
    begun = time.monotonic()
    done = subprocess.run([program[0], "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun < 5
    for command in ("run", "band", "calibrate", "train", "evaluate", "dataset", "models", "doctor"):
        assert command in done.stdout


@pytest.mark.parametrize("command", [["run"], ["calibrate"], ["train"], ["evaluate", "classify"], ["dataset"], ["models"],
                                     ["doctor"]], ids=" ".join)
def test_every_command_has_help(call, command):
    done = call(*command, "--help")
    assert done.returncode == 0 and "Usage" in done.stdout, done.stderr


@pytest.mark.parametrize("arguments, says", [
    (["walk"], "walk"),
    (["run"], "SOURCE"),
    (["run", "a.sigmf-meta", "--speed", "9"], "--speed"),
    (["run", "a.sigmf-meta", "--average", "65"], "64"),
    (["run", "a.sigmf-meta", "--average", "few"], "nor auto"),
    (["calibrate", "a.sigmf-meta", "--out", "m.safetensors", "--average", "0"], "nor auto"),
    (["run", "a.sigmf-meta", "--pfa", "0"], "pfa"),
    (["run", "a.sigmf-meta", "--rate", "1e6", "--format", "cu8"], "states its own"),
    (["run", "there.iq", "--rate", "1e6"], "--format"),
    (["run", "driver=spectrumtest", "--freq", "99M", "--rate", "1M"], "a radio is soapy:driver=spectrumtest"),
    (["survey", "soapy"], "a radio is soapy:driver=NAME"),
    (["run", "a.sigmf-meta", "--freq", "inf"], "--freq"),
    (["run", "samples.cu8", "--rate", "1e6", "--format", "cu9"], "hackrf"),
    (["run", "soapy:driver=rtlsdr"], "--rate HZ and --freq HZ"),
    (["evaluate", "classify", "--corpus", ".", "--condition", "nice"], "nice"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_bad_usage(call, the_line, arguments, says, tmp_path):
    (tmp_path / "there.iq").write_bytes(bytes(80))
    assert says in the_line(call(*arguments, cwd=tmp_path), 2)


def test_help_of_run_has_what_one_needs_first(call):
    """A panel of eight options comes first, then the others by what they are for; each option is in one panel."""
    panels, listed = {}, []
    for line in call("run", "--help").stdout.splitlines():
        if title := re.match(r"╭─ (\w+) ─", line):
            panels[title[1]] = listed = []
        elif option := re.match(r"│ (--[\w-]+)", line):
            listed.append(option[1])
    assert list(panels)[:5] == ["Arguments", "Options", "Radio", "Recordings", "Results"]
    assert panels["Options"] == ["--rate", "--format", "--freq", "--learn", "--band-file", "--events", "--plot", "--quiet",
                                 "--help"]
    assert {"--gain", "--duration"} <= {*panels["Radio"]} and {"--start", "--report"} <= {*panels["Recordings"]}
    assert {"--usable", "--detector"} <= {*panels["Detector"]} and {"--model", "--dtype"} <= {*panels["Network"]}
    names = [name for of_panel in panels.values() for name in of_panel]
    assert len(names) == len({*names}) > 70


def test_no_command_prints_help_and_is_bad_usage(call):
    done = call()
    assert done.returncode == 2 and "Usage" in done.stdout + done.stderr


def test_raw_samples_without_their_rate(call, the_line, tmp_path):
    (tmp_path / "samples.cu8").write_bytes(bytes(4096))
    assert "--rate" in the_line(call("run", tmp_path / "samples.cu8"), 2)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 an archive of pickles", b"\x80\x04 a pickle", bytes(64)],
                         ids=["missing", "empty", "zip", "pickle", "zeros"])
def test_what_is_no_model(call, the_line, write_sigmf, noise, tmp_path, content):
    recording = write_sigmf(tmp_path, "noise", noise(20_000))
    model = tmp_path / "wrong.safetensors"
    if content is not None:
        model.write_bytes(content)
    assert "wrong.safetensors" in the_line(call("run", recording, "--model", model), 1)


def test_an_unknown_model_names_those_that_exist(call, the_line, write_sigmf, noise, tmp_path):
    recording = write_sigmf(tmp_path, "noise", noise(20_000))
    line = the_line(call("run", recording, "--model", "gigantic"), 1)
    assert "gigantic" in line and "base" in line


@pytest.mark.parametrize("option, value, says", [("--backend", "magic", "flash"), ("--rope", "spiral", "dynamic"),
                                                 ("--policy", "best", "gumbel"), ("--compute", "abacus", "cpu"),
                                                 ("--band", "tv", "aero")])
def test_a_setting_that_the_model_cannot_serve(call, the_line, write_sigmf, noise, tmp_path, model_file, option, value, says):
    recording = write_sigmf(tmp_path, "noise", noise(20_000))
    line = the_line(call("run", recording, option, value), 2)
    assert value in line and says in line


@pytest.mark.parametrize("damage, says", [
    (lambda folder: (folder / "noise.sigmf-data").unlink(), "noise.sigmf-data"),
    (lambda folder: (folder / "noise.sigmf-meta").write_text("{"), "JSON"),
    (lambda folder: (folder / "noise.sigmf-meta").unlink(), "no such recording"),
], ids=["no samples", "damaged metadata", "no file"])
def test_damaged_recordings(call, the_line, write_sigmf, noise, tmp_path, damage, says):
    recording = write_sigmf(tmp_path, "noise", noise(20_000))
    damage(tmp_path)
    assert says in the_line(call("run", recording), 1)


@pytest.mark.parametrize("option, name", [("--events", "nowhere/e.jsonl"), ("--plot", "nowhere/p.png"),
                                          ("--json", "nowhere/s.json")])
def test_a_result_with_no_place_to_go_is_found_before_the_run(call, the_line, write_sigmf, noise, tmp_path, option, name):
    recording = write_sigmf(tmp_path, "noise", noise(20_000))
    assert "nowhere" in the_line(call("run", recording, option, tmp_path / name), 1)


def test_shorter_than_one_fft(call, the_line, write_sigmf, noise, tmp_path, model_file):
    recording = write_sigmf(tmp_path, "short", noise(1000))
    line = the_line(call("run", recording), 1)
    assert "1000 samples" in line and "1024" in line


def test_a_folder_goes_on_after_a_bad_recording(call, write_sigmf, noise, tmp_path, model_file):
    write_sigmf(tmp_path, "a_short", noise(100))
    write_sigmf(tmp_path, "b_good", noise(40_000))
    done = call("run", tmp_path, "--events", tmp_path / "e.jsonl", "--json", tmp_path / "s.json")
    assert done.returncode == 1
    assert "b_good: 3 frames" in done.stdout and "a_short" in done.stderr
    summary = json.loads((tmp_path / "s.json").read_text())
    assert [r["name"] for r in summary["recordings"]] == ["b_good"] and len(summary["errors"]) == 1


def test_debug_shows_where(call, tmp_path):
    done = call("run", tmp_path / "none.sigmf-meta", env={"SPECTRUMENCODER_DEBUG": "1"})
    assert done.returncode == 1 and "Traceback" in done.stderr
