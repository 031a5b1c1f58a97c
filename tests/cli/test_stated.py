# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user states about a recording, in `run` and `calibrate`: beside what its file and its name state."""

import json

import numpy as np
import pytest
from gnuradio.spectrumencoder.cli.main import program

RATE, FREQ, FRAME = 2.4e6, 433.92e6, 16384
BOXES = ("--detector", "boxes", "--false-events", 100_000, "--pfa", 0.05)


@pytest.fixture(scope="module")
def burst(noise):
    """Sixty frames of noise with a tone of -30 dBFS, 300 kHz above the middle, in a third of them."""
    iq, t = noise(60 * FRAME), np.arange(60 * FRAME)
    return (iq + 10 ** -1.5 * np.exp(2j * np.pi * 300e3 / RATE * t) * ((t >= 20 * FRAME) & (t < 40 * FRAME))).astype(np.complex64)


@pytest.fixture
def events(call, tmp_path):
    """Runs a recording; gives its closed events, what it says on stderr, and its exit status."""
    def run(path, *options):
        (tmp_path / "e.jsonl").unlink(missing_ok=True)  # a run goes on after the lines of earlier ones
        done = call("run", path, *BOXES, "--events", tmp_path / "e.jsonl", *options)
        lines = (tmp_path / "e.jsonl").read_text().splitlines() if done.returncode == 0 else []
        return [event for event in map(json.loads, lines) if event["state"] == "close"], done.stderr, done.returncode
    return run


def is_the_tone(found, freq_hz, time_s=None):
    assert len(found) == 1 and abs(found[0]["freq_center_hz"] - freq_hz) < 5e3, found
    assert time_s is None or abs(found[0]["timestamp"] - time_s) < 0.05


@pytest.mark.parametrize("command", ["run", "calibrate"])
def test_the_options_are_those_of_the_library(command):
    parameters = {parameter.name: parameter for parameter in program([]).commands[command].params}
    assert [parameters[key].opts for key in ("start", "channel", "offset", "skip", "seconds")] == [
        ["--start"], ["--channel"], ["--offset"], ["--skip"], ["--seconds"]]


def test_a_part_of_a_recording(events, call, the_line, burst, write_sigmf, tmp_path):
    """The tone is on from 0.137 s to 0.273 s of 0.41 s."""
    path = write_sigmf(tmp_path, "part", burst, samp_rate=RATE, captures=[
        {"core:sample_start": 0, "core:frequency": FREQ, "core:datetime": "2026-01-31T12:00:00Z"}])
    skip = 10 * FRAME / RATE
    found, _, status = events(path, "--skip", repr(skip), "--seconds", "0.3", f"--annotate={tmp_path / 'a'}", "--json",
                              tmp_path / "s.json")
    is_the_tone(found, 434.22e6, 1769860800 + 20 * FRAME / RATE)
    assert status == 0 and found[0]["sample_start"] == 10 * FRAME  # from the first sample that was read
    (mark,) = json.loads((tmp_path / "a.sigmf-meta").read_text())["annotations"]
    assert mark["core:sample_start"] == 20 * FRAME  # of the file
    assert json.loads((tmp_path / "s.json").read_text())["recordings"][0]["seconds"] == pytest.approx(0.3)
    assert not events(path, "--seconds", "0.13")[0]
    assert "skip 1 s is all of it: the recording has 0.4096 s (--skip SECONDS)" in the_line(call("run", path, "--skip", 1), 2)
    cut = ("--skip", "0.2", "--seconds", "0.2")
    assert "0.2 s" in call("info", path, *cut).stdout and "in 0.2 s" in call("survey", path, *cut).stdout
    assert "0.198 s of signal teach nothing" in the_line(call("calibrate", path, "--out", tmp_path / "p.band", *cut), 1)
    done = call("convert", path, tmp_path / "cut", "--skip", "0.1", "--seconds", "0.2")
    assert done.returncode == 0 and "480000 samples, 0.2 s" in done.stdout


def test_a_name_states_all_and_options_go_before_it(events, burst, tmp_path):
    """The forms of gqrx and rtl_433, as they come from the recorder."""
    path = tmp_path / "gqrx_20230501_123015_433920000_2400000_fc.raw"
    path.write_bytes(burst.tobytes())
    found, said, _ = events(path)
    is_the_tone(found, 434.22e6, 1682944215 + 20 * FRAME / RATE)
    assert "data type, rate, time and frequency are taken from the file's name" in said
    found, said, _ = events(path, "--freq", "100M", "--offset", "-20M", "--start", "2024-01-01T00:00:00Z")
    is_the_tone(found, 80.3e6, 1704067200 + 20 * FRAME / RATE)
    assert "data type and rate are taken from" in said
    small = tmp_path / "g001_433.92M_2400k.cu8"
    small.write_bytes(np.round(burst.view(np.float32) * 127.5 + 127.5).astype(np.uint8).tobytes())
    is_the_tone(events(small)[0], 434.22e6)
    is_the_tone(events(small, "--rate", "2.4M", "--freq", "433.92M", "--format", "cu8")[0], 434.22e6)


def test_channels(events, burst, noise, write_sigmf, tmp_path):
    """The tone is in the second of two: the first is read, and that is said."""
    both = np.stack([noise(len(burst))[::-1], burst], axis=1).reshape(-1)
    path = write_sigmf(tmp_path, "two", both.astype(np.complex64), samp_rate=RATE, **{"core:num_channels": 2})
    found, said, _ = events(path)
    assert not found and "1 of 2 channels is read; --channel 1 reads the other" in said
    found, said, _ = events(path, "--channel", 1)
    is_the_tone(found, 434.22e6)
    assert "channels is read" not in said
    _, said, status = events(path, "--channel", 2)
    assert status == 2 and "the file has 2, counted from 0" in said


def test_a_frequency_that_the_file_does_not_state(events, call, the_line, burst, write_sigmf, tmp_path):
    starts = [{"core:sample_start": 0}, {"core:sample_start": 30 * FRAME}]
    none = write_sigmf(tmp_path, "none", burst, samp_rate=RATE, captures=starts[:1])
    assert "the centre frequency is not known" in events(none)[1]
    is_the_tone(events(none, "--freq", "433.92M")[0], 434.22e6)
    mixed = write_sigmf(tmp_path, "mixed", burst, samp_rate=RATE, captures=[starts[0] | {"core:frequency": FREQ}, starts[1]])
    _, said, status = events(mixed)
    assert status == 0 and "1 of 2 captures state no centre frequency" in said and "--freq HZ states it" in said
    assert events(mixed, "--freq", "433.92M")[2] == 0
    hops = write_sigmf(tmp_path, "hops", burst, samp_rate=RATE, captures=[
        start | {"core:frequency": FREQ + start["core:sample_start"]} for start in starts])
    assert "--offset HZ" in the_line(call("run", hops, "--freq", "433.92M"), 2)
    assert events(hops, "--offset", "1G")[2] == 0


def test_metadata_without_a_rate(events, call, the_line, burst, write_sigmf, tmp_path):
    path = write_sigmf(tmp_path, "slow", burst)
    meta = json.loads(path.read_text())
    del meta["global"]["core:sample_rate"]
    path.write_text(json.dumps(meta))
    assert "(--rate HZ)" in the_line(call("run", path), 2)
    is_the_tone(events(path, "--rate", "2.4M")[0], 434.22e6)


def test_calibrate_states_the_same(call, the_line, burst, write_sigmf, tmp_path):
    path = write_sigmf(tmp_path, "none", burst, samp_rate=RATE, captures=[{"core:sample_start": 0}])
    done = call("calibrate", path, "--out", tmp_path / "x.band", "--freq", "433.92M", "--rate", "0.6M")
    assert done.returncode == 0 and "the rate is 600000 Hz as stated; SigMF says 2400000 Hz" in done.stderr, done.stderr
    assert "'soon' is no time since 1970" in the_line(call("calibrate", path, "--out", tmp_path / "y.band", "--start", "soon"), 2)


def test_a_radio_has_no_options_of_recordings(call, the_line):
    for option in (("--start", "2026-01-31T12:00:00Z"), ("--channel", 1), ("--format", "cu8"), ("--skip", 1), ("--seconds", 1)):
        said = the_line(call("run", "soapy:driver=x", "--rate", "2.4M", "--freq", "1M", *option), 2)
        assert f"{option[0]} is not for a radio" in said
