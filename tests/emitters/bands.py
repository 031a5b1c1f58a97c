# SPDX-License-Identifier: GPL-3.0-or-later
"""Bands of made-up emitters."""

import math

import numpy as np
from gnuradio.spectrumencoder.emitters.band_file import BandFile, Tuning
from gnuradio.spectrumencoder.emitters.registry import Registry, Sign

BIN_HZ = 2.4e6 / 1024


def sign_of(number: int, moment_s: float, n_bins: int = 24) -> Sign:
    """A burst of the emitter with this number."""
    rng = np.random.default_rng(number)
    low = 433e6 + number * 20 * BIN_HZ
    return Sign(low + 0.5 * n_bins * BIN_HZ, n_bins * BIN_HZ, 15.0 + number % 7, -60.0, moment_s, moment_s + 0.1,
                1.0 + 30.0 * rng.random(n_bins).astype(np.float32), low, BIN_HZ, 0.007, {"LoRa": 0.7, "OOK": 0.2})


def band_of(n_emitters: int, n_tunings: int) -> BandFile:
    """A band of so many emitters, each heard three times, and tunings of 1024 bins."""
    registry, rng = Registry(), np.random.default_rng(1)
    for number in range(1, n_emitters + 1):
        emitter = registry.add(sign_of(number, 1.7e9), belongs=False, learned=False)
        for later in (3.0, 9.5):
            registry.heard(emitter, sign_of(number, 1.7e9 + later))
        emitter.hops_hz = [433e6, 433.2e6] if number % 5 == 0 else []
        emitter.power_dbfs = -math.inf if number % 6 == 0 else -60.0
    tunings = [Tuning(433e6 + 2e6 * n, 2.4e6, 16384, 16, rng.normal(-90, 1, 1024).astype(np.float32), 4096)
               for n in range(n_tunings)]
    return BandFile(registry, 120.0, True, tunings, "blackmanharris", 1024, "base")
