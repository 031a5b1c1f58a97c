# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames that are not as they should be: no number, huge, silent, short; and tunings that change all the time."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.emitters.band_file import BandFile
from gnuradio.spectrumencoder.emitters.watcher import EmitterDetector
from streams import (
    BIN_HZ,
    CONTRACT,
    FLOOR_DB,
    FRAMES_PER_S,
    FREQ_HZ,
    Feed,
    K,
    N,
    add,
    features_of,
    hz_of,
    kinds_of,
    noise,
    opens,
    segment_of,
)

pytestmark = pytest.mark.filterwarnings("error")


def psd_of(feed, seconds=10, *tones):
    """Frames (F, N) dBFS with a carrier at bin 60, and tones (first frame, count, bin, dB)."""
    rows = feed.noise(seconds)
    for tone in ((0, len(rows), 60, 20.0), *tones):
        add(rows, *tone)
    return (10.0 * np.log10(rows) + FLOOR_DB).astype(np.float32)


@pytest.fixture(scope="module")
def learned():
    """A detector that has learned the carrier, and the number of its next frame."""
    feed = Feed(1, learn_s=10.0)
    feed.give_db(psd_of(feed, 12))
    return feed


def fresh(learned, seed=5):
    """A feed that goes on with a copy of the detector."""
    feed = Feed(seed, detector=learned.detector.copy())
    feed.frame = learned.frame
    return feed


TONES = (90, 60, 200, 20.0), (300, 20, 30, 20.0)


@pytest.mark.parametrize("where", [slice(None), 200, 100], ids=["all", "in a burst", "in noise"])
@pytest.mark.parametrize("what", [np.nan, np.inf, -np.inf, 1e30, -1e30])
def test_frames_that_are_no_power_are_left_out(learned, what, where):
    """They come while a burst is on; it goes on, and later ones are found."""
    feed = fresh(learned)
    psd = psd_of(feed, 10, *TONES)
    clean = fresh(learned)
    clean.give_db(np.delete(psd, [110, 111, 112], axis=0))
    psd[110:113, where] = what
    said = feed.give_db(psd)
    scores = np.concatenate(feed.scores)
    assert np.flatnonzero(np.isnan(scores)).tolist() == [110, 111, 112]
    np.testing.assert_array_equal(np.delete(scores, [110, 111, 112]), np.concatenate(clean.scores))
    assert kinds_of(said) == kinds_of(clean.said) == ["new", "new"]
    assert feed.detector.n_skipped == 3
    assert BandFile.from_bytes(feed.detector.band_file().to_bytes(), "").tunings[0].frames > 0


@pytest.mark.parametrize("what", [np.nan, np.inf, 1e30])
def test_learning_is_not_spoilt(what):
    """Nor is the beginning of a tuning."""
    feed = Feed(1, learn_s=10.0)
    psd = psd_of(feed, 20, (800, 100, 200, 15.0))
    psd[5], psd[110:140, 7] = what, what
    assert kinds_of(feed.give_db(psd)) == ["new"]
    assert [e.steady for e in feed.detector.registry.emitters.values()] == [True, False]
    assert feed.detector.n_skipped == 31 and feed.detector.n_judged == 1000 - 31 - 32


@pytest.mark.parametrize("what", [300.0, 0.0, -200.0, -300.0])
def test_huge_and_silent_frames_do_no_harm(learned, what):
    """A whole frame at full scale or far beyond, and frames without any power, as of a radio that lost its samples."""
    feed = fresh(learned)
    psd = psd_of(feed, 10, *TONES)
    psd[110:113] = what
    said = feed.give_db(psd)
    assert [round((m["freq_center_hz"] - hz_of(0)) / BIN_HZ) for m in opens(said)] == [200, 30]
    assert np.isfinite(np.concatenate(feed.scores)).all()
    assert feed.detector.band_file().tunings[0].mean_db == pytest.approx(learned.detector.band_file().tunings[0].mean_db, abs=0.1)


@pytest.mark.parametrize("average", [16, 4])
def test_silence_alone(average):
    feed = Feed(1, learn_s=5.0)
    feed.give_db(np.full((500, N), -200.0, np.float32), segment=segment_of(average=average),
                 features=features_of(500, average=average))
    assert feed.said == feed.flush() == []
    assert BandFile.from_bytes(feed.detector.band_file().to_bytes(), "").tunings[0].mean_db == pytest.approx(-200.0, abs=0.5)


def test_a_short_last_frame_is_not_judged(learned):
    feed = fresh(learned)
    rows = noise(100, feed.rng)
    add(rows, 0, 100, 60, 20.0)
    rows[99] = noise(1, feed.rng, spectra=1)[0] * 3.0
    features = features_of(100)
    features[99, 2] = 1.0
    psd = (10.0 * np.log10(rows) + FLOOR_DB).astype(np.float32)
    assert feed.give_db(psd, features=features) == [] and feed.flush() == []
    scores = np.concatenate(feed.scores)
    assert np.isnan(scores[99]) and np.isfinite(scores[:99]).all() and feed.detector.n_skipped == 1


def test_learn_s_zero_reports_from_the_first_second():
    feed = Feed(learn_s=0)
    assert not feed.detector.learning
    rows = feed.noise(4)
    add(rows, 60, 140, 100, 15.0)
    assert kinds_of(feed.give(rows)) == ["new"]
    assert feed.said[0]["sample_start"] == 60 * N * K


class Scan(Feed):
    """A scan over ten tunings, `dwell` frames each, of a band with emitters at given places: tuning -> tones (bin, dB)."""

    def sweep(self, emitters, dwell=20):
        """Looks at each tuning once."""
        said = []
        for tuning in range(10):
            rows = noise(dwell, self.rng)
            for bin_, snr_db in emitters.get(tuning, ()):
                add(rows, 0, dwell, bin_, snr_db)
            ended = [emitted.fields for emitted in self.detector.discontinuity()]
            self.said += ended
            said += ended + self.give(rows, segment=segment_of(FREQ_HZ + 1e6 * tuning), batch=7)
        return said


def test_the_time_of_an_alert_in_a_scan_is_that_of_the_last_look():
    """A block of 32 frames spans two looks, and those are 4 s apart."""
    scan = Scan(learn_s=60.0)
    for _ in range(20):
        scan.sweep({7: [(90, 20.0)]})
    said, began = [], []
    for _ in range(8):
        began.append(scan.now_s)
        said += [(m, began[-1]) for m in opens(scan.sweep({}), "gone")]
    (message, sweep_s), = said
    assert sweep_s < message["timestamp"] < sweep_s + 20 * 10 / FRAMES_PER_S


def test_a_scan_learns_all_its_tunings():
    """Carriers in some tunings. Later one is gone, one comes: each is said once, in its own place."""
    carriers = {2: [(60, 20.0)], 7: [(90, 15.0), (200, 25.0)]}
    scan = Scan(learn_s=60.0)
    for _ in range(20):
        assert scan.sweep(carriers) == []
    assert not scan.detector.learning
    known = sorted(e.center_hz.mean for e in scan.detector.registry.emitters.values())
    assert known == pytest.approx([hz_of(60, FREQ_HZ + 2e6), hz_of(90, FREQ_HZ + 7e6), hz_of(200, FREQ_HZ + 7e6)], abs=BIN_HZ)
    assert len(scan.detector.band_file().tunings) == 10
    before = len(scan.said)
    for _ in range(15):
        scan.sweep({2: [(60, 20.0)], 7: [(200, 25.0)], 4: [(33, 15.0)]})
    said = scan.said[before:]
    assert sorted(kinds_of(said)) == ["gone", "new"]
    assert opens(said, "gone")[0]["freq_center_hz"] == pytest.approx(hz_of(90, FREQ_HZ + 7e6), abs=BIN_HZ)
    assert opens(said, "new")[0]["freq_center_hz"] == pytest.approx(hz_of(33, FREQ_HZ + 4e6), abs=BIN_HZ)
    times = [m["timestamp"] for m in opens(said)]
    assert times == sorted(times)
    # the same band, from its file: nothing is new
    again = Scan(3, detector=EmitterDetector(CONTRACT, band=BandFile.from_bytes(scan.detector.band_file().to_bytes(), "")))
    again.frame = scan.frame
    for _ in range(8):
        again.sweep({2: [(60, 20.0)], 7: [(200, 25.0)]})
    assert again.said == []
