# SPDX-License-Identifier: GPL-3.0-or-later
"""`spectrumencoder survey` on recordings and streams, and what `run` writes of signals: files, annotations, pictures."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from gnuradio.spectrumencoder import keys
from small_models import write_small_model

RATE, FREQ, HOP = 1e6, 433.92e6, 16 * 1024
TONE_HZ, BAND_HZ = FREQ + 200e3, FREQ - 250e3  # a carrier, and bursts that are 100 kHz wide
HEADLESS = Path(__file__).parents[2] / "models" / "folds" / "fast_fold2.safetensors"  # of an earlier release: no token head
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def band():
    """Samples of 60 frames: noise, a carrier, and two bursts of noise (frames 10..19 and 40..49)."""
    rng = np.random.default_rng(4)
    iq = (rng.standard_normal((60 * HOP, 2)) @ np.array([1, 1j]) * 0.007).astype(np.complex64)
    n = np.arange(len(iq))
    iq += (0.01 * np.exp(2j * np.pi * (TONE_HZ - FREQ) / RATE * n)).astype(np.complex64)
    for first in (10, 40):
        spectrum = np.fft.fft(rng.standard_normal((10 * HOP, 2)) @ np.array([1, 1j]))
        spectrum[round(0.05 * len(spectrum)):round(0.95 * len(spectrum))] = 0
        burst = 0.03 * np.fft.ifft(spectrum) * np.exp(2j * np.pi * (BAND_HZ - FREQ) / RATE * n[:10 * HOP])
        iq[first * HOP:(first + 10) * HOP] += burst.astype(np.complex64)
    return iq


@pytest.fixture(scope="module")
def recording(band, write_sigmf, tmp_path_factory):
    return write_sigmf(tmp_path_factory.mktemp("band"), "band", band, RATE, captures=[
        {"core:sample_start": 0, "core:frequency": FREQ, "core:datetime": "2024-05-01T12:00:00Z"}])


@pytest.fixture(scope="module")
def head_model(tmp_path_factory):
    """Path of an untrained model with a token head, for frames of 1024 bins."""
    return write_small_model(tmp_path_factory.mktemp("head") / "head.safetensors", "head", 3, fft_size=1024, token_classes=True,
                             keep_choices=(32, 64, 96, 128))


def copies(recording, folder, names):
    """Copies of a recording, each a frame shorter than the one before: a folder runs the same samples once."""
    data = recording.with_suffix(".sigmf-data").read_bytes()
    for number, name in enumerate(names):
        (folder / f"{name}.sigmf-meta").write_text(recording.read_text())
        (folder / f"{name}.sigmf-data").write_bytes(data[:len(data) - 8 * number * HOP])


def check_rows(rows):
    """The two signals of ``band``: bursts, then carrier."""
    bursts, tone = rows
    assert bursts["freq_center_hz"] == pytest.approx(BAND_HZ, abs=5e3)
    assert bursts["bandwidth_hz"] == pytest.approx(100e3, abs=10e3)
    assert tone["freq_center_hz"] == pytest.approx(TONE_HZ, abs=1e3) and tone["bandwidth_hz"] < 10e3
    assert (bursts["bursts"], tone["bursts"]) == (2, 1)
    assert bursts["duty_cycle"] == pytest.approx(20 / 50, abs=0.03) and tone["duty_cycle"] == pytest.approx(1.0, abs=0.05)
    assert bursts["first_heard"] == pytest.approx(1714564800 + 10 * HOP / RATE, abs=HOP / RATE)
    assert bursts["last_heard"] == pytest.approx(1714564800 + 50 * HOP / RATE, abs=HOP / RATE)


def test_a_table_and_every_file(call, recording, tmp_path):
    done = call("survey", recording, "--json", tmp_path / "s.json", "--csv", tmp_path / "s.csv", "--markdown", tmp_path / "s.md",
                "--plot", tmp_path / "s.png", "--model", HEADLESS)
    assert done.returncode == 0, done.stderr
    heading, head, *lines = done.stdout.splitlines()
    assert heading == "band: 2 signals in 0.983 s, 60 frames" and "duty cycle" in head and len(lines) == 2
    assert "433.67" in lines[0] and "unknown signal" in lines[0] and "2024-05-01T12:00:00.1" in lines[0]
    assert done.stderr.startswith("note: the model fast_fold2 does not say what a part of the band holds")
    assert "learn" not in done.stderr
    source, = json.loads((tmp_path / "s.json").read_text())["sources"]
    check_rows(source["signals"])
    assert source["frames"] == 60 and all(list(row) == [k for k in keys.SIGNAL_FIELDS if k in row] for row in source["signals"])
    rows = list(csv.DictReader((tmp_path / "s.csv").open()))
    assert [float(row["freq_center_hz"]) for row in rows] == [row["freq_center_hz"] for row in source["signals"]]
    page = (tmp_path / "s.md").read_text()
    assert page.startswith("# band: 2 signals") and "(s.png)" in page and page.count("unknown signal") == 2
    assert (tmp_path / "s.png").read_bytes()[:8] == PNG


def test_json_to_stdout_is_json_alone(call, recording, head_model):
    done = call("survey", recording, "--json", "-", "--model", head_model)
    assert done.returncode == 0 and not done.stderr, done.stderr
    source, = json.loads(done.stdout)["sources"]
    check_rows(source["signals"])
    assert {row["label"] for row in source["signals"]} <= {"LoRa", "BLE", "unknown signal"}  # it answers, and never noise


def test_a_stream_gives_what_its_recording_gives(call, recording, band, tmp_path):
    done = call("survey", recording, "--json", "-")
    raw = tmp_path / "band.cf32"
    raw.write_bytes(band.tobytes())
    with raw.open("rb") as samples:
        piped = call("survey", "-", "--rate", "1M", "--format", "cf32_le", "--freq", FREQ, "--start", "2024-05-01T12:00:00Z",
                     "--json", "-", stdin=samples)
    assert piped.returncode == 0, piped.stderr
    assert [json.loads(text)["sources"][0]["signals"] for text in (piped.stdout,)] == [
        json.loads(done.stdout)["sources"][0]["signals"]]


def test_a_folder_has_a_table_for_each_and_a_bad_one_is_reported(call, recording, tmp_path):
    copies(recording, tmp_path, "ac")
    (tmp_path / "b.sigmf-meta").write_text("{")
    out = tmp_path / "out"
    out.mkdir()
    done = call("survey", tmp_path, "--csv", out / "s.csv", "--markdown", out / "s.md", "--plot", out / "p.png", "--json",
                out / "s.json", "--model", HEADLESS)
    assert done.returncode == 1 and "1 of 3 recordings failed; the lines above say why" in done.stderr
    assert done.stderr.count("note: 2 recordings (a, c): the model fast_fold2") == 1
    assert [line.partition(":")[0] for line in done.stdout.splitlines() if "signals in" in line] == ["a", "c"]
    rows = list(csv.DictReader((out / "s.csv").open()))
    assert [row["recording"] for row in rows] == ["a", "a", "c", "c"]
    page = (out / "s.md").read_text()
    assert "(p_a.png)" in page and "(p_c.png)" in page and (out / "p_c.png").read_bytes()[:8] == PNG
    written = json.loads((out / "s.json").read_text())
    assert len(written["errors"]) == 1 and [source["name"] for source in written["sources"]] == ["a", "c"]


@pytest.mark.parametrize(("arguments", "says", "status"), [
    (["--scan", "88M:108M"], "--scan is for radios", 2), (["--duration", "3"], "--duration is for radios", 2),
    (["--csv", "/nonesuch/s.csv"], "there is no folder /nonesuch", 1), (["--usable", "0"], "outside (0, 1]", 2),
    (["--learn", "3"], "No such option", 2)])
def test_what_makes_no_sense_is_one_line(call, the_line, recording, arguments, says, status):
    assert says in the_line(call("survey", recording, *arguments), status)


def test_noise_is_an_empty_table(call, write_sigmf, noise, tmp_path):
    done = call("survey", write_sigmf(tmp_path, "noise", noise(100 * HOP)), "--markdown", tmp_path / "n.md", "--plot",
                tmp_path / "n.png")
    assert done.returncode == 0 and done.stdout == "noise: 0 signals in 1.64 s, 100 frames\n", done.stdout
    assert (tmp_path / "n.md").read_text().count("\n| ") == 1 and (tmp_path / "n.png").read_bytes()[:8] == PNG


# run

def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_run_writes_a_line_for_each_message_of_a_signal(call, recording, tmp_path):
    done = call("run", recording, "--signals", tmp_path / "s.jsonl", "--learn", 0.1, "--plot", tmp_path / "p.png", "--json",
                tmp_path / "s.json")
    assert done.returncode == 0, done.stderr
    said = lines_of(tmp_path / "s.jsonl")
    assert all(list(row) == [key for key in keys.SIGNAL_FIELDS if key in row] for row in said)
    opened, closed = ([row["signal_id"] for row in said if row["state"] == state] for state in ("open", "close"))
    assert sorted(opened) == sorted(closed) and len(set(opened)) >= 2
    strong = [row for row in said if row["state"] == "close" and row["bandwidth_hz"] > 50e3]
    assert [round(row["sample_start"] / HOP) for row in strong] == [10, 40]
    assert "2 signals listed" in done.stdout and (tmp_path / "p.png").read_bytes()[:8] == PNG
    check_rows(json.loads((tmp_path / "s.json").read_text())["recordings"][0]["signals"])


def test_without_being_asked_run_says_nothing_of_signals(call, recording, tmp_path):
    done = call("run", recording, "--learn", 0.1, "--json", tmp_path / "s.json")
    assert done.returncode == 0 and "listed" not in done.stdout and "token head" not in done.stderr
    assert "signals" not in json.loads((tmp_path / "s.json").read_text())["recordings"][0]


def test_signals_are_annotated_beside_the_events_which_stay_as_they_are(call, recording, tmp_path):
    notes = []
    for name, more in (("events", []), ("all", ["--annotate-signals"])):
        file = tmp_path / f"{name}.sigmf-meta"
        done = call("run", recording, "--learn", 0.3, f"--annotate={file}", *more)
        assert done.returncode == 0, done.stderr
        notes.append(json.loads(file.read_text())["annotations"])
    events, signals = ([a for a in notes[1] if f"spectrumencoder:{key}" in a] for key in ("event_id", "signal_id"))
    without = [{key: value for key, value in a.items() if "latency" not in key} for a in events]
    assert without == [{key: value for key, value in a.items() if "latency" not in key} for a in notes[0]]
    assert len(notes[1]) == len(events) + len(signals)
    wide = [a for a in signals if a["core:freq_upper_edge"] - a["core:freq_lower_edge"] > 50e3]
    assert [round(a["core:sample_start"] / HOP) for a in wide] == [10, 40]  # one for each burst
    assert {a["core:label"] for a in signals} == {"unknown signal"} and wide[0]["core:comment"].startswith("signal ")
    assert wide[0]["core:freq_lower_edge"] < BAND_HZ < wide[0]["core:freq_upper_edge"]


def test_annotate_signals_alone_names_its_file_and_a_second_run_replaces_the_first(call, recording, tmp_path):
    for suffix in (".sigmf-meta", ".sigmf-data"):
        os.link(recording.with_suffix(suffix), tmp_path / f"band{suffix}")
    counts = []
    for _ in range(2):
        assert call("run", tmp_path / "band.sigmf-meta", "--learn", 0.3, "--annotate-signals").returncode == 0
        counts.append(len(json.loads((tmp_path / "band-events.sigmf-meta").read_text())["annotations"]))
    assert counts[0] == counts[1] >= 3


def test_jobs_give_the_signals_that_one_gives(call, recording, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    copies(recording, folder, "ab")
    written = []
    for jobs in (1, 2):
        done = call("run", folder, "--learn", 0.3, "--jobs", jobs, "--signals", tmp_path / f"{jobs}.jsonl")
        assert done.returncode == 0, done.stderr
        written.append((tmp_path / f"{jobs}.jsonl").read_text())
    assert written[0] == written[1]
    named = [json.loads(line)["recording"] for line in written[0].splitlines()]
    assert named == sorted(named) and set(named) == {"a", "b"}


@pytest.mark.parametrize("option", [["--annotate-signals"], [f"--annotate={'x'}"]])
def test_a_stream_has_no_annotations(call, the_line, option):
    done = call("run", "-", "--rate", "1M", "--format", "cf32_le", *option, input="")
    assert f"{option[0].partition('=')[0]} is for recordings in files" in the_line(done, 2)
