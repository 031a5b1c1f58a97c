# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernel computes attention, by the profiler, and what it costs beside attention written out.

`encoder.attention.flash` takes the flash-attn package if it can be imported, else PyTorch's flash kernel. The profiler lists
what ran: operators of PyTorch, and kernels of the device.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from ...encoder.attention import BACKENDS
from ...encoder.attention.flash import kernel_note, package_facts
from ...encoder.rope import RotaryEmbedding
from .device import mean_ms, numbered
from .part import Note, PartSettings

FLASH_NAMES = ("flash", "fmha")
HEADS, HEAD_WIDTH = 4, 16  # of `base`
PAIRS = {"flash": ("naive", HEADS), "grouped": ("grouped_naive", 2)}  # backend -> its oracle, key-value heads


def run(settings: PartSettings, note: Note) -> None:
    """Notes `kernel`, `flash_attn`; for each backend and length `ran` (names), `error` and times of it and of its oracle."""
    device = numbered(settings.device)
    version, trouble = package_facts()
    note("kernel", kernel_note(device))
    note("flash_attn", {"version": version, "trouble": trouble})
    rows: list[dict] = []
    batch, lengths = (2, (97,)) if settings.small else (256, (33, 97, 105, 129))
    for backend, (oracle, kv_heads) in PAIRS.items():
        for tokens in lengths:
            if settings.has_time():
                rows.append(_row(backend, oracle, kv_heads, batch, tokens, device, settings.small))
                note("rows", rows)


def profiled_names(call, device: torch.device) -> tuple[list[str], list[str]]:
    """Names of the operators, and of the kernels of the device, that ran in one call."""
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    call()
    with profile(activities=activities) as profiler:
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    names = {event.name for event in profiler.events() if event.device_type == torch.autograd.DeviceType.CPU}
    kernels = {event.name for event in profiler.events() if event.device_type == torch.autograd.DeviceType.CUDA}
    return sorted(names), sorted(kernels)


def flash_names(names: list[str]) -> list[str]:
    """Those of a flash kernel."""
    return [name[:160] for name in names if any(part in name.lower() for part in FLASH_NAMES)]


def _row(backend: str, oracle: str, kv_heads: int, batch: int, tokens: int, device: torch.device, small: bool) -> dict:
    generator = torch.Generator().manual_seed(tokens)
    q, k, v = (torch.randn(batch, heads, tokens, HEAD_WIDTH, generator=generator).to(device)
               for heads in (HEADS, kv_heads, kv_heads))
    rope = RotaryEmbedding("static", HEAD_WIDTH, 1).to(device)
    rotation = rope(torch.arange(tokens, device=device).expand(batch, -1), torch.zeros(batch, dtype=torch.int64, device=device),
                    torch.zeros(batch, device=device))
    calls = {name: lambda attend=BACKENDS[name].attend: attend(q, k, v, rotation) for name in (backend, oracle)}
    ours, wanted = (calls[name]() for name in (backend, oracle))
    operators, kernels = profiled_names(calls[backend], device)
    seconds = 0.02 if small else 0.2
    return {"backend": backend, "batch": batch, "tokens": tokens, "operators": flash_names(operators),
            "kernels": flash_names(kernels), "all_kernels": [name[:160] for name in kernels],
            "flash_ran": bool(flash_names(kernels if device.type == "cuda" else operators)),
            "error": float((ours - wanted).square().mean().sqrt() / wanted.square().mean().sqrt()),
            "ms": mean_ms(calls[backend], device, seconds=seconds), "oracle_ms": mean_ms(calls[oracle], device, seconds=seconds),
            "gflop": 4e-9 * batch * HEADS * float(np.square(tokens)) * HEAD_WIDTH}
