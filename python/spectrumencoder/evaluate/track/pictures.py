# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of `track`: ratios by class, a map with prediction cones, a scene of many, the spoofed flight, emissions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import chi2

from ...measure.plots import figure, finish
from ...tracker.filters import make_filter
from ...tracker.fix import Fix
from ...tracker.motion_field import MotionField
from ...tracker.settings import SpatialSettings
from ...tracker.spatial import SpatialTracker
from ...tracker.spectral import Signal, SpectralTracker
from .alarm import SPOOFED, _local, jumps, watch
from .emissions import oscillator, satellite_pass
from .figures import MEAN
from .flights import JUDGE, find_wheel, flights, read_samples
from .multi import scenes, settings
from .run import REFERENCE
from .single import FILTERED

PICTURES = {"filters": ("classes", "cones"), "scenes": ("scene",), "alarms": ("alarm",), "emissions": ("emissions",)}
_CONES_S = (1.0, 5.0, 10.0, 20.0, 30.0)


def draw(result: dict, folder: Path, stem: Path) -> dict[str, str]:
    """Draws the parts that the result has, as STEM_NAME.png; returns picture -> file name.

    Args:
        folder: holds the wheel.
    """
    drawn = {}
    for part, names in PICTURES.items():
        for name in names if part in result else ():
            path = stem.with_name(f"{stem.stem}_{name}.png")
            {"classes": lambda p: _classes(result["filters"], p), "cones": lambda p: _cones(folder, p),
             "scene": lambda p: _scene(folder, p), "alarm": lambda p: _alarm(folder, p), "emissions": _emissions}[name](path)
            drawn[name] = path.name
    return drawn


def _classes(part: dict, path: Path):
    fig, axes = figure(2, width=5.6, height=4.2)
    classes = [*part["counts"], MEAN]
    names = [n for n in part["filters"] if n != REFERENCE]
    for axis, what, title in zip(axes, (FILTERED, "10 s"), ("filtered", "10 s ahead"), strict=True):
        for number, name in enumerate(names):
            ratio = np.array([part["filters"][name]["ratio"][what][c] for c in classes])
            at = np.arange(len(classes)) + 0.8 * (number - (len(names) - 1) / 2) / len(names)
            axis.errorbar(ratio[:, 0], at, xerr=np.abs(ratio[:, 1:].T - ratio[:, 0]), fmt="o", ms=4, label=name)
        axis.axvline(1.0, color="k", lw=0.8)
        axis.set(yticks=range(len(classes)), yticklabels=classes, xlabel=f"RMSE over that of {REFERENCE}", title=title)
        axis.invert_yaxis()
    axes[0].legend(fontsize=7)
    finish(fig, path)


def _cones(folder: Path, path: Path, sigma_m: float = 50.0):
    fig, (axis,) = figure(1, width=8.5, height=6.5)
    flight = next(f for f in flights(folder, JUDGE) if f.name.startswith("calibration/ajaccio"))
    first, n = 200, 110
    reports, target = flight.noisy(sigma_m, 0)[:, :2], make_filter(2, SpatialSettings(), MotionField.shipped())
    track, radius = [], np.sqrt(chi2.ppf(0.95, 2))
    circle = np.stack([np.cos(np.linspace(0, 2 * np.pi, 40)), np.sin(np.linspace(0, 2 * np.pi, 40))])
    for k in range(first + n):
        target.update(flight.time_s[k], reports[k], sigma_m**2 * np.eye(2))
        if k < first:
            continue
        track.append(target.state().position_m)
        if (k - first) % 12 == 6:
            ahead = [target.forecast(flight.time_s[k] + h) for h in _CONES_S]
            line = np.array([track[-1], *(e.position_m for e in ahead)]) / 1e3
            axis.plot(*line.T, color="tab:red", lw=1, zorder=3)
            for estimate in ahead:
                edge = estimate.position_m[:, None] + radius * np.linalg.cholesky(estimate.covariance[:2, :2]) @ circle
                axis.fill(*(edge / 1e3), color="tab:red", alpha=0.12, lw=0)
    rows = slice(first, first + n)
    axis.plot(*(flight.truth_m[rows, :2].T / 1e3), color="k", lw=1, label="flown")
    axis.plot(*(reports[rows].T / 1e3), ".", color="tab:gray", ms=4, label=f"reports, sigma {sigma_m:g} m")
    axis.plot(*(np.array(track).T / 1e3), color="tab:blue", lw=1.2, label="track")
    axis.plot([], [], color="tab:red", label="predicted to 30 s, 95 %")
    axis.set(xlabel="east, km", ylabel="north, km", aspect="equal")
    axis.legend(fontsize=8)
    finish(fig, path)


def _scene(folder: Path, path: Path, n_scans: int = 60):
    fig, (axis,) = figure(1, width=9, height=7)
    scene = scenes(flights(folder, JUDGE), 1, 180)[0]
    tracker, paths, flown = SpatialTracker(settings(scene)), {}, {}
    covariance = scene.sigma_m**2 * np.eye(2)
    for scan in scene.scans[:n_scans]:
        tracker.scan(scan.time_s, [Fix(scan.time_s, r, covariance) for r in scan.reports])
        for track in tracker.tracks(scan.time_s):
            paths.setdefault(track.id, []).append(track.estimate.position_m[:2] / 1e3)
        for aircraft, at in zip(scan.aircraft, scan.truth, strict=True):
            flown.setdefault(aircraft, []).append(at / 1e3)
    reports = np.concatenate([scan.reports for scan in scene.scans[:n_scans]]) / 1e3
    axis.plot(*reports.T, ".", color="tab:gray", ms=2, alpha=0.5)
    for places in flown.values():
        axis.plot(*np.array(places).T, color="k", lw=3, alpha=0.25)
    for number, places in enumerate(paths.values()):
        axis.plot(*np.array(places).T, lw=1.2, color=f"C{number % 10}")
        axis.plot(*places[-1], "o", ms=4, color=f"C{number % 10}")
    axis.set(xlabel="east, km", ylabel="north, km", aspect="equal", title=f"{len(flown)} aircraft, {len(paths)} tracks")
    finish(fig, path)


def _alarm(folder: Path, path: Path):
    fig, axes = figure(2, width=5.5, height=4.5)
    samples = read_samples(find_wheel(folder), SPOOFED)[0]
    position, begin = _local(samples)[:, :2] / 1e3, samples.time_s[0]
    seen = watch(samples)
    axes[0].plot(*position.T, ".", ms=2)
    axes[0].set(xlabel="east, km", ylabel="north, km", aspect="equal")
    step = np.linalg.norm(np.diff(position, axis=0), axis=1)
    axes[1].semilogy(samples.time_s[1:] - begin, np.maximum(step, 1e-3), ".", ms=3, label="distance from the report before")
    for number, (raised, *_) in enumerate(seen.alarms):
        axes[1].axvline(raised - begin, color="tab:red", label="alarm" if number == 0 else None)
        axes[0].plot(*position[np.searchsorted(samples.time_s, raised)], "o", color="tab:red", ms=7)
    for jump in jumps(samples):
        axes[1].axvline(jump - begin, color="k", ls=":", lw=1)
    axes[1].set(xlabel="time, s", ylabel="km")
    axes[1].legend(fontsize=8)
    finish(fig, path)


def _emissions(path: Path):
    fig, axes = figure(3, width=4.2, height=4.2)
    shown: Sequence = [("satellite passes at 437 MHz", [p for p in map(satellite_pass, range(20))
                                                      if abs(p.freq_hz[0] - 437.2e6) < 1e6][:3]),
                       ("oscillator", [oscillator(1003)]), ("hopper", [oscillator(1000, True, 180)])]
    for axis, (title, emissions) in zip(axes, shown, strict=True):
        tracker, centre, curves = SpectralTracker(), emissions[0].freq_hz.mean(), {}
        rng = np.random.default_rng(0)
        sightings = sorted((e.time_s[k], e.freq_hz[k] + 0.15 * e.bandwidth_hz * rng.standard_normal(), e.bandwidth_hz)
                           for e in emissions for k in np.flatnonzero(e.seen))
        for time_s, freq_hz, width_hz in sightings:
            tracker.add(Signal(time_s, time_s + 0.95, freq_hz, width_hz, -60.0))
            for track in (t for t in tracker.tracks(time_s) if t.updated_s >= time_s):
                curves.setdefault(track.id, []).append((track.estimate.freq_center_hz, time_s))
        axis.plot([(f - centre) / 1e3 for _, f, _ in sightings], [t for t, *_ in sightings], ".", ms=2, color="tab:gray")
        for curve in curves.values():
            freq_hz, time_s = np.array(curve).T
            axis.plot((freq_hz - centre) / 1e3, time_s, lw=1.2)
        axis.set(xlabel="kHz", ylabel="time, s", title=f"{title}: {len(curves)} tracks")
        axis.invert_yaxis()
    finish(fig, path)
