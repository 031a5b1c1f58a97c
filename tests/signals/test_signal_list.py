# SPDX-License-Identifier: GPL-3.0-or-later
"""From frames to signals, by energy alone."""

import band_samples as made
import numpy as np
import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.signals.signal_list import CLOSE, OPEN, SignalList


def listed(items, batch=1000, **settings):
    """(messages, table) of a list of signals that took these items."""
    one = SignalList(made.RATE, 433e6, made.HOP, **settings)
    messages = [row for at in range(0, len(items), batch) for row in one.update(items[at:at + batch])]
    return messages + one.flush(), one.table()


def edges(row):
    """First and last bin of a row."""
    middle = (row[keys.FREQ_CENTER_HZ] - 433e6) / made.BIN_HZ + made.N // 2
    half = row[keys.BANDWIDTH_HZ] / made.BIN_HZ / 2
    return middle - half + 0.5, middle + half - 0.5


def test_noise_alone_is_no_signal():
    assert listed(made.items_of(made.noise(200)))[1] == []


def test_signals_that_were_always_there_are_found_with_their_edges():
    iq = made.add(made.add(made.noise(24), 200, 260, 10.0), 700, 719, 15.0)
    table = listed(made.items_of(iq))[1]
    assert len(table) == 2
    for row, (low, high) in zip(table, [(200, 260), (700, 719)], strict=True):
        assert edges(row) == (pytest.approx(low, abs=3), pytest.approx(high, abs=3))
        assert row[keys.DUTY_CYCLE] == pytest.approx(1.0, abs=0.1)
        assert row[keys.SNR_DB] == pytest.approx(10.0 if low == 200 else 15.0, abs=1.5)


def test_a_burst_begins_and_ends_in_its_frames():
    iq = made.add(made.noise(40), 300, 330, 12.0, 10, 15)
    messages, table = listed(made.items_of(iq))
    closed = [row for row in messages if row[keys.STATE] == CLOSE]
    assert len(closed) == len(table) == 1
    assert closed[0][keys.SAMPLE_START] == 10 * made.HOP
    assert closed[0][keys.SAMPLE_COUNT] == 5 * made.HOP
    assert closed[0][keys.FIRST_HEARD] == pytest.approx(10 * made.HOP / made.RATE)


def test_bursts_of_one_place_are_one_signal():
    iq = made.noise(60)
    for first in (5, 25, 45):
        made.add(iq, 300, 330, 12.0, first, first + 4)
    messages, table = listed(made.items_of(iq))
    assert [row[keys.BURSTS] for row in table] == [3]
    assert len({row[keys.SIGNAL_ID] for row in messages}) == 1
    assert [row[keys.STATE] for row in messages].count(OPEN) == 3


def test_a_weak_signal_needs_the_mean_of_several_frames():
    iq = made.add(made.noise(24), 500 - 240, 500 - 201, 1.0)
    table = listed(made.items_of(iq))[1]
    assert len(table) == 1
    low, high = edges(table[0])
    assert low == pytest.approx(260, abs=6) and high == pytest.approx(299, abs=6)


@pytest.mark.parametrize("batch", [1, 3, 8, 11])
def test_a_result_does_not_depend_on_the_batches(batch):
    iq = made.add(made.add(made.noise(43), 200, 260, 6.0), 700, 719, 3.0, 9, 30)
    items = made.items_of(iq)
    assert listed(items, batch) == listed(items)


def test_items_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"items of shape \(2, 7\)"):
        SignalList(made.RATE, 433e6, made.HOP).update(np.zeros((2, 7), np.float32))
    with pytest.raises(ValueError, match="token_classes"):
        SignalList(made.RATE, 433e6, made.HOP, ("LTE", "noise")).update(np.zeros((1, 1344), np.float32), np.zeros((1, 5)))
