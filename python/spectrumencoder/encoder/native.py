# SPDX-License-Identifier: GPL-3.0-or-later
"""The native runtime: the network's forward pass in the C++ library (lib/encoder_network.h), on a CPU.

A frame's tensors are small, so PyTorch's eager operations on them are mostly overhead. Here a frame passes through the whole
network within the processor's cache. Frames are computed one by one (bottleneck and decoder up to 16 at a time). So a frame's
bits do not depend on its batch, and no padding is needed. `SpectrumEncoder` is the oracle: tests check that the two agree to
rounding.

Matrix products of the blocks are in fp32, bf16 or int8 (see `precision`). Processors with AVX-512 BF16 and VNNI have special
instructions for bf16 and int8. Other processors compute the same products, slower than fp32.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..tokens.tokenize import optional_native_module
from .config import EncoderConfig
from .features import FP32

if TYPE_CHECKING:
    from .encoder import SpectrumEncoder

FAST_BF16 = "avx512_bf16"  # the instructions that make bf16 and int8 faster than fp32


def best_instructions() -> str:
    """The runtime's instructions on this processor: generic, avx2, avx512, avx512_bf16; "" if the C++ library is missing."""
    module = optional_native_module()
    return module.best_instructions() if module is not None else ""


def has_fast_bf16() -> bool:
    """Whether this processor has instructions for bf16 and int8 products. Others compute them slower than fp32."""
    return best_instructions() == FAST_BF16


class NativeNetwork:
    """An encoder in the C++ library.

    Args:
        config: sizes of the network.
        weights: parameter -> fp32 array, as from `ModelFile.weights`; copied.
        instructions: generic, avx2, avx512 or avx512_bf16; "" takes the best that the processor has.
        dtype: precision of the matrix products in the blocks: fp32, bf16 or int8.

    Raises:
        ValueError: a weight is missing or has another shape, the processor lacks the instructions, or there is no such dtype.
    """

    def __init__(self, config: EncoderConfig, weights: dict[str, np.ndarray], instructions: str = "", dtype: str = FP32):
        sizes = config.to_dict() | {"labels": len(config.labels), "bands": len(config.bands),
                                    "kv_heads": config.kv_heads if config.attention == "grouped" else config.heads}
        if config.rope == "static":
            weights = weights | {"rope.log_theta": np.array(math.log(config.theta_static), np.float32)}
        self._network = optional_native_module().EncoderNetwork(sizes, weights, instructions, dtype)

    @classmethod
    def of(cls, network: SpectrumEncoder, instructions: str = "", dtype: str = FP32) -> NativeNetwork:
        """Convert a `SpectrumEncoder` (PyTorch) in eval mode, on the CPU, in fp32."""
        return cls(network.config, {name: value.detach().numpy() for name, value in network.state_dict().items()},
                   instructions, dtype)

    @property
    def instructions(self) -> str:
        return self._network.instructions

    def encode(self, items: np.ndarray, bands: np.ndarray, kept: int, policy: str, *, noise: np.ndarray | None = None,
               wanted: np.ndarray | None = None, threads: int = 1, **out: np.ndarray) -> None:
        """Encode frames into the given arrays.

        Args:
            items: (F, item_size) float32. bands: (F,) int64.
            noise: (F, M) float32, for the policy `random`. wanted: (F, M) bool, tokens to keep before others.
            threads: number of threads that share the frames.
            out: float32 arrays, any of residual, reconstruction (F, N), latents (F, L W), embedding (F, A), probabilities
                (F, labels), logit (F, 1), keep_statistics (F, 8), token_classes (F, M (labels + 2)) as in token_classes.py.
                They may be views of wider rows.

        Raises:
            ValueError: an argument does not fit, or token_classes is asked of a network without a token head.
        """
        self._network.encode(items, bands, kept, policy, noise, wanted, threads, out)
