# SPDX-License-Identifier: GPL-3.0-or-later
"""From recordings to tables, and ``spectrumencoder calibrate`` around it."""

import json
import subprocess

import numpy as np
import pytest
from gnuradio.spectrumencoder.detector import learn_band
from gnuradio.spectrumencoder.detector.calibrate import TooFewFrames, frames_needed, table_frames
from gnuradio.spectrumencoder.detector.detector import Detector
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.model_file import load
from gnuradio.spectrumencoder.recordings import open_recording

RATE, N = 1e6, 1024
NEEDED = frames_needed(0.01)


@pytest.fixture(scope="module")
def engine(model_file):
    return Engine(str(model_file), pad_batch=64)


@pytest.fixture(scope="module")
def record(tmp_path_factory, write_sigmf):
    """record(n_samples, captures) -> path of a recording of noise."""
    folder = tmp_path_factory.mktemp("recordings")

    def make(n_samples, captures=((0, 433.92e6),), seed=1):
        name = f"noise_{n_samples}_{len(captures)}_{seed}"
        rng = np.random.default_rng(seed)
        iq = (0.01 * rng.standard_normal(2 * n_samples, np.float32)).view(np.complex64)
        return write_sigmf(folder, name, iq, RATE, captures=[
            {"core:sample_start": start, "core:frequency": freq} for start, freq in captures])
    return make


def learned(engine, path, **settings):
    return learn_band.learn_bands([open_recording(path)], engine, average=1, **settings)


def test_one_table_of_the_band_of_the_recording(engine, record):
    calls = []
    tables = learned(engine, record(NEEDED * N), progress=lambda done, total: calls.append((done, total)))
    (key, table), = tables.items()
    assert key == engine.table_key("ism", 1)
    assert table.n == table_frames(NEEDED)
    assert table.band.mean.shape == (N,)
    assert (table.tuning, table.window_hop) == ((433.92e6, RATE), N)
    assert calls[-1] == (NEEDED, NEEDED)
    Detector(engine.contract, tables)


def test_blocks_do_not_matter(engine, record, monkeypatch):
    path = record(NEEDED * N)
    whole = learned(engine, path, overlap=0.25)
    monkeypatch.setattr(learn_band, "BLOCK_SAMPLES", 50 * N)
    for key, table in learned(engine, path, overlap=0.25).items():
        assert table.window_hop == 3 * N // 4
        np.testing.assert_array_equal(table.scores, whole[key].scores)


def test_captures_of_two_bands_make_two_tables(engine, record):
    path = record(2 * (NEEDED + 1) * N, captures=((0, 433.92e6), ((NEEDED + 1) * N, 1575.42e6)))
    assert set(learned(engine, path)) == {engine.table_key("ism", 1), engine.table_key("gnss", 1)}
    (key, table), = learned(engine, path, band="unknown").items()
    assert key == engine.table_key("unknown", 1)
    assert table.band is table.tuning is None  # two tunings share no bins


def test_refusals(engine, record):
    with pytest.raises(TooFewFrames, match=f"{NEEDED - 1} frames are too few .* {NEEDED} are needed"):
        learned(engine, record((NEEDED - 1) * N))
    with pytest.raises(TooFewFrames, match="0 frames"):
        learned(engine, record(100))
    with pytest.raises(ValueError, match="band 'moon'"):
        learned(engine, record(100), band="moon")
    with pytest.raises(ValueError, match="average 1000"):
        learn_band.learn_bands([open_recording(record(100))], engine, average=1000)


def calibrate(program, model_file, *arguments):
    command = [*program, "calibrate", *map(str, arguments), "--detector", "boxes", "--model", str(model_file),
               "--average", "1", "--dtype", "fp32"]
    return subprocess.run(command, capture_output=True, text=True, timeout=110)


def test_command_writes_a_calibrated_model(program, model_file, record, tmp_path, engine):
    out, summary = tmp_path / "mine.safetensors", tmp_path / "summary.json"
    done = calibrate(program, model_file, record(NEEDED * N), "--out", out, "--json", summary)
    assert done.returncode == 0, done.stderr
    assert "threshold" in done.stdout
    assert f"wrote {out}" in done.stdout
    key = engine.table_key("ism", 1)
    model = load(out)
    assert key in Detector.from_model(model).tables
    assert model.contract["weights_sha256"] == load(model_file).contract["weights_sha256"]
    row = json.loads(summary.read_text())["tables"][key]
    assert row["n"] == table_frames(NEEDED)
    assert (row["freq_hz"], row["samp_rate"], row["window_hop"]) == (433.92e6, RATE, N)


def test_command_says_in_one_line_how_many_frames_it_needs(program, model_file, record, tmp_path):
    done = calibrate(program, model_file, record(100 * N), "--out", tmp_path / "mine.safetensors")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"100 frames are too few to calibrate a false-alarm rate of 0.01: {NEEDED} are needed" in done.stderr
    assert not (tmp_path / "mine.safetensors").exists()


def test_command_wants_a_model_file_name(program, model_file, record, tmp_path):
    assert calibrate(program, model_file, record(100), "--out", tmp_path / "mine.bin").returncode == 2
