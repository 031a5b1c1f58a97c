# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration: the parts of a recording, the frames needed, what is learned of a band, batches."""

import math

import numpy as np
import pytest
from frames import SEGMENT, TUNING, frames, table
from gnuradio.spectrumencoder.detector import calibrate
from gnuradio.spectrumencoder.detector.band_statistics import BandStatistics
from gnuradio.spectrumencoder.detector.calibrate import Calibrator, TooFewFrames
from gnuradio.spectrumencoder.detector.channels import HEAD
from gnuradio.spectrumencoder.detector.floor_track import FloorTrack
from gnuradio.spectrumencoder.detector.frame_batch import FrameBatch
from gnuradio.spectrumencoder.encoder import features as layout


@pytest.mark.parametrize("rate", [0.5, 0.05, 0.01, 0.001, 0.0001])
def test_frames_needed_is_just_enough(rate):
    needed = calibrate.frames_needed(rate)
    assert calibrate.table_frames(needed) >= calibrate.scores_needed(rate)
    assert (calibrate.scores_needed(rate) + 1) * rate >= 1 - 1e-9
    assert calibrate.table_frames(needed - 1) < calibrate.scores_needed(rate)


@pytest.mark.parametrize("n_frames", [700, 4096, 5000, 20_000, 100_000])
def test_a_long_calibration_learns_the_band_from_all_of_it(n_frames):
    parts = calibrate.parts_of(n_frames)
    assert len(parts) == n_frames
    of_band = np.flatnonzero(parts == "B")
    assert len(of_band) <= calibrate.MAX_BAND // 2
    reach = min(n_frames, calibrate.SPREAD)
    counts = np.histogram(of_band, 8, (0, reach))[0]
    assert counts.min() >= 0.5 * counts.mean()  # in each eighth of it
    assert (parts[reach:] == "T").all()
    runs = np.diff(np.flatnonzero(np.diff(of_band, prepend=-9) > 1), append=len(of_band))
    assert runs[:-1].max() == calibrate.TURN_FRAMES  # never two blocks on end


def test_too_few_frames_are_refused_with_the_number_needed():
    needed = calibrate.frames_needed(0.01)
    with pytest.raises(TooFewFrames, match=f"{needed - 1} frames are too few .* 0.01: {needed} are needed") as error:
        table(needed - 1)
    assert error.value.needed == needed
    assert table(needed).threshold(0.01) < math.inf
    with pytest.raises(TooFewFrames):
        Calibrator(0).finish()


def test_realised_rate_on_independent_frames():
    t = table(12_000, seed=5)
    psd, residual, rows = frames(12_000, seed=6)
    scores = scored(t, psd, residual, rows, FloorTrack().deviations(rows[:, layout.FLOOR_DBFS], SEGMENT.frame_s))
    assert np.mean(scores > t.threshold(0.01)) == pytest.approx(0.01, abs=0.0035)
    p = t.p_values(scores)
    np.testing.assert_array_equal(p <= 0.01, scores > t.threshold(0.01))
    assert np.mean(p) == pytest.approx(0.5, abs=0.02)


def test_batches_do_not_matter():
    psd, residual, rows = frames(900, seed=7)
    calibrator = Calibrator(900, tuning=TUNING)
    for i in range(0, 900, 41):
        calibrator.add(residual[i:i + 41], rows[i:i + 41], SEGMENT.frame_s, 0, psd=psd[i:i + 41])
    one = calibrator.finish(0.01).to_tensors()
    other = calibrate.learn(residual, rows, SEGMENT.frame_s, tuning=TUNING, psd=psd).to_tensors()
    assert len(one["band_components"]) == 0  # white noise has none
    with pytest.raises(ValueError, match="needs the psd of its frames"):
        Calibrator(900, tuning=TUNING).add(residual, rows, SEGMENT.frame_s)
    for name in other:
        np.testing.assert_array_equal(one[name], other[name])


def level(psd, rows):
    """dB over the frame's floor."""
    return psd - rows[:, layout.FLOOR_DBFS][:, None]


def scored(t, psd, residual, rows, floor_deviation):
    """Fused scores of frames by a table."""
    boxes = None if t.search is None else calibrate.learned_rows(t.band, t.search, level(psd, rows))
    return t.fuse(t.values(FrameBatch(psd, residual, rows, floor_deviation, t.search, boxes)))


def test_what_bins_usually_do_is_learned_and_shrunk():
    rng = np.random.default_rng(8)
    levels = rng.standard_normal((20_000, 64)).astype(np.float32)
    levels[:, 10] = levels[:, 10] * 1.5 + 3  # not enough to be a component
    band = BandStatistics.learn(levels)
    assert len(band.components) == 1 or band.std[10] == pytest.approx(1.5, rel=0.03)
    assert band.mean[10] == pytest.approx(3, rel=0.03) and band.std[9] == pytest.approx(1, rel=0.03)
    few = BandStatistics.learn(levels[:20])
    assert abs(few.std - 1).max() < abs(levels[:20].std(axis=0) - 1).max()


def test_what_bins_do_together_is_taken_off():
    """An emitter of 20 bins that comes and goes by 15 dB: a frame with it is usual, one with half of it, or another, is not."""
    rng = np.random.default_rng(9)
    plan = np.zeros(256, np.float32)
    plan[100:120] = 15.0
    noise = lambda count: rng.standard_normal((count, 256)).astype(np.float32)  # noqa: E731
    band = BandStatistics.learn(noise(2000) + (rng.random((2000, 1)) < 0.4) * plan)
    assert len(band.components) == 1 and abs(band.components[0, 100:120]).min() > 0.2
    assert abs(band.standardise(noise(50) + plan)[:, 100:120].mean(axis=0)).max() < 0.8
    half = plan.copy()
    half[110:] = 0
    assert band.standardise(noise(50) + half)[:, 100:110].mean() > 4
    other = np.roll(plan, 60)
    assert band.standardise(noise(50) + other)[:, 160:180].mean() == pytest.approx(15, rel=0.05)
    together = band.standardise(noise(8))
    assert together.dtype == np.float32


def test_a_frame_is_standardised_alike_whatever_stands_beside_it():
    rng = np.random.default_rng(10)
    levels = rng.standard_normal((500, 256)).astype(np.float32)
    levels[:, 30:50] += 10 * rng.random((500, 1)).astype(np.float32)
    band = BandStatistics.learn(levels)
    assert len(band.components)
    whole = band.standardise(levels)
    assert np.array_equal(whole[17], band.standardise(levels[17])) and np.array_equal(whole[3:9], band.standardise(levels[3:9]))
    with pytest.raises(ValueError, match="spectra of 255 bins, the conformal table was calibrated with 256"):
        band.standardise(levels[:, :255])


def test_busy_bins_do_not_hide_the_rest():
    """A bin that varies by itself must not set the threshold for all others."""
    psd, residual, rows = frames(4000, seed=9)
    psd[:, 20:30] += 5 * 1.1 * residual[:, 20:30]
    residual[:, 20:30] *= 6
    with_bins = calibrate.learn(residual, rows, SEGMENT.frame_s, tuning=TUNING, psd=psd)
    without = calibrate.learn(residual, rows, SEGMENT.frame_s)
    psd, test, rows = frames(200, seed=10)
    psd[:, 100] += 8 * 1.1
    test[:, 100] += 8
    flagged = []
    for t in (with_bins, without):
        flagged.append(np.mean(scored(t, psd, test, rows, np.zeros(200, np.float32)) > t.threshold(0.01)))
    assert flagged[0] > 0.95
    assert flagged[1] < 0.5


def test_an_untrained_head_is_left_out():
    _, residual, rows = frames(1000, seed=11)
    rows[:, layout.LOGIT] = 1e6
    t = calibrate.learn(residual, rows, SEGMENT.frame_s, head=False)
    assert not set(HEAD.names) & set(t.channels)
    assert t.scores[-1] < 100


def test_skipped_frames_are_left_out():
    _, residual, rows = frames(1000, seed=12)
    rows[::2, layout.SKIPPED] = 1
    calibrator = Calibrator(500)
    calibrator.add(residual, rows, SEGMENT.frame_s)
    assert calibrator.n_frames == 500


def test_effective_count_of_autocorrelated_scores():
    rng = np.random.default_rng(13)
    white = rng.standard_normal(8000)
    assert calibrate.effective_count(white) > 6000
    slow = np.repeat(rng.standard_normal(400), 20)
    assert 200 < calibrate.effective_count(slow) < 800
    assert calibrate.effective_count(np.ones(300)) <= 300


def test_scores_are_thinned_to_the_most_that_a_table_keeps():
    kept = calibrate.thinned(np.arange(50_000))
    assert len(kept) == calibrate.MAX_SCORES
    assert (kept[0], kept[-1]) == (0, 49_999)
    assert set(np.diff(kept)) == {2, 3}
    assert len(calibrate.thinned(np.arange(7))) == 7
