# SPDX-License-Identifier: GPL-3.0-or-later
"""torch.compile for the passes: whether it compiles, how long it takes, whether it gives the same numbers, what it saves.

The rotary embedding is computed without complex numbers there: PyTorch's compiler has none, and fails on them at times
(github.com/pytorch/pytorch/issues/185396).

The engine does not use it: nobody has run it on a GPU yet. A kernel of our own is not there either. This part says whether either
is worth it: `kernels` lists the kernels of one pass by their time.
"""

from __future__ import annotations

import time

import torch
from torch.profiler import ProfilerActivity, profile

from ...encoder.features import FP32
from .device import mean_ms, numbered, synchronize
from .models import MODELS, Measured
from .part import Note, PartSettings

COMPILER, SMALL_COMPILER = "inductor", "aot_eager"  # the second traces and lowers, and compiles no code
MAX_KERNELS = 25


def run(settings: PartSettings, note: Note) -> None:
    """Notes `kernels` of a pass as it is, and for each model and batch `rows`."""
    device = numbered(settings.device)
    compiler = SMALL_COMPILER if settings.small else COMPILER
    plans = [(MODELS[0], 1)] if settings.small else [(name, rows) for rows in (1, 1024) for name in reversed(MODELS)]
    made = {name: Measured(name, device, FP32, settings.seed) for name in dict(plans)}
    note("kernels", {f"{name} {rows}": kernels(made[name], rows) for name, rows in plans[:2]})
    note("compiler", compiler)
    done: list[dict] = []
    for name, rows in plans:
        if settings.has_time():
            done.append({"model": name, "batch": rows} | _row(made[name], rows, compiler, settings.small))
            note("rows", done)


def _row(m: Measured, rows: int, compiler: str, small: bool) -> dict:
    plain = m.step(rows)
    seconds = 0.02 if small else 0.3
    result: dict = {"ms": mean_ms(plain.run, m.device, seconds=seconds)}
    began = time.perf_counter()
    rope = m.network.network.rope
    try:
        rope.real = True
        step = m.step(rows, compiler=compiler)
        step.run()
        synchronize(m.device)
    except Exception as error:  # noqa: BLE001 (whatever a compiler raises is the result here)
        return result | {"reason": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    else:
        result["compile_s"] = time.perf_counter() - began
        result["compiled_ms"] = mean_ms(step.run, m.device, seconds=seconds)
        return result | {"max_difference": float((step.outputs - plain.outputs).abs().max())}
    finally:
        rope.real = False


def kernels(m: Measured, rows: int) -> list[dict]:
    """The kernels of one pass, run one by one, by their time: name, calls, microseconds. On a CPU its operators."""
    on_gpu = m.device.type == "cuda"
    step = m.step(rows, graph=False)
    step.compute()
    with profile(activities=[ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if on_gpu else [])) as profiler:
        step.compute()
        synchronize(m.device)
    kind = torch.autograd.DeviceType.CUDA if on_gpu else torch.autograd.DeviceType.CPU
    table = [(e.key, e.count, e.self_device_time_total if on_gpu else e.self_cpu_time_total)
             for e in profiler.key_averages() if not on_gpu or e.device_type == kind]
    table.sort(key=lambda row: -row[2])
    return [{"name": name[:160], "calls": calls, "us": us} for name, calls, us in table[:MAX_KERNELS]]
