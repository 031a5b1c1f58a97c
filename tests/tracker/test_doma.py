# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole tracker: dicts in, dicts of tracks out, as messages, GeoJSON and Cursor-on-Target; hostile reports."""

import json
import math
from xml.etree import ElementTree

import numpy as np
import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.tracker.describe import cursor_on_target, feature, json_line
from gnuradio.spectrumencoder.tracker.doma import DomaTracker
from gnuradio.spectrumencoder.tracker.fixes import Refused

T0 = 1.7e9
ADSB = {"callsign": "KLM1", "altitude": 35000.0, "speed": 450.0, "heading": 90.0, "vertical_rate": 0.0, "latitude": 52.3,
        "longitude": 4.8, "num_msgs": 3, "timestamp": T0, "datetime": "x", "icao": "4840d6", "df": 17, "snr": 12.0}


def flight(seconds, **others):
    return [ADSB | {"timestamp": T0 + t, "latitude": 52.3 + 0.002 * t} | others for t in range(seconds)]


def messages_of(tracker, reports):
    out = []
    for fields in reports:
        tracker.report(fields)
        out += tracker.messages()
    tracker.flush()
    return out + tracker.messages(everything=True)


def test_a_flight_opens_updates_and_closes():
    tracker = DomaTracker(horizons_s=(1.0, 10.0))
    out = messages_of(tracker, flight(30) + [ADSB | {"icao": "other", "timestamp": T0 + t} for t in range(40, 250, 20)])
    mine = [m for m in out if m[keys.IDENTITY] == "4840d6"]
    assert [m[keys.STATE] for m in mine] == ["open", *["update"] * 27, "close"]
    last = mine[-2]
    assert set(last) <= set(keys.TRACK_FIELDS) and last[keys.KIND] == "spatial"
    assert last[keys.LATITUDE] == pytest.approx(52.3 + 0.002 * 29, abs=2e-4)
    assert last[keys.ALTITUDE] == pytest.approx(10668, abs=10)
    assert last[keys.VELOCITY_MPS][1] == pytest.approx(222.5, abs=3)
    near, far = last[keys.PREDICTIONS]
    assert far[keys.LATITUDE] == pytest.approx(52.3 + 0.002 * 39, abs=1e-3) and far[keys.HORIZON_S] == 10
    assert far[keys.COVARIANCE][0] > near[keys.COVARIANCE][0] > 0


def test_messages_keep_their_interval():
    out = messages_of(DomaTracker(interval_s=5.0), flight(31))
    assert len(out) in (6, 7)


def test_events_become_spectral_tracks_and_bands_to_keep():
    tracker = DomaTracker()
    out = []
    for t in range(10):
        tracker.report({"event_id": f"e{t}", "state": "open", "timestamp": T0 + t, "freq_center_hz": 433.9e6 + 50.0 * t,
                        "bandwidth_hz": 1e4, "power_dbfs": -50.0, "is_anomaly": True})
        out += tracker.messages()
    assert out[0][keys.KIND] == "spectral" and set(out[-1]) <= set(keys.TRACK_FIELDS)
    assert out[-1][keys.ANOMALY_IDS] == [f"e{t}" for t in range(10)]
    ((low, high),) = tracker.control()[keys.KEEP_BANDS_HZ]
    assert low < 433.9e6 - 4e3 and high > 433.9e6 + 5e3 and high - low < 5e4
    assert tracker.control() is None  # nothing new to tell


def test_events_that_close_long_after_their_last_transmission_are_no_old_reports():
    def event(number, state, at_s):
        return {"event_id": f"e{number}", "state": state, "timestamp": T0 + at_s, "sample_count": 1,
                "freq_center_hz": 433.9e6 + 1e5 * number, "bandwidth_hz": 1e4, "power_dbfs": -50.0, "is_anomaly": True}
    tracker = DomaTracker()
    for number in range(8):
        tracker.report(event(number, "open", number))
    tracker.report(event(9, "open", 500))
    for number in range(8):  # at the end of a run; as many as set a clock
        tracker.report(event(number, "close", number))
    assert not tracker.refused and tracker.spectral.time_s == T0 + 500
    with pytest.raises(Refused, match="older than the newest"):
        tracker.report(event(3, "update", 3))


def test_an_anomaly_is_noted_with_the_only_track_on_its_frequency():
    tracker = DomaTracker()
    for fields in flight(5, freq_center_hz=1.09e9):
        tracker.report(fields)
    tracker.flush()
    event = {"event_id": "a7", "state": "open", "timestamp": T0 + 4.2, "freq_center_hz": 1.0901e9, "bandwidth_hz": 1e6,
             "is_anomaly": True}
    tracker.report(event)
    tracker.report(event | {"event_id": "a8", "freq_center_hz": 1.2e9})
    assert tracker.messages(everything=True)[0][keys.ANOMALY_IDS] == ["a7"]


def test_a_jump_shows_in_the_messages():
    reports = [r | {"latitude": r["latitude"] + (1.0 if t >= 20 else 0.0)} for t, r in enumerate(flight(40))]
    out = messages_of(DomaTracker(), reports)
    told = [m[keys.TRACK_ANOMALY] for m in out if keys.TRACK_ANOMALY in m]
    assert told and told[0][keys.KIND] == "jump" and told[0][keys.TIMESTAMP] == T0 + 20
    assert told[0][keys.DISTANCE_M] == pytest.approx(111e3, rel=0.02)


def test_geojson_and_cursor_on_target_say_the_same():
    last = messages_of(DomaTracker(), flight(20, icao="a<&\x00b"))[-1]
    shown = feature(json.loads(json_line(last)))
    point, line = shown["geometry"]["geometries"]
    np.testing.assert_allclose(point["coordinates"][:2], [last[keys.LONGITUDE], last[keys.LATITUDE]], atol=1e-6)
    assert len(line["coordinates"]) == 1 + len(last[keys.PREDICTIONS])
    event = ElementTree.fromstring(cursor_on_target(last))
    assert event.get("version") == "2.0" and event.get("type") == "a-u-A"
    assert event.get("time") == "2023-11-14T22:13:39.000Z" and event.get("stale") == "2023-11-14T22:15:39.000Z"
    assert float(event.find("point").get("lat")) == pytest.approx(last[keys.LATITUDE], abs=1e-6)
    assert float(event.find("detail/track").get("speed")) == pytest.approx(222.5, abs=5)
    assert event.find("detail/contact").get("callsign") == "a<&b"
    assert cursor_on_target({keys.KIND: "spectral"}) is None


def test_hostile_reports_are_counted_and_make_no_track():
    tracker = DomaTracker()
    good = flight(40)
    hostile = [ADSB | {"icao": f"bad{k}"} | change for k, change in enumerate([
        {"latitude": math.nan}, {"timestamp": math.nan}, {"timestamp": -math.inf}, {"latitude": 95.0},
        {"latitude": 4.8, "longitude": 52.3}, {"units": {"altitude": "smoot"}}, {"covariance_m2": [0.0] * 9},
        {"timestamp": T0 - 5000}, {"timestamp": T0 + 1e9},
        {"timestamp": 10**30}, {"longitude": "east"}, {"altitude": math.inf}, {"latitude": True}])]
    hostile += [{"nothing": 1.0}, {"freq_center_hz": math.nan, "bandwidth_hz": 1.0, "timestamp": T0}]
    refused = 0
    for fields in good[:4]:
        tracker.report(fields)
    good = good[4:]
    for fields in good:
        tracker.report(fields)
        for bad in hostile:
            try:
                tracker.report(bad)
            except Refused as error:
                refused += 1
                assert error.reason
    tracker.flush()
    assert refused == len(good) * len(hostile) == sum(tracker.refused.values())
    assert {track.identity for track in tracker.spatial.tracks(tentative=True)} == {"4840d6"}
    assert len(tracker.spectral) == 0


def test_a_first_position_that_was_wrong_leaves_nothing_behind():
    tracker = DomaTracker()
    tracker.report(ADSB | {"icao": "bad", "latitude": 4.8, "longitude": 52.3})
    out = messages_of(tracker, flight(10))
    assert {m[keys.IDENTITY] for m in out} == {"4840d6"} and len(tracker.spatial) == 1
    assert out[-1][keys.LATITUDE] == pytest.approx(52.318, abs=1e-3)


def test_times_that_run_backwards_make_no_track():
    tracker = DomaTracker()
    for t in range(200):
        try:
            tracker.report(ADSB | {"icao": "back", "timestamp": T0 - 20.0 * t, "latitude": 52 + 1e-3 * t})
        except Refused as error:
            assert error.reason in ("old", "repeat")
    tracker.flush()
    assert tracker.spatial.tracks() == [] and tracker.refused["old"] > 150


def test_a_recording_started_again_is_a_new_time():
    tracker = DomaTracker()
    first = messages_of(tracker, flight(10))
    refused = 0
    again = []
    for fields in flight(20, timestamp=0):
        fields["timestamp"] = 1000.0 + fields["latitude"] * 500 - 52.3 * 500
        try:
            tracker.report(fields)
            again += tracker.messages()
        except Refused:
            refused += 1
    assert refused == 4 and first[0][keys.TRACK_ID] != again[-1][keys.TRACK_ID]
    assert [m[keys.STATE] for m in again[:2]] == ["close", "open"]


def test_settings_change_live():
    tracker, other = DomaTracker(), DomaTracker()
    messages_of(other, flight(20))
    for fields in flight(10):
        tracker.report(fields)
    tracker.set_process_noise(100.0)
    tracker.set_gate(0.9)
    tracker.set_horizons((2.0,))
    for fields in flight(20)[10:]:
        tracker.report(fields)
    tracker.flush()
    wide, narrow = (t.spatial.tracks()[0].estimate.covariance for t in (tracker, other))
    assert np.trace(wide) > 1.1 * np.trace(narrow)
    assert [p[keys.HORIZON_S] for p in tracker.messages(True)[0][keys.PREDICTIONS]] == [2.0]
    for change in (lambda: tracker.set_horizons((5.0, 1.0)), lambda: tracker.set_gate(1.5),
                   lambda: tracker.set_process_noise(0.0), lambda: tracker.set_horizons((1e4,))):
        with pytest.raises(ValueError):
            change()
