# SPDX-License-Identifier: GPL-3.0-or-later
"""The peaks of this machine, measured in the same run: products of PyTorch and of our kernel, memory traffic of NumPy.

PyTorch's fp32 products are those of MKL, which is slow on processors of other makers. The peak is therefore the better of the
two. Ours is measured with factors that stay in the caches, where it is fastest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from ..tokens.tokenize import optional_native_module

SQUARES = (256, 512, 1024, 2048)
SHAPES = ((64, 96, 256), (96, 96, 96), (192, 96, 64), (64, 96, 192))  # rows, columns, depth
_ARRAY_BYTES = 1 << 28  # far larger than the caches
_CHUNK = 1 << 16  # floats: NumPy's triad in pieces whose intermediate stays in the L2 cache


def gemm_gflops(dtype: torch.dtype, squares: tuple[int, ...] = SQUARES, seconds: float = 0.3) -> dict:
    """GFLOP/s of square products by size: the best of several calls on the present number of threads. `peak` is the largest."""
    rates = {}
    for size in squares:
        a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
        out = torch.empty(size, size, dtype=dtype)
        rates[str(size)] = 2e-9 * size**3 / _best(lambda a=a, b=b, out=out: torch.matmul(a, b, out=out), seconds)
    return {"by_size": rates, "peak": max(rates.values())}


def kernel_gflops(threads: int, seconds: float = 0.3) -> dict:
    """The same of the native runtime's product kernel, each thread with factors of its own; empty without the compiled module."""
    module = optional_native_module()
    rates = {}
    with ThreadPoolExecutor(threads) as pool:
        for rows, columns, depth in SHAPES if module is not None else ():
            a, b, c = (np.ones(shape, np.float32) for shape in ((rows, depth), (depth, columns), (rows, columns)))
            times, outs = max(1, round(2e8 / (2 * rows * columns * depth))), [c.copy() for _ in range(threads)]

            def all_at_once(a=a, b=b, outs=outs, times=times):
                list(pool.map(lambda out: module.repeat_product(a, b, out, times), outs))

            rates[f"{rows} x {columns} x {depth}"] = threads * times * 2e-9 * rows * columns * depth / _best(all_at_once, seconds)
    return {"by_size": rates, "peak": max(rates.values(), default=0.0)}


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
        gemm: fp32, bf16 (of PyTorch) and kernel (of ours, fp32), each {by_size, peak} in GFLOP/s; fp32_peak: the better of both;
        memory: GB/s.
    """
    torch.set_num_threads(threads)
    squares, seconds = (SQUARES[:2], 0.02) if quick else (SQUARES, 0.3)
    gemm = {"fp32": gemm_gflops(torch.float32, squares, seconds), "bf16": gemm_gflops(torch.bfloat16, squares, seconds),
            "kernel": kernel_gflops(threads, seconds)}
    return {"gemm": gemm, "fp32_peak": max(gemm["fp32"]["peak"], gemm["kernel"]["peak"]),
            "memory": memory_gb_s(*((0.02, 1 << 24) if quick else (0.5,)))}


def _best(call: Callable[[], object], seconds: float) -> float:
    """Seconds of the shortest call, of all calls that fit into `seconds`; never of fewer than three."""
    call()
    began, best, count = time.perf_counter(), float("inf"), 0
    while count < 3 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
        count += 1
    return best
