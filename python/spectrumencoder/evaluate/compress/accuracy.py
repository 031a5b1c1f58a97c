# SPDX-License-Identifier: GPL-3.0-or-later
"""Classes after decoding, on held-out recordings: labels in the model's PDUs, and classes from the spectra of classical codecs.

Frames are successive ones of recordings that the model was not trained on, in groups as they are encoded, and such that hold
the signal (`classify.judge`). The model's PDUs carry the labels that it gave, and their bytes count. A classical codec has no
model, and its PDUs carry no labels. It gets the better of two classifiers (one hidden layer of 128): one learnt from training
frames as they are, one from training frames as the codec leaves them at its own operating points. For comparison: the classes
that the model's class head gives from the latents alone. Balanced accuracy, intervals by bootstrap over recordings.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...encoder.encoder import N_CONDITION, conditioning
from ...encoder.engine import Engine
from ...encoder.fit_codec import fit_codec
from ...encoder.heads import LatentHead
from ...encoder.model_file import find_model, load
from ...encoder.quantise import Codec
from ...measure.paired import PairedBootstrap
from ...tokens.layout import K_EFF
from ...training.corpus import CLASSES, CorpusError, load_corpus
from ..anomaly.clean_scenes import SceneFrames
from ..inference.classify import judge
from .inputs import GROUP, CompressError, steps_for, training_frames
from .spectrum_codecs import ModelCodec, with_labels

TARGET_BYTES = (8, 16, 34)
MOST_GROUPS = 3  # of a recording
STEP_GROUPS = 8  # of all, that the operating points are found on
EPOCHS, HIDDEN, BATCH = 8, 128, 128
WHOLE, PLAIN = "the whole model", "classifier on spectra as they are"  # what a decoded group's classes are compared with


def accuracy(model: str, pool: Path, corpus: list[Path], classical: list, *, train_frames: int, refine: int, dropout_rate: float,
             seed: int, quick: bool) -> dict:
    """Balanced accuracy of each codec at some bytes a spectrum.

    Returns:
        {"model", "n_frames", "n_recordings", "uncompressed": {...}, "points": {codec: [{bytes, accuracy, ...}]}}; accuracies as
        {mean, low, high}, `minus_uncompressed` paired.

    Raises:
        CorpusError: the model was trained on every labelled recording. CompressError: it names no classes.
    """
    file = load(find_model(model))
    if not file.contract["heads"].get("classes", True):
        raise CompressError(f"{file.name} names no classes; its accuracy cannot be judged")
    tokens, side, labels = training_frames(file, pool, train_frames, seed)
    if "codec.mean" not in file.tensors:
        fit_codec(file, tokens, side, seed=seed)
    engine = Engine(file, dropout_rate=dropout_rate)
    groups, truth, source = held_out_groups(engine, corpus, quick)
    labelled = [with_labels(engine, g) for g in groups]
    bootstrap = PairedBootstrap(truth, source, seed=seed)
    codec = Codec(file)
    ours = [ModelCodec(engine, codec, detail=detail, refine=refine) for detail in (True, False)]
    known = labels >= 0
    level, side, labels = tokens[known][..., :-2].reshape(known.sum(), -1), side[known], labels[known]
    plain = fit_classifier(level, side, labels, seed)
    right = {WHOLE: _numbers(engine.labels[i] for g in labelled for i in g.label) == truth}
    right["its class head on latents alone"] = classes_from_latents(engine, groups) == truth
    right[PLAIN] = plain(*_stacked(groups)) == truth
    out = {"model": file.name, "n_frames": len(truth), "n_recordings": len(np.unique(source)), "points": {},
           "uncompressed": {name: bootstrap.interval(r) for name, r in right.items()}}
    for codec in (*ours, *classical):
        given = labelled if codec in ours else groups
        steps = steps_for(codec, given, TARGET_BYTES, STEP_GROUPS)
        refit = None
        if codec not in ours:
            drawn = np.random.default_rng(seed).choice(steps, len(level))
            refit = fit_classifier(codec.distorted(level, side[:, K_EFF], drawn), side, labels, seed)
        rows = []
        for step in steps:
            data = [codec.encode(g, step) for g in given]
            if codec in ours:
                found = {"label in the PDU": _numbers(label for d in data for label in codec.labels(d))}
            else:
                decoded = np.concatenate([codec.decode(d) - g.floor[:, None] for d, g in zip(data, groups, strict=True)])
                sides = _stacked(groups)[1]
                found = {"learnt as they are": plain(decoded, sides), "learnt as decoded": refit(decoded, sides)}
            correct = {name: guess == truth for name, guess in found.items()}
            best = max(correct, key=lambda name: bootstrap.interval(correct[name])["mean"])
            before = right[WHOLE if codec in ours else PLAIN]
            rows.append({"bytes": round(sum(map(len, data)) / len(truth), 2), "classifier": best,
                         "accuracy": bootstrap.interval(correct[best]),
                         "minus_uncompressed": bootstrap.interval(correct[best], before)})
        out["points"][codec.name] = rows
    return out


def held_out_groups(engine: Engine, corpus: list[Path], quick: bool) -> tuple[list[SceneFrames], np.ndarray, np.ndarray]:
    """Groups of successive frames of recordings new to the model, and for each frame its class and the recording's number."""
    sources = [s for s in load_corpus(corpus) if s.label and s.name not in engine.trained_on]
    if not sources:
        raise CorpusError(f"{engine.model_name} was trained on every labelled recording; name a fold's model with --fold")
    groups, truth, number = [], [], []
    for index, source in enumerate(sources[:8] if quick else sources):
        for judged in judge(source, "plain", 0, engine)[:1]:
            for start in range(0, min(len(judged.items), MOST_GROUPS * GROUP), GROUP):
                items = judged.items[start:start + GROUP]
                tokens, side = engine.layout.split(items)
                level, floor = tokens[..., :-2].reshape(len(items), -1), side[:, 0].astype(np.float64)
                psd = level + floor[:, None]
                groups.append(SceneFrames(items, psd, psd, floor, int(side[0, K_EFF]), float(side[0, 2]) * engine.n_bins,
                                          source.name))
                truth += [CLASSES.index(judged.label)] * len(items)
                number += [index] * len(items)
        source.__dict__.pop("iq", None)
    return groups, np.array(truth), np.array(number)


def fit_classifier(level: np.ndarray, side: np.ndarray, labels: np.ndarray, seed: int):
    """A perceptron of one hidden layer on levels over the floor (F, N) and side values (F, 3); returns a function of such ->
    classes.
    """
    torch.manual_seed(seed)
    rng, inputs = np.random.default_rng(seed), _inputs(level, side)
    network = nn.Sequential(nn.Linear(inputs.shape[1], HIDDEN), nn.SiLU(), nn.Dropout(0.2), nn.Linear(HIDDEN, len(CLASSES)))
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=1e-2)
    count = np.bincount(labels, minlength=len(CLASSES)).clip(1)
    loss = nn.CrossEntropyLoss(torch.from_numpy((len(labels) / len(CLASSES) / count).clip(0, 10).astype(np.float32)))
    wanted = torch.from_numpy(labels.astype(np.int64))
    for _ in range(EPOCHS):
        order = rng.permutation(len(labels))
        for start in range(0, len(order), BATCH):
            rows = torch.from_numpy(order[start:start + BATCH])
            optimiser.zero_grad()
            loss(network(inputs[rows]), wanted[rows]).backward()
            optimiser.step()
    network.eval()

    def guess(level: np.ndarray, side: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(_inputs(level, side)).argmax(dim=1).numpy()

    return guess


def _inputs(level: np.ndarray, side: np.ndarray) -> torch.Tensor:
    values = torch.from_numpy(np.clip(level, -20.0, 80.0).astype(np.float32)) / 20.0
    return torch.cat((values, conditioning(torch.from_numpy(side.astype(np.float32)))), dim=1)


def _stacked(groups: list[SceneFrames]) -> tuple[np.ndarray, np.ndarray]:
    """(levels (F, N), side values (F, 3)) of all groups."""
    n_bins = groups[0].psd.shape[1]
    side = [np.stack((g.floor, np.full(len(g.floor), g.average), np.full(len(g.floor), g.samp_rate / n_bins)), 1) for g in groups]
    return np.concatenate([g.level for g in groups]), np.concatenate(side)


def classes_from_latents(engine: Engine, groups: list[SceneFrames]) -> np.ndarray:
    """(F,) classes that the head gives from the latents alone, which are not encoded."""
    weights = {k.removeprefix("latent_head."): torch.from_numpy(v.copy()) for k, v in engine.file.weights(engine.variant).items()
               if k.startswith("latent_head.")}
    head = LatentHead(engine.config, N_CONDITION).eval()
    head.load_state_dict(weights)
    found = []
    with torch.inference_mode():
        for g in groups:
            side = torch.from_numpy(_stacked([g])[1].astype(np.float32))
            latents = torch.from_numpy(engine.encode(g.items).latents)
            found.append(head(latents, conditioning(side)).argmax(dim=1).numpy())
    return _numbers(engine.labels[i] for i in np.concatenate(found))


def _numbers(names) -> np.ndarray:
    """Names of classes as numbers of the corpus' classes."""
    return np.array([CLASSES.index(name) for name in names])
