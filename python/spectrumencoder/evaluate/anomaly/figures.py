# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of detectors from their scores on the same windows, with intervals over scenes or recordings.

The threshold of a unit (scene or recording) at a false-alarm rate is the conformal one, rank ceil((n + 1)(1 - rate)), among
the n clean windows that the unit has kept for it. If these are too few, it is taken among the clean windows of all *other*
units, whose scores are on scales of their own. If that rank does not exist either, the figure is None and says how many
windows there were. So no window is judged by a threshold that it has set. Intervals: bootstrap over units, thresholds kept, 95
%.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

OURS = "spectrumencoder"
RATES = (0.01, 0.001)
MAIN = RATES[0]
PREVALENCE = 0.05
INR_EDGES = (0, 5, 10, 15, 20)
LEVEL = (0.025, 0.975)


@dataclass
class Trials:
    """W clean windows and I windows with an anomaly of U units; scores by detector name, each on its own scale.

    Attributes:
        units: names. calibrated_by: (U,) the table that judged. trained_on: (U,) bool. hours: (U,) of clean and kept windows.
        events: (U,) opened on those.
        kept: name -> (V, 16) scores of frames of clean windows kept for thresholds. kept_unit: (V,).
        clean: name -> (W, 16) of the clean windows judged. clean_unit: (W,). flagged: (W, 16) by our detector at its defaults.
        unit, kind, inr_db: (I,). window: name -> (I,) largest frame score. single: name -> (I,) score of the fullest frame.
        bound: rate -> (I,) probability of detection. bound_single: (I,) the same of the fullest frame, at MAIN.
        bound_half: (I,) INR in dB at which the bound at MAIN is one half.
        delay, overlap: (I,), NaN if there is none. opened: (I,) an event opened at our detector's defaults.
        n_skipped: anomalies that could not be injected.
    """

    units: list[str]
    calibrated_by: list[str]
    trained_on: np.ndarray
    hours: np.ndarray
    events: np.ndarray
    kept: dict[str, np.ndarray]
    kept_unit: np.ndarray
    clean: dict[str, np.ndarray]
    clean_unit: np.ndarray
    flagged: np.ndarray
    unit: np.ndarray
    kind: np.ndarray
    inr_db: np.ndarray
    window: dict[str, np.ndarray]
    single: dict[str, np.ndarray]
    bound: dict[float, np.ndarray]
    bound_single: np.ndarray
    bound_half: np.ndarray
    delay: np.ndarray
    overlap: np.ndarray
    opened: np.ndarray
    n_skipped: int

    @classmethod
    def join(cls, parts: list[Trials]) -> Trials:
        """Trials of several units as one."""
        out = {}
        for name in (f.name for f in fields(cls)):
            values = [getattr(p, name) for p in parts]
            if name in ("kept_unit", "clean_unit", "unit"):
                sizes = np.cumsum([0, *(len(p.units) for p in parts)])
                values = [v + s for v, s in zip(values, sizes, strict=False)]
            if isinstance(values[0], dict):
                out[name] = {key: np.concatenate([v[key] for v in values]) for key in values[0]}
            elif isinstance(values[0], list):
                out[name] = [one for v in values for one in v]
            else:
                out[name] = np.concatenate(values) if isinstance(values[0], np.ndarray) else sum(values)
        return cls(**out)


def figures(trials: Trials, *, draws: int = 1000, seed: int = 0) -> dict:
    """All figures of all detectors.

    Returns:
        Figures of our detector by their names, `baselines` with the same for each, `bound`, and what they were measured on.
        Values are {mean, low, high}; `pd_at_far` and others that need a threshold may be {mean: None, reason}. `per_type`
        compares each kind's probability of detection at 1 % with that of the best baseline and of the bound, and the INR at
        which each detects half (for the bound: the median of the INRs that its windows need).
    """
    judges = {name: _Judge(trials, name, _Bootstrap(len(trials.units), draws, seed)) for name in trials.clean}
    ours, rest = judges[OURS], {name: judge for name, judge in judges.items() if name != OURS}
    bootstrap, kinds = ours.bootstrap, list(dict.fromkeys(trials.kind))
    detected = ours.hits(MAIN)
    shown = np.ones(len(trials.unit), bool) if detected is None else detected
    flagged, events = np.mean(trials.flagged, axis=1), bootstrap.ratio(trials.events, trials.hours)
    bound = {rate: bootstrap.balanced(values, trials.unit, trials.kind) for rate, values in trials.bound.items()}
    return {
        **ours.summary(),
        "false_events_per_hour": events | {"events": int(trials.events.sum()), "hours": round(float(trials.hours.sum()), 4)},
        "event_pd": bootstrap.balanced(trials.opened, trials.unit, trials.kind),
        "realised_far_per_frame": bootstrap.mean(flagged, trials.clean_unit),
        "delay_frames": bootstrap.mean(np.where(shown, trials.delay, np.nan), trials.unit),
        "localisation_iou": bootstrap.mean(np.where(shown, trials.overlap, np.nan), trials.unit),
        "per_type": {kind: _per_type(kind, trials, ours, rest) for kind in kinds},
        "per_inr": _per_inr(trials, ours, rest, np.ones(len(trials.kind), bool)),
        "baselines": {name: judge.summary() | {"per_type": {k: judge.pd(MAIN, trials.kind == k) for k in kinds}}
                      for name, judge in rest.items()},
        "bound": {"pd_at_far": {f"{rate:g}": value for rate, value in bound.items()},
                  "single_frame_pd": {f"{MAIN:g}": bootstrap.balanced(trials.bound_single, trials.unit, trials.kind)},
                  "per_type": {k: bootstrap.balanced(trials.bound[MAIN][trials.kind == k], trials.unit[trials.kind == k])
                               for k in kinds}},
        "measured_on": {"units": len(trials.units), "kept_windows": len(trials.kept_unit),
                        "clean_windows": len(trials.clean_unit), "anomalies": len(trials.unit),
                        "not_injectable": trials.n_skipped, "trained_on": int(trials.trained_on.sum()),
                        "calibrated_by": {by: trials.calibrated_by.count(by) for by in dict.fromkeys(trials.calibrated_by)}},
        "pd_not_trained_on": _not_trained_on(trials, ours),
    }


class _Judge:
    """One detector: thresholds of each unit, hits, summaries."""

    def __init__(self, trials: Trials, name: str, bootstrap: _Bootstrap):
        self.trials, self.name, self.bootstrap = trials, name, bootstrap
        self._clean = trials.clean[name].max(axis=1)  # (W,)
        self._window, self._single = trials.window[name], trials.single[name]
        self._known: dict[tuple[float, bool], np.ndarray | None] = {}

    def hits(self, rate: float) -> np.ndarray | None:
        """(I,) bool; None if there are too few clean windows."""
        thresholds = self._thresholds(rate)
        return None if thresholds is None else self._window > thresholds[self.trials.unit]

    def pd(self, rate: float, among: np.ndarray | None = None) -> dict:
        """Probability of detection per window, kinds with equal weight."""
        hits = self.hits(rate)
        if hits is None:
            return self._reason(rate)
        among = np.ones(len(hits), bool) if among is None else among
        return self.bootstrap.balanced(hits[among], self.trials.unit[among], self.trials.kind[among])

    def single_frame_pd(self, rate: float, among: np.ndarray | None = None) -> dict:
        """Probability of detection of one frame, threshold per frame."""
        trials = self.trials
        thresholds = self._thresholds(rate, frames=True)
        if thresholds is None:
            return self._reason(rate, "frames")
        among = np.ones(len(trials.unit), bool) if among is None else among
        hits = self._single > thresholds[trials.unit]
        return self.bootstrap.balanced(hits[among], trials.unit[among], trials.kind[among])

    def realised_far(self, rate: float) -> dict:
        """Share of clean windows over the threshold."""
        thresholds = self._thresholds(rate)
        if thresholds is None:
            return self._reason(rate)
        return self.bootstrap.mean(self._clean > thresholds[self.trials.clean_unit], self.trials.clean_unit)

    def auc(self, among: np.ndarray | None = None) -> dict:
        """Probability that a window with an anomaly scores higher than a clean one."""
        among = np.ones(len(self.trials.unit), bool) if among is None else among
        return self.bootstrap.auc(self._clean, self.trials.clean_unit, self._window[among], self.trials.unit[among])

    def f1(self) -> dict:
        """F1 if PREVALENCE of the windows hold an anomaly, at the threshold that is best on all other units."""
        trials = self.trials
        best = np.full(len(trials.units), np.inf)
        for unit in range(len(trials.units)):
            clean, window = np.sort(self._clean[trials.clean_unit != unit]), np.sort(self._window[trials.unit != unit])
            if not len(clean) or not len(window):
                return {"mean": None, "reason": "one unit alone; the threshold is chosen on others"}
            exceed = lambda values, at: 1.0 - np.searchsorted(values, at, side="right") / len(values)  # noqa: E731
            best[unit] = clean[np.argmax(_f1(exceed(window, clean), exceed(clean, clean)))]
        hits, false = self._window > best[trials.unit], self._clean > best[trials.clean_unit]
        pd = self.bootstrap.balanced_draws(hits, trials.unit, trials.kind)
        far = self.bootstrap.mean_draws(false, trials.clean_unit)
        return _interval(_f1(pd, far)) | {"pd": round(float(pd[0]), 4), "far": round(float(far[0]), 4)}

    def summary(self) -> dict:
        """The figures that every detector has."""
        return {"pd_at_far": {f"{r:g}": self.pd(r) for r in RATES},
                "single_frame_pd": {f"{r:g}": self.single_frame_pd(r) for r in RATES},
                "auc": self.auc(), "f1_at_5pct": self.f1(), "realised_far": {f"{r:g}": self.realised_far(r) for r in RATES}}

    def _thresholds(self, rate: float, frames: bool = False) -> np.ndarray | None:
        """Thresholds (U,) of windows, or of frames; None if a unit has none."""
        if (rate, frames) not in self._known:
            self._known[rate, frames] = self._find_thresholds(rate, frames)
        return self._known[rate, frames]

    def _find_thresholds(self, rate: float, frames: bool) -> np.ndarray | None:
        trials = self.trials
        scores = np.concatenate((trials.kept[self.name], trials.clean[self.name]))
        unit = np.concatenate((trials.kept_unit, trials.clean_unit))
        kept = np.arange(len(scores)) < len(trials.kept_unit)
        values = (lambda rows: scores[rows].ravel()) if frames else (lambda rows: scores[rows].max(axis=1, initial=-np.inf))
        found = []
        for one in range(len(trials.units)):
            own = conformal(values(kept & (unit == one)), rate)
            found.append(conformal(values(unit != one), rate) if own is None else own)
        return None if None in found else np.array(found)

    def _reason(self, rate: float, what: str = "windows") -> dict:
        """The reason that stands in place of a figure."""
        trials, needed = self.trials, math.ceil(1 / rate - 1e-9) - 1
        count = (len(trials.kept_unit) + len(trials.clean_unit)) * (trials.clean[self.name].shape[1] if what == "frames" else 1)
        return {"mean": None, "low": None, "high": None,
                "reason": f"{count} clean {what} in {len(trials.units)} scenes or recordings; a rate of {rate:g} needs {needed} "
                          "that one has kept, or that the others have"}


def hits(trials: Trials, rate: float = MAIN) -> dict[str, np.ndarray]:
    """Name of each detector -> (I,) bool, whether it finds the anomaly of each window at this false-alarm rate per window.

    Raises:
        ValueError: too few clean windows for the rate.
    """
    found = {name: _Judge(trials, name, _Bootstrap(len(trials.units), 0, 0)).hits(rate) for name in trials.clean}
    if any(of_windows is None for of_windows in found.values()):
        raise ValueError(f"too few clean windows for a false-alarm rate of {rate:g}")
    return found


def conformal(scores: np.ndarray, rate: float) -> float | None:
    """The score that a clean one exceeds with a probability of `rate` or less; None if there are too few."""
    rank = math.ceil((len(scores) + 1) * (1.0 - rate) - 1e-9)
    return None if rank > len(scores) else float(np.sort(scores)[rank - 1])


def half_inr(inr_db: np.ndarray, detected: np.ndarray) -> float | None:
    """The INR in dB at which half is detected, by the logistic curve of greatest likelihood; None outside the INRs measured.

    `detected` (I,) may be probabilities.
    """
    if not len(inr_db):
        return None
    centre = np.arange(inr_db.min() - 10.0, inr_db.max() + 10.0, 0.1)
    best, place = -np.inf, None
    for slope in (0.15, 0.3, 0.6, 1.2, 2.4):
        argument = slope * (inr_db[:, None] - centre)
        likelihood = np.sum(detected[:, None] * argument - np.logaddexp(0.0, argument), axis=0)
        if likelihood.max() > best:
            best, place = likelihood.max(), centre[likelihood.argmax()]
    return round(float(place), 2) if inr_db.min() <= place <= inr_db.max() else None


def _per_type(kind: str, trials: Trials, ours: _Judge, rest: dict[str, _Judge]) -> dict:
    mine = trials.kind == kind
    out = {"n": int(mine.sum()), "pd": ours.pd(MAIN, mine), "single_frame_pd": ours.single_frame_pd(MAIN, mine),
           "auc": ours.auc(mine), "per_inr": _per_inr(trials, ours, rest, mine),
           "bound": round(float(trials.bound[MAIN][mine].mean()), 4),
           "bound_single_frame": round(float(trials.bound_single[mine].mean()), 4),
           "bound_inr_at_half_db": round(float(np.median(trials.bound_half[mine])), 2),
           "best_baseline": None, "inr_at_half_db": None}
    hits = ours.hits(MAIN)
    if hits is None:
        return out
    best = max(rest, key=lambda name: rest[name].pd(MAIN, mine)["mean"], default=None)
    out["inr_at_half_db"] = half_inr(trials.inr_db[mine], hits[mine])
    if best is not None:
        theirs = rest[best].hits(MAIN)
        at = half_inr(trials.inr_db[mine], theirs[mine])
        gain = None if at is None or out["inr_at_half_db"] is None else round(at - out["inr_at_half_db"], 2)
        difference = hits[mine].astype(float) - theirs[mine]
        out["best_baseline"] = {"name": best, "pd": rest[best].pd(MAIN, mine), "inr_at_half_db": at, "advantage_db": gain,
                                "pd_difference": ours.bootstrap.balanced(difference, trials.unit[mine])}
    return out


def _per_inr(trials: Trials, ours: _Judge, rest: dict[str, _Judge], among: np.ndarray) -> dict:
    """INR range -> probability of detection at 1 % of ours, of each baseline and of the bound."""
    out = {}
    for low, high in zip(INR_EDGES[:-1], INR_EDGES[1:], strict=True):
        rows = among & (trials.inr_db >= low) & ((trials.inr_db < high) | (high == INR_EDGES[-1]))
        if not rows.any():
            continue
        share = lambda values: None if values is None else round(float(np.mean(values[rows])), 4)  # noqa: E731, B023 (used at once)
        out[f"{low}-{high}"] = {
            "n": int(rows.sum()), "pd": ours.pd(MAIN, rows),
            "baselines": {name: share(judge.hits(MAIN)) for name, judge in rest.items()}, "bound": share(trials.bound[MAIN])}
    return out


def _not_trained_on(trials: Trials, ours: _Judge) -> dict | None:
    """Probability of detection on units that the model has not seen in training; None if it has seen none, or all."""
    fresh = ~trials.trained_on[trials.unit]
    return None if fresh.all() or not fresh.any() else ours.pd(MAIN, fresh)


def _f1(pd, far):
    positive, false = PREVALENCE * pd, (1.0 - PREVALENCE) * far
    return 2.0 * positive / (positive + false + PREVALENCE)


class _Bootstrap:
    """Draws of whole units with replacement; row 0 of every result is the data as it is."""

    def __init__(self, n_units: int, draws: int, seed: int):
        rng = np.random.default_rng([seed, 0xB007])
        drawn = rng.multinomial(n_units, np.full(n_units, 1.0 / n_units), draws)
        self._times = np.concatenate((np.ones((1, n_units)), drawn))

    def mean(self, values: np.ndarray, unit: np.ndarray) -> dict:
        """Mean of the values that are not NaN."""
        values = np.asarray(values, float)
        known = np.isfinite(values)
        return _interval(self.mean_draws(values[known], unit[known])) | {"n": int(known.sum())}

    def mean_draws(self, values: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """(1 + draws,), NaN where no unit with a value was drawn."""
        n_units = self._times.shape[1]
        total, count = np.bincount(unit, values, n_units), np.bincount(unit, minlength=n_units)
        with np.errstate(invalid="ignore"):
            return (self._times @ total) / (self._times @ count)

    def balanced(self, values: np.ndarray, unit: np.ndarray, kind: np.ndarray | None = None) -> dict:
        """Mean over kinds of the mean of each kind."""
        return _interval(self.balanced_draws(values, unit, kind)) | {"n": len(values)}

    def balanced_draws(self, values: np.ndarray, unit: np.ndarray, kind: np.ndarray | None = None) -> np.ndarray:
        if kind is None:
            return self.mean_draws(np.asarray(values, float), unit)
        rows = [self.mean_draws(np.asarray(values, float)[kind == k], unit[kind == k]) for k in dict.fromkeys(kind)]
        if not rows:
            return np.full(len(self._times), np.nan)
        rows = np.array(rows)
        seen = np.isfinite(rows)
        return np.where(seen, rows, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)

    def ratio(self, events: np.ndarray, time: np.ndarray) -> dict:
        """Sum of events over sum of time, both (U,)."""
        return _interval((self._times @ events) / np.maximum(self._times @ time, 1e-12))

    def auc(self, clean: np.ndarray, clean_unit: np.ndarray, window: np.ndarray, unit: np.ndarray) -> dict:
        scores = np.concatenate((clean, window))
        levels, place = np.unique(scores, return_inverse=True)
        values = np.empty(len(self._times))
        for draw, times in enumerate(self._times):
            low = np.bincount(place[:len(clean)], times[clean_unit], len(levels))
            high = np.bincount(place[len(clean):], times[unit], len(levels))
            whole = low.sum() * high.sum()
            values[draw] = np.dot(high, np.cumsum(low) - 0.5 * low) / whole if whole else np.nan
        return _interval(values)


def _interval(values: np.ndarray) -> dict:
    """Row 0 and the 95 % interval of the others; None if there is nothing."""
    if not np.isfinite(values[0]):
        return {"mean": None, "low": None, "high": None}
    drawn = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(drawn, LEVEL) if len(drawn) else (values[0], values[0])
    return {"mean": round(float(values[0]), 4), "low": round(float(low), 4), "high": round(float(high), 4)}
