# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames and training shards drawn in NumPy, without the tokenizer: emitters of several widths in averaged noise.

They serve parity, speed and the loss of the first steps. A model that is trained on them is of no use. `prepare` makes shards
from recordings.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...tokens.layout import BIN_WIDTH_HZ, FLOOR_DBFS, K_EFF, FrameLayout
from ...training.composed import EMPTY, MAX_EMITTERS
from ...training.corpus import CLASSES

AVERAGE = 16  # windows in a frame


def draw_frames(rng: np.random.Generator, count: int, layout: FrameLayout) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Items (F, item_size) float32, and what the frames were drawn from.

    That is target (F, N) dB, label and anomaly (F,), and for each token its class and whether a boundary lies before it (F, M).
    """
    n_bins, bins = layout.fft_size, np.arange(layout.fft_size)
    label, anomaly = rng.integers(0, len(CLASSES), count), rng.random(count) < 0.15
    level = np.ones((count, n_bins))  # linear, over the floor
    inside = np.zeros((count, n_bins), bool)
    for row, number in enumerate(label):
        if CLASSES[number] == "noise":
            continue
        width = n_bins * 0.6 ** (number + 1)  # each class has a width of its own
        inside[row] = np.abs(bins - rng.uniform(0, n_bins)) <= max(width / 2, 1)
        level[row] += 10 ** rng.uniform(0.5, 3) * inside[row]
    target = 10 * np.log10(level)
    for row in np.flatnonzero(anomaly):
        level[row] += 10 ** rng.uniform(0.5, 2.5) * (np.abs(bins - rng.uniform(0, n_bins)) <= n_bins / 50)
    items = np.zeros((count, layout.item_size), np.float32)
    tokens, side = layout.split(items)
    shape = (layout.n_tokens, layout.stride)
    for row in range(count):
        power = rng.exponential(size=(AVERAGE, *shape)) * level[row].reshape(shape)
        token_power = power.sum(axis=2)
        tokens[row, :, :-2] = 10 * np.log10(power.mean(axis=0))
        tokens[row, :, -2] = 10 * np.log10(power.max(axis=(0, 2)))
        tokens[row, :, -1] = token_power.std(axis=0) / token_power.mean(axis=0)
        side[row, [FLOOR_DBFS, K_EFF, BIN_WIDTH_HZ]] = rng.uniform(-100, -60), AVERAGE, 2.4e6 / n_bins
    held = inside.reshape(count, *shape).any(axis=2)  # (F, M)
    return items, {"target": target, "label": label, "anomaly": anomaly, "token_label": np.where(held, label[:, None], EMPTY),
                   "boundary": np.diff(held, axis=1, prepend=held[:, :1])}


def draw_shard(rng: np.random.Generator, count: int, layout: FrameLayout, n_bands: int) -> dict[str, np.ndarray]:
    """The arrays of a training shard (`training.shards.FIELDS`)."""
    items, drawn = draw_frames(rng, count, layout)
    tokens, side = layout.split(items)
    none = np.full(count, -1, np.int16)
    return {"tokens": tokens.reshape(count, -1).astype(np.float16), "side": side.copy(),
            "target": drawn["target"].astype(np.float16),
            **{key: drawn[key].astype(np.int8) for key in ("label", "anomaly", "token_label", "boundary")},
            "band": rng.integers(0, n_bands, count).astype(np.int8), "source": none, "mixed": none.copy(),
            "others": np.full((count, MAX_EMITTERS), -1, np.int16)}


class CarriedShards:
    """Shards of a folder that was copied here, or drawn ones; in place of `training.shards.ShardMaker`.

    Args:
        folder: holds shard_0000.npz and on; None: draw `count` shards of `size` frames.
    """

    def __init__(self, folder: Path | None, layout: FrameLayout, n_bands: int, *, count: int = 2, size: int = 2048,
                 seed: int = 0):
        self.layout, self._seed, self._size, self._n_bands = layout, seed, size, n_bands
        self._files = sorted(folder.glob("shard_*.npz")) if folder is not None else []
        if folder is not None and not self._files:
            raise FileNotFoundError(f"{folder} holds no shard_*.npz; make them with tools/gpu_check.py prepare")
        self.count = len(self._files) or count
        self.source = str(folder) if folder is not None else "drawn"

    def get(self, number: int) -> dict[str, np.ndarray]:
        """Shard `number`."""
        from ...training.shards import FIELDS
        if not self._files:
            return draw_shard(np.random.default_rng((self._seed, number)), self._size, self.layout, self._n_bands)
        with np.load(self._files[number]) as file:
            return {key: file[key] for key in FIELDS}
