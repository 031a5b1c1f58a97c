# SPDX-License-Identifier: GPL-3.0-or-later
"""Results follow from the frames alone: not from how they were batched, from other detectors, or from earlier streams."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.emitters.band_file import BandFile
from gnuradio.spectrumencoder.emitters.watcher import EmitterDetector
from streams import CONTRACT, FLOOR_DB, FRAMES_PER_S, Feed, add, hz_of, kinds_of, noise, opens, segment_of

LEARN_S = 10.0
FRAMES = 50 * FRAMES_PER_S


def busy_band(seed=3):
    """Frames (F, N) dBFS of 50 s: a carrier that ends, learned bursts, new ones, impulses, steps of the gain, a moment's NaN."""
    rng = np.random.default_rng(seed)
    rows = noise(FRAMES, rng)
    add(rows, 0, 30 * FRAMES_PER_S, 60.3, 18.0)
    for first in range(20, FRAMES, 70):
        add(rows, first + int(rng.integers(20)), 6, 150 + rng.normal(0, 0.3), 17.0 + rng.normal(0, 2.0))
    for first in range(700, FRAMES, 90):
        add(rows, first, int(rng.integers(1, 9)), 200.4, 15.0, width=9)
    add(rows, 488, 40, 30.0, 14.0)  # on while learning ends
    for first in (300, 901, 1444):
        rows[first] *= 2.0
    gain = np.zeros(FRAMES)
    gain[1600:1700] = -4.0
    gain += 0.4 * np.sin(np.arange(FRAMES) / 200.0)
    return (10.0 * np.log10(rows) + FLOOR_DB + gain[:, None]).astype(np.float32)


def told(feed):
    """What was said, without the time that it took."""
    return [{key: value for key, value in message.items() if key != "latency_ms"} for message in feed.said]


def state_of(detector):
    """The band file's bytes."""
    return detector.band_file().to_bytes()


@pytest.fixture(scope="module")
def whole():
    """The busy band in batches of 16."""
    feed = Feed(learn_s=LEARN_S, bursts=True)
    feed.give_db(busy_band(), batch=16)
    feed.flush()
    return feed


def test_the_busy_band_holds_what_this_file_is_about(whole):
    kinds = kinds_of(whole.said)
    assert {"new", "gone", "receiver", "burst"} <= set(kinds)
    scores = np.concatenate(whole.scores)
    assert np.isnan(scores[:32]).all() and np.isfinite(scores[32:]).all()
    assert (scores[40:500] > 1.0).any() and (scores[500:] > 1.0).any()
    detector = whole.detector
    assert (detector.n_frames, detector.n_judged) == (FRAMES, FRAMES - 32)
    assert detector.n_flagged == int((scores > 1.0).sum()) > 50


RANDOM = tuple(int(size) for size in np.random.default_rng(0).integers(1, 90, 100))


@pytest.mark.parametrize("batch", [1, 5, 512, RANDOM, (1, 700, 3)], ids=["1", "5", "512", "random", "odd"])
def test_results_do_not_depend_on_batches(whole, batch):
    """Learning ends at frame 512, within a batch of most sizes."""
    feed = Feed(learn_s=LEARN_S, bursts=True)
    feed.give_db(busy_band(), batch=batch)
    feed.flush()
    np.testing.assert_array_equal(np.concatenate(feed.scores), np.concatenate(whole.scores))
    assert told(feed) == told(whole)
    assert state_of(feed.detector) == state_of(whole.detector)
    assert feed.detector.heard == whole.detector.heard and feed.detector.receiver == whole.detector.receiver
    assert feed.notices == whole.notices


def test_the_same_frames_give_the_same_band_file(tmp_path, whole):
    again = Feed(learn_s=LEARN_S, bursts=True)
    again.give_db(busy_band(), batch=16)
    again.flush()
    paths = tmp_path / "one.band", tmp_path / "two.band"
    for feed, path in zip((whole, again), paths, strict=True):
        feed.detector.band_file().save(path)
    lines = [[line for line in path.read_bytes().splitlines() if b'_s": 1' not in line[:20]] for path in paths]
    assert lines[0] == lines[1] and len(lines[0]) > 10
    assert BandFile.from_bytes(paths[0].read_bytes(), "one").to_bytes() == paths[0].read_bytes()


def test_a_copy_goes_on_alike_and_by_itself():
    psd = busy_band()
    feed = Feed(learn_s=LEARN_S, bursts=True)
    feed.give_db(psd[:1010])  # a burst is on, a block is half full
    before = state_of(feed.detector)
    other = Feed(detector=feed.detector.copy())
    other.frame = feed.frame
    assert other.detector.contract is feed.detector.contract
    other.give_db(psd[1010:])
    other.flush()
    assert state_of(feed.detector) == before and feed.detector.n_frames == 1010
    feed.said, feed.scores = [], []
    feed.give_db(psd[1010:])
    feed.flush()
    np.testing.assert_array_equal(np.concatenate(feed.scores), np.concatenate(other.scores))
    assert told(feed) == told(other) and opens(feed.said)
    assert state_of(feed.detector) == state_of(other.detector)


def test_reset_forgets_the_stream_and_keeps_the_settings(whole):
    feed = Feed(learn_s=LEARN_S, bursts=True, hold=7)
    feed.detector.set_hold(4)
    feed.give_db(busy_band()[:1310])
    feed.detector.reset()
    detector = feed.detector
    assert (detector.n_frames, detector.n_judged, detector.n_flagged, detector.learned_s) == (0, 0, 0, 0.0)
    assert detector.learning and not detector.registry.emitters and detector.receiver == {}
    feed.frame, feed.said, feed.scores, feed.notices = 0, [], [], []
    feed.give_db(busy_band(), batch=16)
    feed.flush()
    np.testing.assert_array_equal(np.concatenate(feed.scores), np.concatenate(whole.scores))
    assert told(feed) == told(whole)
    assert state_of(detector) == state_of(whole.detector)


def test_reset_begins_with_the_band_that_was_given(whole):
    band = BandFile.from_bytes(state_of(whole.detector), "a band")
    detector = EmitterDetector(CONTRACT, band=band)
    for _ in range(2):
        feed = Feed(detector=detector)
        assert not detector.learning
        assert detector.registry is not band.registry
        assert detector.band_file().to_bytes().splitlines()[5:] == band.to_bytes().splitlines()[5:]
        feed.give_db(busy_band()[:600])
        detector.reset()


def test_reset_keeps_the_rate_of_false_events():
    """The registry's margins follow from it."""
    detector = EmitterDetector(CONTRACT, false_events_per_hour=100.0)
    sigmas = detector.registry.sigmas
    detector.reset()
    assert detector.registry.sigmas == sigmas == 3.0


def test_learn_s_zero_stays_zero_after_reset():
    detector = EmitterDetector(CONTRACT, learn_s=0)
    assert not detector.learning
    detector.reset()
    assert not detector.learning


def test_no_more_to_learn_ends_learning_as_time_does():
    """The carrier that was there is one of the band's own."""
    feed = Feed(learn_s=100.0)
    rows = feed.noise(10)
    add(rows, 0, len(rows), 60, 20.0)
    feed.give(rows)
    feed.detector.set_learn_s(0)
    assert not feed.detector.learning
    assert [e.steady for e in feed.detector.registry.emitters.values()] == [True]
    assert [row["freq_center_hz"] for row in feed.detector.heard] == [pytest.approx(hz_of(60), abs=100)]


def test_flush_twice_says_everything_once():
    feed = Feed(learn_s=0.0)
    feed.quiet(2)
    rows = feed.noise(1)
    add(rows, 30, 20, 90, 20.0)  # up to the end
    feed.give(rows)
    assert [m["state"] for m in feed.said] == ["open"]
    first, second = feed.flush(), feed.flush()
    assert [m["state"] for m in first] == ["update", "close"] and second == []
    assert first[-1]["bursts"] == 1 and first[-1]["event_id"] == feed.said[0]["event_id"]
    assert first[-1]["last_heard"] == pytest.approx(feed.now_s, abs=1e-6)
    assert first[-1]["freq_center_hz"] == pytest.approx(hz_of(90), abs=400)


def test_no_frames_at_all():
    feed = Feed()
    for segment in (segment_of(), segment_of(434e6)):
        result = feed.detector.process(np.zeros((0, 256), np.float32), np.zeros((0, 256), np.float32),
                                       np.zeros((0, 256), np.float32), np.zeros(0, np.uint64), segment)
        assert result.scores.size == 0 and result.emitted == [] and result.notices == []
    assert feed.flush() == [] and feed.detector.band_file().tunings == []
