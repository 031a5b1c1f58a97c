# SPDX-License-Identifier: GPL-3.0-or-later
"""Attention backends behind one interface; each family of weights has a plain oracle.

| backend | family | what it is | needs |
|---|---|---|---|
| naive | softmax | the score matrix written out: the oracle of `flash` | nothing |
| flash | softmax | scaled_dot_product_attention with the flash kernel forced | CPU or CUDA; no mask |
| grouped | grouped | grouped-query attention, flash kernel with shared keys and values | as flash |
| grouped_naive | grouped | its oracle: keys and values repeated per head | nothing |
| linear | linear | elu + 1 feature map, O(T) | nothing |
| linear_naive | linear | its oracle: the normalised score matrix written out | nothing |

A backend is `f(q (B,H,T,D), k (B,G,T,D), v (B,G,T,D), rotation, key_mask (B,T) bool or None) -> (B,H,T,D)`. A named backend
works or says why not; only `auto` chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .flash import flash, grouped, why_no_flash
from .linear import linear, linear_naive
from .naive import grouped_naive, naive


@dataclass(frozen=True)
class Backend:
    name: str
    family: str
    attend: Callable
    why_not: Callable[[torch.device], str | None]  # None when it works there
    about: str


def _always(_device):
    return None


BACKENDS = {
    b.name: b for b in (
        Backend("naive", "softmax", naive, _always, "softmax attention written out; the oracle"),
        Backend("flash", "softmax", flash, why_no_flash, "PyTorch SDPA, flash kernel forced"),
        Backend("grouped", "grouped", grouped, why_no_flash, "grouped-query attention, flash kernel forced"),
        Backend("grouped_naive", "grouped", grouped_naive, _always, "the oracle of grouped"),
        Backend("linear", "linear", linear, _always, "linear attention, elu + 1 feature map"),
        Backend("linear_naive", "linear", linear_naive, _always, "the oracle of linear"),
    )
}
DEFAULT_OF_FAMILY = {"softmax": "flash", "grouped": "grouped", "linear": "linear"}


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
    """One row per backend: name, family, about, available (bool), reason (empty when available)."""
    rows = []
    for b in BACKENDS.values():
        reason = b.why_not(torch.device(device))
        rows.append({"name": b.name, "family": b.family, "about": b.about, "available": reason is None, "reason": reason or ""})
    return rows
