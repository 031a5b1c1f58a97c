# SPDX-License-Identifier: GPL-3.0-or-later
"""Attention backends behind one interface; each family of weights has a plain oracle.

| backend | family | what it is | needs |
|---|---|---|---|
| naive | softmax | the score matrix written out: the oracle of `flash` | nothing |
| flash | softmax | flash-attn on a CUDA device where installed, else SDPA with the flash kernel forced | CPU or CUDA; no mask |
| grouped | grouped | grouped-query attention, flash kernel with shared keys and values | as flash |
| grouped_naive | grouped | its oracle: keys and values repeated per head | nothing |
| latent | latent | keys and values from one low-rank latent per token, flash kernel | as flash |
| latent_naive | latent | its oracle: the latents are mixed, then raised to values | nothing |
| linear | linear | elu + 1 feature map, O(T) | nothing |
| linear_naive | linear | its oracle: the normalised score matrix written out | nothing |
| mhla | mhla | linear attention with a summary per sub-band and learned weights between sub-bands | nothing |
| mhla_naive | mhla | its oracle: the weights of all pairs written out | nothing |

A backend is `f(*inputs, rotation, key_mask) -> (B, H, T, D)`, rotation complex (B, T, D/2) or None, key_mask bool (B, T) or None.
The inputs are the family's, as `layers.Attention` of that family makes them:

* softmax, linear: q, k, v (B, H, T, D); grouped: k, v (B, G, T, D)
* latent: q (B, H, T, D), the latents c (B, T, R), up (2, H, D, R)
* mhla: q, k, v (B, H, T, D), slot (B, T) int64, mix (H, P, P), slots per block

A named backend works or says why not; only `auto` chooses. On a CPU the C++ library runs all but the oracles (see `native`), so
this table holds names: a function is imported, and PyTorch with it, when it is first called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from .. import native
from ..pytorch import why_no_torch

FLASH_NEEDS = "a CPU, or a CUDA device of compute capability 8.0 (there in bf16; the flash-attn package where installed)"


@cache
def _function(module: str, name: str) -> Callable:
    return getattr(import_module(f".{module}", __name__), name)


def _from(module: str, name: str) -> Callable:
    """The function of that name, imported when it is first called."""
    return lambda *inputs, **more: _function(module, name)(*inputs, **more)


@dataclass(frozen=True)
class Backend:
    name: str
    family: str
    attend: Callable
    about: str
    oracle: bool = False  # written out, to check the others against; takes a key mask
    flash_kernel: bool = False  # its softmax runs in a flash kernel, on CUDA in half precision

    @property
    def needs(self) -> str:
        return FLASH_NEEDS if self.flash_kernel else "nothing"

    def why_not(self, device: str) -> str | None:
        """None when the C++ library or PyTorch runs it on the device, else the reason."""
        if native.why_not(self.oracle, device) is None:
            return None
        return why_no_torch() or (_function("flash", "why_no_flash")(device) if self.flash_kernel else None)


BACKENDS = {
    b.name: b for b in (
        Backend("naive", "softmax", _from("naive", "naive"), "softmax attention written out; the oracle of flash", oracle=True),
        Backend("flash", "softmax", _from("flash", "flash"), "softmax attention, flash kernel", flash_kernel=True),
        Backend("grouped", "grouped", _from("flash", "grouped"), "grouped-query attention, flash kernel", flash_kernel=True),
        Backend("grouped_naive", "grouped", _from("naive", "grouped_naive"), "the oracle of grouped", oracle=True),
        Backend("latent", "latent", _from("latent", "latent"), "keys and values of one latent, flash kernel", flash_kernel=True),
        Backend("latent_naive", "latent", _from("latent", "latent_naive"), "the oracle of latent", oracle=True),
        Backend("linear", "linear", _from("linear", "linear"), "linear attention, elu + 1 feature map"),
        Backend("linear_naive", "linear", _from("linear", "linear_naive"), "the oracle of linear", oracle=True),
        Backend("mhla", "mhla", _from("mhla", "mhla"), "linear attention, a summary per sub-band, mixed by learned weights"),
        Backend("mhla_naive", "mhla", _from("mhla", "mhla_naive"), "the oracle of mhla", oracle=True),
    )
}
DEFAULT_OF_FAMILY = {"softmax": "flash", "grouped": "grouped", "latent": "latent", "linear": "linear", "mhla": "mhla"}


def get_backend(name: str, device: str = "cpu") -> Backend:
    """The backend of that name.

    Raises:
        ValueError: no such backend, or it cannot run on the device (with the reason).
    """
    if name not in BACKENDS:
        raise ValueError(f"backend {name!r} is not one of {', '.join(BACKENDS)}")
    reason = BACKENDS[name].why_not(str(device))
    if reason:
        raise ValueError(f"backend {name!r} cannot run on {device}: {reason}")
    return BACKENDS[name]


def describe_backends(device: str = "cpu") -> list[dict]:
    """One row per backend: name, family, about, needs, kernel (which one runs, where there is a choice), available (bool),
    reason (empty when available)."""
    rows = []
    for b in BACKENDS.values():
        reason = b.why_not(device)
        kernel = _function("flash", "kernel_note")(device) if b.flash_kernel and not why_no_torch() else ""
        rows.append({"name": b.name, "family": b.family, "about": b.about, "needs": b.needs, "available": reason is None,
                     "kernel": kernel, "reason": reason or ""})
    return rows
