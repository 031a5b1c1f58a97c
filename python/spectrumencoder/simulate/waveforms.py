# SPDX-License-Identifier: GPL-3.0-or-later
"""The waveforms of the simulator by name.

``WAVEFORMS["gfsk_ble"].function(rng, n, samp_rate, **params)`` gives complex64 (n,) at baseband, with unit mean power
while on; ``.emit`` gives the intervals as well. Parameters missing from ``params`` are drawn from ``rng``, with the variation of
real networks (``.draw``). The same generator state gives the same samples. Each builder's docstring names its standard.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import ofdm, other_services, short_range
from .signal import Emission, power_while_on


@dataclass(frozen=True)
class Waveform:
    """A kind of signal.

    Attributes:
        build: (rng, n, samp_rate, *, all parameters) -> Emission.
        bandwidth_hz: nominal width; ``width_of(params)`` if it depends on them.
        label: its class in the corpus, or None.
        draw: rng -> parameters of one typical emitter.
        band: the band of the plan in which it occurs; None is anywhere.
        block_s: duration in seconds that holds several of its bursts.
    """

    name: str
    build: Callable[..., Emission]
    bandwidth_hz: float
    label: str | None
    draw: Callable[[np.random.Generator], dict]
    band: str | None = None
    block_s: float = 0.1
    width: Callable[[dict], float] | None = None

    def width_of(self, params: dict) -> float:
        """Nominal bandwidth in Hz with these parameters."""
        return self.width(params) if self.width else self.bandwidth_hz

    def emit(self, rng: np.random.Generator, n: int, samp_rate: float, *, normalise: bool = True, **params) -> Emission:
        """n samples at samp_rate (Hz) and the intervals in which the signal is on.

        Args:
            normalise: scale this stretch to unit mean power while on. False keeps the builder's level, from which a short
                stretch may differ (a pause between pulses, a frame with little load).

        Raises:
            ValueError: samp_rate is under the signal's width (except LTE, whose middle is made), or n < 1.
            TypeError: this waveform does not have a given parameter.
        """
        full = {**self.draw(rng), **params}
        if n < 1:
            raise ValueError(f"{self.name}: n is {n}, it must be at least 1")
        width = self.width_of(full)
        if width > samp_rate and self.name != "ofdm_lte":
            raise ValueError(f"{self.name} is {width:g} Hz wide; samp_rate {samp_rate:g} is too low for it")
        made = self.build(rng, n, float(samp_rate), **full)
        if normalise and (power := power_while_on(made)) > 0:
            made.iq[:] *= np.float32(power ** -0.5)
        return made

    def function(self, rng: np.random.Generator, n: int, samp_rate: float, **params) -> np.ndarray:
        """Like ``emit``, but the samples only: complex64 (n,)."""
        return self.emit(rng, n, samp_rate, **params).iq


def _log_uniform(rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _draw_lora(rng) -> dict:
    spreading_factor = int(rng.integers(7, 13))
    return {"spreading_factor": spreading_factor, "bandwidth_hz": float(rng.choice([125e3, 125e3, 250e3, 500e3])),
            "duty": _log_uniform(rng, 0.1, 0.9), "symbols_max": int(rng.integers(10, 60))}


def _draw_ook(rng) -> dict:
    return {"coding": str(rng.choice(["pwm", "ppm", "ppm", "manchester"])), "unit_s": _log_uniform(rng, 2e-4, 1e-3),
            "bits": int(rng.choice([12, 24, 36, 40, 64])), "repeats": int(rng.integers(3, 12)),
            "duty": _log_uniform(rng, 0.2, 0.9), "drift_hz": float(rng.normal(0, 1500))}


def _draw_fsk(rng) -> dict:
    return {"symbol_rate": float(rng.choice([1200, 2400, 4800, 8000, 9600, 9579, 17241, 20000])),
            "deviation_hz": float(rng.uniform(20e3, 60e3)), "octets": int(rng.integers(6, 40)),
            "repeats": int(rng.integers(1, 4)), "duty": _log_uniform(rng, 0.1, 0.8),
            "manchester": bool(rng.uniform() < 0.3)}


def _draw_lte(rng) -> dict:
    return {"n_rb": int(rng.choice([6, 15, 25, 50, 75, 100])), "load": _log_uniform(rng, 0.03, 1.0),
            "ports": int(rng.integers(1, 3)), "boost_db": float(rng.choice([0.0, 3.0])),
            "tdd": int(rng.choice([0, 0, 1, 2])), "cell": int(rng.integers(504))}


def _draw_gmsk(rng) -> dict:
    if rng.uniform() < 0.5:
        return {"symbol_rate": 1625e3 / 6, "bt": 0.3, "duty": float(rng.choice([1.0, 0.9, 0.125])), "burst_symbols": 148}
    return {"symbol_rate": 9600.0, "bt": 0.4, "duty": _log_uniform(rng, 0.2, 0.9), "burst_symbols": 256}


def _draw_wifi(rng) -> dict:
    return {"duty": _log_uniform(rng, 0.05, 0.9), "bits": int(rng.choice([1, 2, 4, 6])),
            "symbols_max": int(rng.choice([20, 80, 350, 700]))}


def _draw_ble(rng) -> dict:
    return {"duty": _log_uniform(rng, 0.02, 0.6), "advertising": bool(rng.uniform() < 0.4),
            "index": float(rng.uniform(0.45, 0.55))}


def _draw_154(rng) -> dict:
    return {"duty": _log_uniform(rng, 0.05, 0.6), "octets_max": int(rng.integers(20, 128))}


def _draw_adsb(rng) -> dict:
    return {"messages_per_s": _log_uniform(rng, 50, 3000), "aircraft": int(rng.integers(1, 30)),
            "level_spread_db": float(rng.uniform(0, 15)), "long_share": float(rng.uniform(0.3, 1.0)),
            "fleet": int(rng.integers(1 << 31))}


def _draw_gnss(rng) -> dict:
    return {"satellites": int(rng.integers(4, 12)), "level_spread_db": 6.0}


def _draw_voice(rng) -> dict:
    return {"deviation_hz": float(rng.choice([2.5e3, 5e3])), "talk_share": float(rng.choice([0.5, 1.0]))}


# Centre frequencies in use: LoRaWAN regional parameters EU868 and EU433, short-range devices by ERC 70-03, Bluetooth,
# 802.15.4 and 802.11 channels, DME/Mode S, GPS L1, LTE bands 20 and 3 as assigned in Germany.
CHANNELS_HZ: dict[str, tuple[float, ...]] = {
    "lora": (433.175e6, 433.375e6, 433.575e6, 867.1e6, 867.3e6, 867.5e6, 867.7e6, 867.9e6, 868.1e6, 868.3e6, 868.5e6,
             869.525e6),
    "fsk_sensor": (433.92e6, 868.24e6, 868.3e6, 868.4e6, 868.95e6, 869.21e6),
    "ook_sensor": (315e6, 433.92e6, 868.35e6, 868.42e6),
    "gfsk_ble": tuple(2402e6 + 2e6 * k for k in range(40)),
    "oqpsk_154": tuple(2405e6 + 5e6 * k for k in range(16)),
    "ofdm_wifi": (*(2412e6 + 5e6 * k for k in range(13)), *(5180e6 + 20e6 * k for k in range(8))),
    "ppm_adsb": (1090e6,),
    "cdma_noise": (1575.42e6,),
    "ofdm_lte": (796e6, 806e6, 816e6, 1815e6, 1835e6, 1857.5e6),
    "gmsk": tuple(935.2e6 + 0.2e6 * k for k in range(124)),
    "fm_voice": tuple(446.00625e6 + 12.5e3 * k for k in range(16)),
}
WAVEFORMS: dict[str, Waveform] = {w.name: w for w in [
    Waveform("ofdm_wifi", ofdm.ofdm_wifi, 17e6, "WiFi-OFDM", _draw_wifi, "ism", 0.05),
    Waveform("ofdm_lte", ofdm.ofdm_lte, 1.08e6, "LTE", _draw_lte, "cellular", 0.2, lambda p: p["n_rb"] * 180e3),
    Waveform("gfsk_ble", short_range.gfsk_ble, 1.1e6, "BLE", _draw_ble, "ism", 0.1),
    Waveform("oqpsk_154", short_range.oqpsk_154, 2.4e6, "802.15.4", _draw_154, "ism", 0.2),
    Waveform("lora", short_range.lora, 125e3, "LoRa", _draw_lora, "ism", 2.0, lambda p: p["bandwidth_hz"]),
    Waveform("ppm_adsb", other_services.ppm_adsb, 2e6, "ADS-B", _draw_adsb, "aero", 0.5),
    Waveform("ook_sensor", short_range.ook_sensor, 10e3, "ISM-sensor-OOK", _draw_ook, "ism", 2.0,
             lambda p: 2 / p["unit_s"] + 4e3),
    Waveform("fsk_sensor", short_range.fsk_sensor, 100e3, "ISM-sensor-FSK", _draw_fsk, "ism", 2.0,
             lambda p: 2 * p["deviation_hz"] + p["symbol_rate"]),
    Waveform("cdma_noise", other_services.cdma_noise, 2.046e6, "GNSS", _draw_gnss, "gnss", 0.05),
    Waveform("gmsk", short_range.gmsk, 244e3, None, _draw_gmsk, None, 0.3, lambda p: p["symbol_rate"] * 0.9),
    Waveform("tone", other_services.tone, 1.0, None, lambda rng: {"phase": float(rng.uniform(0, 2 * np.pi))}),
    Waveform("fm_voice", other_services.fm_voice, 11e3, None, _draw_voice, None, 4.0,
             lambda p: 2 * (p["deviation_hz"] + 3e3)),
    Waveform("band_noise", other_services.band_noise, 60e3, None, lambda rng: {"bandwidth_hz": 50e3, "rolloff": 0.2},
             None, 0.1, lambda p: p["bandwidth_hz"] * (1 + p["rolloff"])),
]}
