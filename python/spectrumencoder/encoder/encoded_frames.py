# SPDX-License-Identifier: GPL-3.0-or-later
"""What `Engine.encode` gives."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class _FourArrays(NamedTuple):
    residual: np.ndarray  # (F, N) float32, (level - mean) / sigma
    features: np.ndarray  # (F, 256) float32, layout in features.py
    reconstruction: np.ndarray  # (F, N) float32, dBFS
    latents: np.ndarray  # (F, L, W) float32; the reconstruction is made from them


class EncodedFrames(_FourArrays):
    """A tuple of four arrays, and the attribute `token_classes`: (F, M (labels + 2)) float32, laid out as in token_classes.py, or
    None if they were not asked for."""

    token_classes: np.ndarray | None

    def __new__(cls, residual, features, reconstruction, latents, token_classes=None):
        made = super().__new__(cls, residual, features, reconstruction, latents)
        made.token_classes = token_classes
        return made


GivenArrays = tuple[np.ndarray | None, ...]  # in the order of EncodedFrames; None: the engine makes that array
