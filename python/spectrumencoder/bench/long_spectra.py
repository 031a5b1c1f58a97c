# SPDX-License-Identifier: GPL-3.0-or-later
"""Longer spectra: time of one frame by number of tokens and attention backend.

No model is shipped for more than 128 tokens. The networks have `base`'s sizes and random weights; speed does not depend on
them. A token has eight bins, all tokens are kept, and the time is that of the whole network and its residual for one frame.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..encoder.encoder import mflop_per_spectrum
from ..encoder.engine import NATIVE, TORCH
from ..encoder.native import NativeNetwork
from ..encoder.random_network import random_network
from ..encoder.torch_runtime import EagerNetwork
from ..measure.machine import head
from ..tokens.layout import FrameLayout
from . import reference
from .busy import conditions
from .engines import noise_frames, open_model
from .latency import REFERENCE, Sizes
from .rounds import table, take_turns

BACKENDS = ("flash", "grouped", "latent", "linear", "mhla")
TOKENS = (128, 512, 2048)


def long_spectra(tokens: tuple[int, ...] = TOKENS, *, sizes: Sizes = Sizes(), busy_neighbour: bool = False, seed: int = 0,
                 progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Measures the times by number of tokens.

    Returns:
        head; `times`: threads -> tokens -> condition -> "backend runtime" -> statistics and `speed_up` over the reference;
        `mflop`: tokens -> arm.
    """
    result = head("latency_tokens", {"tokens": list(tokens), "rounds": sizes.rounds, "calls": sizes.calls,
                                     "threads": list(sizes.threads), "dropout_rate": 0.0, "seed": seed})
    encoder = open_model("base").contract["encoder"]
    result |= {"times": {}, "mflop": {}}
    with conditions(busy_neighbour) as (names, enter):
        for threads in sizes.threads:
            torch.set_num_threads(threads)
            rows = result["times"][str(threads)] = {}
            for count in tokens:
                networks = {b: random_network(b, count, {**encoder, "keep_choices": [count]}) for b in BACKENDS}
                arms = {f"{b} {runtime}": _forward(network, b, runtime, threads)
                        for b, network in networks.items() for runtime in (NATIVE, TORCH)}
                arms[REFERENCE] = _reference(count, sizes)
                turns = take_turns(arms, sizes.rounds, calls=sizes.calls, seed=seed, conditions=names, enter=enter,
                                   progress=lambda done, total, count=count: progress(done, total, f"{count} tokens"))
                rows[str(count)] = table(turns, REFERENCE)
                result["mflop"][str(count)] = {REFERENCE: reference.mflop(count)} | {
                    arm: mflop_per_spectrum(networks[arm.split()[0]].config, count) for arm in arms if arm != REFERENCE}
    return result


def _forward(network, backend: str, runtime: str, threads: int) -> Callable[[], object]:
    config = network.config
    frames, band = noise_frames(1, FrameLayout(config.fft_size, config.stride)), np.zeros(1, np.int64)
    out = {"residual": np.empty((1, config.fft_size), np.float32), "embedding": np.empty((1, config.embedding), np.float32)}
    if runtime == NATIVE:
        encode, settings = NativeNetwork.of(network).encode, {"threads": threads}
    else:
        encode, settings = EagerNetwork(network, torch.device("cpu")).encode, {"backend": backend, "pad_batch": 0}
    return lambda: encode(frames, band, config.n_tokens, "energy", **settings, **out)


def _reference(count: int, sizes: Sizes) -> Callable[[], object]:
    network, _ = reference.choose(n_tokens=count, rounds=2 if sizes.rounds < 10 else 8)
    tokens = torch.randn(1, count, reference.TOKEN_DIM)
    return lambda: network(tokens)


