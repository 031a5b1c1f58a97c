# SPDX-License-Identifier: GPL-3.0-or-later
"""The IMM against a Kalman filter written out, its consistency on what it models, and banks against filters of one."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.tracker.filters import make_filter
from gnuradio.spectrumencoder.tracker.imm import Imm, ImmState
from gnuradio.spectrumencoder.tracker.motion_models import MotionModel
from gnuradio.spectrumencoder.tracker.settings import SpatialSettings

SIGMA_M = 50.0


def kalman(times, positions, q, sigma, start_speed):
    """Constant velocity on one axis, textbook form: filtered position and its variance."""
    x, p = np.array([positions[0], 0.0]), np.diag([sigma**2, start_speed**2])
    for dt, z in zip(np.diff(times), positions[1:], strict=True):
        f = np.array([[1, dt], [0, 1]])
        p = f @ p @ f.T + q * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        x = f @ x
        gain = p[:, 0] / (p[0, 0] + sigma**2)
        x, p = x + gain * (z - x[0]), p - np.outer(gain, p[0])
    return x, p


def test_one_constant_velocity_model_is_the_kalman_filter():
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.2, 4.0, 40))
    positions = 100.0 * times + rng.normal(0, SIGMA_M, 40)
    imm = Imm((MotionModel("cv", noise=2.0),), 1, start_speed_mps=80.0)
    bank = imm.start(positions[:1, None], np.full((1, 1, 1), SIGMA_M**2))
    for dt, z in zip(np.diff(times), positions[1:], strict=True):
        bank, _ = imm.update(imm.predict(bank, np.array([dt])), np.array([[z]]), np.full((1, 1, 1), SIGMA_M**2))
    mean, covariance = imm.combined(bank)
    x, p = kalman(times, positions, 2.0, SIGMA_M, 80.0)
    np.testing.assert_allclose(mean[0, :2], x, rtol=1e-9)
    np.testing.assert_allclose(covariance[0, :2, :2], p, rtol=1e-8)


@pytest.mark.parametrize("model", [MotionModel("cv", noise=2.0), MotionModel("ca", acceleration_mps2=1.0, fade_s=8.0)],
                         ids=lambda m: m.kind)
def test_steps_of_any_length_add_up(model):
    """F(a) F(b) = F(a + b), and so for the noise, of position and velocity."""
    a, b = np.array([1.3]), np.array([4.1])
    turn = np.zeros(1)
    (fa, qa), (fb, qb), (f, q) = (model.transition(dt, turn) for dt in (a, b, a + b))
    if model.kind == "cv":  # its acceleration is a draw, not a memory
        fa, qa, fb, qb, f, q = (m[:, :2, :2] for m in (fa, qa, fb, qb, f, q))
    np.testing.assert_allclose(fb @ fa, f, rtol=1e-12)
    np.testing.assert_allclose(fb @ qa @ np.swapaxes(fb, 1, 2) + qb, q, rtol=1e-6)


def test_the_coordinated_turn_goes_round():
    """A quarter of a circle of 1000 m at 50 m/s, without noise."""
    model = MotionModel("ct")
    turn = np.array([0.05])
    f, _ = model.transition(np.array([np.pi / 2 / 0.05]), turn)
    state = np.array([[0.0, 0.0], [50.0, 0.0], [0.0, 2.5]])  # position, velocity, acceleration: to the left
    moved = f[0] @ state
    np.testing.assert_allclose(moved, [[1000.0, 1000.0], [0.0, 50.0], [-2.5, 0.0]], atol=1e-9)


def test_errors_match_the_covariance_on_what_is_modelled():
    """NEES per dimension of 400 targets with white acceleration of the model's density, filtered and 10 s ahead."""
    rng = np.random.default_rng(1)
    n, q = 400, 1.0
    imm = Imm((MotionModel("cv", noise=q),), 2, start_speed_mps=100.0)
    position, velocity = rng.normal(0, SIGMA_M, (n, 2)) * 0, rng.normal(0, 100.0, (n, 2))
    noise = np.tile(np.eye(2) * SIGMA_M**2, (n, 1, 1))
    root = np.linalg.cholesky(q * np.array([[1 / 3, 1 / 2], [1 / 2, 1]]))
    bank = imm.start(position + rng.normal(0, SIGMA_M, (n, 2)), noise)
    for _ in range(40):
        kick = rng.normal(size=(n, 2, 2)) @ root.T  # (n, axis, [position, velocity])
        position, velocity = position + velocity + kick[..., 0], velocity + kick[..., 1]
        bank, innovation = imm.update(imm.predict(bank, np.ones(n)), position + rng.normal(0, SIGMA_M, (n, 2)), noise)
    mean, covariance = imm.combined(bank)
    off = mean[:, :4] - np.hstack([position, velocity])
    nees = np.einsum("ni,nij,nj->n", off, np.linalg.inv(covariance[:, :4, :4]), off).mean() / 4
    assert 0.9 < nees < 1.1
    assert 0.85 < innovation.distance2.mean() / 2 < 1.15


def test_a_bank_is_many_filters_of_one():
    rng = np.random.default_rng(2)
    imm = SpatialSettings().horizontal_imm()
    z = rng.normal(0, 1000.0, (3, 12, 2)).cumsum(axis=1)
    noise = np.tile(np.eye(2) * 900.0, (3, 1, 1))
    banks = [imm.start(z[:, 0], noise), *(imm.start(z[k:k + 1, 0], noise[:1]) for k in range(3))]
    for step in range(1, 12):
        dt = rng.uniform(0.5, 20.0, 3)
        banks[0], _ = imm.update(imm.predict(banks[0], dt), z[:, step], noise)
        for k in range(3):
            banks[1 + k], _ = imm.update(imm.predict(banks[1 + k], dt[k:k + 1]), z[k:k + 1, step], noise[:1])
    for whole, parts in zip(banks[0], ImmState.join(banks[1:]), strict=True):
        np.testing.assert_allclose(whole, parts, rtol=1e-6, atol=1e-6)


def test_no_time_changes_nothing_and_probabilities_stay_one():
    imm = SpatialSettings().horizontal_imm()
    bank = imm.start(np.zeros((2, 2)), np.tile(np.eye(2), (2, 1, 1)))
    later = imm.predict(bank, np.array([0.0, 7.0]))
    for before, after in zip(bank, later, strict=True):
        np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_allclose(later.probability.sum(axis=1), 1.0)
    assert np.linalg.eigvalsh(later.covariance).min() > 0


def test_turns_are_followed_better_than_by_constant_velocity():
    """A target at 100 m/s that turns at 3 degrees a second: RMSE 10 s ahead against the best constant-velocity filter of five."""
    rng = np.random.default_rng(3)
    t = np.arange(120.0)
    angle = np.radians(3.0) * np.maximum(t - 20, 0)
    path = np.cumsum(100.0 * np.stack([np.sin(angle), np.cos(angle)], axis=1), axis=0)
    z = path + rng.normal(0, SIGMA_M, path.shape)

    def error(target):
        off = []
        for k in range(110):
            target.update(t[k], z[k], np.eye(2) * SIGMA_M**2)
            if k > 40:
                off.append(target.forecast(t[k] + 10).position_m - path[k + 10])
        return np.sqrt(np.mean(np.square(off)))

    plain = min(error(make_filter(2, SpatialSettings(horizontal=(MotionModel("cv", noise=q),)))) for q in (1, 3, 10, 30, 100))
    assert error(make_filter(2, SpatialSettings())) < 0.75 * plain


def test_height_may_be_filtered_apart_and_reports_must_not_be_older():
    target = make_filter(3, SpatialSettings())
    for k in range(30):
        target.update(float(k), np.array([100.0 * k, 0.0, 5.0 * k]), np.eye(3) * 100)
    estimate = target.state()
    np.testing.assert_allclose(estimate.velocity_mps, [100, 0, 5], atol=2)
    assert estimate.covariance.shape == (6, 6) and estimate.covariance[0, 2] == 0
    with pytest.raises(ValueError, match="older"):
        target.update(3.0, np.zeros(3), np.eye(3))


@pytest.mark.parametrize("arguments", [
    {"kind": "cq"}, {"kind": "cv", "noise": -1.0}, {"kind": "ca", "fade_s": 0.0}, {"kind": "ct", "leave_per_s": float("nan")}])
def test_models_out_of_range_say_so(arguments):
    with pytest.raises(ValueError, match=str(next(v for k, v in arguments.items() if k != "kind" or v == "cq"))):
        MotionModel(**arguments)
