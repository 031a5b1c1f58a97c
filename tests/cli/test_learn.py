# SPDX-License-Identifier: GPL-3.0-or-later
"""`run --learn`: it learns, says what it heard, and watches, in one command; the band file; `calibrate --out FILE.band`."""

import json
import re

import numpy as np
import pytest
from gnuradio.spectrumencoder.emitters.band_file import load

RATE, FREQ = 1e6, 433.92e6
OWN_HZ, NEW_HZ = -0.2e6, 0.11e6


@pytest.fixture(scope="module")
def make(write_sigmf, tmp_path_factory):
    """make(name, seconds, new at (s) or None) -> recording of noise, with bursts every second and perhaps a new signal."""
    def recording(name, seconds, new_s=None, seed=5, freq_hz=FREQ):
        rng, count = np.random.default_rng(seed), round(seconds * RATE)
        iq = (0.01 * (rng.normal(size=count) + 1j * rng.normal(size=count))).astype(np.complex64)
        time_s = np.arange(count) / RATE
        iq += 0.01 * ((time_s % 1.0 > 0.3) & (time_s % 1.0 < 0.4)) * np.exp(2j * np.pi * OWN_HZ * time_s).astype(np.complex64)
        if new_s is not None:
            iq += 0.01 * ((time_s > new_s) & (time_s < new_s + 0.3)) * np.exp(2j * np.pi * NEW_HZ * time_s).astype(np.complex64)
        return write_sigmf(tmp_path_factory.mktemp(name), name, iq, RATE, freq_hz=freq_hz)
    return recording


@pytest.fixture(scope="module")
def loud(make):
    return make("loud", 10.0, 7.5)


def events_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_it_learns_says_what_it_heard_and_watches(call, loud, model_file, tmp_path):
    done = call("run", loud, "--model", model_file, "--learn", 5, "--events", tmp_path / "e.jsonl", "--json", tmp_path / "s.json",
                f"--annotate={tmp_path / 'a.sigmf-meta'}", "--band-file", tmp_path / "my.band")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"on the air after 1(\.\d+)? s: 1 signal", lines[0]) and " 433.7" in lines[2]
    lines = lines[3:]
    assert re.fullmatch(r"learned 5(\.\d+)? s of signal, heard 1 emitter", lines[0]) and " 433.7" in lines[2]
    alert = lines[3]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z  new  434\.0\d+ MHz  ", alert) and alert.endswith("emitter 2")
    assert "2 emitters known, 1 alert," in lines[4] and len(lines) == 5
    messages = events_of(tmp_path / "e.jsonl")
    (event,) = [e for e in messages if e["state"] == "open"]
    assert event["alert"] == "new" and event["emitter_id"] == 2 and event["is_anomaly"]
    assert event["freq_center_hz"] == pytest.approx(FREQ + NEW_HZ, abs=2e3)
    assert event["sample_start"] == pytest.approx(7.5 * RATE, abs=2 * 16384)
    written = json.loads((tmp_path / "s.json").read_text())
    (recording,) = written["recordings"]
    assert [row["freq_center_hz"] for row in recording["on_air"]] == [pytest.approx(FREQ + OWN_HZ, abs=2e3)]
    assert written["alerts"] == recording["alerts"] == {"new": 1} and recording["emitters"] == 2 and recording["learned"]
    assert recording["learned_s"] == pytest.approx(5.0, abs=0.6) and recording["notes"] == []
    annotations = json.loads((tmp_path / "a.sigmf-meta").read_text())["annotations"]
    (note,) = [a for a in annotations if "spectrumencoder:alert" in a]
    assert note["core:comment"] == "new, emitter 2" and note["core:label"] == messages[-1].get("label", "unknown signal")
    assert load(tmp_path / "my.band").complete


def test_a_band_file_is_gone_on_with(call, make, loud, model_file, tmp_path):
    file = tmp_path / "my.band"
    done = call("run", make("usual", 6.0), "--model", model_file, "--learn", 3, "--band-file", file)
    assert done.returncode == 0 and "1 emitter known, 0 alerts" in done.stdout, done.stderr
    done = call("run", loud, "--model", model_file, "--band-file", file)
    assert done.returncode == 0 and "learned" not in done.stdout + done.stderr, done.stderr
    assert re.search(r"Z  new  434\.0\d+ MHz .* emitter 2\n", done.stdout) and "2 emitters known, 1 alert" in done.stdout
    assert call("band", "accept", file, 2).returncode == 0
    done = call("run", make("again", 5.0, 2.0, seed=9), "--model", model_file, "--band-file", file)
    assert "2 emitters known, 0 alerts" in done.stdout, done.stdout


def test_another_frequency_is_learned_into_the_same_file(call, make, loud, model_file, tmp_path):
    file = tmp_path / "my.band"
    assert call("run", make("usual", 6.0), "--model", model_file, "--learn", 3, "--band-file", file).returncode == 0
    before = load(file)
    other = make("other", 10.0, 7.5, freq_hz=99e6)
    done = call("run", other, "--model", model_file, "--band-file", file, "--json", tmp_path / "s.json")
    assert done.returncode == 0, done.stderr
    assert "what is known was learned at 433.92 MHz at 1 MS/s (16 spectra a frame); 99 MHz at 1 MS/s (16 spectra a frame) is " \
        "learned now, for 5 s of signal" in done.stdout
    assert "its first half, 5 s, taught the second" in done.stderr
    assert re.search(r"^learned 5(\.\d+)? s of signal, heard 1 emitter$", done.stdout, re.M) and "99.1" in done.stdout
    (recording,) = json.loads((tmp_path / "s.json").read_text())["recordings"]
    assert recording["alerts"] == {"new": 1} and recording["emitters"] == 3 and recording["learned"]
    after = load(file)
    assert [t.freq_hz for t in after.tunings] == [FREQ, 99e6] and after.complete
    assert after.registry.emitters[1].count == before.registry.emitters[1].count
    done = call("run", loud, "--model", model_file, "--band-file", file)
    assert "learned" not in done.stdout + done.stderr and "4 emitters known, 1 alert" in done.stdout, done.stdout


def test_half_of_a_short_recording_teaches_the_other_half(call, loud, model_file, tmp_path):
    done = call("run", loud, "--model", model_file)
    assert done.returncode == 0
    assert "note: the recording is shorter than twice --learn 120: its first half, 5 s, taught the second" in done.stderr
    assert "learned 5" in done.stdout and "Z  new  434." in done.stdout


def test_less_than_calibrate_asks_for_is_noted(call, loud, model_file):
    done = call("run", loud, "--model", model_file, "--learn", 0.5)
    assert done.returncode == 0
    assert re.search(r"^note: learned from 0\.4\d+ s alone, of which calibrate would make no band file \(1 s are its minimum\)",
                     done.stderr, re.M), done.stderr
    assert "alone" not in call("run", loud, "--model", model_file, "--learn", 2).stderr


def test_jobs_say_the_same(call, make, loud, model_file, tmp_path):
    for path in (loud, make("usual", 4.0)):
        for suffix in (".sigmf-meta", ".sigmf-data"):
            (tmp_path / f"{path.stem}{suffix}").symlink_to(path.with_suffix(suffix))
    one, two = (call("run", tmp_path, "--model", model_file, "--learn", 3, "--jobs", jobs) for jobs in (1, 2))
    assert one.returncode == two.returncode == 0, one.stderr + two.stderr
    said = [[re.sub(r"^\S+Z| of signal in.*", "", line) for line in done.stdout.splitlines()] for done in (one, two)]  # no clock
    assert said[0] == said[1] and sum("  new  434." in line for line in said[0]) == 1 and one.stderr == two.stderr


def test_quiet_hides_both(call, loud, model_file):
    done = call("run", loud, "--model", model_file, "--learn", 5, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_fixed_band_by_calibrate(call, the_line, make, loud, model_file, tmp_path):
    file = tmp_path / "fixed.band"
    done = call("calibrate", make("quiet", 8.0), "--model", model_file, "--out", file, "--json", tmp_path / "c.json")
    assert done.returncode == 0 and "heard 1 emitter" in done.stdout, done.stderr
    assert f"run SOURCE --band-file {file}" in done.stdout
    learned = json.loads((tmp_path / "c.json").read_text())
    assert learned["seconds"] == pytest.approx(8.0, abs=0.6) and len(learned["emitters"]) == 1
    assert load(file).complete
    done = call("run", loud, "--model", model_file, "--band-file", file)
    assert done.returncode == 0 and "2 emitters known, 1 alert" in done.stdout, done.stderr
    for options, says in ((("--out", tmp_path / "x.safetensors"), "name a band file, such as"),
                          (("--out", file, "--no-per-bin"), "--no-per-bin is for --detector boxes"),
                          (("--out", file, "--pfa", 0.1), "--pfa is for --detector boxes")):
        assert says in the_line(call("calibrate", loud, "--model", model_file, *options), 2)


def test_what_cannot_be_is_one_line(call, the_line, loud, model_file, band_model, tmp_path):
    (tmp_path / "bad.band").write_text("?")
    for status, says, options in (
            (1, "bad.band is no band file, or damaged", ("--band-file", tmp_path / "bad.band")),
            (1, "is a model file, not a band file", ("--band-file", model_file)),
            (1, "name a file in a folder that exists", ("--band-file", tmp_path / "no" / "x.band")),
            (1, "cannot write /proc/x.band: No such file or directory; name a file in a folder that you may write",
             ("--band-file", "/proc/x.band", "--history", tmp_path / "h.db", "--events", tmp_path / "e.jsonl")),
            (2, "holds tables of a calibrated band", ("--model", band_model))):
        assert says in the_line(call("run", loud, *options), status)
    assert not (tmp_path / "h.db").exists() and not (tmp_path / "e.jsonl").exists()  # it was found before anything else
    assert "you may write" in the_line(call("calibrate", loud, "--out", "/proc/x.band"), 1)
    (tmp_path / "two").mkdir()
    for name in ("a", "b"):
        for suffix in (".sigmf-meta", ".sigmf-data"):
            (tmp_path / "two" / f"{name}{suffix}").write_bytes(loud.with_suffix(suffix).read_bytes())
    assert "--band-file is for one recording at a time" in the_line(
        call("run", tmp_path / "two", "--jobs", 2, "--band-file", tmp_path / "x.band"), 2)
