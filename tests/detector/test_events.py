# SPDX-License-Identifier: GPL-3.0-or-later
"""Events: open, update, close, merge, hold; places, powers, times and levels in their fields."""

import json
import math

import numpy as np
import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.detector.events import MERGE_BINS, UPDATE_FRAMES, EventBuilder, Frame, Segment, Sighting
from gnuradio.spectrumencoder.detector.regions import EXCESS, LEVEL, MISSING, Region
from gnuradio.spectrumencoder.detector.threats import threat_level

N, HOP = 256, 4096
SEGMENT = Segment(rx_freq=100e6, rx_rate=1e6, band="ism", frame_hop=HOP, frame_average=16, time_anchor=(1000.5, 4096),
                  time_source="tag")


def frame(index, level_db=0.0, low=0, high=-1, expected=-90.0):
    psd = np.full(N, -90.0, np.float32)
    psd[low:high + 1] += level_db
    standard = (psd + 90.0) / 1.1
    return Frame(index, index * HOP, (index + 1) * HOP, psd, np.full(N, index, np.float32), standard, -90.0, expected,
                 "LoRa", 0.75, 0.25, 1.5)


def sighting(low, high, score=2.0, kind=EXCESS, p=0.005):
    return Sighting(Region(kind, low, high, score, "residual_4"), p)


def see(tracker, index, *sightings, level_db=20.0):
    low, high = (sightings[0].region.low, sightings[0].region.high) if sightings else (0, -1)
    return [e.fields for e in tracker.see(frame(index, level_db, low, high), list(sightings), SEGMENT)]


def states(events):
    return [(e[keys.STATE], e[keys.EVENT_ID]) for e in events]


def test_opens_once_holds_and_closes_where_it_was_last_seen():
    tracker = EventBuilder(N, hold=3)
    events = see(tracker, 5, sighting(10, 12))
    for index in (6, 8, 11):  # gaps of up to two frames, then exactly `hold` minus one
        events += see(tracker, index, sighting(10, 12))
    assert not tracker.expire(14)
    events += [e.fields for e in tracker.expire(15)]
    assert [e[keys.STATE] for e in events] == ["open", "close"]
    assert {e[keys.EVENT_ID] for e in events} == {f"{5 * HOP}-0"}
    assert (events[-1][keys.SAMPLE_START], events[-1][keys.SAMPLE_COUNT]) == (5 * HOP, 7 * HOP)
    assert tracker.n_open == 0


def test_a_second_sighting_after_the_hold_is_a_new_event():
    tracker = EventBuilder(N, hold=2)
    events = see(tracker, 0, sighting(10, 12)) + see(tracker, 3, sighting(10, 12))
    assert [s for s, _ in states(events)] == ["open", "close", "open"]
    assert events[0][keys.EVENT_ID] != events[2][keys.EVENT_ID]


def test_simultaneous_events_in_different_places():
    tracker = EventBuilder(N)
    events = see(tracker, 0, sighting(10, 12), sighting(100, 140)) + see(tracker, 1, sighting(101, 139), sighting(10, 11))
    assert [s for s, _ in states(events)] == ["open", "open"]
    assert tracker.n_open == 2
    closes = [e.fields for e in tracker.close_all()]
    assert [c[keys.SAMPLE_COUNT] for c in closes] == [2 * HOP, 2 * HOP]


def test_regions_side_by_side_are_one_event():
    tracker = EventBuilder(N)
    events = see(tracker, 0, sighting(10, 20), sighting(21 + MERGE_BINS - 1, 40))
    assert len(events) == 1
    assert see(EventBuilder(N), 0, sighting(10, 20), sighting(21 + MERGE_BINS, 40))[1][keys.STATE] == "open"


def test_events_that_grow_together_become_the_older():
    tracker = EventBuilder(N)
    see(tracker, 0, sighting(10, 20))
    see(tracker, 1, sighting(60, 70), sighting(10, 20))
    events = see(tracker, 2, sighting(10, 70))
    assert states(events) == [("close", f"{HOP}-1")]
    closed = [e.fields for e in tracker.close_all()]
    assert states(closed) == [("close", "0-0")]
    assert closed[0][keys.SAMPLE_START] == 0


def test_kinds_are_never_merged():
    tracker = EventBuilder(N)
    events = see(tracker, 0, sighting(10, 20), sighting(12, 18, kind=MISSING), sighting(0, N - 1, kind=LEVEL))
    assert len(events) == 3


def test_updates_come_with_time_and_with_the_threat():
    tracker = EventBuilder(N, false_alarm_rate=0.01)
    told = [index for index in range(3 * UPDATE_FRAMES) for e in see(tracker, index, sighting(10, 12, p=0.009))
            if e[keys.STATE] == "update"]
    assert 63 in told  # the 64th frame: LOW becomes MEDIUM
    assert max(np.diff([0, *told])) <= UPDATE_FRAMES


def test_place_power_and_time():
    tracker = EventBuilder(N, enbw_bins=2.0, model="m")
    event = see(tracker, 3, sighting(129, 131), level_db=20.0)[0]
    width = 1e6 / N
    assert event[keys.FREQ_CENTER_HZ] == pytest.approx(100e6 + 2 * width)
    assert event[keys.BANDWIDTH_HZ] == pytest.approx(3 * width)
    assert event[keys.POWER_DBFS] == pytest.approx(-70 + 10 * math.log10(3 / 2), abs=1e-3)
    assert event[keys.SNR_DB] == pytest.approx(10 * math.log10(99), abs=1e-3)
    assert event[keys.TIMESTAMP] == pytest.approx(1000.5 + 2 * HOP / 1e6)
    assert event[keys.TIME_SOURCE] == "tag"
    assert (event[keys.LABEL], event[keys.CONFIDENCE], event[keys.BAND], event[keys.MODEL]) == ("LoRa", 0.75, "ism", "m")
    assert (event[keys.ANOMALY_SCORE], event[keys.P_VALUE], event[keys.THRESHOLD]) == (2.0, 0.005, 1.5)
    assert event[keys.IS_ANOMALY] is True
    assert set(event) <= set(keys.EVENT_FIELDS)
    assert keys.POSSIBLE_THREATS not in event
    json.dumps(event, allow_nan=False)


def test_without_calibration_there_is_no_p_value():
    assert keys.P_VALUE not in see(EventBuilder(N), 0, sighting(10, 12, p=None))[0]


def test_the_place_is_the_occupied_band_not_every_stray_bin():
    tracker = EventBuilder(N)
    for index in range(50):
        see(tracker, index, sighting(100, 102), level_db=20)
    see(tracker, 50, sighting(96, 102), level_db=0)  # one frame reaches wider, with no more power than the floor
    close = tracker.close_all()[0].fields
    assert close[keys.BANDWIDTH_HZ] == pytest.approx(3 * 1e6 / N)


def test_a_sweep_covers_all_that_it_swept():
    tracker = EventBuilder(N)
    for index in range(20):
        see(tracker, index, sighting(50 + 5 * index, 54 + 5 * index))
    close = tracker.close_all()[0].fields
    assert tracker.n_open == 0
    assert close[keys.BANDWIDTH_HZ] == pytest.approx(100 * 1e6 / N, rel=0.03)


def test_a_barrage_is_measured_over_the_expected_floor():
    tracker = EventBuilder(N)
    event = tracker.see(frame(0, 0.0, expected=-100.0), [sighting(0, N - 1, kind=LEVEL)], SEGMENT)[0].fields
    assert event[keys.SNR_DB] == pytest.approx(10 * math.log10(9), abs=1e-3)
    assert event[keys.BANDWIDTH_HZ] == pytest.approx(1e6)


def test_residual_and_label_are_those_of_the_strongest_frame():
    tracker = EventBuilder(N)
    for index, score in ((0, 2.0), (1, 9.0), (2, 3.0)):
        see(tracker, index, sighting(10, 12, score=score))
    closed = tracker.close_all()[0]
    assert closed.residual[0] == 1
    assert closed.fields[keys.ANOMALY_SCORE] == 9.0


@pytest.mark.parametrize(("changes", "level"), [
    ({}, "LOW"), ({"p_value": 0.001}, "LOW"), ({"p_value": 0.001, "extent": 0.05}, "MEDIUM"),
    ({"n_frames": 64}, "MEDIUM"), ({"n_frames": 64, "score": 3.0}, "HIGH"),
    ({"n_frames": 8, "score": 3.0, "extent": 1.0, "p_value": None}, "HIGH"),
])
def test_threat_levels(changes, level):
    given = {"score": 1.6, "threshold": 1.5, "p_value": 0.009, "false_alarm_rate": 0.01, "extent": 0.01, "n_frames": 1}
    assert threat_level(**given | changes) == level
