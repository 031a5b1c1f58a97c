# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the simulator's waveforms are spread for training, beyond what is usual."""

from __future__ import annotations

import numpy as np


def untypical(rng: np.random.Generator, waveform: str) -> dict:
    """Extra parameters for half of a waveform's emitters: cheap oscillators, other rates.

    There are many sensor protocols, and a corpus holds few of them."""
    def log_uniform(low, high):
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    if waveform == "ook_sensor":
        return {"unit_s": log_uniform(1e-4, 1.2e-3)} | (
            {"pull_hz": float(rng.normal(0, 8e3))} if rng.random() < 0.5 else {}) | (
            {"linewidth_hz": log_uniform(10, 3e3)} if rng.random() < 0.5 else {})
    if waveform == "fsk_sensor" and rng.random() < 0.5:
        return {"symbol_rate": log_uniform(600, 40e3), "deviation_hz": log_uniform(5e3, 60e3)}
    return {}


def strange(rng: np.random.Generator, waveform: str) -> dict:
    """Parameters of signals of no class, over a wide range."""
    if waveform == "band_noise":
        return {"bandwidth_hz": float(np.exp(rng.uniform(np.log(4e3), np.log(8e6)))), "rolloff": float(rng.uniform(0.05, 0.6))}
    if waveform == "fm_voice":
        return {"deviation_hz": float(np.exp(rng.uniform(np.log(2e3), np.log(75e3))))}
    if waveform == "gmsk":
        return {"symbol_rate": float(np.exp(rng.uniform(np.log(4e3), np.log(4e5))))}
    return {}
