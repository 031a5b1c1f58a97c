# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of one frame on the wire. Mirrors ``tokenizer::item_size`` of the C++ kernel; a test asserts that both agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

N_SIDE = 3
FLOOR_DBFS, K_EFF, BIN_WIDTH_HZ = range(N_SIDE)  # order of the side values
CLIPPED_SHARE = N_SIDE  # follows them: share of the frame's samples at full scale. No model reads it


def usable_bins(n_bins: int, usable: float) -> slice:
    """The bins around the middle of n_bins that make up this share of them, (0, 1]; two at least."""
    half = max(1, int(usable * n_bins / 2))
    return slice(n_bins // 2 - half, n_bins // 2 + half) if usable < 1 else slice(0, n_bins)


@dataclass(frozen=True)
class FrameLayout:
    """Sizes of a frame: N = fft_size bins in M = N / stride tokens of stride + 2 floats, then the side values.

    Raises:
        ValueError: stride does not divide fft_size, or either is out of range.
    """

    fft_size: int = 1024
    stride: int = 8

    def __post_init__(self):
        if not 16 <= self.fft_size <= 65536:
            raise ValueError(f"fft_size {self.fft_size} is outside 16..65536")
        if self.stride < 1 or self.fft_size % self.stride:
            raise ValueError(f"stride {self.stride} does not divide fft_size {self.fft_size}")

    @property
    def n_tokens(self) -> int:
        return self.fft_size // self.stride

    @property
    def token_dim(self) -> int:
        return self.stride + 2

    @property
    def item_size(self) -> int:
        """Floats in one item of the `tokens` stream."""
        return -(-(self.n_tokens * self.token_dim + 8) // 64) * 64

    def split(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Views of items (F, item_size) as tokens (F, M, token_dim) and side values (F, 3: floor_dbfs, K_eff, bin_width_hz)."""
        used = self.n_tokens * self.token_dim
        tokens = items[:, :used].reshape(len(items), self.n_tokens, self.token_dim)
        return tokens, items[:, used:used + N_SIDE]

    def clipped_share(self, items: np.ndarray) -> np.ndarray:
        """View (F,) of items (F, item_size): share of each frame's samples at full scale (|re| or |im| >= 0.99), 0..1."""
        return items[:, self.n_tokens * self.token_dim + CLIPPED_SHARE]
