# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of all waveforms: burst schedules, resampling, pulse shaping, modulation, occupied bandwidth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import signal

TILE = 1 << 14  # samples processed at a time, so that intermediate results stay in the processor's cache

LONG = 1 << 20  # samples: longer signals are processed in pieces


class Emission(NamedTuple):
    """A waveform at baseband: ``iq`` complex64 (n,) and the intervals [start, stop) of samples in which it is on."""

    iq: np.ndarray
    on: list[tuple[int, int]]


def emission(iq: np.ndarray, on: list[tuple[int, int]]) -> Emission:
    """Clip the intervals to the array and join those that touch. The level is unchanged."""
    n, joined = len(iq), []
    for start, stop in sorted((max(0, a), min(n, b)) for a, b in on if a < n and b > 0):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        elif start < stop:
            joined.append((start, stop))
    return Emission(np.asarray(iq, np.complex64), joined)


def power_while_on(e: Emission) -> float:
    """Mean power over the intervals; 0 if there are none."""
    count = sum(b - a for a, b in e.on)
    return sum(float(np.vdot(e.iq[a:b], e.iq[a:b]).real) for a, b in e.on) / count if count else 0.0


def schedule(rng: np.random.Generator, duration_s: float, length_s: Callable[[], float] | float, duty: float,
             min_gap_s: float = 0.0) -> list[tuple[float, float]]:
    """Bursts (start, length) in seconds over [0, duration_s), in steady state: the first may have begun before 0.

    Gaps are exponential, min min_gap_s. Their mean makes ``duty`` the share of time on (1: back to back).

    Raises:
        ValueError: duty is not in (0, 1].
    """
    if not 0 < duty <= 1:
        raise ValueError(f"duty {duty} is outside (0, 1]")
    draw = length_s if callable(length_s) else (lambda: length_s)
    bursts, length, first = [], draw(), True
    time = 0.0
    while time < duration_s:
        mean_gap = length * (1 - duty) / duty
        gap = min_gap_s + rng.exponential(max(mean_gap - min_gap_s, 0.0)) if duty < 1 else 0.0
        if first:
            time, first = -rng.uniform() * (length + gap), False
        if time + length > 0:
            bursts.append((time, length))
        time += length + gap
        length = draw()
    return bursts


def paint(out: np.ndarray, start: int, burst: np.ndarray) -> tuple[int, int]:
    """Add the part of a burst that fits to ``out``, from index ``start`` (may be negative) on; returns its interval."""
    low, high = max(0, start), min(len(out), start + len(burst))
    if low < high:
        out[low:high] += burst[low - start:high - start]
    return start, start + len(burst)


@cache
def _taps(up: int, down: int) -> np.ndarray:
    widest = max(up, down)
    return signal.firwin(24 * widest + 1, 0.94 / widest, window=("kaiser", 8.0)).astype(np.float32)


def resample(x: np.ndarray, rate_in: float, rate_out: float, n_out: int | None = None) -> np.ndarray:
    """Polyphase resampling at the nearest fraction of a denominator up to 2000 (80 dB stop band).

    The result is cut or zero-padded to n_out, if that is given.
    """
    ratio = Fraction(rate_out / rate_in).limit_denominator(2000)
    if ratio != 1:
        taps = _taps(ratio.numerator, ratio.denominator)
        x = signal.resample_poly(x, ratio.numerator, ratio.denominator, window=taps)
    if n_out is not None and len(x) != n_out:
        x = x[:n_out] if len(x) > n_out else np.concatenate([x, np.zeros(n_out - len(x), x.dtype)])
    return x


def smooth(x: np.ndarray, samples: float) -> np.ndarray:
    """Convolution with a unit-area Hann of ``samples`` full width: finite rise times. Under two samples x is unchanged."""
    taps = int(round(samples))
    if taps < 2:
        return x
    kernel = signal.windows.hann(taps + 2)[1:-1]
    convolve = np.convolve if taps < 32 else signal.oaconvolve
    return convolve(x, kernel / kernel.sum(), "same")[:len(x)]


def ramp(burst: np.ndarray, samples: float) -> np.ndarray:
    """Raised-cosine power-up and power-down over ``samples`` at both ends. Returns a new array if there is a ramp."""
    return burst if min(int(round(samples)), len(burst) // 2) < 1 else fade(burst.copy(), samples)


def fade(burst: np.ndarray, samples: float) -> np.ndarray:
    """As ``ramp``, in place."""
    count = min(int(round(samples)), len(burst) // 2)
    if count >= 1:
        edge = (0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / count)).astype(np.float32)
        burst[:count] *= edge
        burst[-count:] *= edge[::-1]
    return burst


@cache
def gaussian_taps(bt: float, per_symbol: int) -> np.ndarray:
    """Gaussian filter of bandwidth-time product ``bt`` over 4 symbols, unit area (3GPP TS 45.004 section 2.5)."""
    time = (np.arange(-2 * per_symbol, 2 * per_symbol + 1)) / per_symbol
    taps = np.exp(-2 * (np.pi * bt * time) ** 2 / np.log(2))
    return taps / taps.sum()


def shaped_symbols(symbols: np.ndarray, per_symbol: int, bt: float | None) -> np.ndarray:
    """Symbols held for ``per_symbol`` samples each and, with a ``bt``, Gaussian-filtered."""
    held = np.repeat(np.asarray(symbols, float), per_symbol)
    return held if bt is None else np.convolve(held, gaussian_taps(bt, per_symbol), "same")


def frequency_modulate(freq_hz: np.ndarray, samp_rate: float, phase: float = 0.0) -> np.ndarray:
    """exp(j phase) of an instantaneous frequency (n,) in Hz, continuous in phase."""
    sums, out = np.cumsum(freq_hz, dtype=np.float64), np.empty(len(freq_hz), np.complex64)
    for tile in tiles(len(sums)):
        out[tile] = phasor(sums[tile] * (1 / samp_rate) + phase / (2 * np.pi))
    return out


def tiles(count: int) -> Iterator[slice]:
    """[0, count) in slices of TILE."""
    return (slice(low, min(low + TILE, count)) for low in range(0, count, TILE))


def phasor(cycles: np.ndarray) -> np.ndarray:
    """exp(2j pi cycles) as complex64, for cycles (n,) float64. Whole turns are subtracted in full precision."""
    out = np.empty(len(cycles), np.complex64)
    for tile in tiles(len(cycles)):
        part = cycles[tile]
        angle = ((part - np.rint(part)) * (2 * np.pi)).astype(np.float32)
        np.cos(angle, out=out.real[tile])
        np.sin(angle, out=out.imag[tile])
    return out


def mix(iq: np.ndarray, freq_hz: float, samp_rate: float, start: int = 0, *, out: np.ndarray | None = None) -> np.ndarray:
    """Shift in frequency; the oscillator's phase counts from sample 0, so blocks that begin at ``start`` join.

    out: array to write into; it may be iq itself. None: a new one.
    """
    if freq_hz == 0:
        return iq
    out = np.empty(len(iq), np.complex64) if out is None else out
    for tile in tiles(len(iq)):
        if iq[tile].any():
            np.multiply(phasor(np.arange(start + tile.start, start + tile.stop) * (freq_hz / samp_rate)), iq[tile], out=out[tile])
        else:  # the pauses between bursts
            out[tile] = 0
    return out


def power_spectrum(iq: np.ndarray, fft_size: int = 4096) -> np.ndarray:
    """Mean power per bin (fft_size,), ascending frequency, sum = mean power (Hann, half overlap)."""
    fft_size = min(fft_size, len(iq))
    parts = pieces(iq)
    psd = np.mean([signal.welch(part, nperseg=fft_size, return_onesided=False, detrend=False, scaling="spectrum")[1]
                   for part in parts], axis=0)
    psd = np.fft.fftshift(psd)
    return psd * (np.mean([np.mean(np.abs(part) ** 2) for part in parts]) / max(psd.sum(), 1e-30))


def pieces(iq: np.ndarray) -> list[np.ndarray]:
    """Split iq into pieces of equal length (to a sample), max ``LONG`` samples. Work on them needs memory for one at a time."""
    return np.array_split(iq, -(-len(iq) // LONG)) if len(iq) > LONG else [iq]


def occupied_band(iq: np.ndarray, samp_rate: float, fraction: float = 0.99, fft_size: int = 4096) -> tuple[float, float]:
    """Edges in Hz that enclose ``fraction`` of the power, with half of the rest on each side (ITU-R SM.443).

    Raises:
        ValueError: there is no power.
    """
    psd = power_spectrum(iq, fft_size)
    if not psd.sum() > 0:
        raise ValueError("the signal has no power; its occupied band is not defined")
    share = np.cumsum(psd) / psd.sum()
    freq = (np.arange(len(psd)) - len(psd) // 2) * (samp_rate / len(psd))
    low, high = np.searchsorted(share, [(1 - fraction) / 2, (1 + fraction) / 2])
    half_bin = samp_rate / len(psd) / 2
    return float(freq[low] - half_bin), float(freq[min(high, len(psd) - 1)] + half_bin)
