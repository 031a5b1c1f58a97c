# SPDX-License-Identifier: GPL-3.0-or-later
"""run --encoded and decode: spectra come back with their places and times; what is damaged is told, the rest is decoded."""

import json

import numpy as np
import pytest
from gnuradio.spectrumencoder.encoder import features
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.recordings import open_recording
from gnuradio.spectrumencoder.tokens.tokenize import tokenize


@pytest.fixture(scope="module")
def encoded(call, demo_scene, tmp_path_factory):
    """The demo scene's spectra as run has compressed them, in groups of 16."""
    path = tmp_path_factory.mktemp("encoded") / "demo.enc"
    done = call("run", demo_scene, "--encoded", path, "--encoded-group", 16, "--encoded-step", 0.25, "--json",
                path.with_suffix(".json"))
    assert done.returncode == 0, done.stderr
    assert "bytes each" in done.stdout
    return path


def test_spectra_come_back_at_their_places(call, encoded, demo_scene, model_file, tmp_path):
    done = call("decode", encoded, "--npz", tmp_path / "s.npz", "--csv", tmp_path / "s.csv", "--json", tmp_path / "s.json")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    recording = open_recording(demo_scene)
    frames = tokenize(recording.read(0, recording.n_samples), recording.samp_rate, center_freq=recording.frequency_hz)
    with np.load(tmp_path / "s.npz") as got:
        assert got["spectra"].shape == frames.psd.shape
        np.testing.assert_allclose(got["frequencies_hz"], frames.frequencies_hz())
        np.testing.assert_array_equal(got["frame_start"], frames.frame_start)
        assert np.sqrt(np.mean(np.square(got["spectra"] - frames.psd))) < 2.0  # noise of K = 16 alone has 1.1 dB
        label, confidence = got["label"], got["confidence"]
        engine = Engine(str(model_file), dropout_rate=0.25, dtype="auto")  # as run has it
        told = engine.encode(frames.items, "ism").features[:, features.PROBABILITIES][:, :len(engine.labels)]
        assert label.tolist() == [engine.labels[i] for i in told.argmax(axis=1)]
        assert np.abs(confidence - told.max(axis=1)).max() <= 1 / 32 + 1e-4
        assert (np.diff(got["times_s"]) == pytest.approx(16 * 1024 / recording.samp_rate, abs=1e-6))
    summary = json.loads((tmp_path / "s.json").read_text())
    size = encoded.stat().st_size
    assert (summary["frames"], summary["pdus"], summary["bytes"], summary["gaps"], summary["lost"]) == (64, 4, size, 0, [])
    assert summary["compression"] == pytest.approx(64 * 4096 / size, abs=0.01)
    assert json.loads(encoded.with_suffix(".json").read_text())["recordings"][0]["encoded_bytes"] == size
    assert summary["labels"] == {name: int((label == name).sum()) for name in np.unique(label)}
    rows = [line.split(",")[:9] for line in (tmp_path / "s.csv").read_text().splitlines()]
    assert len(rows) == 65 and rows[0][:3] == ["time_s", "frame_start", "rx_freq_hz"]
    assert rows[0][6:] == ["label", "confidence", "bin_0_dbfs"]
    assert [row[6] for row in rows[1:]] == label.tolist()
    assert [float(row[7]) for row in rows[1:]] == pytest.approx(confidence, abs=0.001)


def test_what_is_lost_is_told_and_the_rest_is_decoded(call, encoded, tmp_path):
    content = bytearray(encoded.read_bytes())
    content[50] ^= 1  # in the first of four, among its classes
    (tmp_path / "damaged.enc").write_bytes(bytes(content[:-30]))
    done = call("decode", tmp_path / "damaged.enc", "--npz", tmp_path / "s.npz", "--json", tmp_path / "s.json")
    assert done.returncode == 1
    assert "32 spectra in 2 PDUs" in done.stdout
    assert done.stderr.count("lost at byte") == 2 and "checksum" in done.stderr and "truncated" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert len(json.loads((tmp_path / "s.json").read_text())["lost"]) == 2
    with np.load(tmp_path / "s.npz") as got:
        assert len(got["spectra"]) == 32


@pytest.mark.parametrize(("content", "status", "says"), [
    (None, 2, "no file"), (b"", 1, "is empty"), (b"some text that is no PDU", 1, "no PDU")])
def test_files_that_hold_nothing(call, tmp_path, content, status, says):
    if content is not None:
        (tmp_path / "f.enc").write_bytes(content)
    done = call("decode", tmp_path / "f.enc", "--quiet")
    assert done.returncode == status and says in done.stderr.splitlines()[-1]


def test_another_model(call, encoded, tmp_path, model_file):
    from gnuradio.spectrumencoder.encoder.model_file import load, save
    file = load(model_file)
    name = next(n for n in file.tensors if n.startswith("weights.") and n.endswith("decoder.mean.bias"))
    file.tensors[name] = file.tensors[name] + 1
    save(tmp_path / "other.safetensors", file.contract, file.tensors)
    done = call("decode", encoded, "--model", tmp_path / "other.safetensors")
    assert done.returncode == 1 and "another model" in done.stderr and "0 spectra" in done.stdout


def test_a_folder_gives_a_file_for_each_recording(call, noise, write_sigmf, tmp_path):
    for name in ("a", "b"):
        write_sigmf(tmp_path, name, noise(1024 * 40))
    done = call("run", tmp_path, "--encoded", tmp_path / "out.enc", "--quiet")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out_a.enc").is_file() and (tmp_path / "out_b.enc").is_file()
