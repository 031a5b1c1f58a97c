# SPDX-License-Identifier: GPL-3.0-or-later
"""`spectrumencoder run` from recording to results: what it finds, that it is the same twice, and how it ends."""

import importlib.util
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

BOXES = ("--detector", "boxes")  # with calibrated tables
HOST_KEYS = ("latency_ms",)
ROOT = Path(__file__).parents[2]


def read_events(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def without_host_values(events):
    return [{key: value for key, value in event.items() if key not in HOST_KEYS
             and not (key == "timestamp" and event["time_source"] == "host")} for event in events]


def run_demo_scene(call, demo_scene, band_model, folder, *more):
    done = call("run", demo_scene, *BOXES, "--model", band_model, "--events", folder / "e.jsonl", *more)
    assert done.returncode == 0, done.stderr
    return done, read_events(folder / "e.jsonl")


def test_it_finds_the_anomaly_and_writes_every_result(call, demo_scene, band_model, tmp_path):
    spec = importlib.util.spec_from_file_location("demo", ROOT / "tools" / "demo.py")
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    done, events = run_demo_scene(call, demo_scene, band_model, tmp_path, "--plot", tmp_path / "p.png",
                                  "--json", tmp_path / "s.json", f"--annotate={tmp_path / 'a.sigmf-meta'}")
    truth = json.loads(demo_scene.with_suffix(".truth.json").read_text())
    found, line = demo.compare(truth, [json.dumps(event) for event in events])
    assert found, line
    identities = {event["event_id"] for event in events}
    assert "demo_scene: 64 frames" in done.stdout and f"{len(identities)} event" in done.stdout
    (recording,) = json.loads((tmp_path / "s.json").read_text())["recordings"]
    assert (recording["n_frames"], recording["n_dropped"], recording["n_events"]) == (64, 0, len(identities))
    assert (tmp_path / "p.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    annotated = json.loads((tmp_path / "a.sigmf-meta").read_text())
    ours = [a for a in annotated["annotations"] if a.get("spectrumencoder:event_id") in identities]
    assert {a["spectrumencoder:event_id"] for a in ours} == identities
    assert (tmp_path / "a.sigmf-meta") and not list(tmp_path.glob(".*"))


def test_events_that_are_only_counted_are_printed_and_in_the_summary(call, demo_scene, band_model, write_sigmf, tmp_path):
    """24 times 6 short tones, which all may open: more than the 64 events that are reported at once."""
    iq = 2 * np.fromfile(demo_scene.with_suffix(".sigmf-data"), np.int8).astype(np.float32).view(np.complex64) / 128
    frame, rng = 16 * 1024, np.random.default_rng(4)
    iq = np.resize(iq[:8 * frame], 400 * frame) / 2
    for burst in range(24):
        at = slice((20 + 15 * burst) * frame, (22 + 15 * burst) * frame)
        for place in rng.permutation(np.arange(-9, 10) * 0.045)[:6]:
            iq[at] += 0.05 * np.exp(2j * np.pi * place * np.arange(2 * frame)).astype(np.complex64)
    meta = write_sigmf(tmp_path, "storm", iq, 2e6, freq_hz=868.5e6)
    done = call("run", meta, *BOXES, "--model", band_model, "--hold", 1, "--events", tmp_path / "e.jsonl",
                "--json", tmp_path / "s.json")
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "s.json").read_text())
    (recording,) = written["recordings"]
    suppressed = recording["suppressed_events"]
    assert suppressed > 0 and written["suppressed_events"] == suppressed
    assert f"{recording['n_events']} events ({suppressed} more not reported)" in done.stdout
    assert "note: rate limited: more than 64 events" in done.stderr
    assert len({event["event_id"] for event in read_events(tmp_path / "e.jsonl")}) == recording["n_events"]


def test_the_edges_of_a_recording_are_left_out_by_usable(call, demo_scene, band_model, write_sigmf, tmp_path):
    iq = np.fromfile(demo_scene.with_suffix(".sigmf-data"), np.int8).astype(np.float32).view(np.complex64) / 128
    iq += 0.05 * np.exp(2j * np.pi * 0.47 * np.arange(len(iq))).astype(np.complex64)  # 60 kHz from the upper edge
    meta = write_sigmf(tmp_path, "edge", iq, 2e6, freq_hz=868.5e6)
    centres = {}
    for usable in (1, 0.9):
        file = tmp_path / f"{usable}.jsonl"
        done = call("run", meta, *BOXES, "--model", band_model, "--usable", usable, "--events", file)
        assert done.returncode == 0, done.stderr
        centres[usable] = [event["freq_center_hz"] - 868.5e6 for event in read_events(file)]
    assert any(abs(f - 0.94e6) < 20e3 for f in centres[1])
    assert centres[0.9] and all(abs(f) < 0.9e6 for f in centres[0.9])


def test_a_run_reports_every_notice_of_the_detector():
    from gnuradio.spectrumencoder.detector import notices
    from gnuradio.spectrumencoder.session.flowgraph import REPORTED_STATES
    states = {notices.UNCALIBRATED, notices.GENERAL_TABLE, notices.RATE_LIMITED, notices.RECALIBRATE}
    assert states <= set(REPORTED_STATES)


def test_the_same_recording_gives_the_same_events(call, demo_scene, band_model, tmp_path):
    results = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        done, events = run_demo_scene(call, demo_scene, band_model, tmp_path / name, "--pfa", "0.2", "--quiet")
        assert done.stdout == ""
        results.append(without_host_values(events))
    assert results[0] == results[1] and results[0]


def test_raw_samples_give_what_sigmf_gives(call, demo_scene, band_model, tmp_path):
    raw = tmp_path / "scene.ci8"
    raw.write_bytes(demo_scene.with_suffix(".sigmf-data").read_bytes())
    _, expected = run_demo_scene(call, demo_scene, band_model, tmp_path)
    done = call("run", raw, "--rate", "2e6", "--format", "ci8", "--freq", "868.5e6", *BOXES, "--model", band_model,
                "--events", tmp_path / "raw.jsonl")
    assert done.returncode == 0, done.stderr
    keys = ("sample_start", "sample_count", "freq_center_hz", "bandwidth_hz", "p_value", "state")
    assert [[e[k] for k in keys] for e in read_events(tmp_path / "raw.jsonl")] == [[e[k] for k in keys] for e in expected]


def test_a_folder_names_the_recording_in_each_event(call, demo_scene, band_model, tmp_path):
    for name in ("one", "two"):
        for suffix in (".sigmf-meta", ".sigmf-data"):
            (tmp_path / f"{name}{suffix}").write_bytes(demo_scene.with_suffix(suffix).read_bytes())
    done = call("run", tmp_path, *BOXES, "--model", band_model, "--events", tmp_path / "e.jsonl", "--plot", tmp_path / "p.png")
    assert done.returncode == 0, done.stderr
    assert {event["recording"] for event in read_events(tmp_path / "e.jsonl")} == {"one", "two"}
    assert (tmp_path / "p_one.png").is_file() and (tmp_path / "p_two.png").is_file()


def test_an_uncalibrated_band_is_said_to_be(call, write_sigmf, noise, model_file, tmp_path):
    recording = write_sigmf(tmp_path, "noise", noise(100_000))
    done = call("run", recording, *BOXES, "--policy", "gumbel", "--events",
                tmp_path / "e.jsonl")  # the shipped tables are for energy
    assert done.returncode == 0, done.stderr
    assert "uncalibrated" in done.stderr and read_events(tmp_path / "e.jsonl") == []


def test_the_band_may_be_said(call, the_line, write_sigmf, noise, model_file, tmp_path):
    recording = write_sigmf(tmp_path, "noise", noise(60_000))
    done = call("run", recording, *BOXES, "--policy", "gumbel", "--band", "aero")
    assert done.returncode == 0, done.stderr
    assert "/aero/" in done.stderr
    assert "band 'moon'" in the_line(call("run", recording, "--band", "moon"), 2)


def test_an_overlap_that_was_not_calibrated_is_uncalibrated(call, write_sigmf, noise, model_file, tmp_path):
    recording = write_sigmf(tmp_path, "noise", noise(330_000))
    done = call("calibrate", recording, *BOXES, "--model", model_file, "--average", 1, "--overlap", 0.5,
                "--out", tmp_path / "m.safetensors")
    assert done.returncode == 0, done.stderr
    assert "--overlap 0.5" in done.stdout
    arguments = ["run", recording, *BOXES, "--model", tmp_path / "m.safetensors", "--average", 1, "--dropout", 0.25]
    assert "another overlap" in call(*arguments).stderr
    done = call(*arguments, "--overlap", 0.5)
    assert done.returncode == 0 and "note" not in done.stderr, done.stderr


def test_average_auto_is_the_same_for_run_and_calibrate(call, the_line, write_sigmf, noise, model_file, tmp_path):
    """30 MS/s: 32 spectra a frame. Recordings of rates that need different ones are not calibrated together."""
    (tmp_path / "fast").mkdir()
    recording = write_sigmf(tmp_path / "fast", "noise", noise(700_000), samp_rate=30e6)
    out = tmp_path / "m.safetensors"
    common = ("--average", "auto", "--pfa", "0.1", "--no-per-bin")
    done = call("calibrate", recording, *BOXES, "--model", model_file, *common, "--out", out)
    frame = 1024 * 32
    frames = 700_000 // frame
    assert done.returncode == 1 and f"{frames} frames are too few" in done.stderr
    done = call("run", recording, "--average", "auto", "--model", model_file, "--json", tmp_path / "s.json")
    assert done.returncode == 0 and "average auto: 32 spectra per frame at 3e+07 samples/s" in done.stderr, done.stderr
    (row,) = json.loads((tmp_path / "s.json").read_text())["recordings"]
    assert row["average"] == 32 and row["n_frames"] == -(-700_000 // frame)
    write_sigmf(tmp_path / "fast", "slow", noise(100_000), samp_rate=1e6)
    done = call("calibrate", tmp_path / "fast", *BOXES, "--model", model_file, *common, "--out", out)
    assert "would be 16, 32 for recordings of different rates" in the_line(done, 2)


def test_nan_frames_are_dropped_and_counted(call, write_sigmf, noise, model_file, tmp_path):
    iq = noise(20 * 16384)
    iq[5 * 16384 + 100:5 * 16384 + 200] = np.nan
    done = call("run", write_sigmf(tmp_path, "nan", iq), "--json", tmp_path / "s.json")
    assert done.returncode == 0, done.stderr
    (recording,) = json.loads((tmp_path / "s.json").read_text())["recordings"]
    assert recording["n_dropped"] == 1 and recording["n_frames"] == 19


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="needs /dev/full, a file on which every write fails")
def test_a_block_that_fails_ends_the_run_with_one_line(call, the_line, demo_scene, band_model):
    line = the_line(call("run", demo_scene, *BOXES, "--model", band_model, "--events", "/dev/full", "--quiet"), 1)
    assert "event_log" in line and "No space left" in line


def test_a_block_that_fails_ends_the_run_within_five_seconds(program, demo_scene, band_model, tmp_path):
    """Measured from the failure, which the log tells while debugging, in a recording that would go on for long."""
    samples = tmp_path / "long.ci8"
    with samples.open("wb") as file:
        file.write(demo_scene.with_suffix(".sigmf-data").read_bytes())
        file.truncate(4_000_000_000)  # sparse: it takes no room
    process = subprocess.Popen([*program, "run", samples, "--rate", "2e6", "--format", "ci8", "--freq", "868.5e6",
                                *BOXES, "--model", band_model, "--events", "/dev/full", "--quiet"], stderr=subprocess.PIPE,
                               text=True, env={**os.environ, "SPECTRUMENCODER_DEBUG": "1"})
    failed, lines = None, []
    for line in process.stderr:
        lines.append(line)
        if failed is None and "event_log: handle_events failed" in line:
            failed = time.monotonic()
    assert process.wait(timeout=30) == 1 and failed is not None, "".join(lines)
    assert time.monotonic() - failed < 5


def test_ctrl_c_keeps_what_was_found_and_ends_at_once(program, band_model, tmp_path):
    samples = tmp_path / "long.ci8"
    with samples.open("wb") as file:
        noise = np.rint(np.random.default_rng(1).normal(0.0, 8.0, 1 << 20)).astype(np.int8).tobytes()
        for _ in range(128):  # of 65,536 frames
            file.write(noise)
        file.truncate(4_000_000_000)  # sparse: it takes no room; frames of zeros are dropped
    process = subprocess.Popen([*program, "run", samples, "--rate", "2e6", "--format", "ci8", *BOXES, "--model", band_model,
                                "--average", "1", "--events", tmp_path / "e.jsonl", "--json", tmp_path / "s.json"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # ignored where tests run with &
    while not (tmp_path / "e.jsonl").exists() and process.poll() is None:  # written when the flowgraph starts
        time.sleep(0.1)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    stdout, stderr = process.communicate(timeout=30)
    assert time.monotonic() - begun < 5
    assert process.returncode == 1 and "interrupted" in stderr and "Traceback" not in stderr
    (recording,) = json.loads((tmp_path / "s.json").read_text())["recordings"]
    assert recording["interrupted"] and recording["n_frames"] > 0


def test_a_real_recording(call, corpus, model_file, tmp_path):
    recording = corpus / "aero_ADS-B_02_40adf64e.sigmf-meta"
    done = call("run", recording, "--events", tmp_path / "e.jsonl", "--plot", tmp_path / "p.png")
    assert done.returncode == 0, done.stderr
    assert "64 frames" in done.stdout and (tmp_path / "p.png").stat().st_size > 50_000


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_every_recording_of_the_corpus(program, corpus, model_file, tmp_path):
    done = subprocess.run([*program, "run", corpus, "--events", tmp_path / "e.jsonl", "--json", tmp_path / "s.json"],
                          capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr
    recordings = json.loads((tmp_path / "s.json").read_text())["recordings"]
    assert len(recordings) == len(list(corpus.glob("*.sigmf-meta"))) and all(r["n_frames"] > 0 for r in recordings)


@pytest.mark.parametrize(("mode", "quiet"), [("held", "held_frames"), ("few", "few_frames")])
def test_adaptive_dropout_is_counted(call, write_sigmf, noise, tmp_path, mode, quiet):
    recording = write_sigmf(tmp_path, "hiss", noise(200 * 16 * 1024))
    done = call("run", recording, "--model", "fast", "--adaptive-dropout", mode, "--json", tmp_path / "run.json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "run.json").read_text())["recordings"]
    assert row["n_frames"] == 200 == row["full_frames"] + row[quiet] and row[quiet] > 150
    assert row["mean_tokens"] < 24
    assert f"{row['full_frames']} of interest ({row['mean_tokens']:.1f} tokens a frame)" in done.stdout
    assert not any("uncalibrated" in note for note in row["notes"])


@pytest.mark.parametrize("mode", ["held", "few"])
def test_adaptive_dropout_finds_the_same_anomalies_on_a_learned_band(call, demo_scene, band_model, tmp_path, mode):
    found = []
    for number, more in enumerate(([], ["--adaptive-dropout", mode])):
        (tmp_path / str(number)).mkdir()
        _, events = run_demo_scene(call, demo_scene, band_model, tmp_path / str(number), *more)
        found.append([(e["sample_start"], e["freq_center_hz"], e["label"]) for e in events if e["state"] == "open"])
    assert found[0] == found[1] != []
