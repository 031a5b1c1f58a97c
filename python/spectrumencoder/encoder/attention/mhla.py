# SPDX-License-Identifier: GPL-3.0-or-later
"""Token-level multi-head linear attention (arXiv:2601.07832): a summary of keys and values per sub-band, mixed by learnt weights.

Plain linear attention has one summary of the whole sequence, the same for every query. Here the frequency axis is cut into P - 1
sub-bands of `size` tokens, kept or not. The special tokens (conditioning, background) form the last block. A query of block i
sees

    R(phi q) sum_j mix[i, j] S_j / (phi q . sum_j mix[i, j] z_j),   S_j = sum R(phi k)^T v,   z_j = sum phi k   over block j.

With equal weights the result is `linear`, with the same features phi (elu + 1) and rotary embedding (numerator only). The paper's
depthwise convolution over the values is left out: it encodes a token's position, which the rotary embedding does here.

Shape letters: B frames, T sequence, H heads, D head width, P blocks.
"""

from __future__ import annotations

import torch

from ..rope import rotate, wide
from .linear import EPS, features

REACH = 0.375  # share of the spectrum over which the starting weights fall to 1/e: 3 of 8 blocks


def distance_logits(heads: int, blocks: int) -> torch.Tensor:
    """Initial logits (H, P, P) of mixing: -distance / REACH between sub-bands, 0 for the special tokens' block.

    Args:
        blocks: number of sub-bands, P - 1.
    """
    place = torch.arange(blocks) / blocks
    logits = torch.zeros(heads, blocks + 1, blocks + 1)
    logits[:, :blocks, :blocks] = -(place[:, None] - place).abs() / REACH
    return logits


def mixing(logits: torch.Tensor) -> torch.Tensor:
    """Positive weights (H, P, P) with mean 1 per row. A row's scale cancels in the quotient, so softmax loses nothing."""
    return logits.softmax(dim=-1) * logits.shape[-1]


def mhla(q, k, v, slot, mix, size, rotation=None, key_mask=None):
    """The equation above in O(T D^2 + P^2 D^2). Sums in fp32 (fp64 for fp64 input).

    Args:
        q, k, v: (B, H, T, D).
        slot: (B, T) int64: a token's index on the frequency axis; special tokens have (P - 1) size and up.
        mix: (H, P, P), non-negative.
        size: slots per block.
        rotation, key_mask: as in `linear`.
    """
    dtype, width = v.dtype, v.shape[-1]
    q, k = features(wide(q), wide(k), key_mask)
    keys = _grid(torch.cat((k, rotate(k, rotation), wide(v)), dim=-1), slot, mix.shape[-1], size)  # (B, H, P, size, 3D)
    key_sum = keys[..., :width].sum(dim=3, keepdim=True)  # (B, H, P, 1, D)
    summary = keys[..., width:2 * width].transpose(-1, -2) @ keys[..., 2 * width:]  # (B, H, P, D, D)
    mixed = wide(mix) @ torch.cat((summary, key_sum), dim=3).flatten(3)  # (B, H, P, (D + 1) D)
    summary, key_sum = mixed.unflatten(3, (width + 1, width)).split((width, 1), dim=3)
    queries = _grid(torch.cat((q, rotate(q, rotation)), dim=-1), slot, mix.shape[-1], size)  # (B, H, P, size, 2D)
    normaliser = queries[..., :width] @ key_sum.transpose(-1, -2)  # (B, H, P, size, 1)
    out = queries[..., width:] @ summary / (normaliser + EPS)
    return out.flatten(2, 3).gather(2, _spread(slot, out)).to(dtype)


def mhla_naive(q, k, v, slot, mix, size, rotation=None, key_mask=None):
    """The oracle: the T x T matrix of weights written out, each times mix[block of the query, block of the key]."""
    dtype = v.dtype
    q, k = features(wide(q), wide(k), key_mask)
    block = slot // size
    pairs = wide(mix)[:, block[:, :, None], block[:, None, :]].transpose(0, 1)  # (B, H, T, T)
    weights = pairs * (rotate(q, rotation) @ rotate(k, rotation).transpose(-1, -2))
    normaliser = (pairs * (q @ k.transpose(-1, -2))).sum(dim=-1, keepdim=True)
    return (weights / (normaliser + EPS) @ wide(v)).to(dtype)


def _grid(x, slot, blocks, size):
    """x (B, H, T, C) in its slots, zeros in the others -> (B, H, P, size, C). The shape does not depend on the kept tokens, so
    a frame's sums do not depend on its neighbours in the batch."""
    grid = x.new_zeros(*x.shape[:2], blocks * size, x.shape[-1])
    return grid.scatter(2, _spread(slot, x), x).unflatten(2, (blocks, size))


def _spread(slot, like):
    """slot (B, T) as an index along axis 2 for tensors (B, H, ., C) shaped as `like`."""
    return slot[:, None, :, None].expand(-1, like.shape[1], -1, like.shape[-1])
