# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a pre-norm transformer block: RMSNorm, attention over any backend, SiLU feed-forward.

Shape letters: B frames, T sequence, E width, H heads, G key-value heads, D head width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .config import EncoderConfig


class RMSNorm(nn.Module):
    """x / sqrt(mean x^2 + eps) * weight (Zhang and Sennrich, arXiv:1910.07467). eps is inside the root: zeros stay zeros."""

    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


class Attention(nn.Module):
    """q, k, v projections around a backend given at call time (all backends of one family share these weights)."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.heads, self.head_width = config.heads, config.head_width
        self.kv_heads = config.kv_heads if config.attention == "grouped" else config.heads
        self.qkv = nn.Linear(config.width, (self.heads + 2 * self.kv_heads) * self.head_width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x, attend, rotation, key_mask=None):
        """x (B, T, E) -> (B, T, E); rotation complex (B, T, D/2) or None; key_mask (B, T) or None."""
        batch, length, width = x.shape
        qkv = self.qkv(x).view(batch, length, -1, self.head_width).transpose(1, 2)  # (B, H + 2G, T, D)
        q, k, v = qkv.split((self.heads, self.kv_heads, self.kv_heads), dim=1)
        y = attend(q, k, v, rotation, key_mask)  # (B, H, T, D)
        return self.out(y.transpose(1, 2).reshape(batch, length, width))


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
        self.attention = Attention(config)
        self.mlp = FeedForward(config.width, config.mlp_width)

    def forward(self, x, attend, rotation, key_mask=None):
        x = x + self.attention(self.norm_attention(x), attend, rotation, key_mask)
        return x + self.mlp(self.norm_mlp(x))
