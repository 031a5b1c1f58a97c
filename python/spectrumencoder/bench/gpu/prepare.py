# SPDX-License-Identifier: GPL-3.0-or-later
"""Training shards for the check, made where the recordings and the C++ library are."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

from ...encoder.config import EncoderConfig
from ...training.config import read_config
from ...training.corpus import CLASSES
from ...training.loop import make_pool


def prepare(recipe: Path, corpus: list[Path], out: Path, *, shards: int = 2, shard_size: int = 2048) -> Path:
    """Make shards of a recipe.

    Args:
        recipe: recipes/train/base.toml or alike.
        corpus: folders of labelled recordings.
        out: folder of the pool.
        shards, shard_size: number of files, and frames in each (about 5 kB a frame).

    Returns:
        The folder of the shards, which `check` takes.

    Raises:
        ConfigError, CorpusError: the recipe or the recordings cannot be used. ImportError: the C++ library is missing.
    """
    encoder, data, training = read_config(tomllib.loads(recipe.read_text()))
    encoder = EncoderConfig.from_dict({**encoder.to_dict(), "labels": CLASSES})
    training = replace(training, shards=shards, shard_size=shard_size)
    maker = make_pool(encoder, data, training, corpus, out, "train", shards, workers=0)
    try:
        for number in range(shards):
            maker.get(number)
    finally:
        maker.close()
    return maker.folder
