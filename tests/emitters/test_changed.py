# SPDX-License-Identifier: GPL-3.0-or-later
"""Another waveform in the place of a known emitter, and a place that drifts."""

import math

import numpy as np
import pytest
from gnuradio.spectrumencoder.emitters.band_file import BandFile
from gnuradio.spectrumencoder.emitters.watcher import EmitterDetector
from gnuradio.spectrumencoder.emitters.waveform import CELLS, Look, Waveform, in_a_row
from gnuradio.spectrumencoder.encoder import features as layout
from streams import BIN_HZ, CONTRACT, FLOOR_DB, Feed, add, features_of, hz_of, kinds_of

LABELS = ["LoRa", "OOK", "noise"]


def bursts(feed, count, bin_=180.0, width=9, frames=5, snr_db=18.0, label=None, noise_label=2):
    """Gives bursts, one every 2 s; the class of their frames is `label`. Returns what was said."""
    said = []
    for _ in range(count):
        rows, features = feed.noise(2.0), features_of(100)
        features[:, layout.K_ENCODED], features[:, layout.PROBABILITIES.start + noise_label] = 128, 0.9
        length = frames if isinstance(frames, int) else int(feed.rng.integers(*frames))
        wide = width if isinstance(width, int) else int(feed.rng.integers(*width))
        add(rows, 10, length, bin_, snr_db + feed.rng.normal(0, 1.0), wide)
        if label is not None:
            features[10:10 + length, layout.PROBABILITIES] = 0.0
            features[10:10 + length, layout.PROBABILITIES.start + label] = 0.8
        said += feed.give_db((10.0 * np.log10(rows) + FLOOR_DB).astype(np.float32), features=features)
    return said


def learned(count=45, seed=0, **kwargs):
    """A feed with one emitter, learned for 60 s and then watched."""
    feed = Feed(seed, detector=EmitterDetector(CONTRACT | {"labels": LABELS}, learn_s=60.0))
    assert bursts(feed, count, **kwargs) == []
    return feed


@pytest.mark.parametrize("now", [{"width": 5}, {"width": 14}, {"frames": 15}, {"frames": 2, "snr_db": 19.0}],
                         ids=["narrower", "wider", "longer", "shorter"])
def test_another_width_or_length_is_changed_once(now):
    feed = learned()
    assert kinds_of(bursts(feed, 2, **now)) == []  # twice may be chance
    said = bursts(feed, 10, **now)
    assert kinds_of(said) == ["changed"] and [m["state"] for m in said] == ["open", "close"]
    assert said[0]["emitter_id"] == 1 and said[0]["is_anomaly"] and said[0]["bursts"] <= 51
    assert said[0]["freq_center_hz"] == pytest.approx(hz_of(180), abs=1.5 * BIN_HZ)
    assert said[0]["bandwidth_hz"] == pytest.approx(now.get("width", 9) * BIN_HZ, abs=1.5 * BIN_HZ)
    assert said[0]["sample_count"] / 4096 == pytest.approx(now.get("frames", 5), abs=1)
    assert bursts(feed, 10, **now) == [] and bursts(feed, 10) == []  # both belong now


def test_another_class_is_changed():
    feed = learned(label=1)
    assert bursts(feed, 10, label=1) == []
    said = bursts(feed, 10, label=0)
    assert kinds_of(said) == ["changed"] and said[0]["label"] == "LoRa"
    assert feed.detector.registry.emitters[1].waveform.classes.keys() == {"OOK", "LoRa"}


def test_the_class_of_frames_with_others_counts_for_nobody():
    """A stranger is on at the same time, much stronger, and decides the class."""
    feed = learned(label=1)
    for _ in range(10):
        rows, features = feed.noise(2.0), features_of(100)
        features[:, layout.K_ENCODED] = 128
        features[:, layout.PROBABILITIES.start] = 0.9
        add(rows, 10, 5, 180, 18.0, 9)
        add(rows, 10, 5, 60, 30.0, 30)
        feed.give_db((10.0 * np.log10(rows) + FLOOR_DB).astype(np.float32), features=features)
    assert kinds_of(feed.said) == ["new"]


def test_another_shape_within_its_band_is_changed():
    """40 bins, of which the lower half becomes 10 dB weaker."""
    feed = learned(width=40, bin_=128 + 60)
    said = []
    for _ in range(12):
        rows = feed.noise(2.0)
        add(rows, 10, 5, 178, 8.0, 20)
        add(rows, 10, 5, 198, 18.0, 20)
        said += feed.give(rows)
    assert kinds_of(said) == ["changed"]


@pytest.mark.parametrize("seed", range(4))
def test_what_varies_has_not_changed(seed):
    """Widths, lengths and classes vary; two waveforms that take turns are no change either."""
    feed = learned(seed=seed, width=(7, 13), frames=(3, 12), label=1)
    for _ in range(40):
        bursts(feed, 2, width=(7, 13), frames=(3, 12), label=1)
        bursts(feed, 1, width=(7, 13), frames=20, label=0)
    assert feed.said == []


def test_a_change_is_seen_across_a_restart():
    feed = learned()
    bursts(feed, 2, width=5)
    content = feed.detector.band_file().to_bytes()
    band = BandFile.from_bytes(content, "")
    assert band.to_bytes() == content and band.registry.emitters[1].waveform.odd["narrower"][0] == 2
    again = Feed(1, detector=EmitterDetector(CONTRACT | {"labels": LABELS}, band=band))
    again.frame = feed.frame
    assert kinds_of(bursts(again, 4, width=5)) == ["changed"]


def test_a_band_file_without_waveforms_is_read():
    feed = learned(10)
    content = feed.detector.band_file().to_bytes()
    first = content.index(b',"waveform":')
    stop = content.index(b"}}", first) + 2
    band = BandFile.from_bytes(content[:first] + b"}" + content[stop + 1:], "")
    assert band.registry.emitters[1].waveform == Waveform() and band.registry.emitters[1].count == 10


def test_ignored_emitters_do_not_change():
    feed = learned()
    feed.detector.ignore_emitter(1)
    assert bursts(feed, 12, width=5) == []


@pytest.mark.parametrize("step", [0.1, -0.1])
def test_a_place_that_drifts_is_followed(step):
    """By 15 bins, of an emitter that is 9 wide: neither new nor changed."""
    feed = learned()
    for k in range(150):
        assert bursts(feed, 1, bin_=180 + step * k) == []
    (emitter,) = feed.detector.registry.emitters.values()
    assert emitter.center_hz.mean == pytest.approx(hz_of(180 + step * 150), abs=3 * BIN_HZ)
    assert emitter.bandwidth_hz == pytest.approx(9 * BIN_HZ, rel=0.2) and emitter.count == 195


def test_emitters_that_share_a_place_are_not_followed():
    """Nobody can tell whose power it is: 9 bins, and 30 that hold them."""
    feed = Feed(learn_s=60.0)
    for _ in range(60):
        rows = feed.noise(2.0)
        add(rows, 10, 5, 180, 20.0, 9)
        add(rows, 60, 5, 184, 16.0, 30)
        feed.give(rows)
    assert feed.said == []
    emitters = feed.detector.registry.emitters
    assert len(emitters) > 1 and emitters[1].center_hz.mean == pytest.approx(hz_of(180), abs=BIN_HZ)
    assert [row["freq_center_hz"] for row in feed.detector.heard] == [e.center_hz.mean for e in emitters.values()]


@pytest.mark.parametrize(("heard", "probability", "k"), [(10, 1e-3, 4), (20, 1e-5, 6), (100, 1e-5, 3), (100000, 1e-5, 2)])
def test_how_many_in_a_row(heard, probability, k):
    assert in_a_row(heard, probability) == k
    assert 1 / math.comb(heard + k, k) <= probability and (k == 2 or 1 / math.comb(heard + k - 1, k - 1) > probability)


def test_the_rate_of_false_changes_is_the_one_asked_for():
    """Of 400 streams of 300 looks each, drawn from laws with heavy tails."""
    rng, probability, alerts = np.random.default_rng(5), 1e-4, 0
    for _ in range(400):
        waveform = Waveform()
        for _ in range(300):
            shape = rng.dirichlet(np.full(CELLS, 8.0))
            look = Look(rng.standard_t(2), rng.standard_t(2), shape, str(rng.choice(["a", "b", "c"], p=[0.9, 0.09, 0.01])))
            alerts += waveform.take(look, probability) is not None
    assert alerts <= 400 * 300 * probability
