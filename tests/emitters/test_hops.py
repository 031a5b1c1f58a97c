# SPDX-License-Identifier: GPL-3.0-or-later
"""Hop sets: a hopper is one emitter, whether it is learned or new; independent emitters on many frequencies are not."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.emitters.band_file import BandFile
from gnuradio.spectrumencoder.emitters.watcher import EmitterDetector
from streams import BIN_HZ, CONTRACT, FRAMES_PER_S, Feed, add, hz_of, kinds_of

CHANNELS = np.arange(40, 240, 24)  # 9 bins; the middle of the band lies between two


def hopper(feed, seconds, *, slot=12, on=1.0, width=6, snr_db=18.0, channels=CHANNELS):
    """Gives a hopper: a channel at random in each slot of frames, on for a share of it. Returns what was said."""
    rows, before = feed.noise(seconds), -1
    for first in range(0, len(rows) - slot, slot):
        bin_ = int(feed.rng.choice([c for c in channels if c != before]))
        add(rows, first, max(round(on * slot), 1), bin_, snr_db + feed.rng.normal(0, 1.0), width)
        before = bin_
    return feed.give(rows)


def sensors(feed, seconds, per_s, *, length=10, width=6, snr_db=18.0):
    """Gives independent emitters, one on each channel, at random times."""
    rows = feed.noise(seconds)
    for first in np.flatnonzero(feed.rng.random(len(rows) - length) < per_s / FRAMES_PER_S):
        add(rows, int(first), length, int(feed.rng.choice(CHANNELS)), snr_db + feed.rng.normal(0, 1.0), width)
    return feed.give(rows)


def bins_of(emitter):
    return sorted(round((hop - hz_of(0)) / BIN_HZ) for hop in emitter.hops_hz)


@pytest.mark.parametrize(("slot", "on"), [(12, 1.0), (12, 0.5), (30, 0.7), (6, 1.0)])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_new_hopper_is_one_alert(slot, on, seed):
    feed = Feed(seed, learn_s=10.0)
    feed.quiet(11)
    said = hopper(feed, 40, slot=slot, on=on)
    assert kinds_of(said) == ["new"]
    (emitter,) = feed.detector.registry.emitters.values()
    assert bins_of(emitter) == pytest.approx(CHANNELS.tolist(), abs=1)
    assert emitter.bandwidth_hz == pytest.approx(6 * BIN_HZ, rel=0.35)
    assert kinds_of(hopper(feed, 10, slot=slot, on=on)) == []
    assert kinds_of(feed.give(_burst(feed, 52))) == ["new"]  # between two of its channels


def _burst(feed, bin_):
    rows = feed.noise(4.0)
    add(rows, 100, 10, bin_, 18.0, 4)
    return rows


def test_a_learned_hopper_is_one_emitter():
    feed = Feed(learn_s=60.0)
    assert hopper(feed, 90) == []
    (emitter,) = feed.detector.registry.emitters.values()
    assert emitter.belongs and emitter.learned and bins_of(emitter) == pytest.approx(CHANNELS.tolist(), abs=1)
    (row,) = feed.detector.heard
    assert sorted(row["hop_set_hz"]) == sorted(emitter.hops_hz)
    band = BandFile.from_bytes(feed.detector.band_file().to_bytes(), "")
    again = Feed(1, detector=EmitterDetector(CONTRACT, band=band))
    assert hopper(again, 20) == []
    assert kinds_of(again.give(_burst(again, 52))) == ["new"]
    assert hopper(again, 20) == []


def test_a_learned_hopper_that_falls_silent_is_gone_once():
    """It sends for 3 s of every 6."""
    feed = Feed(learn_s=60.0)
    for _ in range(30):
        assert hopper(feed, 3.0) + feed.quiet(3.0) == []
    assert len(feed.detector.registry.emitters) == 1
    said = feed.quiet(200.0)
    assert kinds_of(said) == ["gone"] and said[0]["emitter_id"] == 1
    assert [m["state"] for m in hopper(feed, 3.0) + feed.quiet(2.0)] == ["close"]


@pytest.mark.parametrize("per_s", [0.5, 2.0])
def test_independent_emitters_are_no_hop_set(per_s):
    """Of like width, level and length."""
    feed = Feed(3, learn_s=100.0)
    assert sensors(feed, 110, per_s) == []
    emitters = feed.detector.registry.emitters.values()
    assert len(emitters) == len(CHANNELS) and not any(e.hops_hz for e in emitters)


@pytest.mark.parametrize("seed", range(3))
def test_independent_new_emitters_are_one_alert_each(seed):
    feed = Feed(seed, learn_s=10.0)
    feed.quiet(11)
    assert len(CHANNELS) - 1 <= len(kinds_of(sensors(feed, 120, 0.5))) <= len(CHANNELS)
    assert sum(not e.hops_hz for e in feed.detector.registry.emitters.values()) >= len(CHANNELS) - 2


def test_to_ignore_a_hopper_ignores_its_frequencies_alone():
    feed = Feed(learn_s=10.0)
    feed.quiet(11)
    assert kinds_of(hopper(feed, 20)) == ["new"]
    feed.detector.ignore_emitter(1)
    assert len(feed.detector.registry.ignored) == len(CHANNELS)
    assert kinds_of(hopper(feed, 10, width=9, snr_db=30.0)) == []  # its last burst before may be updated
    assert kinds_of(feed.give(_burst(feed, 52))) == ["new"]


def test_an_emitter_that_followed_another_once_is_new_when_it_comes_by_itself():
    feed = Feed(learn_s=10.0)
    feed.quiet(11)
    rows = feed.noise(4.0)
    add(rows, 50, 10, 64, 18.0, 6)
    add(rows, 61, 10, 136, 18.0, 6)
    assert kinds_of(feed.give(rows)) == ["new"]
    rows = feed.noise(4.0)
    add(rows, 50, 10, 136, 18.0, 6)
    assert kinds_of(feed.give(rows)) == ["new"]
    first, second = feed.detector.registry.emitters.values()
    assert first.hops_hz == second.hops_hz == []
    assert first.center_hz.mean == pytest.approx(hz_of(64), abs=BIN_HZ)
    assert second.center_hz.mean == pytest.approx(hz_of(136), abs=BIN_HZ)
