# SPDX-License-Identifier: GPL-3.0-or-later
"""SpectrumEncoder: a small pre-norm transformer over the tokens of one power spectrum.

* token dropout removes tokens before attention, so that compute shrinks; survivors keep their index
* one conditioning token carries log2 bin width, K and floor
* background tokens stand for the dropped tokens, one for each of a few parts of the spectrum
* rotary embedding on q and k only, by token index, theta learned per band
* attention by any backend of the weights' family
* all reconstruction goes through a bottleneck of a few small latents
* one pass gives latents, embedding, class logits, per-bin reconstruction with its sigma, the anomaly logit, and classes of tokens

Shape letters: B frames, M tokens, k kept, T = k + specials, C token_dim, E width, N bins.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import nn

from .attention import DEFAULT_OF_FAMILY, get_backend
from .bottleneck import Bottleneck, Decoder
from .config import EncoderConfig
from .heads import Heads, LatentHead, TokenHead
from .latent_decoder import N_CONDITION
from .layers import Block, Sequence
from .rope import RotaryEmbedding
from .token_dropout import Kept, TokenDropout, background, gather_tokens

DB_SCALE = 20.0
DB_RANGE = (-20.0, 80.0)


class Encoded(NamedTuple):
    latents: torch.Tensor  # (B, L, W)
    embedding: torch.Tensor  # (B, A)
    class_logits: torch.Tensor  # (B, labels)
    anomaly_logit: torch.Tensor  # (B,)
    mean_db: torch.Tensor  # (B, N) reconstruction, dB over the floor
    log_sigma: torch.Tensor  # (B, N) log of the deviation's sigma in dB
    kept: Kept
    latent_logits: torch.Tensor  # (B, labels) class logits from the latents alone
    token_logits: torch.Tensor | None = None  # (B, M, labels + 2), see TokenHead; None without config.token_classes


def normalise_tokens(tokens: torch.Tensor) -> torch.Tensor:
    """Tokens (..., C) in dB over the floor -> the network's scale; levels clamped to -20..80 dB, spread to 0..8."""
    level = tokens[..., :-1].clamp(*DB_RANGE) / DB_SCALE
    spread = tokens[..., -1:].clamp(0.0, 8.0).add(0.1).log()
    return torch.cat((level, spread), dim=-1)


def conditioning(side: torch.Tensor) -> torch.Tensor:
    """Side values (B, 3: floor_dbfs, K_eff, bin_width_hz) -> (B, 4): log2 bin width about 1 kHz, log2 K, floor, 1 = known.

    A row of zeros stands for "unknown"; a fifth of the training frames have it."""
    floor, k_eff, bin_width = side.unbind(dim=-1)
    known = torch.ones_like(floor)
    return torch.stack((bin_width.clamp(min=1e-3).log2().sub(10.0).div(4.0), k_eff.clamp(min=1.0).log2().div(3.0),
                        floor.add(80.0).div(40.0), known), dim=-1)


class SpectrumEncoder(nn.Module):
    """See the module's docstring.

    Args:
        config: EncoderConfig; `attention` names the family of weights, `rope` the mode.

    Attributes:
        autocast: None, or the dtype of the linear maps in the blocks during training (torch.autocast). The residual stream, the
            norms and all outside of the blocks stay in fp32, as with `precision.reduce_precision`.
    """

    autocast: torch.dtype | None = None

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        self.dropout = TokenDropout(config.token_dim, config.score_width)
        self.embed = nn.Linear(config.token_dim, config.width)
        self.position = nn.Parameter(torch.randn(config.n_tokens, config.width) * 0.02)
        self.condition = nn.Sequential(nn.Linear(N_CONDITION, config.width), nn.SiLU(), nn.Linear(config.width, config.width))
        self.background = nn.Parameter(torch.zeros(config.width))
        middles = [(2 * p + 1) * config.n_tokens // (2 * config.sub_bands) for p in range(config.sub_bands)]
        places = [0, *(middles if config.sub_bands > 1 else [0])]  # places of the special tokens, for the rotary embedding
        self.register_buffer("places", torch.tensor(places), persistent=False)
        self.band = nn.Parameter(torch.zeros(len(config.bands), config.width)) if config.band_token else None
        self.rope = RotaryEmbedding(config.rope, config.head_width, len(config.bands), config.theta_static)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.bottleneck = Bottleneck(config)
        self.decoder = Decoder(config, N_CONDITION)
        self.heads = Heads(config)
        self.latent_head = LatentHead(config, N_CONDITION)
        self.register_buffer("temperature", torch.ones(()))  # divides the class logits; fitted on held-out frames
        self.token_head = TokenHead(config) if config.token_classes else None
        if config.token_classes:
            self.register_buffer("token_temperature", torch.ones(()))  # divides the class logits of tokens

    def forward(self, tokens, side, band, k: int, *, policy: str = "gumbel", noise=None, temperature: float = 1.0,
                backend: str | None = None, condition=None, masked: bool = False, latent_noise=None,
                heads_only: bool = False, wanted=None) -> Encoded:
        """Encode a batch.

        Args:
            tokens: (B, M, C), dB over the floor, max-hold, spread, as the tokenizer gives them.
            side: (B, 3) floor_dbfs, K_eff, bin_width_hz.
            band: (B,) int64, index into config.bands.
            k: tokens to keep; M keeps all (then there is no background token).
            policy, noise, temperature: see TokenDropout.
            backend: name; the family's default when None.
            condition: (B, 4) used instead of conditioning(side); training jitters and drops it.
            latent_noise: (B, L, W) added to the latents; training imitates quantisation with it.
            heads_only: leave out bottleneck and decoder; latents, mean_db, log_sigma and latent_logits are None then.
            wanted: (B, M) bool, tokens to keep before others; see TokenDropout.
            masked: keep the full sequence and mask the dropped tokens (the oracle of dropping; naive backends only).

        Raises:
            ValueError: the backend belongs to another family, or TokenDropout or the backend raises it.
        """
        chosen = get_backend(backend or DEFAULT_OF_FAMILY[self.config.attention], tokens.device)
        if chosen.family != self.config.attention:
            raise ValueError(f"backend {chosen.name!r} needs {chosen.family} weights, this model holds {self.config.attention}")
        n_tokens = self.config.n_tokens
        x = normalise_tokens(tokens)
        kept = self.dropout(x, k, policy, noise=noise, temperature=temperature, wanted=wanted)
        condition = conditioning(side) if condition is None else condition

        bins = x[..., :-2]
        x = self.embed(x) + self.position  # (B, M, E)
        condition_token = self.condition(condition)
        special = [(condition_token if self.band is None else condition_token + self.band[band])[:, None]]
        if k < n_tokens:
            special.append(background(x, kept, self.config.sub_bands) + self.background)
        if kept.gate is not None:
            x = x * kept.gate[..., None]
        index = torch.arange(n_tokens, device=x.device).expand(len(x), -1) if masked else kept.index
        x = torch.cat((*special, gather_tokens(x, index)), dim=1)  # (B, T, E)
        n_special = sum(s.shape[1] for s in special)
        position = torch.cat((self.places[:n_special].expand(len(x), -1), index), dim=1)
        mask = None
        if masked:
            mask = torch.cat((kept.keep.new_ones(len(x), n_special), kept.keep), dim=1)

        slot = torch.cat((torch.arange(n_tokens, n_tokens + n_special, device=x.device).expand(len(x), -1), index), dim=1)
        sequence = Sequence(self.rope(position, band, condition[:, 0] * 4.0 + 10.0), slot, mask)
        attend = chosen.attend if self.autocast is None else _as_given(chosen.attend, x.device.type)
        with nullcontext() if self.autocast is None else torch.autocast(x.device.type, self.autocast):
            for block in self.blocks:
                x = block(x, attend, sequence)
        embedding, class_logits, anomaly_logit = self.heads(x, n_special, mask)
        token_logits = self.token_head(x, n_special, index, n_tokens) if self.token_head is not None else None
        if heads_only:
            return Encoded(None, embedding, class_logits, anomaly_logit, None, None, kept, None, token_logits)
        latents = self.bottleneck(x[:, n_special:], bins, index, kept.keep if masked else None)
        if latent_noise is not None:
            latents = latents + latent_noise
        mean_db, log_sigma = self.decoder(latents, condition)
        return Encoded(latents, embedding, class_logits, anomaly_logit, mean_db, log_sigma, kept,
                       self.latent_head(latents, condition), token_logits)


def _as_given(attend, device_type: str):
    """The backend in the types of its inputs, whatever autocast says: sums of linear attention stay in fp32."""
    def without_autocast(*inputs):
        with torch.autocast(device_type, enabled=False):
            return attend(*inputs)
    return without_autocast


def mflop_per_spectrum(config: EncoderConfig, k: int) -> float:
    """Cost of one forward pass with k kept tokens in 1e6 operations: two per multiply-add, element-wise work not counted."""
    c, e = config, config.width
    t = k + (1 if k == c.n_tokens else 1 + c.sub_bands)
    kv = c.kv_heads if c.attention == "grouped" else c.heads
    project = c.kv_rank * 3 * e if c.attention == "latent" else 2 * kv * c.head_width * e  # keys and values
    per_token = c.token_dim * e + c.layers * (2 * e * e + project + 2 * e * c.mlp_width)
    mix = 2 * t * t * e
    if c.attention == "linear":
        mix = 2 * t * e * c.head_width
    elif c.attention == "mhla":  # summaries over all slots, kept or not, and their weighted sums
        blocks = c.mhla_blocks + 1
        slots = blocks * c.n_tokens // c.mhla_blocks
        mix = 2 * slots * e * c.head_width + blocks**2 * e * (c.head_width + 1) + slots * e
    score = c.n_tokens * (c.token_dim * c.score_width + c.score_width)
    flat = c.latents * c.latent_width
    decode = (flat + N_CONDITION) * c.decoder_width + c.decoder_width**2 + c.decoder_width * (c.fft_size + c.n_tokens)
    pool = k * e * c.token_share + c.n_tokens * (c.stride + c.token_share) * flat + flat * (c.fft_size + c.embedding)
    pool += 3 * e * c.embedding + (t * e * (len(c.labels) + 2) if c.token_classes else 0)
    return 2e-6 * (t * per_token + c.layers * mix + score + decode + pool)
