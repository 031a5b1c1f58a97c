# SPDX-License-Identifier: GPL-3.0-or-later
"""`spectrumencoder run -` and FIFOs: raw samples from a stream, to its end."""

import gzip
import io
import json
import os
import signal
import subprocess
import tarfile
import time
import wave

import numpy as np
import pytest

RATE, FREQ, FRAME, FRAMES = 2.4e6, 433.92e6, 16384, 60
BOXES = ("--detector", "boxes", "--false-events", 100_000, "--pfa", 0.05)
STATED = ("--rate", "2.4M", "--freq", "433.92M", "--format", "cu8")


@pytest.fixture(scope="module")
def samples(noise):
    """cu8 of sixty frames of noise with a tone 300 kHz above the middle in a third of them, and half a sample."""
    iq, t = noise(FRAMES * FRAME), np.arange(FRAMES * FRAME)
    iq = iq + 10 ** -1.5 * np.exp(2j * np.pi * 300e3 / RATE * t) * ((t >= 20 * FRAME) & (t < 40 * FRAME))
    return np.round(iq.astype(np.complex64).view(np.float32) * 127.5 + 127.5).astype(np.uint8).tobytes() + b"\x80"


@pytest.fixture
def start(program, tmp_path):
    """Starts the program in the background; ends it at the end of the test."""
    running = []

    def make(*arguments, **settings):
        environment = {**os.environ, "SPECTRUMENCODER_DEBUG": "", "COLUMNS": "300"}
        running.append(subprocess.Popen([*program, "run", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=environment, **settings))
        return running[-1]
    yield make
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def result(process, content=None):
    out, err = process.communicate(content, timeout=60)
    return process.returncode, out.decode(), err.decode()


def the_tone(path):
    (event,) = [e for e in map(json.loads, path.read_text().splitlines()) if e["state"] == "close"]
    assert abs(event["freq_center_hz"] - 434.22e6) < 5e3 and event["sample_start"] == 20 * FRAME
    return event


@pytest.mark.parametrize("source", ["-", "/dev/stdin"])
def test_standard_input_is_read_to_its_end(start, samples, tmp_path, source):
    process = start(source, *STATED, *BOXES, "--events", tmp_path / "e.jsonl", "--json", tmp_path / "s.json",
                    stdin=subprocess.PIPE)
    status, out, err = result(process, samples)
    assert status == 0, err
    assert f"standard input: {FRAMES} frames, 1 event" in out
    assert abs(the_tone(tmp_path / "e.jsonl")["timestamp"] - time.time()) < 60
    summary = json.loads((tmp_path / "s.json").read_text())
    assert (summary["frames"], summary["dropped_frames"], summary["errors"]) == (FRAMES, 0, [])


def test_a_part_of_a_stream(start, samples, tmp_path):
    part = ("--skip", repr(10 * FRAME / RATE), "--seconds", repr(40 * FRAME / RATE), "--start", "2026-01-31T12:00:00Z")
    process = start("-", *STATED, *BOXES, *part, "--events", tmp_path / "e.jsonl", "--json", tmp_path / "s.json",
                    stdin=subprocess.PIPE)
    assert result(process, samples)[0] == 0
    (event,) = [e for e in map(json.loads, (tmp_path / "e.jsonl").read_text().splitlines()) if e["state"] == "close"]
    assert event["sample_start"] == 10 * FRAME and abs(event["timestamp"] - 1769860800 - 20 * FRAME / RATE) < 1e-3
    assert json.loads((tmp_path / "s.json").read_text())["frames"] == 40
    status, _, err = result(start("-", *STATED, "--skip", 100, stdin=subprocess.PIPE), samples)
    assert status == 1 and "the stream ended before --skip 100 s of it" in err


def test_a_stream_that_ends_while_learning_lists_what_it_held(start, samples):
    """Without --freq: frequencies count from the centre, in the list as well."""
    process = start("-", "--rate", 2.4e6, "--format", "cu8", stdin=subprocess.PIPE)
    status, out, err = result(process, samples)
    assert status == 0 and "ended while learning" in err, err
    assert "on the air after" in out and "from the centre" in out and "0 alerts" in out, out
    assert "+300.0 kHz" in out, out


def test_a_fifo_whose_writer_comes_late_and_writes_in_small_pieces(start, samples, tmp_path):
    fifo = tmp_path / "samples.fifo"
    os.mkfifo(fifo)
    process = start(fifo, *STATED, *BOXES, "--start", "2024-03-01T10:00:00.5Z", "--events", tmp_path / "e.jsonl")
    time.sleep(1.0)
    with fifo.open("wb", buffering=0) as file:
        for at in range(0, len(samples), 99_999):  # an odd number: samples are cut
            file.write(samples[at:at + 99_999])
    status, out, err = result(process)
    assert status == 0 and f"samples.fifo: {FRAMES} frames, 1 event" in out, err
    event = the_tone(tmp_path / "e.jsonl")
    assert event["time_source"] == "tag" and event["timestamp"] == pytest.approx(1709287200.5 + 20 * FRAME / RATE, abs=1e-6)


def test_an_unknown_frequency_is_said(start, samples, tmp_path):
    process = start("-", "--rate", "2.4M", "--format", "rtl", *BOXES, "--events", tmp_path / "e.jsonl", stdin=subprocess.PIPE)
    status, _, err = result(process, samples)
    events = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert status == 0 and "the centre frequency is not known" in err
    assert events and all(e["freq_relative"] and abs(e["freq_center_hz"] - 300e3) < 5e3 for e in events)


@pytest.mark.parametrize(("content", "said"), [
    (b"", "ended before its first sample"), (b"\x80" * 101, "ended after 50 samples, fewer than one FFT of 1024")])
def test_nothing_to_analyse(start, content, said):
    status, _, err = result(start("-", *STATED, stdin=subprocess.PIPE), content)
    assert status == 1 and err.splitlines()[-1].startswith("error: ") and said in err.splitlines()[-1]


def containers():
    wav, tar = io.BytesIO(), io.BytesIO()
    with wave.open(wav, "wb") as file:
        file.setparams((2, 2, 2_400_000, 0, "NONE", ""))
        file.writeframes(bytes(40000))
    with tarfile.open(fileobj=tar, mode="w") as file:
        info = tarfile.TarInfo("x/x.sigmf-meta")
        info.size = 20000
        file.addfile(info, io.BytesIO(bytes(20000)))
    npy = io.BytesIO()
    np.save(npy, np.zeros(5000, np.complex64))
    meta = json.dumps({"global": {"core:datatype": "cu8", "core:sample_rate": 1e6}}).encode()
    return {"WAV": wav.getvalue(), "RF64": b"RF64" + bytes(9000), "SigMF archive": tar.getvalue(), "NumPy": npy.getvalue(),
            "gzip": gzip.compress(np.random.default_rng(0).bytes(9000)), "SigMF": meta}


@pytest.mark.parametrize("name", ["WAV", "RF64", "SigMF archive", "NumPy", "gzip", "SigMF"])
def test_a_file_format_is_refused(start, name):
    """A header read as samples would give events of nonsense."""
    status, out, err = result(start("-", *STATED, stdin=subprocess.PIPE), containers()[name])
    line = err.splitlines()[-1]
    assert status == 1 and name.split()[0] in line and "name the file instead" in line and "Traceback" not in err


@pytest.mark.parametrize(("options", "said"), [
    ((), "--rate HZ and --format TYPE"), (("--rate", "1M"), "give --format TYPE"), ((*STATED, "--annotate"), "--annotate is for"),
    ((*STATED, "--channel", 1), "a stream has one"), ((*STATED, "--gain", 3), "--gain is for radios"),
    ((*STATED[:4], "--format", "xx"), "'xx' is not known"), ((*STATED, "--start", "yesterday"), "is no time")])
def test_options_that_do_not_go_with_a_stream(start, options, said):
    status, _, err = result(start("-", *options, stdin=subprocess.PIPE), b"")
    assert status in (1, 2) and err.startswith("error: ") and said in err and err.count("\n") == 1


def test_ctrl_c_ends_a_silent_stream_in_good_order(start, samples, tmp_path):
    process = start("-", *STATED, *BOXES, "--events", tmp_path / "e.jsonl", stdin=subprocess.PIPE)
    process.stdin.write(samples)
    process.stdin.flush()
    deadline = time.monotonic() + 30
    while not (tmp_path / "e.jsonl").exists() or "close" not in (tmp_path / "e.jsonl").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    status = process.wait(timeout=10)
    assert status == 0 and time.monotonic() - began < 5
    assert f"{FRAMES} frames" in process.stdout.read().decode()
    the_tone(tmp_path / "e.jsonl")


def test_ctrl_c_before_any_writer(start, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    process = start(tmp_path / "fifo", *STATED)
    time.sleep(3.0)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) in (0, 1, 130) and b"Traceback" not in process.stderr.read()
