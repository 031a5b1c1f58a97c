# SPDX-License-Identifier: GPL-3.0-or-later
"""Impossible motion: real spoofing of satellite navigation, jumps put into other flights, and false alarms on unusual ones.

Reports go to the tracker as they came: not cleaned, one by one, with the aircraft's address and a sigma of 40 m.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...tracker.fix import Fix
from ...tracker.geo import Origin, to_geodetic, to_local
from ...tracker.settings import SpatialSettings
from ...tracker.spatial import SpatialTracker
from .flights import Samples, files, find_wheel, read_samples

SPOOFED = "noisy/noisy_spoofing"
JUMPS_M = (1000.0, 2000.0, 5000.0, 10_000.0, 30_000.0)
WITHIN_S = 30.0
INJECTED = ("calibration/munich", "collections/switzerland")  # and only aircraft of the tune split
_SIGMA_M = 40.0
_JUMP_MPS, _JUMP_M = 500.0, 3000.0
_GAP_S = 60.0
_EVERY = 25  # of the aircraft of the Swiss collection


@dataclass(frozen=True)
class Watched:
    """The alarms of a tracker on one aircraft: `alarms`, (time raised, time of the first impossible report, metres, score) each.
    `hours` is the length of the reports without gaps of more than a minute.
    """

    alarms: list[tuple[float, float, float, float]]
    hours: float


def watch(samples: Samples, settings: SpatialSettings | None = None) -> Watched:
    """Gives a new tracker all reports of an aircraft."""
    position = _local(samples)
    tracker, covariance = SpatialTracker(settings), np.diag([_SIGMA_M**2, _SIGMA_M**2, _SIGMA_M**2])
    alarms = []
    for time_s, at in zip(samples.time_s, position, strict=True):
        axes = 3 if np.isfinite(at[2]) else 2
        tracker.scan(time_s, [Fix(time_s, at[:axes], covariance[:axes, :axes], identity=samples.aircraft)])
        alarms += [(float(time_s), t.anomaly.time_s, t.anomaly.distance_m, t.anomaly.score) for t in tracker.take_anomalies()]
    return Watched(alarms, float(np.minimum(np.diff(samples.time_s), _GAP_S).sum()) / 3600.0)


def jumps(samples: Samples) -> list[float]:
    """Times of reports more than 3 km from the one before and faster from it than 500 m/s, within a minute."""
    step = np.diff(samples.time_s)
    metres = np.linalg.norm(np.diff(_local(samples)[:, :2], axis=0), axis=1)
    return [float(t) for t in samples.time_s[1:][(metres > _JUMP_M) & (metres > _JUMP_MPS * step) & (step < _GAP_S)]]


def inject(samples: Samples, jump_m: float, seed: int) -> tuple[Samples, float]:
    """Moves all reports after a moment in the middle half by `jump_m` in some direction; returns them and the moment."""
    rng = np.random.default_rng([zlib.crc32(samples.aircraft.encode()), seed])
    first = int(rng.integers(len(samples.time_s) // 4, 3 * len(samples.time_s) // 4))
    angle = rng.uniform(0, 2 * np.pi)
    position = _local(samples)
    position[first:, :2] += jump_m * np.array([np.cos(angle), np.sin(angle)])
    latitude, longitude, _ = to_geodetic(np.nan_to_num(position), _origin(samples))
    return replace(samples, latitude=latitude, longitude=longitude), float(samples.time_s[first])


def alarm_figures(folder: Path, *, max_flights: int | None = None, seed: int = 0,
                  progress: Callable[[str], None] = lambda name: None) -> dict:
    """Spoofing, injected jumps and false alarms.

    Args:
        max_flights: limits the aircraft of a file and the files of the featured folder; None: all.
    """
    wheel = find_wheel(folder)
    spoofed = []
    progress("spoofing")
    for samples in read_samples(wheel, SPOOFED):
        seen, real = watch(samples), jumps(samples)
        spoofed.append({"hours": seen.hours, "jumps": [j - samples.time_s[0] for j in real],
                        "raised_after_s": [_first_after(seen, j) for j in real], "alarms": len(seen.alarms),
                        "scores": [a[3] for a in seen.alarms]})
    injected, quiet_alarms, quiet_hours = {}, 0, 0.0
    others = _others(wheel, max_flights)
    for jump_m in JUMPS_M:
        progress(f"jumps of {jump_m:g} m")
        delays = []
        for samples in others:
            changed, at = inject(samples, jump_m, seed)
            delays.append(_first_after(watch(changed), at))
        within = [d for d in delays if d is not None and d <= WITHIN_S]
        injected[f"{jump_m:g}"] = {"flights": len(delays), "within_30_s": len(within) / len(delays),
                                   "median_delay_s": float(np.median(within)) if within else None}
    for samples in others:
        seen = watch(samples)
        quiet_alarms, quiet_hours = quiet_alarms + len(seen.alarms), quiet_hours + seen.hours
    featured = {}
    for name in files(wheel, "featured/")[:max_flights]:
        progress(name)
        seen = [watch(samples) for samples in read_samples(wheel, name)]
        featured[name.split("/")[1]] = {"hours": sum(s.hours for s in seen), "alarms": sum(len(s.alarms) for s in seen),
                                        "scores": sorted(round(a[3], 2) for s in seen for a in s.alarms)}
    return {"spoofed": spoofed, "injected": injected, "others": {"alarms": quiet_alarms, "hours": quiet_hours},
            "featured": featured}


def _others(wheel: Path, max_flights: int | None) -> Sequence[Samples]:
    munich, swiss = (read_samples(wheel, name) for name in INJECTED)
    tuned = [s for s in swiss if zlib.crc32(s.aircraft.encode()) % 2 == 0 and len(s.time_s) >= 60]
    return [*munich, *tuned[::_EVERY]][:max_flights]


def _first_after(seen: Watched, time_s: float) -> float | None:
    """Seconds from a moment to the first alarm raised after it."""
    return next((raised - time_s for raised, *_ in seen.alarms if raised >= time_s), None)


def _origin(samples: Samples) -> Origin:
    return Origin(float(samples.latitude[0]), float(samples.longitude[0]))


def _local(samples: Samples) -> np.ndarray:
    return to_local(samples.latitude, samples.longitude, samples.altitude_m, _origin(samples))
