# SPDX-License-Identifier: GPL-3.0-or-later
"""The table that goes along: p-values against plain counts, the rate while scores drift, no sinking threshold."""

import numpy as np
import pytest
from frames import SEGMENT, detector, frames, put, run, table
from gnuradio.spectrumencoder.detector.rolling import CAPACITY, Rolling


def test_p_values_and_thresholds_are_those_of_the_scores_so_far():
    rng = np.random.default_rng(0)
    start, new = rng.standard_normal(300).astype(np.float32), rng.standard_normal(200).astype(np.float32)
    p_values, thresholds = Rolling(start).judge(new, 0.05, 2.0)
    held = list(start)
    for p, threshold, score in zip(p_values, thresholds, new, strict=True):
        assert p == pytest.approx((1 + sum(h >= score for h in held)) / (len(held) + 1))
        assert (score > threshold) == (p <= 0.05 + 1e-12)
        if score <= 2.0:
            held.append(score)


def test_the_share_that_is_flagged_stays_while_scores_move():
    """By two deviations in 40,000 frames; and it does not sink where they stand still."""
    for drift in (0.0, 2.0):
        rng = np.random.default_rng(1)
        rolling = Rolling(rng.standard_normal(5000))
        scores = rng.standard_normal(40_000) + np.linspace(0, drift, 40_000)
        p_values, thresholds = rolling.judge(scores, 0.01, np.inf)
        assert np.mean(p_values <= 0.01) == pytest.approx(0.01, abs=0.0035)
        assert abs(thresholds[-1] - drift - 2.33) < 0.35
        assert len(rolling._sorted) == CAPACITY == len(rolling._order)


def test_the_detector_by_quantile():
    conformal = table(8000, seed=100)
    psd, residual, rows = frames(9000, seed=50)
    put(psd, residual, 4000, 4009, 100, 103, 15)
    by = {mode: detector(conformal, false_alarm_rate=0.01, threshold_mode=mode) for mode in ("calibrated", "quantile")}
    found = {mode: run(judge, psd, residual, rows, 64) for mode, judge in by.items()}
    # but for what the drift takes for suspicious
    np.testing.assert_allclose(found["calibrated"][0], found["quantile"][0], atol=0.05)
    assert by["quantile"].n_flagged / 9000 == pytest.approx(0.01, abs=0.004)
    assert {e.fields["event_id"] for e in found["quantile"][1]} == {e.fields["event_id"] for e in found["calibrated"][1]} != set()
    again = run(detector(conformal, false_alarm_rate=0.01, threshold_mode="quantile"), psd, residual, rows, 1, SEGMENT)
    assert [e.fields["p_value"] for e in again[1]] == [e.fields["p_value"] for e in found["quantile"][1]]
