# SPDX-License-Identifier: GPL-3.0-or-later
"""doma_tracker: messages in and out, live changes, files, Cursor-on-Target, and what hostile messages do to it."""

import json
import math
import socket
import time
from xml.etree import ElementTree

import pmt
import pytest
from flowgraphs import status_store, stored, wait_for
from gnuradio import blocks, gr
from gnuradio.spectrumencoder import doma_tracker, keys
from gnuradio.spectrumencoder.blocks.messages import metadata, to_pmt

T0 = 1.7e9
ADSB = {"callsign": "KLM1", "altitude": 35000.0, "speed": 450.0, "heading": 90.0, "vertical_rate": 0.0, "latitude": 52.3,
        "longitude": 4.8, "num_msgs": 3, "timestamp": T0, "datetime": "x", "icao": "4840d6", "df": 17, "snr": 12.0}


def decoded(fields):
    """A PDU as gr-adsb's port `decoded` sends it: a dict and the bits."""
    return pmt.cons(to_pmt(fields), pmt.init_u8vector(4, [1, 0, 1, 1]))


def flight(seconds, first=0):
    return [ADSB | {"timestamp": T0 + t, "latitude": 52.3 + 0.002 * t} for t in range(first, first + seconds)]


def store(top, block, port):
    debug = blocks.message_debug()
    top.msg_connect(block, port, debug, "store")
    return debug


def started(tracker):
    top = gr.top_block()
    top.stores = {port: store(top, tracker, port) for port in (keys.TRACKS, keys.CONTROL)}
    top.status = status_store(top, tracker)
    top.start()
    return top


def post(tracker, messages):
    """Posts the messages and waits until all are dealt with."""
    done = dealt(tracker) + len(messages)
    for message in messages:
        tracker.to_basic_block()._post(pmt.intern(keys.DETECTIONS), message)
    wait_for(lambda: tracker.failure is not None or dealt(tracker) >= done, 30.0)
    assert tracker.failure is None


def dealt(tracker):
    malformed_only = tracker.malformed - sum(n for reason, n in tracker.tracker.refused.items()
                                             if reason not in ("repeat", "no_position"))
    return tracker.tracker.n_reports + sum(tracker.tracker.refused.values()) + malformed_only


def ended(top):
    """Stops once the last messages have arrived: what is published in stop comes too late for a sink of GNU Radio's own."""
    stores = [*top.stores.values(), top.status]
    counts = None
    while counts != (counts := [s.num_messages() for s in stores]):
        time.sleep(0.5)
    top.stop()
    top.wait()


def told(debug):
    return [metadata(debug.get_message(k)) for k in range(debug.num_messages())]


def test_decoded_pdus_become_tracks():
    tracker = doma_tracker(horizon=(1, 10))
    top = started(tracker)
    post(tracker, [decoded(fields) for fields in flight(12)])
    ended(top)
    out = told(top.stores[keys.TRACKS])
    assert [m[keys.STATE] for m in out] == ["open", *["update"] * 9]
    assert out[-1][keys.IDENTITY] == "4840d6" and out[-1][keys.KIND] == "spatial"
    assert [p[keys.HORIZON_S] for p in out[-1][keys.PREDICTIONS]] == [1.0, 10.0]
    assert out[-1][keys.LATITUDE] == pytest.approx(52.322, abs=3e-4)
    assert set(out[-1]) <= set(keys.TRACK_FIELDS)


def test_reports_do_not_wait_for_ever_for_others_of_their_moment():
    tracker = doma_tracker()
    top = started(tracker)
    post(tracker, [decoded(fields) for fields in flight(3)])
    wait_for(lambda: top.stores[keys.TRACKS].num_messages() == 1)
    ended(top)


def test_events_tell_the_encoder_what_to_keep():
    tracker = doma_tracker()
    top = started(tracker)
    event = {"state": "open", "freq_center_hz": 433.92e6, "bandwidth_hz": 2e4, "power_dbfs": -40.0, "is_anomaly": True}
    post(tracker, [to_pmt(event | {"event_id": f"e{k}", "timestamp": T0 + k}) for k in range(4)])
    ended(top)
    ((low, high),) = told(top.stores[keys.CONTROL])[-1][keys.KEEP_BANDS_HZ]
    assert low < 433.91e6 and high > 433.93e6
    assert told(top.stores[keys.TRACKS])[-1][keys.ANOMALY_IDS] == ["e0", "e1", "e2", "e3"]


@pytest.mark.parametrize(("setter", "good", "bad"), [
    ("set_gate", 0.9, 1.0), ("set_process_noise", 4.0, -1.0), ("set_horizon", 5, 0), ("set_horizon", (2, 3), (3, 2))])
def test_live_changes_are_taken_or_refused(setter, good, bad):
    tracker = doma_tracker()
    top = started(tracker)
    post(tracker, [decoded(fields) for fields in flight(5)])
    assert getattr(tracker, setter)(good) and not getattr(tracker, setter)(bad)
    post(tracker, [decoded(fields) for fields in flight(5, first=5)])
    ended(top)
    if setter == "set_horizon":
        predictions = told(top.stores[keys.TRACKS])[-1][keys.PREDICTIONS]
        assert [p[keys.HORIZON_S] for p in predictions] == ([good] if good == 5 else [2.0, 3.0])
    assert [m["status"] for m in stored(top.status)].count("refused") == 1


def test_files_hold_the_tracks(tmp_path):
    lines, places = tmp_path / "tracks.jsonl", tmp_path / "tracks.geojson"
    tracker = doma_tracker(file=str(lines), geojson=str(places))
    top = started(tracker)
    post(tracker, [decoded(fields) for fields in flight(8)])
    ended(top)
    written = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [m[keys.STATE] for m in written] == ["open", *["update"] * 5]
    (feature,) = json.loads(places.read_text())["features"]
    assert feature["id"] == written[-1][keys.TRACK_ID] and feature["geometry"]["geometries"][0]["type"] == "Point"


def test_cursor_on_target_goes_where_it_is_sent():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5.0)
        tracker = doma_tracker(cot_address=f"127.0.0.1:{receiver.getsockname()[1]}")
        top = started(tracker)
        post(tracker, [decoded(fields) for fields in flight(6)])
        event = ElementTree.fromstring(receiver.recv(65536))
        ended(top)
    assert event.tag == "event" and event.find("detail/contact").get("callsign") == "4840d6"


def test_a_started_again_tracker_begins_anew():
    tracker = doma_tracker()
    top = started(tracker)
    for n_before in (0, 4):
        post(tracker, [decoded(fields) for fields in flight(6)])
        ended(top)
        out = told(top.stores[keys.TRACKS])
        assert len(out) == n_before + 4 and out[n_before][keys.TRACK_ID] == "S1" and out[n_before][keys.STATE] == "open"
        top.start()
    top.stop()
    top.wait()


HOSTILE = [{"latitude": math.nan}, {"timestamp": math.nan}, {"latitude": 95.0}, {"latitude": 4.8, "longitude": 52.3},
           {"units": {"altitude": "smoot"}}, {"covariance_m2": [0.0] * 9}, {"timestamp": T0 - 5000.0}, {"timestamp": T0 + 1e9},
           {"longitude": "east"}, {"altitude": math.inf}, {"latitude": True}, {"timestamp": 2**62}]
NO_MESSAGES = [pmt.intern("here"), pmt.PMT_NIL, pmt.make_dict(), pmt.init_f32vector(1, [1.0]), to_pmt({"note": 1.0}),
               pmt.cons(pmt.from_long(1), pmt.from_long(2))]


def test_hostile_messages_ten_thousand_at_once():
    """NaN, exchanged coordinates, times out of order, repeated and duplicated identities, unknown units, and no messages at all,
    between the reports of an honest flight and of one name that is used in two places."""
    tracker = doma_tracker(interval=5.0)
    top = started(tracker)
    honest = [decoded(fields) for fields in flight(25)]
    bad = [decoded(ADSB | {"icao": f"bad{k}"} | change) for k, change in enumerate(HOSTILE)] + NO_MESSAGES
    messages = [honest[0]]
    for t in range(1, 25):
        messages.append(honest[t])
        twice = ADSB | {"icao": "twice", "timestamp": T0 + t}
        messages += [decoded(twice | {"latitude": 52.0 + 0.002 * t}), decoded(twice | {"latitude": 53.0 + 0.002 * t}), honest[t]]
        messages += bad * (9_900 // 24 // len(bad))
    post(tracker, messages)
    ended(top)
    assert len(messages) > 9_500
    out = told(top.stores[keys.TRACKS])
    assert {m[keys.IDENTITY] for m in out} == {"4840d6", "twice"}
    assert all(keys.TRACK_ANOMALY not in m for m in out)
    counts = tracker.counters()
    assert tracker.malformed > 5_000 and "malformed" in {m["status"] for m in stored(top.status)}
    assert {"time", "swapped", "unit", "covariance", "old", "ahead", "no_position"} <= set(counts[keys.REFUSED_REPORTS])


@pytest.mark.parametrize(("arguments", "text"), [
    ({"gate": 1.5}, "1.5"), ({"process_noise": 0}, "0"), ({"horizon": (3, 1)}, "rise"), ({"origin": (95.0, 0.0)}, "95"),
    ({"position_error_m": -1}, "-1"), ({"file": "/nowhere/tracks.jsonl"}, "/nowhere"), ({"cot_address": "tak"}, "tak"),
    ({"interval": -1.0}, "-1")])
def test_wrong_arguments_say_so(arguments, text):
    with pytest.raises(ValueError, match=text):
        doma_tracker(**arguments)
