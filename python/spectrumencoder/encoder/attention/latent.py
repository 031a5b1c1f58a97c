# SPDX-License-Identifier: GPL-3.0-or-later
"""Softmax attention whose keys and values come from one low-rank latent per token.

As in DeepSeek-V2's multi-head latent attention (arXiv:2405.04434, eq. 9 to 11), c = RMSNorm(W_down x) has R floats, and every
head's keys and values are linear in it. There the rotary embedding has separate channels, so that a cache holds little
besides c. An encoder keeps no cache, so q and the written-out k are rotated whole, as in the other families.

Shape letters: B frames, T sequence, H heads, D head width, R rank of the latent.
"""

from __future__ import annotations

from .flash import flash
from .naive import naive


def latent(q, c, up, rotation=None, key_mask=None):
    """Like `latent_naive`, through the flash kernel: one product writes out keys and values first.

    Args:
        q: (B, H, T, D).
        c: (B, T, R), the latents.
        up: (2, H, D, R), to keys and to values.
        rotation, key_mask: as in `naive`.

    Raises:
        ValueError: given a key mask.
    """
    k, v = (c @ up.flatten(0, 2).T).unflatten(-1, up.shape[:3]).permute(2, 0, 3, 1, 4)  # 2 x (B, H, T, D)
    return flash(q, k, v, rotation, key_mask)


def latent_naive(q, c, up, rotation=None, key_mask=None):
    """The oracle: softmax(R(q) R(U_k c)^T / sqrt D) mixes the latents; then U_v maps the mix."""
    k = c[:, None] @ up[0].transpose(-1, -2)  # (B, H, T, D)
    mixed = naive(q, k, c[:, None], rotation, key_mask)  # (B, H, T, R)
    return mixed @ up[1].transpose(-1, -2)
