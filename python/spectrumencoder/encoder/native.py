# SPDX-License-Identifier: GPL-3.0-or-later
"""The native runtime: the network's forward pass in the C++ library (lib/encoder_network.h), on a CPU.

PyTorch's eager operations on tensors as small as a frame's are mostly overhead; here a frame goes through the whole network in
the processor's cache. Frames are computed one by one (bottleneck and decoder by up to 16), so a frame's numbers do not depend
on its batch, bit for bit, without padding. `SpectrumEncoder` is the oracle: the two agree to rounding (tested).

Matrix products of the blocks are in fp32, bf16 or int8 (see `precision`). The latter two have instructions of their own on
processors with AVX-512 BF16 and VNNI; others compute the same products, slower than fp32.
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
    """generic, avx2, avx512 or avx512_bf16: what the runtime uses on this processor; "" if the C++ library is not installed."""
    module = optional_native_module()
    return module.best_instructions() if module is not None else ""


def has_fast_bf16() -> bool:
    """Whether this processor has instructions for products of bf16 and int8; others compute them slower than fp32."""
    return best_instructions() == FAST_BF16


class NativeNetwork:
    """An encoder in the C++ library.

    Args:
        config: the sizes.
        weights: parameter -> fp32 array, as `ModelFile.weights` gives them; copied.
        instructions: generic, avx2, avx512 or avx512_bf16; "" takes the best that the processor has.
        dtype: of the matrix products in the blocks; fp32, bf16 or int8.

    Raises:
        ValueError: a weight is missing or of another shape, the processor lacks the instructions, or no such dtype.
    """

    def __init__(self, config: EncoderConfig, weights: dict[str, np.ndarray], instructions: str = "", dtype: str = FP32):
        sizes = config.to_dict() | {"labels": len(config.labels), "bands": len(config.bands),
                                    "kv_heads": config.kv_heads if config.attention == "grouped" else config.heads}
        if config.rope == "static":
            weights = weights | {"rope.log_theta": np.array(math.log(config.theta_static), np.float32)}
        self._network = optional_native_module().EncoderNetwork(sizes, weights, instructions, dtype)

    @classmethod
    def of(cls, network: SpectrumEncoder, instructions: str = "", dtype: str = FP32) -> NativeNetwork:
        """The same network as a `SpectrumEncoder` (PyTorch) that is in eval mode, on the CPU, in fp32."""
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
            noise: (F, M) float32, of the policy `random`. wanted: (F, M) bool.
            threads: frames are shared out among so many.
            out: any of residual, reconstruction (F, N), latents (F, L W), embedding (F, A), probabilities (F, labels),
                logit (F, 1), keep_statistics (F, 8), float32; rows may be apart, so that they can be views of wider rows.

        Raises:
            ValueError: an argument does not fit.
        """
        self._network.encode(items, bands, kept, policy, noise, wanted, threads, out)
