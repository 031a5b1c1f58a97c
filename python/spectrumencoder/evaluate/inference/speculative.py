# SPDX-License-Identifier: GPL-3.0-or-later
"""The speculative ensemble against `large` alone: what it loses, how often `fast` suffices, how much faster it is.

Accuracy is counted on every frame, for each threshold of the confidence: the answers are those the ensemble gives, bit for bit,
since neither model's numbers depend on which frames are refined. Times are measured at every threshold, one frame a call and in
batches, interleaved with `large` on the same frames.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ...encoder import features
from ...encoder.engine import Engine
from ...encoder.ensemble import CONFIDENCE_THRESHOLD, SpeculativeEngine, open_engine
from ...measure.page import markdown_table, paragraph, with_origin
from ...measure.provenance import commit
from ...measure.timing import clock_of, interleaved, machine, speed_up
from ...training.temperature import calibration_error, fit_temperature
from .held_out import Frames, encoded_features, frames_of
from .windows import bootstrap

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
SINGLES, BATCHES, BATCH = 400, 24, 64  # timed: calls of one frame, calls of a batch, frames of a batch
TITLE = "Speculative ensemble: accuracy lost and speed gained"
QUICK = {"max_windows": 200, "singles": 12, "batches": 3, "batch": 32}


def speculative(models: list[str], *, pool: Path | None = None, corpus: Path | None = None, condition: str = "equalised",
                thresholds: tuple[float, ...] = THRESHOLDS, dropout_rate: float = 0.25, dtype: str = "fp32", threads: int = 1,
                max_windows: int | None = None, seed: int = 0, quick: bool = False,
                progress: Callable[[str, int, int], None] = lambda what, done, total: None) -> dict:
    """Judges and times an ensemble.

    Args:
        models: `speculative` or `speculative:FAST,LARGE`; several (the folds) are judged together, each on what it was not
            trained on, and the first is timed.
        pool, corpus, condition, max_windows, seed: see `held_out.frames_of`; `max_windows` holds for each of the models.
        thresholds: of the confidence; the default 0.8 is always among them.
        quick: few frames and few calls: for tests.
        progress: called with (what, done, total).

    Returns:
        `models` (fast, large: accuracy, balanced accuracy, calibration error), `thresholds` (one row each: accepted share,
        accuracy, points lost to `large` with their 95 % interval over recordings, times and speed-ups), n_frames, n_recordings,
        and how it was run.

    Raises:
        ValueError: not an ensemble, a threshold outside [0, 1], no frames named. CorpusError, ModelError: they cannot be used.
    """
    amounts = {"max_windows": max_windows, "singles": SINGLES, "batches": BATCHES, "batch": BATCH} | (QUICK if quick else {})
    thresholds = tuple(sorted({*thresholds, CONFIDENCE_THRESHOLD}))
    settings = dict(dropout_rate=dropout_rate, dtype=dtype, threads=threads)
    parts = []
    for number, model in enumerate(models):
        engine = _ensemble(model, **settings)
        frames = frames_of(engine, pool=pool, corpus=corpus, condition=condition, max_windows=amounts["max_windows"], seed=seed)
        parts.append(_answers(engine, frames, lambda done, total, n=number: progress(f"model {n + 1}", done, total)))
        if number == 0:
            timed, layout = frames.sample(amounts["singles"] + amounts["batches"] * amounts["batch"],
                                          np.random.default_rng(seed)), engine
    label, recording, fast, large, *raw = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    times = _times(models[0], timed, thresholds, amounts, settings, progress)
    rows = [_row(t, label, recording, fast, large, seed) | {way: times[way][t] for way in times} for t in thresholds]
    pairs = ((layout, fast, raw[0]), (layout.large, large, raw[1]))
    return {"models": [_alone(engine.file.name, p, logits, label, recording) for engine, p, logits in pairs],
            "thresholds": rows, "n_frames": len(label), "n_recordings": len(np.unique(recording)),
            "ensemble": list(models), "frames": "augmented windows" if pool else f"recordings, {condition}",
            "dropout_rate": layout.dropout_rate, "dtype": dtype, "batch": amounts["batch"], "pad_batch": layout.pad_batch,
            "refine_batch": layout.large.pad_batch, "quick": quick, "seed": seed,
            "clock": clock_of(str(layout.device), threads), "machine": machine(), "commit": commit()}


def _ensemble(model: str, **settings) -> SpeculativeEngine:
    engine = open_engine(model, confidence_threshold=0.0, **settings)
    if not isinstance(engine, SpeculativeEngine):
        raise ValueError(f"model {model!r} is one model alone; name two: speculative, or speculative:FAST,LARGE")
    return engine


def _answers(engine: SpeculativeEngine, frames: Frames, progress):
    """label (F,), recording (F,); of fast and of large class probabilities (F, C), as the ensemble would give them; of both the
    logits before their temperature (F, C), up to a constant of each frame."""
    count, n = len(frames), len(engine.labels)
    first = encoded_features(engine, frames, lambda done, total: progress(done, 2 * count))
    second = encoded_features(engine.large, frames, lambda done, total: progress(count + done, 2 * count))
    fast, large = (rows[:, features.PROBABILITIES][:, :n] for rows in (first, second))
    return (frames.label, frames.recording, fast, large, _log(fast) * engine.temperature, _log(large) * engine.large.temperature)


def _alone(name: str, p: np.ndarray, logits: np.ndarray, label: np.ndarray, recording: np.ndarray) -> dict:
    """One model's figures. Calibration error: ece_before without its temperature, ece with it, ece_cross_fitted with one that
    was fitted on other recordings of these."""
    _, source = np.unique(recording, return_inverse=True)
    fitted = fit_temperature(*(torch.from_numpy(x) for x in (logits, label.astype(np.int64), source)))
    return {"name": name, "accuracy": round(float(np.mean(p.argmax(1) == label)), 4),
            "balanced_accuracy": round(_balanced(p, label), 4), "ece_before": round(fitted.ece_before, 4),
            "ece": round(_ece(p, label), 4), "ece_cross_fitted": round(fitted.ece_after, 4)}


def _log(p: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(p, np.float32(1e-30)))


def _ece(p: np.ndarray, label: np.ndarray) -> float:
    return calibration_error(torch.from_numpy(_log(p)), torch.from_numpy(label).long())


def _balanced(p: np.ndarray, label: np.ndarray) -> float:
    right = p.argmax(1) == label
    return float(np.mean([right[label == c].mean() for c in np.unique(label)]))


def _row(threshold: float, label, recording, fast, large, seed) -> dict:
    """Accuracy of the ensemble at one threshold and what it loses to large, paired, in points of 100."""
    refined = fast.max(axis=1) < np.float32(threshold)
    p = np.where(refined[:, None], large, fast)
    lost = 100.0 * ((large.argmax(1) == label).astype(float) - (p.argmax(1) == label))
    return {"threshold": threshold, "accepted": round(float(1 - refined.mean()), 4),
            "accuracy": round(float(np.mean(p.argmax(1) == label)), 4), "balanced_accuracy": round(_balanced(p, label), 4),
            "ece": round(_ece(p, label), 4), "points_lost": round(float(lost.mean()), 3),
            "points_lost_interval": [round(q, 3) for q in bootstrap(lost, recording, seed)],
            "balanced_points_lost": round(100 * (_balanced(large, label) - _balanced(p, label)), 3)}


def _times(model: str, frames: Frames, thresholds, amounts, settings, progress) -> dict[str, dict[float, dict]]:
    """one_by_one, in_batches -> threshold -> speed-up over large alone."""
    singles, size = min(amounts["singles"], len(frames)), amounts["batch"]
    n_batches = min(amounts["batches"], (len(frames) - singles) // size)
    out = {}
    for way, pad, start, count, step in (("one_by_one", 1, 0, singles, 1), ("in_batches", 16, singles, n_batches, size)):
        if not count:
            continue
        ensemble = _ensemble(model, pad_batch=pad, **settings)
        alone = Engine(ensemble.large.file, pad_batch=pad, **settings)

        def items(index, start=start, step=step):
            part = slice(start + index * step, start + (index + 1) * step)
            return frames.items[part], frames.band[part]

        def refine(index, threshold, ensemble=ensemble, items=items):
            ensemble.set_confidence_threshold(threshold)
            return ensemble.encode(*items(index))

        calls = {"large": lambda index, alone=alone, items=items: alone.encode(*items(index))}
        calls |= {t: lambda index, t=t, refine=refine: refine(index, t) for t in thresholds}
        seconds = interleaved(calls, count, progress=lambda done, total, way=way: progress(way.replace("_", " "), done, total))
        clock = clock_of(str(alone.device), settings["threads"])
        out[way] = {t: {"n_calls": count, **speed_up(seconds[t], seconds["large"], clock, step)} for t in thresholds}
    return out


def report(result: dict, command: str = "", picture: str = "") -> str:
    """The figures as Markdown, with picture and command."""
    return with_origin(table(result), result, command, picture, TITLE)


def table(result: dict) -> str:
    """The models alone, accuracy and speed by threshold, as Markdown."""
    fast, large = result["models"]
    run = result["machine"]
    default = next(r for r in result["thresholds"] if r["threshold"] == CONFIDENCE_THRESHOLD)
    alone = [[row["name"], _percent(row["accuracy"]), _percent(row["balanced_accuracy"]), f"{row['ece_before']:.3f}",
              f"{row['ece']:.3f}", f"{row['ece_cross_fitted']:.3f}"] for row in (fast, large)]
    rows, speed = [], []
    for row in result["thresholds"]:
        low, high = row["points_lost_interval"]
        rows.append([f"{row['threshold']:g}", _percent(row["accepted"]), _percent(row["accuracy"]),
                     _percent(row["balanced_accuracy"]), f"{row['ece']:.3f}",
                     f"{row['points_lost']:+.2f} ({low:+.2f} to {high:+.2f})"])
        speed.append([f"{row['threshold']:g}", *(_speed_up(row.get(way), kind) for way in ("one_by_one", "in_batches")
                                                 for kind in ("mean", "median"))])
    return "\n".join([paragraph(
        f"{result['n_frames']} frames ({result['frames']}) of {result['n_recordings']} recordings that training did not see, r "
        f"= {result['dropout_rate']:g}, {result['dtype']}. The models alone; ECE is the calibration error without the "
        "temperature, with it, and with one fitted on other recordings:") + "\n",
        markdown_table(["model", "accuracy", "balanced", "ECE without temperature", "with", "with one of other recordings"],
                       alone),
        paragraph(f"*accepted*: frames that `{fast['name']}` answers. *points lost*: accuracy of `{large['name']}` minus that of "
                  "the ensemble on the same frames, in points of 100, with its 95 % interval (bootstrap over "
                  "recordings).") + "\n",
        markdown_table(["threshold", "accepted", "accuracy", "balanced", "ECE", "points lost"], rows),
        paragraph(f"Speed-up over `{large['name']}` alone, interleaved on the same frames in one run ({run['cpu']}, "
                  f"{run['threads']} thread, {result['clock']}), one by one and in batches of {result['batch']} frames a call. "
                  "The mean is the ratio of the total times, the median that of the medians.") + "\n",
        markdown_table(["threshold", "one by one: mean", "median", "in batches: mean", "median"], speed),
        paragraph(f"At the default threshold of {CONFIDENCE_THRESHOLD:g} `{fast['name']}` answers "
                  f"{_percent(default['accepted'])} of the frames. `{fast['name']}` alone would lose "
                  f"{100 * (large['accuracy'] - fast['accuracy']):.2f} points.")]) + "\n"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _speed_up(row: dict | None, kind: str) -> str:
    if row is None:
        return "-"
    low, high = row[f"{kind}_speed_up_interval"]
    return f"{row[f'{kind}_speed_up']:.2f} ({low:.2f} to {high:.2f})"


def draw(result: dict, path: Path) -> None:
    """Points lost and speed-up against the threshold, as PNG."""
    from ...measure.plots import figure, finish

    rows = result["thresholds"]
    x = [r["threshold"] for r in rows]
    fig, (left, right) = figure(2)
    lost = [r["points_lost"] for r in rows]
    spread = [[r["points_lost"] - r["points_lost_interval"][0] for r in rows],
              [r["points_lost_interval"][1] - r["points_lost"] for r in rows]]
    left.errorbar(x, lost, yerr=spread, marker="o", capsize=3, label="points lost to large (95 %)")
    left.axhline(0.2, color="0.5", linestyle=":", label="0.2 points")
    left.set(xlabel="confidence threshold", ylabel="accuracy lost, points of 100", title="What it costs")
    share = left.twinx()
    share.plot(x, [100 * r["accepted"] for r in rows], color="C2", marker="s", label="answered by fast")
    share.set(ylabel="answered by fast, %", ylim=(0, 100))
    handles = [h for axis in (left, share) for h in axis.get_legend_handles_labels()[0]]
    left.legend(handles=handles, fontsize=8, loc="best")
    for way, colour in (("one_by_one", "C0"), ("in_batches", "C1")):
        if way in rows[0]:
            for kind, style in (("mean", "-"), ("median", "--")):
                right.plot(x, [r[way][f"{kind}_speed_up"] for r in rows], style, color=colour, marker="o", markersize=4,
                           label=f"{way.replace('_', ' ')}, {kind}")
    right.axhline(2.0, color="0.5", linestyle=":")
    right.axvline(CONFIDENCE_THRESHOLD, color="0.8")
    right.set(xlabel="confidence threshold", ylabel="speed-up over large", title="What it gains", ylim=(0, None))
    right.legend(fontsize=8)
    finish(fig, path)
