# SPDX-License-Identifier: GPL-3.0-or-later
"""The bottleneck: a few small latents through which all reconstruction goes, and the decoder behind it.

Learned queries attend over the encoded tokens (Perceiver, arXiv:2103.03206) and are squeezed to a few floats each, so that
no token can copy itself into its own reconstruction: a residual without a bottleneck is blind to the unexpected.
Shape letters: B frames, T sequence, E width, L latents, W latent width, N bins.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from .config import EncoderConfig
from .layers import RMSNorm

LOG_SIGMA_RANGE = (math.log(0.3), math.log(12.0))  # dB


class Bottleneck(nn.Module):
    """(B, T, E) -> latents (B, L, W), bounded to (-1, 1)."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.query = nn.Parameter(torch.randn(config.latents, config.width) * config.width**-0.5)
        self.norm = RMSNorm(config.width)
        self.key = nn.Linear(config.width, config.width, bias=False)
        self.squeeze = nn.Linear(config.width, config.latent_width)

    def forward(self, x, key_mask=None):
        x = self.norm(x)
        scores = self.query @ self.key(x).transpose(-1, -2)  # (B, L, T)
        if key_mask is not None:
            scores = scores.masked_fill(~key_mask[:, None, :], -torch.inf)
        return torch.tanh(self.squeeze(scores.softmax(dim=-1) @ x))


class Decoder(nn.Module):
    """Latents (B, L, W) and the conditioning values (B, C) -> mean and log sigma (B, N), dB over the floor."""

    def __init__(self, config: EncoderConfig, n_condition: int):
        super().__init__()
        flat = config.latents * config.latent_width
        self.hidden = nn.Sequential(
            nn.Linear(flat + n_condition, config.decoder_width), nn.SiLU(),
            nn.Linear(config.decoder_width, config.decoder_width), nn.SiLU())
        self.mean = nn.Linear(config.decoder_width, config.fft_size)
        self.log_sigma = nn.Linear(config.decoder_width, config.n_tokens)  # one per token: smooth over its bins
        self.stride = config.stride
        nn.init.zeros_(self.log_sigma.weight)
        nn.init.constant_(self.log_sigma.bias, math.log(2.0))

    def forward(self, latents, condition):
        h = self.hidden(torch.cat((latents.flatten(1), condition), dim=1))
        log_sigma = self.log_sigma(h).clamp(*LOG_SIGMA_RANGE)
        return 10.0 * self.mean(h), log_sigma.repeat_interleave(self.stride, dim=1)
