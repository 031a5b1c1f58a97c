# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores against plain loops, and the floor track's rate limit."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.detector import scores


def naive_maxima(row):
    values = []
    for sign, scale in scores.WINDOWS.values():
        values.append(max(sign * sum(map(float, row[i:i + scale])) / scale**0.5 for i in range(len(row) - scale + 1)))
    return values


def test_residual_maxima_equal_plain_loops():
    residual = np.random.default_rng(0).standard_normal((7, 200)).astype(np.float32)
    np.testing.assert_allclose(scores.residual_maxima(residual), [naive_maxima(row) for row in residual], rtol=1e-5)


def test_residual_maxima_of_fewer_bins_than_the_largest_scale():
    residual = np.random.default_rng(0).standard_normal((3, 32)).astype(np.float32)
    values = scores.residual_maxima(residual)
    np.testing.assert_allclose(values[:, 3], residual.sum(axis=1) / np.sqrt(32), rtol=1e-5)


@pytest.mark.parametrize("n_bins", [1, 7, 32, 1024])
def test_compiled_maxima_give_the_bits_of_numpy(n_bins):
    residual = np.random.default_rng(3).standard_normal((9, n_bins)).astype(np.float32)
    assert np.array_equal(scores.residual_maxima(residual), scores.residual_maxima_numpy(residual))


@pytest.mark.parametrize("frames", [1, 3, 4, 11])
def test_the_largest_channel_is_that_of_numpy(frames, monkeypatch):
    rng = np.random.default_rng(5)
    values = rng.standard_normal((frames, 12)).astype(np.float32)
    columns = np.array([0, 3, 4, 11], np.uint32)
    median, spread = rng.standard_normal(4).astype(np.float32), rng.uniform(0.1, 2, 4).astype(np.float32)
    values[0, 1] = np.nan  # nobody looks at it
    compiled = scores.largest_standardised(values, columns, median, spread)
    assert np.isfinite(compiled).all()
    values[-1, 4] = np.nan
    broken = scores.largest_standardised(values, columns, median, spread)
    assert np.isnan(broken[-1]) and np.array_equal(broken[:-1], compiled[:-1])
    monkeypatch.setattr(scores, "optional_native_module", lambda: None)
    assert np.array_equal(broken, scores.largest_standardised(values, columns, median, spread), equal_nan=True)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_maxima_of_what_is_not_finite_are_not(wrong):
    residual = np.zeros((3, 64), np.float32)
    residual[1, 20] = wrong
    finite = np.isfinite(scores.residual_maxima(residual))
    assert finite[[0, 2]].all() and not finite[1].all()


@pytest.mark.parametrize("batch", [1, 3, 257])
def test_maxima_do_not_depend_on_batches(batch):
    residual = np.random.default_rng(1).standard_normal((600, 1024)).astype(np.float32)
    parts = [scores.residual_maxima(residual[i:i + batch]) for i in range(0, 600, batch)]
    np.testing.assert_array_equal(np.concatenate(parts), scores.residual_maxima(residual))


def test_each_scale_sees_the_width_it_is_made_for():
    rng = np.random.default_rng(2)
    normal = scores.residual_maxima(rng.standard_normal((2000, 1024)).astype(np.float32))
    median, spread = np.median(normal, axis=0), np.quantile(normal, 0.99, axis=0) - np.median(normal, axis=0)
    for column, scale in enumerate(scores.SCALES):
        residual = rng.standard_normal((200, 1024)).astype(np.float32)
        residual[:, 500:500 + scale] += 8 / np.sqrt(scale)
        standard = (scores.residual_maxima(residual) - median) / spread
        assert np.argmax(standard.mean(axis=0)) == column


def test_mean_square():
    residual = np.array([[1.0, -2.0, 2.0], [0.0, 0.0, 3.0]], np.float32)
    np.testing.assert_allclose(scores.mean_square(residual), [3.0, 3.0])


def naive_track(floors, frame_s, drift):
    track, result = floors[0], []
    for n, floor in enumerate(floors, start=1):
        result.append((floor - track) * np.sqrt((n - 1) / n))
        step = max(drift * frame_s, 1.0 / n)
        track += np.clip(floor - track, -step, step)
    return result


def test_floor_track_equals_plain_loop_in_any_batches():
    floors = np.random.default_rng(3).normal(-90, 1, 500).astype(np.float32)
    whole = scores.FloorTrack(0.5).deviations(floors, 0.01)
    np.testing.assert_allclose(whole, naive_track(floors.astype(float), 0.01, 0.5), atol=1e-5)
    track = scores.FloorTrack(0.5)
    np.testing.assert_array_equal(np.concatenate([track.deviations(floors[i:i + 7], 0.01) for i in range(0, 500, 7)]), whole)


def test_floor_track_follows_drift_and_shows_a_barrage():
    frame_s, count = 0.016, 20_000
    rng = np.random.default_rng(4)
    drift = 0.02 * frame_s * np.arange(count)  # 0.02 dB/s: 6.4 dB over the run
    floors = -90 + drift + rng.normal(0, 0.05, count)
    floors[10_000:10_500] += 10  # 8 s
    deviation = scores.FloorTrack().deviations(floors, frame_s)
    assert np.abs(deviation[1000:10_000]).max() < 0.5
    assert deviation[10_000:10_500].min() > 9
    assert np.abs(deviation[10_500:]).max() < 1.0


def test_floor_track_remembers_each_place():
    track = scores.FloorTrack()
    track.deviations(np.full(100, -90.0), 0.01, "a")
    assert track.deviations(np.full(5, -60.0), 0.01, "b").max() < 1e-6
    assert track.deviations(np.array([-80.0]), 0.01, "a")[0] == pytest.approx(10.0, abs=0.1)


def test_floor_track_forgets_the_place_unseen_for_longest():
    track = scores.FloorTrack()
    for place in range(track.PLACES + 1):
        track.deviations(np.array([-90.0]), 0.01, place)
    assert track.deviations(np.array([-80.0]), 0.01, 0)[0] == 0.0
    assert track.deviations(np.array([-80.0]), 0.01, 5)[0] == pytest.approx(10 / np.sqrt(2), abs=0.1)


def test_floor_track_refuses_a_negative_drift():
    with pytest.raises(ValueError, match="drift_db_per_s -1"):
        scores.FloorTrack(-1)
