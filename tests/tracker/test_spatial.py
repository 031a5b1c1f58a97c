# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixes become tracks: association in clutter, births, deaths, weak fixes, reports out of order, impossible motion."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.tracker.associate import gate_distance2, pair
from gnuradio.spectrumencoder.tracker.fix import Fix
from gnuradio.spectrumencoder.tracker.settings import SpatialSettings
from gnuradio.spectrumencoder.tracker.spatial import SpatialTracker
from scipy.stats import chi2

SIGMA_M = 50.0


def fix(time_s, position, identity=None, sigma=SIGMA_M, **others):
    position = np.asarray(position, float)
    return Fix(float(time_s), position, np.eye(len(position)) * sigma**2, identity, **others)


def straight(n=1, seed=0):
    """Positions (time) -> (n, 2) of targets that fly straight."""
    rng = np.random.default_rng(seed)
    start, velocity = rng.uniform(-5e4, 5e4, (n, 2)), rng.normal(0, 120.0, (n, 2))
    return lambda t: start + velocity * t


def test_pairs_are_the_cheapest_of_all():
    rng = np.random.default_rng(0)
    for _ in range(20):
        cost = rng.normal(0, 5, (4, 4))
        cost[rng.random((4, 4)) < 0.3] = np.inf
        pairs = pair(cost)
        assert len({r for r, _ in pairs}) == len({c for _, c in pairs}) == len(pairs)
        found = sum(cost[r, c] for r, c in pairs)
        assert found == pytest.approx(least(np.minimum(cost, 1.0), 0))


def least(cost, row):
    """Least total by trying everything; staying alone costs nothing."""
    if row == len(cost):
        return 0.0
    best = least(cost, row + 1)
    for column in np.flatnonzero(np.isfinite(cost[row])):
        rest = cost.copy()
        rest[:, column] = np.inf
        best = min(best, cost[row, column] + least(rest, row + 1))
    return best


@pytest.mark.parametrize(("scans", "left"), [(0, 1), (3, 0)])
def test_a_track_ends_after_scans_without_a_report_where_that_is_set(scans, left):
    tracker = SpatialTracker(SpatialSettings(death_scans=scans))
    for t in range(5):
        tracker.scan(t, [fix(t, (100.0 * t, 0.0))])
    for t in range(5, 7):
        tracker.scan(t, [])
    assert len(tracker.tracks()) == 1
    tracker.scan(7, [])
    assert len(tracker.tracks()) == left
    with pytest.raises(ValueError, match="death_scans -1"):
        SpatialSettings(death_scans=-1)


def test_twenty_targets_in_clutter_with_missed_detections():
    rng = np.random.default_rng(1)
    path, tracker = straight(20, seed=1), SpatialTracker(SpatialSettings(false_density=1e-9))
    switches, last = 0, {}
    for t in range(40):
        seen = rng.random(20) < 0.9
        fixes = [fix(t, p + rng.normal(0, SIGMA_M, 2)) for p, s in zip(path(t), seen, strict=True) if s]
        fixes += [fix(t, p) for p in rng.uniform(-6e4, 6e4, (5, 2))]
        tracker.scan(t, [fixes[k] for k in rng.permutation(len(fixes))])
        if t >= 10:
            tracks = tracker.tracks()
            places = np.array([track.estimate.position_m for track in tracks])
            distance = np.linalg.norm(places[:, None] - path(t)[None], axis=2)
            for target in range(20):
                nearest = int(distance[:, target].argmin())
                assert distance[nearest, target] < 500
                switches += last.get(target, tracks[nearest].id) != tracks[nearest].id
                last[target] = tracks[nearest].id
            assert len(tracks) <= 22
    assert switches == 0


def test_confirmation_takes_m_of_n_and_silence_ends_a_track():
    tracker, path = SpatialTracker(SpatialSettings(confirm_hits=3, confirm_scans=4)), straight()
    for t in range(2):
        tracker.scan(t, [fix(t, path(t)[0])])
        assert tracker.tracks() == []
    tracker.scan(2, [fix(2, path(2)[0])])
    (track,) = tracker.tracks()
    assert track.hits == 3 and track.state == "confirmed"
    tracker.scan(3, [fix(3, [9e5, 9e5])])  # a lone report elsewhere is tentative and ends
    for t in range(4, 8):
        tracker.scan(t, [fix(t, path(t)[0])])
    assert len(tracker) == 1
    for t in range(8, 90):
        tracker.scan(t, [])
    assert tracker.tracks() == [] and [t.id for t in tracker.take_ended()] == [track.id]


def test_weak_fixes_go_on_with_a_track_but_start_none():
    tracker, path = SpatialTracker(), straight()
    for t in range(10):
        tracker.scan(t, [fix(t, path(t)[0], weak=t > 4), fix(t, [4e5, 100.0 * t], weak=True)])
    (track,) = tracker.tracks()
    assert track.hits == 10 and tracker.counts["unused"] == 10


def test_identity_decides_where_two_cross():
    rng = np.random.default_rng(2)
    tracker = SpatialTracker()
    for t in range(60):
        one, two = [100.0 * t, 3000 - 100.0 * t], [100.0 * t, -3000 + 100.0 * t]
        tracker.scan(t, [fix(t, one + rng.normal(0, 50, 2), "a"), fix(t, two + rng.normal(0, 50, 2), "b")])
    states = {track.identity: track for track in tracker.tracks()}
    assert states["a"].hits == states["b"].hits == 60
    assert states["a"].estimate.velocity_mps[1] < -80 and states["b"].estimate.velocity_mps[1] > 80


def test_reports_out_of_order_give_what_those_in_order_do():
    rng = np.random.default_rng(3)
    fixes = [fix(t, np.array([200.0 * t, 0.1 * t * t, 1000 + t]) + rng.normal(0, 30, 3), "a") for t in range(60)]
    mixed = list(fixes)
    for k in range(10, 59, 7):
        mixed[k], mixed[k - 2] = mixed[k - 2], mixed[k]
    trackers = [SpatialTracker(), SpatialTracker(), SpatialTracker(SpatialSettings(reorder_s=0.0))]
    for tracker, order in zip(trackers, (fixes, mixed, mixed), strict=True):
        for one in order:
            tracker.scan(one.time_s, [one])
    ordered, reordered, dropped = (tracker.tracks()[0].estimate for tracker in trackers)
    np.testing.assert_allclose(reordered.position_m, ordered.position_m, atol=1e-6)
    np.testing.assert_allclose(reordered.covariance, ordered.covariance, atol=1e-6)
    assert trackers[2].counts["late"] > 5 and trackers[1].counts["late"] == 0
    assert not np.allclose(dropped.position_m, ordered.position_m, atol=1.0)


def test_height_may_be_missing_now_and_then():
    tracker = SpatialTracker()
    for t in range(30):
        place = [100.0 * t, 0.0, 1000.0 + 5 * t]
        tracker.scan(t, [fix(t, place if t % 3 == 0 else place[:2], "a")])
    (track,) = tracker.tracks()
    assert track.hits == 30 and track.estimate.dimensions == 3
    assert abs(track.estimate.position_m[2] - 1145) < 60
    flat = SpatialTracker()
    for t in range(5):
        flat.scan(t, [fix(t, [100.0 * t, 0.0], "a")])
    assert flat.tracks()[0].estimate.dimensions == 2


def test_a_target_that_goes_on_elsewhere_has_moved_impossibly():
    rng = np.random.default_rng(4)
    tracker = SpatialTracker()
    for t in range(60):
        away = [30e3, 0.0] if t >= 40 else [0.0, 0.0]
        tracker.scan(t, [fix(t, np.array([200.0 * t, 0.0]) + away + rng.normal(0, 50, 2), "a")])
        found = tracker.take_anomalies()
        assert bool(found) == (t == 42)
    (track,) = tracker.tracks()
    assert track.anomaly.kind == "jump" and track.anomaly.time_s == 40 and 29e3 < track.anomaly.distance_m < 31e3
    assert abs(track.estimate.position_m[0] - (200 * 59 + 30e3)) < 200


def test_a_lone_error_is_none_and_a_name_used_twice_makes_no_second_track():
    tracker = SpatialTracker()
    for t in range(60):
        tracker.scan(t, [fix(t, [200.0 * t, 0.0], "a")])
        if t % 5 == 4:
            tracker.scan(t + 0.5, [fix(t + 0.5, [3e5, 3e5], "a")])
    (track,) = tracker.tracks(tentative=True)
    assert track.anomaly is None and abs(track.estimate.position_m[0] - 200 * 59.5) < 100
    assert tracker.counts["impossible_motion"] == 1 and tracker.counts["duplicate_identity"] == 11


def test_the_same_report_twice_counts_once():
    tracker = SpatialTracker()
    for t in range(5):
        tracker.scan(t, [fix(t, [100.0 * t, 0.0], "a"), fix(t, [100.0 * t, 5.0], "a")])
        tracker.scan(t, [fix(t, [100.0 * t, 9.0], "a")])
    assert tracker.counts["duplicate"] == 10 and tracker.tracks()[0].hits == 5


def test_a_thousand_tracks_keep_their_identities():
    path, tracker = straight(1000, seed=5), SpatialTracker()
    for t in range(4):
        tracker.scan(t, [fix(t, p, str(k)) for k, p in enumerate(path(t))])
    tracks = tracker.tracks()
    assert len(tracks) == 1000
    off = [np.linalg.norm(track.estimate.position_m - path(3)[int(track.identity)]) for track in tracks]
    assert max(off) < 100
    ahead = tracker.forecasts((1.0, 10.0))
    assert all(np.trace(b.covariance) > np.trace(a.covariance) for a, b in ahead.values())


def test_ever_new_names_take_the_places_of_those_unheard_longest():
    tracker = SpatialTracker(SpatialSettings(max_tracks=50))
    for t in range(4):
        tracker.scan(t, [fix(t, (1000.0, 0.0), "steady")])
    for t in range(4, 300):
        tracker.scan(t / 10 + 4, [fix(t / 10 + 4, (1000.0, 0.0), "steady"),
                                  *(fix(t / 10 + 4, (2e4 + 1e3 * k, 1e3 * t), f"{t}-{k}") for k in range(5))])
    tracks = tracker.tracks()
    assert len(tracker._entries) == len(tracker._by_identity) == 50
    assert [track.identity for track in tracks if track.identity == "steady"] == ["steady"]
    with pytest.raises(ValueError, match="max_tracks 0"):
        SpatialSettings(max_tracks=0)


def test_times_must_be_finite():
    with pytest.raises(ValueError, match="nan"):
        SpatialTracker().scan(float("nan"), [])


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("probability", [0.5, 0.99, 0.9999])
def test_the_gate_is_a_quantile_of_chi_squared(probability, dimensions):
    assert gate_distance2(probability, dimensions) == pytest.approx(chi2.ppf(probability, dimensions), rel=1e-12)
