# SPDX-License-Identifier: GPL-3.0-or-later
"""Classes told from decoded spectra of held-out recordings: the model's from its latents, those of others by small classifiers.

Frames are successive ones of recordings that the model was not trained on, in groups as they are encoded, and such that hold the
signal (`classify.judge`). A classical codec gets the better of two classifiers (one hidden layer of 128): one learnt from
training frames as they are, one from training frames as the codec leaves them at its own operating points. Balanced accuracy,
intervals by bootstrap over recordings.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..encoder.encoder import conditioning
from ..encoder.engine import Engine
from ..encoder.fit_codec import fit_codec
from ..encoder.model_file import find_model, load
from ..encoder.quantise import Codec
from ..tokens.layout import K_EFF
from ..training.corpus import CLASSES, CorpusError, load_corpus
from .classify import judge
from .clean_scenes import SceneFrames
from .compress_inputs import GROUP, steps_for, training_frames
from .paired import PairedBootstrap
from .spectrum_codecs import ModelCodec

TARGET_BYTES = (8, 16, 34)
MOST_GROUPS = 3  # of a recording
STEP_GROUPS = 8  # of all, that the operating points are found on
EPOCHS, HIDDEN, BATCH = 8, 128, 128


def accuracy(model: str, pool: Path, corpus: list[Path], classical: list, *, train_frames: int, refine: int, dropout_rate: float,
             seed: int, quick: bool) -> dict:
    """Balanced accuracy of each codec at some bytes a spectrum.

    Returns:
        {"model", "n_frames", "n_recordings", "uncompressed": {...}, "points": {codec: [{bytes, accuracy, ...}]}}; accuracies as
        {mean, low, high}, `minus_uncompressed` paired.

    Raises:
        CorpusError: the model was trained on every labelled recording.
    """
    file = load(find_model(model))
    tokens, side, labels = training_frames(file, pool, train_frames, seed)
    if "codec.mean" not in file.tensors:
        fit_codec(file, tokens, side, seed=seed)
    engine = Engine(file, dropout_rate=dropout_rate)
    groups, truth, source = held_out_groups(engine, corpus, quick)
    bootstrap = PairedBootstrap(truth, source, seed=seed)
    codec = Codec(file)
    ours = [ModelCodec(engine, codec, detail=detail, refine=refine) for detail in (True, False)]
    known = labels >= 0
    level, side, labels = tokens[known][..., :-2].reshape(known.sum(), -1), side[known], labels[known]
    plain = fit_classifier(level, side, labels, seed)
    right = {"the whole model": _classes(engine, groups) == truth,
             "its class head on latents": _head_on_latents(ours[0], groups) == truth,
             "classifier on spectra as they are": plain(*_stacked(groups)) == truth}
    reference = {one.name: right["its class head on latents"] for one in ours}
    out = {"model": file.name, "n_frames": len(truth), "n_recordings": len(np.unique(source)), "points": {},
           "uncompressed": {name: bootstrap.interval(r) for name, r in right.items()}}
    for codec in (*ours, *classical):
        steps = steps_for(codec, groups, TARGET_BYTES, STEP_GROUPS)
        refit = None
        if codec not in ours:
            drawn = np.random.default_rng(seed).choice(steps, len(level))
            refit = fit_classifier(codec.distorted(level, side[:, K_EFF], drawn), side, labels, seed)
        rows = []
        for step in steps:
            data = [codec.encode(g, step) for g in groups]
            if codec in ours:
                found = {"class head": np.concatenate([_head(codec, d) for d in data])}
            else:
                decoded = np.concatenate([codec.decode(d) - g.floor[:, None] for d, g in zip(data, groups, strict=True)])
                sides = _stacked(groups)[1]
                found = {"learnt as they are": plain(decoded, sides), "learnt as decoded": refit(decoded, sides)}
            correct = {name: guess == truth for name, guess in found.items()}
            best = max(correct, key=lambda name: bootstrap.interval(correct[name])["mean"])
            before = reference.get(codec.name, right["classifier on spectra as they are"])
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
    """A perceptron of one hidden layer on levels over the floor (F, N) and side values (F, 3): a function of such -> classes."""
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


def _classes(engine: Engine, groups: list[SceneFrames]) -> np.ndarray:
    """(F,) classes that the whole model tells, its input not encoded, band unknown."""
    from ..encoder import features

    found = [engine.encode(g.items).features[:, features.PROBABILITIES][:, :len(engine.labels)].argmax(axis=1) for g in groups]
    return np.array([CLASSES.index(engine.labels[i]) for i in np.concatenate(found)])


def _head_on_latents(codec: ModelCodec, groups: list[SceneFrames]) -> np.ndarray:
    """(F,) classes of the head on latents that are not encoded."""
    own, found = codec.codec.of(codec.engine.variant), []
    if own.head is None:
        raise ValueError(f"model {codec.codec.file.name} has no class head on its latents; its accuracy cannot be judged")
    with torch.no_grad():
        for g in groups:
            condition = own.condition(g.floor, np.full(len(g.floor), g.average), g.samp_rate)
            found.append(own.head(torch.from_numpy(codec.latents(g)), condition).argmax(dim=1).numpy())
    return np.array([CLASSES.index(codec.codec.labels[i]) for i in np.concatenate(found)])


def _head(codec: ModelCodec, data: bytes) -> np.ndarray:
    """(F,) classes of the head on decoded latents.

    Raises:
        ValueError: the model has no such head.
    """
    probabilities = codec.probabilities(data)
    if probabilities is None:
        raise ValueError(f"model {codec.codec.file.name} has no class head on its latents; its accuracy cannot be judged")
    return np.array([CLASSES.index(codec.codec.labels[i]) for i in probabilities.argmax(axis=1)])
