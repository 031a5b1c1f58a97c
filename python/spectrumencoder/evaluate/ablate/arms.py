# SPDX-License-Identifier: GPL-3.0-or-later
"""Ablation of position, band and attention: one small network trained several ways, judged when bin width or band change.

Training sees noise, and real recordings whose bin width is within a quarter of the one they were made with
(`bin_width_range`). Windows of held-out recordings are judged with such bin widths (`near`) and with others (`far`: resampled
by up to 2). The encoder is given their own band, a wrong one, or none. Arms with the same seed start from the same weights and
see the same batches, so that differences are paired.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ...atomic_file import write_file
from ...encoder.engine import Engine
from ...encoder.model_file import load
from ...measure.page import markdown_table, paragraph, with_interval
from ...measure.paired import PairedBootstrap, pack, unpack
from ...measure.rows import Context
from ...training.config import read_config
from ...training.corpus import CLASSES, load_corpus
from ...training.loop import make_pool, train
from ...training.run_folder import RUN_FILE, claim, read_claim
from ...training.shards import FIELDS, shard_path
from ..inference.windows import Windows, held_out_windows, is_correct

WIDTHS, BANDS_GIVEN = ("near", "far"), ("own", "wrong", "unknown")
DROPOUT_RATE = 0.25


def run(config: dict, context: Context) -> dict:
    """Trains and judges every (arm, seed) that has no row yet; returns the table.

    Args:
        config: seeds, train_shards, test_shards, bin_width_range, policy (of token dropout, in judging),
            encoder, data, training (as for `train`), arms (name, optionally attention, rope, and encoder and training settings),
            compare (pairs of arm names).
    """
    pool = context.pool or context.work / "pool"
    narrow = context.work / "narrow"
    rates = {s.name: s.samp_rate for s in load_corpus(context.corpus)}
    prepare_pools(config, context, pool, narrow, rates)
    rows, windows = [], None
    todo = [(arm, seed) for seed in config["seeds"] for arm in config["arms"]]
    for number, (arm, seed) in enumerate(todo):
        context.progress(number, len(todo), f"{arm['name']}, seed {seed}")
        settings = arm_settings(config, arm, seed)

        def measure(arm=arm, seed=seed, settings=settings):
            nonlocal windows
            out = context.work / "trainings" / f"{arm['name'].replace(' ', '_')}_{seed}"
            path = trained(settings, context, out, narrow)
            windows = windows or held_out_windows(narrow, str(path))
            return judge(path, windows, rates, config, seed) | {"commit": read_claim(out, RUN_FILE)["commit"]}

        judged = {key: config[key] for key in ("policy", "test_shards", "bin_width_range")}
        rows.append({"arm": arm["name"], "seed": seed} | context.row(f"{arm['name']} {seed}", settings | judged, measure))
    return table(rows, config)


def trained(settings: dict, context: Context, out: Path, pool: Path) -> Path:
    """The model file of a training, which is begun, taken up, or left as it is if it has ended."""
    path = out / f"{settings['training']['name']}.safetensors"
    claim = read_claim(out, RUN_FILE)
    if path.is_file() and claim and claim["config"] == json.loads(json.dumps(settings)):
        return path
    return train(settings, context.corpus, out, resume=True, pool=pool)


def arm_settings(config: dict, arm: dict, seed: int) -> dict:
    """The training configuration of one arm with one seed."""
    training = config["training"] | arm.get("training", {}) | {
        "name": arm["name"].replace(" ", "_"), "seed": seed, "table_frames": 0, "shards": config["train_shards"],
        "variants": [[arm.get("attention", "softmax"), arm.get("rope", "dynamic")]]}
    return {"encoder": config["encoder"] | arm.get("encoder", {}), "data": config["data"], "training": training}


def prepare_pools(config: dict, context: Context, pool: Path, narrow: Path, rates: dict[str, float]) -> None:
    """Makes the pool if it is missing, and one beside it with the frames of the training's bin widths only."""
    encoder, recipe, training = read_config(arm_settings(config, config["arms"][0], config["seeds"][0]))
    narrow.mkdir(parents=True, exist_ok=True)
    claim(narrow, "narrow.json", {"bin_width_range": config["bin_width_range"], "data": config["data"]})
    for part, count in (("train", config["train_shards"]), ("test", config["test_shards"])):
        (narrow / part).mkdir(parents=True, exist_ok=True)
        missing = [n for n in range(count) if not shard_path(narrow / part, n).exists()]
        if not missing:
            continue
        maker = make_pool(encoder, recipe, training, context.corpus, pool, part, count)
        try:
            for n in missing:
                context.progress(n, count, f"frames, {part}")
                shard = maker.get(n)
                if part == "test":  # all of it; what is judged here stays, whatever becomes of the pool
                    write_file(shard_path(narrow / part, n), shard_path(pool / part, n).read_bytes())
                    continue
                native = np.array([rates[name] for name in maker.sources] + [np.nan]) / encoder.fft_size
                low, high = config["bin_width_range"]
                with np.errstate(invalid="ignore"):
                    factor = shard["side"][:, 2] / native[shard["source"]]
                simulated_noise = (shard["source"] < 0) & (shard["label"] == CLASSES.index("noise"))
                chosen = ((factor >= low) & (factor <= high)) | simulated_noise
                frames = {key: shard[key][chosen] for key in FIELDS}
                write_file(shard_path(narrow / part, n), lambda file, frames=frames: np.savez(file, **frames))
        finally:
            maker.close()
    if not (narrow / "pool.json").exists():
        (narrow / "pool.json").write_bytes((pool / "pool.json").read_bytes())


def judge(model: Path, windows: Windows, rates: dict[str, float], config: dict, seed: int) -> dict:
    """Right or wrong for every window, given its own band, a wrong one, none; and which windows are near and which far."""
    engine = Engine(str(model), dropout_rate=DROPOUT_RATE, dropout_policy=config["policy"])
    named = [b for b in engine.bands if b != "unknown"]
    rng = np.random.default_rng((seed, 5))
    wrong = [str(rng.choice([b for b in named if b != own])) for own in windows.band]
    given = {"own": windows.band, "wrong": wrong, "unknown": "unknown"}
    native = np.array([rates[name] for name in windows.names])[windows.source] / engine.n_bins
    factor = engine.layout.split(windows.items)[1][:, 2] / native
    low, high = config["bin_width_range"]
    own = pack(is_correct(engine, windows, windows.band))
    reads = engine.config.rope == "dynamic" or engine.config.band_token  # the others do not read the band at all
    answers = {name: pack(is_correct(engine, windows, given[name])) if reads and name != "own" else own for name in BANDS_GIVEN}
    return {"right": answers, "n_windows": len(windows),
            "near": pack((factor >= low) & (factor <= high)), "label": windows.label.tolist(),
            "source": windows.source.tolist(), "theta": load(model).contract["theta"],
            "tokens_kept": engine.k_kept}


def table(rows: list[dict], config: dict) -> dict:
    """Balanced accuracy per arm and condition, paired difference per pair of arms, all as shares of 1 with intervals."""
    first = rows[0]
    count, label, source = first["n_windows"], np.array(first["label"]), np.array(first["source"])
    near = unpack(first["near"], count)
    right_of = {name: {band: np.stack([unpack(r["right"][band], count) for r in rows if r["arm"] == name])
                       for band in BANDS_GIVEN} for name in (arm["name"] for arm in config["arms"])}
    accuracy, differences, n = [], [], {}
    for width, chosen in zip(WIDTHS, (near, ~near), strict=True):
        n[width] = int(chosen.sum())
        if not n[width]:
            continue
        bootstrap = PairedBootstrap(label[chosen], source[chosen])
        for band in BANDS_GIVEN:
            for name, right_by in right_of.items():
                accuracy.append({"arm": name, "bin_width": width, "band_given": band,
                                 **bootstrap.interval(right_by[band][:, chosen])})
            for one, other in config["compare"]:
                a, b = right_of[one][band][:, chosen], right_of[other][band][:, chosen]
                differences.append({"arm": one, "minus": other, "bin_width": width, "band_given": band,
                                    **bootstrap.interval(a, b), "per_seed": [
                                        round(float(x), 4) for x in (bootstrap.balanced(a) - bootstrap.balanced(b))[:, 0]]})
    return {"accuracy": accuracy, "differences": differences, "n_windows": n, "n_recordings": len(np.unique(source)),
            "seeds": config["seeds"], "theta": {f"{r['arm']}, seed {r['seed']}": r["theta"] for r in rows if r["theta"]},
            "tokens_kept": first["tokens_kept"],
            "training_commits": sorted({r["commit"] for r in rows})}


def report(result: dict) -> str:
    """Accuracy by arm and condition, differences between arms, the thetas learnt; a table for each kind of bin width."""
    arms = list(dict.fromkeys(a["arm"] for a in result["accuracy"]))
    pairs = list(dict.fromkeys((d["arm"], d["minus"]) for d in result["differences"]))
    accuracy_of = {(a["arm"], a["bin_width"], a["band_given"]): a for a in result["accuracy"]}
    difference_of = {(d["arm"], d["minus"], d["bin_width"], d["band_given"]): d for d in result["differences"]}
    accuracy, differences = [], []
    for width in result["n_windows"]:
        bands = list(dict.fromkeys(a["band_given"] for a in result["accuracy"] if a["bin_width"] == width))
        if bands:
            header = [f"{width}, {band} band" for band in bands]
            accuracy.append(markdown_table(["arm", *header], [
                [arm, *(with_interval(accuracy_of[arm, width, band]) for band in bands)] for arm in arms]))
            differences.append(markdown_table(["difference, points", *header], [
                [f"{a} - {b}", *(with_interval(difference_of[a, b, width, band], True) for band in bands)] for a, b in pairs]))
    names = list(next(iter(result["theta"].values()), {}))
    theta = markdown_table(["theta at 1 kHz bins, by band", *names], [[name, *values.values()]
                                                                     for name, values in result["theta"].items()])
    counts = ", ".join(f"{n} {width}" for width, n in result["n_windows"].items())
    return "\n".join([paragraph(
        f"Balanced accuracy, %, with {result['tokens_kept']} tokens kept by `{result['configuration']['policy']}`, mean of "
        f"{len(result['seeds'])} trainings (seeds {', '.join(map(str, result['seeds']))}) of each arm; 95 % intervals drawn "
        f"over recordings and trainings. Windows of {result['n_recordings']} held-out recordings ({counts}). *near*: bin width "
        "as in training, within the range of the configuration. *far*: outside it. *own*, *wrong*, *unknown*: the band that "
        "is given to the encoder.") + "\n", *accuracy, "Paired differences (same seeds, batches and windows):\n", *differences,
        *([theta] if names else [])])


def draw(result: dict, path: Path) -> None:
    """Accuracy of the arms, and the paired differences with their intervals."""
    from ...measure.plots import figure, finish

    conditions = list(dict.fromkeys((a["bin_width"], a["band_given"]) for a in result["accuracy"]))
    fig, axes = figure(2, width=6.5, height=5.2)
    called = {"accuracy": lambda a: a["arm"], "differences": lambda a: f"{a['arm']} - {a['minus']}"}
    for axis, (key, name) in zip(axes, called.items(), strict=True):
        names = list(dict.fromkeys(name(a) for a in result[key]))
        for number, label in enumerate(names):
            mine = [a for a in result[key] if name(a) == label]
            place = np.arange(len(mine)) + 0.7 * (number / max(len(names) - 1, 1) - 0.5)
            middle, low, high = (np.array([100 * a[k] for a in mine]) for k in ("mean", "low", "high"))
            axis.errorbar(middle, place, xerr=(np.maximum(middle - low, 0), np.maximum(high - middle, 0)), fmt="o", markersize=4,
                          capsize=2, label=label)
        axis.set_yticks(range(len(conditions)), [f"{width} bin width,\n{band} band" for width, band in conditions], fontsize=8)
        axis.invert_yaxis()
        axis.legend(fontsize=7, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    axes[0].set_xlabel("balanced accuracy, %")
    axes[1].set_xlabel("difference, points")
    axes[1].axvline(0, color="black", linewidth=0.8)
    finish(fig, path)
