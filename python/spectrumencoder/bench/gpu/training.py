# SPDX-License-Identifier: GPL-3.0-or-later
"""Training by a recipe: the first steps beside the CPU's, then as many steps as the time allows.

All that is random in a step is drawn on the host, so all runs see the same batches, kept counts, policies and noise. The CPU
trains in fp32. The device trains in fp32 (on CUDA attention is in bf16 all the same) and, as `train` does on CUDA, in bf16.

The time of the whole recipe is calculated: steps of all variants and of the chooser times the mean step. Making the shards and
`finish` are not in it.
"""

from __future__ import annotations

import tempfile
import time
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ...encoder.config import EncoderConfig
from ...training.config import TrainingConfig, read_config
from ...training.corpus import CLASSES
from ...training.distributed import Ranks
from ...training.loop import Data, Run
from ...training.resident import ResidentFrames
from .device import numbered, synchronize
from .frames import CarriedShards
from .part import Note, PartSettings

FIRST = 20  # steps that are compared
# |ours - CPU's| of each part of the loss: absolute + relative. On a CPU bf16 was 0.0007 from fp32 at most over the first 20 steps
TOLERANCE = {"fp32": (0.002, 0.002), "bf16": (0.004, 0.004)}
PARTS = ("reconstruction", "classes", "latents", "anomaly")

@dataclass(frozen=True)
class OnDevice(Ranks):
    """One process on a device of our choice."""

    chosen: str = "cpu"

    @property
    def device(self) -> torch.device:
        return torch.device(self.chosen)


def run(settings: PartSettings, note: Note) -> None:
    """Notes `shards`, `tolerance`, `first` (losses of each run), `close`, and `speed` of the longer run."""
    device = numbered(settings.device)
    encoder, training = read_recipe(Path(settings.recipe))
    first = FIRST
    if settings.small:
        first, training = 3, replace(training, batch=16)
    maker = CarriedShards(Path(settings.shards) if settings.shards else None, _layout(encoder), len(encoder.bands),
                          size=256 if settings.small else 2048, count=1 if settings.small else 2, seed=settings.seed)
    note("shards", {"source": maker.source, "count": maker.count})
    note("tolerance", TOLERANCE)
    training = replace(training, shards=maker.count)
    torch.set_num_threads(1 if settings.small else 8)
    with tempfile.TemporaryDirectory() as folder:
        curves: dict[str, list[dict]] = {}
        for name, chosen, dtype in (("cpu", "cpu", "fp32"), ("fp32", str(device), "fp32"), ("bf16", str(device), "bf16")):
            run_here = _make(encoder, replace(training, dtype=dtype), maker, chosen, Path(folder) / name, resident=name != "cpu")
            curves[name] = [run_here.one_step() for _ in range(first)]
            note("first", curves)
        note("close", {dtype: close(curves["cpu"], curves[dtype], dtype) for dtype in TOLERANCE})
        _long(run_here, training, device, settings, note)  # goes on in bf16


def read_recipe(path: Path) -> tuple[EncoderConfig, TrainingConfig]:
    """The encoder and the training of a recipe that starts with weights of its own, and holds nothing out."""
    config = tomllib.loads(path.read_text())
    config["training"] |= {"start": "", "teacher": "", "holdout": ["none"]}
    encoder, _, training = read_config(config)
    return EncoderConfig.from_dict({**encoder.to_dict(), "labels": CLASSES}), training


def _layout(encoder: EncoderConfig):
    from ...tokens.layout import FrameLayout
    return FrameLayout(encoder.fft_size, encoder.stride)


def _make(encoder: EncoderConfig, training: TrainingConfig, maker: CarriedShards, device: str, out: Path, *,
          resident: bool) -> Run:
    """A run; its frames stay on the device if `resident`, as `train` does on CUDA."""
    out.mkdir()
    ranks = OnDevice(chosen=device)
    data = Data(maker, set(), ranks, training.balanced, training.seen_only,
                resident=ResidentFrames(ranks.device) if resident else None)
    attention, rope = training.variants[0]
    shape = EncoderConfig.from_dict({**encoder.to_dict(), "attention": attention, "rope": rope})
    return Run(shape, training, 0, out, data, None, None, ranks)


def close(wanted: list[dict], ours: list[dict], dtype: str) -> dict:
    """The largest difference of each part of the loss, and whether all are within the tolerance."""
    absolute, relative = TOLERANCE[dtype]
    parts = [part for part in PARTS if part in wanted[0]]
    a, b = (np.array([[row[part] for part in parts] for row in rows]) for rows in (wanted, ours))
    return {"max_difference": dict(zip(parts, np.abs(a - b).max(axis=0).tolist(), strict=True)),
            "within": bool((np.abs(a - b) <= absolute + relative * np.abs(a)).all())}


def _long(run_here: Run, training: TrainingConfig, device: torch.device, settings: PartSettings, note: Note) -> None:
    """Go on with a run until 6 s before the limit (small: 3 steps), and note its pace about twice a second."""
    losses: list[dict] = []
    times: list[float] = []
    began = noted = time.perf_counter()
    while (len(times) < 3 if settings.small else settings.ends_at - time.time() > 6.0):
        step_began = time.perf_counter()
        parts = run_here.one_step()  # reads the loss, so the device has finished
        times.append(time.perf_counter() - step_began)
        if run_here.step % 50 == 0:
            losses.append({"step": run_here.step} | {key: round(value, 4) for key, value in parts.items()})
        if time.perf_counter() - noted > 0.5 or settings.small:
            noted = time.perf_counter()
            note("speed", _pace(times, noted - began, training, losses))
    synchronize(device)
    if times:
        note("speed", _pace(times, time.perf_counter() - began, training, losses))


def _pace(times: list[float], seconds: float, training: TrainingConfig, losses: list[dict]) -> dict:
    steps = training.steps + training.variant_steps * (len(training.variants) - 1) + training.chooser_steps
    mean = seconds / len(times)
    return {"steps": len(times), "seconds": seconds, "frames_per_s": training.batch / mean, "step_ms": 1e3 * mean,
            "step_p50_ms": 1e3 * float(np.median(times)), "recipe_steps": steps, "recipe_minutes": steps * mean / 60,
            "losses": losses}
