# SPDX-License-Identifier: GPL-3.0-or-later
"""Inputs of both parts of `evaluate compress`: frames that codecs may learn from, and the operating points of a codec."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...tokens.layout import FrameLayout
from ...training.run_folder import read_claim
from ...training.shards import FIELDS, shard_path, without
from ..anomaly.clean_scenes import SceneFrames, make_scenes

TRAINING_SEED, SIMULATED_SCENES = 800_000, 32  # of the scenes that classical codecs learn from without a pool
COARSEST, LADDER = 104, 8  # step indices that operating points are looked for in
GROUP = 32


class CompressError(Exception):
    """An evaluation that cannot be run; one line."""


def training_frames(file, pool: Path | None, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(tokens (F, M, C), side (F, 3), labels (F,), -1: none) of frames that the model may have been trained on, no other.

    Raises:
        CompressError: the pool holds none.
    """
    layout = FrameLayout(file.contract["encoder"]["fft_size"], file.contract["encoder"]["stride"])
    if pool is None:
        scenes = max(2, min(SIMULATED_SCENES, count // 48))
        made = make_scenes(scenes, -(-count // scenes), 4, layout, file.contract["encoder"]["window"], TRAINING_SEED)
        items = np.concatenate([m.items for m in made])
        tokens, side = layout.split(items)
        frames = {"tokens": tokens, "side": side, "label": np.full(len(items), -1), "anomaly": np.zeros(len(items), int)}
    else:
        claim = read_claim(pool, "pool.json")
        if claim is None or not shard_path(pool / "train", 0).is_file():
            raise CompressError(f"{pool} holds no frames of training; `spectrumencoder train --pool {pool}` makes them")
        trained = set(file.contract.get("training", {}).get("trained_on", []))
        unseen = {n for n, name in enumerate(claim["sources"]) if name not in trained}
        parts, number = [], 0
        while sum(len(p["label"]) for p in parts) < 2 * count and shard_path(pool / "train", number).is_file():
            with np.load(shard_path(pool / "train", number)) as shard:
                parts.append(without({key: shard[key] for key in FIELDS}, unseen))
            number += 1
        frames = {key: np.concatenate([p[key] for p in parts]) for key in FIELDS}
    chosen = np.flatnonzero(frames["anomaly"] == 0)
    chosen = np.random.default_rng(seed).permutation(chosen)[:count]
    if len(chosen) < 2:
        raise CompressError(f"{pool} holds no frames of recordings that {file.name} was trained on")
    tokens = frames["tokens"][chosen].astype(np.float32).reshape(len(chosen), layout.n_tokens, layout.token_dim)
    tokens[..., :-2] = np.clip(tokens[..., :-2], -20.0, 80.0)
    return tokens, frames["side"][chosen].astype(np.float32), frames["label"][chosen].astype(int)


def steps_for(codec, groups: list[SceneFrames], targets, n_groups: int = 2) -> list[int]:
    """Step indices at which the codec needs about these bytes a spectrum, found on a few groups; each once."""
    some = groups[::max(1, len(groups) // n_groups)][:n_groups]
    given = [codec.latents(g) if hasattr(codec, "latents") else None for g in some]
    n_frames = sum(len(g.psd) for g in some)
    sizes, steps = [], list(range(COARSEST, -1, -LADDER))
    for step in steps:
        sizes.append(sum(len(codec.encode(g, step, x)) for g, x in zip(some, given, strict=True)) / n_frames)
        if sizes[-1] > 1.3 * max(targets):
            break
    found = np.interp(np.log(targets), np.log(np.maximum.accumulate(sizes)) + 1e-9 * np.arange(len(sizes)), steps[:len(sizes)])
    return sorted({int(round(s)) for s in found}, reverse=True)
