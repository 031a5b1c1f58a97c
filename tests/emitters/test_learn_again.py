# SPDX-License-Identifier: GPL-3.0-or-later
"""A tuning that the band file does not know is learned, while those that it knows are watched."""

import pytest
from gnuradio.spectrumencoder.emitters.band_file import BandFile
from gnuradio.spectrumencoder.emitters.on_air import FIRST_S
from gnuradio.spectrumencoder.emitters.watcher import LEARN_AGAIN
from streams import FRAMES_PER_S, FREQ_HZ, RATE, Feed, add, hz_of, kinds_of, line, segment_of

LEARN_S, AWAY_HZ = 8.0, 99e6
AWAY = segment_of(AWAY_HZ)
OWN, OTHER = 60, 180  # bins of what is usual at the first tuning and at the other one


def busy(feed, seconds, bin_, carrier=None):
    """Noise with a burst each second, and perhaps a carrier."""
    rows = feed.noise(seconds)
    for moment in range(round(seconds)):
        add(rows, moment * FRAMES_PER_S + 10, 8, bin_, 15, width=5)
    if carrier is not None:
        rows += line(carrier, 20)
    return rows


def again(detector):
    """The band as its file gives it back."""
    return BandFile.from_bytes(detector.band_file().to_bytes(), "x")


@pytest.fixture(scope="module")
def band():
    """What one run has learned at the first tuning: an emitter and a carrier."""
    feed = Feed(1, learn_s=LEARN_S, learn_later=True)
    feed.give(busy(feed, LEARN_S + 4, OWN, carrier=100))
    assert not feed.detector.learning and not feed.notices and feed.said == []
    return again(feed.detector)


def started(band, seed, **settings):
    return Feed(seed, **{"band": band, "learn_s": LEARN_S, "learn_later": True} | settings)


def test_another_frequency_is_learned_and_both_are_kept(band):
    feed = started(band, 2)
    assert not feed.detector.learning
    feed.give(busy(feed, LEARN_S / 2, OTHER, carrier=30), segment=AWAY)
    (notice,) = feed.notices
    assert notice.state == LEARN_AGAIN and "was learned at 433 MHz at " in notice.text and "; 99 MHz at " in notice.text
    assert notice.text.endswith("is learned now, for 8 s of signal")
    assert feed.detector.learning and feed.detector.learned_s == pytest.approx(LEARN_S / 2, abs=1.0)
    on_air = [row["freq_center_hz"] for row in feed.detector.on_air.rows]
    assert len(on_air) == 2 and all(abs(hz - AWAY_HZ) < RATE for hz in on_air) and feed.detector.learned_s > FIRST_S
    feed.give(busy(feed, LEARN_S / 2 + 6, OTHER, carrier=30), segment=AWAY)
    assert not feed.detector.learning and feed.detector.n_learned == 1 and feed.said == []  # none of 433 MHz is gone
    assert sorted(row["freq_center_hz"] for row in feed.detector.heard) == pytest.approx(
        [hz_of(30, AWAY_HZ), hz_of(OTHER, AWAY_HZ)], abs=3e3)
    rows = feed.noise(2)
    add(rows, 20, 10, 130, 15)
    feed.give(rows + line(30, 20), segment=AWAY)
    assert kinds_of(feed.said) == ["new"]
    saved = again(feed.detector)
    assert saved.complete and [(t.freq_hz, t.learned) for t in saved.tunings] == [(FREQ_HZ, True), (AWAY_HZ, True)]
    assert saved.learned_s == pytest.approx(band.learned_s + LEARN_S, abs=1.0)
    for number, emitter in band.registry.emitters.items():
        assert saved.registry.emitters[number].count == emitter.count and not saved.registry.emitters[number].gone
    back = started(saved, 3)
    back.give(busy(back, 4, OWN, carrier=100))
    back.detector.discontinuity()
    back.give(busy(back, 4, OTHER, carrier=30), segment=AWAY)
    assert not back.notices and back.said == [] and not back.detector.n_learned


def test_a_retune_learns_there_and_the_first_tuning_is_watched_meanwhile(band):
    """Also in the first run with a file; a retune back is watched at once."""
    feed = Feed(4, learn_s=LEARN_S, learn_later=True)
    feed.give(busy(feed, LEARN_S + 2, OWN))
    assert feed.detector.n_learned == 1 and not feed.notices
    feed.detector.discontinuity()
    feed.give(busy(feed, 2, OTHER, carrier=30), segment=AWAY)
    assert feed.detector.learning and len(feed.notices) == 1
    feed.detector.discontinuity()
    rows = busy(feed, 3, OWN)
    add(rows, 75, 10, 200, 15)
    feed.give(rows)
    assert not feed.detector.learning and kinds_of(feed.said) == ["new"]
    assert [t.learned for t in again(feed.detector).tunings] == [True, False]
    feed.detector.discontinuity()
    feed.give(busy(feed, LEARN_S, OTHER, carrier=30), segment=AWAY)
    assert feed.detector.n_learned == 2 and not feed.detector.learning and kinds_of(feed.said) == ["new"]
    assert len(feed.notices) == 1  # it was said once


def test_hops_of_a_scan_share_the_seconds_and_known_ones_alert(band):
    feed, hops = started(band, 5), [FREQ_HZ, AWAY_HZ, AWAY_HZ + 2 * RATE]
    for turn in range(8):
        for hop in hops:
            rows = busy(feed, 1, OWN if hop == FREQ_HZ else OTHER, carrier=100 if hop == FREQ_HZ else None)
            if turn == 2 and hop == FREQ_HZ:
                add(rows, 30, 10, 200, 15)
            feed.give(rows, segment=segment_of(hop))
            feed.said += [emitted.fields for emitted in feed.detector.discontinuity()]
            assert feed.detector.learned_s <= LEARN_S + 0.7 or not feed.detector.n_learned
    assert feed.detector.n_learned == 1 and feed.detector.learned_s == pytest.approx(LEARN_S, abs=0.7)
    assert kinds_of(feed.said) == ["new"] and len(feed.notices) == 1
    assert all(t.learned for t in again(feed.detector).tunings) and len(again(feed.detector).tunings) == 3


def test_what_other_tunings_cover_is_known(band):
    """As a hop that moves with jitter. Beyond them it is learned."""
    feed = started(band, 6)
    feed.give(busy(feed, LEARN_S + 1, OTHER), segment=segment_of(FREQ_HZ + RATE))
    assert feed.detector.n_learned == 1
    feed.give(feed.noise(1), segment=segment_of(FREQ_HZ + RATE / 2))
    assert not feed.detector.learning and len(feed.notices) == 1
    feed.give(feed.noise(1), segment=segment_of(FREQ_HZ - RATE / 2))
    assert feed.detector.learning and len(feed.notices) == 2


def test_a_stop_in_the_midst_is_gone_on_with(band):
    feed = started(band, 7)
    feed.give(busy(feed, 5, OTHER), segment=AWAY)
    saved = again(feed.detector)
    assert not saved.complete and [t.learned for t in saved.tunings] == [True, False]
    feed = started(saved, 8)
    feed.give(busy(feed, 2, OWN, carrier=100))
    assert not feed.detector.learning and feed.said == [] and not feed.notices  # what is known is watched at once
    feed.give(busy(feed, 4, OTHER), segment=AWAY)
    assert feed.detector.n_learned == 1 and feed.notices[0].text.endswith("for 3.52 s of signal"), feed.notices
    saved = again(feed.detector)
    assert saved.complete and saved.learned_s == pytest.approx(band.learned_s + LEARN_S, abs=1.0)


def test_nothing_is_learned_if_nothing_shall_be_or_nobody_keeps_it(band):
    for settings in ({"learn_s": 0.0}, {"learn_later": False}):
        feed = started(band, 9, **settings)
        feed.give(busy(feed, 4, OTHER), segment=AWAY)
        assert not feed.detector.learning and not feed.notices and "new" in kinds_of(feed.said)


def test_an_end_of_learning_while_the_radio_is_elsewhere_loses_no_alert(band):
    """Asked for from outside, in the midst of a burst at a tuning that is known."""
    feed = started(band, 10)
    feed.give(busy(feed, 3, OTHER), segment=AWAY)
    feed.detector.discontinuity()
    rows = busy(feed, 2, OWN, carrier=100)
    add(rows, len(rows) - 1, 1, 200, 25)  # its first frame: it is judged at the second
    feed.give(rows)
    assert feed.said == [] and not feed.detector.learning
    feed.detector.finish_learning()
    assert feed.detector.n_learned == 1
    feed.give(feed.noise(0.2) + line(100, 20))
    assert kinds_of(feed.said) == ["new"]
