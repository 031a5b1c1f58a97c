# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the taken channels of a band and the free places, from a scene's plan or a recording's power spectrum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .injections import FRAME_BINS
from .scenes import Scene

USABLE_SHARE = 0.8             # share of the rate: outside it a receiver's filter falls off
VISIBLE_SNR_DB = -6.0          # weaker channels take no place in the spectrum (GNSS)
_BUSY_OVER_FLOOR = 2.0
_MIN_FLOOR_BINS = 8


@dataclass(frozen=True)
class Channel:
    """A taken channel.

    Attributes:
        low_hz, high_hz: offsets from the centre.
        snr_db: SNR of a plan's emitter while on; in a recording the average SNR.
        emitter: index in the scene; None if seen in a recording.
        floor_density: noise beside the channel, power per Hz; None if nothing beside it is free.
    """

    low_hz: float
    high_hz: float
    snr_db: float
    emitter: int | None = None
    floor_density: float | None = None

    @property
    def center_hz(self) -> float:
        return (self.low_hz + self.high_hz) / 2

    @property
    def width_hz(self) -> float:
        return self.high_hz - self.low_hz


def channels_of(background: Scene | np.ndarray, samp_rate: float) -> list[Channel]:
    """The visible channels of a plan, or the runs of bins 3 dB over the floor of a power spectrum (N,).

    A spectrum has the mean power of each bin by ascending frequency, as from ``signal.power_spectrum``. Its floor is the quantile
    0.2 of the middle 90 %. If signals fill more than 80 % of that, no channel is detected.

    Raises:
        ValueError: the scene has another rate, or the spectrum is invalid.
    """
    if isinstance(background, Scene):
        if background.samp_rate != samp_rate:
            raise ValueError(f"the scene has {background.samp_rate:g} Hz, the samples {samp_rate:g} Hz")
        density = background.noise_power / samp_rate
        return [Channel(e.freq_offset_hz - e.bandwidth_hz / 2, e.freq_offset_hz + e.bandwidth_hz / 2, e.snr_db, index, density)
                for index, e in enumerate(background.emitters) if e.snr_db >= VISIBLE_SNR_DB]
    psd = np.asarray(background, np.float64)
    if psd.ndim != 1 or len(psd) < 64 or not np.all(np.isfinite(psd)) or psd.min() < 0 or not psd.max() > 0:
        raise ValueError(f"a power spectrum of shape {psd.shape} is none of at least 64 finite powers, one of them positive")
    n, step = len(psd), samp_rate / len(psd)
    smooth = np.convolve(np.pad(psd, 2, mode="edge"), np.full(5, 0.2), "valid")
    floor = np.quantile(smooth[n // 20:n - n // 20], 0.2)
    busy = smooth > _BUSY_OVER_FLOOR * floor
    out = []
    for low, high in _runs(busy):
        density = _floor_beside(psd, busy, low, high)
        mean = float(np.mean(psd[low:high]))
        snr = 10 * np.log10(max(mean / (density if density else floor) - 1, 1e-3))
        out.append(Channel((low - n // 2 - 0.5) * step, (high - n // 2 - 0.5) * step, float(snr), None,
                           density and density / step))
    return out


def usable(channels: list[Channel], samp_rate: float) -> list[Channel]:
    """A recording's channels that are signals.

    Each is at least eight bins of a frame wide, or 16 at 0 Hz, the place of a DC offset. It lies 3 dB over the floor beside it,
    and not at the band's edges."""
    def is_signal(c: Channel) -> bool:
        bins = c.width_hz * FRAME_BINS / samp_rate
        return (bins >= (16 if c.low_hz <= 0 <= c.high_hz else 8) and c.snr_db >= 3
                and max(-c.low_hz, c.high_hz) <= 0.48 * samp_rate)

    return [c for c in channels if c.emitter is not None or is_signal(c)]


def free_place(rng: np.random.Generator, channels: list[Channel], samp_rate: float, width_hz: float) -> float | None:
    """Centre of a place of this width, uniform over all that touch no channel, 0 Hz or the band's edges; None if none exists."""
    bin_hz, half = samp_rate / FRAME_BINS, USABLE_SHARE * samp_rate / 2
    taken = [(-2 * bin_hz, 2 * bin_hz)]
    taken += [(c.low_hz - 2 * bin_hz - 0.1 * c.width_hz, c.high_hz + 2 * bin_hz + 0.1 * c.width_hz) for c in channels]
    ranges, low = [], -half
    for a, b in [*sorted(taken), (half, half)]:
        if min(a, half) - low > width_hz:
            ranges.append((low + width_hz / 2, min(a, half) - width_hz / 2))
        low = max(low, b)
    if not ranges:
        return None
    place = rng.uniform(0, sum(b - a for a, b in ranges))
    for a, b in ranges:
        if place <= b - a:
            return float(a + place)
        place -= b - a
    return float(ranges[-1][1])


def _runs(busy: np.ndarray) -> list[tuple[int, int]]:
    """Runs [low, high) of True; gaps of up to three bins are closed."""
    runs: list[list[int]] = []
    for index in np.flatnonzero(busy).tolist():
        if runs and index - runs[-1][1] <= 3:
            runs[-1][1] = index + 1
        else:
            runs.append([index, index + 1])
    return [(a, b) for a, b in runs]


def _floor_beside(psd: np.ndarray, busy: np.ndarray, low: int, high: int) -> float | None:
    """Median power of the free bins beside [low, high); None if there are fewer than eight."""
    n, reach = len(psd), max(32, (high - low) // 2)
    beside = np.r_[max(n // 40, low - reach):max(low - 2, 0), high + 2:min(high + reach, n - n // 40)].astype(int)
    beside = beside[~busy[beside]]
    return float(np.median(psd[beside])) if len(beside) >= _MIN_FLOOR_BINS else None
