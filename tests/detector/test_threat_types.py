# SPDX-License-Identifier: GPL-3.0-or-later
"""Possible threats: types of synthetic events, silence where they are not known, damaged weights."""

import json
import math

import numpy as np
import pytest
from frames import HOP, SEGMENT, TUNING, detector, frames, put, run
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.blocks.messages import metadata, pdu
from gnuradio.spectrumencoder.detector import calibrate
from gnuradio.spectrumencoder.detector.band_statistics import BandStatistics
from gnuradio.spectrumencoder.detector.regions import EXCESS, MISSING
from gnuradio.spectrumencoder.detector.threat_types import (
    ENDED,
    FEATURES,
    GOING,
    MIN_PROBABILITY,
    NONE,
    PATH,
    Neighbour,
    Shape,
    ThreatTypes,
    Track,
    features_of,
    occupied_bins,
    shipped,
)
from gnuradio.spectrumencoder.encoder import features as layout

COUNT, FIRST, LAST = 120, 60, 70
EMITTER = (150, 190, 15.0)  # bins and dB over the floor, always on
NAMES = list(FEATURES)


@pytest.fixture(scope="module")
def table():
    psd, residual, rows = band(4000, 1)
    return calibrate.learn(residual, rows, SEGMENT.frame_s, tuning=TUNING, psd=psd)


def band(count, seed):
    """Frames of a band with one emitter."""
    psd, residual, rows = frames(count, seed)
    put(psd, residual, 0, count - 1, *EMITTER)
    return psd, residual, rows


def carrier(psd, residual, rows):
    put(psd, residual, FIRST, LAST, 60, 60, 20.0)


def sweep(psd, residual, rows):
    for step, frame in enumerate(range(FIRST, LAST + 1)):
        put(psd, residual, frame, frame, 20 + 3 * step, 24 + 3 * step, 15.0)


def barrage(psd, residual, rows):
    psd[FIRST:LAST + 1] += 12.0
    rows[FIRST:LAST + 1, layout.FLOOR_DBFS] += 12.0


def silence(psd, residual, rows):
    put(psd, residual, FIRST, LAST, EMITTER[0], EMITTER[1], -EMITTER[2])


def pulse(psd, residual, rows):
    put(psd, residual, FIRST, FIRST, 60, 70, 15.0)


def told(table, change, batch=None, seed=2):
    scene = band(COUNT, seed)
    change(*scene)
    return [e.fields for e in run(detector(table), *scene, batch=batch)[1]]


def largest(events):
    """The longest closed event."""
    return max((e for e in events if e[keys.STATE] == "close"), key=lambda e: e[keys.SAMPLE_COUNT])


@pytest.mark.parametrize(("change", "name"), [(carrier, "carrier"), (sweep, "sweep"), (barrage, "barrage"),
                                              (silence, "missing signal"), (pulse, "pulse")])
def test_the_likeliest_type_of_a_plain_event(table, change, name):
    event = largest(told(table, change))
    assert event[keys.SAMPLE_START] == FIRST * HOP
    chances = event[keys.POSSIBLE_THREATS]
    assert next(iter(chances)) == name
    assert list(chances.values()) == sorted(chances.values(), reverse=True)
    assert min(chances.values()) >= MIN_PROBABILITY and sum(chances.values()) <= 1.001
    assert NONE not in chances


def test_a_pulse_is_not_known_before_it_ends(table):
    opened = [e for e in told(table, pulse) if e[keys.STATE] == "open"][0]
    assert "pulse" != next(iter(opened.get(keys.POSSIBLE_THREATS, {"nothing": 1.0})))


def test_batches_change_nothing(table):
    def all_of(batch):
        return [{k: v for k, v in e.items() if k != keys.LATENCY_MS} for e in told(table, sweep, batch)]
    assert all_of(None) == all_of(1) == all_of(7)


def test_false_alarms_are_not_named(table):
    psd, residual, rows = band(3000, 5)
    judge = detector(table, false_alarm_rate=0.02, false_events_per_hour=math.inf)
    events = [e.fields for e in run(judge, psd, residual, rows)[1] if e.fields[keys.STATE] == "close"]
    assert len(events) >= 10
    assert sum(keys.POSSIBLE_THREATS in e for e in events) <= 0.1 * len(events)


def test_nothing_without_the_plan_of_a_band():
    psd, residual, rows = frames(4000, 1)
    general = calibrate.learn(residual, rows, SEGMENT.frame_s)
    events = told(general, carrier)
    assert events and not any(keys.POSSIBLE_THREATS in e for e in events)


# -- the classifier itself


def content(**head):
    """Weights that know two types by their width, and false alarms by their frames."""
    weights = np.zeros((len(NAMES), 3))
    weights[NAMES.index("width")] = (-4.0, 4.0, 0.0)
    of = {"mean": [0.0] * len(NAMES), "scale": [1.0] * len(NAMES), "weights": weights.tolist(), "bias": [-8.0, 8.0, 0.0],
          "temperature": 1.0, "limit": 0.7} | head
    of["mean"][NAMES.index("width")] = -2.0
    return {"features": NAMES, "classes": ["narrow", "wide", NONE], GOING: of, ENDED: of}


def known(width, bias=(0.0, 0.0, -2.0)):
    features = np.zeros(len(NAMES))
    features[NAMES.index("width")] = width
    return ThreatTypes(content(bias=list(bias))).possible(features, True)


def test_in_between_nothing_is_said():
    assert next(iter(known(-3.0))) == "narrow" and next(iter(known(-1.0))) == "wide"
    assert known(-2.0) is None
    assert known(-2.0, bias=(0.0, 0.0, 5.0)) is None  # a false alarm


def test_temperature_softens():
    features = np.zeros(len(NAMES))
    hot, cold = (ThreatTypes(content(temperature=t)).probabilities(features, False) for t in (4.0, 1.0))
    assert hot.max() < cold.max() and hot.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("damage", [
    lambda c: "{", lambda c: json.dumps([]), lambda c: json.dumps(c | {"classes": ["a", "b", "c"]}),
    lambda c: json.dumps(c | {"features": NAMES[:-1]}), lambda c: json.dumps({k: v for k, v in c.items() if k != ENDED}),
    lambda c: json.dumps(c | {GOING: c[GOING] | {"bias": [0.0]}}), lambda c: json.dumps(c | {GOING: c[GOING] | {"limit": 2}}),
    lambda c: json.dumps(c | {ENDED: c[ENDED] | {"bias": [0.0, math.nan, 0.0]}}),
    lambda c: json.dumps(c | {ENDED: c[ENDED] | {"temperature": "hot"}}),
    lambda c: json.dumps(c | {ENDED: 3})])
def test_damaged_weights_are_one_line(tmp_path, damage):
    path = tmp_path / "types.json"
    path.write_text(damage(content()))
    with pytest.raises(ValueError, match="types.json") as caught:
        ThreatTypes.load(path)
    assert "\n" not in str(caught.value)


def test_missing_weights_are_one_line(tmp_path):
    with pytest.raises(ValueError, match="nowhere.json") as caught:
        ThreatTypes.load(tmp_path / "nowhere.json")
    assert "\n" not in str(caught.value)


def test_what_is_shipped_says_where_it_comes_from():
    fitted = json.loads(PATH.read_text())
    assert fitted["features"] == NAMES and len(fitted["commit"]) == 40 and fitted["scenes"] >= 10
    assert NONE in shipped().classes and 0.3 <= fitted[ENDED]["limit"] < 1.0


# -- features


def shape(kind=EXCESS, low=100, high=109, first=10, last=13, track=None, **more):
    weight = np.zeros(256)
    weight[low:high + 1] = 1.0
    given = {"n_frames": last - first + 1, "snr_db": 12.0, "strength": 4.0} | more
    return Shape(kind, low, high, first, last, weight=weight, track=track or Track(), **given)


def value(name, *args):
    return features_of(*args)[NAMES.index(name)]


def test_features_of_place_and_time():
    occupied = np.concatenate(([0], np.cumsum(np.arange(256) >= 105)))
    given = shape(n_frames=2), 256, occupied, []
    assert value("width", *given) == pytest.approx(math.log10(10 / 256))
    assert value("frames", *given) == 2.0 and value("duty", *given) == 0.5
    assert value("busy", *given) == 0.5 and value("peak", *given) == pytest.approx(0.1)
    assert value("strength", *given) == 2.0 and value("snr", *given) == 12.0
    assert value("frames", shape(last=500), 256, occupied, []) == 4.0  # a longer event counts as 16 frames


def test_features_of_movement():
    track = Track()
    standard, psd = np.zeros(256, np.float32), np.full(256, -90.0, np.float32)
    for step in range(5):
        standard[:] = 0
        standard[100 + 10 * step] = 20.0
        track.add(standard, psd, [(100 + 10 * step, 100 + 10 * step)], 1, step == 0)
    given = shape(low=100, high=140, track=track), 256, None, []
    assert value("travel", *given) == pytest.approx(10 / 41) and value("drift", *given) == pytest.approx(40 / 41)
    assert value("fill", *given) == pytest.approx(1 / 41) and value("width_change", *given) == 0.0


def test_features_of_neighbours():
    near = [Neighbour(EXCESS, 5, 9, 2), Neighbour(EXCESS, 5, 9, 12), Neighbour(MISSING, 105, 130, 12)]
    given = shape(), 256, None, near
    assert value("others", *given) == pytest.approx(math.log2(3)) and value("opposite", *given) == 1.0
    assert value("opposite_here", *given) == 0.5
    late = shape(first=100, last=103), 256, None, near
    assert value("others", *late) == 0.0 and value("opposite", *late) == 0.0


def test_occupied_bins_are_those_over_the_quiet_ones():
    mean = np.zeros(64, np.float32)
    mean[10:14] = 9.0
    below = occupied_bins(BandStatistics(mean, np.ones(64, np.float32), np.zeros((0, 64), np.float32)))
    assert below[-1] == 4 and below[14] - below[10] == 4


def test_it_passes_through_a_pdu(table):
    event = largest(told(table, barrage))
    passed = metadata(pdu(event, np.zeros(4)))[keys.POSSIBLE_THREATS]
    assert passed == event[keys.POSSIBLE_THREATS] and list(passed) == list(event[keys.POSSIBLE_THREATS])
