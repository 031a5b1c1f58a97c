# SPDX-License-Identifier: GPL-3.0-or-later
"""The bottleneck: a few small latents through which all reconstruction goes, and the decoder behind it.

The latents describe the whole spectrum with far fewer floats than it has bins. So no token can copy itself into its own
reconstruction: a residual without a bottleneck is blind to the unexpected.

The latents are the sum of two linear maps, with separate weights for each place of the spectrum:

* one map reads all bins, the dropped ones included (as the keep score does), and starts as their principal components;
* one map reads a few floats of each encoded token, or a learned vector if that place was dropped.

One unit of a latent is 30 dB along a principal component of the N bins in dB over the floor.

Shape letters: B frames, T sequence, E width, L latents, W latent width, N bins.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from .config import EncoderConfig
from .latent_decoder import MEAN_DB
from .layers import RMSNorm

LOG_SIGMA_RANGE = (math.log(0.3), math.log(12.0))  # dB
LATENT_DB = 30.0  # one unit of a latent


class Bottleneck(nn.Module):
    """All bins and the encoded tokens (B, T, E) of the kept places -> latents (B, L, W)."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.shape = (config.latents, config.latent_width)
        self.n_tokens = config.n_tokens
        self.norm = RMSNorm(config.width)
        self.narrow = nn.Linear(config.width, config.token_share, bias=False)
        self.absent = nn.Parameter(torch.zeros(config.token_share))
        flat = config.latents * config.latent_width
        self.bins = nn.Linear(config.fft_size, flat)
        self.tokens = nn.Linear(config.n_tokens * config.token_share, flat, bias=False)
        nn.init.normal_(self.tokens.weight, std=0.002)

    def forward(self, x, bins, index, keep=None):
        """Latents (B, L, W) of a batch.

        Args:
            x: (B, T, E) encoded tokens.
            bins: (B, M, stride) normalised bins of all places.
            index: (B, T) places of the encoded tokens.
            keep: (B, T) bool; False treats a token as dropped. None: all are kept.
        """
        known = self.narrow(self.norm(x))
        absent = self.absent.to(known.dtype).expand(len(x), 1, -1)
        if keep is not None:
            known = torch.where(keep[..., None], known, absent)
        places = absent.expand(-1, self.n_tokens, -1).scatter(1, index[..., None].expand(-1, -1, known.shape[-1]), known)
        return (self.bins(bins.flatten(1)) + self.tokens(places.flatten(1))).view(len(x), *self.shape)


class Decoder(nn.Module):
    """Latents (B, L, W) and the conditioning values (B, C) -> mean and log sigma (B, N), dB over the floor."""

    def __init__(self, config: EncoderConfig, n_condition: int):
        super().__init__()
        flat = config.latents * config.latent_width
        self.hidden = nn.Sequential(
            nn.Linear(flat + n_condition, config.decoder_width), nn.SiLU(),
            nn.Linear(config.decoder_width, config.decoder_width), nn.SiLU())
        self.mean = nn.Linear(config.decoder_width, config.fft_size)
        self.direct = nn.Linear(flat, config.fft_size, bias=False)
        self.log_sigma = nn.Linear(config.decoder_width, config.n_tokens)  # one per token: smooth over its bins
        self.stride = config.stride
        nn.init.zeros_(self.log_sigma.weight)
        nn.init.constant_(self.log_sigma.bias, math.log(2.0))

    def forward(self, latents, condition):
        h = self.hidden(torch.cat((latents.flatten(1), condition), dim=1))
        log_sigma = self.log_sigma(h).clamp(*LOG_SIGMA_RANGE)
        return MEAN_DB * (self.mean(h) + self.direct(latents.flatten(1))), log_sigma.repeat_interleave(self.stride, dim=1)


@torch.no_grad()
def start_from_principal_components(bottleneck: Bottleneck, decoder: Decoder, levels_db: torch.Tensor,
                                    scale_db: float) -> None:
    """Set the linear path to the principal components of spectra. Training by gradient would take long to get there.

    Args:
        levels_db: (F, N) spectra in dB over the floor; F exceeds the number of latents.
        scale_db: dB per unit of the bins that the bottleneck reads.
    """
    mean = levels_db.mean(dim=0)
    covariance = torch.cov((levels_db - mean).T.double())
    count = bottleneck.bins.out_features
    components = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :count].float()  # (N, L W)
    if components.shape[1] < count:  # fewer bins than latents: the rest stay silent
        components = torch.nn.functional.pad(components, (0, count - components.shape[1]))
    bottleneck.bins.weight.copy_(components.T * (scale_db / LATENT_DB))
    bottleneck.bins.bias.copy_(-(mean @ components) / LATENT_DB)
    decoder.direct.weight.copy_(components * (LATENT_DB / MEAN_DB))
    decoder.mean.weight.mul_(0.1)
    decoder.mean.bias.copy_(mean / MEAN_DB)
