# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts anomalies drawn by ``anomaly_draws.draw_anomaly`` into samples, with their truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .anomalies import AUTHENTIC_SNR_DB, Anomaly
from .anomaly_shapes import FADE_SAMPLES, FLAT_ROLLOFF, at_power, flat_band, mean_power, pulses, steady, sweep, waveform_of, white
from .injections import FRAME_BINS, Change, Truth, background_in_band, check_place
from .scenes import Scene
from .signal import Emission, mix, phasor, power_spectrum, ramp
from .waveforms import WAVEFORMS

_FLOOR_BINS = 256
_SILENT_DB = -10.0     # a recorded channel with at most this level over its floor is silent


@dataclass(frozen=True)
class _Stretch:
    """The samples of an anomaly, and their place."""

    iq: np.ndarray
    samp_rate: float
    anomaly: Anomaly
    rng: np.random.Generator
    scene: Scene | None
    scene_start: int
    start: int

    def background(self, without: np.ndarray | float = 0.0) -> float:
        return background_in_band(self.iq - without, self.samp_rate, self.anomaly.freq_offset_hz, self.anomaly.bandwidth_hz)

    def placed(self, iq: np.ndarray) -> np.ndarray:
        return mix(iq, self.anomaly.freq_offset_hz, self.samp_rate, self.start)

    def authentic(self) -> Emission:
        """The emission of the plan's emitter in this stretch."""
        return self.scene.emit(self.anomaly.params["emitter"], self.scene_start, len(self.iq))

    @property
    def edges(self) -> np.ndarray:
        """Weight of a replacement signal: 1 with faded ends."""
        return ramp(np.ones(len(self.iq), np.float32), min(FADE_SAMPLES, len(self.iq) / 20))


def apply_anomaly(iq: np.ndarray, samp_rate: float, anomaly: Anomaly, *, scene: Scene | None = None, first_sample: int = 0,
                  center_freq_hz: float = 0.0) -> tuple[np.ndarray, list[Truth]]:
    """Put one anomaly into complex64 (n,). Returns new samples and the truth: one row, or for a hopper one per dwell.

    Args:
        scene, first_sample: the scene of iq and the sample at which it begins, if the anomaly was drawn from a scene.
        center_freq_hz: added to the frequencies of the truth.

    Raises:
        ValueError: the anomaly does not lie within the samples or the band; its scene is not given; its level has no reference;
            a recorded channel that should fall silent is silent already.
    """
    change, truths = anomaly_change(lambda start, count: iq[start:start + count], len(iq), samp_rate, anomaly, scene=scene,
                                    first_sample=first_sample, center_freq_hz=center_freq_hz)
    return change.applied(np.array(iq, np.complex64), 0), truths


def anomaly_change(samples: Callable[[int, int], np.ndarray], n: int, samp_rate: float, anomaly: Anomaly, *,
                   scene: Scene | None = None, first_sample: int = 0,
                   center_freq_hz: float = 0.0) -> tuple[Change, list[Truth]]:
    """Like ``apply_anomaly``, for n samples; ``samples`` gives only the stretch (start, count) of the anomaly."""
    a = anomaly
    check_place(samp_rate, n, a.sample_start, a.sample_count, a.freq_offset_hz, a.bandwidth_hz)
    if "emitter" in a.params and (scene is None or a.params["emitter"] >= len(scene.emitters)):
        raise ValueError(f"this {a.kind} was drawn from a scene with an emitter {a.params['emitter']}; give apply_anomaly that "
                         "scene")
    rng = np.random.default_rng([a.seed, 0xA7])
    iq = np.asarray(samples(a.sample_start, a.sample_count), np.complex64)
    stretch = _Stretch(iq, float(samp_rate), a, rng, scene, first_sample + a.sample_start, a.sample_start)
    change, level_db, details = _RENDER[a.kind](stretch)
    rows = a.dwells or [(a.sample_start, a.sample_count, a.freq_offset_hz)]
    width = a.params.get("dwell_width_hz", a.bandwidth_hz)
    return Change(a.sample_start, change), [Truth(a.kind, start, count, center_freq_hz + offset, width, float(level_db), details)
                 for start, count, offset in rows]


def _added(shape: Callable[[_Stretch], np.ndarray | Emission]) -> Callable[[_Stretch], tuple]:
    """A new signal with a level given as INR."""
    def render(s: _Stretch) -> tuple:
        made = shape(s)
        iq, on = (made.iq, made.on) if isinstance(made, Emission) else (made, None)
        return s.placed(at_power(iq, _ratio(s.anomaly.level_db) * s.background(), on)), s.anomaly.level_db, {}
    return render


def _tone(s: _Stretch) -> np.ndarray:
    return steady(s.rng, len(s.iq))


def _flat(s: _Stretch) -> np.ndarray:
    return flat_band(s.rng, len(s.iq), s.samp_rate, s.anomaly.bandwidth_hz)


def _swept(s: _Stretch) -> np.ndarray:
    return sweep(s.rng, len(s.iq), s.samp_rate, s.anomaly.bandwidth_hz, s.anomaly.params["period"])


def _pulsed(s: _Stretch) -> Emission:
    return pulses(s.rng, len(s.iq), s.samp_rate, s.anomaly.bandwidth_hz, s.anomaly.params["period"], s.anomaly.params["duty"])


def _hopper(s: _Stretch) -> tuple:
    a, change = s.anomaly, np.zeros(len(s.iq), np.complex64)
    width = a.params["dwell_width_hz"]
    parts = [slice(start - s.start, start - s.start + count) for start, count, _ in a.dwells]
    background = np.mean([background_in_band(s.iq[part], s.samp_rate, offset, width)
                          for part, (*_, offset) in zip(parts, a.dwells, strict=True)])
    for part, (start, count, offset) in zip(parts, a.dwells, strict=True):
        dwell = at_power(flat_band(s.rng, count, s.samp_rate, width), _ratio(a.level_db) * background)
        change[part] = mix(dwell, offset, s.samp_rate, start)
    return change, a.level_db, {}


def _detshift(s: _Stretch) -> tuple:
    a, was = s.anomaly, 0.0
    if "emitter" in a.params:
        was, on = s.authentic()
        old = s.scene.emitters[a.params["emitter"]]
        details = {"waveform": old.waveform, "moved_hz": a.freq_offset_hz - old.freq_offset_hz}
        copy = mix(was, details["moved_hz"], s.samp_rate, s.start)
    else:
        inside, on = _band_mask(s), None
        details = {"moved_hz": a.freq_offset_hz - (a.params["low_hz"] + a.params["high_hz"]) / 2}
        copy = mix(np.fft.ifft(np.fft.fft(s.iq) * np.sin(np.pi / 2 * inside)).astype(np.complex64), details["moved_hz"],
                   s.samp_rate, s.start)
    copy = at_power(copy, _ratio(a.level_db) * s.background(without=was), on)
    return copy - s.edges * was, a.level_db, details


def _dclass(s: _Stretch) -> tuple:
    a = s.anomaly
    if "emitter" in a.params:
        old = s.scene.emitters[a.params["emitter"]]
        change = -s.edges * s.authentic().iq
        power = _ratio(old.snr_db) * _noise_in(s.scene, old.bandwidth_hz)
        details = {"waveform": a.params["waveform"], "instead_of": old.waveform}
    else:
        change, _, refill = _cut_out(s)
        power = _ratio(a.params["snr_db"]) * refill
        details = {"waveform": a.params["waveform"]}
    made = waveform_of(a.seed, a.params["waveform"], a.params["waveform_params"], len(s.iq), s.samp_rate)
    return change + s.placed(at_power(made.iq, power, made.on)), _db(power / s.background(without=-change)), details


def _missing(s: _Stretch) -> tuple:
    a = s.anomaly
    if "emitter" in a.params:
        old = s.scene.emitters[a.params["emitter"]]
        iq, on = s.authentic()
        return -s.edges * iq, _db(mean_power(iq, on) / _noise_in(s.scene, old.bandwidth_hz)), {"waveform": old.waveform}
    change, power, refill = _cut_out(s)
    level = _db(max(power / refill - 1, 1e-9))
    if level < _SILENT_DB:
        raise ValueError(f"the channel at {a.freq_offset_hz:g} Hz is silent in samples {s.start}..{s.start + len(s.iq)} already "
                         f"(SNR {level:.1f} dB): nothing would be missing")
    return change, level, {}


def _spoof(s: _Stretch) -> tuple:
    """The code's delay is constant: its drift is a tenth of a sample or less during a window, and is left out."""
    a, count = s.anomaly, len(s.iq)
    first, last = a.params["drift_hz"]
    if "emitter" in a.params:
        iq = s.authentic().iq
        power, noise = mean_power(iq), _noise_in(s.scene, a.bandwidth_hz)
        freq = np.fft.fftfreq(count, 1 / s.samp_rate)
        iq = np.fft.ifft(np.fft.fft(iq) * np.exp(-2j * np.pi * freq * a.params["delay_s"]))
        details = {"authentic": "emitter of the scene"}
    else:
        made = WAVEFORMS["cdma_noise"].emit(s.rng, count, s.samp_rate, **a.params["waveform_params"])
        iq, noise = s.placed(made.iq), s.background()
        power = _ratio(AUTHENTIC_SNR_DB) * noise
        details = {"authentic": f"taken as {AUTHENTIC_SNR_DB:g} dB over the noise"}
    time = np.arange(count) / s.samp_rate
    iq = iq * phasor(first * time + (last - first) * time ** 2 * s.samp_rate / (2 * count) + s.rng.uniform())
    power *= _ratio(a.level_db)
    details |= {"to_noise_db": _db(power / noise), "delay_s": a.params["delay_s"], "carrier_offset_hz": [first, last]}
    return at_power(iq.astype(np.complex64), power), a.level_db, details


def _stealth(s: _Stretch) -> tuple:
    """The noise is the scene's. In a recording it is the quantile 0.25 of the spectrum within the signal's band."""
    a = s.anomaly
    if s.scene is not None:
        density = s.scene.noise_power / s.samp_rate
    else:
        psd = power_spectrum(s.iq, _FLOOR_BINS)
        freq = (np.arange(len(psd)) - len(psd) // 2) * s.samp_rate / len(psd)
        density = np.quantile(psd[np.abs(freq - a.freq_offset_hz) <= a.bandwidth_hz / 2], 0.25) * len(psd) / s.samp_rate
        if not density > 0:
            raise ValueError("there is no noise in the stealth signal's bins; its level is not defined")
    return s.placed(at_power(_flat(s), _ratio(a.level_db) * density * a.bandwidth_hz / (1 + FLAT_ROLLOFF))), a.level_db, {}


def _band_mask(s: _Stretch) -> np.ndarray:
    """0..1 over the frequencies of an FFT of the stretch: inside the recorded channel; edges of one bin of a frame."""
    freq, edge = np.fft.fftfreq(len(s.iq), 1 / s.samp_rate), s.samp_rate / FRAME_BINS
    low, high = s.anomaly.params["low_hz"], s.anomaly.params["high_hz"]
    return np.clip(np.minimum((freq - low) / edge, (high - freq) / edge) + 0.5, 0, 1)


def _cut_out(s: _Stretch) -> tuple[np.ndarray, float, float]:
    """Replace the recorded channel by noise of the floor beside it: (change, power before, power of the noise)."""
    inside = _band_mask(s)
    spectrum = np.fft.fft(s.iq)
    noise = np.fft.fft(white(s.rng, len(s.iq))) * np.sqrt(s.anomaly.params["floor_density"] * s.samp_rate / 2)
    refill = np.fft.ifft(noise * np.sin(np.pi / 2 * inside))
    change = refill - np.fft.ifft(spectrum * (1 - np.cos(np.pi / 2 * inside)))
    power = mean_power(np.fft.ifft(spectrum * np.sin(np.pi / 2 * inside)))
    return (s.edges * change).astype(np.complex64), power, mean_power(refill)


def _noise_in(scene: Scene, width_hz: float) -> float:
    return scene.noise_power * min(1.0, width_hz / scene.samp_rate)


def _ratio(db: float) -> float:
    return 10.0 ** (db / 10)


def _db(ratio: float) -> float:
    return 10.0 * float(np.log10(ratio))


_RENDER: dict[str, Callable[[_Stretch], tuple]] = {
    "tone": _added(_tone), "scont": _added(_flat), "pulse": _added(_flat), "wpulse": _added(_flat),
    "wideband": _added(lambda s: white(s.rng, len(s.iq))),
    "chirp": _added(_swept), "hopper": _hopper, "detshift": _detshift, "dclass": _dclass,
    "missing": _missing, "spoof": _spoof, "stealth": _stealth,
    "jam_tone": _added(_tone), "jam_swept": _added(_swept), "jam_pulsed": _added(_pulsed),
    "jam_broadband": _added(_flat),
}
