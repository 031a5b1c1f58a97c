# SPDX-License-Identifier: GPL-3.0-or-later
"""Dicts of PDUs become fixes, in metres and with a covariance, or are refused with a reason."""

import math

import numpy as np
import pytest
from gnuradio.spectrumencoder.tracker.clock import AHEAD, OLD, ON_TIME, RESET, Clock
from gnuradio.spectrumencoder.tracker.fixes import FixReader, Refused
from gnuradio.spectrumencoder.tracker.geo import Origin, to_local

ADSB = {"callsign": "KLM1", "altitude": 35000.0, "speed": 450.0, "heading": 90.0, "vertical_rate": 0.0, "latitude": 52.3,
        "longitude": 4.8, "num_msgs": 3, "timestamp": 1.7e9, "datetime": "x", "icao": "4840D6", "df": 17, "snr": 12.0}
PLACE = {"timestamp": 1.7e9, "latitude": 52.3, "longitude": 4.8, "altitude": 1000.0}
ORIGIN = Origin(52.0, 4.5)


def refusal(reader, fields):
    before = sum(reader.refused.values())
    with pytest.raises(Refused) as error:
        reader.read(fields)
    assert sum(reader.refused.values()) == before + 1
    return error.value.reason


def test_gr_adsb_as_it_is():
    fix = FixReader(ORIGIN).read(ADSB)
    np.testing.assert_allclose(fix.position_m, to_local(52.3, 4.8, 35000 * 0.3048, ORIGIN))
    assert fix.identity == "4840d6" and fix.source == "adsb" and fix.covariance_m2[0, 0] == 2500
    assert len(FixReader(ORIGIN).read(ADSB | {"altitude": math.nan}).position_m) == 2


def test_names_and_units_of_sigmf():
    reader = FixReader(ORIGIN)
    plain = reader.read(PLACE)
    point = {"type": "Point", "coordinates": [4.8, 52.3, 1000.0]}
    assert np.array_equal(reader.read({"timestamp": 1.7e9, "spatial:emitter_location": point}).position_m, plain.position_m)
    feet = reader.read(PLACE | {"altitude": 1000 / 0.3048, "units": {"altitude": "ft"}})
    np.testing.assert_allclose(feet.position_m, plain.position_m)
    local = reader.read({"timestamp": 0, "position_m": [1.0, 2.0], "units": {"position": "km"}, "covariance_m2": [4, 1, 1, 9]})
    np.testing.assert_array_equal(local.position_m, [1000, 2000])
    np.testing.assert_array_equal(local.covariance_m2, [[4, 1], [1, 9]])
    weak = FixReader(ORIGIN, weak_snr_db=10.0).read(PLACE | {"snr": 5.0, "event_id": "a1", "freq_center_hz": 1.09e9})
    assert weak.weak and weak.anomaly_id == "a1" and weak.freq_center_hz == 1.09e9


def test_receivers_become_a_position():
    receivers = [{"position_m": [0.0, 0.0], "bearing": {"azimuth": 45.0, "az_error": 1.0}},
                 {"position_m": [1000.0, 0.0], "spatial:bearing": {"azimuth": 315.0, "az_error": 1.0}}]
    fix = FixReader(ORIGIN).read({"timestamp": 1.0, "receivers": receivers})
    np.testing.assert_allclose(fix.position_m, [500, 500], atol=1e-6)
    assert fix.source == "bearings" and np.linalg.eigvalsh(fix.covariance_m2)[0] > 0


@pytest.mark.parametrize(("change", "reason"), [
    ({"timestamp": math.nan}, "time"), ({"timestamp": None}, "time"), ({"timestamp": "noon"}, "time"),
    ({"timestamp": 10**400}, "time"), ({"latitude": math.nan}, "no_position"), ({"longitude": math.inf}, "no_position"),
    ({"latitude": "52"}, "no_position"), ({"latitude": 91.0}, "swapped"), ({"latitude": 151.2, "longitude": -33.9}, "swapped"),
    ({"latitude": 500.0}, "range"), ({"longitude": 500.0}, "range"), ({"latitude": 4.8, "longitude": 52.3}, "swapped"),
    ({"latitude": -52.3}, "range"), ({"altitude": math.inf}, "malformed"), ({"units": {"altitude": "furlong"}}, "unit"),
    ({"units": "parsec"}, "unit"), ({"covariance_m2": [1.0, 2.0]}, "malformed"),
    ({"covariance_m2": [[1, 0], [0, 1]]}, "covariance"),
    ({"covariance_m2": [-1.0, 0, 0, 0, 1, 0, 0, 0, 1]}, "covariance"), ({"covariance_m2": [math.nan] * 9}, "not_finite"),
    ({"position_error_m": 0.0}, "covariance"), ({"position_m": [1.0, math.nan]}, "not_finite"),
    ({"position_m": [1e12, 0]}, "range"),
    ({"position_m": "here"}, "malformed"), ({"receivers": [1]}, "malformed"), ({"receivers": []}, "geometry"),
    ({"emitter_location": {"type": "Point", "coordinates": [4.8]}}, "malformed")])
def test_what_gives_no_fix_is_refused_with_a_reason(change, reason):
    assert refusal(FixReader(ORIGIN), PLACE | change) == reason


def test_a_jump_that_an_exchange_explains_is_one():
    reader = FixReader()
    reader.read(ADSB | {"latitude": 40.0, "longitude": 30.0})
    assert refusal(reader, ADSB | {"latitude": 30.0, "longitude": 40.0, "timestamp": 1.7e9 + 1}) == "swapped"
    reader.read(ADSB | {"latitude": 40.001, "longitude": 30.0, "timestamp": 1.7e9 + 2})


def test_the_last_position_again_is_no_news():
    reader = FixReader()
    reader.read(ADSB)
    assert refusal(reader, ADSB | {"timestamp": 1.7e9 + 3}) == "repeat"
    reader.read(ADSB | {"timestamp": 1.7e9 + 30})  # after a while: it stands


def test_an_origin_that_was_an_error_moves_until_it_has_proved_right():
    reader = FixReader()
    reader.read(PLACE | {"latitude": 4.8, "longitude": 52.3})
    reader.read(PLACE)
    assert reader.origin.latitude == 52.3
    reader.settled = True
    assert refusal(reader, PLACE | {"latitude": 4.8, "longitude": 52.3}) == "swapped"


def test_the_clock_believes_what_agrees():
    clock = Clock(reorder_s=5.0, ahead_s=600.0)
    assert [clock.judge(t) for t in (100, 101, 97, 90, 5000, 102)] == [ON_TIME, ON_TIME, ON_TIME, OLD, AHEAD, ON_TIME]
    assert clock.time_s == 102
    assert [clock.judge(t) for t in (10, 9, 8, 7, 6, 5, 4)] == [OLD] * 7  # backwards: they do not agree
    assert [clock.judge(t) for t in (1, 2, 3, 4, 5, 6)] == [OLD] * 4 + [RESET, ON_TIME]
