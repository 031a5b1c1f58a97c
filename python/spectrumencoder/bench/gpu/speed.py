# SPDX-License-Identifier: GPL-3.0-or-later
"""Time of one spectrum and spectra a second, beside the paper's network in the same run, and beside the device's peaks.

* `one`: one spectrum from NumPy to NumPy, with the CUDA graph, kernel by kernel, and the pass on the device alone.
* `batch`: passes on the device alone, input and output in its memory: spectra a second by batch. A pass has `MAX_ROWS` at most,
  as the grid of the flash kernels holds 65535 frames (github.com/pytorch/pytorch/issues/146704); more are several passes.
* `host`: 65536 spectra from NumPy to NumPy. The host's part of the time is what the passes on the device do not explain.
* `reference`: the paper's network (`bench.reference`), both of PyTorch's implementations, in fp32 and in bf16, with a graph and
  without. Ours is compared with the fastest of them at the same batch or, beyond its largest, at its best.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import torch

from ...encoder.features import BF16, FP32
from ...encoder.precision import why_not
from ...encoder.torch_runtime import EagerNetwork
from .. import reference
from .device import call_ms, captured, mean_ms, numbered, peaks, percentiles
from .models import MODELS, Measured
from .part import Note, PartSettings

BATCHES = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)
REFERENCE_BATCHES = (1, 16, 256, 1024, 4096)
SMALL_BATCHES = (1, 4)
MAX_ROWS = 16384


def run(settings: PartSettings, note: Note) -> None:
    """Notes `peaks`, `one`, `bytes`, `batch`, `host`, `reference` and `speed_up`, each as far as the time goes."""
    device = numbered(settings.device)
    torch.backends.cuda.matmul.allow_tf32 = False
    note("peaks", peak := peaks(device, settings.small))
    measured = {(name, dtype): Measured(name, device, dtype, settings.seed)
                for name in (MODELS[:1] if settings.small else MODELS)
                for dtype in ((FP32,) if settings.small else (FP32, BF16)) if not why_not(dtype, device)}
    note("one", [_one(*key, m, settings) for key, m in measured.items()])
    note("bytes", {name: m.bytes_per_spectrum() for (name, dtype), m in measured.items() if dtype == FP32})
    rows: list[dict] = []
    for batch in SMALL_BATCHES if settings.small else BATCHES:
        for (name, dtype), m in measured.items():
            if settings.has_time(0.6):
                rows.append({"model": name, "dtype": dtype, "batch": batch}
                            | _batch(m, batch, settings.small, peak["tflop_s"][dtype]))
                note("batch", rows)
    note("host", [_host(*key, m, rows, settings) for key, m in measured.items() if settings.has_time(0.75)])
    paper: list[dict] = []
    for graph in (False, True) if device.type == "cuda" else (False,):  # last: a capture that fails may spoil the process
        for row in _reference(device, settings, graph):
            paper.append(row)
            note("reference", paper)
            note("speed_up", speed_up(rows, paper))


def _one(name: str, dtype: str, m: Measured, settings: PartSettings) -> dict:
    """Milliseconds of one spectrum."""
    item = m.items(1)
    eager = EagerNetwork(m.network.network, m.device)
    out = m.empty(1)
    bands, options = np.zeros(1, np.int64), {"backend": m.form.backend, "pad_batch": 0}
    calls = {"graph": lambda: m.encode(item, out), "device_alone": m.step(1).run,
             "kernel_by_kernel": lambda: eager.encode(item, bands, m.kept, m.form.policy, **options, **out)}
    seconds, most = (0.05, 5) if settings.small else (1.0, 2000)
    return {"model": name, "dtype": dtype} | {key: percentiles(call_ms(call, m.device, seconds=seconds, max_calls=most))
                                              for key, call in calls.items()}


def _batch(m: Measured, batch: int, small: bool, peak_tflop_s: float) -> dict:
    """Spectra a second of one batch size on the device alone, and the share of the products' peak."""
    try:
        step, passes = m.step(min(batch, MAX_ROWS)), -(-batch // MAX_ROWS)
        ms = mean_ms(lambda: [step.run() for _ in range(passes)], m.device, seconds=0.02 if small else 0.25)
    except RuntimeError as error:  # such as no memory
        return {"reason": " ".join(str(error).split())[:200]}
    per_s = 1e3 * batch / ms
    return {"ms": ms, "per_s": per_s, "tflop_s": 1e-6 * m.mflop * per_s, "share_of_peak": 1e-6 * m.mflop * per_s / peak_tflop_s}


def _reference(device: torch.device, settings: PartSettings, graph: bool) -> Iterator[dict]:
    """The paper's network: milliseconds and spectra a second of each of its forms by batch."""
    torch.manual_seed(settings.seed)
    plain = reference.Reference().to(device)
    networks = {FP32: plain} if settings.small else {FP32: plain, BF16: deepcopy(plain).bfloat16()}
    for batch in SMALL_BATCHES[:1] if settings.small else REFERENCE_BATCHES:
        tokens = torch.randn(batch, reference.N_TOKENS, reference.TOKEN_DIM, device=device)
        for dtype, network in networks.items():
            given = tokens.to(torch.bfloat16 if dtype == BF16 else torch.float32)
            for fast_path in (True, False):
                if not settings.has_time():
                    return
                network.fast_path = fast_path
                row = {"batch": batch, "dtype": dtype, "fast_path": fast_path, "graph": graph, "mflop": reference.mflop()}
                call = lambda network=network, given=given: network(given)  # noqa: E731
                try:
                    ms = mean_ms(captured(call, device) if graph else call, device, seconds=0.02 if settings.small else 0.1)
                except RuntimeError as error:
                    yield row | {"reason": " ".join(str(error).split())[:200]}
                else:
                    yield row | {"ms": ms, "per_s": 1e3 * batch / ms}


def speed_up(rows: list[dict], paper: list[dict]) -> list[dict]:
    """Ours over the fastest form of the paper's network: at the batch of the row, or at its best if it has no such batch."""
    best: dict[int, float] = {}
    for row in paper:
        best[row["batch"]] = max(row.get("per_s", 0.0), best.get(row["batch"], 0.0))
    largest = max(best.values(), default=0.0)
    return [{key: row[key] for key in ("model", "dtype", "batch")} | {"times": row["per_s"] / best.get(row["batch"], largest)}
            for row in rows if "per_s" in row and largest]


def _host(name: str, dtype: str, m: Measured, rows: list[dict], settings: PartSettings) -> dict:
    """Spectra a second from NumPy to NumPy, and the share of the time that is not the device's."""
    items = m.items(16 if settings.small else 65536)
    out = m.empty(len(items))
    seconds = 0.05 if settings.small else 1.5
    ms = float(min(call_ms(lambda: m.encode(items, out), m.device, seconds=seconds, max_calls=8, warm_up=1)))
    on_device = [row["ms"] / row["batch"] for row in rows
                 if row["model"] == name and row["dtype"] == dtype and "ms" in row and row["batch"] <= 1024]
    device_ms = len(items) * min(on_device) if on_device else None
    return {"model": name, "dtype": dtype, "spectra": len(items), "ms": ms, "per_s": 1e3 * len(items) / ms,
            "pinned_mib": m.network.pinned_bytes / 2**20,
            "host_share": None if device_ms is None else max(0.0, 1.0 - device_ms / ms)}
