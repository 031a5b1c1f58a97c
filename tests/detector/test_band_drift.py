# SPDX-License-Identifier: GPL-3.0-or-later
"""Slow drift of tilt and ripple raises no alarms, what comes faster does; a calibration that no longer holds is noticed."""

import numpy as np
import pytest
from frames import SEGMENT, TUNING, N, detector, frames, put, run
from gnuradio.spectrumencoder.detector import band_drift, calibrate
from gnuradio.spectrumencoder.detector.band_drift import BLOCK_FRAMES, DRIFT_DB_PER_HOUR, WATCHED_FRAMES, BandDrift
from gnuradio.spectrumencoder.detector.band_statistics import BandStatistics
from gnuradio.spectrumencoder.encoder import features as layout
from scipy.interpolate import CubicSpline

SLOW = SEGMENT.__class__(**{**SEGMENT.__dict__, "frame_hop": 1_000_000})  # a frame each second: hours in few frames


@pytest.fixture(scope="module")
def conformal():
    psd, residual, rows = frames(20_000, 100)
    return calibrate.learn(residual, rows, SLOW.frame_s, tuning=TUNING, psd=psd, window_hop=SLOW.frame_hop // SLOW.frame_average)


def drifted(psd, db_per_hour, hop=SLOW.frame_hop):
    """Tilt and one period of ripple that grow by this much an hour, peak to peak, each."""
    place, hours = np.linspace(-0.5, 0.5, N), np.arange(len(psd)) * hop / SLOW.rx_rate / 3600
    return psd + (db_per_hour * hours[:, None] * (place + 0.5 * np.sin(2 * np.pi * place))).astype(np.float32)


def test_ten_hours_of_drift_keep_the_false_alarm_rate(conformal):
    """Frames a second apart: the curve moves once in 64 s and lags 0.02 dB, at 150 frames a second a hundredth of that."""
    psd, residual, rows = frames(36_000, seed=40)
    flagged = {}
    for rate in (0.0, 0.5):
        judge = detector(conformal, false_alarm_rate=0.01)
        _, emitted = run(judge, drifted(psd, rate), residual, rows, segment=SLOW, batch=500)
        flagged[rate] = judge.n_flagged / judge.n_judged
    assert flagged[0.5] == pytest.approx(flagged[0.0], abs=0.004)
    assert 0.0078 < flagged[0.0] < 0.0124


def test_without_following_it_the_same_drift_would_be_flagged(conformal):
    psd, residual, rows = frames(3000, seed=41)
    far = psd + 5.0 * np.linspace(-0.5, 0.5, N).astype(np.float32)  # where ten hours end, at once
    judge = detector(conformal, false_alarm_rate=0.01)
    run(judge, far, residual, rows, segment=SLOW)
    assert judge.n_flagged > 0.5 * judge.n_judged


def test_a_signal_that_stays_is_not_taken_for_drift(conformal):
    """For an hour: the curve follows all the bins of a stretch, so that a few of them stand out still."""
    psd, residual, rows = frames(4500, seed=42)
    put(psd, residual, 500, 4499, 100, 103, 12)
    scores, _ = run(detector(conformal, false_alarm_rate=0.01), psd, residual, rows, segment=SLOW)
    assert scores[-100:].min() > 0.7 * np.median(scores[510:600]) > 2


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_batches_do_not_matter(conformal, batch):
    psd, residual, rows = frames(1000, seed=43)
    psd = drifted(psd, 3.0)
    whole, _ = run(detector(conformal), psd, residual, rows, segment=SLOW)
    parts, _ = run(detector(conformal), psd, residual, rows, batch, segment=SLOW)
    np.testing.assert_array_equal(whole, parts)


def test_the_curve_moves_no_faster_than_it_may(conformal):
    drift = BandDrift(conformal.band)
    level = np.repeat(conformal.band.mean[None] + 3, BLOCK_FRAMES, axis=0)
    drift.take(level[:10], np.ones(10, bool), 1.0)
    assert drift.left() == BLOCK_FRAMES - 10 and not drift.curve.any()
    drift.take(level[10:], np.ones(BLOCK_FRAMES - 10, bool), 1.0)
    most = DRIFT_DB_PER_HOUR / 3600 * BLOCK_FRAMES
    np.testing.assert_allclose(drift.curve, most, rtol=1e-4)
    drift.take(level, np.zeros(BLOCK_FRAMES, bool), 1.0)  # suspicious, all of them
    np.testing.assert_allclose(drift.curve, most, rtol=1e-4)


def test_compiled_sums_give_the_bits_of_numpy(monkeypatch):
    rng = np.random.default_rng(45)
    band = BandStatistics(rng.normal(3, 1, 100), rng.uniform(0.5, 2, 100), np.zeros((0, 100)))
    level = rng.normal(3, 4, (3 * BLOCK_FRAMES, 100)).astype(np.float32)
    unsuspicious = rng.random(len(level)) < 0.8

    def curves():
        drift, result = BandDrift(band), []
        for start in range(0, len(level), 16):
            drift.take(level[start:start + 16], unsuspicious[start:start + 16], 10.0)
            result.append(drift.curve)
        return np.array(result)
    compiled = curves()
    assert compiled[-1].any()
    monkeypatch.setattr(band_drift, "optional_native_module", lambda: None)
    np.testing.assert_array_equal(compiled, curves())


@pytest.mark.parametrize("quiet_knots", [16, 3])
def test_the_curve_goes_through_the_means_of_the_quiet_bins(quiet_knots):
    """A spline of many knots, straight lines of few; the first block moves each by a fifth of what it has seen."""
    bins = np.arange(160)
    loud = (bins >= 10 * quiet_knots) & (bins % 10 < 7)  # three quiet bins are left to a knot: too few
    drift = BandDrift(BandStatistics(np.zeros(160), np.ones(160), np.where(loud, 0.2, 0.0)[None]))
    off = np.linspace(-1, 1, 160).astype(np.float32) ** 3
    drift.take(np.repeat(off[None], BLOCK_FRAMES, axis=0), np.ones(BLOCK_FRAMES, bool), 1e6)
    usable = [np.arange(10 * k, 10 * k + 10) for k in range(quiet_knots)]
    places, knots = [q.mean() for q in usable], [0.2 * off[q].astype(np.float64).mean() for q in usable]
    wanted = CubicSpline(places, knots)(bins) if quiet_knots > 3 else np.interp(bins, places, knots)
    np.testing.assert_allclose(drift.curve, wanted, atol=1e-6)


def test_a_calibration_that_no_longer_holds_is_noticed_once(conformal):
    def notices(psd, residual, rows):
        judge = detector(conformal, false_alarm_rate=0.01)
        return [n.state for n in judge.process(psd, residual, rows, SLOW.frame_hop * np.arange(len(psd)), SLOW).notices]

    psd, residual, rows = frames(4 * WATCHED_FRAMES, seed=44)
    assert notices(psd, residual, rows) == []
    rougher = (psd + 0.35 * (psd - rows[:, layout.FLOOR_DBFS][:, None])).astype(np.float32)  # noise that varies a third more
    assert notices(rougher, residual, rows).count("recalibrate") == 1
