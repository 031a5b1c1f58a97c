# SPDX-License-Identifier: GPL-3.0-or-later
"""Conformal tables: valid p-values, thresholds, intervals, fusion, the model file's form, refusals."""

import math

import numpy as np
import pytest
from frames import FREQ, RATE, TUNING, N, table
from gnuradio.spectrumencoder.detector import calibrate
from gnuradio.spectrumencoder.detector import table as table_module
from gnuradio.spectrumencoder.detector.channels import HEAD
from gnuradio.spectrumencoder.detector.table import Table, Tuning


def plain(scores):
    """A table of one channel with these scores."""
    scores = np.sort(np.asarray(scores, np.float32))
    return Table(HEAD.names, np.zeros(1, np.float32), np.ones(1, np.float32), scores, len(scores), N)


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


def test_rates_out_of_range_are_refused():
    for rate in (0.0, -0.1, 0.6, math.nan):
        with pytest.raises(ValueError, match="false_alarm_rate"):
            table().threshold(rate)


def test_tensors_and_back():
    t = table(700)
    back = Table.from_tensors(t.to_tensors())
    for name, value in t.to_tensors().items():
        np.testing.assert_array_equal(back.to_tensors()[name], value)
    assert t.to_tensors()["scores"].dtype == np.float32
    assert (back.tuning, back.window_hop) == (TUNING, N)
    assert Table.from_tensors(table(700, tuning=None).to_tensors()).tuning is None


@pytest.mark.parametrize(("freq", "rate", "fits"), [
    (FREQ + 0.49 * RATE / N, RATE, True), (FREQ - 0.51 * RATE / N, RATE, False), (FREQ, RATE * (1 + 0.9 / N), True),
    (FREQ, RATE * (1 - 1.1 / N), False), (FREQ + 0.3 * RATE / N, RATE * (1 + 0.5 / N), False), (FREQ, 2 * RATE, False),
    (868.5e6, RATE, False),
])
def test_statistics_per_bin_hold_within_half_a_bin(freq, rate, fits):
    assert (table(700).misfit(Tuning(freq, rate), N) == "") is fits
    assert not table(700, tuning=None).misfit(Tuning(freq, rate), N)


def test_a_table_holds_for_its_overlap():
    assert not table(700, window_hop=N // 2).misfit(TUNING, N / 2)
    assert "another overlap" in table(700, window_hop=N // 2).misfit(TUNING, N)
    assert "256 samples" in table(700).misfit(TUNING, N // 2)


@pytest.mark.parametrize(("field", "value", "message"), [
    ("scores", np.array([3.0, 1.0]), "ascending"), ("scores", np.zeros(0), "0 scores"), ("scores", None, "scores"),
    ("spread", np.zeros(8), "positive"), ("median", np.zeros(2), "2 medians"), ("n", np.array([7]), "n = 7"),
    ("channels", np.frombuffer(b"nonsense", np.uint8), "nonsense"), ("band_std", None, "without a valid 'band_std'"),
    ("samp_rate", None, "samp_rate"), ("window_hop", None, "window_hop"), ("window_hop", np.array([0]), "hop of 0"),
])
def test_damaged_tensors_are_refused(field, value, message):
    tensors = table(700).to_tensors()
    if value is None:
        del tensors[field]
    else:
        tensors[field] = value
    with pytest.raises(ValueError, match=message):
        Table.from_tensors(tensors)


def test_description_is_plain():
    text = table(700).describe(0.01)
    assert f"{calibrate.table_frames(700)} frames" in text
    assert "433.92 MHz and 1 MS/s" in text
    assert "false-alarm rate of 1 %" in text


@pytest.mark.parametrize("frames", [1, 3, 4, 11])
def test_the_largest_channel_is_that_of_numpy(frames, monkeypatch):
    rng = np.random.default_rng(5)
    values = rng.standard_normal((frames, 12)).astype(np.float32)
    columns = np.array([0, 3, 4, 11], np.uint32)
    median, spread = rng.standard_normal(4).astype(np.float32), rng.uniform(0.1, 2, 4).astype(np.float32)
    values[0, 1] = np.nan  # nobody looks at it
    compiled = table_module.largest_standardised(values, columns, median, spread)
    assert np.isfinite(compiled).all()
    values[-1, 4] = np.nan
    broken = table_module.largest_standardised(values, columns, median, spread)
    assert np.isnan(broken[-1]) and np.array_equal(broken[:-1], compiled[:-1])
    monkeypatch.setattr(table_module, "optional_native_module", lambda: None)
    assert np.array_equal(broken, table_module.largest_standardised(values, columns, median, spread), equal_nan=True)
