# SPDX-License-Identifier: GPL-3.0-or-later
"""Detection against RoPE mode, token dropout and kind of score, of one model on the same windows of simulated scenes.

Detectors: ``band``, the default, is a table with statistics of the band. ``model`` is a table of the model's residual alone,
as on a band that was not learned. ``mean square`` is the mean-square residual, which the paper's rule of 0.05 is about. Each
has a threshold of its own from the windows kept for that, so that all are compared at one false-alarm rate.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

from ...detector.detector import CALIBRATED, FIXED
from ...detector.events import Segment
from ...encoder.engine import Engine
from ...encoder.model_file import find_model, load
from ...measure.page import markdown_table, paragraph, with_interval
from ...measure.paired import PairedBootstrap
from ...measure.provenance import commit
from ...measure.rows import AblationError, Context
from ...measure.timing import interleaved, machine
from ..anomaly.bound import bin_correlation
from ..anomaly.figures import OURS, Trials, figures, hits
from ..anomaly.run import CalibratedDetector, EncodedUnit, scaled, trials_of
from ..anomaly.windows import Unit, draw_scene, scene_unit

DETECTORS = {"band": dict(per_bin=True, threshold_mode=CALIBRATED), "model": dict(per_bin=False, threshold_mode=CALIBRATED),
             "mean square": dict(threshold_mode=FIXED)}
_AVERAGE, _TIMED_FRAMES = 16, 200


def run(config: dict, context: Context) -> dict:
    """Judges each (RoPE mode, rate, detector).

    Args:
        config: rope_modes; rates; detectors, of ``DETECTORS``; scenes, seed, calibration, kept, windows, per_kind as in
            ``anomaly.Sizes``.
    """
    if not context.model:
        raise AblationError("this ablation judges a trained model; name --model")
    unknown = [d for d in config["detectors"] if d not in DETECTORS]
    if unknown:
        raise AblationError(f"detector {unknown[0]!r} is none of {', '.join(DETECTORS)}")
    file = load(find_model(context.model))
    engine = Engine(file, pad_batch=64)
    settings = list(product(config["rope_modes"], config["rates"]))
    reference, parts, of_engine = (*settings[0], config["detectors"][0]), [], {}
    for number in range(config["scenes"]):
        unit = scene_unit(engine, draw_scene(number, config["seed"]), number, average=_AVERAGE,
                          n_calibration=config["calibration"], n_kept=config["kept"], n_windows=config["windows"],
                          per_kind=config["per_kind"], seed=config["seed"])
        scores, judges, seen = {}, {}, {}
        for step, (rope, rate) in enumerate(settings):
            context.progress(number * len(settings) + step, config["scenes"] * len(settings), f"scene {number}, {rope} {rate:g}")
            _switch(engine, rope, rate)
            of_engine[rope, rate] = {"dropout_rate": engine.dropout_rate, "tokens_kept": engine.k_kept}
            encoded = EncodedUnit(unit, engine)
            for name in config["detectors"]:
                judges[rope, rate, name] = CalibratedDetector([unit], engine, **DETECTORS[name])
                seen[rope, rate, name] = judges[rope, rate, name].watch(unit, encoded)
                scores[_label(rope, rate, name)] = scaled([seen[rope, rate, name].scores])[0]
        parts.append(trials_of(unit, seen[reference], {OURS: scores[_label(*reference)], **scores}, "own table",
                               bin_correlation(engine.config.window, engine.n_bins)))
    context.commits.add(commit())
    trials = Trials.join(parts)
    found, shown = hits(trials), figures(trials)["baselines"]
    paired = PairedBootstrap(trials.kind.astype(str), trials.unit)
    times = _times(engine, unit, settings, judges)
    rows = []
    for rope, rate, name in product(config["rope_modes"], config["rates"], config["detectors"]):
        label, against = _label(rope, rate, name), _label(*reference[:2], name)
        rows.append({"rope": rope, "detector": name, **of_engine[rope, rate], "pd": paired.interval(found[label]),
                     "minus_first": paired.interval(found[label], found[against]),
                     "f1": {k: shown[label]["f1_at_5pct"][k] for k in ("mean", "low", "high")},
                     "auc": {k: shown[label]["auc"][k] for k in ("mean", "low", "high")},
                     "encoder_ms": times["encoder", rope, rate], "detector_ms": times["detector", rope, rate, name]})
    return {"rows": rows, "model": Path(context.model).stem, "model_sha256": file.contract["weights_sha256"],
            "n_scenes": config["scenes"], "n_anomalies": len(trials.unit), "machine": machine()}


def _label(rope: str, rate: float, detector: str) -> str:
    return f"{rope} {rate:g} {detector}"


def _switch(engine: Engine, rope: str, rate: float) -> None:
    engine.set_rope_mode(rope)
    engine.set_dropout_rate(rate)
    if abs(engine.dropout_rate - rate) > 1e-6:
        raise AblationError(f"the model drops {engine.dropout_rate:g} of the tokens where {rate:g} is asked for")


def _times(engine: Engine, unit: Unit, settings: list, judges: dict) -> dict:
    """Median ms of processor time a frame, one by one: of the encoder at each setting, and of each detector."""
    frames, batch = unit.clean, engine.pad_batch
    engine.pad_batch = 0
    segment = Segment(unit.freq_hz, unit.samp_rate, unit.band, frames.frame_hop, unit.average)
    made = {}

    def encode(setting):
        def call(index: int):
            _switch(engine, *setting)
            made[setting, index % len(frames)] = engine.encode(frames.items[index % len(frames)][None], unit.band)
        return call

    def judge(key):
        detector = judges[key].detector

        def call(index: int):
            one = made[key[:2], index % len(frames)]
            row = slice(index % len(frames), index % len(frames) + 1)
            detector.process(frames.psd[row], one.residual, one.features, np.array([index * frames.frame_hop]), segment)
        return call

    of_encoder = interleaved({("encoder", *s): encode(s) for s in settings}, _TIMED_FRAMES)
    for watched in judges.values():
        watched.detector.reset()
    of_detectors = interleaved({("detector", *key): judge(key) for key in judges}, _TIMED_FRAMES)
    engine.pad_batch = batch
    return {key: round(1e3 * float(np.median(s.processor)), 3) for key, s in {**of_encoder, **of_detectors}.items()}


def report(result: dict) -> str:
    """A table for each detector, and the times."""
    out = [paragraph(
        f"`{result['model']}` on {result['n_anomalies']} windows with an anomaly of 0 to 20 dB INR in {result['n_scenes']} "
        "simulated scenes, K = 16, ten kinds with equal weight. Pd per window at 1 % false alarms per window, F1 at 5 % "
        "prevalence; 95 % intervals drawn over scenes. *minus*: paired difference to the first row. ms: processor time of one "
        f"frame alone, median, of the encoder and what the detector adds to it, on {result['machine']['cpu']}, one thread, not "
        "quiet.") + "\n"]
    for name in dict.fromkeys(r["detector"] for r in result["rows"]):
        rows = [r for r in result["rows"] if r["detector"] == name]
        out += [f"## Detector: {name}\n", markdown_table(
            ["RoPE", "r", "kept", "Pd, %", "minus, points", "F1, %", "AUC, %", "encoder, ms", "detector, ms"],
            [[r["rope"], f"{r['dropout_rate']:g}", r["tokens_kept"], with_interval(r["pd"]),
              with_interval(r["minus_first"], True), with_interval(r["f1"]), with_interval(r["auc"]), f"{r['encoder_ms']:.2f}",
              f"{r['detector_ms']:.2f}"] for r in rows])]
    return "\n".join(out)


def draw(result: dict, path: Path) -> None:
    """F1 and Pd against the share of tokens dropped."""
    from ...measure.plots import figure, finish

    fig, axes = figure(2)
    for number, (name, rope) in enumerate(dict.fromkeys((r["detector"], r["rope"]) for r in result["rows"])):
        rows = [r for r in result["rows"] if (r["detector"], r["rope"]) == (name, rope)]
        rate = np.array([r["dropout_rate"] for r in rows]) + 0.004 * (number % 3 - 1)
        colour = f"C{list(DETECTORS).index(name)}"
        line = ["-", "--", ":"][list(dict.fromkeys(r["rope"] for r in result["rows"])).index(rope) % 3]
        for axis, key in zip(axes, ("f1", "pd"), strict=True):
            mean, low, high = (np.array([100 * r[key][k] for r in rows]) for k in ("mean", "low", "high"))
            axis.errorbar(rate, mean, yerr=(np.maximum(mean - low, 0), np.maximum(high - mean, 0)), fmt="o", linestyle=line,
                          color=colour, markersize=3, capsize=2, linewidth=1, label=f"{name}, {rope}")
    for axis, label in zip(axes, ("F1 at 5 % prevalence, %", "Pd at 1 % false alarms, %"), strict=True):
        axis.set_xlabel("tokens dropped, r")
        axis.set_ylabel(label)
        axis.set_ylim(0, 100)
    axes[1].legend(fontsize=6, loc="center", bbox_to_anchor=(0.5, 0.62), ncols=3, columnspacing=1.0, handlelength=1.6)
    finish(fig, path)
