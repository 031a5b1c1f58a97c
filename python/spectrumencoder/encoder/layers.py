# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a pre-norm transformer block: RMSNorm, attention over any backend, SiLU feed-forward.

Shape letters: B frames, T sequence, E width, H heads, G key-value heads, D head width, R latent rank, P blocks, M tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from .attention.mhla import distance_logits, mixing
from .config import EncoderConfig


class RMSNorm(nn.Module):
    """x / sqrt(mean x^2 + eps) * weight (Zhang and Sennrich, arXiv:1910.07467). eps is inside the root: zeros stay zeros."""

    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


class Sequence(NamedTuple):
    """The positions and the mask of a sequence, which attention needs in addition to its content."""

    rotation: torch.Tensor | None  # complex (B, T, D/2), the rotary embedding
    slot: torch.Tensor  # (B, T) int64: index on the frequency axis; special tokens have M and up
    key_mask: torch.Tensor | None = None  # (B, T) bool, True if a key may be seen; None: all may


class Attention(nn.Module):
    """Projections around a backend given at call time; all backends of one family share these weights.

    A subclass for each family makes the inputs of its backends. This class makes q, k, v for softmax, grouped and linear."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.heads, self.head_width = config.heads, config.head_width
        self._make(config)
        self.out = nn.Linear(config.width, config.width, bias=False)

    def _make(self, config):
        self.kv_heads = config.kv_heads if config.attention == "grouped" else config.heads
        self.qkv = nn.Linear(config.width, (self.heads + 2 * self.kv_heads) * self.head_width, bias=False)

    def inputs(self, x, slot):
        """x (B, T, E), slot (B, T) -> the first arguments of the family's backends, before rotation and key_mask."""
        return self._heads(self.qkv(x)).split((self.heads, self.kv_heads, self.kv_heads), dim=1)

    def _heads(self, x):
        """(B, T, C D) -> (B, C, T, D)."""
        return x.view(*x.shape[:2], -1, self.head_width).transpose(1, 2)

    def forward(self, x, attend, sequence: Sequence):
        """x (B, T, E) -> (B, T, E)."""
        y = attend(*self.inputs(x, sequence.slot), sequence.rotation, sequence.key_mask)  # (B, H, T, D)
        return self.out(y.transpose(1, 2).reshape(x.shape))


class LatentAttention(Attention):
    """Keys and values of all heads from one latent of R floats per token (attention/latent.py)."""

    def _make(self, config):
        self.q = nn.Linear(config.width, config.width, bias=False)
        self.down = nn.Linear(config.width, config.kv_rank, bias=False)
        self.norm = RMSNorm(config.kv_rank)
        start = config.kv_rank**-0.5
        self.up = nn.Parameter(torch.empty(2, config.heads, config.head_width, config.kv_rank).uniform_(-start, start))

    def inputs(self, x, slot):
        q = self._heads(self.q(x))
        return q, self.norm(self.down(x).float()).to(q.dtype), self.up.to(q.dtype)


class SubBandAttention(Attention):
    """Linear attention with weights between sub-bands (attention/mhla.py)."""

    def _make(self, config):
        super()._make(config)
        self.block_size = config.n_tokens // config.mhla_blocks
        self.mix = nn.Parameter(distance_logits(config.heads, config.mhla_blocks))  # (H, P, P)

    def inputs(self, x, slot):
        return *super().inputs(x, slot), slot, mixing(self.mix), self.block_size


ATTENTION = {"softmax": Attention, "grouped": Attention, "linear": Attention, "latent": LatentAttention, "mhla": SubBandAttention}


class FeedForward(nn.Module):
    """Linear, SiLU, Linear."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return self.down(F.silu(self.up(x)))


class Block(nn.Module):
    """x + Attention(RMSNorm x), then x + FeedForward(RMSNorm x)."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.norm_attention, self.norm_mlp = RMSNorm(config.width), RMSNorm(config.width)
        self.attention = ATTENTION[config.attention](config)
        self.mlp = FeedForward(config.width, config.mlp_width)

    def forward(self, x, attend, sequence: Sequence):
        x = x + self.attention(self.norm_attention(x), attend, sequence)
        return x + self.mlp(self.norm_mlp(x))
