# SPDX-License-Identifier: GPL-3.0-or-later
"""Shards made side by side with training: worker processes write them, the loop waits for the one it needs."""

from __future__ import annotations

import os
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from ..tokens.layout import FrameLayout
from .corpus import load_corpus, split
from .datasets import FrameFactory, Recipe, make_shard

FIELDS = ("tokens", "side", "target", "label", "anomaly", "band")


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard_{number:04d}.npz"


def _make(folder, corpus, holdout, held_out, layout, window, bands, recipe, seed, numbers, size):
    os.nice(5)
    torch.set_num_threads(1)
    sources = split(load_corpus(corpus), holdout)[1 if held_out else 0]
    factory = FrameFactory(sources, layout, window, recipe)
    for number in numbers:
        path = shard_path(folder, number)
        if not path.exists():
            make_shard(factory, bands, seed, number, size, path)


class ShardMaker:
    """Makes shards 0 .. count-1 in `workers` processes (0: in this one, when asked for); those that exist are kept.

    Args:
        folder: where they go. corpus, holdout: see training.corpus. held_out: draw from the held-out sources instead.
    """

    def __init__(self, folder: Path, corpus: list[Path], holdout: list[str], *, held_out: bool, layout: FrameLayout, window: str,
                 bands: tuple[str, ...], recipe: Recipe, seed: int, count: int, size: int, workers: int):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.count = folder, count
        self._make_here = None
        if workers == 0:
            sources = split(load_corpus(corpus), holdout)[1 if held_out else 0]
            self.factory = FrameFactory(sources, layout, window, recipe)
            self._make_here = lambda number: make_shard(self.factory, bands, seed, number, size, shard_path(folder, number))
        context = get_context("spawn")
        self.processes = []
        for worker in range(workers):
            numbers = list(range(worker, count, workers))
            if all(shard_path(folder, n).exists() for n in numbers):
                continue
            process = context.Process(target=_make, daemon=True, args=(folder, corpus, holdout, held_out, layout, window, bands,
                                                                        recipe, seed, numbers, size))
            process.start()
            self.processes.append(process)

    def get(self, number: int) -> dict[str, np.ndarray]:
        """Shard `number`, waiting until it is there.

        Raises:
            RuntimeError: a worker died before it made the shard.
        """
        path = shard_path(self.folder, number)
        if self._make_here and not path.exists():
            self._make_here(number)
        while not path.exists():
            if not any(p.is_alive() for p in self.processes) and not path.exists():
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
