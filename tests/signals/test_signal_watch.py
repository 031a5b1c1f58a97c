# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals over several tunings, gaps and short frames: one number, one row, one burst for each."""

import band_samples as made
import numpy as np
import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.detector.events import Segment
from gnuradio.spectrumencoder.encoder.token_classes import columns
from gnuradio.spectrumencoder.signals.watch import SignalWatch
from gnuradio.spectrumencoder.tokens.layout import FrameLayout

T0 = 1.7e9
LABELS = ("LTE", "LoRa", "noise")


def segment(freq_hz=433e6, *, relative=False):
    return Segment(0.0 if relative else freq_hz, made.RATE, "ism", made.HOP, made.K, (T0, 0), "tag", relative)


def give(watch, items, first=0, one=None, batch=1000, classes=None):
    """Gives items from frame `first` on; returns the messages."""
    one = one or segment()
    return [row for at in range(0, len(items), batch)
            for row in watch.update(items[at:at + batch], None if classes is None else classes[at:at + batch],
                                    (first + at) * made.HOP, one)]


def seconds(frames):
    return frames * made.HOP / made.RATE


def tokens_of(count, low, high, name, share=0.9):
    """Token classes (F, M (L + 2)): noise, but for the tokens of bins low..high."""
    tokens = np.zeros((count, made.N // 8, len(columns(LABELS))), np.float32)
    tokens[..., LABELS.index("noise")] = 1.0
    part = tokens[:, low // 8:high // 8 + 1]
    part[..., LABELS.index("noise")], part[..., columns(LABELS).index(name)] = 1.0 - share, share
    return tokens.reshape(count, -1)


def test_messages_have_times_and_the_vocabularys_order():
    watch = SignalWatch(n_bins=made.N)
    said = give(watch, made.items_of(made.add(made.noise(40), 300, 330, 12.0, 10, 15))) + watch.leave()
    assert [row[keys.STATE] for row in said] in (["open", "close"], ["open", "update", "close"])
    for row in said:
        assert list(row) == [key for key in keys.SIGNAL_FIELDS if key in row]
        assert (row[keys.SIGNAL_ID], row[keys.TIME_SOURCE], row[keys.BAND], row[keys.BURSTS]) == (1, "tag", "ism", 1)
        assert row[keys.TIMESTAMP] == row[keys.FIRST_HEARD] == pytest.approx(T0 + seconds(10))
        assert keys.FREQ_RELATIVE not in row
    assert said[-1][keys.LAST_HEARD] == pytest.approx(T0 + seconds(15))
    row, = watch.table()
    assert not {keys.STATE, keys.SAMPLE_START, keys.SAMPLE_COUNT} & row.keys()
    assert (row[keys.FREQ_CENTER_HZ] - 433e6) / made.BIN_HZ == pytest.approx(315 - 512, abs=2)
    assert row[keys.DUTY_CYCLE] == pytest.approx(5 / 30, abs=0.01)  # of the time since it was heard first
    assert (row[keys.FIRST_HEARD], row[keys.LAST_HEARD]) == (pytest.approx(T0 + seconds(10)), pytest.approx(T0 + seconds(15)))


@pytest.mark.parametrize("batch", [1, 3, 8, 11])
def test_a_result_does_not_depend_on_the_batches(batch):
    items = made.items_of(made.add(made.add(made.noise(43), 200, 260, 6.0), 700, 719, 3.0, 9, 30))
    results = []
    for size in (1000, batch):
        watch = SignalWatch(n_bins=made.N)
        results.append((give(watch, items, batch=size) + watch.leave(), watch.table()))
    assert results[0] == results[1] and results[0][1]


def test_the_class_is_that_of_the_tokens_over_all_bursts():
    iq = made.noise(60)
    classes = tokens_of(60, 0, 0, "noise")
    for first, name in ((5, "LoRa"), (25, "LTE"), (45, "LoRa")):
        made.add(iq, 300, 330, 12.0, first, first + 5)
        classes[first:first + 5] = tokens_of(5, 300, 330, name)
    watch = SignalWatch(LABELS, n_bins=made.N)
    said = give(watch, made.items_of(iq), classes=classes) + watch.leave()
    assert [row[keys.LABEL] for row in said if row[keys.STATE] == "close"] == ["LoRa", "LTE", "LoRa"]
    row, = watch.table()
    assert (row[keys.LABEL], row[keys.BURSTS]) == ("LoRa", 3)
    assert 0.4 < row[keys.CONFIDENCE] < 0.68  # two of three bursts


def test_a_left_out_class_is_an_unknown_signal_and_nan_is_no_answer():
    iq = made.add(made.noise(24), 300, 330, 12.0)
    none = np.full((24, 128 * 5), np.nan, np.float32)
    for classes, label in ((tokens_of(24, 300, 330, "unknown signal"), "unknown signal"), (None, "unknown signal"),
                           (none, "unknown signal"), (tokens_of(24, 300, 330, "LTE"), "LTE")):
        watch = SignalWatch(LABELS, n_bins=made.N)
        give(watch, made.items_of(iq), classes=classes)
        watch.leave()
        assert [row[keys.LABEL] for row in watch.table()] == [label]


def test_visits_of_a_tuning_are_one_list_and_what_stays_is_one_burst():
    """A radio that hops: a carrier stays on, a burst comes in the second visit, and another station is on elsewhere."""
    watch, here, there = SignalWatch(n_bins=made.N), segment(), segment(434e6)
    iq = made.add(made.add(made.noise(24), 200, 230, 15.0), 700, 719, 15.0, 12, 16)
    items, other = made.items_of(iq), made.items_of(made.add(made.noise(16, seed=3), 600, 640, 15.0))
    said = give(watch, items[:10], 0, here) + give(watch, other[:8], 10, there) + give(watch, items[10:], 40, here)
    said += give(watch, other[8:], 100, there) + watch.leave()
    table = watch.table()
    assert [row[keys.BURSTS] for row in table] == [1, 1, 1]
    assert {row[keys.SIGNAL_ID] for row in said} == {row[keys.SIGNAL_ID] for row in table} == {1, 2, 3}
    stays, comes, elsewhere = table
    assert stays[keys.FIRST_HEARD] == pytest.approx(T0) and stays[keys.LAST_HEARD] == pytest.approx(T0 + seconds(54))
    assert stays[keys.DUTY_CYCLE] == elsewhere[keys.DUTY_CYCLE] == 1.0
    assert comes[keys.FIRST_HEARD] == pytest.approx(T0 + seconds(42))
    assert elsewhere[keys.FREQ_CENTER_HZ] == pytest.approx(434e6 + (620 - 512) * made.BIN_HZ, abs=3 * made.BIN_HZ)
    assert (watch.tunings, watch.n_signals) == (2, 3)


def test_a_burst_in_each_visit_is_a_burst_each():
    watch = SignalWatch(n_bins=made.N)
    for visit in range(3):
        give(watch, made.items_of(made.add(made.noise(16, seed=visit), 300, 330, 12.0, 5, 9)), 100 * visit)
    watch.leave()
    assert [row[keys.BURSTS] for row in watch.table()] == [3]


def test_a_gap_ends_bursts_and_samples_are_those_of_the_stream():
    watch = SignalWatch(n_bins=made.N)
    items = made.items_of(made.add(made.noise(30), 300, 330, 12.0))
    said = give(watch, items[:15]) + give(watch, items[15:], 1000) + watch.leave()
    closed = [row for row in said if row[keys.STATE] == "close"]
    assert [row[keys.SAMPLE_START] // made.HOP for row in closed] == [0, 1000]
    assert [row[keys.SAMPLE_COUNT] // made.HOP for row in closed] == [15, 15]


def test_a_station_across_two_hops_is_one_row():
    """The usable bands of two hops meet in the middle of it: each hop sees a half."""
    watch = SignalWatch(n_bins=made.N, usable=0.5)
    low, high = segment(433e6), segment(433e6 + 512 * made.BIN_HZ)  # usable bins 256..767 of each
    give(watch, made.items_of(made.add(made.noise(24), 728, 808, 15.0)), 0, low)
    give(watch, made.items_of(made.add(made.noise(24, seed=5), 216, 296, 15.0)), 24, high)
    watch.leave()
    row, = watch.table()
    assert row[keys.FREQ_CENTER_HZ] == pytest.approx(433e6 + (768 - 512) * made.BIN_HZ, abs=3 * made.BIN_HZ)
    assert row[keys.BANDWIDTH_HZ] == pytest.approx(81 * made.BIN_HZ, abs=6 * made.BIN_HZ)
    assert (row[keys.BURSTS], row[keys.DUTY_CYCLE]) == (1, 1.0)


def test_neighbours_at_a_border_stay_two_rows():
    watch = SignalWatch(n_bins=made.N, usable=0.5)
    give(watch, made.items_of(made.add(made.noise(24), 600, 640, 15.0)), 0, segment(433e6))
    give(watch, made.items_of(made.add(made.noise(24, seed=5), 300, 340, 15.0)), 24, segment(433e6 + 512 * made.BIN_HZ))
    watch.leave()
    assert len(watch.table()) == 2


def test_short_frames_are_left_out():
    items = made.items_of(made.add(made.noise(24), 300, 330, 12.0))
    short = items.copy()
    _, side = FrameLayout(made.N, 8).split(short)
    side[16, 1] = 3.0
    watch = SignalWatch(n_bins=made.N)
    closed = [row for row in give(watch, short) + watch.leave() if row[keys.STATE] == "close"]
    assert [row[keys.SAMPLE_COUNT] // made.HOP for row in closed] == [16, 7]


def test_without_a_frequency_it_counts_from_the_centre():
    watch = SignalWatch(n_bins=made.N)
    said = give(watch, made.items_of(made.add(made.noise(24), 600, 630, 12.0)), one=segment(relative=True)) + watch.leave()
    assert all(row[keys.FREQ_RELATIVE] is True for row in [*said, *watch.table()])
    assert said[0][keys.FREQ_CENTER_HZ] == pytest.approx((615 - 512) * made.BIN_HZ, abs=3 * made.BIN_HZ)


def test_a_thousand_frames_of_noise_give_no_row():
    """Its messages may be of a peak of noise; the table is surer. 0.9 million bins, a chance of 1e-4 in all."""
    watch = SignalWatch(n_bins=made.N)
    for part in range(5):
        give(watch, made.items_of(made.noise(200, seed=part)), 200 * part)
    watch.leave()
    assert watch.table() == []


def test_it_forgets_the_oldest_tunings(monkeypatch):
    from gnuradio.spectrumencoder.signals import watch as module
    monkeypatch.setattr(module, "MAX_TUNINGS", 3)
    watch, items = SignalWatch(n_bins=made.N), made.items_of(made.add(made.noise(16), 300, 330, 12.0))
    for number in range(5):
        give(watch, items, 16 * number, segment(433e6 + 10e6 * number))
    watch.leave()
    assert [round(row[keys.FREQ_CENTER_HZ] / 1e7) for row in watch.table()] == [45, 46, 47]


def test_what_is_out_of_range_is_refused():
    with pytest.raises(ValueError, match="usable 1.5 is outside"):
        SignalWatch(usable=1.5)


def test_a_burst_that_is_a_part_of_another_closes_with_no_samples_and_does_not_count(monkeypatch):
    """As a list says when it takes the parts of an emission for one: here a list that always takes them so."""
    from gnuradio.spectrumencoder.signals import watch as module
    row = {keys.SIGNAL_ID: 5, keys.STATE: "open", keys.SAMPLE_START: 0, keys.SAMPLE_COUNT: made.HOP, keys.FREQ_CENTER_HZ: 1e8,
           keys.BANDWIDTH_HZ: 1e4, keys.POWER_DBFS: -50.0, keys.SNR_DB: 10.0, keys.LABEL: "LTE", keys.CONFIDENCE: 1.0}
    parts = [row, row | {keys.STATE: "close", keys.SAMPLE_COUNT: 0}]
    monkeypatch.setattr(module.SignalList, "update", lambda self, *a: parts)
    watch = SignalWatch(LABELS, n_bins=made.N)
    said = give(watch, made.items_of(made.noise(1)))
    assert [(m[keys.STATE], m[keys.BURSTS]) for m in said] == [("open", 1), ("close", 0)]
