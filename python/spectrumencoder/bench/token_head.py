# SPDX-License-Identifier: GPL-3.0-or-later
"""What token classes cost: the same engine on the same frames, with and without them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from ..encoder.model_file import ModelFile
from ..encoder.token_classes import columns
from ..measure.machine import head
from .engines import make_engines, noise_frames, open_model
from .latency import LIVE_RATE
from .rounds import QUIET, paired_ratio, statistics, take_turns

WITHOUT, WITH = "without", "with token classes"


@dataclass(frozen=True)
class Sizes:
    """Rounds, calls in a turn, frames in a batch."""

    rounds: int = 120
    calls: int = 5
    batches: tuple[int, ...] = (1, 16)


QUICK = Sizes(3, 2, (1,))


def token_head(models: tuple[str, ...], *, sizes: Sizes = Sizes(), seed: int = 0,
               progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Measures each model in each runtime and, natively, each precision. A model without a token head gets one of random weights.

    Returns:
        head; `rows`: model, runtime, dtype, batch, random_head, `times` (arm -> statistics of a call) and `cost`: time with
        token classes over that without (wall and cpu: median ratio within a round, its interval); `unavailable`.
    """
    result = head("token_head", asdict(sizes) | {"models": list(models), "dropout_rate": LIVE_RATE, "seed": seed})
    result |= {"rows": [], "unavailable": {}}
    for name in models:
        file = open_model(name)
        random_head = not file.has_token_classes
        file = with_random_head(file, seed) if random_head else file
        for runtime, dtype, engine in _engines(file, result["unavailable"]):
            for batch in sizes.batches:
                about = f"{name} {runtime} {dtype}, batch {batch}"
                turns = take_turns(_arms(engine, batch, seed), sizes.rounds, calls=sizes.calls, seed=seed,
                                   progress=lambda done, total, about=about: progress(done, total, about))[QUIET]
                result["rows"].append({
                    "model": name, "runtime": runtime, "dtype": dtype, "batch": batch, "random_head": random_head,
                    "times": {arm: statistics(of_one, batch) for arm, of_one in turns.items()},
                    "cost": paired_ratio(turns[WITH], turns[WITHOUT])})
    return result


def with_random_head(file: ModelFile, seed: int = 0) -> ModelFile:
    """The model with a token head of random weights, for measurements of time."""
    rng, encoder = np.random.default_rng(seed), file.contract["encoder"] | {"token_classes": True}
    width, n_columns = encoder["width"], len(columns(encoder["labels"]))
    weights = {"norm.weight": np.ones(width), "classes.weight": rng.normal(0.0, width ** -0.5, (n_columns, width)),
               "classes.bias": rng.normal(size=n_columns)}
    made = {f"weights.shared.token_head.{name}": value.astype(np.float32) for name, value in weights.items()}
    made["weights.shared.token_temperature"] = np.ones((), np.float32)
    return ModelFile(file.contract | {"encoder": encoder}, file.tensors | made, file.path)


def _engines(file: ModelFile, unavailable: dict[str, str]):
    """(runtime, dtype, engine) of each; `auto` too, if the native runtime then takes another precision than fp32."""
    for dtype in ("fp32", "auto"):
        for runtime, engine in make_engines(file, unavailable, dropout_rate=LIVE_RATE, pad_batch=0, dtype=dtype).items():
            if dtype != "auto" or engine.dtype != "fp32":
                yield runtime, engine.dtype, engine


def _arms(engine, batch: int, seed: int) -> dict[str, Callable[[], object]]:
    frames, out = noise_frames(batch, engine.layout, seed=seed), engine.empty(batch, token_classes=True)
    given, of_tokens = tuple(out), out.token_classes
    return {WITHOUT: lambda: engine.encode(frames, out=given),
            WITH: lambda: engine.encode(frames, out=given, token_classes=of_tokens)}
