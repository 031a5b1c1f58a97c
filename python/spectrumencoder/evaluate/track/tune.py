# SPDX-License-Identifier: GPL-3.0-or-later
"""Tuning of the trackers to compare with, on the tune split: Nelder-Mead for the filters, a grid for Stone Soup.

A filter's loss is the mean over classes of flight of ln RMSE filtered and ln RMSE 10 s ahead. The search starts from `TUNED`
and from a plain guess, so that it can only find something better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from .baselines import IMM_CA, IMM_CV, KALMAN, TUNED, CvKalman, FilterpyImm, ImmSettings
from .flights import TUNE, Flight, flights
from .multi import scenes
from .scene import Scene, run
from .single import FILTERED, by_class, judge, rmse
from .stonesoup import GNN, JPDA, StoneSoupSettings, StoneSoupTracker

_EVERY = 15  # of the airliners
_MAX_REPORTS = 4000  # reports of a flight
_GUESS = {IMM_CV: ((1.0, 50.0), (60.0, 20.0)), IMM_CA: ((1.0, 0.5), (60.0, 30.0))}
_GRID = {"q": (10.0, 20.0, 40.0), "confirm": (3, 4), "missed": (2, 3, 4), "gate": {GNN: (4.0, 5.0), JPDA: (0.99, 0.999)}}


def tune(folder: Path, *, evaluations: int = 60, progress: Callable[[str], None] = lambda text: None) -> dict:
    """Settings of every filter at every sigma of TUNED, and of both Stone Soup trackers, each with its loss (GOSPA in m).

    Args:
        folder: holds the wheel. evaluations: number of a filter's settings tried from one start.
    """
    chosen = tuning_flights(flights(folder, TUNE))
    found = {}
    for sigma_m, tuned in TUNED.items():
        for name, settings in tuned.items():
            best = tune_filter(name, settings, chosen, sigma_m, evaluations)
            found[f"{name}, sigma {sigma_m:g} m"] = {"settings": str(best[1]), "loss": best[0]}
            progress(f"{name}, sigma {sigma_m:g} m: {best[1]}, loss {best[0]:.4f}")
    judged = scenes(flights(folder, TUNE), 2, 120)
    for kind in (GNN, JPDA):
        gospa_m, settings = tune_stonesoup(kind, judged)
        found[f"Stone Soup {kind}"] = {"settings": str(settings), "loss": gospa_m}
        progress(f"Stone Soup {kind}: {settings}, GOSPA {gospa_m:.0f} m")
    return found


def tuning_flights(tune_split: Sequence[Flight]) -> list[Flight]:
    """Every fifteenth airliner, and the middle of the others."""
    airliners = [f for f in tune_split if f.flight_class == "airliner"]
    return airliners[::_EVERY] + [f.part(_MAX_REPORTS) for f in tune_split if f.flight_class != "airliner"]


def tune_filter(name: str, settings, chosen: Sequence[Flight], sigma_m: float, evaluations: int) -> tuple[float, object]:
    """The smallest loss and its settings, from the given settings and from a guess."""
    if name == KALMAN:
        starts, make = [np.log([settings])], lambda x: float(np.exp(x[0]))
    else:
        starts = [np.log([*s.noise, *s.stay_s]) for s in (settings, ImmSettings(*_GUESS[name], settings.jerk))]

        def make(x):
            values = np.exp(np.clip(x, -9, 9))
            return ImmSettings(tuple(values[:2]), tuple(values[2:]), settings.jerk)

    def loss(x):
        made = make(x)
        return filter_loss((lambda: CvKalman(2, made)) if name == KALMAN else (lambda: FilterpyImm(2, made)), chosen, sigma_m)

    best = []
    for start in starts:
        simplex = np.vstack([start, start + 0.7 * np.eye(len(start))])
        done = minimize(loss, start, method="Nelder-Mead", options={"maxfev": evaluations, "initial_simplex": simplex})
        best.append((float(done.fun), make(done.x)))
    return min(best, key=lambda b: b[0])


def filter_loss(make: Callable, chosen: Sequence[Flight], sigma_m: float) -> float:
    errors = [judge(make, flight, sigma_m, 0, (10.0,)) for flight in chosen]
    return float(np.mean([np.log(rmse(of, what)) for of in by_class(errors).values() for what in (FILTERED, "10 s")]))


def tune_stonesoup(kind: str, judged: Sequence[Scene]) -> tuple[float, StoneSoupSettings]:
    """The smallest mean GOSPA over scenes and its settings, of a grid."""
    grid = [StoneSoupSettings(*values) for values in product(_GRID["q"], _GRID["confirm"], _GRID["missed"], _GRID["gate"][kind])]

    def gospa_m(settings):
        return float(np.mean([value for s in judged for value in run(
            StoneSoupTracker(kind, settings, s.sigma_m, s.detection, s.false_per_m2), s,
            lambda time_s, position_m, covariance_m2: position_m).gospa_m[12:]]))

    return min(((gospa_m(settings), settings) for settings in grid), key=lambda found: found[0])
