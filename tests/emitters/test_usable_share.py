# SPDX-License-Identifier: GPL-3.0-or-later
"""The share of the band that is judged: nothing outside it is an emitter, steady or not, and the floor is that of its bins."""

import pytest
from gnuradio.spectrumencoder.emitters.band_file import BandFile
from gnuradio.spectrumencoder.emitters.watcher import EmitterDetector
from streams import CONTRACT, Feed, N, add, kinds_of

USABLE = 0.4
INSIDE, OUTSIDE = slice(77, 179), (slice(0, 77), slice(179, N))


def carriers(feed, seconds, *bins):
    """Gives carriers; returns what was said."""
    rows = feed.noise(seconds)
    for bin_ in bins:
        add(rows, 0, len(rows), bin_, 20.0)
    return feed.give(rows)


def test_steady_emitters_outside_are_none():
    feed = Feed(learn_s=10.0, usable=USABLE)
    assert carriers(feed, 15, 30, 100) == []
    assert [e.steady for e in feed.detector.registry.emitters.values()] == [True]
    said = carriers(feed, 10) + carriers(feed, 10, 100) + carriers(feed, 10, 100, 220)
    assert kinds_of(said) == ["gone"]


def test_emitters_of_a_band_file_outside_are_not_missed():
    """Learned with all of the band: a carrier, and bursts every 2 s."""
    first = Feed(learn_s=60.0)
    for _ in range(35):
        rows = first.noise(2.0)
        add(rows, 0, len(rows), 30, 20.0)
        add(rows, 10, 5, 220, 20.0)
        assert first.give(rows) == []
    band = BandFile.from_bytes(first.detector.band_file().to_bytes(), "")
    feed = Feed(1, detector=EmitterDetector(CONTRACT, band=band, usable=USABLE))
    assert feed.quiet(100) == []
    whole = Feed(1, detector=EmitterDetector(CONTRACT, band=band))
    assert kinds_of(whole.quiet(100)) == ["gone", "gone"]


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_the_floor_is_that_of_the_usable_bins(where):
    feed = Feed(learn_s=10.0, usable=USABLE)
    feed.quiet(11)
    rows = feed.noise(5.0)
    for part in (INSIDE,) if where == "inside" else OUTSIDE:
        rows[50:, part] *= 4.0
    assert kinds_of(feed.give(rows)) == (["raised floor"] if where == "inside" else [])
