# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotary position embedding on q and k, gathered for the tokens that were kept.

Su et al., RoFormer (arXiv:2104.09864), eq. 34. The position is the token's index on the frequency axis, so a kept token
keeps its place. Modes: `none`; `static`, theta = 1e4; `dynamic`, log theta = a_band + b log2(bin width / 1 kHz), learned,
with the band `unknown` if none is given. All numbers stay in fp32, or in fp64 if the input has it.

Shape letters: B frames, T sequence, H heads, D head width.
"""

from __future__ import annotations

import math

import torch
from torch import nn

LOG_THETA_RANGE = (math.log(4.0), math.log(1e6))


class RotaryEmbedding(nn.Module):
    """Gives the rotation e^(j m theta^(-2i/D)) for token positions m; position 0 is the identity.

    Args:
        mode: none, static or dynamic.
        head_width: D, even.
        n_bands: number of bands with their own theta (dynamic).
        theta: the fixed theta (static) and, with `theta_start`, where learning starts (dynamic).

    Attributes:
        real: give cosine and sine instead of complex numbers, which torch.compile does not compile.
    """

    real = False

    def __init__(self, mode: str, head_width: int, n_bands: int, theta: float = 1e4, theta_start: float = 300.0):
        super().__init__()
        self.mode = mode
        self.register_buffer("exponent", torch.arange(0, head_width, 2) / head_width, persistent=False)  # (D/2,)
        if mode == "dynamic":
            self.log_theta = nn.Parameter(torch.full((n_bands,), math.log(theta_start)))  # a_band
            self.slope = nn.Parameter(torch.zeros(()))  # b
        elif mode == "static":
            self.register_buffer("log_theta", torch.tensor(math.log(theta)), persistent=False)

    def forward(self, position: torch.Tensor, band: torch.Tensor, log2_bin_width: torch.Tensor):
        """position (B, T), band (B,), log2_bin_width (B,) log2 Hz -> complex64 (B, T, D/2), or None if the mode is none. With
        `real`: (B, T, D/2, 2), its real and imaginary part."""
        if self.mode == "none":
            return None
        if self.mode == "dynamic":
            log_theta = self.log_theta[band] + self.slope * (log2_bin_width - math.log2(1e3))  # (B,)
            log_theta = log_theta.clamp(*LOG_THETA_RANGE)
        else:
            log_theta = self.log_theta.expand(len(position))
        frequency = torch.exp(-log_theta[:, None] * self.exponent)  # (B, D/2)
        angle = position.float()[:, :, None] * frequency[:, None, :]  # (B, T, D/2)
        return torch.stack((angle.cos(), angle.sin()), dim=-1) if self.real else torch.polar(torch.ones_like(angle), angle)


def wide(x: torch.Tensor) -> torch.Tensor:
    """x in fp32, for sums; fp64 stays fp64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def rotate(x: torch.Tensor, rotation: torch.Tensor | None) -> torch.Tensor:
    """Rotate the pairs (x[2i], x[2i + 1]) of x (B, H, T, D) by `rotation`, complex (B, T, D/2) or its parts (B, T, D/2, 2); None
    leaves x as it is."""
    if rotation is None:
        return x
    if not rotation.is_complex():
        (a, b), (cosine, sine) = wide(x).unflatten(-1, (-1, 2)).unbind(-1), rotation[:, None].unbind(-1)
        return torch.stack((a * cosine - b * sine, a * sine + b * cosine), dim=-1).flatten(-2).to(x.dtype)
    pairs = torch.view_as_complex(wide(x).unflatten(-1, (-1, 2)))  # (B, H, T, D/2)
    return torch.view_as_real(pairs * rotation[:, None]).flatten(-2).to(x.dtype)
