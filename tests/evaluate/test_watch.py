# SPDX-License-Identifier: GPL-3.0-or-later
"""A short watch of a simulated scene: what calibrates, what is counted, and the page."""

import json

import numpy as np
import pytest
from gnuradio.spectrumencoder.cli.main import main
from gnuradio.spectrumencoder.evaluate.anomaly import false_events as experiment
from gnuradio.spectrumencoder.evaluate.anomaly.windows import draw_scene
from gnuradio.spectrumencoder.simulate.anomalies import SCORED_KINDS

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def result(model_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("watch")
    code = main(["evaluate", "watch", "--model", str(model_file), "--scenes", "1", "--hours", "0.001", "--calibration", "5",
                 "--calibration", "6", "--per-kind", "1", "--json", str(folder / "w.json"), "--markdown", str(folder / "w.md")])
    assert code == 0
    return json.loads((folder / "w.json").read_text()), (folder / "w.md").read_text()


def test_both_calibrations_watch_the_same_anomalies(result):
    rows = result[0]["by_calibration"]
    assert set(rows) == {"5", "6"}
    for row in rows.values():
        assert 5 <= row["n_anomalies"] <= len(SCORED_KINDS) and set(row["event_pd_per_type"]) <= set(SCORED_KINDS)
        assert row["false_events"] == len(row["events"])
        rate = row["false_events_per_hour"]
        assert rate["low"] <= rate["mean"] == row["false_events"] / 0.001 <= rate["high"]
    assert rows["5"]["n_anomalies"] == rows["6"]["n_anomalies"]
    assert max(row["event_pd"] for row in rows.values()) > 0.3  # most anomalies of 0 to 20 dB open an event


def test_no_false_event_leaves_an_upper_limit():
    row = experiment._figures([experiment._Watcher(None)], 2.0)
    assert row["false_events_per_hour"]["mean"] == 0
    assert row["false_events_per_hour"]["high"] == pytest.approx(3.689 / 2, abs=0.001)  # -ln(0.025) / 2 h


def test_page_states_every_calibration(result):
    assert "| 5 s |" in result[1] and "| 6 s |" in result[1] and "evaluate watch" in result[1]


def test_a_scene_reads_as_a_recording_of_its_first_seconds():
    scene = draw_scene(0)
    recording = experiment.SceneRecording(scene, 0.01)
    assert recording.n_samples == 24_000 and len(recording.read()) == 24_000
    assert np.array_equal(recording.read(1000, 50_000), scene.render(1000, 23_000))
