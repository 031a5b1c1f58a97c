# SPDX-License-Identifier: GPL-3.0-or-later
"""A field shared by a group carries a member that has fallen silent; where it has nothing to say it does no harm."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.tracker.fix import Fix
from gnuradio.spectrumencoder.tracker.group_field import intersect
from gnuradio.spectrumencoder.tracker.settings import SpatialSettings
from gnuradio.spectrumencoder.tracker.spatial import SpatialTracker

SIGMA_M = 50.0


def formation(t):
    """Five aircraft half a kilometre apart that turn together at 1.5 degrees a second from t = 60 s on, (5, 2)."""
    angle = np.radians(1.5) * np.maximum(t - 60.0, 0.0)
    straight, radius = 150.0 * min(t, 60.0), 150.0 / np.radians(1.5)
    lead = np.array([straight + radius * np.sin(angle), radius * (1 - np.cos(angle))])
    return lead + 500.0 * np.array([[0, 0], [0, 1], [0, -1], [-1, 0.5], [-1, -0.5]])


def strangers(t):
    """As many, as near at first, that part when one falls silent."""
    places = formation(min(t, 60.0)).copy()
    if t > 60:
        angle = 2 * np.pi * np.arange(5) / 5
        places += 100.0 * (t - 60.0) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return places


def silent_errors(paths, radius_m, seeds=3):
    """Squared errors of the last target, and NEES, 5 to 40 s after it was last heard, at 65 s."""
    squared, nees = [], []
    for seed in range(seeds):
        rng, tracker = np.random.default_rng(seed), SpatialTracker(SpatialSettings(group_radius_m=radius_m))
        for t in range(106):
            heard = [k for k in range(5) if k != 4 or t <= 65]
            tracker.scan(float(t), [Fix(float(t), paths(t)[k] + rng.normal(0, SIGMA_M, 2), np.eye(2) * SIGMA_M**2, str(k))
                                    for k in heard])
            if t >= 70:
                estimate = next(track.estimate for track in tracker.tracks() if track.identity == "4")
                off = estimate.position_m - paths(t)[4]
                squared.append(off @ off)
                nees.append(off @ np.linalg.solve(estimate.position_covariance_m2, off) / 2)
    return float(np.sqrt(np.mean(squared))), float(np.mean(nees))


def test_a_silent_member_is_carried_through_a_turn():
    alone, _ = silent_errors(formation, 0.0)
    carried, nees = silent_errors(formation, 2000.0)
    assert carried < 0.5 * alone
    assert nees < 1.5


def test_members_that_part_are_no_group():
    alone, _ = silent_errors(strangers, 0.0, seeds=2)
    carried, _ = silent_errors(strangers, 2000.0, seeds=2)
    assert carried < 1.1 * alone


def test_intersection_is_never_surer_than_the_surer_one():
    one, other = np.diag([1.0, 9.0, 1.0, 1.0]), np.diag([9.0, 1.0, 1.0, 1.0])
    mean, joined = intersect(np.zeros(4), one, np.ones(4), other)
    assert joined[0, 0] + joined[1, 1] < 10 and joined[0, 0] >= 1 and joined[1, 1] >= 1
    same, _ = intersect(np.zeros(4), one, np.ones(4), one * 100)
    np.testing.assert_allclose(same, 0, atol=1e-12)
    assert mean == pytest.approx(np.array([0.1, 0.9, 0.5, 0.5]), abs=0.05)
