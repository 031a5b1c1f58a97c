# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources that stand for several recordings: folders, collections, archives. Each set of samples is run, and learned, once."""

import json
import tarfile

import numpy as np
import pytest

RATE, FRAME = 2.4e6, 16384
BOXES = ("--detector", "boxes", "--false-events", 100_000, "--pfa", 0.05)


@pytest.fixture
def tone(noise):
    """Frames of noise, with a tone 300 kHz above the middle of the band in frames [first, last)."""
    def make(n_frames, first, last):
        t = np.arange(n_frames * FRAME)
        on = (t >= first * FRAME) & (t < last * FRAME)
        return (noise(len(t)) + 10 ** -1.5 * np.exp(2j * np.pi * 300e3 / RATE * t) * on).astype(np.complex64)
    return make


def closed(path):
    return [event for event in map(json.loads, path.read_text().splitlines()) if event["state"] == "close"]


def test_annotating_a_folder_again_and_again_adds_no_recording(call, noise, write_sigmf, tmp_path):
    """And calibrate learns the same from it before and after."""
    folder = tmp_path / "in"
    folder.mkdir()
    write_sigmf(folder, "quiet", noise(3_000_000))
    learned = []
    for number in range(3):
        done = call("calibrate", folder, "--out", tmp_path / f"{number}.band", "--json", tmp_path / f"{number}.json")
        assert done.returncode == 0, done.stderr
        learned.append(json.loads((tmp_path / f"{number}.json").read_text())["seconds"])
        assert ("is no recording, and left out" in done.stderr) == (number > 0)
        done = call("run", folder, "--annotate", "--json", tmp_path / "s.json", "--learn", 1)
        assert done.returncode == 0, done.stderr
        assert [row["name"] for row in json.loads((tmp_path / "s.json").read_text())["recordings"]] == ["quiet"]
    assert len(set(learned)) == 1 and learned[0] == pytest.approx(2.6, abs=0.1)
    assert sorted(path.name for path in folder.glob("*.sigmf-meta")) == ["quiet-events.sigmf-meta", "quiet.sigmf-meta"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_collection_and_an_archive_of_several(call, tone, write_sigmf, tmp_path, jobs):
    paths = [write_sigmf(tmp_path, name, tone(40, first, first + 15), samp_rate=RATE) for name, first in (("a", 5), ("b", 15))]
    collection = tmp_path / "set.sigmf-collection"
    collection.write_text(json.dumps({"collection": {"core:version": "1.2.0", "core:streams": [
        {"name": name, "hash": "0" * 128} for name in ("a", "b")]}}))
    archive = tmp_path / "both.sigmf"
    with tarfile.open(archive, "w") as tar:
        for path in paths:
            for file in (path, path.with_suffix(".sigmf-data")):
                tar.add(file, f"both/{file.name}")
    for source in (collection, archive):
        done = call("run", source, *BOXES, "--events", tmp_path / "e.jsonl", "--jobs", jobs)
        assert done.returncode == 0, done.stderr
        events = {event["recording"]: event for event in closed(tmp_path / "e.jsonl")}
        assert sorted(events) == ["a", "b"] and events["b"]["sample_start"] > events["a"]["sample_start"] + 5 * FRAME
        assert all(abs(event["freq_center_hz"] - 434.22e6) < 5e3 for event in events.values())


def test_times_after_a_loss(call, tone, write_sigmf, tmp_path):
    """A second is lost between two captures: core:global_index says so, and the second has no datetime."""
    first, second = tone(40, 10, 25), tone(40, 10, 25)
    path = write_sigmf(tmp_path, "gap", np.concatenate([first, second]), samp_rate=RATE, captures=[
        {"core:sample_start": 0, "core:frequency": 433.92e6, "core:datetime": "2024-03-01T10:00:00Z", "core:global_index": 0},
        {"core:sample_start": len(first), "core:frequency": 433.92e6, "core:global_index": len(first) + 2_400_000}])
    done = call("run", path, *BOXES, "--events", tmp_path / "e.jsonl")
    assert done.returncode == 0, done.stderr
    begins = 1709287200 + 10 * FRAME / RATE
    assert [event["timestamp"] for event in closed(tmp_path / "e.jsonl")] == pytest.approx(
        [begins, begins + len(first) / RATE + 1], abs=0.05)


def test_a_folder_of_several_formats(call, tone, write_sigmf, tmp_path):
    iq = tone(40, 10, 25)
    write_sigmf(tmp_path, "b", iq, samp_rate=RATE)
    (tmp_path / "gqrx_20230501_123015_433920000_2400000_fc.raw").write_bytes(iq.tobytes())
    np.save(tmp_path / "a.npy", iq)
    done = call("run", tmp_path, *BOXES, "--events", tmp_path / "e.jsonl", "--rate", "2.4M", "--freq", "433.92M")
    assert done.returncode == 0, done.stderr
    events = closed(tmp_path / "e.jsonl")
    assert [event["recording"] for event in events] == ["a", "b", "gqrx_20230501_123015_433920000_2400000_fc"]
    assert len({event["sample_start"] for event in events}) == 1


@pytest.mark.parametrize("more", [(), ("--jobs", 2), ("--report", "../out")], ids=["in turn", "jobs", "report"])
def test_nothing_of_a_folder_is_left_out_silently(call, noise, write_sigmf, tmp_path, more):
    """What looks like a recording and is none has a line and counts; unclear raw IQ is named; the same note comes once."""
    if "--report" in more:
        pytest.importorskip("pyarrow")
    (tmp_path / "in").mkdir()
    for name, n_samples in (("a", 200_000), ("b", 250_000), ("c", 300_000)):
        write_sigmf(tmp_path / "in", name, noise(n_samples))
    (tmp_path / "in" / "broken.wav").write_bytes(b"\x93" * 3000)
    (tmp_path / "in" / "plain.raw").write_bytes(b"\x93" * 3000)
    (tmp_path / "in" / "notes.txt").write_text("of the day")
    done = call("run", ".", *more, cwd=tmp_path / "in")
    lines = done.stderr.splitlines()
    assert done.returncode == 1, done.stderr
    assert lines[0] == ("note: 1 file left out: plain.raw says neither rate nor format; run it by its name, with --rate and "
                        "--format")
    assert [line for line in lines if line.startswith("error: ") and "broken.wav: is named like WAV" in line]
    assert lines[-1].startswith("error: 1 of 4 recordings failed; ")
    short = [line for line in lines if "shorter than twice" in line]
    assert len(short) == 1 and short[0].startswith("note: 3 recordings (a, b, c), with the numbers of a: the recording is")
    assert "notes.txt" not in done.stderr
    if "--report" in more:
        page = (tmp_path / "out" / "failed.html").read_text()
        assert "3 of 4 recordings" in done.stdout and "broken.wav" in page and "<h1>Archive: in</h1>" in page
