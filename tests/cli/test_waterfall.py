# SPDX-License-Identifier: GPL-3.0-or-later
"""What a picture is made of: bounded rows that lose no burst, and a picture that shows it."""

import numpy as np
import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.display.run_picture import save_plot
from gnuradio.spectrumencoder.display.waterfall import MAX_COLUMNS, Waterfall


def noise(n_frames, n_bins, seed=0):
    return np.random.default_rng(seed).normal(-90, 1, (n_frames, n_bins)).astype(np.float32)


@pytest.mark.parametrize("n_frames", [1, 7, 100, 1001])
def test_rows_stay_bounded_and_a_single_frame_burst_survives(n_frames):
    waterfall = Waterfall(max_rows=20)
    waterfall.begin(0, 100, 433e6, 1e6)
    psd, residual = noise(n_frames, 64), np.zeros((n_frames, 64), np.float32)
    burst = n_frames // 2
    psd[burst, 17], residual[burst, 17] = -20, 30
    for start in range(0, n_frames, 9):
        waterfall.add(psd[start:start + 9], residual[start:start + 9])
        assert sum(len(s.psd) for s in waterfall.segments) <= 40
    (segment,) = waterfall.rows()
    assert len(segment.psd) <= 20
    assert segment.start_sample == 0 and n_frames * 100 <= segment.stop_sample < n_frames * 100 + segment.row_samples
    row = burst * 100 // segment.row_samples
    assert segment.psd[row][17] == -20 and segment.residual[row][17] == 30


def test_a_retune_starts_a_segment_at_its_own_frequency():
    waterfall = Waterfall(max_rows=10)
    for start, center in ((0, 100e6), (1000, 200e6)):
        waterfall.begin(start, 100, center, 1e6)
        waterfall.add(noise(3, 32), noise(3, 32))
    first, second = waterfall.rows()
    assert (first.center_hz, second.center_hz) == (100e6, 200e6)
    assert (first.start_sample, second.start_sample) == (0, 1000)


def test_many_bins_shrink_to_what_a_picture_shows():
    waterfall = Waterfall(max_rows=10)
    waterfall.begin(0, 100, 0.0, 1e6)
    psd = noise(1, 65536)
    psd[0, 12345] = -10
    waterfall.add(psd, psd)
    row = waterfall.rows()[0].psd[0]
    assert len(row) <= MAX_COLUMNS and 65536 % len(row) == 0
    assert row[12345 * len(row) // 65536] == -10


def test_the_picture_shows_the_box_of_an_event(tmp_path):
    from matplotlib.image import imread

    waterfall = Waterfall()
    waterfall.begin(0, 16384, 433.92e6, 1e6)
    waterfall.add(noise(50, 1024), noise(50, 1024) + 90)
    event = {keys.EVENT_ID: "1", keys.FREQ_CENTER_HZ: 434.1e6, keys.BANDWIDTH_HZ: 20e3, keys.SAMPLE_START: 20 * 16384,
             keys.SAMPLE_COUNT: 10 * 16384, keys.P_VALUE: 1e-3, keys.SNR_DB: 12.0, keys.THREAT_LEVEL: "high"}
    save_plot(tmp_path / "with.png", waterfall, [event], "with")
    save_plot(tmp_path / "without.png", waterfall, [], "with")
    changed = np.any(imread(tmp_path / "with.png") != imread(tmp_path / "without.png"), axis=2)
    assert changed.any()
    rows, columns = np.nonzero(changed)
    # in the left panel the event lies right of the middle, in the middle of the height; the label is just above it
    assert 0.30 < rows.mean() / changed.shape[0] < 0.65
    assert sorted(tmp_path.iterdir()) == [tmp_path / "with.png", tmp_path / "without.png"]


def test_nothing_to_plot_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="no frame"):
        save_plot(tmp_path / "p.png", Waterfall(), [], "t")


def test_alerts_have_a_box_for_each_transmission_and_a_label_for_each_alert(tmp_path, monkeypatch):
    """Alerts of emitters lack a p-value: anomalies come first, the strongest before others."""
    from gnuradio.spectrumencoder.display import run_picture
    from matplotlib.axes import Axes

    waterfall = Waterfall()
    waterfall.begin(0, 16384, 433.92e6, 1e6)
    waterfall.add(noise(50, 1024), noise(50, 1024) + 90)
    row = {keys.FREQ_CENTER_HZ: 434.1e6, keys.BANDWIDTH_HZ: 20e3, keys.SAMPLE_COUNT: 16384, keys.IS_ANOMALY: True}
    events = [row | {keys.EVENT_ID: "0", keys.SAMPLE_START: 0, keys.ALERT: "receiver", keys.IS_ANOMALY: False,
                     keys.ANOMALY_SCORE: 9.0}]
    events += [row | {keys.EVENT_ID: "1", keys.SAMPLE_START: 4 * k * 16384, keys.ALERT: "new", keys.ANOMALY_SCORE: 2.0 + k}
               for k in range(6)]
    events += [row | {keys.EVENT_ID: "2", keys.SAMPLE_START: 40 * 16384, keys.SAMPLE_COUNT: 0, keys.ALERT: "gone",
                      keys.ANOMALY_SCORE: 1.0}]
    said, boxes = [], []
    annotate, add_patch = Axes.annotate, Axes.add_patch
    monkeypatch.setattr(Axes, "annotate", lambda self, text, *a, **k: (said.append(text), annotate(self, text, *a, **k))[1])
    monkeypatch.setattr(Axes, "add_patch", lambda self, patch: (boxes.append(patch), add_patch(self, patch))[1])
    monkeypatch.setattr(run_picture, "MAX_LABELS", 2)
    save_plot(tmp_path / "run.png", waterfall, events, "run")
    assert [text.split(":")[0] for text in said] == ["new", "gone"] and all("434.1000 MHz" in text for text in said)
    assert len(boxes) == 2 * 2 * 8  # in two panels, each box twice: dark under bright
    assert min(box.get_height() for box in boxes) > 0.0
