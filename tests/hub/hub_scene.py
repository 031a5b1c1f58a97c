# SPDX-License-Identifier: GPL-3.0-or-later
"""Three sensors of a town that hear the same band, for the test of the page and its pictures: real messages, made-up signals."""

import math
import time

import numpy as np
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.encoder.model_file import find_model, load
from gnuradio.spectrumencoder.encoder.quantise import Codec, Group
from gnuradio.spectrumencoder.hub.message import ABOUT, ALERT, HEALTH, REPORT, SPECTRA, json_bytes

RATE, HOP, N, CENTER_HZ = 2.4e6, 64 * 1024, 1024, 433.92e6
PLACES = {"roof": (47.3769, 8.5417), "hill": (47.3920, 8.5160), "harbour": (47.3520, 8.5390)}
# Hz, width, level in dB over the noise at each sensor, label
STATIONS = ((433.42e6, 12e3, (24, 14, 9), "ISM-sensor-FSK"), (434.20e6, 125e3, (12, 17, 6), "LoRa"),
            (433.92e6, 40e3, (18, 0, 11), "ISM-sensor-OOK"), (434.55e6, 25e3, (0, 21, 0), "unknown signal"))


def spectra(codec, place, start_s, frames=16):
    """The PDU of a group of spectra at a sensor."""
    rng = np.random.default_rng(place + 1)
    level = 10 * np.log10(rng.gamma(64, 1 / 64, (frames, N)))
    for number, (freq_hz, width_hz, levels, _) in enumerate(STATIONS):
        if levels[place]:
            low = round((freq_hz - width_hz / 2 - CENTER_HZ) / (RATE / N)) + N // 2
            level[number::2, low:low + max(3, round(width_hz / (RATE / N)))] = levels[place]
    config = codec.file.config(codec.file.variants[0])
    group = Group(np.zeros((frames, config.latents, config.latent_width), np.float32), level.astype(np.float32),
                  np.full(frames, -98.0 - 3 * place), (64,) * frames, codec.file.variants[0], codec.bands[0], 0, HOP, RATE,
                  CENTER_HZ, start_s, np.zeros(frames, int), np.full(frames, 0.5))
    return codec.encode(group, step=1.0, refine=0)


def play(senders, groups=4):
    """Sends spectra, alerts, health and bearings of the last seconds. senders: {name of PLACES: Sender}."""
    codec = Codec(load(find_model("base")))
    now_s = time.time() - 3.0
    for place, (name, sender) in enumerate(senders.items()):
        sender.send(ABOUT, json_bytes({keys.SOURCE: "soapy:driver=rtlsdr", keys.MODEL: "base", keys.RX_RATE: RATE,
                                       keys.RX_FREQ: CENTER_HZ, keys.LATITUDE: PLACES[name][0], keys.LONGITUDE: PLACES[name][1]}))
        for group in range(groups):
            sender.send(SPECTRA, spectra(codec, place, now_s - (groups - group) * 16 * HOP / RATE))
        for number, (freq_hz, width_hz, levels, label) in enumerate(STATIONS):
            if levels[place] >= 9:
                sender.send(ALERT, json_bytes({
                    "event_id": f"{name}{number}", "state": "open", "alert": "new",
                    "timestamp": now_s - 0.7 * number + 0.1 * place,
                    "freq_center_hz": freq_hz + 900.0 * place, "bandwidth_hz": width_hz, "snr_db": levels[place] - 0.4 * place,
                    "label": label, "is_anomaly": True, "last_heard": now_s}))
        sender.send(HEALTH, json_bytes({"frames": 2000, "frames_per_s": 36.6, "dropped_frames": 0, "latency_p50_ms": 31.0,
                                        keys.WAITING_MESSAGES: 0, keys.DROPPED_MESSAGES: 0}))
    target = 47.3800, 8.5290
    for step in range(5):
        for name, sender in senders.items():
            north = (target[0] + 2e-4 * step - PLACES[name][0]) * 111_200
            east = (target[1] - PLACES[name][1]) * 111_320 * math.cos(math.radians(47.37))
            azimuth = math.degrees(math.atan2(east, north)) % 360
            sender.send(REPORT, json_bytes({"timestamp": now_s + step, "freq_center_hz": 433.92e6, "identity": "fox",
                                            "bearing": {"azimuth": azimuth, "az_error": 1.0}}))
