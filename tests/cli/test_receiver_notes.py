# SPDX-License-Identifier: GPL-3.0-or-later
"""`spectrumencoder run` says what the samples tell of the receiver: lost samples filled with zeros, clipping."""

import json

import numpy as np
import pytest

FRAME = 16 * 1024
CONSTANT = "dropped: constant samples (zeros for lost samples, a receiver that stands still, or far too little gain)"


@pytest.fixture
def results(call, model_file, tmp_path, write_sigmf):
    """Runs ci8 samples (n, 2); returns the process, and the summary of --json."""
    def run(samples, *more):
        path = write_sigmf(tmp_path, "x", samples.astype(np.int8).tobytes(), 1e6, datatype="ci8")
        done = call("run", path, "--model", model_file, "--json", tmp_path / "s.json", *more)
        assert done.returncode == 0, done.stderr
        return done, json.loads((tmp_path / "s.json").read_text())
    return run


@pytest.fixture
def samples():
    """20 frames of noise in 8 bits, (n, 2)."""
    return np.rint(np.random.default_rng(1).normal(0.0, 8.0, (20 * FRAME, 2)))


def test_a_good_receiver_is_not_mentioned(results, samples):
    done, summary = results(samples)
    assert "constant samples" not in done.stderr and "clipping" not in done.stderr
    assert summary["dropped_frames"] == summary["dropped_constant"] == summary["clipped_frames"] == 0


def test_zeros_for_lost_samples_are_told(results, samples):
    samples[5 * FRAME + 1000:7 * FRAME + 200] = 0  # in three frames
    done, summary = results(samples)
    assert f"note: 3 frames {CONSTANT}" in " ".join(done.stderr.split())
    (recording,) = summary["recordings"]
    assert "17 frames (3 dropped)" in done.stdout and f"3 frames {CONSTANT}" in recording["notes"]
    assert (summary["frames"], summary["dropped_frames"], summary["dropped_constant"]) == (17, 3, 3)
    assert recording["health"]["dropped_constant"] == 3 and recording["n_dropped"] == 3


def test_clipping_is_told(results, samples):
    samples[4 * FRAME + 5, 0], samples[9 * FRAME + 7, 1], samples[9 * FRAME + 8] = 127, -128, 127
    done, summary = results(samples)
    said = "clipping: samples at full scale in 2 of 20 frames; lower the gain"
    assert f"note: {said}" in " ".join(done.stderr.split()) and said in summary["recordings"][0]["notes"]
    assert summary["clipped_frames"] == summary["recordings"][0]["health"]["clipped_frames"] == 2
    assert summary["dropped_frames"] == 0


def test_a_receiver_that_stands_still_gives_no_frame_and_says_why(results, samples):
    samples[:] = 127, 3
    done, summary = results(samples)
    assert f"note: 20 frames {CONSTANT}" in " ".join(done.stderr.split())
    assert (summary["frames"], summary["events"], summary["dropped_constant"], summary["clipped_frames"]) == (0, 0, 20, 0)


def test_quiet_says_nothing(results, samples):
    samples[:FRAME] = 0
    done, summary = results(samples, "--quiet")
    assert done.stderr == "" and summary["dropped_constant"] == 1
