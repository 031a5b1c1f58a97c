# SPDX-License-Identifier: GPL-3.0-or-later
"""Augmented windows of a pool's part `test`, from recordings that the judged model was not trained on.

They are drawn as training frames are, with other seeds. Experiments that compare settings on the same frames (paired) use them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...encoder.engine import Engine
from ...encoder.model_file import find_model, load
from ...tokens.layout import FrameLayout
from ...training.corpus import CLASSES, CorpusError
from ...training.run_folder import read_claim
from ...training.shards import FIELDS, without


@dataclass
class Windows:
    """`items` (F, item_size) float32 as the tokenizer gives them; `label` (F,) index into CLASSES; `band` list of F names;
    `source` (F,) number of the recording (-1: simulated); `names` of the recordings."""

    items: np.ndarray
    label: np.ndarray
    band: list[str]
    source: np.ndarray
    names: list[str]

    def __len__(self) -> int:
        return len(self.label)


def held_out_windows(pool: Path, model: str, *, real_only: bool = True, max_windows: int | None = None) -> Windows:
    """The labelled windows without injected anomaly of the recordings that `model` was not trained on.

    Args:
        pool: folder made by training (`--pool`), with a part `test`.
        real_only: leave simulated ones out. max_windows: take the first ones only, up to this number.

    Raises:
        CorpusError: no such pool, or none of its recordings is new to the model.
    """
    claim = read_claim(pool, "pool.json")
    paths = sorted((pool / "test").glob("shard_*.npz"))
    if claim is None or not paths:
        raise CorpusError(f"{pool} holds no test windows; `spectrumencoder train --pool {pool}` makes them")
    contract = load(find_model(model)).contract
    trained = set(contract["training"]["trained_on"])
    seen = {n for n, name in enumerate(claim["sources"]) if name in trained}
    parts, count = [], 0
    for path in paths:
        with np.load(path) as file:
            shard = without({key: file[key] for key in FIELDS}, seen)
        chosen = (shard["label"] >= 0) & (shard["anomaly"] == 0) & ((shard["source"] >= 0) | (not real_only))
        parts.append({key: value[chosen] for key, value in shard.items()})
        count += int(chosen.sum())
        if max_windows is not None and count >= max_windows:
            break
    joined = {key: np.concatenate([p[key] for p in parts])[:max_windows] for key in parts[0]}
    if not len(joined["label"]):
        raise CorpusError(f"{pool}: {model} was trained on every recording of the test windows; give the model of a fold")
    return as_windows(joined, claim)


def as_windows(frames: dict[str, np.ndarray], claim: dict) -> Windows:
    """Frames of shards as the tokenizer's items. `claim`: what the pool's pool.json holds."""
    layout = FrameLayout(claim["fft_size"], claim["stride"])
    size = layout.n_tokens * layout.token_dim
    items = np.zeros((len(frames["label"]), layout.item_size), np.float32)
    items[:, :size] = frames["tokens"].reshape(len(items), -1)
    items[:, size:][:, :3] = frames["side"]
    return Windows(items, frames["label"].astype(int), [claim["bands"][b] for b in frames["band"]], frames["source"].astype(int),
                   claim["sources"])


def is_correct(engine: Engine, windows: Windows, band: str | None = "unknown") -> np.ndarray:
    """(F,) bool: the most probable class is the label. band: the band given for all windows; None gives each window's own."""
    from ...encoder import features

    encoded = engine.encode(windows.items, windows.band if band is None else band)
    guess = encoded.features[:, features.PROBABILITIES][:, :len(engine.labels)].argmax(axis=1)
    return np.array([engine.labels[g] for g in guess]) == np.array(CLASSES)[windows.label]


def bootstrap(values: np.ndarray, groups: np.ndarray, seed: int = 0, draws: int = 1000) -> tuple[float, float]:
    """95 % interval of the mean of values (F,), drawing whole groups (F,) (recordings) with replacement."""
    _, inverse = np.unique(groups, return_inverse=True)
    total, count = np.bincount(inverse, values), np.bincount(inverse)
    chosen = np.random.default_rng(seed).integers(0, len(total), (draws, len(total)))
    means = total[chosen].sum(axis=1) / count[chosen].sum(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))
