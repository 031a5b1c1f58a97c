# SPDX-License-Identifier: GPL-3.0-or-later
"""The tracker on real flights, beside tuned filters and Stone Soup's trackers, and on simulated emissions.

Flights come out of the `traffic` wheel (`track_data`). Parts: `filters` (RMSE filtered and ahead at a sigma of 50 m, every class
of flight), `steps` (one step ahead at 10 m and a second), `covariance` (NEES over many noise seeds), `scenes` (many aircraft,
missed and false reports), `alarms` (impossible motion), `emissions` (frequency).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ..tracker.estimate import TargetFilter
from ..tracker.filters import make_filter
from ..tracker.settings import SpatialSettings
from ..training.run_folder import commit
from .track_alarm import alarm_figures
from .track_baselines import IMM_CA, TUNED, baselines
from .track_data import JUDGE, Flight, flights
from .track_figures import single_figures
from .track_multi import multi_figures, scenes, thousand
from .track_single import HORIZONS_S, NEXT, judge, rmse
from .track_spectral import spectral_figures
from .track_stonesoup import TUNED as STONESOUP

PARTS = ("filters", "steps", "covariance", "scenes", "alarms", "emissions")
OURS_IMM = "spectrumencoder, IMM alone"
REFERENCE = IMM_CA
_ONE_SECOND_S = 1.5  # flights with a median step up to it, and of those the steps up to it
_PAPER_M = 10.0


@dataclass(frozen=True)
class Sizes:
    """How much is judged: every so many-th airliner of the Swiss collection; reports of a flight, its middle ones; noise seeds
    and reports of a flight for the covariance; scenes and scans of each; aircraft and files for alarms (None: all); emissions of
    each kind; draws of the bootstrap."""

    airliner_every: int = 6
    most_reports: int = 1000
    nees_seeds: int = 50
    nees_reports: int = 150
    scenes: int = 4
    scans: int = 180
    alarm_flights: int | None = None
    emissions: int = 24
    draws: int = 1000


QUICK = Sizes(airliner_every=100, most_reports=60, nees_seeds=2, nees_reports=40, scenes=1, scans=40, alarm_flights=1,
              emissions=2, draws=50)


def track(folder: Path, *, parts: Sequence[str] = PARTS, sizes: Sizes = Sizes(), seed: int = 0, quick: bool = False,
          progress: Callable[[str], None] = lambda name: None) -> dict:
    """Judges the tracker; gives its figures by part, `settings` and `commit`.

    Args:
        folder: holds the wheel (see ``track_data``). parts: of PARTS. quick: the sizes of ``QUICK``; its figures say nothing.

    Raises:
        TrackDataError: the wheel is missing or broken. ValueError: there is no such part.
    """
    unknown = [p for p in parts if p not in PARTS]
    if unknown:
        raise ValueError(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    sizes = QUICK if quick else sizes
    chosen = _chosen(flights(folder, JUDGE), sizes)
    made = {
        "filters": lambda: _filters(chosen, sizes, seed, progress),
        "steps": lambda: _steps(chosen, sizes, seed, progress),
        "covariance": lambda: _covariance(chosen, sizes, progress),
        "scenes": lambda: multi_figures(scenes(flights(folder, JUDGE), sizes.scenes, sizes.scans, seed), seed=seed,
                                        progress=progress) | {"thousand": thousand()},
        "alarms": lambda: alarm_figures(folder, most=sizes.alarm_flights, seed=seed, progress=progress),
        "emissions": lambda: spectral_figures(sizes.emissions, progress=progress),
    }
    return {"commit": commit(), "seed": seed, "quick": quick,
            "settings": asdict(sizes) | {"baselines": {f"{sigma:g} m": {name: asdict(s) if name != "CV Kalman" else {"q": s}
                                                                         for name, s in tuned.items()}
                                                       for sigma, tuned in TUNED.items()},
                                         "stonesoup": {kind: asdict(s) for kind, s in STONESOUP.items()}},
            **{part: made[part]() for part in PARTS if part in parts}}


def filters(sigma_m: float) -> dict[str, Callable[[], TargetFilter]]:
    """Everything that is compared at a sigma, by name: what makes a new filter of two dimensions."""
    return baselines(sigma_m) | {OURS_IMM: lambda: make_filter(2, SpatialSettings())}


def part_of(flight: Flight, n: int) -> Flight:
    """The middle `n` reports of a flight."""
    begin = max(0, (len(flight.time_s) - n) // 2)
    rows = slice(begin, begin + n)
    return replace(flight, time_s=flight.time_s[rows], position_m=flight.position_m[rows], truth_m=flight.truth_m[rows],
                   velocity_mps=flight.velocity_mps[rows])


def _chosen(judged: Sequence[Flight], sizes: Sizes) -> list[Flight]:
    airliners = [f for f in judged if f.flight_class == "airliner"]
    others = [f for f in judged if f.flight_class != "airliner"]
    chosen = others + airliners[::sizes.airliner_every]
    return [part_of(f, sizes.most_reports) for f in chosen]


def _filters(chosen: Sequence[Flight], sizes: Sizes, seed: int, progress) -> dict:
    errors = {}
    for name, make in filters(50.0).items():
        progress(name)
        errors[name] = [judge(make, flight, 50.0, seed) for flight in chosen]
    return {"sigma_m": 50.0, **single_figures(errors, REFERENCE, draws=sizes.draws, seed=seed)}


def _steps(chosen: Sequence[Flight], sizes: Sizes, seed: int, progress) -> dict:
    fast = [f for f in chosen if np.median(np.diff(f.time_s)) <= _ONE_SECOND_S]
    errors = {}
    for name, make in filters(10.0).items():
        progress(f"{name}, one step")
        errors[name] = [judge(make, flight, 10.0, seed, HORIZONS_S[:1], _ONE_SECOND_S) for flight in fast]
    under = {e.name: rmse([e], NEXT) for e in list(errors.values())[-1] if rmse([e], NEXT) < _PAPER_M}
    return {"sigma_m": 10.0, **single_figures(errors, REFERENCE, draws=sizes.draws, seed=seed),
            "under_10_m": {"of": len(fast), "flights": under}}


def _covariance(chosen: Sequence[Flight], sizes: Sizes, progress) -> dict:
    """Of each class the flight of median length, its middle reports, many noise seeds."""
    flown = []
    for c in sorted({f.flight_class for f in chosen}):
        of = sorted((f for f in chosen if f.flight_class == c), key=lambda f: len(f.time_s))
        flown.append(part_of(of[len(of) // 2], sizes.nees_reports))
    figures = {}
    for name, make in filters(50.0).items():
        progress(f"{name}, covariance")
        errors = [judge(make, flight, 50.0, 1000 + s, horizons_s=(10.0,)) for flight in flown for s in range(sizes.nees_seeds)]
        figures[name] = single_figures({name: errors}, name, draws=1)["filters"][name]
    return {"sigma_m": 50.0, "seeds": sizes.nees_seeds, "flights": {f.flight_class: f.name for f in flown},
            "filters": {name: {"nees": f["nees"], "state_nees": f["state_nees"]} for name, f in figures.items()}}
