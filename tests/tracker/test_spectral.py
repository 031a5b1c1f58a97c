# SPDX-License-Identifier: GPL-3.0-or-later
"""Events and classified signals become tracks of emissions: drift, Doppler curve, hop set."""

import math

import numpy as np
import pytest
from gnuradio.spectrumencoder.tracker.fixes import Refused
from gnuradio.spectrumencoder.tracker.signals import SignalReader
from gnuradio.spectrumencoder.tracker.spectral import Signal, SpectralSettings, SpectralTracker

EVENT = {"event_id": "e1", "state": "open", "timestamp": 1000.0, "sample_start": 0, "sample_count": 1000,
         "freq_center_hz": 433.92e6, "bandwidth_hz": 1e4, "power_dbfs": -50.0, "is_anomaly": True}


def seen(time_s, frequency, width=1e4, power=-50.0, **others):
    return Signal(time_s, time_s, frequency, width, power, **others)


def test_a_satellites_doppler_curve_is_followed_and_foretold():
    rng = np.random.default_rng(0)

    def carrier(t):  # a pass at 500 km straight overhead, 7.6 km/s
        along = 7600.0 * t
        return 437e6 * (1 - along * 7600.0 / np.hypot(along, 500e3) / 3e8)

    tracker, off, held = SpectralTracker(), [], []
    for t in np.arange(-300.0, 300.0, 2.0):
        tracker.add(seen(t, carrier(t) + rng.normal(0, 500.0), 12.5e3 * math.exp(rng.normal(0, 0.1))))
        if t > -250:
            (track,) = tracker.tracks()
            off.append(tracker.forecast(track.id, t + 10).freq_center_hz - carrier(t + 10))
            held.append(carrier(t) - carrier(t + 10))
    assert track.hits == 300 and not track.hop_set_hz
    assert np.sqrt(np.mean(np.square(off))) < 1000 < np.abs(held).max()


def test_a_drifting_oscillator_has_its_drift():
    rng, tracker = np.random.default_rng(1), SpectralTracker()
    for t in range(200):
        tracker.add(seen(float(t), 868e6 + 7.0 * t + rng.normal(0, 50), 1e3))
    (track,) = tracker.tracks()
    assert track.estimate.drift_hz_s == pytest.approx(7.0, abs=3.0)
    assert np.linalg.eigvalsh(track.estimate.covariance)[0] > 0
    assert len(track.curve) == 64


def test_neighbours_stay_apart():
    tracker = SpectralTracker()
    for t in range(30):
        for k, width in ((0, 1e4), (1, 1e4), (2, 4e5)):
            tracker.add(seen(float(t), 433e6 + 25e3 * k, width, label=f"kind {k}"))
    assert sorted(track.label for track in tracker.tracks()) == ["kind 0", "kind 1", "kind 2"]


def test_an_update_of_an_alert_is_a_signal_at_the_time_it_was_heard():
    alert = EVENT | {"alert": "new", "emitter_id": 3, "last_heard": 1000.0}
    reader = SignalReader()
    assert reader.read(alert).time_s == 1000.0
    later = reader.read(alert | {"state": "update", "last_heard": 1700.5})
    assert (later.time_s, later.until_s) == (1700.5, 1700.5)
    for kind in ("gone", "receiver"):
        with pytest.raises(Refused, match=f'an alert "{kind}" is no emission'):
            reader.read(alert | {"alert": kind})


def test_a_hopper_is_one_emitter_with_its_set():
    rng, tracker = np.random.default_rng(2), SpectralTracker()
    channels = 433e6 + 25e3 * np.arange(8)
    for k in range(80):
        t, channel = 0.1 * k, float(rng.choice(channels))
        tracker.add(seen(t, channel, event_id=f"h{k}", state="open", is_anomaly=True))
        tracker.add(Signal(t + 0.04, t + 0.08, channel, 1e4, -50.0, f"h{k}", "close", None, True))
        tracker.add(seen(t, 868e6, 1e3, -70.0))
    hopper, steady = sorted(tracker.tracks(), key=lambda track: -track.hops)
    np.testing.assert_allclose(hopper.hop_set_hz, channels)
    assert hopper.hops > 40 and len(hopper.anomaly_ids) == 32 and not hopper.active
    assert steady.hops == 0 and steady.hits == 80


def test_silence_ends_a_track_and_rows_are_used_again():
    tracker = SpectralTracker(SpectralSettings(max_tracks=2, silence_s=5.0))
    for t in (0.0, 1.0):
        for k in range(3):
            tracker.add(seen(t, 400e6 + 200e6 * k))
    assert len(tracker) == 2 and tracker.counts["full"] == 2
    tracker.expire(7.0)
    assert len(tracker) == 0 and len(tracker.take_ended()) == 2
    tracker.add(seen(8.0, 1e9))
    assert len(tracker) == 1


def test_an_events_length_follows_from_two_of_them():
    reader = SignalReader()
    assert reader.read(EVENT).until_s == 1000.0
    later = reader.read(EVENT | {"event_id": "e2", "timestamp": 1010.0, "sample_start": 10_000, "sample_count": 4000})
    assert (later.time_s, later.until_s) == (1012.0, 1014.0)  # 1000 samples a second


@pytest.mark.parametrize(("change", "reason"), [
    ({"timestamp": math.nan}, "time"), ({"freq_center_hz": None}, "frequency"), ({"freq_center_hz": math.inf}, "frequency"),
    ({"bandwidth_hz": "wide"}, "bandwidth"), ({"bandwidth_hz": -1.0}, "range"), ({"freq_center_hz": 1e15}, "range")])
def test_what_is_no_signal_is_refused(change, reason):
    with pytest.raises(Refused) as error:
        SignalReader().read(EVENT | change)
    assert error.value.reason == reason


def test_a_signal_without_power_is_one():
    tracker = SpectralTracker()
    for t in range(5):
        tracker.add(SignalReader().read(EVENT | {"timestamp": 1000.0 + t, "power_dbfs": None, "sample_start": None}))
    (track,) = tracker.tracks()
    assert track.hits == 5 and math.isnan(track.power_dbfs)
