# SPDX-License-Identifier: GPL-3.0-or-later
"""Conformal tables: valid p-values, thresholds, intervals, the model file's form, refusals."""

import math

import numpy as np
import pytest
from frames import FREQ, RATE, SEGMENT, TUNING, N, frames, table
from gnuradio.spectrumencoder.detector import calibrate
from gnuradio.spectrumencoder.detector.calibrate import Calibrator, Table, TooFewFrames, Tuning
from gnuradio.spectrumencoder.detector.scores import HEAD, channel_values
from gnuradio.spectrumencoder.encoder import features as layout


def plain(scores):
    """A table of one channel with these scores."""
    scores = np.sort(np.asarray(scores, np.float32))
    return Table((HEAD,), np.zeros(1, np.float32), np.ones(1, np.float32), scores, len(scores), N)


def test_p_values_are_counts():
    scores = np.array([1.0, 2.0, 2.0, 5.0])
    for new, wanted in ((0.5, 1.0), (1.0, 1.0), (2.0, 4 / 5), (2.5, 2 / 5), (5.0, 2 / 5), (6.0, 1 / 5)):
        assert plain(scores).p_values([new])[0] == pytest.approx(wanted)


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.05, 0.01])
def test_flagged_exactly_when_p_is_at_most_the_rate(rate):
    rng = np.random.default_rng(0)
    for n in (199, 200, 317, 1000):
        t = plain(rng.integers(0, 50, n))  # with ties
        new = rng.integers(-1, 52, 500).astype(np.float32)
        np.testing.assert_array_equal(new > t.threshold(rate), t.p_values(new) <= rate + 1e-12)


def test_p_values_are_valid_on_exchangeable_scores():
    rng = np.random.default_rng(1)
    exceed = [(plain(s[:-1]).p_values(s[-1:])[0] <= 0.05) for s in rng.standard_cauchy((4000, 100)).astype(np.float32)]
    assert np.mean(exceed) == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 4000))


def test_interval_is_that_of_the_published_sizes():
    """0.54-1.57 % at n = 1000, 0.78-1.24 % at 5000, 0.84-1.17 % at 10000: 90 % of the Beta distribution."""
    for n, low, high in ((1000, 0.54, 1.57), (5000, 0.78, 1.24), (10000, 0.84, 1.17)):
        found = plain(np.arange(n)).far_interval(0.01)
        np.testing.assert_allclose(100 * np.array(found), (low, high), atol=0.011)


def test_interval_covers_the_realised_rate():
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(400):
        t = plain(rng.uniform(size=1000))
        low, high = t.far_interval(0.01)
        inside += low <= 1 - t.threshold(0.01) <= high
    assert inside / 400 == pytest.approx(0.9, abs=0.05)


def test_threshold_is_infinite_where_the_table_is_too_small():
    assert plain(np.arange(98)).threshold(0.01) == math.inf
    assert plain(np.arange(99)).threshold(0.01) == 98
    assert plain(np.arange(99)).p_values([1000])[0] == pytest.approx(0.01)


@pytest.mark.parametrize("rate", [0.5, 0.05, 0.01, 0.001, 0.0001])
def test_frames_needed_is_just_enough(rate):
    needed = calibrate.frames_needed(rate)
    assert needed - calibrate.normaliser_frames(needed) >= calibrate.scores_needed(rate)
    assert (calibrate.scores_needed(rate) + 1) * rate >= 1 - 1e-9
    assert needed - 1 - calibrate.normaliser_frames(needed - 1) < calibrate.scores_needed(rate)


def test_too_few_frames_are_refused_with_the_number_needed():
    needed = calibrate.frames_needed(0.01)
    with pytest.raises(TooFewFrames, match=f"{needed - 1} frames are too few .* 0.01: {needed} are needed") as error:
        table(needed - 1)
    assert error.value.needed == needed
    assert table(needed).threshold(0.01) < math.inf
    with pytest.raises(TooFewFrames):
        Calibrator(0).finish()


def test_rates_out_of_range_are_refused():
    for rate in (0.0, -0.1, 0.6, math.nan):
        with pytest.raises(ValueError, match="false_alarm_rate"):
            table().threshold(rate)


def test_realised_rate_on_independent_frames():
    t = table(12_000, seed=5)
    _, residual, rows = frames(12_000, seed=6)
    values = channel_values(t.standardise_bins(residual), rows[:, layout.LOGIT],
                            calibrate.FloorTrack().deviations(rows[:, layout.FLOOR_DBFS], SEGMENT.frame_s))
    scores, _ = t.fuse(values)
    assert np.mean(scores > t.threshold(0.01)) == pytest.approx(0.01, abs=0.0035)
    p = t.p_values(scores)
    np.testing.assert_array_equal(p <= 0.01, scores > t.threshold(0.01))
    assert np.mean(p) == pytest.approx(0.5, abs=0.02)


def test_batches_do_not_matter():
    _, residual, rows = frames(900, seed=7)
    calibrator = Calibrator(900, tuning=TUNING)
    for i in range(0, 900, 41):
        calibrator.add(residual[i:i + 41], rows[i:i + 41], SEGMENT.frame_s, 0)
    one = calibrator.finish(0.01).to_tensors()
    other = calibrate.learn(residual, rows, SEGMENT.frame_s, tuning=TUNING).to_tensors()
    for name in other:
        np.testing.assert_array_equal(one[name], other[name])


def test_bin_statistics_are_learned_and_shrunk():
    rng = np.random.default_rng(8)
    residual = rng.standard_normal((20_000, 64)).astype(np.float32)
    residual[:, 10] = residual[:, 10] * 4 + 3
    mean, std = calibrate.bin_statistics(residual)
    assert mean[10] == pytest.approx(3, rel=0.03)
    assert std[10] == pytest.approx(4, rel=0.03)
    few_mean, few_std = calibrate.bin_statistics(residual[:50])
    assert 0 < few_mean[10] < 2.5
    assert 1 < few_std[10] < 4


def test_busy_bins_do_not_hide_the_rest():
    """A bin that varies by itself must not set the threshold for all others."""
    _, residual, rows = frames(4000, seed=9)
    residual[:, 20:30] *= 6
    with_bins = calibrate.learn(residual, rows, SEGMENT.frame_s, tuning=TUNING)
    without = calibrate.learn(residual, rows, SEGMENT.frame_s)
    _, test, rows = frames(200, seed=10)
    test[:, 100] += 8
    flagged = []
    for t in (with_bins, without):
        values = channel_values(t.standardise_bins(test), rows[:, layout.LOGIT], np.zeros(200))
        flagged.append(np.mean(t.fuse(values)[0] > t.threshold(0.01)))
    assert flagged[0] > 0.95
    assert flagged[1] < 0.5


def test_an_untrained_head_is_left_out():
    _, residual, rows = frames(1000, seed=11)
    rows[:, layout.LOGIT] = 1e6
    t = calibrate.learn(residual, rows, SEGMENT.frame_s, head=False)
    assert HEAD not in t.channels
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


def test_tensors_and_back():
    t = table(600)
    back = Table.from_tensors(t.to_tensors())
    for name, value in t.to_tensors().items():
        np.testing.assert_array_equal(back.to_tensors()[name], value)
    assert t.to_tensors()["scores"].dtype == np.float32
    assert (back.tuning, back.window_hop) == (TUNING, N)
    assert Table.from_tensors(table(600, tuning=None).to_tensors()).tuning is None


@pytest.mark.parametrize(("freq", "rate", "fits"), [
    (FREQ + 0.49 * RATE / N, RATE, True), (FREQ - 0.51 * RATE / N, RATE, False), (FREQ, RATE * (1 + 0.9 / N), True),
    (FREQ, RATE * (1 - 1.1 / N), False), (FREQ + 0.3 * RATE / N, RATE * (1 + 0.5 / N), False), (FREQ, 2 * RATE, False),
    (868.5e6, RATE, False),
])
def test_statistics_per_bin_hold_within_half_a_bin(freq, rate, fits):
    assert (table(600).misfit(Tuning(freq, rate), N) == "") is fits
    assert not table(600, tuning=None).misfit(Tuning(freq, rate), N)


def test_a_table_holds_for_its_overlap():
    assert not table(600, window_hop=N // 2).misfit(TUNING, N / 2)
    assert "another overlap" in table(600, window_hop=N // 2).misfit(TUNING, N)
    assert "256 samples" in table(600).misfit(TUNING, N // 2)


@pytest.mark.parametrize(("field", "value", "message"), [
    ("scores", np.array([3.0, 1.0]), "ascending"), ("scores", np.zeros(0), "0 scores"), ("scores", None, "scores"),
    ("spread", np.zeros(8), "positive"), ("median", np.zeros(2), "2 medians"), ("n", np.array([7]), "n = 7"),
    ("channels", np.frombuffer(b"nonsense", np.uint8), "nonsense"), ("bin_std", None, "incomplete"),
    ("samp_rate", None, "samp_rate"), ("window_hop", None, "window_hop"), ("window_hop", np.array([0]), "hop of 0"),
])
def test_damaged_tensors_are_refused(field, value, message):
    tensors = table(600).to_tensors()
    if value is None:
        del tensors[field]
    else:
        tensors[field] = value
    with pytest.raises(ValueError, match=message):
        Table.from_tensors(tensors)


def test_description_is_plain():
    text = table(600).describe(0.01)
    assert "450 frames" in text
    assert "433.92 MHz and 1 MS/s" in text
    assert "false-alarm rate of 1 %" in text
