# SPDX-License-Identifier: GPL-3.0-or-later
"""Synthetic frames for the detector's tests: a residual of white noise, features that say how it was encoded."""

import numpy as np
from gnuradio.spectrumencoder.detector import calibrate
from gnuradio.spectrumencoder.detector.detector import Detector
from gnuradio.spectrumencoder.detector.events import Segment
from gnuradio.spectrumencoder.detector.table import Tuning
from gnuradio.spectrumencoder.encoder import features as layout

N, STRIDE, K_KEPT, K_EFF = 256, 8, 24, 16
RATE, FREQ, HOP = 1e6, 433.92e6, N * K_EFF
CONTRACT = {"name": "synthetic", "encoder": {"fft_size": N, "stride": STRIDE, "window": "blackmanharris"},
            "variants": [{"name": "softmax-dynamic", "attention": "softmax", "rope": "dynamic"}],
            "labels": ["noise", "LoRa", "BLE"], "bands": ["ism", "unknown"], "heads": {"classes": True, "anomaly": True}}
KEY = f"softmax-dynamic/ism/{K_KEPT}/{K_EFF}/gumbel/fp32"
SEGMENT = Segment(rx_freq=FREQ, rx_rate=RATE, band="ism", frame_hop=HOP, frame_average=K_EFF, time_anchor=(1.7e9, 0),
                  time_source="tag")
TUNING = Tuning(FREQ, RATE)
FLOOR_DBFS = -90.0


def frames(count, seed, n_bins=N):
    """Normal frames: psd (F, N) dBFS, residual (F, N), features (F, 256)."""
    rng = np.random.default_rng(seed)
    residual = rng.standard_normal((count, n_bins), np.float32)
    rows = np.zeros((count, layout.N_FEATURES), np.float32)
    rows[:, layout.LOGIT] = rng.normal(-3, 1, count)
    rows[:, layout.K_KEPT], rows[:, layout.K_EFF] = K_KEPT, K_EFF
    rows[:, layout.FLOOR_DBFS] = rng.normal(FLOOR_DBFS, 0.1, count)
    rows[:, layout.PROBABILITIES.start:layout.PROBABILITIES.start + 3] = (0.2, 0.7, 0.1)
    psd = (FLOOR_DBFS + 1.1 * residual).astype(np.float32)
    return psd, residual, rows


def put(psd, residual, first, last, low, high, level_db):
    """A signal of this height over the floor on bins low..high in frames first..last (all included)."""
    psd[first:last + 1, low:high + 1] += level_db
    residual[first:last + 1, low:high + 1] += level_db / 1.1


def table(count=4000, seed=1, tuning=TUNING, **settings):
    psd, residual, rows = frames(count, seed)
    return calibrate.learn(residual, rows, SEGMENT.frame_s, tuning=tuning, psd=psd, **settings)


def detector(conformal=None, **settings):
    settings = {"false_alarm_rate": 0.001, **settings}
    return Detector(CONTRACT, {KEY: conformal or table()}, **settings)


def run(judge, psd, residual, rows, batch=None, segment=SEGMENT):
    """Scores and every emitted event of a recording, ended by a flush."""
    scores, emitted = [], []
    for first in range(0, len(psd), batch or len(psd)):
        part = slice(first, first + (batch or len(psd)))
        starts = segment.frame_hop * np.arange(len(psd))[part]
        result = judge.process(psd[part], residual[part], rows[part], starts, segment)
        scores.append(result.scores)
        emitted += result.emitted
    return np.concatenate(scores), emitted + judge.flush()
