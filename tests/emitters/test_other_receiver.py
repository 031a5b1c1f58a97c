# SPDX-License-Identifier: GPL-3.0-or-later
"""A band file that was learned with another gain, or with another model."""

import pytest
from gnuradio.spectrumencoder.detector.notices import OTHER_GAIN, OTHER_MODEL
from gnuradio.spectrumencoder.emitters.band_file import BandFile, forget_model
from gnuradio.spectrumencoder.emitters.registry import Registry
from gnuradio.spectrumencoder.emitters.watcher import EmitterDetector
from gnuradio.spectrumencoder.emitters.waveform import MIN_HEARD, Look, Waveform
from streams import CONTRACT, FRAMES_PER_S, Feed, add, line


@pytest.fixture(scope="module")
def content():
    """A band file: a carrier, and an emitter that is heard each second."""
    feed = Feed(1, learn_s=8.0)
    feed.give(usual(feed, 10))
    return feed.detector.band_file().to_bytes()


def usual(feed, seconds):
    rows = feed.noise(seconds) + line(100, 20)
    for moment in range(seconds):
        add(rows, moment * FRAMES_PER_S + 10, 8, 60, 15, width=5)
    return rows


@pytest.mark.parametrize(("gain_db", "says"), [(20.0, "20 dB above"), (-9.0, "9 dB below"), (4.0, "")])
def test_another_gain_is_said_once(content, gain_db, says):
    feed = Feed(2, band=BandFile.from_bytes(content, "x"))
    feed.give(usual(feed, 6) * 10.0 ** (0.1 * gain_db))
    said = [notice.text for notice in feed.notices if notice.state == OTHER_GAIN]
    assert len(said) == bool(says) and feed.said == []
    assert not says or f"is {says} that of the band file: another gain, filter or antenna" in said[0] and "433 MHz" in said[0]


def test_another_model_is_said_and_goes_on(content):
    for name, number in (("made-up", 0), ("mine", 1)):
        band = BandFile.from_bytes(content, "x")
        feed = Feed(detector=EmitterDetector(CONTRACT | {"name": name}, band=band))
        feed.give(usual(feed, 6))
        said = [notice.text for notice in feed.notices if notice.state == OTHER_MODEL]
        assert len(said) == number and feed.said == []
        assert not said or "was learned with the model made-up, this is mine: emitters and backgrounds hold" in said[0]
        assert feed.detector.band_file().model == name


def test_a_class_that_only_the_new_model_knows_is_no_change_of_the_waveform(content):
    def after(*models):
        registry = Registry.of([BandFile.from_bytes(content, "x").registry.emitters[1]], [])
        emitter = registry.emitters[1]
        emitter.labels.update({"LoRa": 30.0, "OOK": 10.0})
        emitter.waveform = Waveform()
        for _ in range(3 * MIN_HEARD):
            emitter.waveform.take(Look(10.0, -3.0, None, "LoRa"), 0.01)
        forget_model(*models, registry)
        emitter.labels.update({"meter": 2.0})
        return emitter.label, [emitter.waveform.take(Look(10.0, -3.0, None, "meter"), 0.01) for _ in range(10)]
    label, changes = after("base", "base")
    assert label == "LoRa" and "class meter" in changes
    assert after("base", "mine") == ("meter", [None] * 10)
