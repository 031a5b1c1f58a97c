# SPDX-License-Identifier: GPL-3.0-or-later
"""Augmentation of tokens, drawn for each batch: jittered conditioning, mirrored spectra, a receiver's steady carriers.

Shape letters: B frames, M tokens, C token_dim, N bins.
"""

from __future__ import annotations

import numpy as np
import torch

from ..encoder.encoder import conditioning

LOBE_DB = (0.0, -3.5, -16.0, -46.0)  # level of a carrier 0 to 3 bins away, through the Blackman-Harris window


def jitter_condition(rng: np.random.Generator, side: torch.Tensor, dropped: float) -> torch.Tensor:
    """Conditioning (B, 4) with jittered bin width, K and floor; a share `dropped` of the frames get a row of zeros."""
    count = len(side)
    condition = conditioning(side)
    jitter = np.stack([rng.normal(0, 0.05, count), rng.normal(0, 0.05, count), rng.normal(0, 0.25, count),
                       np.zeros(count)], axis=1)
    condition = condition + torch.from_numpy(jitter.astype(np.float32)).to(side.device)
    shown = torch.from_numpy((rng.random(count) >= dropped).astype(np.float32)).to(side.device)
    return condition * shown[:, None]


def mirror(tokens: torch.Tensor, target: torch.Tensor, turned: torch.Tensor):
    """Reverse the frequency axis of tokens (B, M, C) and target (B, N) in the frames `turned` (B,)."""
    tokens_turned = torch.cat((tokens[..., :-2].flip(1, 2), tokens[..., -2:].flip(1)), dim=-1)
    return (torch.where(turned[:, None, None], tokens_turned, tokens),
            torch.where(turned[:, None], target.flip(1), target))


def mirror_truth(turned: torch.Tensor, token_label: torch.Tensor, boundary: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Reverse the truth (B, M) of tokens in the frames `turned` (B,). A boundary lies before its token."""
    turned = turned[:, None]
    return (torch.where(turned, token_label.flip(1), token_label),
            torch.where(turned, boundary.roll(-1, 1).flip(1), boundary))


def add_spurs(rng: np.random.Generator, tokens: torch.Tensor, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Add steady carriers to tokens (B, M, C), dB over the floor, in a share of the frames; also returns (B,) 1 for those frames.

    A frame gets 1 to 3 carriers; a sixth of these frames get a comb of up to 10. A carrier in the middle of the band (the
    receiver's DC offset) has 4 to 35 dB. Others have 4 to 20 dB, since a stronger one is more likely a signal.

    The class stays: otherwise gaps of recordings with a receiver's spurs would be classified as on/off keying. The anomaly head
    gets no loss from these frames. The reconstruction learns to leave the carriers in the residual.
    """
    n_bins = tokens.shape[1] * (tokens.shape[2] - 2)
    added = np.zeros((len(tokens), n_bins), np.float32)  # linear power over the floor
    for row in np.flatnonzero(rng.random(len(tokens)) < share):
        if rng.random() < 1 / 6:
            places = np.arange(rng.integers(0, n_bins // 4), n_bins, rng.integers(n_bins // 12, n_bins // 3))[:10]
        else:
            count = rng.integers(1, 4)
            places = np.where(rng.random(count) < 0.3, n_bins // 2, rng.integers(0, n_bins, count))
        for place in places:
            added[row] += carrier(n_bins, place, rng.uniform(4, 35 if place == n_bins // 2 else 20))
    return add_power(tokens, torch.from_numpy(added).to(tokens.device)), torch.from_numpy(added.any(axis=1)).to(tokens)


def without_spurs(token_label: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """The truth (B, M) with -1 for tokens that a carrier was added to: it may be a signal. In the middle it is not."""
    raised = (after[..., :-2] - before[..., :-2]).amax(dim=-1) > 1.0
    middle = before.shape[1] // 2
    raised[:, middle - 1:middle + 1] = False
    return torch.where(raised, torch.full_like(token_label, -1), token_label)


def carrier(n_bins: int, place: int, level_db: float) -> np.ndarray:
    """Power (N,) float32 of a carrier on bin `place`, level_db over the floor of that bin."""
    out = np.zeros(n_bins, np.float32)
    for away in range(-3, 4):
        if 0 <= place + away < n_bins:
            out[place + away] = 10.0 ** ((level_db + LOBE_DB[abs(away)]) / 10)
    return out


def add_power(tokens: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
    """Add steady power (B, N), linear over the floor, to tokens (B, M, C), dB over the floor.

    The power adds to the means, to the max-hold, and to the mean that the spread is relative to. The floor, a quantile, stays."""
    by_token = added.view(*tokens.shape[:2], -1)
    level = 10.0 ** (tokens[..., :-2] / 10)
    means = 10.0 * torch.log10(level + by_token + 1e-20)
    peak = 10.0 * torch.log10(10.0 ** (tokens[..., -2] / 10) + by_token.amax(dim=-1) + 1e-20)
    spread = tokens[..., -1] * level.sum(-1) / (level.sum(-1) + by_token.sum(-1) + 1e-20)
    return torch.cat((means, peak[..., None], spread[..., None]), dim=-1)
