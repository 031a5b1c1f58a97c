# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as the block uses it: frames arrive at a steady rate, and each call takes those that wait.

Frame n arrives at n / rate. A call of `Engine.encode` gets the frames that have arrived, `AT_ONCE` at most, as GNU Radio gives
them to the block. A frame's latency runs from its arrival to the return of the call, from NumPy to NumPy. So the batch adapts to
the load. The rate is held if the frames that wait at the end are fewer than arrive in `MAX_BEHIND_S`.
"""

from __future__ import annotations

import time

import numpy as np

from ...encoder.engine import Engine
from ...encoder.model_file import find_model
from .device import numbered
from .frames import draw_frames
from .models import MODELS, RATE
from .part import Note, PartSettings

RATES = (3_750.0, 60_000.0)  # frames/s: 61 MS/s with and without averaging of 16
AT_ONCE = 256  # blocks.safe_block.AT_ONCE, which imports gnuradio; a test compares them
MAX_BEHIND_S = 0.1
POOL = 1024  # different frames


def run(settings: PartSettings, note: Note) -> None:
    """Notes a row for each model, padding and rate."""
    numbered(settings.device)
    plans = [(name, pad, rate) for rate in reversed(RATES) for pad in (16, 0) for name in reversed(MODELS)]
    if settings.small:
        plans = [("fast", 16, 100.0), ("fast", 0, 100.0)]
    seconds = 0.3 if settings.small else 4.0
    rows: list[dict] = []
    engines: dict = {}
    for name, pad, rate in plans:
        if not settings.has_time():
            break
        if (name, pad) not in engines:
            engines[name, pad] = Engine(str(find_model(name)), compute=settings.device, runtime="torch", pad_batch=pad,
                                        dropout_rate=RATE)
        rows.append({"model": name, "pad_batch": pad} | stream(engines[name, pad], rate, seconds, settings.seed))
        note("rows", rows)


def stream(engine: Engine, rate: float, seconds: float, seed: int = 0) -> dict:
    """Encode frames that arrive at `rate` for `seconds`.

    Returns:
        rate, frames, per_s (frames over the time until the last was encoded), held, behind_frames, latency (p50_ms, p99_ms,
        max_ms) and batch (mean, max).
    """
    pool, _ = draw_frames(np.random.default_rng(seed), 64, engine.layout)
    pool = np.resize(pool, (POOL + AT_ONCE, pool.shape[1]))
    out = engine.empty(AT_ONCE)
    for count in sorted({1, 2, 4, 8, 16, 32, 64, 128, AT_ONCE}):  # each number of rows has a graph
        engine.encode(pool[:count], out=type(out)(*(x[:count] for x in out)))
    latency, batches, taken = [], [], 0
    began = time.perf_counter()
    while (now := time.perf_counter() - began) < seconds:
        waiting = int(now * rate) + 1 - taken
        if waiting <= 0:
            time.sleep(max(0.0, min(taken / rate, seconds) - now))
            continue
        count, first = min(waiting, AT_ONCE), taken % POOL
        engine.encode(pool[first:first + count], out=type(out)(*(x[:count] for x in out)))
        done = time.perf_counter() - began
        latency.append(done - np.arange(taken, taken + count) / rate)
        batches.append(count)
        taken += count
    lasted = time.perf_counter() - began
    behind = int(lasted * rate) + 1 - taken
    ms = 1e3 * np.concatenate(latency)
    p50, p99 = (float(q) for q in np.percentile(ms, (50, 99)))
    return {"rate": rate, "frames": taken, "per_s": taken / lasted, "held": behind < MAX_BEHIND_S * rate, "behind_frames": behind,
            "latency": {"p50_ms": p50, "p99_ms": p99, "max_ms": float(ms.max())},
            "batch": {"mean": float(np.mean(batches)), "max": int(max(batches))}}
