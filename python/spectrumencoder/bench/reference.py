# SPDX-License-Identifier: GPL-3.0-or-later
"""The network to compare with: PyTorch's own transformer encoder, 512 wide, 8 heads, 6 layers, feed-forward 2048, fp32.

It takes the same tokens as ours, embeds them by one linear map, keeps all of them, and maps each back to a token's floats by
another. It has random weights, since speed does not depend on them. It lives in the package, so that an installed program can
bench against it. ``recipes/performance/reference.py`` in the source tree runs it alone.

PyTorch has two implementations of such a layer at inference: a fused one (its "fast path") and the plain one. `choose` times
both in turn on this machine and takes the faster, so that ours is compared with the better of the two.
"""

from __future__ import annotations

import torch
from torch import nn

from .rounds import statistics, take_turns

WIDTH, HEADS, LAYERS, FEED_FORWARD = 512, 8, 6, 2048
TOKEN_DIM, N_TOKENS = 10, 128


class Reference(nn.Module):
    """(B, M, 10) -> (B, M, 10).

    Args:
        fast_path: selects PyTorch's fused implementation. It is a switch of the whole process, set for the call and put back.
    """

    def __init__(self, fast_path: bool = True):
        super().__init__()
        self.fast_path = fast_path
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, FEED_FORWARD, batch_first=True)
        self.embed = nn.Linear(TOKEN_DIM, WIDTH)
        self.blocks = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.out = nn.Linear(WIDTH, TOKEN_DIM)
        self.eval()

    @torch.inference_mode()
    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        before = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(self.fast_path)
        try:
            return self.out(self.blocks(self.embed(tokens)))
        finally:
            torch.backends.mha.set_fastpath_enabled(before)


def choose(batch: int = 1, *, n_tokens: int = N_TOKENS, rounds: int = 20, device: str = "cpu") -> tuple[Reference, dict]:
    """The faster of the two for such batches on the present number of threads, and the median ms of a call of each."""
    network = Reference().to(device)
    tokens = torch.randn(batch, n_tokens, TOKEN_DIM, device=device)

    def call(fast_path: bool):
        network.fast_path = fast_path
        network(tokens).cpu()

    turns = take_turns({"fast path": lambda: call(True), "plain": lambda: call(False)}, rounds, calls=1)
    median_ms = {name: statistics(t)["p50_ms"] for name, t in turns["quiet"].items()}
    network.fast_path = median_ms["fast path"] <= median_ms["plain"]
    return network, {"fast_path": network.fast_path, "median_ms": median_ms}


def mflop(n_tokens: int = N_TOKENS) -> float:
    """Multiply-adds times two of one spectrum, in 1e6."""
    per_token = 2 * TOKEN_DIM * WIDTH + LAYERS * (4 * WIDTH**2 + 2 * WIDTH * FEED_FORWARD)
    return 2e-6 * (n_tokens * per_token + LAYERS * 2 * n_tokens**2 * WIDTH)
