# SPDX-License-Identifier: GPL-3.0-or-later
"""WGS 84 and back, and positions from bearings and times of arrival: unbiased, with an honest covariance, or refused."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.tracker.geo import SPEED_OF_LIGHT_MPS, BadGeometry, Heard, Origin, locate, to_geodetic, to_local

RECEIVERS = np.array([[0.0, 0.0], [10e3, 0.0], [0.0, 12e3], [-9e3, -4e3]])
EMITTER = np.array([6e3, 7e3])


def times(rng=None, receivers=RECEIVERS, sigma_s=30e-9, height=3000.0):
    return [Heard(r, toa_s=5.0 + np.hypot(np.linalg.norm(EMITTER - r), height) / SPEED_OF_LIGHT_MPS
                  + (rng.normal(0, sigma_s) if rng else 0.0), toa_error_s=sigma_s) for r in receivers]


def bearings(rng=None, receivers=RECEIVERS[:3], sigma_deg=1.0):
    return [Heard(r, azimuth_deg=np.degrees(np.arctan2(*(EMITTER - r))) + (rng.normal(0, sigma_deg) if rng else 0.0),
                  azimuth_error_deg=sigma_deg) for r in receivers]


def test_there_and_back():
    rng = np.random.default_rng(0)
    origin = Origin(47.4, 8.5, 400.0)
    place = rng.uniform([45.4, 6.5, 0], [49.4, 10.5, 12e3], (50, 3))
    local = to_local(*place.T, origin)
    np.testing.assert_allclose(np.array(to_geodetic(local, origin)).T, place, atol=1e-9)
    np.testing.assert_allclose(to_local(47.4, 8.5, 400.0, origin), 0, atol=1e-9)
    north = to_local(47.4 + 1e-4, 8.5, np.nan, origin)
    assert north[1] == pytest.approx(11.12, abs=0.01) and np.isnan(north[2])  # 111.2 km per degree here; no height given


def test_east_and_north_do_not_hang_on_height():
    origin = Origin(52.0, 4.0)
    low, high = to_local(53.0, 5.0, 0.0, origin), to_local(53.0, 5.0, 11e3, origin)
    np.testing.assert_array_equal(low[:2], high[:2])


@pytest.mark.parametrize(("measure", "height"), [(times, 3000.0), (bearings, 0.0)], ids=["times", "bearings"])
def test_errors_match_the_covariance(measure, height):
    rng = np.random.default_rng(1)
    nees = []
    for _ in range(120):
        solution = locate(measure(rng), height)
        off = solution.position_m - EMITTER
        nees.append(off @ np.linalg.solve(solution.covariance_m2, off) / 2)
    assert 0.75 < np.mean(nees) < 1.3  # four deviations of the mean
    assert 0 < solution.gdop < 10 and solution.receivers == len(measure())


def test_exact_measurements_give_the_place():
    np.testing.assert_allclose(locate(times(), 3000.0).position_m, EMITTER, atol=0.1)
    np.testing.assert_allclose(locate(bearings()).position_m, EMITTER, atol=0.1)
    np.testing.assert_allclose(locate(times()[:3] + bearings()[:1], 3000.0).position_m, EMITTER, atol=0.1)


def test_times_are_differences_with_their_common_covariance():
    """Weighted differences to the first receiver, whose errors share its own, solved apart."""
    heard = times(np.random.default_rng(2))
    solution = locate(heard, 3000.0)
    distance = np.array([np.hypot(np.linalg.norm(solution.position_m - r), 3000.0) for r in RECEIVERS])
    unit = (solution.position_m - RECEIVERS) / distance[:, None]
    jacobian = unit[1:] - unit[0]
    sigma = SPEED_OF_LIGHT_MPS * 30e-9
    weight = np.linalg.inv(sigma**2 * (np.eye(3) + 1))
    np.testing.assert_allclose(solution.covariance_m2, np.linalg.inv(jacobian.T @ weight @ jacobian), rtol=1e-6)


@pytest.mark.parametrize(("heard", "text"), [
    ([], "0 bearings"), (bearings()[:1], "1 bearings"), (times()[:2], "2 times"),
    ([Heard(np.array([0.0, 0.0]), azimuth_deg=0.0, azimuth_error_deg=1.0),
      Heard(np.array([0.0, 5e3]), azimuth_deg=0.0, azimuth_error_deg=1.0)], "cross|converge"),
    ([Heard(np.array([0.0, 0.0]), azimuth_deg=90.0, azimuth_error_deg=1.0),
      Heard(np.array([0.0, 50.0]), azimuth_deg=90.2, azimuth_error_deg=1.0)], "GDOP"),
    ([Heard(r, toa_s=float(k), toa_error_s=1e-8) for k, r in enumerate(RECEIVERS)], "contradict|converge"),
    ([Heard(r, azimuth_deg=10.0, azimuth_error_deg=e) for r, e in zip(RECEIVERS[:2], (0.0, 1.0), strict=True)], "error_deg 0"),
    ([Heard(np.array([0.0, 0.0]), azimuth_deg=270.0, azimuth_error_deg=1.0),
      Heard(np.array([0.0, 5e3]), azimuth_deg=315.0, azimuth_error_deg=1.0)], "converge"),  # the lines part: behind both
])
def test_bad_geometry_is_refused(heard, text):
    with pytest.raises(BadGeometry, match=text):
        locate(heard)


def test_an_origin_must_be_on_earth():
    with pytest.raises(ValueError, match="95"):
        Origin(95.0, 0.0)
