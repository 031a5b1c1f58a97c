# SPDX-License-Identifier: GPL-3.0-or-later
"""Emissions in frequency: Doppler curves of satellite passes, drifting oscillators and hoppers, beside a Kalman filter and the
last value held.

Passes are computed with SGP4 from near-circular orbits of our own (drawn heights and inclinations, no catalogue), seen from 47
N, 8 E. Oscillators age linearly, follow the temperature of a room and walk at random. A sighting comes about once a second,
and now and then none; a hopper has them all. Its middle is off by 0.15 of its bandwidth (standard deviation). All filters know
that figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...tracker.spectral import Signal, SpectralTracker
from .figures import mean_interval

HORIZONS_S = (1.0, 5.0, 10.0, 30.0)
OURS, HELD, KALMAN = "spectrumencoder", "last value held", "Kalman"
DOPPLER, OSCILLATOR, HOPPER = "satellite pass", "oscillator", "hopping oscillator"
_ERROR_OF_WIDTH = 0.15
_DETECTION = 0.85
_LIGHT_MPS = 299_792_458.0
_EARTH_RADPS = 7.2921159e-5
_CARRIERS_HZ = (137.5e6, 437.2e6, 1.6214e9, 2.25e9)
_WIDTHS_HZ = {137.5e6: 2e3, 437.2e6: 4e3, 1.6214e9: 10e3, 2.25e9: 10e3}
_KALMAN_Q = {DOPPLER: 10.0, OSCILLATOR: 0.3}  # ppb2/s3, tuned on seeds that are not judged
_SETTLED = 10
_CHANNELS, _SPACING_HZ = 8, 200e3


@dataclass(frozen=True)
class Emission:
    """An emission and its sightings.

    `freq_hz` (n,) is the true frequency at `time_s` (n,), a value each second. `seen` (n,) marks those that are sighted.
    `channel` (n,) is that of a hopper, else zeros. `bandwidth_hz` is the width.
    """

    kind: str
    time_s: np.ndarray
    freq_hz: np.ndarray
    seen: np.ndarray
    channel: np.ndarray
    bandwidth_hz: float


def satellite_pass(seed: int) -> Emission:
    """One pass above 5 degrees, 4 minutes or longer."""
    from sgp4.api import WGS72, Satrec

    rng = np.random.default_rng([seed, 1])
    carrier = float(rng.choice(_CARRIERS_HZ))
    while True:
        height_km, inclination = rng.uniform(450, 1200), np.radians(rng.uniform(50, 99))
        radius_km = WGS72_RADIUS_KM + height_km
        mean_motion = np.sqrt(WGS72_MU / radius_km**3) * 60  # rad/min
        orbit = Satrec()
        orbit.sgp4init(WGS72, "i", 1, 27_000.0, 1e-5, 0.0, 0.0, 1e-4, rng.uniform(0, 2 * np.pi), inclination,
                       rng.uniform(0, 2 * np.pi), mean_motion, rng.uniform(0, 2 * np.pi))
        seconds = np.arange(0.0, 86_400.0, 1.0)
        error, place, velocity = orbit.sgp4_array(np.full(len(seconds), orbit.jdsatepoch),
                                                  orbit.jdsatepochF + seconds / 86_400.0)
        rate, elevation = _seen_from_ground(seconds, place * 1e3, velocity * 1e3)
        up = (elevation > np.radians(5)) & (error == 0)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], up, [False]]).astype(int)))
        long = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= 240]
        if long:
            a, b = long[rng.integers(len(long))]
            n = b - a
            return Emission(DOPPLER, seconds[:n], carrier * (1 - rate[a:b] / _LIGHT_MPS), rng.random(n) < _DETECTION,
                            np.zeros(n, int), _WIDTHS_HZ[carrier])


WGS72_RADIUS_KM, WGS72_MU = 6378.135, 398_600.8


def _seen_from_ground(seconds, place_m, velocity_mps) -> tuple[np.ndarray, np.ndarray]:
    """Range rate (m/s) and elevation (rad) from 47 N, 8 E on a round earth; the sidereal angle at 0 s is zero."""
    lat, lon = np.radians(47.0), np.radians(8.0) + _EARTH_RADPS * seconds
    unit = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.full(len(lon), np.sin(lat))], axis=1)
    station = WGS72_RADIUS_KM * 1e3 * unit
    moving = _EARTH_RADPS * np.stack([-station[:, 1], station[:, 0], np.zeros(len(lon))], axis=1)
    line = place_m - station
    distance = np.linalg.norm(line, axis=1)
    rate = np.einsum("ij,ij->i", line, velocity_mps - moving) / distance
    return rate, np.arcsin(np.einsum("ij,ij->i", line, unit) / distance)


def oscillator(seed: int, hops: bool = False, n: int = 600) -> Emission:
    """A carrier near 868 MHz, 25 kHz wide or less, off by some ppm; with hops, on another of 8 channels every 4 to 12 s."""
    rng = np.random.default_rng([seed, 2 + hops])
    time_s, carrier = np.arange(float(n)), 868e6 + rng.uniform(-2e6, 2e6)
    ppb = (rng.uniform(-5000, 5000) + rng.normal(0, 3) * time_s
           + rng.uniform(100, 600) * np.sin(2 * np.pi * time_s / rng.uniform(120, 900) + rng.uniform(0, 6))
           + np.cumsum(rng.normal(0, 1.0, n)))
    channel = np.zeros(n, int)
    if hops:
        now, left = 0, 0
        for k in range(n):
            if left == 0:
                now, left = int(rng.choice([c for c in range(_CHANNELS) if c != now])), int(rng.integers(4, 13))
            channel[k], left = now, left - 1
    return Emission(HOPPER if hops else OSCILLATOR, time_s, (carrier + channel * _SPACING_HZ) * (1 + ppb * 1e-9),
                    rng.random(n) < (1.0 if hops else _DETECTION), channel, float(rng.choice([1e3, 4e3, 12.5e3])))


class Held:
    """The last measured value."""

    def update(self, time_s: float, freq_hz: float, sigma_hz: float) -> None:
        self._freq_hz = freq_hz

    def forecast(self, time_s: float) -> float:
        return self._freq_hz


class Kalman:
    """Frequency and steady drift in ppb of the carrier, with white noise of density q on the drift. It starts again if a value is
    off by more than 6 standard deviations, as after a hop.
    """

    def __init__(self, q: float):
        self._q, self._time_s = q, None

    def update(self, time_s: float, freq_hz: float, sigma_hz: float) -> None:
        step = 0.0 if self._time_s is None else time_s - self._time_s
        self._time_s = time_s
        if step > 0:
            f = np.array([[1.0, step], [0.0, 1.0]])
            x, variance = f @ self._x, (sigma_hz / self._scale) ** 2
            p = f @ self._p @ f.T + self._q * np.array([[step**3 / 3, step**2 / 2], [step**2 / 2, step]])
            off, gain = freq_hz / self._scale - x[0], p[:, 0] / (p[0, 0] + variance)
            if off**2 <= 36 * (p[0, 0] + variance):
                self._x, self._p = x + gain * off, p - np.outer(gain, p[0])
                return
        self._scale = freq_hz * 1e-9
        self._x, self._p = np.array([freq_hz / self._scale, 0.0]), np.diag([(sigma_hz / self._scale) ** 2, 100.0**2])

    def forecast(self, time_s: float) -> float:
        return float(self._x[0] + (time_s - self._time_s) * self._x[1]) * self._scale


class Ours:
    """The spectral tracker, which does not know that all sightings are of one emission. After a hop to a new channel no confirmed
    track has the first sighting: its estimate there is NaN.
    """

    def __init__(self, bandwidth_hz: float):
        self._tracker, self._width, self._n_ended = SpectralTracker(), bandwidth_hz, 0

    def update(self, time_s: float, freq_hz: float, sigma_hz: float) -> None:
        self._tracker.add(Signal(time_s, time_s + 0.95, freq_hz, self._width, -60.0))
        self._tracker.expire(time_s)
        self._n_ended += len(self._tracker.take_ended())
        self._now = next((t for t in self._tracker.tracks(time_s) if t.updated_s >= time_s), None)

    def forecast(self, time_s: float) -> float:
        return np.nan if self._now is None else self._tracker.forecast(self._now.id, time_s).freq_center_hz

    @property
    def n_tracks(self) -> int:
        """Number of tracks that the emission became, those that have ended included."""
        return self._n_ended + len(self._tracker.tracks())

    @property
    def hop_set_hz(self) -> Sequence[float]:
        """The hop set of the track with the most hops."""
        return max(self._tracker.tracks(), key=lambda t: t.hops).hop_set_hz


def errors_ppb(target, emission: Emission, seed: int) -> dict[str, np.ndarray]:
    """Squared errors in ppb of the carrier, filtered (`0 s`) and at each horizon, while the emission stays on its channel; NaN if
    the target gave NaN.
    """
    rng = np.random.default_rng([seed, 7])
    sigma = _ERROR_OF_WIDTH * emission.bandwidth_hz
    squared = {f"{h:g} s": [] for h in (0.0, *HORIZONS_S)}
    n_seen, n = 0, len(emission.time_s)
    for k in np.flatnonzero(emission.seen):
        target.update(emission.time_s[k], emission.freq_hz[k] + sigma * rng.standard_normal(), sigma)
        n_seen += 1
        if n_seen <= _SETTLED:
            continue
        for h in (0.0, *HORIZONS_S):
            at = k + int(h)
            if at < n and np.all(emission.channel[k:at + 1] == emission.channel[k]):
                off = 1e9 * (target.forecast(emission.time_s[at]) - emission.freq_hz[at]) / emission.freq_hz[at]
                squared[f"{h:g} s"].append(off**2)
    return {name: np.array(values) for name, values in squared.items()}


def spectral_figures(per_kind: int = 24, *, seed: int = 1000, progress: Callable[[str], None] = lambda name: None) -> dict:
    """Kind and filter -> RMSE in ppb filtered and at horizons, value and interval over emissions.

    For our tracker also the number of tracks of an emission and, for hoppers, the share of used channels in the hop set and of
    the hop set that was not used.
    """
    result = {}
    for kind in (DOPPLER, OSCILLATOR, HOPPER):
        progress(kind)
        made = [satellite_pass(seed + k) if kind == DOPPLER else oscillator(seed + k, kind == HOPPER) for k in range(per_kind)]
        q = _KALMAN_Q[DOPPLER if kind == DOPPLER else OSCILLATOR]
        rows: dict[str, list] = {OURS: [], HELD: [], KALMAN: []}
        ids, found, extra, followed = [], [], [], []
        for k, emission in enumerate(made):
            ours = Ours(emission.bandwidth_hz)
            of = {name: errors_ppb(target, emission, seed + k)
                  for name, target in ((OURS, ours), (HELD, Held()), (KALMAN, Kalman(q)))}
            given = {what: np.isfinite(values) for what, values in of[OURS].items()}
            followed.append(given["0 s"].mean())
            for name, squared in of.items():  # all on the sightings that ours has a track for
                rows[name].append({what: values[given[what]] for what, values in squared.items()})
            ids.append(ours.n_tracks)
            if kind == HOPPER:
                used = [emission.freq_hz[(emission.channel == c) & emission.seen].mean() for c in set(emission.channel)]
                near = [[abs(h - u) < _SPACING_HZ / 2 for u in used] for h in ours.hop_set_hz]
                found.append(np.mean(np.any(near, axis=0)) if near else 0.0)
                extra.append(len(near) - sum(any(row) for row in near))
        result[kind] = {"emissions": per_kind, "tracks_per_emission": float(np.mean(ids)),
                        "followed": float(np.mean(followed)),
                        "rmse_ppb": {name: {what: _rooted([r[what] for r in of], seed) for what in of[0]}
                                     for name, of in rows.items()}}
        if kind == HOPPER:
            result[kind] |= {"channels_found": mean_interval(found, seed=seed), "channels_wrong": float(np.mean(extra))}
    return {"kinds": result}


def _rooted(squared: list[np.ndarray], seed: int) -> list[float] | None:
    """RMSE and interval, drawn over emissions; None without a value."""
    means = np.array([np.mean(s) for s in squared if len(s)])
    return [float(np.sqrt(v)) for v in mean_interval(means, seed=seed)] if len(means) else None
