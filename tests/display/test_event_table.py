# SPDX-License-Identifier: GPL-3.0-or-later
"""Events, tracks, labels and pace of the display."""

import math

import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.display.appearance import THREAT_COLORS, event_label, likeliest_threat, threat_color
from gnuradio.spectrumencoder.display.choices import choices_of
from gnuradio.spectrumencoder.display.event_table import MAX_EVENTS, MAX_TRACKS, Box, EventTable, TrackTable, event_box
from gnuradio.spectrumencoder.display.pace import Pace

EVENT = {keys.EVENT_ID: "a", keys.FREQ_CENTER_HZ: 100e6, keys.BANDWIDTH_HZ: 2e4, keys.SAMPLE_START: 1000, keys.SAMPLE_COUNT: 500,
         keys.SNR_DB: 12.4, keys.P_VALUE: 0.001, keys.THREAT_LEVEL: "HIGH", keys.POSSIBLE_THREATS: {"carrier": 0.2, "sweep": 0.7}}


def test_of_an_event_the_last_word_counts_and_the_oldest_are_forgotten():
    book = EventTable()
    for number in range(MAX_EVENTS + 5):
        book.update({keys.EVENT_ID: str(number), keys.STATE: "open"})
    book.update({keys.EVENT_ID: "7", keys.STATE: "close"})
    events = book.newest_first()
    assert len(events) == MAX_EVENTS and book.n_events == MAX_EVENTS + 5
    assert events[0][keys.EVENT_ID] == str(MAX_EVENTS + 4) and events[-3] == {keys.EVENT_ID: "7", keys.STATE: "close"}


def test_box_of_an_event():
    assert event_box(EVENT, lambda sample: sample / 1e6) == Box(0.001, 0.0015, 99.99e6, 100.01e6)
    for missing in (keys.FREQ_CENTER_HZ, keys.SAMPLE_START, keys.SAMPLE_COUNT):
        assert event_box({k: v for k, v in EVENT.items() if k != missing}, float) is None
        assert event_box(EVENT | {missing: math.inf}, float) is None and event_box(EVENT | {missing: "x"}, float) is None


def test_words_on_an_event():
    assert event_label(EVENT) == "100.0000 MHz, 20 kHz wide, 12 dB, p 1.0e-03"
    assert event_label({keys.FREQ_CENTER_HZ: 1e6, keys.BANDWIDTH_HZ: 0.0, keys.P_VALUE: None}) == "1.0000 MHz"
    assert likeliest_threat(EVENT) == "sweep 70 %"
    assert likeliest_threat({}) == likeliest_threat({keys.POSSIBLE_THREATS: {"sweep": "x"}}) == ""
    assert threat_color(EVENT) == THREAT_COLORS[2] and threat_color({}) == THREAT_COLORS[-1]


def test_tracks_grow_end_and_are_forgotten():
    book = TrackTable()
    for time_s in range(5):
        book.update({keys.TRACK_ID: 3, keys.FREQ_CENTER_HZ: 1e8 + time_s, keys.BANDWIDTH_HZ: 5e3}, float(time_s))
    track = book.tracks["3"]
    assert list(track.centers_hz) == [1e8, 1e8 + 1, 1e8 + 2, 1e8 + 3, 1e8 + 4] and track.bandwidth_hz == 5e3 and not track.ended
    book.update({keys.TRACK_ID: 3, keys.FREQ_CENTER_HZ: 1e8, keys.STATE: "CLOSE"}, 5.0)
    assert track.ended
    book.update({keys.TRACK_ID: "ship", "latitude": 54.0}, 6.0)
    assert list(book.tracks) == ["3"]
    book.forget_before(5.5)
    assert not book.tracks


def test_tracks_are_bounded():
    book = TrackTable()
    for number in range(MAX_TRACKS + 10):
        book.update({keys.TRACK_ID: number, keys.FREQ_CENTER_HZ: 1e8}, float(number))
    assert len(book.tracks) == MAX_TRACKS and "9" not in book.tracks and "10" in book.tracks


@pytest.mark.parametrize(("took_s", "draws", "skipped"), [(0.001, 20, 0), (0.02, 20, 0), (0.04, 10, 10), (0.3, 2, 22)])
def test_drawing_takes_at_most_half_of_the_time(took_s, draws, skipped):
    pace, now, busy = Pace(0.05), 0.0, 0.0
    while pace.draws + pace.skipped < 20:
        wait = pace.drew(now, now + took_s)
        assert wait >= took_s or wait == pytest.approx(0.05 - took_s)
        busy, now = busy + took_s, now + took_s + wait
    assert busy <= now / 2 + 1e-9
    assert (pace.draws, pace.skipped) == (draws, skipped)


def test_choices_are_what_the_model_holds(model_file):
    choices = choices_of(str(model_file))
    assert choices.dropout_rates == (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75)
    assert choices.rope_modes == ("dynamic", "static", "none")
    assert {"naive", "flash", "linear"} <= set(choices.backends) and "mhla_naive" in choices.backends
