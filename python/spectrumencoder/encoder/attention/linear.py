# SPDX-License-Identifier: GPL-3.0-or-later
"""Multi-head linear attention: elu + 1 features (Katharopoulos et al., arXiv:2006.16236), bidirectional.

Rotary embedding follows the feature map and applies to the numerator only (RoFormer, arXiv:2104.09864, eq. 19). The denominator
stays unrotated: rotated features may be negative, and the normaliser could reach zero.
"""

from __future__ import annotations

import torch.nn.functional as F

from ..rope import rotate, wide

EPS = 1e-6


def features(q, k, key_mask=None):
    """phi(x) = elu(x) + 1 of queries and keys (B, H, T, D); masked keys become zero."""
    q, k = F.elu(q) + 1.0, F.elu(k) + 1.0
    if key_mask is not None:
        k = k * key_mask[:, None, :, None]
    return q, k


def linear(q, k, v, rotation=None, key_mask=None):
    """R(phi q) (R(phi k)^T v) / (phi q . sum phi k); q, k, v (B, H, T, D); cost O(T D^2). Sums in fp32 (fp64 for fp64 input)."""
    dtype = v.dtype
    q, k = features(wide(q), wide(k), key_mask)
    normaliser = q @ k.sum(dim=2).unsqueeze(-1)  # (B, H, T, 1)
    summary = rotate(k, rotation).transpose(-1, -2) @ wide(v)  # (B, H, D, D)
    return (rotate(q, rotation) @ summary / (normaliser + EPS)).to(dtype)


def linear_naive(q, k, v, rotation=None, key_mask=None):
    """The oracle: the same result with the T x T matrix of weights written out."""
    dtype = v.dtype
    q, k = features(wide(q), wide(k), key_mask)
    weights = rotate(q, rotation) @ rotate(k, rotation).transpose(-1, -2)  # (B, H, T, T)
    normaliser = (q @ k.transpose(-1, -2)).sum(dim=-1, keepdim=True)
    return (weights / (normaliser + EPS) @ wide(v)).to(dtype)
