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

A named backend works or says why not; only `auto` chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .flash import NEEDS, flash, grouped, kernel_note, why_no_flash
from .latent import latent, latent_naive
from .linear import linear, linear_naive
from .mhla import mhla, mhla_naive
from .naive import grouped_naive, naive


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
        return NEEDS if self.flash_kernel else "nothing"

    def why_not(self, device: torch.device) -> str | None:
        """None when it works on the device, else the reason."""
        return why_no_flash(device) if self.flash_kernel else None


BACKENDS = {
    b.name: b for b in (
        Backend("naive", "softmax", naive, "softmax attention written out; the oracle of flash", oracle=True),
        Backend("flash", "softmax", flash, "softmax attention, flash kernel", flash_kernel=True),
        Backend("grouped", "grouped", grouped, "grouped-query attention, flash kernel", flash_kernel=True),
        Backend("grouped_naive", "grouped", grouped_naive, "the oracle of grouped", oracle=True),
        Backend("latent", "latent", latent, "keys and values from a low-rank latent, flash kernel", flash_kernel=True),
        Backend("latent_naive", "latent", latent_naive, "the oracle of latent", oracle=True),
        Backend("linear", "linear", linear, "linear attention, elu + 1 feature map"),
        Backend("linear_naive", "linear", linear_naive, "the oracle of linear", oracle=True),
        Backend("mhla", "mhla", mhla, "linear attention, a summary per sub-band, mixed by learned weights"),
        Backend("mhla_naive", "mhla", mhla_naive, "the oracle of mhla", oracle=True),
    )
}
DEFAULT_OF_FAMILY = {"softmax": "flash", "grouped": "grouped", "latent": "latent", "linear": "linear", "mhla": "mhla"}


def get_backend(name: str, device: torch.device | str = "cpu") -> Backend:
    """The backend of that name.

    Raises:
        ValueError: no such backend, or it cannot run on the device (with the reason).
    """
    if name not in BACKENDS:
        raise ValueError(f"backend {name!r} is not one of {', '.join(BACKENDS)}")
    reason = BACKENDS[name].why_not(torch.device(device))
    if reason:
        raise ValueError(f"backend {name!r} cannot run on {device}: {reason}")
    return BACKENDS[name]


def describe_backends(device: torch.device | str = "cpu") -> list[dict]:
    """One row per backend: name, family, about, needs, kernel (which one runs, where there is a choice), available (bool),
    reason (empty when available)."""
    device, rows = torch.device(device), []
    for b in BACKENDS.values():
        reason = b.why_not(device)
        rows.append({"name": b.name, "family": b.family, "about": b.about, "needs": b.needs, "available": reason is None,
                     "kernel": kernel_note(device) if b.flash_kernel else "", "reason": reason or ""})
    return rows
