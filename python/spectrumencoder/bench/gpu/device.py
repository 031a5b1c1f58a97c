# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts about a device, times on it, and its peaks as PyTorch reaches them."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import time
from collections.abc import Callable

import numpy as np
import torch

from ...measure.timing import cpu_model


def facts(device: torch.device) -> dict:
    """What the results depend on: name, memory, versions."""
    if device.type != "cuda":
        return {"kind": "cpu", "name": cpu_model()}
    p = torch.cuda.get_device_properties(device)
    return {"kind": "cuda", "name": p.name, "capability": [p.major, p.minor], "memory_gib": round(p.total_memory / 2**30, 1),
            "multiprocessors": p.multi_processor_count, "l2_mib": getattr(p, "L2_cache_size", 0) / 2**20,
            "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "driver": _driver(),
            "triton": importlib.util.find_spec("triton") is not None,
            "tf32": torch.backends.cuda.matmul.allow_tf32}


def _driver() -> str | None:
    """Driver and clocks as nvidia-smi prints them; None without it."""
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=driver_version,clocks.sm,clocks.mem,power.limit", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        return None


def synchronize(device: torch.device) -> None:
    """Wait for all work of the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def numbered(device: str) -> torch.device:
    """The device, made the current one; a CUDA device gets its number."""
    made = torch.device(device)
    if made.type == "cuda":
        torch.cuda.set_device(made.index or 0)
        made = torch.device("cuda", torch.cuda.current_device())
    return made


def call_ms(call: Callable[[], object], device: torch.device, *, seconds: float, max_calls: int, warm_up: int = 5) -> np.ndarray:
    """Milliseconds of single calls by the wall clock, each until the device has finished: (n,), at least 3."""
    for _ in range(warm_up):
        call()
    synchronize(device)
    times: list[float] = []
    ends = time.perf_counter() + seconds
    while len(times) < max_calls and (len(times) < 3 or time.perf_counter() < ends):
        began = time.perf_counter()
        call()
        synchronize(device)
        times.append(1e3 * (time.perf_counter() - began))
    return np.array(times)


def mean_ms(call: Callable[[], object], device: torch.device, *, seconds: float, warm_up: int = 2) -> float:
    """Milliseconds of a call in a row of calls: by CUDA events if there are any, else by the wall clock."""
    for _ in range(warm_up):
        call()
    synchronize(device)
    began = time.perf_counter()
    call()
    synchronize(device)
    count = max(1, int(seconds / max(time.perf_counter() - began, 1e-6)))
    if device.type == "cuda":
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        for _ in range(count):
            call()
        last.record()
        last.synchronize()
        return first.elapsed_time(last) / count
    began = time.perf_counter()
    for _ in range(count):
        call()
    return 1e3 * (time.perf_counter() - began) / count


def percentiles(times_ms: np.ndarray) -> dict:
    """p50_ms, p99_ms, max_ms and the number of calls."""
    p50, p99 = (float(q) for q in np.percentile(times_ms, (50, 99)))
    return {"p50_ms": p50, "p99_ms": p99, "max_ms": float(times_ms.max()), "calls": len(times_ms)}


def peaks(device: torch.device, small: bool) -> dict:
    """Peaks in this run: square products in TFLOP/s by dtype, and copies in GB/s.

    A copy within the device counts bytes read and written. The others are between pinned memory and the device."""
    size, seconds = (128, 0.02) if small else (8192, 0.3)
    result: dict = {"tflop_s": {}}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        out = torch.empty(size, size, device=device, dtype=dtype)
        result["tflop_s"][name] = 2e-9 * size**3 / mean_ms(lambda a=a, b=b, out=out: torch.matmul(a, b, out=out), device,
                                                            seconds=seconds)
    n = 1 << (16 if small else 28)
    source, target = torch.ones(n, device=device), torch.empty(n, device=device)
    result["copy_gb_s"] = 8e-6 * n / mean_ms(lambda: target.copy_(source), device, seconds=seconds)
    pinned = torch.ones(n // 8, pin_memory=device.type == "cuda")
    part = target[:len(pinned)]
    for name, (to, given) in {"to_device": (part, pinned), "to_host": (pinned, part)}.items():
        ms = mean_ms(lambda to=to, given=given: to.copy_(given, non_blocking=True), device, seconds=seconds)
        result[f"{name}_gb_s"] = 4e-6 * len(pinned) / ms
    return result


def captured(call: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """The call as a CUDA graph: its inputs are those tensors that it uses. On a CPU the call itself."""
    if device.type != "cuda":
        return call
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
        with torch.cuda.graph(graph, stream=stream):
            kept = call()

    def replay():
        graph.replay()
        return kept  # the graph writes to it

    return replay
