# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks that the parts measure, and their passes."""

from __future__ import annotations

import numpy as np
import torch

from ...encoder.encoder import mflop_per_spectrum
from ...encoder.engine import Engine
from ...encoder.model_file import find_model
from ...encoder.static_runtime import Form, GraphStep, StaticNetwork
from .frames import draw_frames

MODELS = ("fast", "base")
RATE = 0.25  # token dropout, as live


def all_outputs(config) -> tuple[tuple[str, int], ...]:
    """Outputs of `Engine.encode` with their widths."""
    return (("residual", config.fft_size), ("reconstruction", config.fft_size), ("latents", config.latents * config.latent_width),
            ("logit", 1), ("keep_statistics", 8), ("embedding", config.embedding), ("probabilities", len(config.labels)))


class Measured:
    """A shipped model with random frames, on a device.

    Args:
        dtype: of the blocks, fp32 or bf16.
    """

    def __init__(self, name: str, device: torch.device, dtype: str, seed: int = 0):
        self.engine = Engine(str(find_model(name)), compute="cpu", runtime="torch", dropout_rate=RATE)
        self.device, self.config, self.kept = device, self.engine.config, self.engine.k_kept
        weights = self.engine.file.weights(self.engine.variant)
        self.network = StaticNetwork.from_weights(self.config, weights, str(device), dtype)
        self.form = Form(self.kept, self.engine.dropout_policy, self.engine.backend, False, False, all_outputs(self.config))
        self.frames, _ = draw_frames(np.random.default_rng(seed), 64, self.engine.layout)
        self.mflop = mflop_per_spectrum(self.config, self.kept)

    def items(self, count: int) -> np.ndarray:
        """(count, item_size): the frames again and again."""
        return np.resize(self.frames, (count, self.frames.shape[1]))

    def step(self, rows: int, *, graph: bool = True, compiler: str = "") -> GraphStep:
        """A pass of `rows` frames, with its input filled."""
        stream = torch.cuda.Stream(self.device) if graph and self.device.type == "cuda" else None
        made = GraphStep(self.network, self.form, rows, stream, compiler)
        frames = torch.from_numpy(self.frames).to(self.device)
        index = torch.arange(rows, device=self.device) % len(frames)
        made.inputs[:, made.input_places["items"]] = frames[index]
        return made

    def empty(self, count: int) -> dict[str, np.ndarray]:
        """Arrays for `encode`, with pages that are there."""
        return {name: np.zeros((count, width), np.float32) + 0 for name, width in self.form.outputs}

    def encode(self, items: np.ndarray, out: dict[str, np.ndarray], pad_batch: int = 0) -> None:
        """From NumPy to NumPy."""
        self.network.encode(items, np.zeros(len(items), np.int64), self.kept, self.form.policy, backend=self.form.backend,
                            pad_batch=pad_batch, **out)

    def bytes_per_spectrum(self) -> dict[str, int]:
        """Bytes of a spectrum that must cross to the device and back, and of the weights."""
        step = GraphStep(self.network, self.form, 1)
        weights = sum(p.numel() * p.element_size() for p in (*self.network.network.parameters(), *self.network.network.buffers()))
        return {"to_device": 4 * step.inputs.shape[1], "to_host": 4 * step.outputs.shape[1], "weights": weights}
