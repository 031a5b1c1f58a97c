# SPDX-License-Identifier: GPL-3.0-or-later
"""Written scenes: valid SigMF, truth beside it, the same bytes every time; the bundled one; the `dataset` commands."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gnuradio.spectrumencoder.recordings import RecordingError, open_recording
from gnuradio.spectrumencoder.recordings.sigmf_writer import DATATYPES, encode, write_recording
from gnuradio.spectrumencoder.simulate.anomalies import ANOMALY_KINDS
from gnuradio.spectrumencoder.simulate.injections import LEVELS, power_in_band
from gnuradio.spectrumencoder.simulate.synthesis import Synthesis, synthesise, write

SHORT = {"seconds": 0.05, "samp_rate": 1e6}


def truth_of(meta_path: Path) -> dict:
    return json.loads(meta_path.with_name(meta_path.name.replace(".sigmf-meta", ".truth.json")).read_text())


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_read_back(tmp_path, datatype):
    rng = np.random.default_rng(1)
    iq = (0.3 * (rng.normal(size=5000) + 1j * rng.normal(size=5000))).clip(-0.99 - 0.99j, 0.99 + 0.99j).astype(np.complex64)
    recording = open_recording(write_recording(tmp_path / "r", iq, 48e3, datatype, description="noise"))
    step = {"cf32_le": 0, "ci16_le": 2 ** -16, "ci8": 2 ** -8, "cu8": 1 / 255}[datatype]
    inside = (np.abs(iq.real) < 0.99) & (np.abs(iq.imag) < 0.99)
    error = (recording.read() - iq)[inside]
    assert max(np.abs(error.real).max(), np.abs(error.imag).max()) <= step + 1e-7
    assert (recording.datatype, recording.samp_rate, recording.frequency_hz) == (datatype, 48e3, None)


def test_scene_with_its_truth(tmp_path):
    """What is written is valid for the sigmf package, and metadata and truth file say the same."""
    import sigmf
    path = write(Synthesis(**SHORT), tmp_path / "scene")
    recording = open_recording(path)
    iq, _, (truth,) = synthesise(Synthesis(**SHORT))
    np.testing.assert_array_equal(recording.read(), iq)
    assert (recording.datatype, recording.samp_rate, recording.frequency_hz) == ("ci8", 1e6, 868.5e6)
    assert recording.verify()
    sigmf.sigmffile.fromfile(str(path)).validate()
    assert truth_of(path)["anomalies"] == [truth.as_dict()]
    note = next(a for a in recording.annotations if a.label == "anomaly: scont")
    assert (note.sample_start, note.sample_count) == (truth.sample_start, truth.sample_count)
    assert note.freq_upper_hz - note.freq_lower_hz == pytest.approx(truth.bandwidth_hz)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scene.sigmf-data", "scene.sigmf-meta", "scene.truth.json"]


@pytest.mark.parametrize("kind", ANOMALY_KINDS)
def test_every_kind_is_written_with_its_truth(tmp_path, kind):
    """The truth file and the annotations have the same rows; the level stands under the name of what it is."""
    what = Synthesis(anomaly=kind, **SHORT | ({"center_freq_hz": None, "seed": 0} if kind == "missing" else {}))
    if kind == "spoof":
        what = replace(what, center_freq_hz=1575.42e6, samp_rate=4e6)
    path = write(what, tmp_path / "scene")
    rows = truth_of(path)["anomalies"]
    notes = [a for a in open_recording(path).annotations if a.label == f"anomaly: {kind}"]
    key, name = LEVELS.get(kind, ("inr_db", "INR"))
    assert len(rows) == len(notes) > (4 if kind == "hopper" else 0)
    for row, mark in zip(rows, notes, strict=True):
        assert (row["sample_start"], row["sample_count"]) == (mark.sample_start, mark.sample_count)
        assert row["freq_center_hz"] == pytest.approx((mark.freq_lower_hz + mark.freq_upper_hz) / 2)
        assert row["bandwidth_hz"] == pytest.approx(mark.freq_upper_hz - mark.freq_lower_hz)
        assert f"{name} {row[key]:g} dB" in mark.comment


def test_same_bytes_every_time(tmp_path):
    paths = [write(Synthesis(**SHORT), tmp_path / name) for name in ("a", "b")]
    for suffix in (".sigmf-data", ".sigmf-meta", ".truth.json"):
        a, b = (p.with_name(p.name.replace(".sigmf-meta", suffix)).read_bytes() for p in paths)
        assert a == b


def test_same_band_on_another_day(tmp_path):
    """noise_seed: the same emitters, other traffic; no anomaly: nothing but the anomaly differs."""
    scene = truth_of(write(Synthesis(**SHORT), tmp_path / "a"))
    other = truth_of(write(Synthesis(noise_seed=8, anomaly="none", **SHORT), tmp_path / "b"))
    assert other["emitters"] == scene["emitters"]
    assert (scene["noise_seed"], other["noise_seed"], other["anomalies"]) == (7, 8, [])
    assert not np.array_equal(open_recording(tmp_path / "a").read(), open_recording(tmp_path / "b").read())
    with_anomaly, _, _ = synthesise(Synthesis(datatype="cf32_le", **SHORT))
    without, _, _ = synthesise(Synthesis(datatype="cf32_le", anomaly="none", **SHORT))
    np.testing.assert_array_equal(with_anomaly[:15_000], without[:15_000])
    assert not np.array_equal(with_anomaly, without)


def test_demo_scene_is_what_synth_makes(demo_scene, tmp_path):
    """The bundled recording comes from `dataset synth` without options.

    Byte for byte where it was made; another processor's vector unit may round the other way: then one step of the
    converter in at most one number of ten thousand.
    """
    path = write(Synthesis(), tmp_path / "demo_scene")
    bundled, made = (np.fromfile(p.with_suffix(".sigmf-data"), np.int8).astype(int) for p in (demo_scene, path))
    assert len(bundled) == len(made) == 2 << 20
    assert np.abs(bundled - made).max() <= 1
    assert np.mean(bundled != made) <= 1e-4
    bundled_truth, made_truth = truth_of(demo_scene)["anomalies"], truth_of(path)["anomalies"]
    for key in ("sample_start", "sample_count", "freq_center_hz", "bandwidth_hz", "inr_db"):
        assert bundled_truth[0][key] == pytest.approx(made_truth[0][key], rel=1e-9)
    open_recording(demo_scene).verify()


def test_memory_does_not_grow_with_the_recording(tmp_path, program):
    """16 s at 2 MS/s are 256 MB as complex64; beside what a second takes it needs little more than its emitters' blocks."""
    peak = {}
    for seconds in (1, 16):
        arguments = ["dataset", "synth", "--out", str(tmp_path / "long"), "--anomaly", "none", "--seconds", str(seconds)]
        code = (f"import resource; from gnuradio.spectrumencoder.cli.main import main; main({arguments})\n"
                "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)")
        done = subprocess.run([program[0], "-c", code], capture_output=True, text=True, timeout=100, check=True)
        peak[seconds] = int(done.stdout.split()[-1]) / 1024
    assert peak[16] < peak[1] + 150, peak


def test_demo_anomaly_stands_alone(demo_scene):
    """The anomaly raises its own bins by 15 dB when it comes, and no emitter of the plan is within its width of it."""
    recording, content = open_recording(demo_scene), truth_of(demo_scene)
    truth = content["anomalies"][0]
    offset, width = truth["freq_center_hz"] - recording.frequency_hz, truth["bandwidth_hz"]
    start, count = truth["sample_start"], truth["sample_count"]
    assert 0.25 <= count / recording.n_samples <= 0.30
    before = power_in_band(recording.read(0, start), recording.samp_rate, offset, width)
    during = power_in_band(recording.read(start, count), recording.samp_rate, offset, width)
    assert 10 * np.log10(during / before) == pytest.approx(10 * np.log10(10 ** 1.5 + 1), abs=0.5)
    for emitter in content["emitters"]:
        distance = abs(emitter["freq_center_hz"] - truth["freq_center_hz"])
        assert distance > width + (width + emitter["bandwidth_hz"]) / 2


def test_refused(tmp_path):
    with pytest.raises(ValueError, match="'jam'"):
        write(Synthesis(anomaly="jam"), tmp_path / "x")
    with pytest.raises(ValueError, match="'ci12'"):
        write(Synthesis(datatype="ci12"), tmp_path / "x")
    with pytest.raises(ValueError, match="samples"):
        write(Synthesis(seconds=1e6), tmp_path / "x")
    with pytest.raises(RecordingError, match="folder that exists"):
        write(Synthesis(**SHORT), tmp_path / "no" / "x")
    with pytest.raises(ValueError, match="ri8"):
        encode(np.zeros(4, np.complex64), "ri8")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    """The disk fills up in the middle: the old recording is still there, whole, and no leftovers."""
    path = write_recording(tmp_path / "r", np.ones(100, np.complex64), 1e6, "ci8", description="old")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RecordingError, match="No space"):
        write_recording(tmp_path / "r", np.zeros(100, np.complex64), 1e6, "ci8", description="new")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    assert open_recording(path).verify()


def run(program, *arguments):
    return subprocess.run([*program, "dataset", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)


def test_commands(program, tmp_path):
    done = run(program, "synth", "--seconds", 0.05, "--rate", 1e6, "--anomaly", "tone", "--out", tmp_path / "s")
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / "s.sigmf-meta")), done.stderr
    done = run(program, "synth", "--seconds", 0.05, "--anomaly", "stealth", "--inr", 3, "--out", tmp_path / "x")
    assert (done.returncode, "level of 3 dB must be negative" in done.stderr) == (2, True), done.stderr
    done = run(program, "list", tmp_path, "--json", tmp_path / "list.json")
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "list.json").read_text())["recordings"][0]
    assert (row["name"], row["samp_rate"], row["frames"], row["band"]) == ("s", 1e6, 3, "ism")
    assert "868.5" in done.stdout
    done = run(program, "info", tmp_path / "s.sigmf-meta", "--verify", "--json", tmp_path / "info.json")
    assert done.returncode == 0, done.stderr
    assert "anomaly: tone" in done.stdout
    assert json.loads((tmp_path / "info.json").read_text())["checksum"] == "right"


@pytest.mark.parametrize(("arguments", "status", "words"), [
    (("synth", "--out", "x", "--anomaly", "jam"), 2, "jam"), (("synth", "--out", "x", "--seconds", "-1"), 2, "positive"),
    (("synth",), 2, "--out"), (("info", "/nowhere.sigmf-meta"), 1, "no such recording"), (("list", "/"), 1, "holds no"),
])
def test_commands_refuse(program, arguments, status, words):
    done = run(program, *arguments)
    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_list_names_what_it_cannot_read(program, tmp_path):
    write_recording(tmp_path / "good", np.ones(100, np.complex64), 1e6, "ci8", description="good")
    (tmp_path / "bad.sigmf-meta").write_text("{")
    done = run(program, "list", tmp_path)
    assert done.returncode == 1
    assert "good" in done.stdout
    assert "bad.sigmf-meta" in done.stderr


def test_annotations_are_written_whole_and_in_order(tmp_path):
    notes = [{"core:sample_start": start, "core:sample_count": 3, "core:label": f"{start}"} for start in (70, 5, 40)]
    path = write_recording(tmp_path / "r", np.ones(100, np.complex64), 1e6, "ci8", description="notes", annotations=notes)
    assert json.loads(path.read_text())["annotations"] == sorted(notes, key=lambda note: note["core:sample_start"])
    assert [note["core:sample_start"] for note in notes] == [70, 5, 40]  # the caller's are as they were
