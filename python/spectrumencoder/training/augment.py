# SPDX-License-Identifier: GPL-3.0-or-later
"""Augmentation that breaks the link between class and receiver: shift, resampling, filter, noise, gain, bits, IQ faults.

All functions take and return complex64 (n,), and draw from the given generator. Sample rates are relative: a factor f > 1 means
more samples for the same signal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft as sfft

N_PSD = 256


@dataclass(frozen=True)
class Channel:
    """The channel between a recording and the frame; `draw` makes a random one."""

    factor: float = 1.0  # resampling
    shift: float = 0.0  # frequency shift as a fraction of the new sample rate
    edge: float = 1.0  # passband edge as a fraction of the band
    rolloff: float = 0.1  # transition width, same unit
    stop_db: float = 0.0  # attenuation beyond the passband
    tilt_db: float = 0.0
    ripple_db: float = 0.0
    ripple_cycles: float = 3.0
    ripple_phase: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator, *, max_resample: float = 2.0, max_shift: float = 0.2, plain: float = 0.15) -> Channel:
        """A random channel, or with probability `plain` the recording's own."""
        if rng.random() < plain:
            return cls()
        filtered = rng.random() < 0.6
        return cls(
            factor=float(max_resample ** rng.uniform(-1, 1)) if rng.random() < 0.85 else 1.0,
            shift=float(rng.uniform(-max_shift, max_shift)) if rng.random() < 0.85 else 0.0,
            edge=float(rng.uniform(0.6, 1.0)) if filtered else 1.0,
            rolloff=float(rng.uniform(0.02, 0.25)),
            stop_db=float(rng.uniform(6.0, 60.0)) if filtered else 0.0,
            tilt_db=float(rng.normal(0.0, 1.5)),
            ripple_db=float(abs(rng.normal(0.0, 0.7))),
            ripple_cycles=float(rng.uniform(0.5, 6.0)),
            ripple_phase=float(rng.uniform(0, 2 * np.pi)))

    def gain(self, n: int) -> np.ndarray:
        """Amplitude response (n,) float32 in FFT order."""
        f = sfft.fftfreq(n).astype(np.float32) * 2.0  # -1..1
        depth = 0.5 + 0.5 * np.tanh((np.abs(f) - self.edge) * (2.0 / self.rolloff))
        level = -self.stop_db * depth + self.tilt_db * f
        level += self.ripple_db * np.cos(np.pi * self.ripple_cycles * f + self.ripple_phase)
        return (10.0 ** (level / 20.0)).astype(np.float32)

    def native_count(self, count: int) -> int:
        """Samples of the recording needed for `count` samples after resampling."""
        return sfft.next_fast_len(int(np.ceil(count / self.factor)))

    def apply(self, iq: np.ndarray) -> np.ndarray:
        """Resample, shift and filter a whole stretch at once in the frequency domain (it wraps around at its ends)."""
        n = len(iq)
        m = max(16, round(n * self.factor))
        spectrum = sfft.fft(iq.astype(np.complex64))
        out = np.zeros(m, np.complex64)
        half = min(n, m) // 2
        out[:half], out[m - half:] = spectrum[:half], spectrum[n - half:]
        out = np.roll(out, round(self.shift * m)) * self.gain(m)
        return sfft.ifft(out) * np.float32(m / n)


def multipath(rng: np.random.Generator, iq: np.ndarray, samp_rate: float) -> np.ndarray:
    """Send iq (n,) through several paths, see ``paths``. The result wraps around at its ends."""
    return sfft.ifft(sfft.fft(iq) * paths(rng, sfft.fftfreq(len(iq), 1 / samp_rate)))


def paths(rng: np.random.Generator, freq_hz: np.ndarray) -> np.ndarray:
    """Response (n,) complex64 at some frequencies, with unit mean power, of 2 to 6 paths with exponentially falling power.

    Their delays spread over 20 ns to 1 us. This makes the notches and slopes that an antenna sees in a wide signal."""
    spread_s = float(np.exp(rng.uniform(np.log(20e-9), np.log(1e-6))))
    count = int(rng.integers(1, 6))
    delays = np.concatenate([[0.0], rng.exponential(spread_s, count)])
    gains = (rng.normal(size=count + 1) + 1j * rng.normal(size=count + 1)) * np.exp(-delays / (2 * spread_s))
    gains[0] = 1.0 + 0.5 * gains[0]
    response = np.exp(-2j * np.pi * delays[:, None] * freq_hz).T @ gains
    response /= np.sqrt(np.mean(np.abs(response) ** 2))
    return response.astype(np.complex64)


def mean_psd(iq: np.ndarray, bins: int = N_PSD) -> np.ndarray:
    """Mean Hann-windowed power (bins,), fftshifted, of iq; sums to the mean power."""
    n = len(iq) // bins * bins
    if n == 0:
        return np.full(bins, np.mean(np.abs(iq) ** 2) / bins)
    window = np.hanning(bins).astype(np.float32)
    spectra = sfft.fft(iq[:n].reshape(-1, bins) * window, axis=1)
    power = (spectra.real**2 + spectra.imag**2).mean(axis=0) / (bins * np.sum(window**2))
    return sfft.fftshift(power)


def occupied(psd: np.ndarray, floor: np.ndarray | float | None = None) -> tuple[float, float, float]:
    """Measure a psd (bins,): 99 % occupied bandwidth (fraction of the band), its power above the floor, and the floor per bin.

    The definition is that of ITU-R SM.328 after floor removal. A spectrum with nothing above its floor counts as fully occupied.
    """
    base = float(np.quantile(psd, 0.25)) if floor is None else float(np.mean(floor))
    excess = np.maximum(psd - 1.3 * base, 0.0)
    if excess.sum() <= 0.05 * psd.sum():
        return 1.0, float(psd.sum()), 0.0
    share = np.cumsum(excess) / excess.sum()
    lower, upper = np.searchsorted(share, [0.005, 0.995])
    width = max(1, upper - lower + 1) / len(psd)
    return width, float(np.maximum(psd - base, 0.0).sum()), base


def white(rng: np.random.Generator, n: int, power: float) -> np.ndarray:
    """Complex white Gaussian noise (n,) complex64 with mean power `power`."""
    x = rng.standard_normal(2 * n, dtype=np.float32).view(np.complex64)
    return x * np.float32(np.sqrt(power / 2.0))


def noise_for_snr(psd: np.ndarray, snr_db: float, on_fraction: float = 1.0) -> float:
    """Power of the white noise to add, over the whole band, for an SNR of snr_db.

    The SNR is the signal's power while on over the noise in its 99 % occupied bandwidth. Returns 0 if the recording's own noise
    is already higher."""
    width, power, base = occupied(psd)
    wanted = power / max(on_fraction, 1e-3) / width / 10.0 ** (snr_db / 10.0)
    return max(0.0, wanted - base * len(psd))


def quantise(iq: np.ndarray, bits: int, backoff_db: float) -> np.ndarray:
    """Scale to an rms backoff_db below full scale, then round to `bits` with clipping; full scale stays 1."""
    rms = float(np.sqrt(np.mean(iq.real**2 + iq.imag**2))) + 1e-20
    steps = 2.0 ** (bits - 1)
    scaled = iq * np.float32(steps * 10.0 ** (-backoff_db / 20.0) / rms)
    out = np.empty(len(iq), np.complex64)
    out.real = np.clip(np.round(scaled.real), -steps, steps - 1)
    out.imag = np.clip(np.round(scaled.imag), -steps, steps - 1)
    return out / np.float32(steps)


def receiver_faults(rng: np.random.Generator, iq: np.ndarray) -> np.ndarray:
    """Add a DC offset and an IQ image, each in a third of draws."""
    if rng.random() < 0.33:
        image = np.float32(10.0 ** (rng.uniform(-50, -25) / 20.0))
        iq = iq + np.conj(iq) * image * np.exp(1j * rng.uniform(0, 6.28)).astype(np.complex64)
    if rng.random() < 0.33:
        rms = np.sqrt(np.mean(np.abs(iq) ** 2))
        iq = iq + np.complex64(rms * 10.0 ** (rng.uniform(-40, -8) / 20.0) * np.exp(1j * rng.uniform(0, 6.28)))
    return iq
