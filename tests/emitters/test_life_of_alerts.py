# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts of emitters that come, go, come back, rise and move: which open, when, with what they tell, and how they end."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.emitters.band_file import BandFile
from gnuradio.spectrumencoder.emitters.watcher import EmitterDetector
from gnuradio.spectrumencoder.encoder import features as layout
from streams import BIN_HZ, CONTRACT, FLOOR_DB, FRAMES_PER_S, T0_S, Feed, add, features_of, hz_of, kinds_of, opens

FRAME_S = 1.0 / FRAMES_PER_S


def bursts(feed, count, bin_=180, snr_db=20.0, every_s=2.0, spread_db=0.0, spread_bins=0):
    """Gives bursts of five frames, 0.2 s after each period of noise began; returns what was said."""
    said = []
    for _ in range(count):
        rows = feed.noise(every_s)
        shift = int(feed.rng.integers(-spread_bins, spread_bins + 1))
        add(rows, 10, 5, bin_ + shift, snr_db + float(feed.rng.uniform(-spread_db, spread_db)))
        said += feed.give(rows)
    return said


def carrier(feed, seconds, bin_=60.0, snr_db=20.0):
    """Gives a carrier; returns what was said."""
    rows = feed.noise(seconds)
    add(rows, 0, len(rows), bin_, snr_db)
    return feed.give(rows)


def learned(seed=0, **settings):
    """A feed that has learned 10 s of noise."""
    feed = Feed(seed, **{"learn_s": 10.0, "belongs_after": 20} | settings)
    assert feed.quiet(11) == [] and not feed.detector.learning
    return feed


def pause(feed, seconds):
    """Time jumps."""
    feed.detector.discontinuity()
    feed.frame += seconds * FRAMES_PER_S


def only(emitters):
    """The one emitter of a registry."""
    (emitter,) = emitters.values()
    return emitter


@pytest.mark.parametrize(("spread_db", "spread_bins", "seed"), [(0.0, 0, 0), (3.0, 0, 1), (3.0, 1, 2), (3.0, 1, 3), (0.0, 1, 4)])
def test_an_emitter_of_100_bursts_is_one_alert(spread_db, spread_bins, seed):
    feed = learned(seed)
    begin_s = feed.now_s
    said = bursts(feed, 100, spread_db=spread_db, spread_bins=spread_bins)
    assert kinds_of(said) == ["new"]
    first = said[0]
    assert first["timestamp"] == pytest.approx(begin_s + 10 * FRAME_S, abs=1e-6)
    assert first["sample_count"] == 2 * 256 * 16
    assert first["freq_center_hz"] == pytest.approx(hz_of(180), abs=(1 + spread_bins) * BIN_HZ)
    assert first["snr_db"] == pytest.approx(20.0, abs=1.0 + spread_db)
    assert (first["emitter_id"], first["bursts"], first["is_anomaly"]) == (1, 1, True)
    assert {m["event_id"] for m in said} == {first["event_id"]}
    updates = [m for m in said if m["state"] == "update"]
    assert 19 <= len(updates) <= 40  # two for a burst at most, until it belongs
    assert [m["bursts"] for m in updates] == sorted(m["bursts"] for m in updates) and updates[-1]["bursts"] == 20
    emitter = only(feed.detector.registry.emitters)
    assert emitter.belongs and not emitter.learned and not emitter.accepted
    assert emitter.count == 100
    assert emitter.first_s == pytest.approx(begin_s + 10 * FRAME_S, abs=1e-6)
    assert emitter.last_s == pytest.approx(begin_s + 99 * 2.0 + 15 * FRAME_S, abs=1e-6)
    for _ in range(3):
        feed.quiet(20)
    assert kinds_of(feed.said) == ["new", "gone"]
    close, gone = feed.said[-2:]
    assert (close["state"], close["alert"], close["event_id"]) == ("close", "new", first["event_id"])
    for message in (close, gone):
        assert (message["emitter_id"], message["bursts"]) == (1, 100)
        assert message["first_heard"] == pytest.approx(emitter.first_s, abs=1e-6)
    assert close["last_heard"] == pytest.approx(emitter.last_s, abs=1e-6)
    assert 5.0 < gone["timestamp"] - emitter.last_s < 30.0  # it was never silent for more than 2 s


def test_two_emitters_are_two_alerts():
    feed = learned()
    for _ in range(10):
        rows = feed.noise(2.0)
        add(rows, 10, 5, 60, 20.0)
        add(rows, 60, 5, 180, 20.0)
        feed.give(rows)
    assert kinds_of(feed.said) == ["new", "new"]
    assert sorted(e.count for e in feed.detector.registry.emitters.values()) == [10, 10]
    first, second = opens(feed.said)
    assert (first["emitter_id"], second["emitter_id"]) == (1, 2) and first["event_id"] != second["event_id"]


@pytest.mark.parametrize(("apart", "tail", "seed"), [(20, 0, 0), (60, 0, 1), (60, -4, 2), (60, 4, 3), (30, -4, 4)])
def test_an_emitter_of_two_lines_is_one_alert(apart, tail, seed):
    """The upper line ends `tail` frames later. What is new between the lines, or beside them, is another emitter."""
    feed = learned(seed)
    for _ in range(30):
        rows = feed.noise(2.0)
        add(rows, 20, 8, 100, 18.0)
        add(rows, 20, 8 + tail, 100 + apart, 18.0)
        feed.give(rows)
    assert kinds_of(feed.said) == ["new"]
    emitter = only(feed.detector.registry.emitters)
    assert (emitter.count, emitter.belongs) == (30, True)
    assert emitter.bandwidth_hz == pytest.approx((apart + 4) * BIN_HZ, abs=3 * BIN_HZ)
    if apart > 40:
        assert kinds_of(bursts(feed, 1, bin_=142)) == ["new"]
    assert "new" in kinds_of(bursts(feed, 1, bin_=70))


@pytest.mark.parametrize(("other", "snr_db"), [(180, 20.0), (240, 20.0), (240, 8.0)])
def test_emitters_whose_first_bursts_begin_together_are_two(other, snr_db):
    feed = learned()
    for k in range(10):
        rows = feed.noise(4.0)
        add(rows, 20, 8, 60, 20.0)
        add(rows, 120 if k else 20, 8, other, snr_db)
        feed.give(rows)
    assert kinds_of(feed.said) == ["new", "new"]
    assert sorted(e.count for e in feed.detector.registry.emitters.values()) == [10, 10]


@pytest.mark.parametrize(("other", "snr_db"), [(-45, 22.0), (90, 8.0)], ids=["mirror image", "harmonic"])
def test_what_explains_another_that_began_with_it_is_one_emitter(other, snr_db):
    """The first one lies 45 bins above the centre, so far away that the other is no neighbour."""
    feed = learned()
    for _ in range(10):
        rows = feed.noise(2.0)
        add(rows, 20, 8, 128 + 45, 22.0)
        add(rows, 20, 8, 128 + other, snr_db)
        feed.give(rows)
    assert kinds_of(feed.said) == ["new"]


@pytest.mark.parametrize("step", [2, -2, 1])
def test_an_emitter_that_sweeps_is_one_alert(step):
    """A slow chirp: its first frames are narrow, the whole of it is wide."""
    feed = learned()
    for _ in range(10):
        rows = feed.noise(3.0)
        for n in range(50):
            add(rows, 20 + n, 1, 70 - 50 * min(step, 0) + step * n, 20.0)
        feed.give(rows)
    assert kinds_of(feed.said) == ["new"]
    emitter = only(feed.detector.registry.emitters)
    assert emitter.count == 10 and emitter.bandwidth_hz == pytest.approx(50 * abs(step) * BIN_HZ, rel=0.1)
    assert kinds_of(bursts(feed, 1, bin_=240)) == ["new"]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_emitter_that_jumps_between_two_lines_is_one_alert_for_each_at_most(seed):
    feed = learned(seed)
    for _ in range(30):
        rows = feed.noise(2.0)
        for n in range(20, 32):
            add(rows, n, 1, 100 + 20 * int(feed.rng.integers(2)), 18.0)
        feed.give(rows)
    assert kinds_of(feed.said) in (["new"], ["new", "new"])
    assert all(e.count in (29, 30) and e.belongs for e in feed.detector.registry.emitters.values())


def test_a_learned_emitter_falls_silent_once_and_comes_back():
    feed = Feed(learn_s=60.0)
    assert bursts(feed, 45) == []  # 60 s learned, 30 s watched
    emitter = only(feed.detector.registry.emitters)
    assert (emitter.count, emitter.learned, emitter.belongs) == (45, True, True)
    last_s = emitter.last_s
    gone = feed.quiet(120)
    assert kinds_of(gone) == ["gone"] and len(gone) == 1
    assert 5.0 < gone[0]["timestamp"] - last_s < 30.0
    assert (gone[0]["emitter_id"], gone[0]["bursts"]) == (1, 45)
    assert emitter.gone
    back = bursts(feed, 10)
    assert [(m["state"], m["alert"], m["event_id"]) for m in back] == [("close", "gone", gone[0]["event_id"])]
    assert back[0]["bursts"] == 46 and not emitter.gone and emitter.count == 55
    assert kinds_of(feed.quiet(120)) == ["gone"]


def test_a_steady_carrier_that_goes_and_comes_back():
    feed = Feed(learn_s=10.0)
    assert carrier(feed, 15) == []
    emitter, end_s = only(feed.detector.registry.emitters), feed.now_s
    assert emitter.steady and emitter.learned and emitter.belongs and emitter.first_s == pytest.approx(T0_S, abs=0.1)
    assert emitter.center_hz.mean == pytest.approx(hz_of(60), abs=0.3 * BIN_HZ)
    assert emitter.level_db.mean == pytest.approx(20.0, abs=1.0)
    gone = feed.quiet(10)
    assert [(m["state"], m["alert"]) for m in gone] == [("open", "gone")]
    assert 1.3 < gone[0]["timestamp"] - end_s < 3.3  # two seconds of blocks of 0.64 s
    assert gone[0]["last_heard"] == pytest.approx(gone[0]["timestamp"], abs=0.7)
    back = carrier(feed, 10)
    assert [(m["state"], m["alert"], m["event_id"]) for m in back] == [("close", "gone", gone[0]["event_id"])]
    assert not emitter.gone
    begin_s = feed.now_s
    louder = carrier(feed, 10, snr_db=30.0)
    assert [(m["state"], m["alert"]) for m in louder] == [("open", "louder"), ("close", "louder")]
    assert 1.3 < louder[0]["timestamp"] - begin_s < 3.3
    assert carrier(feed, 10) == []  # as it was before


def test_a_steady_carrier_that_drifts_is_followed():
    feed = Feed(learn_s=10.0)
    carrier(feed, 15)
    for step in range(30):
        assert carrier(feed, 1.5, bin_=60 + 0.25 * step) == []
    assert only(feed.detector.registry.emitters).center_hz.mean == pytest.approx(hz_of(67.25), abs=1.5 * BIN_HZ)


def test_a_carrier_that_moves_is_new_and_moved_but_not_gone():
    feed = Feed(learn_s=10.0)
    carrier(feed, 15)
    moment_s = feed.now_s
    said = carrier(feed, 15, bin_=100)
    assert kinds_of(said) == ["new", "moved"]
    new, moved = opens(said)
    assert new["timestamp"] == pytest.approx(moment_s, abs=FRAME_S) and new["emitter_id"] == 2
    assert moved["emitter_id"] == 1 and moved["freq_center_hz"] == pytest.approx(hz_of(100), abs=BIN_HZ)
    assert feed.detector.registry.emitters[1].gone
    assert kinds_of(feed.flush()) == []


@pytest.mark.parametrize(("snr_db", "frames"), [(20.0, 2), (6.0, 3), (0.0, 8)])
def test_a_carrier_that_appears_is_new_within_eight_frames(snr_db, frames):
    for seed in range(2):
        feed = learned(seed)
        feed.give(feed.noise(0.02 * (1 + 7 * seed)))
        begin = feed.frame
        said = carrier(feed, 6, snr_db=snr_db)
        assert kinds_of(said) == ["new"]
        samples = said[0]["sample_start"] + said[0]["sample_count"]
        assert 2 <= samples / 4096 - begin <= frames
        assert (said[0]["sample_start"]) / 4096 >= begin
        assert all(m["event_id"] == said[0]["event_id"] for m in said)
        feed.quiet(1)
        end = feed.flush()
        assert [m["state"] for m in end] == ["close"]
        assert end[0]["last_heard"] - end[0]["first_heard"] == pytest.approx(6.0, abs=0.2 if snr_db > 5.0 else 1.0)


def test_a_new_carrier_that_stays_belongs_after_some_time():
    """By 30 s on the air it counts as three transmissions more. It is steady from then on, also in its band file."""
    feed = learned(belongs_after=4)
    said = carrier(feed, 28)
    (emitter,) = feed.detector.registry.emitters.values()
    assert kinds_of(said) == ["new"] and not emitter.belongs
    times = [m["last_heard"] - emitter.first_s for m in said if m["state"] == "update"]
    assert times == pytest.approx([1.04, 3.04, 7.04, 15.04], abs=0.05)
    said = carrier(feed, 20)
    assert emitter.belongs and emitter.steady and emitter.count == 1
    assert [m["state"] for m in said] == ["update"]
    assert said[0]["last_heard"] - emitter.first_s == pytest.approx(30.4, abs=0.7)
    band = BandFile.from_bytes(feed.detector.band_file().to_bytes(), "")
    assert kinds_of(feed.quiet(10)) == ["gone"] and emitter.gone
    assert [m["state"] for m in carrier(feed, 10)] == ["close"] and not emitter.gone
    again = Feed(1, detector=EmitterDetector(CONTRACT, band=band))
    assert carrier(again, 10) == [] and kinds_of(again.quiet(10)) == ["gone"]


def test_a_carrier_that_is_accepted_while_it_is_on():
    feed = learned()
    assert kinds_of(carrier(feed, 5)) == ["new"]
    feed.detector.accept(1)
    said = carrier(feed, 10)
    assert said[-1]["state"] == "close" and feed.detector.registry.emitters[1].steady
    assert carrier(feed, 20) == [] and kinds_of(feed.quiet(10)) == ["gone"]


def test_a_change_of_level_of_a_long_transmission_is_an_update():
    feed = learned()
    carrier(feed, 6, snr_db=10.0)
    before = len(feed.said)
    said = carrier(feed, 4, snr_db=25.0)
    assert len(feed.said) > before and said[0]["snr_db"] > 13.0
    assert said[0]["last_heard"] - feed.said[0]["first_heard"] == pytest.approx(6.5, abs=0.6)


def test_the_alert_of_a_new_emitter_closes_after_an_hour_of_silence():
    feed = learned()
    bursts(feed, 3)
    last_s = only(feed.detector.registry.emitters).last_s
    pause(feed, 3590)
    assert feed.quiet(5) == []
    pause(feed, 10)
    assert [(m["state"], m["alert"], m["bursts"]) for m in feed.quiet(5)] == [("close", "new", 3)]
    assert feed.said[-1]["last_heard"] == pytest.approx(last_s, abs=1e-6)
    assert feed.flush() == []


@pytest.mark.parametrize("away_s", [60, 86400])
def test_silence_is_counted_while_somebody_listens(away_s):
    """A jump in time, and a detector that begins with the band file later: no emitter is gone, nor is it expected less often."""
    first = Feed(learn_s=60.0)
    bursts(first, 45)
    second = Feed(1, detector=EmitterDetector(CONTRACT, band=BandFile.from_bytes(first.detector.band_file().to_bytes(), "")))
    second.frame = first.frame
    for feed in (first, second):
        pause(feed, away_s)
        assert feed.quiet(5) == [] and bursts(feed, 5) == []
        gone = feed.quiet(60)
        assert kinds_of(gone) == ["gone"] and gone[0]["timestamp"] - gone[0]["last_heard"] < 30.0


def test_an_alert_names_the_model_that_answered():
    feed = Feed(learn_s=0.0, models=("quick", "large"))
    feed.quiet(2)
    rows = feed.noise(2)
    add(rows, 10, 20, 180, 14.0)
    add(rows, 60, 20, 60, 14.0)
    features = features_of(len(rows))
    features[50:, layout.ANSWERED_BY] = 1
    said = feed.give_db((10.0 * np.log10(rows) + FLOOR_DB).astype(np.float32), features=features)
    assert [m["model"] for m in opens(said)] == ["quick", "large"]
    features[:, layout.ANSWERED_BY] = 2
    with pytest.raises(ValueError, match="model 2 of an ensemble has answered, the detector knows quick, large"):
        feed.give_db((10.0 * np.log10(rows) + FLOOR_DB).astype(np.float32), features=features)


def test_single_bursts_are_reported_if_asked_for():
    """Of learned, new and known emitters, once each."""
    feed = Feed(learn_s=60.0, bursts=True)
    said = bursts(feed, 40)
    assert len(opens(said, "burst")) == 40 and kinds_of(said) == ["burst"] * 40
    assert all(not m["is_anomaly"] and m["emitter_id"] == 1 and m["threat_level"] == "LOW" for m in said)
    said = bursts(feed, 5, bin_=60)
    assert kinds_of(said) == ["new"] + ["burst"] * 5
    starts = [m["sample_start"] / 4096 for m in opens(said, "burst")]
    assert starts == pytest.approx([4010 + 100 * k for k in range(5)], abs=1.0)
