# SPDX-License-Identifier: GPL-3.0-or-later
"""The bank of filters, and late reports: rows are filters of one target each, come back exactly, and survive growth."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.tracker import reorder
from gnuradio.spectrumencoder.tracker.filters import make_filter
from gnuradio.spectrumencoder.tracker.fix import Fix
from gnuradio.spectrumencoder.tracker.motion_field import MotionField
from gnuradio.spectrumencoder.tracker.settings import SpatialSettings
from gnuradio.spectrumencoder.tracker.track import TrackEntry
from gnuradio.spectrumencoder.tracker.track_bank import Positions, TrackBank

SETTINGS = SpatialSettings()
FIELDS = pytest.mark.parametrize("field", [None, MotionField.shipped()], ids=["IMM alone", "with the field"])


def made(field=None, rows=64):
    return TrackBank(SETTINGS.horizontal_imm(), SETTINGS.vertical_imm(), field, rows)


def fix(time_s, east, height=None):
    position = np.array([east, -0.5 * east] if height is None else [east, -0.5 * east, height], float)
    return Fix(float(time_s), position, np.eye(len(position)) * 900.0)


def started(field=None, n=3, height=500.0):
    """A bank of n rows that have had 20 reports each, every second."""
    rng, bank = np.random.default_rng(1), made(field)
    rows = bank.reserve(n)
    for t in range(20):
        reports = Positions.of([fix(t, 100.0 * t * (k + 1) + rng.normal(0, 30), height) for k in range(n)])
        (bank.update if t else bank.restart)(rows, float(t), reports)
    return bank, rows


def state(bank, rows, time_s=25.0):
    return bank.estimates(rows, time_s)[1]


def assert_same(one, other):
    for parts, others in zip(one, other, strict=True):
        for (mean, covariance), (its_mean, its_covariance) in zip(parts, others, strict=True):
            np.testing.assert_array_equal(mean, its_mean)
            np.testing.assert_array_equal(covariance, its_covariance)


@FIELDS
def test_each_row_is_a_filter_of_one_target_at_its_own_times(field):
    rng = np.random.default_rng(0)
    bank, alone = made(field, rows=3), [make_filter(3, SETTINGS, field) for _ in range(3)]
    rows, time_s = bank.reserve(3), np.zeros(3)
    for k in range(15):
        fixes = [fix(t, 80.0 * t + rng.normal(0, 30), 1000.0 + t) for t in time_s]
        (bank.update if k else bank.restart)(rows, time_s.copy(), Positions.of(fixes))
        for one, report in zip(alone, fixes, strict=True):
            one.update(report.time_s, report.position_m, report.covariance_m2)
        time_s = time_s + rng.uniform(0.5, 6.0, 3)
    mean, covariance = bank.after(rows, np.array([0.0, 3.0, 20.0]))
    for k, (one, horizon) in enumerate(zip(alone, (0.0, 3.0, 20.0), strict=True)):
        estimate = one.forecast(bank.seen_s[k] + horizon)
        np.testing.assert_allclose(mean[k, :2], estimate.position_m[:2], rtol=1e-9)
        np.testing.assert_allclose(covariance[k, :2, :2], estimate.covariance[:2, :2], rtol=1e-6)
        flat, height = bank.estimates(rows[k:k + 1], float(bank.seen_s[k] + horizon))[1][0]
        np.testing.assert_allclose([*flat[0][:2], height[0][0]], estimate.position_m, rtol=1e-9)


@FIELDS
def test_a_row_is_put_back_exactly(field):
    bank, rows = started(field, n=1)
    before, (kept,) = state(bank, rows), bank.snapshot(rows)
    bank.update(rows, 20.0, Positions.of([fix(20, 3e3, 700.0)]))
    assert not np.array_equal(state(bank, rows)[0][0][0], before[0][0][0])
    bank.put_back(int(rows[0]), kept)
    assert_same(state(bank, rows), before)
    assert bank.seen_s[rows] == bank.height_s[rows] == 19.0


def test_rows_stay_when_the_bank_grows_and_come_back_when_released():
    bank, rows = started(MotionField.shipped(), height=None)
    before = state(bank, rows)
    others = bank.reserve(100)
    assert len(bank) == 128 and not set(rows) & set(others) and len(set(others)) == 100
    assert_same(state(bank, rows), before)
    bank.release(int(others[7]))
    assert bank.reserve(1).tolist() == [others[7]]


def test_a_prediction_that_was_kept_is_the_one_made_anew():
    bank, rows = started()
    first = bank.predicted(rows[:2], 30.0)
    again = bank.predicted(rows, 30.0)  # two rows are kept, one is new
    bank.predicted(rows, 31.0)
    anew = bank.predicted(rows, 30.0)
    for a, b, c in zip(first, again, anew, strict=True):
        np.testing.assert_array_equal(a, b[:2])
        np.testing.assert_array_equal(b, c)


def test_a_field_of_other_models_is_refused_and_changes_nothing():
    bank, rows = started(MotionField.shipped())
    before = state(bank, rows)
    fewer = SpatialSettings(horizontal=SETTINGS.horizontal[:2])
    assert not bank.fits(fewer.horizontal_imm(), fewer.vertical_imm())
    with pytest.raises(ValueError, match="4 horizontal models, not 2"):
        bank.set_models(fewer.horizontal_imm(), fewer.vertical_imm(), MotionField.shipped())
    assert_same(state(bank, rows), before)


def test_a_late_report_is_used_or_refused_with_its_reason():
    bank, reorder_s, gate2 = made(), 10.0, 14.0
    (row,) = bank.reserve(1).tolist()
    fixes = [fix(t, 100.0 * t) for t in range(20)]
    entry = TrackEntry("S1", row, 0.0, fixes[0], None)
    for t, one in enumerate(fixes):
        (bank.update if t else bank.restart)(np.array([row]), float(t), Positions.of([one]))
        reorder.remember(bank, [entry], [one], reorder_s)
    assert [moment.fix.time_s for moment in entry.moments] == list(range(9, 20))
    before = state(bank, np.array([row]))
    for late, verdict in ((fix(8.5, 850.0), reorder.LATE), (fix(15.5, 9e4), reorder.LATE), (fix(15, 1500.0), reorder.DUPLICATE)):
        assert reorder.late(bank, entry, late, gate2, reorder_s) == verdict
    assert_same(state(bank, np.array([row])), before)
    assert reorder.late(bank, entry, fix(15.5, 1550.0), gate2, reorder_s) == reorder.USED
    assert [moment.fix.time_s for moment in entry.moments] == [*range(9, 16), 15.5, *range(16, 20)]
    assert bank.seen_s[row] == 19.0
