# SPDX-License-Identifier: GPL-3.0-or-later
"""Accuracy against token dropout: one trained model, judged at each kept count and policy that it serves, on the same windows.

Only windows of recordings that the model was not trained on are judged. The model learnt with all counts and policies mixed
(training configuration). So the figures hold for a choice made live, not for a network trained for one setting alone.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from ...encoder.encoder import mflop_per_spectrum
from ...encoder.engine import Engine
from ...encoder.model_file import find_model, load
from ...measure.page import markdown_table, paragraph, with_interval
from ...measure.paired import PairedBootstrap, pack, unpack
from ...measure.rows import AblationError, Context
from ..inference.windows import held_out_windows, is_correct


def run(config: dict, context: Context) -> dict:
    """Judges every (policy, kept count) that has no row yet.

    Args:
        config: policies; windows (their largest number).
    """
    if context.pool is None or not context.model:
        raise AblationError("this ablation judges a trained model on the windows of a pool; name --model and --pool")
    file = load(find_model(context.model))
    windows = held_out_windows(context.pool, context.model, max_windows=config["windows"])
    engine = Engine(file, dropout_rate=0.0)
    counts = sorted(engine.config.keep_choices, reverse=True)
    # with all tokens kept there is nothing to choose
    todo = [("all", counts[0])] + [(p, k) for p in config["policies"] for k in counts if k < engine.config.n_tokens]
    settings = {"sha256": file.contract["weights_sha256"], "windows": len(windows), "label": windows.label.tolist()}
    rows = []
    for number, (policy, k) in enumerate(todo):
        context.progress(number, len(todo), f"{policy}, {k} tokens")
        rows.append({"policy": policy, "tokens_kept": k} | context.row(
            f"{policy} {k}", settings, lambda p=policy, k=k: judge(engine, windows, p, k)))
    bootstrap = PairedBootstrap(windows.label, windows.source)
    whole = unpack(rows[0]["right"], len(windows))
    out = []
    for row in rows:
        mine = unpack(row["right"], len(windows))
        out.append({key: row[key] for key in ("policy", "tokens_kept", "dropout_rate", "mflop", "ms_per_window")}
                   | {"accuracy": bootstrap.interval(mine), "minus_all": bootstrap.interval(mine, whole)})
    return {"rows": out, "model": Path(context.model).stem, "n_windows": len(windows), "n_recordings": bootstrap.n_recordings,
            "model_commit": file.contract["training"]["commit"], "model_sha256": file.contract["weights_sha256"]}


def judge(engine: Engine, windows, policy: str, k: int) -> dict:
    """Right or wrong for each window at one setting, and processor time."""
    engine.set_dropout_policy("gumbel" if policy == "all" else policy)
    engine.set_dropout_rate(1 - k / engine.config.n_tokens)
    if engine.k_kept != k:
        raise AblationError(f"the model keeps {engine.k_kept} tokens where {k} are asked for")
    engine.reset()
    began = time.process_time()
    found = is_correct(engine, windows)
    return {"right": pack(found), "dropout_rate": engine.dropout_rate, "mflop": round(mflop_per_spectrum(engine.config, k), 2),
            "ms_per_window": round(1e3 * (time.process_time() - began) / len(windows), 4)}


def report(result: dict) -> str:
    """Policies against kept counts: accuracy, and what is lost to r = 0."""
    policies = list(dict.fromkeys(r["policy"] for r in result["rows"] if r["policy"] != "all"))
    of = {(r["policy"], r["tokens_kept"]): r for r in result["rows"]}
    whole = result["rows"][0]
    counts = sorted({r["tokens_kept"] for r in result["rows"][1:]}, reverse=True)

    def lines(key, sign):
        return [[f"{of[policies[0], k]['dropout_rate']:.3g}", k, *(with_interval(of[p, k][key], sign) for p in policies)]
                for k in counts]

    costs = [[f"{r['dropout_rate']:.3g}", r["tokens_kept"], f"{r['mflop']:.2f}", f"{r['ms_per_window']:.3f}"]
             for r in result["rows"] if r["policy"] in ("all", policies[0])]
    return "\n".join([paragraph(
        f"`{result['model']}` on {result['n_windows']} augmented windows of {result['n_recordings']} recordings that it was not "
        "trained on; balanced accuracy, %, 95 % intervals drawn over recordings. With all tokens kept (r = 0): "
        f"{with_interval(whole['accuracy'])}.") + "\n", markdown_table(["r", "kept", *policies], lines("accuracy", False)),
        "Minus r = 0, points, paired:\n", markdown_table(["r", "kept", *policies], lines("minus_all", True)),
        paragraph(f"Cost of a spectrum ({policies[0]}): multiply-adds times two of the network, and ms of processor time, one "
                  "thread, on a machine that was not quiet.") + "\n", markdown_table(["r", "kept", "MFLOP", "ms"], costs)])


def draw(result: dict, path: Path) -> None:
    """Accuracy against r, one line per policy; and what is lost, paired, with its interval."""
    from ...measure.plots import figure, finish

    fig, axes = figure(2)
    whole = result["rows"][0]
    policies = list(dict.fromkeys(r["policy"] for r in result["rows"][1:]))
    for number, policy in enumerate(policies):
        rows = [whole] + [r for r in result["rows"] if r["policy"] == policy]
        rate = np.array([r["dropout_rate"] for r in rows])
        axes[0].plot(rate, [100 * r["accuracy"]["mean"] for r in rows], marker="o", markersize=4, label=policy)
        middle, low, high = (np.array([100 * r["minus_all"][k] for r in rows]) for k in ("mean", "low", "high"))
        axes[1].errorbar(rate + 0.006 * (number - 1.5), middle, yerr=(np.maximum(middle - low, 0), np.maximum(high - middle, 0)),
                         fmt="o-", markersize=4, capsize=2, label=policy)
    for axis, label in zip(axes, ("balanced accuracy, %", "minus r = 0, points"), strict=True):
        axis.set_xlabel("dropout rate r")
        axis.set_ylabel(label)
    axes[0].legend(fontsize=8)
    axes[1].axhline(0, color="black", linewidth=0.8)
    finish(fig, path)
