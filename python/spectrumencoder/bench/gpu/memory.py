# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory of an engine: on the device by PyTorch's allocator, pinned on the host, and of the whole process."""

from __future__ import annotations

import resource

import torch

from ...encoder.features import FP32
from .device import numbered
from .models import MODELS, Measured
from .part import Note, PartSettings


def run(settings: PartSettings, note: Note) -> None:
    """Notes `before`, and a row for each model and batch: MiB after the first pass of that size."""
    device = numbered(settings.device)
    note("before", usage(device))
    rows: list[dict] = []
    for name in MODELS[:1] if settings.small else MODELS:
        m = Measured(name, device, FP32, settings.seed)
        for batch in (1, 4) if settings.small else (1, 16, 256, 1024, 4096):
            if not settings.has_time():
                return
            m.encode(m.items(batch), m.empty(batch))
            rows.append({"model": name, "batch": batch, "pinned_mib": m.network.pinned_bytes / 2**20} | usage(device))
            note("rows", rows)


def usage(device: torch.device) -> dict[str, float | None]:
    """MiB: in use and reserved on the device, their peak, and the largest resident size of this process so far."""
    mib = 2.0**20
    on_gpu = device.type == "cuda"
    return {"device_mib": torch.cuda.memory_allocated(device) / mib if on_gpu else None,
            "device_reserved_mib": torch.cuda.memory_reserved(device) / mib if on_gpu else None,
            "device_peak_mib": torch.cuda.max_memory_allocated(device) / mib if on_gpu else None,
            "process_peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
