# SPDX-License-Identifier: GPL-3.0-or-later
"""Token dropout: exactly k tokens are kept, in order, with their original indices; the rest become a few background tokens.

Policies, all on the same interface:

* `gumbel`: a small learned score, and exact top-k. In training the score has unit scale within the frame, and logistic noise (the
  difference of two Gumbels) over a temperature. The straight-through gradient uses the sigmoid of the distance to the k-th score.
* `energy`: mean level of the token over the floor.
* `entropy`: low spectral entropy inside the token and between its windows first (structure before noise).
* `random`: a uniform draw, the fixed-rate baseline.

The relaxation follows Jang et al. (arXiv:1611.01144). Fusing the dropped tokens follows EViT (arXiv:2202.07800), here into one
token for each of a few parts of the spectrum. Dropped tokens are quiet, but their shape distinguishes wide signals.
Shape letters: B frames, M tokens, k kept, C token_dim.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from .config import POLICIES


class Kept(NamedTuple):
    index: torch.Tensor  # (B, k) sorted original indices, int64
    gate: torch.Tensor | None  # (B, M) 1 kept, 0 dropped; carries the straight-through gradient; None at inference
    score: torch.Tensor  # (B, M) the policy's keep score
    keep: torch.Tensor  # (B, M) bool


class TokenDropout(nn.Module):
    """Scores tokens and chooses exactly k of them.

    Args:
        token_dim: C, stride + 2 (per-bin means, max-hold, spread, normalised).
        score_width: hidden width of the learned score.
    """

    def __init__(self, token_dim: int, score_width: int):
        super().__init__()
        self.learned = nn.Sequential(nn.Linear(token_dim, score_width), nn.SiLU(), nn.Linear(score_width, 1))

    def score(self, x: torch.Tensor, policy: str, noise: torch.Tensor | None = None) -> torch.Tensor:
        """Keep scores (B, M) of normalised tokens x (B, M, C).

        Raises:
            ValueError: unknown policy, or `random` without its noise (B, M), uniform in (0, 1).
        """
        if policy == "gumbel" and self.training:  # the mean is subtracted later: a bias would learn rounding noise only
            return F.linear(self.learned[:2](x), self.learned[2].weight).squeeze(-1)
        if policy == "gumbel":
            return self.learned(x).squeeze(-1)
        if policy == "energy":
            return x[..., :-2].mean(dim=-1) + 0.25 * x[..., -2]
        if policy == "entropy":
            if x.shape[-1] == 3:  # tokens of one bin have no entropy
                return x[..., -1]
            share = torch.softmax(x[..., :-2] * (20.0 * math.log(10.0) / 10.0), dim=-1)  # linear power of bins given in dB / 20
            entropy = -(share * (share + 1e-12).log()).sum(dim=-1) / math.log(share.shape[-1])
            return x[..., -1] - entropy
        if policy == "random":
            if noise is None:
                raise ValueError("policy 'random' needs its noise, uniform in (0, 1), one value per token")
            return noise
        raise ValueError(f"dropout policy {policy!r} is not one of {', '.join(POLICIES)}")

    def forward(self, x: torch.Tensor, k: int, policy: str = "gumbel", *, noise: torch.Tensor | None = None,
                temperature: float = 1.0, wanted: torch.Tensor | None = None) -> Kept:
        """Choose k of the M tokens of x (B, M, C). k = M keeps all: the identity.

        Args:
            noise: (B, M) uniform in (0, 1). `random` needs it, and `gumbel` in training, for its logistic noise.
            wanted: (B, M) bool, tokens kept before all others; if they are more than k, the best of them.

        Raises:
            ValueError: k is outside 1..M, the policy is unknown, or the noise is missing.
        """
        batch, n_tokens, _ = x.shape
        if not 1 <= k <= n_tokens:
            raise ValueError(f"k = {k} is outside 1..{n_tokens}")
        score = self.score(x, policy, noise)
        if k == n_tokens:
            keep = torch.ones_like(score, dtype=torch.bool)
            return Kept(torch.arange(n_tokens, device=x.device).expand(batch, -1), None, score, keep)
        choice = score
        if self.training and policy == "gumbel":
            if noise is None:
                raise ValueError("policy 'gumbel' needs its noise in training, uniform in (0, 1), one value per token")
            u = noise.clamp(1e-6, 1 - 1e-6)
            spread = score.std(dim=-1, keepdim=True).clamp(min=1e-4)  # neither noise nor scores may outgrow the other
            choice = (score - score.mean(dim=-1, keepdim=True)) / spread
            choice = choice + temperature * (u.log() - (-u).log1p())  # logistic noise
        if wanted is not None:
            choice = choice + wanted * (choice.amax(dim=-1, keepdim=True) - choice.amin(dim=-1, keepdim=True) + 1.0)
        index = choice.topk(k, dim=-1).indices.sort(dim=-1).values
        keep = torch.zeros_like(score, dtype=torch.bool).scatter_(1, index, True)
        gate = None
        if self.training:
            gate = keep.to(x.dtype)
            if policy == "gumbel":
                threshold = choice.detach().gather(1, index).amin(dim=-1, keepdim=True)
                soft = torch.sigmoid((choice - threshold) / temperature)
                gate = gate + soft - soft.detach()  # forward: exactly 0 or 1
        return Kept(index, gate, score, keep)


def gather_tokens(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """x (B, M, C) at index (B, k) -> (B, k, C)."""
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[-1]))


def background(x: torch.Tensor, kept: Kept, sub_bands: int = 1) -> torch.Tensor:
    """Mean of the dropped tokens of x (B, M, C) in each of P equal parts of the spectrum -> (B, P, C). A part with no dropped
    token gives zeros."""
    dropped = (~kept.keep).to(x.dtype)
    weight = 1.0 - kept.gate if kept.gate is not None else dropped  # (B, M)
    parts = (sub_bands, x.shape[1] // sub_bands)
    count = dropped.unflatten(1, parts).sum(dim=2).clamp(min=1.0)  # (B, P)
    return torch.einsum("bpm,bpmc->bpc", weight.unflatten(1, parts), x.unflatten(1, parts)) / count[..., None]
