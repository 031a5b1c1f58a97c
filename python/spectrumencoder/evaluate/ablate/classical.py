# SPDX-License-Identifier: GPL-3.0-or-later
"""Classical rows beside the encoder: principal components or wavelets of the spectrum, then a classifier of scikit-learn.

All learn from the frames of one pool whose recordings are not held out, without anomalies, and are judged on the same windows of
the held-out recordings. They see the levels of a frame's bins in dB over the floor, clamped to -20..80 dB as for the encoder,
with log2 bin width, log2 K and floor. The encoder also sees max-hold and spread, and a fold model has learnt from more frames:
the difference is that of the whole systems.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from ...encoder.engine import Engine
from ...encoder.model_file import find_model, load
from ...measure.page import markdown_table, paragraph, with_interval
from ...measure.paired import PairedBootstrap, pack, unpack
from ...measure.rows import AblationError, Context
from ...tokens.layout import FrameLayout
from ...training.config import read_config
from ...training.corpus import CLASSES, load_corpus, split
from ...training.loop import make_pool
from ...training.run_folder import read_claim
from ...training.shards import FIELDS, without
from ..inference.windows import Windows, as_windows, is_correct

WAVELET, LEVELS = "db4", 6  # of PyWavelets, periodic at the edges
CLASSIFIERS = ("logistic regression", "RBF SVM", "random forest")


def run(config: dict, context: Context) -> dict:
    """Fits and judges every (transform, classifier) that has no row yet, and the model where one is named.

    Args:
        config: transforms, classifiers, coefficients, train_shards, test_shards, train_frames (of each kind of classifier),
            dropout_rate, encoder, data, training.
    """
    hidden = list(config["training"]["holdout"])
    frames = _Frames(config, context, hidden)
    todo = [(t, c) for t in config["transforms"] for c in config["classifiers"]]
    rows, settings = [], {"training": config["training"], "data": config["data"], "shards": config["train_shards"],
                          "coefficients": config["coefficients"], "train_frames": config["train_frames"]}
    for number, (transform, classifier) in enumerate(todo):
        context.progress(number, len(todo) + 1, f"{transform}, {classifier}")
        rows.append({"system": f"{transform} + {classifier}"} | context.row(
            f"{transform} {classifier}", settings | {"transform": transform, "classifier": classifier},
            lambda t=transform, c=classifier: fit_and_judge(frames, config, t, c)))
    if context.model:
        context.progress(len(todo), len(todo) + 1, context.model)
        rate, name = config["dropout_rate"], Path(context.model).stem
        settings |= {"sha256": load(find_model(context.model)).contract["weights_sha256"], "rate": rate}
        rows.append({"system": f"{name}, r = {rate:g}"} | context.row(f"model {name}", settings, lambda: judge_model(
            frames, context.model, rate)))
    return table(rows, frames)


class _Frames:
    """The pool's frames of one split, read when asked for."""

    def __init__(self, config: dict, context: Context, hidden: list[str]):
        encoder, recipe, training = read_config({"encoder": config["encoder"], "data": config["data"],
                                                 "training": config["training"]})
        self.layout = FrameLayout(encoder.fft_size, encoder.stride)
        pool = context.pool or context.work / "pool"
        self.makers = {part: make_pool(encoder, recipe, training, context.corpus, pool, part, count)
                       for part, count in (("train", config["train_shards"]), ("test", config["test_shards"]))}
        trained, held_out = split(load_corpus(context.corpus), hidden)
        self.trained, self.held_out = {s.name for s in trained}, {s.name for s in held_out}
        self.claim = read_claim(pool, "pool.json")
        self._read: dict[str, dict] = {}

    def get(self, part: str) -> dict[str, np.ndarray]:
        """Labelled frames without anomaly. train: no held-out recording is heard; test: real ones of held-out recordings."""
        if part not in self._read:
            maker, away = self.makers[part], self.held_out if part == "train" else self.trained
            numbers = {n for n, name in enumerate(maker.sources) if name in away}
            shards = []
            for n in range(maker.count):
                shard = without(maker.get(n), numbers)
                chosen = (shard["label"] >= 0) & (shard["anomaly"] == 0) & ((shard["source"] >= 0) | (part == "train"))
                shards.append({key: shard[key][chosen] for key in FIELDS})
            maker.close()
            self._read[part] = {key: np.concatenate([s[key] for s in shards]) for key in FIELDS}
            if not len(self._read[part]["label"]):
                raise AblationError(f"no labelled frames in the pool's part {part} for this split; raise {part}_shards")
        return self._read[part]

    def seen(self, part: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(levels (F, N), side (F, 3), labels (F,)): what a classical system sees, levels and side scaled as for the encoder."""
        frames = self.get(part)
        tokens = frames["tokens"].astype(np.float32).reshape(len(frames["label"]), self.layout.n_tokens, self.layout.token_dim)
        levels = np.clip(tokens[..., :-2], -20, 80).reshape(len(tokens), -1) / 20
        floor, k_eff, bin_width = frames["side"].T
        side = (np.log2(np.maximum(bin_width, 1e-3)) / 4 - 2.5, np.log2(np.maximum(k_eff, 1)) / 3, (floor + 80) / 40)
        return levels, np.stack(side, axis=1), frames["label"].astype(int)

    def windows(self) -> Windows:
        """The test frames as the engine takes them."""
        return as_windows(self.get("test"), self.claim)


def fit_and_judge(frames: _Frames, config: dict, transform: str, classifier: str) -> dict:
    """Right or wrong for each test window; frames learnt from; ms of processor time per judged window."""
    levels, side, labels = frames.seen("train")
    count = config["train_frames"][classifier]
    chosen = np.random.default_rng(0).permutation(len(labels))[:count]
    reduce = make_transform(transform, config["coefficients"], levels[chosen])
    model = make_classifier(classifier)
    source = frames.get("train")["source"][chosen].astype(int)
    recording = np.where(source >= 0, source, 1_000_000 + np.arange(len(source)))  # each simulated frame by itself
    model.fit(np.concatenate((reduce(levels[chosen]), side[chosen]), axis=1), labels[chosen], groups=recording)
    levels, side, labels = frames.seen("test")
    began = time.process_time()
    guess = model.predict(np.concatenate((reduce(levels), side), axis=1))
    spent = time.process_time() - began
    return {"right": pack(guess == labels), "n_windows": len(labels), "n_trained": len(chosen),
            "chosen": {key.partition("__")[2]: value for key, value in model.best_params_.items()},
            "ms_per_window": round(1e3 * spent / len(labels), 4), "numbers_kept": int(reduce(levels[:1]).shape[1])}


def judge_model(frames: _Frames, name: str, dropout_rate: float) -> dict:
    """The same of a model file.

    Raises:
        AblationError: it was trained on recordings that are held out here.
    """
    engine = Engine(name, dropout_rate=dropout_rate)
    if known := set(engine.trained_on) & frames.held_out:
        raise AblationError(f"{name} was trained on {len(known)} of the held-out recordings, such as {sorted(known)[0]}; "
                            "name the model of the configuration's fold")
    windows = frames.windows()
    began = time.process_time()
    found = is_correct(engine, windows)
    spent = time.process_time() - began
    return {"right": pack(found), "n_windows": len(found), "n_trained": None, "ms_per_window": round(1e3 * spent / len(found), 4),
            "numbers_kept": engine.config.latents * engine.config.latent_width}


def make_transform(name: str, coefficients: int, levels: np.ndarray):
    """A function (F, N) -> (F, coefficients), fitted on `levels` where it learns.

    `PCA`: the first principal components. `wavelet`: of the db4 transform, the coefficients with the largest variance. `DCT`: the
    same of the cosine transform. `all bins`: nothing is left out.
    """
    if name == "all bins":
        return lambda x: x
    if name == "PCA":
        from sklearn.decomposition import PCA
        return PCA(min(coefficients, *levels.shape), random_state=0).fit(levels).transform
    if name == "wavelet":
        import pywt

        def spread(x):
            levels = min(LEVELS, pywt.dwt_max_level(x.shape[1], WAVELET))
            return np.concatenate(pywt.wavedec(x, WAVELET, "periodization", levels, axis=1), axis=1)
    elif name == "DCT":
        from scipy.fft import dct

        def spread(x):
            return dct(x, norm="ortho", axis=1)
    else:
        raise AblationError(f"transform {name!r} is not one of PCA, wavelet, DCT, all bins")
    order = np.sort(np.argsort(-spread(levels).var(axis=0))[:coefficients])
    return lambda x: spread(x)[:, order]


def make_classifier(name: str):
    """A pipeline with each number scaled to unit variance; its strength is chosen on a quarter of the training recordings."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, GroupShuffleSplit
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    made = {"logistic regression": lambda: (LogisticRegression(max_iter=2000), {"C": [0.001, 0.01, 0.1]}),
            "RBF SVM": lambda: (SVC(), {"C": [1.0, 10.0], "gamma": [0.001, 0.01]}),
            "random forest": lambda: (RandomForestClassifier(200, random_state=0), {"min_samples_leaf": [1, 5]})}
    if name not in made:
        raise AblationError(f"classifier {name!r} is not one of {', '.join(CLASSIFIERS)}")
    classifier, choices = made[name]()
    classifier.set_params(class_weight="balanced")
    pipeline = Pipeline([("scale", StandardScaler()), ("classify", classifier)])
    split = GroupShuffleSplit(1, test_size=0.25, random_state=0)
    return GridSearchCV(pipeline, {f"classify__{k}": v for k, v in choices.items()}, scoring="balanced_accuracy", cv=split)


def table(rows: list[dict], frames: _Frames) -> dict:
    """Balanced accuracy of each system; with a model, each system's difference to it, paired."""
    test = frames.get("test")
    bootstrap = PairedBootstrap(test["label"].astype(int), test["source"].astype(int))
    found = {row["system"]: unpack(row["right"], row["n_windows"]) for row in rows}
    model = rows[-1]["system"] if rows[-1]["n_trained"] is None else None
    out = []
    for row in rows:
        mine = found[row["system"]]
        recalls = {CLASSES[c]: round(float(mine[test["label"] == c].mean()), 4) for c in np.unique(test["label"])}
        out.append({key: row[key] for key in ("system", "n_trained", "ms_per_window", "numbers_kept")}
                   | {"chosen": row.get("chosen", {}), "accuracy": bootstrap.interval(mine), "recall": recalls}
                   | ({"minus_model": bootstrap.interval(mine, found[model])} if model else {}))
    return {"rows": out, "model": model, "n_windows": len(test["label"]), "n_recordings": bootstrap.n_recordings,
            "held_out": sorted(frames.held_out)}


def report(result: dict) -> str:
    """One row per system."""
    header = ["system", "numbers", "frames learnt from", "balanced accuracy, %", "ms per window"]
    header += ["minus the model, points"] if result["model"] else []
    lines = [[r["system"], r["numbers_kept"], r["n_trained"] or "see its card", with_interval(r["accuracy"]),
              f"{r['ms_per_window']:.3g}", *([with_interval(r["minus_model"], True)] if result["model"] else [])]
             for r in result["rows"]]
    return "\n".join([paragraph(
        f"{result['n_windows']} augmented windows of {result['n_recordings']} recordings held out from every system (the fold "
        "of the configuration); in brackets 95 % intervals, drawn over recordings. *numbers*: the size of the classifier's "
        "input from the spectrum (for the model: the floats in its latents). The strength of each classifier was chosen on a "
        "quarter of the training recordings. Milliseconds are of processor time, one thread, not on a quiet "
        "machine.") + "\n", markdown_table(header, lines)])


def draw(result: dict, path: Path) -> None:
    """Balanced accuracy of each system with its interval."""
    from ...measure.plots import figure, finish

    fig, (axis,) = figure(1, width=7.0, height=0.6 + 0.35 * len(result["rows"]))
    for place, row in enumerate(reversed(result["rows"])):
        a = row["accuracy"]
        axis.errorbar(100 * a["mean"], place, xerr=[[100 * (a["mean"] - a["low"])], [100 * (a["high"] - a["mean"])]], fmt="o",
                      color="C1" if row["system"] == result["model"] else "C0", capsize=3)
    axis.set_yticks(range(len(result["rows"])), [r["system"] for r in reversed(result["rows"])])
    axis.set_xlabel("balanced accuracy, %, held-out recordings")
    finish(fig, path)
