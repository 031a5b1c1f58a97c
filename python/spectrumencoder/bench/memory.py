# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory: the peak of a process that loads a model and encodes a batch; keys and values by attention family.

Each model and backend has a process of its own. Its peak is VmHWM of /proc, over the value after Python and PyTorch were
imported. The families' networks have random weights and the sizes of `base` (for keys and values those of `large`, too).

Keys and values are tensors of a forward pass, counted as they are made, for one frame and one layer with all tokens kept.
`inputs` is what a layer makes of each token: a latent of a few floats for `latent`, fewer heads for `grouped`. `kernel` is
what the attention kernel then gets: `latent` writes out the keys and values of all heads.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from ..encoder.random_network import attention_calls, random_network
from ..measure.machine import head
from ..tokens.layout import FrameLayout
from . import child, reference
from .engines import ARMS, SHIPPED, make_engine, noise_frames, open_model
from .latency import REFERENCE
from .long_spectra import BACKENDS

BATCH = 16
TOKENS = (128, 2048)
KV_SIZES = ("base", "large")  # 4 and 6 heads; `grouped` has 2 for keys and values


def memory(models: tuple[str, ...] = SHIPPED, *, tokens: tuple[int, ...] = TOKENS, backends: tuple[str, ...] = BACKENDS,
           batch: int = BATCH,
           progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> dict:
    """Measures the peak memory of processes, and counts keys and values.

    Returns:
        head; `processes`: arm -> imported_mb, peak_mb, over_mb; `keys_and_values`: sizes of a model -> tokens -> backend ->
        inputs, kernel (bytes).
    """
    result = head("memory", {"models": list(models), "tokens": list(tokens), "batch": batch})
    arms = {f"{name} {runtime}": {"model": name, "runtime": runtime} for name in models for runtime in ARMS}
    arms |= {f"{backend}, {count} tokens": {"backend": backend, "tokens": count} for count in tokens for backend in backends}
    arms[REFERENCE] = {}
    result["processes"], result["unavailable"] = {}, {}
    for number, (name, what) in enumerate(arms.items()):
        progress(number, len(arms), name)
        try:
            result["processes"][name] = child.call("memory", "peak", batch=batch, **what)
        except child.ChildError as error:
            result["unavailable"][name] = str(error)
    result["keys_and_values"] = {name: {str(count): {b: keys_and_values(b, count, name) for b in BACKENDS} for count in tokens}
                                 for name in KV_SIZES}
    return result


def peak(batch: int, model: str = "", runtime: str = "torch", backend: str = "", tokens: int = 128) -> dict:
    """In a process of its own: loads and encodes one batch of that model, of a random network, or of the reference."""
    torch.set_num_threads(1)
    before = _high_water_mb()
    if model:
        engine = make_engine(open_model(model), runtime, pad_batch=0)
        engine.encode(noise_frames(batch, engine.layout))
    elif backend:
        network = random_network(backend, tokens, open_model("base").contract["encoder"] | {"keep_choices": [tokens]})
        with torch.inference_mode():
            network(*_inputs(network, batch), backend=backend)
    else:
        reference.Reference()(torch.randn(batch, reference.N_TOKENS, reference.TOKEN_DIM))
    after = _high_water_mb()
    return {"imported_mb": before, "peak_mb": after, "over_mb": after - before}


@torch.inference_mode()
def keys_and_values(backend: str, n_tokens: int, sizes: str = "base") -> dict[str, int | None]:
    """Bytes of one frame and one layer of a network with that model's sizes. kernel: None if no softmax kernel is called."""
    network = random_network(backend, n_tokens, open_model(sizes).contract["encoder"] | {"keep_choices": [n_tokens]})
    inputs = _inputs(network, 1)
    call = attention_calls(network, backend, inputs)[0]
    kept = call[1:2] if backend == "latent" else call[1:3]
    with _Kernel() as kernel:
        network(*inputs, backend=backend)
    return {"inputs": sum(_bytes(x) for x in kept), "kernel": kernel.n_bytes}


class _Kernel(TorchFunctionMode):
    """Notes what the first softmax kernel was given."""

    n_bytes: int | None = None

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is F.scaled_dot_product_attention and self.n_bytes is None:
            self.n_bytes = sum(_bytes(x) for x in args[1:3])
        return function(*args, **(kwargs or {}))


def _inputs(network, batch: int):
    config = network.config
    layout = FrameLayout(config.fft_size, config.stride)
    tokens, side = (torch.from_numpy(np.ascontiguousarray(part)) for part in layout.split(noise_frames(batch, layout)))
    return tokens, side, torch.zeros(batch, dtype=torch.int64), config.n_tokens


def _bytes(x: torch.Tensor) -> int:
    return x.numel() * x.element_size()


def _high_water_mb() -> float:
    """Peak memory of this process, MB. `ru_maxrss` would do, but a child inherits its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024e-6
