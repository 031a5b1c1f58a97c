# SPDX-License-Identifier: GPL-3.0-or-later
"""A sensor that answers as a run does, as a hub's would; its rows and an event."""

import numpy as np
from gnuradio.spectrumencoder.display.history import Tuning
from gnuradio.spectrumencoder.session.listening import SpectrumRow

EVENT = {"event_id": "e1", "state": "open", "alert": "new", "emitter_id": 5, "timestamp": 1000.5, "sample_start": 0,
         "sample_count": 24_000, "freq_center_hz": 433.5e6, "bandwidth_hz": 12e3, "threat_level": "medium"}


class Sensor:
    """Answers for a sensor, as a hub's would: see ``feed.Followed``. It keeps what it was sent."""

    name, samp_rate, center_freq_hz, fft_size, frame_s, model = "roof", 2.4e6, 434e6, 1024, 0.0068, "base"
    is_radio, is_scan, can_steer, snippets, history = True, False, True, None, None

    def __init__(self):
        self.sent = []

    def control(self, message):
        self.sent.append(message)

    def tune(self, command):
        self.sent.append(command)

    def scan(self, ranges=None, pause=None):
        raise ValueError("this run does not scan; start it with --scan LOW:HIGH")

    def health(self):
        return {"frames": 7}

    def learning(self):
        return {"learning": True, "learned_s": 3.0, "learn_s": 20.0}

    def emitters(self):
        return [{"emitter_id": 5, "freq_center_hz": 433.5e6, "snr_db": float("inf")}]

    def ignored_hz(self):
        return []

    def expected(self):
        return []

    def settings(self):
        return {"dropout_rate": 0.25}


def row(t, n_bins=1024, level=-90.0):
    return SpectrumRow(t, 0.05, Tuning(434e6, 2.4e6, n_bins), np.full(n_bins, level, np.float32))
