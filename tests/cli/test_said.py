# SPDX-License-Identifier: GPL-3.0-or-later
"""What may explain a silence is said in one sentence, on the console and in --json."""

import json
import shutil

import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.cli.bench import columns_that_fit
from gnuradio.spectrumencoder.session.flowgraph import in_options
from gnuradio.spectrumencoder.session.outcome import Outcome


@pytest.fixture
def said(call, tmp_path):
    """Runs a recording for a moment: the process, and its summary."""
    def run(path, *options, status=0, **settings):
        done = call("run", path, "--learn", 0.1, "--json", tmp_path / "s.json", *options, **settings)
        assert done.returncode == status, done.stderr
        return done, json.loads((tmp_path / "s.json").read_text())
    return run


def test_a_frequency_in_mhz_is_asked_about(said, noise, tmp_path):
    samples = tmp_path / "noise.cf32"
    samples.write_bytes(noise(300_000).tobytes())
    done, summary = said(samples, "--rate", "2.4M", "--freq", "868.5")
    assert "note: --freq 868.5 is 868.5 Hz; did you mean 868.5M?" in done.stderr
    assert summary["notes"] == ["--freq 868.5 is 868.5 Hz; did you mean 868.5M?"]
    assert said(samples, "--rate", "2.4M", "--freq", "868.5M")[1]["notes"] == []


def test_samples_of_another_checksum(said, demo_scene, tmp_path):
    meta = shutil.copy(demo_scene, tmp_path / "cut.sigmf-meta")
    data = demo_scene.with_suffix(".sigmf-data").read_bytes()
    (tmp_path / "cut.sigmf-data").write_bytes(data)
    done, _ = said(meta)
    assert "sha512" not in done.stderr
    (tmp_path / "cut.sigmf-data").write_bytes(data[:-100_000])
    done, summary = said(meta)
    assert done.stderr.count("the file is truncated or was changed") == 1
    assert sum("the metadata states 75dacf9f3eea" in note for note in summary["recordings"][0]["notes"]) == 1


def test_samples_that_are_no_numbers(said, write_sigmf, noise, tmp_path):
    iq = noise(400_000)
    iq[50_000:52_000] = float("nan")
    done, summary = said(write_sigmf(tmp_path, "gap", iq))
    line = "1 frame dropped: NaN or infinity among the samples (another data type than stated, or a header before them)"
    assert f"note: {line}" in done.stderr.replace("\n", " ") and summary["recordings"][0]["notes"].count(line) == 1
    assert summary["dropped_frames"] == 1
    iq[:] = float("nan")
    done, summary = said(write_sigmf(tmp_path, "none", iq), status=1)
    assert "\nerror: none: every frame was dropped: " in done.stderr and "every frame was dropped" in summary["errors"][0]


def test_the_last_line_has_the_frames_that_were_not_judged():
    outcome = Outcome("radio", 4385, 21, 7, 30.0, 30.0, False, health={keys.SKIPPED_FRAMES: 955})
    assert outcome.line().startswith("radio: 4385 frames (21 dropped), 955 not judged, 7 events")
    assert "not judged" not in Outcome("radio", 4385, 21, 7, 30.0, 30.0, False).line()


def test_a_home_that_cannot_be_written(said, demo_scene, tmp_path):
    done, summary = said(demo_scene, "--plot", tmp_path / "p.png", env={"HOME": "/nonexistent"})
    assert summary["frames"] == 64 and (tmp_path / "p.png").stat().st_size
    at_home, _ = said(demo_scene, "--plot", tmp_path / "p.png")
    assert done.stdout.splitlines()[:-1] == at_home.stdout.splitlines()[:-1]  # the last line has the time that it took


def test_events_on_standard_output_are_all_that_is_there(said, demo_scene):
    done, summary = said(demo_scene, "--events", "-")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert len([event for event in events if event["state"] == "open"]) == summary["events"] > 0
    assert "Z  new  869.164" in done.stderr and "64 frames" in done.stderr


def test_what_gnu_radio_logs_is_nothing_for_standard_output(call, write_sigmf, noise, tmp_path):
    recording = write_sigmf(tmp_path, "quiet", noise(1_300_000))
    (tmp_path / ".gr_fftw_wisdom").write_text("(fftw-3.3.10 fftwf_wisdom #x0")  # as another process left it half written
    done = call("calibrate", recording, "--out", tmp_path / "my.band", env={"HOME": str(tmp_path)})
    assert done.returncode == 0 and "wisdom" not in done.stdout + done.stderr and done.stdout.startswith("learned ")


def test_notes_name_options():
    assert in_options("raise false_events_per_hour for more; average 4") == "raise --false-events for more; average 4"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_figure_of_a_wide_table_is_cut(width):
    header = ["model", *(f"p{number} ms" for number in range(20))]
    rows = [["softmax-dynamic", *(f"{number}.123" for number in range(20))]]
    parts = columns_that_fit(header, rows, width)
    assert [number for part in parts for number in part[1:]] == list(range(1, 21)) and all(part[0] == 0 for part in parts)
    assert all(16 + sum(len(rows[0][number]) + 1 for number in part[1:]) <= width for part in parts)
    assert len(parts) == {40: 6, 80: 3, 200: 1}[width]
