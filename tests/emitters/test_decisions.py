# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operator decides while the detector runs, what becomes of it in the band file, and how a busy band is learned."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.emitters.band_file import load
from gnuradio.spectrumencoder.emitters.watcher import EmitterDetector
from streams import BIN_HZ, CONTRACT, FRAMES_PER_S, Feed, add, hz_of, kinds_of, noise, opens


def heard(feed, bin_=180, count=3, snr_db=20.0):
    """Gives bursts of five frames, 2 s apart; returns what was said."""
    said = []
    for _ in range(count):
        rows = feed.noise(2.0)
        add(rows, 10, 5, bin_, snr_db)
        said += feed.give(rows)
    return said


def learned(seed=0, **settings):
    """A feed that has learned 10 s of noise."""
    feed = Feed(seed, learn_s=10.0, **settings)
    assert feed.quiet(11) == []
    return feed


def states(said):
    return [m["state"] for m in said]


def test_an_accepted_emitter_closes_its_alert_and_is_silent_from_then_on():
    feed = learned()
    assert kinds_of(heard(feed)) == ["new"]
    feed.detector.accept(1)
    closed = feed.quiet(2)
    assert [(m["state"], m["alert"], m["event_id"]) for m in closed] == [("close", "new", feed.said[0]["event_id"])]
    assert heard(feed, count=10) == []
    emitter = feed.detector.registry.emitters[1]
    assert emitter.accepted and emitter.belongs and emitter.count == 13
    assert kinds_of(heard(feed, bin_=60, count=1)) == ["new"]
    with pytest.raises(ValueError, match="there is no emitter 9; there are 1 to 2"):
        feed.detector.accept(9)


def test_a_name_is_in_the_messages():
    feed = learned()
    heard(feed, count=2)
    assert all("emitter_name" not in m for m in feed.said)
    feed.detector.name(1, "Gate")
    assert {m["emitter_name"] for m in heard(feed, count=2)} == {"Gate"}
    feed.detector.name(1, "")
    assert all("emitter_name" not in m for m in heard(feed, count=1))
    with pytest.raises(ValueError, match="not one line"):
        feed.detector.name(1, "two\nlines")


def test_an_ignored_range_never_alerts_until_it_is_no_longer_ignored():
    feed = learned()
    feed.detector.ignore(hz_of(170), hz_of(190))
    assert heard(feed, count=25) == [] and not feed.detector.registry.emitters
    for snr_db in (10.0, 40.0, 60.0):
        assert heard(feed, snr_db=snr_db, count=2) == []
    assert kinds_of(heard(feed, bin_=210, count=1)) == ["new"]
    with pytest.raises(ValueError, match="no ignored range overlaps"):
        feed.detector.unignore(hz_of(1), hz_of(2))
    feed.detector.unignore(hz_of(180), hz_of(181))
    assert kinds_of(heard(feed, count=1)) == ["new"]
    with pytest.raises(ValueError, match="is not LOW:HIGH"):
        feed.detector.ignore(hz_of(190), hz_of(170))


def test_an_ignored_emitter_does_not_alert_again():
    feed = learned()
    heard(feed)
    heard(feed, bin_=60)
    assert kinds_of(feed.said) == ["new", "new"]
    feed.detector.ignore_emitter(1)
    (ends,) = feed.detector.registry.ignored
    assert ends[0] < hz_of(180) < ends[1] and ends[1] - ends[0] < 10 * BIN_HZ
    assert heard(feed, count=5) == [] and kinds_of(heard(feed, snr_db=45.0)) == []
    assert {m["emitter_id"] for m in heard(feed, bin_=60)} == {2}


def test_an_ignored_carrier_is_not_said_to_be_gone():
    feed = Feed(learn_s=10.0)
    rows = feed.noise(12)
    add(rows, 0, len(rows), 60, 20.0)
    feed.give(rows)
    feed.detector.ignore(hz_of(55), hz_of(65))
    assert feed.quiet(10) == []


@pytest.mark.parametrize("belongs_after", [1, 3, 20])
def test_a_stranger_belongs_after_so_many_transmissions(belongs_after):
    feed = learned(belongs_after=belongs_after)
    for number in range(1, 25):
        said = heard(feed, count=1)
        emitter = feed.detector.registry.emitters[1]
        assert emitter.count == number
        assert emitter.belongs == (number >= belongs_after)
        assert kinds_of(said) == (["new"] if number == 1 else [])
        assert bool(said) == (number <= belongs_after)
    assert not emitter.accepted and not emitter.learned


def test_a_band_file_makes_a_detector_that_knows(tmp_path):
    """Learned bursts, a carrier, an accepted and a named stranger, an ignored range; what it does not know alerts."""
    feed, rng = Feed(learn_s=60.0), np.random.default_rng(1)

    def give(to, seconds, *bins):
        said = []
        for _ in range(seconds // 2):
            rows = noise(2 * FRAMES_PER_S, rng)
            add(rows, 0, len(rows), 60, 20.0)
            for n, bin_ in enumerate(bins):
                add(rows, 10 + 20 * n, 5, bin_, 18.0 + rng.normal(0, 1))
            said += to.give(rows)
        return said
    assert give(feed, 80, 180) == []
    assert kinds_of(give(feed, 6, 180, 100)) == ["new"]
    feed.detector.accept(opens(feed.said)[0]["emitter_id"])
    feed.detector.name(opens(feed.said)[0]["emitter_id"], "Gate")
    feed.detector.ignore(hz_of(215), hz_of(225))
    path = tmp_path / "my.band"
    feed.detector.band_file().save(path)
    known = {e.id: (e.count, e.name, e.steady) for e in feed.detector.registry.emitters.values()}

    again = Feed(detector=EmitterDetector(CONTRACT, band=load(path)))
    assert not again.detector.learning and again.detector.learned_s == feed.detector.learned_s
    assert {e.id: (e.count, e.name, e.steady) for e in again.detector.registry.emitters.values()} == known
    again.frame = feed.frame + 3600 * FRAMES_PER_S
    assert give(again, 20, 180, 100, 220) == []
    said = give(again, 6, 180, 100, 220, 30)
    assert kinds_of(said) == ["new"] and said[0]["freq_center_hz"] == pytest.approx(hz_of(30), abs=BIN_HZ)
    assert said[0]["emitter_id"] == max(known) + 1
    for _ in range(40):
        again.quiet(2)
    gone = {m["emitter_id"] for m in opens(again.said, "gone")}
    assert gone == set(known)  # not the stranger, which was heard three times only


def test_a_band_that_was_not_learned_to_the_end_is_learned_further():
    first = Feed(learn_s=60.0)
    heard(first, count=10)
    band = first.detector.band_file()
    assert not band.complete and band.learned_s == pytest.approx(19.84)
    second = Feed(1, detector=EmitterDetector(CONTRACT, band=band, learn_s=60.0))
    second.frame = first.frame
    assert heard(second, count=21) == [] and not second.detector.learning
    assert second.detector.registry is not band.registry
    (emitter,) = second.detector.registry.emitters.values()
    assert emitter.count == 31 and emitter.learned


@pytest.mark.parametrize(("minutes", "seed"), [(8, 0), *(pytest.param(30, n, marks=pytest.mark.soak) for n in range(4))])
def test_a_busy_band(minutes, seed, capsys):
    """20 emitters at random times, whose levels vary by 4 dB; 2 minutes are learned. Each emitter may alert once."""
    rng = np.random.default_rng(seed)
    bins = 8.0 + 12.0 * np.arange(20) + rng.uniform(0, 1, 20)
    bins += 4.0 * (np.abs(bins - 128) < 8)
    levels, lengths, mean_gap_s = rng.uniform(10, 30, 20), rng.integers(2, 12, 20), rng.uniform(3, 60, 20)
    feed = Feed(seed, learn_s=120.0)
    next_frame = rng.exponential(mean_gap_s * FRAMES_PER_S)
    for start in range(0, (minutes + 2) * 60 * FRAMES_PER_S, 3000):
        rows = feed.noise(60)
        for n in range(20):
            while next_frame[n] < start + 3000:
                add(rows, int(next_frame[n]) - start, int(lengths[n]), bins[n], levels[n] + rng.uniform(-4, 4))
                next_frame[n] += lengths[n] + rng.exponential(mean_gap_s[n] * FRAMES_PER_S)
        feed.give(rows, batch=256)
    kinds = kinds_of(feed.said)
    with capsys.disabled():
        print(f"\nbusy band {seed}: {len(kinds)} alerts in {minutes} minutes:",
              {kind: kinds.count(kind) for kind in sorted(set(kinds))},
              len(feed.detector.registry.emitters), "emitters", feed.detector.receiver)
    assert len(kinds) <= 20
