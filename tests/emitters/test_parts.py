# SPDX-License-Identifier: GPL-3.0-or-later
"""A wide signal that is always there is one emitter, however its power moves within its band and whichever tunings show it."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.emitters.band_file import BandFile
from gnuradio.spectrumencoder.emitters.commands import accept, name
from gnuradio.spectrumencoder.emitters.listing import rows_of, table
from gnuradio.spectrumencoder.emitters.parts import Piece, mark
from gnuradio.spectrumencoder.emitters.registry import Registry, Sign
from streams import BIN_HZ, FLOOR_DB, FRAMES_PER_S, Feed, K, N, add, hz_of, noise, segment_of


def station(rows, middle, snr_db, seed=0):
    """Adds a signal of constant power that swings over 24 bins around `middle`, from frame to frame more or less, in place."""
    rng, depth = np.random.default_rng(seed), 1.0
    for row in rows:
        depth = np.clip(0.9 * depth + 0.1 + rng.normal(0.0, 0.12), 0.4, 1.6)
        at = middle + depth * np.clip(rng.normal(0.0, 5.0, K), -12.0, 12.0)
        row += (10.0 ** (0.1 * snr_db) * np.exp(-0.5 * ((np.arange(N) - at[:, None]) / 2.0) ** 2)).mean(axis=0)
    return rows


def bin_of(row):
    return (row["freq_center_hz"] - hz_of(0)) / BIN_HZ


def test_a_station_is_one_row_and_its_skirts_stay_tolerated():
    feed = Feed(learn_s=30.0)
    rows = station(feed.noise(90.0), 180, 30.0)
    for first in range(20, 1500, FRAMES_PER_S):
        add(rows, first, 10, 60, 18.0, 9)  # another emitter, far away
    said = feed.give(rows[:1500]) + feed.give(rows[1500:])
    assert [m["alert"] for m in said if m["state"] == "open" and m["freq_center_hz"] > hz_of(120)] == []
    registry = feed.detector.registry
    assert len(registry.emitters) > 2 and registry.n_whole == 2
    (row,) = [row for row in feed.detector.heard if row["steady"]]
    assert len(feed.detector.heard) == 2 and bin_of(row) == pytest.approx(180, abs=3)
    assert 15 < row["bandwidth_hz"] / BIN_HZ < 60
    assert row["power_dbfs"] == pytest.approx(FLOOR_DB + 30.0 + 10.0 * np.log10(2.0 * np.sqrt(2.0 * np.pi)), abs=2.0)
    assert "dBFS" in table([row])[1] and "(steady)" in table([row])[1]
    assert {round(bin_of(row), -1) for row in feed.detector.on_air.rows} == {60, 180}
    again = BandFile.from_bytes(feed.detector.band_file().to_bytes(), "").registry
    assert again.n_whole == 2
    assert [row["emitter_id"] for row in rows_of(again)] == [row["emitter_id"] for row in rows_of(registry)]
    assert len(rows_of(again, every=True)) == len(registry.emitters)


def test_a_line_at_0_hz_does_not_part_a_station():
    feed = Feed(learn_s=20.0)
    rows = station(feed.noise(30.0), N // 2 + 3, 30.0)
    add(rows, 0, len(rows), N // 2, 50.0)
    feed.give(rows)
    assert [(row["steady"], bin_of(row)) for row in feed.detector.heard] == [(True, pytest.approx(N // 2 + 3, abs=4))]
    assert feed.said == []


def scan(feed, seconds, dwell, apart, add_to):
    """Alternates between two tunings, so many bins apart; add_to(rows, shift, number of the dwell) adds what a tuning shows."""
    for n in range(round(seconds * FRAMES_PER_S / dwell)):
        shift = (n % 2) * apart
        feed.detector.discontinuity()
        rows = noise(dwell, feed.rng)
        add_to(rows, shift, n)
        feed.give(rows, segment=segment_of(hz_of(N // 2 + shift)))


def test_a_station_that_two_tunings_cut_is_one_row():
    feed = Feed(learn_s=30.0, usable=0.6)
    scan(feed, 60.0, 32, 153, lambda rows, shift, n: station(rows, 204 - shift, 30.0, seed=n))
    (row,) = feed.detector.heard
    assert row["steady"] and bin_of(row) == pytest.approx(204, abs=3) and 15 < row["bandwidth_hz"] / BIN_HZ < 60
    assert sum(emitter.steady for emitter in feed.detector.registry.emitters.values()) > 1 and feed.said == []


def test_what_two_tunings_hear_at_once_has_no_negative_length():
    feed = Feed(learn_s=60.0)
    scan(feed, 50.0, 8, N // 2, lambda rows, shift, n: add(rows, 2, 4, 190 - shift, 18.0, 9) if n % 3 == 0 else None)
    lengths = [run.length_s for run in feed.detector._hops._runs]
    assert lengths and min(lengths) > 0.0


def test_a_skirt_that_falls_silent_is_not_gone():
    feed = Feed(learn_s=60.0)
    feed.give(station(feed.noise(60.0), 180, 30.0))
    assert not feed.detector.learning and feed.detector.registry.n_whole == 1 < len(feed.detector.registry.emitters)
    rows = feed.noise(120.0)
    rows += 10.0 ** 3.0 * np.exp(-0.5 * ((np.arange(N) - 180) / 2.0) ** 2)  # its modulation has become small
    said = feed.give(rows)
    assert [m["alert"] for m in said if m["alert"] == "gone"] == []


def piece(emitter, tuning, low, high):
    return Piece(emitter, tuning, float(low), float(high), 1.0, False, False)


def steady(registry, low, high, **decided):
    peak = np.full(high - low, 100.0, np.float32)
    emitter = registry.add(Sign(0.5 * (low + high), float(high - low), 20.0, -60.0, 0.0, 1.0, peak, float(low), 1.0),
                           belongs=True, learned=True)
    emitter.steady = True
    for key, value in decided.items():
        setattr(emitter, key, value)
    return emitter


def test_parts_are_marked_anew_and_never_of_each_other():
    registry = Registry()
    one, other = steady(registry, 100, 150), steady(registry, 101, 150)
    mark([piece(one, 0, 100, 150), piece(other, 1, 101, 150)], registry.emitters)
    assert (one.part_of, other.part_of) == (0, one.id)
    mark([piece(one, 0, 101, 150), piece(other, 1, 100, 150)], registry.emitters)
    assert (one.part_of, other.part_of) == (other.id, 0) and len(rows_of(registry)) == 1
    other.part_of = one.id  # as a file of two marks may say
    assert len(rows_of(registry)) == 2


@pytest.mark.parametrize("decided", [{"name": "Gate"}, {"accepted": True}])
def test_what_a_person_decided_on_keeps_its_row(decided):
    registry = Registry()
    wide, gate = steady(registry, 100, 160), steady(registry, 110, 150, **decided)
    mark([piece(wide, 0, 100, 160), piece(gate, 1, 110, 150)], registry.emitters)
    assert gate.part_of == 0 and wide.part_of == gate.id
    two = steady(registry, 105, 140, **decided)
    mark([piece(wide, 0, 100, 160), piece(gate, 1, 110, 150), piece(two, 2, 105, 140)], registry.emitters)
    assert gate.part_of == two.part_of == 0 and wide.part_of in (gate.id, two.id)
    two.part_of = gate.id
    (accept(registry, two.id) if "accepted" in decided else name(registry, two.id, "Door"))
    assert two.part_of == 0
