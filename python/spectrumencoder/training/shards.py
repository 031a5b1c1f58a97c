# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes shards during training: worker processes write them, and the loop waits for the one that it needs.

A pool is a folder of shards drawn from all recordings of a corpus, with parts `train` and `test` from different seeds. A pool
belongs to a recipe, not to a split, so folds, model sizes and ablations share one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from ..tokens.layout import FrameLayout
from .corpus import CLASSES, load_corpus
from .datasets import UNLABELLED, FrameFactory, Recipe, make_shard
from .run_folder import claim

BURSTY = ("ADS-B", "LoRa", "BLE", "802.15.4", "ISM-sensor-OOK", "ISM-sensor-FSK")
FIELDS = ("tokens", "side", "target", "label", "anomaly", "band", "source", "mixed", "token_label", "boundary", "others")


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard_{number:04d}.npz"


def _make(folder, corpus, layout, window, bands, recipe, seed, numbers, size):
    os.nice(5)
    torch.set_num_threads(1)
    factory = FrameFactory(load_corpus(corpus), layout, window, recipe)
    for number in numbers:
        path = shard_path(folder, number)
        if not path.exists() and (lock := _lock(path)):
            try:
                make_shard(factory, bands, seed, number, size, path)
            finally:
                lock.unlink()


def _lock(path: Path) -> Path | None:
    """Create the file that says which process makes `path`, so that trainings that share a pool make no shard twice.

    Returns:
        The file; None if another living process has claimed the shard."""
    lock = path.with_suffix(".making")
    while True:
        try:
            with open(lock, "x") as file:
                file.write(str(os.getpid()))
            return lock
        except FileExistsError:
            if being_made(path):
                return None
            lock.unlink(missing_ok=True)  # left by a killed process


def being_made(path: Path) -> bool:
    """True while a living process is making this shard."""
    try:
        os.kill(int(path.with_suffix(".making").read_text() or os.getpid()), 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True


class ShardMaker:
    """Makes shards 0 .. count-1 in `workers` processes (0: on request, in this process). Existing shards are kept.

    Args:
        pool: folder; the shards go to its folder `part` (train | test: their seeds differ).
        corpus: see training.corpus.

    Raises:
        ConfigError: the pool was made from another recipe, seed, frame layout or corpus.
    """

    def __init__(self, pool: Path, part: str, corpus: list[Path], *, layout: FrameLayout, window: str, bands: tuple[str, ...],
                 recipe: Recipe, seed: int, count: int, size: int, workers: int):
        self.folder, self.count, self.layout = pool / part, count, layout
        self.folder.mkdir(parents=True, exist_ok=True)
        sources = load_corpus(corpus)
        self.sources = [s.name for s in sources]
        claim(pool, "pool.json", {"recipe": asdict(recipe), "seed": seed, "fft_size": layout.fft_size, "stride": layout.stride,
                                  "window": window, "bands": list(bands), "sources": self.sources})
        seed = seed if part == "train" else seed + 1
        self._make_here = None
        if workers == 0:
            self.factory = FrameFactory(sources, layout, window, recipe)
            self._make_here = lambda number: make_shard(self.factory, bands, seed, number, size, shard_path(self.folder, number))
        context = get_context("spawn")
        self.processes = []
        workers = min(workers, count)
        for worker in range(workers):
            numbers = list(range(worker, count, workers))
            if all(shard_path(self.folder, n).exists() for n in numbers):
                continue
            process = context.Process(target=_make, daemon=True, args=(self.folder, corpus, layout, window, bands, recipe, seed,
                                                                        numbers, size))
            process.start()
            self.processes.append(process)

    def get(self, number: int) -> dict[str, np.ndarray]:
        """Shard `number`; waits until it exists.

        Raises:
            RuntimeError: a worker died before it made the shard.
        """
        path = shard_path(self.folder, number)
        if self._make_here and not path.exists():
            self._make_here(number)
        while not path.exists():
            if not any(p.is_alive() for p in self.processes) and not being_made(path) and not path.exists():
                codes = [p.exitcode for p in self.processes]
                raise RuntimeError(f"the processes that make training shards ended (exit codes {codes}) before {path.name} "
                                   "was made")
            time.sleep(0.2)
        with np.load(path) as file:
            return {key: file[key] for key in FIELDS}

    def close(self) -> None:
        for process in self.processes:
            process.terminate()
            process.join(5)


def unlabel_unseen(shard: dict[str, np.ndarray], layout: FrameLayout, classes: Sequence[str] = CLASSES,
                   bursty: Sequence[str] = BURSTY) -> np.ndarray:
    """Labels (F,) with -1 for frames of bursty classes without a visible signal: the burst was too weak, or lay outside.

    With a label, such frames would teach the network to name noise by the usual class at that rate. A signal is visible if one of
    these values exceeds that of 99 % of the shard's frames of simulated noise with as many windows:

    * the spread of a token, or its max-hold over its mean;
    * the mean of either over all tokens, which a short burst as wide as the band raises;
    * the level of three tokens in a row.

    classes: names of the classes. bursty: those of bursts.
    """
    tokens = shard["tokens"].astype(np.float32).reshape(-1, layout.n_tokens, layout.token_dim)
    level = 10.0 * np.log10((10.0 ** (tokens[..., :layout.stride] / 10.0)).mean(axis=-1) + 1e-20)
    three = (level[:, 2:] + level[:, 1:-1] + level[:, :-2]) / 3.0
    spread, peak = tokens[..., -1], tokens[..., -2] - level
    third = max(layout.n_tokens - 3, 0)  # the third largest: a single odd token proves nothing
    signs = np.stack([np.partition(spread, third, axis=1)[:, third] - np.median(spread, axis=1),
                      np.partition(peak, third, axis=1)[:, third], three.max(axis=1) - np.median(three, axis=1),
                      spread.mean(axis=1), peak.mean(axis=1)])
    label, averages = shard["label"].copy(), shard["side"][:, 1]
    may_be_unseen = np.isin(label, [n for n, name in enumerate(classes) if name in bursty])
    for average in np.unique(averages):
        chosen = averages == average
        noise = chosen & (label == classes.index("noise")) & (shard["source"] < 0) & (shard["anomaly"] == 0)
        if noise.sum() < 8:  # too few frames to describe noise
            continue
        limits = np.quantile(signs[:, noise], 0.99, axis=1)[:, None]
        label[chosen & may_be_unseen & (signs <= limits).all(axis=0)] = UNLABELLED
    return label


def without(shard: dict[str, np.ndarray], sources: set[int]) -> dict[str, np.ndarray]:
    """The frames of a shard that contain none of the recordings with these numbers."""
    numbers = list(sources)
    heard = np.isin(shard["source"], numbers) | np.isin(shard["mixed"], numbers) | np.isin(shard["others"], numbers).any(axis=1)
    return {key: value[~heard] for key, value in shard.items()}
