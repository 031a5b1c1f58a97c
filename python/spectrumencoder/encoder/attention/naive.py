# SPDX-License-Identifier: GPL-3.0-or-later
"""The softmax oracles: the score matrix written out (Vaswani et al., arXiv:1706.03762, eq. 1)."""

from __future__ import annotations

import math

import torch

from ..rope import rotate


def naive(q, k, v, rotation=None, key_mask=None):
    """softmax(q k^T / sqrt D) v with rotated q and k. q, k, v (B, H, T, D); key_mask (B, T): True if a key may be seen."""
    q, k = rotate(q, rotation), rotate(k, rotation)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])  # (B, H, T, T)
    if key_mask is not None:
        scores = scores.masked_fill(~key_mask[:, None, None, :], -torch.inf)
    return scores.softmax(dim=-1) @ v


def grouped_naive(q, k, v, rotation=None, key_mask=None):
    """Grouped-query attention (Ainslie et al., arXiv:2305.13245): k, v (B, G, T, D), each serving H / G heads."""
    share = q.shape[1] // k.shape[1]
    return naive(q, k.repeat_interleave(share, 1), v.repeat_interleave(share, 1), rotation, key_mask)
