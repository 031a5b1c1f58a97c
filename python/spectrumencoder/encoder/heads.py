# SPDX-License-Identifier: GPL-3.0-or-later
"""Embedding, class logits and anomaly logit from the encoded tokens, and a class for each token."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .config import EncoderConfig
from .layers import RMSNorm


class Heads(nn.Module):
    """Encoded sequence (B, T, E) -> embedding (B, A), class logits (B, labels), anomaly logit (B,).

    The input is the conditioning token's output joined with the mean and the maximum over the spectrum's tokens. The mean alone
    would dilute a narrow signal.
    """

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.norm = RMSNorm(config.width)
        self.embed = nn.Linear(3 * config.width, config.embedding)
        self.classes = nn.Linear(config.embedding, len(config.labels))
        self.anomaly = nn.Sequential(nn.Linear(config.embedding, 32), nn.SiLU(), nn.Linear(32, 1))

    def forward(self, x, n_special, key_mask=None):
        """n_special: number of tokens at the front that do not belong to the spectrum (conditioning, background)."""
        x = self.norm(x)
        body = x[:, n_special:]
        if key_mask is None:
            mean, peak = body.mean(dim=1), body.amax(dim=1)
        else:
            seen = key_mask[:, n_special:, None]
            mean = (body * seen).sum(dim=1) / seen.sum(dim=1)
            peak = body.masked_fill(~seen, -torch.inf).amax(dim=1)
        embedding = F.silu(self.embed(torch.cat((x[:, 0], mean, peak), dim=1)))
        embedding = F.rms_norm(embedding, (embedding.shape[-1],))
        return embedding, self.classes(embedding), self.anomaly(embedding).squeeze(-1)


class LatentHead(nn.Module):
    """Latents (B, L, W) and conditioning (B, C) -> class logits (B, labels), from the latents alone."""

    def __init__(self, config: EncoderConfig, n_condition: int):
        super().__init__()
        self.hidden = nn.Linear(config.latents * config.latent_width + n_condition, config.embedding)
        self.classes = nn.Linear(config.embedding, len(config.labels))

    def forward(self, latents, condition):
        return self.classes(F.silu(self.hidden(torch.cat((latents.flatten(1), condition), dim=1))))


class TokenHead(nn.Module):
    """Encoded sequence (B, T, E) -> (B, M, labels + 2): for each token the logits of the labels (the label `noise` says that the
    token is empty) and of `unknown signal`, and the logit of a boundary.

    A boundary lies before a token if that token and the one before it hold different emitters. A dropped token has what the
    background token of its part of the spectrum says.
    """

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.norm = RMSNorm(config.width)
        self.classes = nn.Linear(config.width, len(config.labels) + 2)

    def forward(self, x, n_special, index, n_tokens):
        """index (B, k): places of the kept tokens, which follow n_special others. All M tokens are there if k = M."""
        out = self.classes(self.norm(x[:, 1:]))  # without the conditioning token
        n_background = n_special - 1
        if not n_background:
            return out
        places = index[..., None].expand(-1, -1, out.shape[-1])
        return out[:, :n_background].repeat_interleave(n_tokens // n_background, dim=1).scatter(1, places, out[:, n_background:])
