# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks with random weights, for measurements of time and memory."""

from __future__ import annotations

import torch

from .attention import BACKENDS
from .config import EncoderConfig
from .encoder import SpectrumEncoder

STRIDE = 8  # bins per token


def random_network(backend: str, n_tokens: int, encoder: dict) -> SpectrumEncoder:
    """A network of the backend's family with initial weights, for spectra of `n_tokens` tokens."""
    torch.manual_seed(0)
    config = EncoderConfig.from_dict({"keep_choices": [n_tokens], **encoder, "fft_size": STRIDE * n_tokens, "stride": STRIDE,
                                      "attention": BACKENDS[backend].family, "rope": "dynamic", "labels": ["a", "b"]})
    return SpectrumEncoder(config).eval()


def attention_calls(network: SpectrumEncoder, backend: str, inputs) -> list[tuple]:
    """The arguments of the backend's call in each block of one forward pass."""
    calls = []

    def note(module, arguments):
        x, _, sequence = arguments
        calls.append((*module.inputs(x, sequence.slot), sequence.rotation))

    hooks = [block.attention.register_forward_pre_hook(note) for block in network.blocks]
    try:
        network(*inputs, backend=backend)
    finally:
        for hook in hooks:
            hook.remove()
    return calls
