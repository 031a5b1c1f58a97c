# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings whose centre frequency nobody states, in part or at all: no result claims an absolute frequency."""

import json
import re

import numpy as np
import pytest

RATE, FREQ, FRAME = 2.4e6, 433.92e6, 16384


@pytest.fixture(scope="module")
def iq(noise):
    """160 frames of noise with a tone of -30 dBFS, 300 kHz below the middle, from frame 110 to 140."""
    t = np.arange(160 * FRAME)
    tone = 10 ** -1.5 * np.exp(-2j * np.pi * 300e3 / RATE * t) * ((t >= 110 * FRAME) & (t < 140 * FRAME))
    return (noise(160 * FRAME) + tone).astype(np.complex64)


@pytest.fixture
def results(call, write_sigmf, iq, tmp_path):
    """Runs the recording with these captures; the process, its events, annotations and tracks."""
    def run(captures, *options):
        path = write_sigmf(tmp_path, "x", iq, samp_rate=RATE, captures=captures)
        done = call("run", path, "--events", tmp_path / "e.jsonl", "--annotate", "--tracks", tmp_path / "t.jsonl", *options,
                    env={"COLUMNS": "300"})
        assert done.returncode == 0, done.stderr
        rows = [[json.loads(line) for line in (tmp_path / name).read_text().splitlines()] for name in ("e.jsonl", "t.jsonl")]
        return done, rows[0], json.loads((tmp_path / "x-events.sigmf-meta").read_text())["annotations"], rows[1]
    return run


@pytest.mark.parametrize("detector", ["emitters", "boxes"])
def test_without_a_frequency_everything_is_relative(results, detector):
    boxes = ("--detector", "boxes", "--false-events", 100_000, "--pfa", 0.05) if detector == "boxes" else ()
    done, events, notes, tracks = results([{"core:sample_start": 0}], *boxes)
    assert "the centre frequency is not known" in done.stderr and "--freq HZ states it" in done.stderr
    events = [e for e in events if e.get("alert") != "receiver"]
    assert events and all(e["freq_relative"] is True and abs(e["freq_center_hz"]) < RATE / 2 for e in events)
    assert any(abs(e["freq_center_hz"] + 300e3) < 5e3 for e in events)
    assert all(e["band"] == "unknown" for e in events if "band" in e)
    assert notes and all("count from the centre, which is not known" in note["core:comment"] for note in notes)
    assert tracks and all(track["freq_relative"] is True for track in tracks)
    if detector == "emitters":
        assert re.search(r"new  -[23]\d\d\.\d kHz from the centre", done.stdout), done.stdout
    assert "MHz" not in done.stdout


def test_stated_it_is_absolute(results):
    done, events, notes, tracks = results([{"core:sample_start": 0}], "--freq", "433.92M")
    assert events and all("freq_relative" not in row for row in events + tracks)
    assert all(abs(e["freq_center_hz"] - 433.62e6) < 5e3 for e in events if e["alert"] == "new")
    assert "433.6200 MHz" in done.stdout and not any("not known" in note["core:comment"] for note in notes)
    assert "not known" not in done.stderr


@pytest.mark.parametrize("first", [True, False])
def test_known_in_part(results, first):
    """The tone lies in the second capture, which states its frequency or does not."""
    known, unknown = {"core:frequency": FREQ}, {}
    captures = [{"core:sample_start": at} | stated for at, stated in
                zip((0, 60 * FRAME + 77), (known, unknown) if first else (unknown, known), strict=True)]
    done, events, _, _ = results(captures, "--learn", 0.001)
    assert "1 of 2 captures state no centre frequency" in done.stderr
    found = [e for e in events if e["alert"] == "new" and e["power_dbfs"] > -40]
    assert found
    for event in found:
        assert event.get("freq_relative", False) is first
        assert abs(event["freq_center_hz"] - (0 if first else FREQ) + 300e3) < 5e3
