# SPDX-License-Identifier: GPL-3.0-or-later
"""Labelled frames that a model was not trained on: windows of a training pool, or the frames of a corpus of recordings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...encoder import features
from ...encoder.engine import Engine
from ...training.corpus import CLASSES, CorpusError, load_corpus
from .classify import judge
from .windows import held_out_windows

CHUNK = 512  # frames encoded at a time: outputs are large, what is kept of them small


@dataclass
class Frames:
    """`items` (F, item_size) float32; `label` (F,) index into the engine's labels; `band` F names; `recording` F names."""

    items: np.ndarray
    label: np.ndarray
    band: list[str]
    recording: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def sample(self, count: int, rng: np.random.Generator) -> Frames:
        """`count` of them or fewer, drawn without replacement."""
        chosen = rng.permutation(len(self))[:count]
        return Frames(self.items[chosen], self.label[chosen], [self.band[i] for i in chosen], self.recording[chosen])


def frames_of(engine: Engine, *, pool: Path | None = None, corpus: Path | None = None, condition: str = "equalised",
              max_windows: int | None = None, seed: int = 0) -> Frames:
    """Frames that neither model of the engine was trained on.

    Args:
        pool: folder of augmented windows that training made; their band is hidden. corpus: folder of labelled recordings, whose
            frames are judged as by `evaluate classify` under `condition` (plain | equalised). Exactly one of both.
        max_windows: takes the first windows of the pool only. seed: of the equalised condition.

    Raises:
        CorpusError: there are no such frames. ValueError: not exactly one source, or a label that the model does not know.
    """
    if (pool is None) == (corpus is None):
        raise ValueError("name frames: --pool DIR (augmented windows made by training) or --corpus DIR (recordings), not both")
    if pool is not None:
        windows = held_out_windows(pool, str(engine.file.path), max_windows=max_windows)
        names = np.array([windows.names[s] for s in windows.source])
        leaked = sorted(set(names) & engine.trained_on)
        if leaked:
            raise CorpusError(f"{engine.model_name}: one of its models was trained on {len(leaked)} recordings that the other "
                              f"was not ({', '.join(leaked[:3])}, ...); name two models of the same split")
        return Frames(windows.items, _index(engine, windows.label), ["unknown"] * len(windows), names)
    judged = []
    for source in load_corpus([corpus]):
        if source.label and source.name not in engine.trained_on:
            judged += [j for j in judge(source, condition, seed, engine) if len(j.items)]
            source.__dict__.pop("iq", None)  # a whole corpus in memory is not needed
    if not judged:
        raise CorpusError(f"{corpus} holds no labelled recording that is new to {engine.model_name}; give other recordings, or "
                          "the models of a fold")
    label = np.repeat([CLASSES.index(j.label) for j in judged], [len(j.items) for j in judged])
    return Frames(np.concatenate([j.items for j in judged]), _index(engine, label),
                  [j.band for j in judged for _ in range(len(j.items))],
                  np.repeat([j.file or j.recording for j in judged], [len(j.items) for j in judged]))


def _index(engine: Engine, label: np.ndarray) -> np.ndarray:
    """Indices into CLASSES -> into the labels of the engine's model."""
    missing = [CLASSES[i] for i in np.unique(label) if CLASSES[i] not in engine.labels]
    if missing:
        raise ValueError(f"{engine.model_name} does not know the classes {', '.join(missing)}; judge a model with those labels")
    return np.array([engine.labels.index(c) if c in engine.labels else -1 for c in CLASSES])[label]


def encoded_features(engine: Engine, frames: Frames, progress=lambda done, total: None) -> np.ndarray:
    """(F, 256) features of the frames, in chunks."""
    rows = np.empty((len(frames), features.N_FEATURES), np.float32)
    for start in range(0, len(frames), CHUNK):
        part = slice(start, start + CHUNK)
        rows[part] = engine.encode(frames.items[part], frames.band[part]).features
        progress(min(start + CHUNK, len(frames)), len(frames))
    return rows
