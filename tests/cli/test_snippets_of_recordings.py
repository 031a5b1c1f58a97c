# SPDX-License-Identifier: GPL-3.0-or-later
"""`run RECORDING --snippets`: the samples around each event, cut out of the recording."""

import json

import numpy as np
from gnuradio.spectrumencoder.recordings import find_recordings, open_recording


def test_the_samples_are_those_of_the_recording(call, demo_scene, tmp_path):
    done = call("run", demo_scene, "--learn", 0.2, "--events", tmp_path / "e.jsonl", "--snippets", tmp_path / "cut")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    opened = {event["event_id"] for event in events if event["state"] == "open" and event["alert"] != "gone"}
    paths = find_recordings(tmp_path / "cut")
    assert len(paths) == len(opened) > 0
    scene = open_recording(demo_scene)
    for path in paths:
        snippet = open_recording(path)
        (event,) = [e for e in events if e["event_id"] in path.name and e["state"] == "close"]
        (note,) = snippet.annotations
        start = event["sample_start"] - note.sample_start
        assert note.sample_start == min(event["sample_start"], 100_000) and snippet.frequency_hz == scene.frequency_hz
        assert snippet.n_samples == min(event["sample_count"] + 200_000, scene.n_samples - start)
        np.testing.assert_array_equal(snippet.read(), scene.read(start, snippet.n_samples))


def test_the_folder_cannot_be_made_and_jobs(call, the_line, demo_scene, tmp_path):
    (tmp_path / "file").write_text("x")
    done = call("run", demo_scene, "--learn", 0.2, "--quiet", "--snippets", tmp_path / "file" / "cut")
    assert "name a folder that can be made" in the_line(done, 1)
