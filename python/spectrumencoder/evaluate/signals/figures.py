# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of found boxes: average precision, recall, classes, open set, calibration. Intervals are by bootstrap over scenes.

A *pair* is a found box and the true box that it has, in frequency, in any stretch; it counts once however long it lasts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...encoder.token_classes import UNKNOWN_SIGNAL
from .boxes import FoundBox
from .matching import Match, average_precision, stretches, whole
from .scenes import Scene, TrueBox

DRAWS = 400
GOAL_SNR_DB, GOAL_BINS = 6.0, 4.0  # from which on recall is asked for
SNR_EDGES = (0.0, 3.0, 6.0, 10.0, 15.0, 20.0, 30.0)
WIDTH_EDGES = (0.0, 4.0, 16.0, 64.0, 256.0, 1024.0)
CALIBRATION_BINS = 10
_SHOWN = 12  # confusions, and sources


class Ranked(NamedTuple):
    """Found boxes of a scene: score (P,), whether right (P,); number of true boxes."""

    score: np.ndarray
    right: np.ndarray
    n_true: int


class Counted(NamedTuple):
    """A scene, counted: see ``summary``."""

    in_frequency: Ranked
    in_time: Ranked
    of_class: dict[str, Ranked]
    of_class_in_time: dict[str, Ranked]
    seen: list[tuple[TrueBox, bool]]  # true box of a stretch, whether found
    pairs: list[tuple[FoundBox, TrueBox]]
    sure: list[tuple[float, bool]]  # confidence of a found box, whether place and class are right


def summary(rows: Sequence[tuple[list[FoundBox], Scene]], seed: int = 0) -> dict:
    """Figures of one system on some scenes; {mean, low, high} have a 95 % interval."""
    scenes = [counted(boxes, scene) for boxes, scene in rows]
    draws = _draws(len(scenes), seed)
    known = [s for s in _classes(scenes) if s != UNKNOWN_SIGNAL]
    pairs = [pair for scene in scenes for pair in scene.pairs]
    named = [(found.label, true.label) for found, true in pairs if true.label != UNKNOWN_SIGNAL]
    return {
        "ap_frequency": _interval(scenes, draws, lambda chosen: _pooled([s.in_frequency for s in chosen])),
        "ap_time_frequency": _interval(scenes, draws, lambda chosen: _pooled([s.in_time for s in chosen])),
        "ap_per_class": {c: _pooled([s.of_class[c] for s in scenes if c in s.of_class]) for c in _classes(scenes)},
        "map_frequency": _interval(scenes, draws, lambda chosen: _mean_ap([s.of_class for s in chosen], known)),
        "map_time_frequency": _interval(scenes, draws, lambda chosen: _mean_ap([s.of_class_in_time for s in chosen], known)),
        "recall": _interval(scenes, draws, _recall),
        "recall_goal": _interval(scenes, draws, lambda chosen: _recall(chosen, goal=True)),
        "recall_by_snr": _by([(true.snr_db, hit) for s in scenes for true, hit in s.seen if true.width >= GOAL_BINS], SNR_EDGES),
        "recall_by_width": _by([(true.width, hit) for s in scenes for true, hit in s.seen if true.snr_db >= GOAL_SNR_DB],
                               WIDTH_EDGES),
        "recall_per_class": {c: _share([hit for s in scenes for true, hit in s.seen if true.label == c])
                             for c in _classes(scenes)},
        "accuracy": _interval(scenes, draws, lambda chosen: _accuracy(chosen)),
        "balanced_accuracy": _interval(scenes, draws, lambda chosen: _accuracy(chosen, balanced=True)),
        "accuracy_by_snr": _by([(true.snr_db, found.label == true.label) for found, true in pairs
                                if true.label != UNKNOWN_SIGNAL], SNR_EDGES),
        "class_recall": {c: _share([a == b for a, b in named if b == c]) for c in known},
        "confusions": [[true, found, count] for (true, found), count in Counter(
            (true, found) for found, true in named if found != true).most_common(_SHOWN)],
        "worst_sources": _worst(pairs),
        "unknown_auroc": _interval(scenes, draws, _auroc),
        "unknown_called_unknown": _share([found.label == UNKNOWN_SIGNAL for found, true in pairs
                                          if true.label == UNKNOWN_SIGNAL]),
        "calibration_error": _interval(scenes, draws, _calibration),
        "found": sum(len(s.in_time.score) for s in scenes), "true": sum(s.in_time.n_true for s in scenes),
        "pairs": len(pairs), "pairs_of_known": len(named)}


def counted(boxes: list[FoundBox], scene: Scene) -> Counted:
    """What the figures need of one scene."""
    parts = stretches(boxes, scene.truth, len(scene.items))
    entire = whole(boxes, scene.truth)
    labels = {box.label for box in scene.truth} | {box.label for box in boxes}
    mine = {c: [box for box in boxes if box.label == c] for c in labels}
    its = {c: [box for box in scene.truth if box.label == c] for c in labels}
    pairs: dict[tuple[int, int], tuple[FoundBox, TrueBox]] = {}
    for part in parts:
        for found, partner in zip(part.found, part.partner, strict=True):
            if partner >= 0:
                true = part.true[partner]
                pairs[id(found), hash(true)] = (found, true)
    right = defaultdict(bool)
    for found, true in pairs.values():
        right[id(found)] |= found.label == true.label
    hidden = {id(box) for part in parts for box in part.found}
    return Counted(
        _ranked(parts), _ranked([entire]),
        {c: _ranked(stretches(mine[c], its[c], len(scene.items))) for c in labels},
        {c: _ranked([whole(mine[c], its[c])]) for c in labels},
        [(true, number in set(part.partner)) for part in parts for number, true in enumerate(part.true)],
        list(pairs.values()), [(box.confidence, right[id(box)]) for box in boxes if id(box) in hidden])


def paired(rows: dict[str, list[tuple[list[FoundBox], Scene]]], seed: int = 0) -> dict:
    """Differences of the first system to the others, on the same scenes: {name: {figure: {mean, low, high}}}."""
    first, *others = rows
    out = {}
    base = [counted(boxes, scene) for boxes, scene in rows[first]]
    for name in others:
        other = [counted(boxes, scene) for boxes, scene in rows[name]]
        both, draws = list(zip(base, other, strict=True)), _draws(len(base), seed)
        known = [c for c in _classes(base) if c != UNKNOWN_SIGNAL]

        def difference(chosen, figure):
            return figure([a for a, _ in chosen]) - figure([b for _, b in chosen])

        figures = {"ap_frequency": lambda s: _pooled([x.in_frequency for x in s]),
                   "map_frequency": lambda s, known=known: _mean_ap([x.of_class for x in s], known),
                   "accuracy": _accuracy, "balanced_accuracy": lambda s: _accuracy(s, balanced=True), "unknown_auroc": _auroc}
        out[name] = {key: _interval(both, draws, lambda chosen, figure=figure: difference(chosen, figure))
                     for key, figure in figures.items()}
    return out


def _classes(scenes: Sequence[Counted]) -> list[str]:
    """Classes of true boxes."""
    return sorted({true.label for scene in scenes for true, _ in scene.seen})


def _ranked(parts: Sequence[Match]) -> Ranked:
    score = np.array([box.score for part in parts for box in part.found])
    right = np.array([partner >= 0 for part in parts for partner in part.partner], bool)
    return Ranked(score, right, sum(len(part.true) for part in parts))


def _pooled(parts: Sequence[Ranked]) -> float:
    if not parts:
        return float("nan")
    return average_precision(np.concatenate([p.score for p in parts]), np.concatenate([p.right for p in parts]),
                             sum(p.n_true for p in parts))


def _mean_ap(scenes: Sequence[dict[str, Ranked]], labels: Sequence[str]) -> float:
    values = [_pooled([scene[c] for scene in scenes if c in scene]) for c in labels]
    values = [value for value in values if np.isfinite(value)]
    return float(np.mean(values)) if values else float("nan")


def _recall(scenes: Sequence[Counted], goal: bool = False) -> float:
    hits = [hit for s in scenes for true, hit in s.seen
            if not goal or (true.snr_db >= GOAL_SNR_DB and true.width >= GOAL_BINS)]
    return float(np.mean(hits)) if hits else float("nan")


def _accuracy(scenes: Sequence[Counted], balanced: bool = False) -> float:
    """Share of the pairs of known classes whose class is right; balanced: the mean over the classes."""
    right = defaultdict(list)
    for scene in scenes:
        for found, true in scene.pairs:
            if true.label != UNKNOWN_SIGNAL:
                right[true.label].append(found.label == true.label)
    if not right:
        return float("nan")
    return float(np.mean([np.mean(x) for x in right.values()] if balanced else np.concatenate(list(right.values()))))


def _auroc(scenes: Sequence[Counted]) -> float:
    """Probability that a box of a known class is surer to be known than one of an unknown class (Mann-Whitney)."""
    known = np.array([f.known for s in scenes for f, t in s.pairs if t.label != UNKNOWN_SIGNAL])
    unknown = np.sort([f.known for s in scenes for f, t in s.pairs if t.label == UNKNOWN_SIGNAL])
    if not len(known) or not len(unknown):
        return float("nan")
    below = np.searchsorted(unknown, known, "left") + np.searchsorted(unknown, known, "right")
    return float(below.mean() / (2 * len(unknown)))


def _calibration(scenes: Sequence[Counted]) -> float:
    """Expected calibration error of the confidence that place and class are right (Guo et al. 2017, equation 3)."""
    sure = np.array([row for s in scenes for row in s.sure], float).reshape(-1, 2)
    if not len(sure):
        return float("nan")
    at = np.minimum((sure[:, 0] * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return float(sum(abs((sure[at == n, 0] - sure[at == n, 1]).sum()) for n in range(CALIBRATION_BINS)) / len(sure))


def _worst(pairs: Sequence[tuple[FoundBox, TrueBox]]) -> list[list]:
    """Recordings with the smallest share of right classes: [name, class, right, pairs]."""
    right = defaultdict(list)
    for found, true in pairs:
        if true.label != UNKNOWN_SIGNAL:
            right[true.source, true.label].append(found.label == true.label)
    rows = [[name, label, int(sum(hits)), len(hits)] for (name, label), hits in right.items() if not all(hits)]
    return sorted(rows, key=lambda row: (row[2] / row[3], -row[3]))[:_SHOWN]


def _by(values: Sequence[tuple[float, bool]], edges: Sequence[float]) -> list[dict]:
    """Share of hits by value: {low, high, share, count} for each class between edges."""
    out = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        hits = [hit for value, hit in values if low <= value < high]
        out.append({"low": low, "high": high, "share": _share(hits), "count": len(hits)})
    return out


def _share(hits: Sequence[bool]) -> float | None:
    return round(float(np.mean(hits)), 4) if len(hits) else None


def _draws(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 0xB0]).integers(0, max(count, 1), (DRAWS, count))


def _interval(scenes: Sequence, draws: np.ndarray, figure) -> dict | None:
    """{mean, low, high} of a figure; None if it is not defined."""
    value = figure(scenes)
    if not np.isfinite(value):
        return None
    drawn = [figure([scenes[n] for n in row]) for row in draws.tolist()]
    drawn = [v for v in drawn if np.isfinite(v)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if drawn else (value, value)
    return {"mean": round(float(value), 4), "low": round(float(low), 4), "high": round(float(high), 4)}
