# SPDX-License-Identifier: GPL-3.0-or-later
"""Feed and History: frames become rows at their time and frequency; what is not taken in time is counted."""

import numpy as np
import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.display.feed import MAX_MESSAGES, Feed
from gnuradio.spectrumencoder.display.history import EMPTY_DBFS, MAX_COLUMNS, MAX_ROWS, History, Row, TimeScale, Tuning

N = 64
RATE, CENTER, HOP = 1e6, 100e6, 16 * N
FRAME_S = HOP / RATE


def frames(count, level=-90.0):
    return np.full((count, N), level, np.float32)


def filled(feed, history):
    for row in feed.take().rows:
        history.add(row)
    return history


def tags(start=0, center=CENTER, rate=RATE, hop=HOP):
    return {keys.RX_FREQ: center, keys.RX_RATE: rate, keys.FRAME_START: start, keys.FRAME_HOP: hop}


def test_a_frame_is_a_row_where_all_fit():
    feed = Feed(N, 0.0, 1.0, 0.1)
    feed.add_tags(tags())
    psd = frames(20) + np.arange(20, dtype=np.float32)[:, None]
    feed.add_frames(psd, scores=np.arange(20, dtype=np.float32))
    feed.flush()
    history = filled(feed, History())
    assert history.row_s == pytest.approx(FRAME_S)
    np.testing.assert_array_equal(history.levels[-20:], psd)
    np.testing.assert_array_equal(history.scores[-20:], np.arange(20))
    assert history.low_hz == pytest.approx(CENTER - RATE / 2 - RATE / N / 2)
    assert history.high_hz == pytest.approx(history.low_hz + RATE)
    assert history.end_s == pytest.approx(20 * FRAME_S)


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_a_burst_of_one_frame_is_seen_in_a_row_of_many(batch):
    """Rows hold maxima; they do not depend on how frames were batched."""
    feed = Feed(N, CENTER, RATE, 400 * 10 * FRAME_S)
    feed.add_tags(tags())
    psd, scores = frames(1000), np.zeros(1000, np.float32)
    psd[437, 5], scores[438] = -20.0, 9.0
    for first in range(0, 1000, batch):
        feed.add_frames(psd[first:first + batch], scores=scores[first:first + batch])
    feed.flush()
    history = filled(feed, History())
    row = MAX_ROWS - 100 + 43
    assert history.levels[row, 5] == -20.0 and (history.levels > -50).sum() == 1
    assert history.scores[row] == 9.0 and np.nansum(history.scores) == 9.0


def test_a_gap_stays_empty():
    feed = Feed(N, CENTER, RATE, 0.1)
    feed.add_tags(tags())
    feed.add_frames(frames(3))
    feed.add_tags({keys.FRAME_START: 10 * HOP})
    feed.add_frames(frames(2))
    feed.flush()
    history = filled(feed, History())
    heard = (history.levels > EMPTY_DBFS).all(axis=1)
    assert heard[-12:].tolist() == [True] * 3 + [False] * 7 + [True] * 2


def test_each_tuning_is_at_its_frequency():
    """Two tunings that overlap by a quarter and share a row: one axis, the larger level where both were."""
    feed = Feed(N, CENTER, RATE, 400 * 10 * FRAME_S)
    feed.add_tags(tags())
    feed.add_frames(frames(2, -80.0))
    feed.add_tags(tags(2 * HOP, CENTER + 0.75 * RATE))
    feed.add_frames(frames(2, -60.0))
    feed.flush()
    history = filled(feed, History())
    assert history.levels.shape[1] == N + 48
    assert history.levels[-1].tolist() == [-80.0] * 48 + [-60.0] * N
    assert history.high_hz - history.low_hz == pytest.approx(1.75 * RATE)


def test_the_axis_shrinks_when_a_tuning_is_long_gone():
    history = History()
    far = Tuning(2.4e9, RATE, N)
    history.add(Row(0, TimeScale(0.001, 100), far, frames(1)[0], np.nan))
    history.add(Row(1, TimeScale(0.001, 100), Tuning(CENTER, RATE, N), frames(1)[0], np.nan))
    assert history.high_hz == pytest.approx(far.high_hz) and history.levels.shape[1] <= MAX_COLUMNS
    history.add(Row(150, TimeScale(0.001, 100), Tuning(CENTER, RATE, N), frames(1)[0], np.nan))
    assert history.high_hz < 101e6 and history.levels.shape[1] == N


def test_any_offset_keeps_every_bin():
    """A second tuning that lies between the first one's bins: no column is skipped or used twice."""
    for shift in np.linspace(0, 1, 23):
        history = History()
        history.add(Row(0, TimeScale(0.1, 10), Tuning(CENTER, RATE, N), frames(1)[0], np.nan))
        second = Tuning(CENTER + (7 + shift) * RATE / N, RATE, N)
        history.add(Row(1, TimeScale(0.1, 10), second, np.arange(N, dtype=np.float32), np.nan))
        heard = history.levels[-1][history.levels[-1] > EMPTY_DBFS]
        assert heard.tolist() == list(range(N)), shift


def test_stream_time_goes_on_at_another_rate():
    feed = Feed(N, CENTER, RATE, 1.0)
    feed.add_tags(tags())
    feed.add_frames(frames(10))
    feed.add_tags(tags(10 * HOP, rate=2 * RATE))
    assert feed.time_of(10 * HOP) == pytest.approx(10 * FRAME_S)
    assert feed.time_of(12 * HOP) == pytest.approx(11 * FRAME_S)
    assert feed.time_of(4 * HOP) == pytest.approx(4 * FRAME_S)


def test_without_tags_the_settings_hold_and_change():
    feed = Feed(N, 5e6, RATE, 1.0)
    feed.add_frames(frames(1))
    assert feed.take().latest.tuning == Tuning(5e6, RATE, N)
    feed.set_untagged(keys.RX_FREQ, 7e6)
    feed.add_frames(frames(1))
    assert feed.take().latest.tuning == Tuning(7e6, RATE, N)


def test_what_nobody_takes_is_bounded_and_counted():
    feed = Feed(N, CENTER, RATE, FRAME_S)
    for _ in range(MAX_ROWS + 51):
        feed.add_frames(frames(1))
    for number in range(MAX_MESSAGES + 3):
        feed.add_message(keys.EVENTS, {"n": number})
    assert feed.lost_rows == 50 and feed.lost_messages == 3
    update = feed.take()
    assert len(update.rows) == MAX_ROWS and update.messages[0] == (keys.EVENTS, {"n": 3})
    assert feed.take().rows == [] and feed.take().latest is None


def test_the_newest_frame_is_a_copy():
    feed, psd = Feed(N, CENTER, RATE, 1.0), frames(3)
    feed.add_frames(psd, psd, psd, np.zeros(3, np.float32))
    psd[:] = 0.0
    latest = feed.take().latest
    assert latest.psd.max() == latest.residual.max() == latest.reconstruction.max() == -90.0


def test_restart_forgets_everything():
    feed = Feed(N, CENTER, RATE, 1.0)
    feed.add_tags(tags(start=5000, center=1e9))
    feed.add_frames(frames(5))
    feed.add_message(keys.EVENTS, {})
    generation = feed.generation
    feed.restart()
    update = feed.take()
    assert (update.rows, update.latest, update.messages) == ([], None, []) and feed.n_frames == 0
    assert feed.generation != generation and feed.time_of(0) == 0.0


@pytest.mark.parametrize(("history_s", "frame_s", "wanted"), [
    (10.0, 0.008, (0.025, 400)), (10.0, 0.3, (0.3, 34)), (0.1, 0.3, (0.3, 1)), (3600.0, 0.008, (9.0, 400))])
def test_time_scale(history_s, frame_s, wanted):
    assert TimeScale.of(history_s, frame_s) == wanted


def test_another_time_scale_begins_anew():
    feed, history = Feed(N, CENTER, RATE, 4.0), History()
    for history_s in (4.0, 8.0, 0.01, 1.0):
        feed.set_history_s(history_s)
        feed.add_frames(frames(30))
        feed.flush()
        filled(feed, history)
        assert history.scale == TimeScale.of(history_s, FRAME_S) and len(history.levels) == history.scale.n_rows
        assert history.end_s == pytest.approx(feed.time_of(0) + feed.n_frames * FRAME_S, abs=2 * history.row_s)
