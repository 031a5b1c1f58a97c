# SPDX-License-Identifier: GPL-3.0-or-later
"""Longer spectra: time of one frame by number of tokens and attention backend.

No model is shipped for more than 128 tokens, so these are networks of `base`'s sizes with weights as they are initialised:
speed does not depend on them. Eight bins to a token, r = 0.25, whole forward pass, one frame.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..encoder.encoder import mflop_per_spectrum
from ..evaluate.ablate_backends import random_network
from ..tokens.layout import FrameLayout
from . import reference
from .busy import conditions
from .engines import noise_frames, open_model
from .latency import LIVE_RATE, REFERENCE, Sizes
from .machine import head
from .rounds import table, take_turns

BACKENDS = ("flash", "grouped", "latent", "linear", "mhla")
TOKENS = (128, 512, 2048)


def long_spectra(tokens: tuple[int, ...] = TOKENS, *, sizes: Sizes = Sizes(), busy_neighbour: bool = False, seed: int = 0,
                 progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Times by number of tokens: head; `times`: threads -> tokens -> condition -> backend -> statistics; `mflop` likewise."""
    result = head("latency_tokens", {"tokens": list(tokens), "rounds": sizes.rounds, "calls": sizes.calls,
                                     "threads": list(sizes.threads), "dropout_rate": LIVE_RATE, "seed": seed})
    encoder = open_model("base").contract["encoder"]
    result |= {"times": {}, "mflop": {}}
    with conditions(busy_neighbour) as (names, enter):
        for threads in sizes.threads:
            torch.set_num_threads(threads)
            rows = result["times"][str(threads)] = {}
            for count in tokens:
                kept = round(count * (1 - LIVE_RATE))
                networks = {b: random_network(b, count, {**encoder, "keep_choices": [kept, count]}) for b in BACKENDS}
                arms = {b: _forward(network, b, kept) for b, network in networks.items()}
                arms[REFERENCE] = _reference(count, sizes)
                turns = take_turns(arms, sizes.rounds, calls=sizes.calls, seed=seed, conditions=names, enter=enter,
                                   progress=lambda done, total, count=count: progress(done, total, f"{count} tokens"))
                rows[str(count)] = table(turns, REFERENCE)
                result["mflop"][str(count)] = {b: mflop_per_spectrum(n.config, kept) for b, n in networks.items()} | {
                    REFERENCE: reference.mflop(count)}
    return result


def _forward(network, backend: str, kept: int) -> Callable[[], object]:
    layout = FrameLayout(network.config.fft_size, network.config.stride)
    frames = noise_frames(1, layout)
    tokens, side = (torch.from_numpy(np.ascontiguousarray(part)) for part in layout.split(frames))
    band = torch.zeros(1, dtype=torch.int64)

    @torch.inference_mode()
    def call():
        return network(tokens, side, band, kept, policy="energy", backend=backend)
    return call


def _reference(count: int, sizes: Sizes) -> Callable[[], object]:
    network, _ = reference.choose(n_tokens=count, rounds=2 if sizes.rounds < 10 else 8)
    tokens = torch.randn(1, count, reference.TOKEN_DIM)
    return lambda: network(tokens)


