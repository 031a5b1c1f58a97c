# SPDX-License-Identifier: GPL-3.0-or-later
"""Many targets at once: scans of aircraft that flew at the same time, with missed and false reports, and the score of tracks.

The aircraft are those of one split of the Swiss collection over one plane. The day is folded to have twenty of them and more:
flights are moved by whole numbers of hours. Each scan finds each aircraft with a given probability. False reports are uniform
over the region. Heights are left out, so that aircraft that cross above each other meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from ...tracker.geo import Origin
from .flights import Flight, seen_from

ORIGIN = Origin(46.8, 8.2)
FOLD_S = 6 * 3600.0
STEP_S = 10.0
CUTOFF_M = 1000.0


@dataclass(frozen=True)
class Scan:
    """One scan: `reports` (r, 2) of unknown origin, shuffled; `truth` (t, 2) and `aircraft` (t,) that flew at that time."""

    time_s: float
    reports: np.ndarray
    truth: np.ndarray
    aircraft: np.ndarray


@dataclass(frozen=True)
class Scene:
    """Scans in order of time.

    `region` (2, 2) is the lowest and highest east and north, metres. `false_per_m2` is the density of false reports in a scan.
    `sigma_m` is that of the reports. `detection` is the probability that a scan reports an aircraft.
    """

    scans: list[Scan]
    region: np.ndarray
    false_per_m2: float
    sigma_m: float
    detection: float


def make_scene(flights: Sequence[Flight], begin_s: float, n_scans: int, *, sigma_m: float = 50.0, detection: float = 0.9,
               false_per_scan: float = 20.0, seed: int = 0) -> Scene:
    """A scene out of flights from ``airborne``, `begin_s` seconds into the folded day."""
    rng = np.random.default_rng([seed, int(begin_s)])
    times = begin_s + STEP_S * np.arange(n_scans)
    paths = np.array([f.truth_at(times)[:, :2] for f in flights])  # (flights, scans, 2)
    flown = paths[np.isfinite(paths[:, :, 0])]
    region = np.array([flown.min(axis=0), flown.max(axis=0)])
    scans = []
    for k, time_s in enumerate(times):
        aircraft = np.flatnonzero(np.isfinite(paths[:, k, 0]))
        truth = paths[aircraft, k]
        seen = truth[rng.random(len(truth)) < detection]
        false = rng.uniform(*region, (rng.poisson(false_per_scan), 2))
        reports = np.concatenate([seen + sigma_m * rng.standard_normal(seen.shape), false])
        scans.append(Scan(float(time_s), rng.permutation(reports), truth, aircraft))
    return Scene(scans, region, false_per_scan / float(np.prod(region[1] - region[0])), sigma_m, detection)


def airborne(flights: Sequence[Flight]) -> list[Flight]:
    """Airliners of the Swiss collection over one plane, in the folded day."""
    chosen = [seen_from(f, ORIGIN) for f in flights if f.name.startswith("collections/switzerland")]
    return [replace(f, time_s=f.time_s - f.time_s[0] + f.time_s[0] % FOLD_S) for f in chosen]


def busy_hours(flights: Sequence[Flight], count: int, min_aircraft: int = 20, span_s: float = 3600.0) -> list[float]:
    """Beginnings of `count` spans, apart from each other, with `min_aircraft` flights or more at all times; the fullest first.

    Raises:
        ValueError: there are fewer such spans.
    """
    grid = np.arange(0.0, FOLD_S + span_s, 60.0)
    up = sum(((grid >= f.time_s[0]) & (grid <= f.time_s[-1])).astype(int) for f in flights)
    width = int(span_s / 60.0)
    lowest = np.array([up[k:k + width].min() for k in range(len(grid) - width)])
    begins: list[int] = []
    for k in np.argsort(-lowest, kind="stable"):
        if lowest[k] >= min_aircraft and all(abs(k - other) >= width for other in begins):
            begins.append(int(k))
    if len(begins) < count:
        raise ValueError(f"only {len(begins)} spans of {span_s:g} s have {min_aircraft} aircraft; ask for fewer")
    return [float(grid[k]) for k in begins[:count]]


@dataclass
class Score:
    """The score of a tracker on a scene, scan by scan.

    `gospa_m` has p = 2 and alpha = 2. `located_m2` are squared errors of assigned tracks. `missed` and `false` are counts.
    `switches` counts how often an aircraft got another track than it had before. `seconds` is the processor time of each scan.
    """

    gospa_m: list[float]
    located_m2: list[float]
    missed: list[int]
    false: list[int]
    seconds: list[float]
    switches: int = 0


def gospa(truth: np.ndarray, tracks: np.ndarray, cutoff_m: float = CUTOFF_M) -> tuple[float, np.ndarray, float]:
    """Generalised optimal sub-pattern assignment, p = 2, alpha = 2 (Rahmathullah et al. 2017).

    Args:
        truth: (t, 2). tracks: (k, 2).

    Returns:
        The metric; for each of truth its track or -1, (t,); the sum of squared errors of those assigned.
    """
    squared = ((truth.reshape(-1, 1, 2) - tracks.reshape(1, -1, 2)) ** 2).sum(axis=2)
    rows, columns = linear_sum_assignment(np.minimum(squared, cutoff_m**2))
    near = squared[rows, columns] < cutoff_m**2
    assigned = np.full(len(truth), -1)
    assigned[rows[near]] = columns[near]
    located = float(squared[rows[near], columns[near]].sum())
    alone = len(truth) + len(tracks) - 2 * int(near.sum())
    return float(np.sqrt(located + cutoff_m**2 / 2 * alone)), assigned, located


def run(tracker, scene: Scene, make_fix) -> Score:
    """Gives a tracker every scan of a scene and scores its tracks after each.

    Args:
        tracker: has ``scan(time_s, fixes)`` and ``tracks(time_s)``, whose tracks have `id` and `estimate`.
        make_fix: (time_s, position_m, covariance_m2) -> a fix for ``scan``.
    """
    from time import process_time

    covariance = scene.sigma_m**2 * np.eye(2)
    score = Score([], [], [], [], [])
    last: dict[int, object] = {}
    for scan in scene.scans:
        fixes = [make_fix(scan.time_s, report, covariance) for report in scan.reports]
        begin = process_time()
        tracker.scan(scan.time_s, fixes)
        tracks = tracker.tracks(scan.time_s)
        score.seconds.append(process_time() - begin)
        places = np.array([t.estimate.position_m[:2] for t in tracks]).reshape(-1, 2)
        distance, assigned, located = gospa(scan.truth, places)
        score.gospa_m.append(distance)
        score.located_m2.append(located)
        found = int((assigned >= 0).sum())
        score.missed.append(len(scan.truth) - found)
        score.false.append(len(tracks) - found)
        for aircraft, track in zip(scan.aircraft, assigned, strict=True):
            if track >= 0:
                score.switches += last.get(aircraft, tracks[track].id) != tracks[track].id
                last[aircraft] = tracks[track].id
    return score
