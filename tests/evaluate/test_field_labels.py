# SPDX-License-Identifier: GPL-3.0-or-later
"""Classes of anomalies on a field band: by the anomaly's own box, and by its frames."""

import numpy as np
import pytest
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.token_classes import UNKNOWN_SIGNAL
from gnuradio.spectrumencoder.evaluate.field.bands import AVERAGE, HOP, LAYOUT, N_BINS, FieldBand
from gnuradio.spectrumencoder.evaluate.field.labels import box_class, counted, frame_class, report
from gnuradio.spectrumencoder.simulate.compose.emitters import SOURCE
from gnuradio.spectrumencoder.simulate.waveforms import WAVEFORMS
from gnuradio.spectrumencoder.tokens.tokenize import tokenize

RATE, FREQ, FRAMES = 1e6, 868e6, 12


@pytest.fixture(scope="module")
def band():
    """Twelve frames with a strong sensor at -300 kHz all the time, and LoRa at +200 kHz, 15 dB weaker, in the last eight."""
    rng, n = np.random.default_rng(4), FRAMES * HOP
    t = np.arange(n) / RATE
    iq = rng.standard_normal((n, 2)).astype(np.float32).view(np.complex64)[:, 0] * np.float32(0.002)
    sensor = WAVEFORMS["fsk_sensor"].function(rng, n, RATE, deviation_hz=40e3, symbol_rate=9600.0, duty=1.0)
    lora = WAVEFORMS["lora"].function(rng, n, RATE, bandwidth_hz=125e3, spreading_factor=9, duty=1.0)
    iq += 0.1 * sensor * np.exp(-2j * np.pi * 300e3 * t)
    iq[4 * HOP:] += (0.018 * lora * np.exp(2j * np.pi * 200e3 * t))[4 * HOP:]
    frames = tokenize(iq.astype(np.complex64), RATE, average=AVERAGE)
    tokens, side = LAYOUT.split(frames.items)
    extras = np.concatenate([tokens[:, :, -2:].reshape(FRAMES, -1), np.zeros((FRAMES, 1)), side[:, :1]], axis=1)
    truth = {"core:sample_start": 4 * HOP, "core:sample_count": 8 * HOP, "core:freq_lower_edge": FREQ + 137e3,
             "core:freq_upper_edge": FREQ + 263e3, SOURCE: "a"}
    return FieldBand(name="small", seed=0, rate_hz=RATE, freq_hz=FREQ, learn=2, quiet=4, truth=[truth],
                     psd=frames.psd.astype(np.float32), extras=extras.astype(np.float32))


def test_the_box_has_its_own_class(band, model_file):
    engine = Engine(str(model_file))
    assert band.items(0, FRAMES).shape == (FRAMES, LAYOUT.item_size) and band.psd.shape[1] == N_BINS
    assert box_class(band, band.truth[0], engine) == "LoRa"
    other = band.truth[0] | {"core:freq_lower_edge": FREQ - 350e3, "core:freq_upper_edge": FREQ - 250e3}
    assert box_class(band, other, engine) == "ISM-sensor-FSK"
    assert frame_class(band, band.truth[0], engine) == frame_class(band, other, engine)


def test_counts_and_page():
    rows = [{"plan": "p", "recording": "lora_01_x", "class": "LoRa", "called": called, "frames_called": "BLE"}
            for called in ("LoRa", "LoRa", "BLE")]
    rows.append({"plan": "p", "recording": "sat_01_x", "class": UNKNOWN_SIGNAL, "called": UNKNOWN_SIGNAL, "frames_called": "BLE"})
    result = counted(rows)
    assert result["known"] == {"anomalies": 3, "called": 0.6667, "frames_called": 0.0}
    assert result["unknown"] == {"anomalies": 1, "called": 1.0, "frames_called": 0.0}
    assert counted(rows[:3])["unknown"] == {"anomalies": 0, "called": None, "frames_called": None}
    text = report(result | {"rows": rows, "commit": "c", "weights_sha256": "w" * 64, "seeds": [0]}, "spectrumencoder x")
    assert "| of a class of the model | 3 | 67 | 0 |" in text and "| lora | LoRa | BLE | 1 |" in text
