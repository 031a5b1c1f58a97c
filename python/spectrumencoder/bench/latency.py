# SPDX-License-Identifier: GPL-3.0-or-later
"""One spectrum at a time: the reference network against every shipped model, through `Engine.encode` as live use has it.

Ours is more than a forward pass: heads, residual, reconstruction and features are made and copied out. The reference gets its
tokens as a tensor and returns one. PyTorch's runtime runs recordings with `pad 16` (a lone frame then costs what 16 do) and
radios with `pad 4`; `pad 0` is a batch as it comes. The native runtime pads nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from ..encoder.encoder import mflop_per_spectrum
from ..measure.machine import head
from . import reference
from .busy import conditions
from .engines import NATIVE, SHIPPED, arm_name, make_engines, noise_frames, open_model
from .rounds import table, take_turns

REFERENCE = "reference"
RATES, LIVE_RATE = (0.0, 0.25, 0.5, 0.75), 0.25
PADS = (0, 4, 16)
_FRAMES = 16


@dataclass(frozen=True)
class Sizes:
    """Rounds, calls in a turn, threads (each in turn)."""

    rounds: int = 60
    calls: int = 5
    threads: tuple[int, ...] = (1, 2)


QUICK = Sizes(rounds=3, calls=2, threads=(1,))


def latency(models: tuple[str, ...] = SHIPPED, *, sizes: Sizes = Sizes(), busy_neighbour: bool = False, seed: int = 0,
            progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Measures the times of one spectrum.

    Returns:
        head; `arms`: model, dropout_rate, pad_batch, runtime and mflop of each; `reference`: by threads, both of its
        implementations; `times`: threads -> condition -> arm -> statistics and `speed_up` over the reference; `unavailable`.
    """
    result = head("latency", asdict(sizes) | {"models": list(models), "busy_neighbour": busy_neighbour, "seed": seed})
    unavailable: dict[str, str] = {}
    arms, calls, engines = {}, {}, []
    for name in models:
        _add_arms(name, arms, calls, engines, unavailable)
    arms[REFERENCE] = {"mflop": reference.mflop(), "tokens": reference.N_TOKENS}
    result |= {"arms": arms, "reference": {}, "times": {}, "unavailable": unavailable}
    tokens = torch.randn(1, reference.N_TOKENS, reference.TOKEN_DIM)
    with conditions(busy_neighbour) as (names, enter):
        for threads in sizes.threads:
            torch.set_num_threads(threads)
            for engine in engines:
                engine.threads = threads
            network, result["reference"][str(threads)] = reference.choose(rounds=max(3, sizes.rounds // 3))
            turns = take_turns(calls | {REFERENCE: lambda network=network: network(tokens)}, sizes.rounds, calls=sizes.calls,
                               seed=seed, conditions=names, enter=enter,
                               progress=lambda done, total, threads=threads: progress(done, total, f"{threads} thread(s)"))
            result["times"][str(threads)] = table(turns, REFERENCE)
    return result


def _add_arms(name: str, arms: dict, calls: dict, engines: list, unavailable: dict):
    model = open_model(name)
    for rate, pad in [(LIVE_RATE, pad) for pad in PADS] + [(rate, 0) for rate in RATES if rate != LIVE_RATE]:
        for runtime, engine in make_engines(model, unavailable, dropout_rate=rate, pad_batch=pad).items():
            if runtime == NATIVE and pad:
                continue
            key = arm_name(model.name, rate, pad, runtime)
            arms[key] = {"model": model.name, "dropout_rate": engine.dropout_rate, "tokens_kept": engine.k_kept, "pad_batch": pad,
                         "runtime": runtime, "mflop": mflop_per_spectrum(engine.config, engine.k_kept)}
            calls[key] = _one_at_a_time(engine)
            engines.append(engine)


def _one_at_a_time(engine) -> Callable[[], object]:
    frames, at = noise_frames(_FRAMES, engine.layout), np.zeros(1, int)

    def call():
        at[0] = (at[0] + 1) % _FRAMES
        return engine.encode(frames[at[0]:at[0] + 1])
    return call
