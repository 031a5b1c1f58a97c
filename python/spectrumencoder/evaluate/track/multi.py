# SPDX-License-Identifier: GPL-3.0-or-later
"""Many targets: our tracker beside Stone Soup's on the same scenes, and a thousand tracks at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time

import numpy as np

from ...tracker.fix import Fix
from ...tracker.settings import SpatialSettings
from ...tracker.spatial import SpatialTracker
from .figures import mean_interval
from .flights import Flight
from .rows import kept_score
from .scene import STEP_S, Scene, Score, airborne, busy_hours, make_scene, run
from .stonesoup import GNN, JPDA, TUNED, StoneSoupTracker

OURS = "spectrumencoder"
_DEATH_SCANS, _GATE = 3, 0.99999
_SETTLED = 12  # scans of a scene before it is scored
_BLOCK = 20  # scans that are drawn together: errors of one are those of the next


def scenes(flights: Sequence[Flight], count: int, n_scans: int, seed: int = 0) -> list[Scene]:
    """The fullest spans of the folded day, apart from each other."""
    flying = airborne(flights)
    begins = busy_hours(flying, count, span_s=n_scans * STEP_S)
    return [make_scene(flying, begin, n_scans, seed=seed) for begin in begins]


def multi_figures(judged: Sequence[Scene], *, seed: int = 0, work: Path | None = None, ours_by: str = "",
                  progress: Callable[[str], None] = lambda name: None) -> dict:
    """GOSPA, identity switches and time of every tracker. Intervals are drawn by blocks of scans, the same blocks for all.

    Args:
        work: folder in which scores are kept. ours_by: names the state of our tracker, by which its scores are kept.
    """
    scores: dict[str, list[Score]] = {OURS: [], f"Stone Soup {JPDA}": [], f"Stone Soup {GNN}": []}
    for number, scene in enumerate(judged):
        for name in scores:
            progress(f"{name}, scene {number + 1}")
            key = {"tracker": name, "by": f"{ours_by} {settings(scene)}" if name == OURS else str(TUNED[name.split()[-1]]),
                   "scans": len(scene.scans), "first": scene.scans[0].reports.tolist(), "density": scene.false_per_m2}
            scores[name].append(kept_score(work, key, lambda name=name, scene=scene: _score(name, scene)))
    blocks = {name: np.concatenate([_blocks(s.gospa_m) for s in of]) for name, of in scores.items()}
    rows = np.random.default_rng(seed).integers(0, len(blocks[OURS]), (1000, len(blocks[OURS])))
    result = {}
    for name, of in scores.items():
        located = sum(sum(s.located_m2[_SETTLED:]) for s in of)
        found = sum(len(scan.truth) - missed for scene, s in zip(judged, of, strict=True)
                    for scan, missed in zip(scene.scans[_SETTLED:], s.missed[_SETTLED:], strict=True))
        ratio = blocks[OURS][rows].mean(axis=1) / blocks[name][rows].mean(axis=1)
        result[name] = {
            "gospa_m": mean_interval(blocks[name], seed=seed),
            "ours_over_it": [float(blocks[OURS].mean() / blocks[name].mean()), *map(float, np.quantile(ratio, [0.025, 0.975]))],
            "rmse_m": float(np.sqrt(located / max(found, 1))),
            "missed_per_scan": float(np.mean([m for s in of for m in s.missed[_SETTLED:]])),
            "false_per_scan": float(np.mean([m for s in of for m in s.false[_SETTLED:]])),
            "identity_switches": sum(s.switches for s in of),
            "seconds_per_scan": float(np.median([t for s in of for t in s.seconds]))}
    aircraft = [len(scan.truth) for scene in judged for scan in scene.scans]
    return {"trackers": result, "scenes": len(judged), "scans": len(aircraft), "aircraft": [min(aircraft), max(aircraft)],
            "detection": judged[0].detection, "sigma_m": judged[0].sigma_m,
            "false_reports_per_scan": float(judged[0].false_per_m2 * np.prod(judged[0].region[1] - judged[0].region[0]))}


def _score(name: str, scene: Scene) -> Score:
    if name == OURS:
        return run(SpatialTracker(settings(scene)), scene, Fix)
    kind = name.split()[-1]
    tracker = StoneSoupTracker(kind, TUNED[kind], scene.sigma_m, scene.detection, scene.false_per_m2)
    return run(tracker, scene, lambda time_s, position_m, covariance_m2: position_m)


def settings(scene: Scene) -> SpatialSettings:
    """Settings of our tracker for the scene. It gets what Stone Soup gets: the density of false reports. The end of tracks and
    the width of the gate were tuned like Stone Soup's, on scenes of the tune split.
    """
    return SpatialSettings(false_density=scene.false_per_m2, death_scans=_DEATH_SCANS, gate_probability=_GATE)


def thousand(n_tracks: int = 1000, n_scans: int = 60, seed: int = 0) -> dict:
    """Time of a scan with `count` straight targets without identities, a scan a second, tracks read after each, on one thread."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(-300e3, 300e3, (n_tracks, 2))
    velocity = rng.normal(0, 150, (n_tracks, 2))
    tracker, covariance, seconds = SpatialTracker(), 50.0**2 * np.eye(2), []
    for k in range(n_scans):
        reports = place + velocity * k + 50 * rng.standard_normal(place.shape)
        fixes = [Fix(float(k), report, covariance) for report in reports]
        begin = process_time()
        tracker.scan(float(k), fixes)
        n_confirmed = len(tracker.tracks(float(k)))
        seconds.append(process_time() - begin)
    return {"targets": n_tracks, "tracks": n_confirmed, "seconds_per_scan": float(np.median(seconds[5:])),
            "longest_s": float(np.max(seconds[5:]))}


def _blocks(gospa_m: Sequence[float]) -> np.ndarray:
    values = np.asarray(gospa_m[_SETTLED:])
    return np.array([b.mean() for b in np.array_split(values, max(1, len(values) // _BLOCK))])
