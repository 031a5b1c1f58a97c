# SPDX-License-Identifier: GPL-3.0-or-later
"""What this machine can do at most, measured in the same run: matrix products of PyTorch, and memory traffic of NumPy."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

SQUARES = (256, 512, 1024, 2048)
_ARRAY_BYTES = 1 << 28  # far larger than the caches
_CHUNK = 1 << 16  # floats: NumPy's triad in pieces whose intermediate stays in the L2 cache


def gemm_gflops(dtype: torch.dtype, squares: tuple[int, ...] = SQUARES, seconds: float = 0.3) -> dict:
    """GFLOP/s of square products by size, the best of several calls on the present number of threads; `peak` is the largest."""
    rates = {}
    for size in squares:
        a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
        out = torch.empty(size, size, dtype=dtype)
        rates[str(size)] = 2e-9 * size**3 / _best(lambda a=a, b=b, out=out: torch.matmul(a, b, out=out), seconds)
    return {"by_size": rates, "peak": max(rates.values())}


def memory_gb_s(seconds: float = 0.5, array_bytes: int = _ARRAY_BYTES) -> dict:
    """GB/s that one thread moves, reads and writes counted: a copy, and a triad a = b + 3 c (McCalpin's STREAM)."""
    a, b, c = (np.ones(array_bytes // 4, np.float32) for _ in range(3))
    part = np.empty(_CHUNK, np.float32)

    def triad():
        for start in range(0, len(a), _CHUNK):
            piece = slice(start, start + _CHUNK)
            scaled = np.multiply(c[piece], np.float32(3), out=part[:len(c[piece])])
            np.add(b[piece], scaled, out=a[piece])

    return {"copy": 2e-9 * a.nbytes / _best(lambda: np.copyto(a, b), seconds), "triad": 3e-9 * a.nbytes / _best(triad, seconds)}


def roofline(threads: int, quick: bool = False) -> dict:
    """Peaks on so many threads of PyTorch; memory by one thread of NumPy.

    Returns:
        gemm: fp32 and bf16, each {by_size, peak} in GFLOP/s; memory: GB/s.
    """
    torch.set_num_threads(threads)
    squares, seconds = (SQUARES[:2], 0.02) if quick else (SQUARES, 0.3)
    return {"gemm": {name: gemm_gflops(dtype, squares, seconds) for name, dtype in (("fp32", torch.float32),
                                                                                    ("bf16", torch.bfloat16))},
            "memory": memory_gb_s(*((0.02, 1 << 24) if quick else (0.5,)))}


def _best(call: Callable[[], object], seconds: float) -> float:
    """The shortest of the calls that fit into so many seconds, at least three."""
    call()
    began, best, count = time.perf_counter(), float("inf"), 0
    while count < 3 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
        count += 1
    return best
