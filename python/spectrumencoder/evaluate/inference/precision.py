# SPDX-License-Identifier: GPL-3.0-or-later
"""bf16 and int8 inference against fp32: accuracy and residual lost, speed gained, on the same frames in one run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...encoder import features
from ...encoder.engine import Engine
from ...encoder.features import DTYPES, FP32
from ...measure.page import markdown_table, paragraph, with_origin
from ...measure.provenance import commit
from ...measure.timing import clock_of, interleaved, machine, speed_up
from .held_out import CHUNK, Frames, frames_of
from .windows import bootstrap

TITLE = "Reduced precision: what bf16 and int8 lose and gain"
SINGLES, BATCHES, BATCH = 300, 30, 64
QUICK = {"max_windows": 150, "singles": 10, "batches": 3, "batch": 32}


def precision(model: str = "base", *, pool: Path | None = None, corpus: Path | None = None, condition: str = "equalised",
              dropout_rate: float = 0.25, compute: str = "cpu", runtime: str = "auto", threads: int = 1,
              max_windows: int | None = None, seed: int = 0, quick: bool = False,
              progress: Callable[[str, int, int], None] = lambda what, done, total: None) -> dict:
    """Measures every precision that runs here.

    Args:
        runtime: auto | native | torch, of all precisions.
        pool, corpus, condition, max_windows, seed: see `held_out.frames_of`. quick: few frames and few calls, for tests.

    Returns:
        `dtypes`: per precision accuracy, points lost (paired, with the 95 % interval over recordings), share of frames with the
        same label, root mean square of the residual's difference and of the residual itself, largest difference of a class
        probability and of a bin's residual, and times with the speed-up over fp32; `runtimes`: of each precision; `refused`:
        those that cannot run, with the reason.

    Raises:
        ValueError, CorpusError, ModelError: as `frames_of` and Engine.
    """
    amounts = {"max_windows": max_windows, "singles": SINGLES, "batches": BATCHES, "batch": BATCH} | (QUICK if quick else {})
    settings = dict(dropout_rate=dropout_rate, compute=compute, runtime=runtime, threads=threads)
    engines, refused = {}, {}
    for dtype in DTYPES:
        try:
            engines[dtype] = Engine(model, dtype=dtype, **settings)
        except ValueError as error:
            if dtype == FP32:
                raise
            refused[dtype] = str(error)
    exact = engines[FP32]
    frames = frames_of(exact, pool=pool, corpus=corpus, condition=condition, max_windows=amounts["max_windows"], seed=seed)
    rows = _losses(engines, frames, seed, progress)
    for way, values in _times(model, list(engines), frames, amounts, settings, seed, progress).items():
        for dtype in engines:
            rows[dtype][way] = values[dtype]
    return {"model": exact.model_name, "variant": exact.variant, "backend": exact.backend, "dtypes": rows, "refused": refused,
            "n_frames": len(frames), "n_recordings": len(np.unique(frames.recording)),
            "frames": "augmented windows" if pool else f"recordings, {condition}", "dropout_rate": exact.dropout_rate,
            "batch": amounts["batch"], "pad_batch": exact.pad_batch,
            "runtimes": {d: e.runtime for d, e in engines.items()}, "device": str(exact.device), "quick": quick, "seed": seed,
            "clock": clock_of(str(exact.device), threads), "threads": threads,
            "machine": machine(), "commit": commit()}


def _losses(engines: dict[str, Engine], frames: Frames, seed: int, progress) -> dict[str, dict]:
    n, count = len(engines[FP32].labels), len(frames)
    guess = {d: np.empty(count, int) for d in engines}
    sums = {d: np.zeros(2) for d in engines}  # squares of the residual's difference, and of the residual
    furthest, largest = dict.fromkeys(engines, 0.0), dict.fromkeys(engines, 0.0)
    for start in range(0, count, CHUNK):
        part = slice(start, start + CHUNK)
        encoded = {d: e.encode(frames.items[part], frames.band[part]) for d, e in engines.items()}
        probabilities = {d: e.features[:, features.PROBABILITIES][:, :n] for d, e in encoded.items()}
        for d, e in encoded.items():
            guess[d][part] = probabilities[d].argmax(axis=1)
            sums[d] += [np.sum((e.residual - encoded[FP32].residual) ** 2, dtype=float), np.sum(e.residual ** 2, dtype=float)]
            furthest[d] = max(furthest[d], float(np.abs(probabilities[d] - probabilities[FP32]).max()))
            largest[d] = max(largest[d], float(np.abs(e.residual - encoded[FP32].residual).max()))
        progress("frames", min(start + CHUNK, count), count)
    rows, values = {}, count * engines[FP32].n_bins
    for d in engines:
        right = guess[d] == frames.label
        lost = 100.0 * ((guess[FP32] == frames.label).astype(float) - right)
        rows[d] = {"accuracy": round(float(right.mean()), 4), "points_lost": round(float(lost.mean()), 3),
                   "points_lost_interval": [round(q, 3) for q in bootstrap(lost, frames.recording, seed)],
                   "same_label": round(float(np.mean(guess[d] == guess[FP32])), 5),
                   "residual_rms_difference": round(float(np.sqrt(sums[d][0] / values)), 5),
                   "residual_rms": round(float(np.sqrt(sums[d][1] / values)), 4),
                   "largest_probability_difference": round(furthest[d], 4), "largest_residual_difference": round(largest[d], 4)}
    return rows


def _times(model, dtypes, frames, amounts, settings, seed, progress) -> dict[str, dict[str, dict]]:
    """one_by_one, in_batches -> precision -> speed-up over fp32."""
    singles, size = min(amounts["singles"], len(frames)), amounts["batch"]
    ways = {"one_by_one": (1, singles, 1), "in_batches": (16, min(amounts["batches"], len(frames) // size), size)}
    sample, out = frames.sample(len(frames), np.random.default_rng(seed)), {}
    for way, (pad, count, step) in ways.items():
        if not count:
            continue
        calls = {}
        for dtype in dtypes:
            engine = Engine(model, dtype=dtype, pad_batch=pad, **settings)
            calls[dtype] = lambda i, engine=engine, step=step: engine.encode(sample.items[i * step:(i + 1) * step],
                                                                            sample.band[i * step:(i + 1) * step])
        seconds = interleaved(calls, count, progress=lambda done, total, way=way: progress(way.replace("_", " "), done, total))
        clock = clock_of(str(engine.device), settings["threads"])
        out[way] = {d: {"n_calls": count, **speed_up(seconds[d], seconds[FP32], clock, step)} for d in dtypes}
    return out


def report(result: dict, command: str = "", picture: str = "") -> str:
    """The figures as Markdown, with picture and command."""
    return with_origin(table(result), result, command, picture, TITLE)


def table(result: dict) -> str:
    """Accuracy and residual by precision, speed by precision, as Markdown."""
    run = result["machine"]
    accuracy, speed = [], []
    for dtype, row in result["dtypes"].items():
        low, high = row["points_lost_interval"]
        accuracy.append([dtype, f"{100 * row['accuracy']:.2f} %", f"{row['points_lost']:+.2f} ({low:+.2f} to {high:+.2f})",
                         f"{100 * row['same_label']:.2f} %", f"{row['residual_rms_difference']:.4f} ({row['residual_rms']:.2f})",
                         f"{row['largest_residual_difference']:.3f}"])
        speed.append([dtype, result["runtimes"][dtype], _faster(row.get("one_by_one")), _faster(row.get("in_batches"))])
    refused = "".join(f"\n{paragraph(f'{dtype} cannot run: {reason}')}\n" for dtype, reason in result["refused"].items())
    return "\n".join([paragraph(
        f"`{result['model']}` ({result['variant']}), {result['n_frames']} frames ({result['frames']}) of "
        f"{result['n_recordings']} recordings that training did not see, r = {result['dropout_rate']:g}. *points lost*: "
        "accuracy at fp32 minus that at the reduced precision on the same frames, in points of 100, with its 95 % interval "
        "(bootstrap over recordings). *residual*: rms of its difference from fp32 (of its own rms), and the largest "
        "difference.") + "\n",
        markdown_table(["precision", "accuracy", "points lost", "same label", "residual, rms", "largest"], accuracy),
        paragraph(f"Speed-up over fp32: the ratio of the total times, interleaved on the same frames in one run on "
                  f"{result['device']} ({run['cpu']}, {run['capability']}, {result['threads']} thread, {result['clock']}), one "
                  f"by one and {result['batch']} frames a call.") + "\n",
        markdown_table(["precision", "runtime", "one by one", "in batches"], speed)]) + refused


def _faster(row: dict | None) -> str:
    if row is None:
        return "-"
    low, high = row["mean_speed_up_interval"]
    return f"{row['mean_speed_up']:.2f} ({low:.2f} to {high:.2f}), {row['mean_ms']:.2f} ms"
