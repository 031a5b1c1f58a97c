# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit the codec's map to training frames when a model file is made; see `quantise`, step 2."""

from __future__ import annotations

import numpy as np

from .attention import DEFAULT_OF_FAMILY
from .engine import Engine
from .latent_decoder import conditioning
from .model_file import ModelFile
from .quantise import REFINE_STEPS, VariantCodec, log_bias_db
from .transforms import wavelet

JACOBIAN_FRAMES = 64
MAX_FRAMES = 2048
_RIDGE = 1e-3  # share of the mean eigenvalue; a direction that changes nothing in the spectrum still has a cost


def fit_codec(file: ModelFile, tokens: np.ndarray, side: np.ndarray, *, dropout_rate: float = 0.25, seed: int = 0) -> None:
    """Replace the file's `codec.*` tensors. They are fitted to the default variant and used by all variants.

    Args:
        tokens: (F, M, C) training frames from the tokenizer; up to 2048 of them are drawn and used.
        side: (F, 3) floor_dbfs, K_eff, bin_width_hz.
        dropout_rate: rate at which they are encoded.

    Raises:
        ValueError: fewer than 2 frames.
    """
    if len(tokens) < 2:
        raise ValueError(f"a codec cannot be fitted to {len(tokens)} frames")
    chosen = np.random.default_rng(seed).permutation(len(tokens))[:MAX_FRAMES]
    tokens, side = np.asarray(tokens[chosen], np.float32), np.asarray(side[chosen], np.float32)
    row = file.contract["variants"][0]
    engine = Engine(file, compute="cpu", backend=DEFAULT_OF_FAMILY[row["attention"]], rope_mode=row["rope"],
                    dropout_rate=dropout_rate)
    items = np.zeros((len(tokens), engine.layout.item_size), np.float32)
    for part, value in zip(engine.layout.split(items), (tokens, side), strict=True):
        part[:] = value
    latents = engine.encode(items).latents
    for name in [t for t in file.tensors if t.startswith("codec.")]:
        del file.tensors[name]
    fitted = _fit(VariantCodec(file, row["name"]), latents, tokens[..., :-2].reshape(len(tokens), -1), side)
    file.tensors.update({f"codec.{k}": v for k, v in fitted.items()})


def _fit(codec: VariantCodec, latents: np.ndarray, level: np.ndarray, side: np.ndarray) -> dict[str, np.ndarray]:
    """The map's tensors, fitted to the latents first and then again to the latents refined with that map."""
    condition, flat = conditioning(side), latents.reshape(len(latents), -1)
    metric = _metric(codec, flat[:JACOBIAN_FRAMES], condition[:JACOBIAN_FRAMES])
    tensors = _map(flat, metric)
    codec.set_map(tensors | dict(zip(("detail_scale", "flat_scale"), codec.detail_scales, strict=True)))
    flat = codec.refined(latents, level, condition, REFINE_STEPS)
    tensors = _map(flat, metric)
    left = level - codec.decoder.mean_db(flat, condition)
    above = level - log_bias_db(side[:, 1])[:, None]
    for name, x in (("detail_scale", left), ("flat_scale", above)):
        scale = np.abs(wavelet(x.astype(np.float32))).mean(axis=0) / np.sqrt(codec.config.fft_size)
        tensors[name] = scale.astype(np.float32)
    return tensors


def _metric(codec: VariantCodec, flat: np.ndarray, condition: np.ndarray) -> np.ndarray:
    """(P, P): mean of J^T J / N over frames. J is the Jacobian of the decoded spectrum by the latents."""
    total = np.zeros((flat.shape[1], flat.shape[1]), np.float32)
    every_way = np.eye(flat.shape[1], dtype=np.float32)
    for frame in range(len(flat)):
        transposed = codec.decoder.at(flat[frame:frame + 1], condition[frame:frame + 1]).push(every_way)  # (P, N)
        total += transposed @ transposed.T / transposed.shape[1]
    return total / len(flat)


def _map(flat: np.ndarray, metric: np.ndarray) -> dict[str, np.ndarray]:
    """Karhunen-Loeve transform of the latents in the metric: y = analysis (z - mean), z = mean + synthesis y."""
    flat, metric = flat.astype(np.float64), metric.astype(np.float64)
    values, vectors = np.linalg.eigh(metric)
    values = np.maximum(values, 0.0)
    values += _RIDGE * max(values.mean(), 1e-12)
    root = (vectors * np.sqrt(values)) @ vectors.T
    inverse = (vectors / np.sqrt(values)) @ vectors.T
    mean = flat.mean(axis=0)
    centred = (flat - mean) @ root
    _, basis = np.linalg.eigh(centred.T @ centred / len(centred))
    basis = basis[:, ::-1]  # largest variance first
    out = {"mean": mean, "analysis": basis.T @ root, "synthesis": inverse @ basis, "scale": np.abs(centred @ basis).mean(axis=0)}
    return {k: np.ascontiguousarray(v, np.float32) for k, v in out.items()}
