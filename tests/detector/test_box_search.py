# SPDX-License-Identifier: GPL-3.0-or-later
"""The boxes of bins and frames against plain loops; what they find, and where; batches do not matter."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.detector import box_search
from gnuradio.spectrumencoder.detector.band_statistics import BandStatistics
from gnuradio.spectrumencoder.detector.box_search import (
    BOX_CHANNELS,
    EXCESS,
    HISTORY,
    LENGTHS,
    BoxRows,
    BoxSearch,
    BoxSize,
    boxes,
    frame_rows,
)
from gnuradio.spectrumencoder.detector.regions import MISSING, box_regions
from gnuradio.spectrumencoder.tokens.tokenize import native_module

N = 256


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).standard_normal((1500, N)).astype(np.float32)


@pytest.fixture(scope="module")
def search(noise):
    return BoxSearch.learn(frame_rows(noise, 1.1 * noise), N)


def plain(deviation, level, low, high, kind):
    if kind == EXCESS:
        return sum(map(float, deviation[low:high])) / (high - low) ** 0.5
    return 10 * np.log10(sum(10 ** (float(x) / 10) for x in level[low:high]) / (high - low))


def test_rows_and_maxima_equal_plain_loops(noise, search):
    few, level = noise[:20, :], 1.1 * noise[:20, :]
    rows = frame_rows(few, level)
    plan = boxes(N)
    parts = list(dict.fromkeys((c.kind, c.scale) for c in BOX_CHANNELS.values()))
    for number, (kind, scale) in enumerate(parts):
        for box in range(*plan.part(number).indices(len(plan.low)))[::7]:
            assert plan.high[box] - plan.low[box] == scale
            assert rows[5, box] == pytest.approx(plain(few[5], level[5], plan.low[box], plan.high[box], kind), abs=2e-4)
    maxima = search.maxima(rows)
    assert maxima.shape == (20 - HISTORY, len(BOX_CHANNELS))
    for column, channel in list(enumerate(BOX_CHANNELS.values()))[::5]:
        at, mine = LENGTHS.index(channel.length), plan.part(parts.index((channel.kind, channel.scale)))
        limit = (search.up if channel.sign > 0 else search.down)[at, mine]
        for frame in (HISTORY, 19):
            total = rows[frame - channel.length + 1:frame + 1, mine].sum(axis=0) / channel.length**0.5
            wanted = (channel.sign * (total - search.median[at, mine]) / limit).max()
            assert maxima[frame - HISTORY, column] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("n_bins", [16, 100, 250, 300])
def test_compiled_sums_give_the_bits_of_numpy_for_any_number_of_bins(n_bins, monkeypatch):
    """Also where a box is cut to the band, and its divisor is no power of two."""
    level = np.random.default_rng(6).standard_normal((5, n_bins)).astype(np.float32)
    before = np.ones((2, boxes(n_bins).edges[-1]), np.float32)
    rows = frame_rows(level, 1.1 * level, before)
    monkeypatch.setattr(box_search, "optional_native_module", lambda: None)
    assert np.array_equal(frame_rows(level, 1.1 * level, before), rows)
    assert np.array_equal(rows[:2], before)


@pytest.mark.parametrize("frames", [1, 2, 40])
def test_compiled_search_gives_the_bits_of_numpy(noise, search, frames, monkeypatch):
    rows = np.concatenate((search.begin(), frame_rows(noise[:frames], 1.1 * noise[:frames])))
    assert np.array_equal(search.maxima(rows), search.maxima_numpy(rows))
    monkeypatch.setattr(box_search, "optional_native_module", lambda: None)
    assert np.array_equal(frame_rows(noise[:frames], 1.1 * noise[:frames]), rows[HISTORY:])
    assert np.array_equal(search.maxima(rows), search.maxima_numpy(rows))


def test_compiled_search_refuses_what_does_not_fit():
    native = native_module()
    edges, limit = np.array([0, 4, 6], np.uint32), np.ones((4, 6), np.float32)
    good, out = np.zeros((HISTORY + 2, 6), np.float32), np.zeros((2, 20), np.float32)
    native.box_maxima(good, edges, limit, limit, limit, out[:, 2:18])
    assert not out[:, :2].any() and (out[:, 2:18] != 0).all() and not out[:, 18:].any()  # columns of a wider array
    for rows, at in ((good[:, :5], edges), (good[:3], edges), (good, np.array([0, 6, 6], np.uint32)), (good, edges[:1])):
        with pytest.raises(ValueError, match="does not fit"):
            native.box_maxima(np.ascontiguousarray(rows), at, limit, limit, limit, out[:, :16])
    with pytest.raises(ValueError, match="a limit does not fit"):
        native.box_maxima(good, edges, limit[:, :4].copy(), limit, limit, out[:, :16])
    for wrong in (out, out[:1, :16], out[:, :32:2], out[::-1, :16]):
        with pytest.raises(ValueError, match="out does not fit"):
            native.box_maxima(good, edges, limit, limit, limit, wrong)
    sizes, rows = np.array([[1, 1], [4, 1]], np.uint32), np.zeros((HISTORY + 2, 9), np.float32)
    arguments = dict(deviation=good, level=good, sizes=sizes, deviation_sizes=1, rows=rows)
    native.box_rows(**arguments)
    for wrong, what in ((dict(sizes=sizes + np.uint32(3)), "a box"), (dict(sizes=sizes * np.uint32(0)), "a box"),
                        (dict(level=good[1:].copy()), "level"), (dict(rows=rows[:, :8].copy()), "rows"),
                        (dict(rows=rows[1:].copy()), "rows"), (dict(deviation_sizes=3), "sizes")):
        with pytest.raises(ValueError, match=f"{what} does not fit"):
            native.box_rows(**arguments | wrong)
    with pytest.raises(TypeError):  # no silent conversion
        native.box_rows(**arguments | dict(deviation=good.astype(np.float64)))


@pytest.mark.parametrize("n_bins", [16, 100, 1024])
def test_one_pass_gives_the_bits_of_its_parts_and_of_numpy(n_bins, monkeypatch):
    rng = np.random.default_rng(8)
    band = BandStatistics(rng.normal(3, 1, n_bins), rng.uniform(0.5, 2, n_bins), rng.normal(0, 0.1, (3, n_bins)))
    psd, curve = rng.normal(-90, 4, (7, n_bins)).astype(np.float32), rng.normal(0, 0.2, n_bins).astype(np.float32)
    features = rng.normal(-91, 1, (7, 5)).astype(np.float32)

    def one_pass():
        levels, rows = np.empty_like(psd), np.empty((7, boxes(n_bins).edges[-1]), np.float32)
        assert box_search.band_rows(psd, features[:, 2], curve, band, levels, rows) == 0
        return levels, rows
    levels, rows = one_pass()
    np.testing.assert_array_equal(levels, psd - features[:, 2:3])
    np.testing.assert_array_equal(rows, frame_rows(band.standardise(levels - curve), levels - curve))
    monkeypatch.setattr(box_search, "optional_native_module", lambda: None)
    for mine, numpy in zip((levels, rows), one_pass(), strict=True):
        np.testing.assert_array_equal(mine, numpy)


@pytest.mark.parametrize("compiled", [True, False])
def test_frames_that_are_not_finite_are_counted(compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr(box_search, "optional_native_module", lambda: None)
    band = BandStatistics(np.zeros(32), np.ones(32), np.zeros((0, 32)))
    psd, floor = np.zeros((6, 32), np.float32), np.zeros(6, np.float32)
    psd[1, 3], psd[1, 4], psd[4, 31], floor[5] = np.nan, np.inf, -np.inf, np.nan
    rows = np.empty((6, boxes(32).edges[-1]), np.float32)
    assert box_search.band_rows(psd, floor, np.zeros(32, np.float32), band, np.empty_like(psd), rows) == 3


def test_powers_and_decibels_are_those_of_the_definition():
    level = np.linspace(-60, 120, 4001, dtype=np.float32)[None]
    rows = frame_rows(np.zeros_like(level), level)
    power = boxes(level.shape[1]).part(len(box_search.EXCESS_SCALES))  # of four bins
    exact = 10.0 ** (level.astype(np.float64) / 10)
    wanted = 10 * np.log10(np.lib.stride_tricks.sliding_window_view(exact[0], 4).mean(axis=1))
    assert abs(rows[0, power] - wanted).max() < 2e-5
    assert (frame_rows(np.zeros((1, 16), np.float32), np.full((1, 16), -400, np.float32))[0, -1:] == np.float32(-90)).all()


def test_rows_stand_behind_those_of_the_frames_before(search):
    """However many come at a time, and when the memory begins anew."""
    rng, before = np.random.default_rng(9), search.begin()
    recent = BoxRows(search)
    for count in (1, 5, 32, 20, 3, 32, 1, 1, 31):
        given, fresh = recent.extend(count), rng.standard_normal((count, before.shape[1])).astype(np.float32)
        np.testing.assert_array_equal(given[:HISTORY], before[-HISTORY:])
        given[HISTORY:] = fresh
        before = np.concatenate((before, fresh))
    recent.restart(search)
    np.testing.assert_array_equal(recent.extend(2)[:HISTORY], search.begin())


def test_names_tell_the_box():
    assert BOX_CHANNELS["excess_4_8"] == BoxSize(EXCESS, 4, 8, 1) and BOX_CHANNELS["power_missing_64_1"].sign == -1
    assert len(BOX_CHANNELS) == 2 * len(LENGTHS) * 8 == len({c.name for c in BOX_CHANNELS.values()})


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_batches_do_not_matter(noise, search, batch):
    whole = search.maxima(np.concatenate((search.begin(), frame_rows(noise[:100], noise[:100]))))
    history, parts = search.begin(), []
    for i in range(0, 100, batch):
        part = noise[i:min(i + batch, 100)]
        rows = np.concatenate((history, frame_rows(part, part)))
        parts.append(search.maxima(rows))
        history = rows[-HISTORY:]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_what_is_usual_is_at_most_one(noise, search):
    own = search.maxima(frame_rows(noise, 1.1 * noise))
    assert own.max() == pytest.approx(1.0, abs=1e-4)  # the most that was seen
    other = np.random.default_rng(1).standard_normal((1500, N)).astype(np.float32)
    assert np.quantile(search.maxima(frame_rows(other, 1.1 * other)), 0.99) < 1.1


def test_a_carrier_too_weak_for_one_frame_shows_in_eight(noise, search):
    """2.5 deviations in one bin: fewer than the most of 256 in each frame, and yet 7 of the mean's after eight."""
    signal = np.random.default_rng(2).standard_normal((HISTORY + 9, N)).astype(np.float32)
    signal[HISTORY:, 100] += 2.5
    values = search.maxima(frame_rows(signal, 1.1 * signal))
    names = list(BOX_CHANNELS)
    assert values[-1, names.index("excess_1_8")] > 1.4
    assert values[-1, names.index("excess_1_1")] < 1.2


def test_a_busy_channel_hides_what_is_no_louder_and_nothing_beside(search):
    rng = np.random.default_rng(3)
    levels = rng.standard_normal((1500, N)).astype(np.float32)
    levels[:, 60:80] += 12 * (rng.random((1500, 1)) < 0.3)
    busy = BoxSearch.learn(frame_rows(levels, levels), N)
    new = rng.standard_normal((HISTORY + 1, N)).astype(np.float32)
    inside, beside = new.copy(), new.copy()
    inside[-1, 65:69] += 8
    beside[-1, 120:124] += 8
    column = list(BOX_CHANNELS).index("excess_4_1")
    assert busy.maxima(frame_rows(inside, inside))[0, column] < 1.1
    assert busy.maxima(frame_rows(beside, beside))[0, column] > 2


def unit(names=BOX_CHANNELS):
    return dict.fromkeys(names, (0.0, 1.0))


def test_regions_are_where_it_is_and_end_when_it_ends(search):
    rng = np.random.default_rng(4)
    signal = rng.standard_normal((40, N)).astype(np.float32)
    signal[20:30, 100:104] += 5
    signal[20:30, 200:220] -= 4
    rows = np.concatenate((search.begin(), frame_rows(signal, 1.1 * signal)))
    for frame in (24, 29):
        found = box_regions(search, rows[frame:frame + HISTORY + 1], unit(), 1.3)
        assert len(found) == 2
        more, less = sorted(found, key=lambda r: r.low)
        assert abs(more.low - 100) <= 1 and abs(more.high - 103) <= 1 and more.kind == "excess"
        assert abs(less.low - 200) <= 3 and abs(less.high - 219) <= 3 and less.kind == MISSING
    after = rows[31:31 + HISTORY + 1]
    assert search.maxima(after).max() > 1.3  # the boxes of eight frames still speak
    assert box_regions(search, after, unit(), 1.3) == []


def test_what_cannot_be_learned_or_read_is_refused(noise, search):
    with pytest.raises(ValueError, match=f"more than {HISTORY} frames"):
        BoxSearch.learn(frame_rows(noise[:HISTORY], noise[:HISTORY]), N)
    with pytest.raises(ValueError, match="box search of shapes"):
        BoxSearch(N, search.median[:, :-1], search.up, search.down)
    with pytest.raises(ValueError, match="not positive"):
        BoxSearch(N, search.median, search.up, np.zeros_like(search.down))


def test_a_band_narrower_than_a_box():
    few = np.random.default_rng(5).standard_normal((50, 32)).astype(np.float32)
    rows = frame_rows(few, few)
    assert rows.shape[1] == len(boxes(32).low) and np.isfinite(BoxSearch.learn(rows, 32).maxima(rows)).all()
    assert box_search.boxes(32).high.max() == 32
