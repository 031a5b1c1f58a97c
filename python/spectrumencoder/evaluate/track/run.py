# SPDX-License-Identifier: GPL-3.0-or-later
"""The tracker on real flights, beside tuned filters and Stone Soup's trackers, and on simulated emissions.

Flights come out of the `traffic` wheel (``flights``). The parts are:

* `filters`: RMSE filtered and ahead at a sigma of 50 m, every class of flight
* `steps`: one step ahead at 10 m and a second
* `covariance`: NEES over many noise seeds
* `scenes`: many aircraft, missed and false reports
* `alarms`: impossible motion
* `emissions`: frequency
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ...measure.provenance import commit
from ...tracker import estimate
from ...tracker.motion_field import MotionField
from ...tracker.settings import SpatialSettings
from .alarm import alarm_figures
from .bank import judge_bank
from .baselines import IMM_CA, KALMAN, TUNED, baselines
from .emissions import spectral_figures
from .figures import single_figures
from .flights import JUDGE, Flight, flights
from .multi import multi_figures, scenes, thousand
from .rows import kept
from .single import HORIZONS_S, NEXT, Errors, judge, rmse
from .stonesoup import TUNED as STONESOUP

PARTS = ("filters", "steps", "covariance", "scenes", "alarms", "emissions")
OURS_IMM, OURS = "spectrumencoder, IMM alone", "spectrumencoder"
REFERENCE = IMM_CA
_ONE_SECOND_S = 1.5  # flights with a median step up to it, and of those the steps up to it
_PAPER_M = 10.0


@dataclass(frozen=True)
class Sizes:
    """How much is judged: every so many-th airliner of the Swiss collection; reports of a flight, its middle ones; noise seeds
    and reports of a flight for the covariance; scenes and scans of each; aircraft and files for alarms (None: all); emissions of
    each kind; draws of the bootstrap."""

    airliner_every: int = 12
    max_reports: int = 300
    nees_seeds: int = 50
    nees_reports: int = 100
    scenes: int = 4
    scans: int = 120
    alarm_flights: int | None = None
    emissions: int = 16
    draws: int = 1000


QUICK = Sizes(airliner_every=100, max_reports=60, nees_seeds=2, nees_reports=40, scenes=1, scans=40, alarm_flights=1,
              emissions=2, draws=50)


@dataclass(frozen=True)
class _Run:
    """Flights to judge on, the sizes, the folder in which errors are kept, and the callback that reports progress."""

    chosen: Sequence[Flight]
    sizes: Sizes
    seed: int
    work: Path | None
    progress: Callable[[str], None]

    def errors(self, part: str, sigma_m: float, flown: Sequence[tuple[Flight, int]],
               horizons_s: Sequence[float] = HORIZONS_S, longest_step_s: float = np.inf) -> dict[str, list[Errors]]:
        """Filter -> its errors on flights with the noise of seeds.

        Errors of the others are kept by their settings, ours by the content of the tracker's folder. Our filters run in a
        bank, all flights at once.
        """
        others, found = baselines(sigma_m), {}

        def measure(name: str) -> list[Errors]:
            if name in others:
                return [judge(others[name], flight, sigma_m, seed, horizons_s, longest_step_s) for flight, seed in flown]
            return judge_bank(SpatialSettings(), MotionField.shipped() if name == OURS else None, flown, sigma_m, horizons_s,
                              longest_step_s)

        for name in (*others, OURS_IMM, OURS):
            self.progress(f"{part}: {name}")
            key = {"part": part, "filter": name, "by": str(TUNED[sigma_m].get(name, _tracker_sha256())),
                   "sizes": asdict(self.sizes), "seed": self.seed, "flights": [f"{f.name} {len(f.time_s)}" for f in self.chosen]}
            found[name] = kept(self.work, key, lambda name=name: measure(name))
        return found


def track(folder: Path, *, parts: Sequence[str] = PARTS, sizes: Sizes = Sizes(), seed: int = 0, quick: bool = False,
          work: Path | None = None, progress: Callable[[str], None] = lambda name: None) -> dict:
    """Judges the tracker; returns its figures by part, with the commit, and the settings.

    Args:
        folder: holds the wheel (see ``flights``). parts: of PARTS. quick: the sizes of ``QUICK``; its figures say nothing.
        work: folder of the errors of filters; a second run does not measure again what is there.

    Raises:
        TrackDataError: the wheel is missing or broken. ValueError: there is no such part.
    """
    unknown = [p for p in parts if p not in PARTS]
    if unknown:
        raise ValueError(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    sizes = QUICK if quick else sizes
    run = _Run(_chosen(flights(folder, JUDGE), sizes), sizes, seed, work, progress)
    made = {
        "filters": lambda: _filters(run),
        "steps": lambda: _steps(run),
        "covariance": lambda: _covariance(run),
        "scenes": lambda: multi_figures(scenes(flights(folder, JUDGE), sizes.scenes, sizes.scans, seed), seed=seed, work=work,
                                        ours_by=_tracker_sha256(), progress=progress) | {"thousand": thousand()},
        "alarms": lambda: alarm_figures(folder, max_flights=sizes.alarm_flights, seed=seed, progress=progress),
        "emissions": lambda: spectral_figures(sizes.emissions, progress=progress),
    }
    return head(seed, quick, sizes) | {part: {"commit": commit()} | made[part]() for part in PARTS if part in parts}


def head(seed: int = 0, quick: bool = False, sizes: Sizes = Sizes()) -> dict:
    """The keys beside the parts of a result: `seed`, `quick` and `settings`."""
    tuned = {f"{sigma_m:g} m": {name: {"q": s} if name == KALMAN else asdict(s) for name, s in of.items()}
             for sigma_m, of in TUNED.items()}
    return {"seed": seed, "quick": quick, "settings": asdict(QUICK if quick else sizes) | {
        "baselines": tuned, "stonesoup": {kind: asdict(s) for kind, s in STONESOUP.items()}}}


def joined(before: dict, result: dict) -> dict:
    """A result, completed by the parts of an earlier one that it lacks.

    Raises:
        ValueError: they were measured with other settings.
    """
    names = ("seed", "quick", "settings")
    for name in names:
        if before.get(name) != json.loads(json.dumps(result[name])):
            raise ValueError(f"its {name} is another")
    return {name: (result if name in result else before)[name] for name in (*names, *PARTS) if name in result or name in before}


def _tracker_sha256() -> str:
    folder = Path(estimate.__file__).parent
    sums = [hashlib.sha256(f.read_bytes()).digest() for f in sorted(folder.iterdir()) if f.suffix in (".py", ".json")]
    return hashlib.sha256(b"".join(sums)).hexdigest()


def _chosen(judged: Sequence[Flight], sizes: Sizes) -> list[Flight]:
    airliners = [f for f in judged if f.flight_class == "airliner"]
    others = [f for f in judged if f.flight_class != "airliner"]
    chosen = others + airliners[::sizes.airliner_every]
    return [f.part(sizes.max_reports) for f in chosen]


def _filters(run: _Run) -> dict:
    errors = run.errors("filters", 50.0, [(flight, run.seed) for flight in run.chosen])
    return {"sigma_m": 50.0, **single_figures(errors, REFERENCE, draws=run.sizes.draws, seed=run.seed)}


def _steps(run: _Run) -> dict:
    run = replace(run, chosen=[f for f in run.chosen if np.median(np.diff(f.time_s)) <= _ONE_SECOND_S])
    errors = run.errors("steps", 10.0, [(flight, run.seed) for flight in run.chosen], (), _ONE_SECOND_S)
    under = {e.name: rmse([e], NEXT) for e in errors[OURS] if rmse([e], NEXT) < _PAPER_M}
    return {"sigma_m": 10.0, **single_figures(errors, REFERENCE, draws=run.sizes.draws, seed=run.seed),
            "under_10_m": {"of": len(run.chosen), "flights": under}}


def _covariance(run: _Run) -> dict:
    """NEES over many noise seeds, on the middle reports of the flight of median length of each class."""
    flown = []
    for c in sorted({f.flight_class for f in run.chosen}):
        of = sorted((f for f in run.chosen if f.flight_class == c), key=lambda f: len(f.time_s))
        flown.append(of[len(of) // 2].part(run.sizes.nees_reports))
    run = replace(run, chosen=flown)
    seeded = [(flight, 1000 + s) for flight in flown for s in range(run.sizes.nees_seeds)]
    errors = run.errors("covariance", 50.0, seeded, (10.0,))
    figures = single_figures(errors, REFERENCE, draws=1)["filters"]
    return {"sigma_m": 50.0, "seeds": run.sizes.nees_seeds, "flights": {f.flight_class: f.name for f in flown},
            "filters": {name: {"nees": f["nees"], "state_nees": f["state_nees"]} for name, f in figures.items()}}
