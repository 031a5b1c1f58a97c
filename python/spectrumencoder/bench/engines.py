# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines to measure, in every runtime that they offer, and frames to give them."""

from __future__ import annotations

import numpy as np

from ..encoder.engine import AUTO, NATIVE, RUNTIMES, TORCH, Engine
from ..encoder.model_file import ModelFile, find_model, load
from ..tokens.layout import BIN_WIDTH_HZ, FLOOR_DBFS, K_EFF, FrameLayout

SHIPPED = ("fast", "base", "large")
ARMS = tuple(r for r in RUNTIMES if r != AUTO)  # `auto` chooses one of them and is no arm of its own
AVERAGE = 16


def open_model(name: str) -> ModelFile:
    """A model file by name or path."""
    return load(find_model(name))


def make_engine(model: ModelFile, runtime: str = TORCH, **settings) -> Engine:
    """An Engine on the CPU in that runtime.

    Raises:
        ValueError: the runtime cannot run here.
    """
    return Engine(model, **{"compute": "cpu", "runtime": runtime} | settings)


def make_engines(model: ModelFile, unavailable: dict[str, str], **settings) -> dict[str, Engine]:
    """runtime -> Engine. `unavailable` gets the reason of each runtime that cannot run here."""
    made = {}
    for runtime in ARMS:
        try:
            made[runtime] = make_engine(model, runtime, **settings)
        except (ValueError, ImportError) as error:
            unavailable[runtime] = str(error)
    return made


def noise_frames(count: int, layout: FrameLayout = FrameLayout(), *, average: int = AVERAGE, samp_rate: float = 2.4e6,
                 seed: int = 0) -> np.ndarray:
    """(count, item_size) float32: frames of white noise as the tokenizer would give them, without the compiled module.

    Powers of `average` windows are drawn for each bin, independent of each other. A window makes neighbours alike, which
    changes no time.
    """
    rng, tokens = np.random.default_rng(seed), layout.n_tokens
    items = np.zeros((count, layout.item_size), np.float32)
    values, side = layout.split(items)
    for row, frame in zip(values, side, strict=True):
        power = rng.exponential(size=(average, tokens, layout.stride))
        token_power = power.sum(axis=2)
        row[:, :-2] = 10 * np.log10(power.mean(axis=0))
        row[:, -2] = 10 * np.log10(power.max(axis=(0, 2)))
        row[:, -1] = token_power.std(axis=0) / token_power.mean(axis=0)
        frame[[FLOOR_DBFS, K_EFF, BIN_WIDTH_HZ]] = -80.0, average, samp_rate / layout.fft_size
    return items


def arm_name(model: str, rate: float, pad_batch: int, runtime: str) -> str:
    padding = f" pad {pad_batch}" if runtime != NATIVE else ""  # it has none
    return f"{model} r={rate:g}{padding} {runtime}"
