# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of tracks: every track is drawn where its messages say."""

import numpy as np
import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.display.run_picture import save_plot
from gnuradio.spectrumencoder.display.track_picture import draw_emissions, draw_map
from gnuradio.spectrumencoder.display.waterfall import Waterfall
from gnuradio.spectrumencoder.tracker.doma import DomaTracker

T0 = 1.7e9


@pytest.fixture
def messages():
    """One target that jumps, one that does not, and one emission."""
    tracker, out = DomaTracker(), []
    for t in range(40):
        for name, north in (("a", 0.0), ("b", 50e3 if t >= 20 else 5e3)):
            tracker.report({keys.TIMESTAMP: T0 + t, keys.POSITION_M: [200.0 * t, north], keys.IDENTITY: name})
        tracker.report({keys.TIMESTAMP: T0 + t, keys.FREQ_CENTER_HZ: 433.9e6 + 100.0 * t, keys.BANDWIDTH_HZ: 5e3})
        out += tracker.messages()
    return out


@pytest.fixture
def axes():
    from matplotlib.figure import Figure
    return Figure().subplots()


def test_a_map_has_paths_predictions_and_what_is_impossible(axes, messages):
    assert draw_map(axes, messages) == 2
    paths = {line.get_label(): line.get_xydata() for line in axes.lines if line.get_linestyle() == "-"}
    assert paths["a"][-1] == pytest.approx([7.6, 0.0], abs=0.3)
    assert len(axes.patches) == 2 * 4
    assert [line.get_marker() for line in axes.lines].count("x") == 1


def test_emissions_are_lines_over_time_and_their_predictions_go_on(axes, messages):
    assert draw_emissions(axes, messages, T0) == 1
    middle, ahead = (line.get_xydata() for line in axes.lines)
    assert middle[-1] == pytest.approx([433.9039, 39.0], abs=2e-3)
    assert ahead[-1] == pytest.approx([433.9069, 69.0], abs=2e-3)


def test_a_run_is_drawn_with_its_tracks(tmp_path, messages):
    waterfall = Waterfall(100)
    waterfall.begin(0, 100_000, 433.9e6, 1e5)
    waterfall.add(np.zeros((50, 64), np.float32), np.zeros((50, 64), np.float32))
    event = {keys.TIMESTAMP: T0, keys.SAMPLE_START: 0, keys.SAMPLE_COUNT: 1000, keys.FREQ_CENTER_HZ: 433.9e6,
             keys.BANDWIDTH_HZ: 1e3, keys.THREAT_LEVEL: "low"}
    pictures = []
    for tracks in ([], messages):
        save_plot(tmp_path / "run.png", waterfall, [event], "run", tracks)
        pictures.append((tmp_path / "run.png").read_bytes())
    assert pictures[0] != pictures[1]
