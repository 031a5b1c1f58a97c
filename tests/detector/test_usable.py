# SPDX-License-Identifier: GPL-3.0-or-later
"""The setting `usable`: bins outside the middle of the band open no events and do not change scores."""

import numpy as np
import pytest
from frames import CONTRACT, FREQ, KEY, RATE, N, detector, frames, put, run, table
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.detector.detector import Detector
from gnuradio.spectrumencoder.encoder import features as layout
from gnuradio.spectrumencoder.tokens.layout import usable_bins

WIDTH = RATE / N
USABLE, FIRST, LAST = 0.75, 32, 223  # of 256 bins
KINDS = ("learned", "general", "fixed")


@pytest.fixture(scope="module")
def tables():
    return {"learned": table(8000), "general": table(8000, tuning=None)}


@pytest.fixture
def make(tables):
    def make_detector(kind, **settings):
        if kind == "fixed":
            return Detector(CONTRACT, {}, threshold_mode="fixed", threshold=1.5, **settings)
        return detector(tables[kind], **settings)
    return make_detector


def edges_hz(emitted):
    """(low, high) of each closed event."""
    closed = [(e.fields[keys.FREQ_CENTER_HZ], e.fields[keys.BANDWIDTH_HZ] / 2) for e in emitted
              if e.fields[keys.STATE] == "close"]
    return [(centre - half, centre + half) for centre, half in closed]


def hz(edge):
    """Of the lower edge of a bin."""
    return FREQ + (edge - N // 2 - 0.5) * WIDTH


def test_the_bins_of_a_share():
    assert usable_bins(N, USABLE) == slice(FIRST, LAST + 1)
    assert usable_bins(N, 1.0) == slice(0, N) and usable_bins(27, 1.0) == slice(0, 27)
    assert usable_bins(16, 1e-9) == slice(7, 9)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_outside_changes_no_score_and_opens_no_event(make, kind):
    psd, residual, rows = frames(300, seed=20)
    quiet, _ = run(make(kind, usable=USABLE), psd, residual, rows)
    put(psd, residual, 100, 179, 0, FIRST - 1, 30)
    put(psd, residual, 150, 199, LAST + 1, N - 1, -25)
    rows[100:180, layout.LOGIT] = 30  # the head sees the whole frame
    scores, emitted = run(make(kind, usable=USABLE), psd, residual, rows)
    np.testing.assert_array_equal(scores, quiet)
    assert not emitted
    _, emitted = run(make(kind), psd, residual, rows)
    assert emitted


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_inside_is_found_as_before(make, kind):
    psd, residual, rows = frames(300, seed=21)
    put(psd, residual, 120, 179, 100, 119, 15)
    low, high = max(edges_hz(run(make(kind, usable=USABLE), psd, residual, rows)[1]), key=lambda e: e[1] - e[0])
    assert abs(low - hz(100)) <= 2 * WIDTH and abs(high - hz(120)) <= 2 * WIDTH


@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_across_the_edge_is_cut_there(make, kind):
    psd, residual, rows = frames(300, seed=22)
    put(psd, residual, 120, 179, FIRST - 16, FIRST + 15, 15)
    found = edges_hz(run(make(kind, usable=USABLE), psd, residual, rows)[1])
    low, high = max(found, key=lambda e: e[1] - e[0])
    assert hz(FIRST) - 1 <= low <= hz(FIRST + 2) and abs(high - hz(FIRST + 16)) <= 2 * WIDTH
    assert min(edge for edge, _ in found) >= hz(FIRST) - 1


def test_a_barrage_covers_the_usable_part(make):
    psd, residual, rows = frames(300, seed=23)
    psd[150:200] += 10
    rows[150:200, layout.FLOOR_DBFS] += 10
    widest = max(edges_hz(run(make("learned", usable=USABLE), psd, residual, rows)[1]), key=lambda e: e[1] - e[0])
    assert widest == pytest.approx((hz(FIRST), hz(LAST + 1)))


@pytest.mark.parametrize("kind", KINDS)
def test_batches_change_nothing(make, kind):
    psd, residual, rows = frames(200, seed=24)
    put(psd, residual, 60, 99, 0, 60, 12)
    whole, parts = (run(make(kind, usable=USABLE), psd, residual, rows, batch)[0] for batch in (None, 7))
    np.testing.assert_array_equal(whole, parts)


def test_all_of_the_band_leaves_the_tables_as_they_are(tables):
    assert detector(tables["learned"]).tables[KEY] is tables["learned"]


@pytest.mark.parametrize("usable", [0, -0.5, 1.01, float("nan")])
def test_another_share_is_refused(usable):
    with pytest.raises(ValueError, match=r"usable .* is outside \(0, 1\]"):
        Detector(CONTRACT, {}, usable=usable)
