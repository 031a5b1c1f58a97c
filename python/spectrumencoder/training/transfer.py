# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts a further variant from the first one's weights, converted to its own attention family."""

from __future__ import annotations

import torch

from ..encoder.config import EncoderConfig
from ..encoder.encoder import SpectrumEncoder


def transfer(first: dict[str, torch.Tensor], network: SpectrumEncoder, theta: bool = False) -> None:
    """Start a variant from the first one's weights.

    Parameters of the same shape are copied. Shared keys and values (grouped) start as the mean over the heads that share them.
    Those of a latent start as the best approximation of its rank. Theta and the weights between sub-bands (mhla) keep their
    own start."""
    state = network.state_dict()
    width, heads = network.config.width, network.config.heads
    for key, value in state.items():
        if key not in first or key.startswith("rope.") and not theta:
            continue
        source = first[key].cpu()
        if source.shape == value.shape:
            state[key] = source.clone()
        elif key.endswith("attention.qkv.weight"):
            q, k, v = source.view(3, heads, width // heads, width)
            share = heads // network.config.kv_heads
            grouped = [x.view(-1, share, *x.shape[1:]).mean(dim=1) for x in (k, v)]
            state[key] = torch.cat([x.reshape(-1, width) for x in (q, *grouped)])
    if network.config.attention == "latent":
        for number in range(network.config.layers):
            state |= _latent_start(first, f"blocks.{number}.", network.config)
    network.load_state_dict(state)


def _latent_start(first: dict[str, torch.Tensor], block: str, config: EncoderConfig) -> dict[str, torch.Tensor]:
    """Weights of a latent attention from q, k, v of the first variant.

    They come from a truncated singular value decomposition of the stacked k and v, scaled so that the latent has about unit rms
    before its norm."""
    query, key_value = first[f"{block}attention.qkv.weight"].cpu().split((config.width, 2 * config.width))
    u, s, vh = torch.linalg.svd(key_value, full_matrices=False)
    u, s, vh = u[:, :config.kv_rank], s[:config.kv_rank], vh[:config.kv_rank]
    gain = first[f"{block}norm_attention.weight"].cpu()  # the input has unit rms times this
    rms = (vh * gain).square().sum().div(config.kv_rank).sqrt()
    up = (u * s * rms).view(2, config.heads, config.head_width, config.kv_rank)
    own = {"q.weight": query, "down.weight": vh / rms, "up": up}
    return {f"{block}attention.{name}": value.clone() for name, value in own.items()}
