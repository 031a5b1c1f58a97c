# SPDX-License-Identifier: GPL-3.0-or-later
"""The floor track against a plain loop, its rate limit, its places."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.detector.floor_track import FloorTrack


def naive_track(floors, frame_s, drift):
    track, result = floors[0], []
    for n, floor in enumerate(floors, start=1):
        result.append((floor - track) * np.sqrt((n - 1) / n))
        step = max(drift * frame_s, 1.0 / n)
        track += np.clip(floor - track, -step, step)
    return result


def test_floor_track_equals_plain_loop_in_any_batches():
    floors = np.random.default_rng(3).normal(-90, 1, 500).astype(np.float32)
    whole = FloorTrack(0.5).deviations(floors, 0.01)
    np.testing.assert_allclose(whole, naive_track(floors.astype(float), 0.01, 0.5), atol=1e-5)
    track = FloorTrack(0.5)
    np.testing.assert_array_equal(np.concatenate([track.deviations(floors[i:i + 7], 0.01) for i in range(0, 500, 7)]), whole)


def test_floor_track_follows_drift_and_shows_a_barrage():
    frame_s, count = 0.016, 20_000
    rng = np.random.default_rng(4)
    drift = 0.02 * frame_s * np.arange(count)  # 0.02 dB/s: 6.4 dB over the run
    floors = -90 + drift + rng.normal(0, 0.05, count)
    floors[10_000:10_500] += 10  # 8 s
    deviation = FloorTrack().deviations(floors, frame_s)
    assert np.abs(deviation[1000:10_000]).max() < 0.5
    assert deviation[10_000:10_500].min() > 9
    assert np.abs(deviation[10_500:]).max() < 1.0


def test_floor_track_remembers_each_place():
    track = FloorTrack()
    track.deviations(np.full(100, -90.0), 0.01, "a")
    assert track.deviations(np.full(5, -60.0), 0.01, "b").max() < 1e-6
    assert track.deviations(np.array([-80.0]), 0.01, "a")[0] == pytest.approx(10.0, abs=0.1)


def test_floor_track_forgets_the_place_unseen_for_longest():
    track = FloorTrack()
    for place in range(track.PLACES + 1):
        track.deviations(np.array([-90.0]), 0.01, place)
    assert track.deviations(np.array([-80.0]), 0.01, 0)[0] == 0.0
    assert track.deviations(np.array([-80.0]), 0.01, 5)[0] == pytest.approx(10 / np.sqrt(2), abs=0.1)


def test_floor_track_refuses_a_negative_drift():
    with pytest.raises(ValueError, match="drift_db_per_s -1"):
        FloorTrack(-1)
