# SPDX-License-Identifier: GPL-3.0-or-later
"""`spectrumencoder run` says what the samples tell of the receiver: lost samples filled with zeros, clipping."""

import json

import numpy as np
import pytest
from gnuradio.spectrumencoder.tokens.tokenize import native_module

RUN = native_module().tokenizer.MIN_CONSTANT  # identical samples in a row that drop a frame
FRAME = 16 * 1024
CONSTANT = "dropped: constant samples (zeros for lost samples, a receiver that stands still, or far too little gain)"

NOT_FINITE = "NaN or infinity among the samples (another data type than stated, or a header before them)"


@pytest.fixture
def results(call, model_file, tmp_path, write_sigmf):
    """Runs ci8 samples (n, 2); returns the process, and the summary of --json."""
    def run(samples, *more, status=0):
        path = write_sigmf(tmp_path, "x", samples.astype(np.int8).tobytes(), 1e6, datatype="ci8")
        done = call("run", path, "--model", model_file, "--json", tmp_path / "s.json", *more)
        assert done.returncode == status, done.stderr
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
    samples[5 * FRAME + 1000:7 * FRAME + RUN] = 0  # in three frames
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
    samples[:] = 100, 3
    done, summary = results(samples, status=1)
    assert f"note: 20 frames {CONSTANT}" in " ".join(done.stderr.split())
    assert (summary["frames"], summary["events"], summary["dropped_constant"], summary["clipped_frames"]) == (0, 0, 20, 0)
    reason = CONSTANT.removeprefix("dropped: ")
    said = f"every frame was dropped: 20 for {reason}; see whether the receiver runs, and raise its gain"
    assert done.stderr.splitlines()[-1] == f"error: x: {said}"
    assert summary["recordings"][0]["fault"] == said and summary["errors"] == [f"x: {said}"]


def test_a_receiver_held_at_its_rails_is_clipping_alone(results, samples):
    samples[3 * FRAME:5 * FRAME] = 127, -128
    done, summary = results(samples)
    assert "clipping: samples at full scale in 2 of 20 frames" in done.stderr and "constant samples" not in done.stderr
    assert (summary["dropped_frames"], summary["clipped_frames"]) == (0, 2)


def test_nan_is_told(call, write_sigmf, noise, model_file, tmp_path):
    iq = noise(20 * FRAME)
    iq[5 * FRAME + 100:6 * FRAME + 200] = np.nan
    done = call("run", write_sigmf(tmp_path, "x", iq), "--model", model_file)
    assert done.returncode == 0 and "20 frames" not in done.stdout
    assert f"note: 2 frames dropped: {NOT_FINITE}" in " ".join(done.stderr.split())


def test_floats_out_of_step_with_their_type_give_no_frame_and_say_so(call, the_line, model_file, tmp_path, noise):
    """As a WAV file whose header is not a whole number of floats."""
    raw = tmp_path / "x.raw"
    raw.write_bytes(bytes(3) + noise(20 * FRAME).tobytes() + bytes(5))
    done = call("run", raw, "--rate", 1e6, "--freq", 433.92e6, "--format", "cf32_le", "--model", model_file, "--quiet")
    line = the_line(done, 1)
    assert f"x: every frame was dropped: 20 for {NOT_FINITE}; state the data type that the file has" in line


@pytest.fixture
def captured(tmp_path, write_sigmf, noise):
    """A recording of `n_captures` captures of `length` samples, in two frequencies."""
    def make(name, n_captures, length):
        meta = write_sigmf(tmp_path, name, noise(n_captures * length))
        stated = json.loads(meta.read_text())
        stated["captures"] = [{"core:sample_start": length * k, "core:frequency": 433e6 + 1e6 * (k % 2)}
                              for k in range(n_captures)]
        meta.write_text(json.dumps(stated))
        return meta
    return make


def test_captures_shorter_than_a_frame_say_which_average_serves_them(call, captured, model_file):
    meta = captured("x", 40, 10_000)
    done = call("run", meta, "--model", model_file, "--average", 16)
    cut = ("40 frames are short, and not judged: captures shorter than a frame "
           "(40 captures of 10000 to 10000 samples, a frame of 16384)")
    assert "x: 40 frames, 0 emitters known" in done.stdout and "ended while learning" not in done.stderr
    assert done.returncode == 0 and f"note: {cut}; use --average 9" in " ".join(done.stderr.split())
    done = call("run", meta, "--model", model_file, "--average", 9)
    assert done.returncode == 0 and "x: 40 frames" in done.stdout and "dropped" not in done.stderr


@pytest.mark.parametrize(("length", "average"), [(10_000, 9), (5_000, 4)])
@pytest.mark.parametrize("n_centres", [1, 3])
def test_a_run_chooses_frames_that_fit_short_captures(call, write_sigmf, noise, tmp_path, length, average, n_centres):
    """Without --average. A signal that comes in the second half is found, whether the captures are bursts or hops.

    On three centres in turn it is never on two at once: one emitter that hops.
    """
    n = 180 * length
    iq = noise(n)
    iq[n // 2:] += 0.5 * np.std(iq) * np.exp(2j * np.pi * 0.1 * np.arange(n // 2))
    captures = [{"core:sample_start": length * k, "core:frequency": 433e6 + 2e6 * (k % n_centres),
                 "core:datetime": f"2024-03-01T10:{k // 60:02}:{k % 60:02}Z"} for k in range(180)]
    done = call("run", write_sigmf(tmp_path, "x", iq, captures=captures), "--json", tmp_path / "run.json",
                "--events", tmp_path / "run.jsonl")
    assert done.returncode == 0 and "x: 180 frames" in done.stdout and "short, and not judged" not in done.stderr
    said = (f"note: captures shorter than a frame (180 captures of {length} to {length} samples, a frame of 16384): --average "
            f"{average} is taken")
    assert said in " ".join(done.stderr.split())
    summary = json.loads((tmp_path / "run.json").read_text())
    assert summary["recordings"][0]["average"] == average and summary["alerts"] == {"new": 1}
    events = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert {round(event["freq_center_hz"] / 1e5) for event in events} == {4331 + 20 * k for k in range(n_centres)}
    assert min(event["sample_start"] for event in events) == n // 2


def test_carriers_of_short_hops_are_listed(call, write_sigmf, noise, tmp_path):
    """22 frames of each of three centres teach: too few to say that a carrier belongs, enough to list it."""
    n = 131 * 10_000
    iq = noise(n) + 0.005 * np.exp(2j * np.pi * 0.1 * np.arange(n))
    captures = [{"core:sample_start": 10_000 * k, "core:frequency": 433e6 + 2e6 * (k % 3)} for k in range(131)]
    done = call("run", write_sigmf(tmp_path, "x", iq, captures=captures))
    assert done.returncode == 0 and "s: 3 signals" in done.stdout and "(new)" not in done.stdout and "0 alerts" in done.stdout
    for freq_mhz in ("433.1", "435.1", "437.1"):
        assert f"  {freq_mhz}000 MHz" in done.stdout


def test_captures_that_continue_are_no_short_ones(call, write_sigmf, noise, tmp_path):
    """A capture every 8192 samples of one stream, as a sink writes it that begins one at each time."""
    captures = [{"core:sample_start": 8192 * k, "core:frequency": 433e6,
                 "core:datetime": f"2024-03-01T10:00:00.{8192 * k:06}Z"} for k in range(80)]
    done = call("run", write_sigmf(tmp_path, "x", noise(40 * FRAME), captures=captures))
    assert done.returncode == 0 and "x: 40 frames," in done.stdout and "captures" not in done.stderr


def test_captures_shorter_than_one_fft_give_no_frame_and_say_so(call, the_line, captured, model_file):
    done = call("run", captured("x", 40, 700), "--model", model_file, "--quiet")
    line = the_line(done, 1)
    assert "x: every frame was dropped: 39 for captures shorter than a frame (40 captures of 700 to 700 samples" in line
    assert "record captures of at least one FFT, 1024 samples" in line


def test_in_a_folder_the_others_go_on(call, write_sigmf, noise, model_file, tmp_path):
    (tmp_path / "folder").mkdir()
    write_sigmf(tmp_path / "folder", "a", np.zeros(4 * FRAME, np.complex64))
    write_sigmf(tmp_path / "folder", "b", noise(4 * FRAME))
    for jobs in (1, 2):
        done = call("run", tmp_path / "folder", "--model", model_file, "--jobs", jobs, "--json", tmp_path / "s.json")
        assert done.returncode == 1 and "a: 0 frames (4 dropped)" in done.stdout and "b: 4 frames" in done.stdout
        said = " ".join(done.stderr.split())
        assert "error: a: every frame was dropped: 4 for constant samples" in said
        assert said.endswith("error: 1 of 2 recordings failed; the lines above say why")
        summary = json.loads((tmp_path / "s.json").read_text())
        assert summary["frames"] == 4 and len(summary["errors"]) == 1 and len(summary["recordings"]) == 2


def test_quiet_says_nothing(results, samples):
    samples[:FRAME] = 0
    done, summary = results(samples, "--quiet")
    assert done.stderr == "" and summary["dropped_constant"] == 1


def test_calibrate_learns_across_captures_that_continue_and_names_short_ones(call, the_line, write_sigmf, noise, tmp_path):
    captures = [{"core:sample_start": 8192 * k, "core:frequency": 433e6,
                 "core:datetime": f"2024-03-01T10:00:0{8192 * k // 1_000_000}.{8192 * k % 1_000_000:06}Z"} for k in range(160)]
    done = call("calibrate", write_sigmf(tmp_path, "x", noise(80 * FRAME), captures=captures), "--out", tmp_path / "x.band")
    assert done.returncode == 0 and "learned 1.05 s of signal" in done.stdout  # two whole blocks
    apart = [capture | {"core:datetime": f"2024-03-01T10:{k // 60:02}:{k % 60:02}Z"} for k, capture in enumerate(captures)]
    done = call("calibrate", write_sigmf(tmp_path, "y", noise(80 * FRAME), captures=apart), "--out", tmp_path / "y.band")
    assert ("whole frames hold 0 s of 1.31 s of signal, and 1 s are the minimum: captures are shorter than a frame of 16384 "
            "samples; a smaller --average helps") in the_line(done, 1)
