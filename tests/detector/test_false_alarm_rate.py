# SPDX-License-Identifier: GPL-3.0-or-later
"""The realised false-alarm rate: simulated frames through the real tokenizer, the shipped model and the detector.

20,000 frames to calibrate and 20,000 independent ones to test, at a nominal 1 %. The realised rate of a correct method is
Beta distributed about 1 % with a standard deviation of 0.1 %: the seeds are fixed.
"""

import numpy as np
import pytest
from gnuradio.spectrumencoder.detector.calibrate import Calibrator
from gnuradio.spectrumencoder.detector.detector import Detector
from gnuradio.spectrumencoder.detector.events import Segment
from gnuradio.spectrumencoder.detector.table import Tuning
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.simulate.receivers import Receiver
from gnuradio.spectrumencoder.simulate.scenes import Emitter, Scene, monte_carlo
from gnuradio.spectrumencoder.tokens.tokenize import tokenize

N_FRAMES, RATE, AVERAGE, BAND = 20_000, 1e6, 2, "ism"
BLOCK = 512


@pytest.fixture(scope="module")
def engine(model_file):
    return Engine(str(model_file), pad_batch=64)


@pytest.fixture(scope="module")
def scene():
    """A band in use: a sensor and two LoRa channels that come and go, and a carrier that is always there."""
    emitters = [Emitter.create("fsk_sensor", RATE, -250e3, 18.0, activity=0.5),
                Emitter.create("lora", RATE, 100e3, 12.0, activity=0.7, bandwidth_hz=125e3),
                Emitter.create("lora", RATE, 300e3, 20.0, activity=0.4, bandwidth_hz=125e3),
                Emitter.create("tone", RATE, 12e3, 10.0)]
    return Scene(seed=5, samp_rate=RATE, emitters=emitters)


def encoded_blocks(engine, scene, seed, receiver=None):
    """(frames, residual and features) of N_FRAMES independent frames."""
    samples = AVERAGE * engine.n_bins
    for block in monte_carlo(scene, N_FRAMES, samples, seed, block_frames=BLOCK):
        iq = block.ravel() if receiver is None else receiver.apply(block.ravel())
        frames = tokenize(iq, RATE, fft_size=engine.n_bins, stride=engine.layout.stride, average=AVERAGE)
        yield frames, engine.encode(frames.items, BAND)


# a receiver as no training has drawn one: 6 bits, a filter that takes a third of the band, 4 dB of tilt, an image, an offset
OTHER = Receiver(passband=0.66, rolloff=0.2, stop_db=30.0, ripple_db=1.5, tilt_db=4.0, iq_image_db=-22.0, dc_dbfs=-35.0, bits=6,
                 seed=9)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("receiver", [None, OTHER], ids=["none", "another receiver"])
def test_realised_false_alarm_rate_at_one_percent(engine, scene, receiver, record_property):
    segment = Segment(rx_rate=RATE, band=BAND, frame_hop=AVERAGE * engine.n_bins, frame_average=AVERAGE)
    calibrator = Calibrator(N_FRAMES, head=bool(engine.contract["heads"].get("anomaly", False)), tuning=Tuning(0.0, RATE))
    for frames, encoded in encoded_blocks(engine, scene, 101, receiver):
        calibrator.add(encoded.residual, encoded.features, segment.frame_s, psd=frames.psd)
    assert calibrator.n_frames == N_FRAMES
    table = calibrator.finish(0.01)
    detector = Detector(engine.contract, {engine.table_key(BAND, AVERAGE): table}, false_alarm_rate=0.01)
    p_values, start = [], 0
    for frames, encoded in encoded_blocks(engine, scene, 202, receiver):
        result = detector.process(frames.psd, encoded.residual, encoded.features, start + frames.frame_start, segment)
        p_values.append(result.p_values)
        start += len(frames) * segment.frame_hop
    p_values = np.concatenate(p_values)
    assert detector.n_judged == len(p_values) == N_FRAMES
    record_property("realised_far", detector.n_flagged / N_FRAMES)
    assert 0.0078 <= detector.n_flagged / N_FRAMES <= 0.0124
    assert detector.n_flagged == (p_values <= 0.01).sum()
    for rate in (0.05, 0.1, 0.5):  # the p-values are uniform, not only at 1 %
        assert np.mean(p_values <= rate) == pytest.approx(rate, abs=5 * np.sqrt(rate / N_FRAMES))
    low, high = table.far_interval(0.01)
    assert 0.0078 < low < 0.01 < high < 0.0124  # boxes of several frames: not quite as many as there are
