# SPDX-License-Identifier: GPL-3.0-or-later
"""Attention backends behind one interface; each family of weights has a plain oracle.

`BACKENDS` below has one row per backend: name, family, function, and what it needs. docs/spectrum_encoder.md explains each one.

A backend is `f(*inputs, rotation, key_mask) -> (B, H, T, D)`, rotation complex (B, T, D/2) or None, key_mask bool (B, T) or None.
`layers.Attention` of the family makes the inputs:

* softmax, linear: q, k, v (B, H, T, D); grouped: k, v (B, G, T, D)
* latent: q (B, H, T, D), the latents c (B, T, R), up (2, H, D, R)
* mhla: q, k, v (B, H, T, D), slot (B, T) int64, mix (H, P, P), slots per block

A named backend runs, or gives the reason why it cannot; only `auto` chooses. `native=True` in a row states that the C++ library
computes the same numbers as this function, to rounding. Then `runtime=auto` may run the C++ in its place on a CPU. Other rows run
in PyTorch.
The table imports no function, and so no PyTorch, until the function is first called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from .. import native_support
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
    """One row of the registry.

    Attributes:
        name: the name in settings.
        family: family of the weights that it needs, one of `config.ATTENTION_FAMILIES`.
        attend: the function, see the module.
        about: one line for `doctor`.
        oracle: True if it is a plain implementation to check the others against; it takes a key mask.
        flash_kernel: True if its softmax runs in a flash kernel, on CUDA in half precision.
        native: True if the C++ library computes the same as `attend`.
    """

    name: str
    family: str
    attend: Callable
    about: str
    oracle: bool = False
    flash_kernel: bool = False
    native: bool = False

    @property
    def needs(self) -> str:
        """The hardware or package that PyTorch needs for this backend; "nothing" if any will do."""
        return FLASH_NEEDS if self.flash_kernel else "nothing"

    def why_not_native(self, device: str) -> str | None:
        """None if the C++ library runs this backend on the device, else the reason."""
        return native_support.why_not(self.name, self.family, self.native, device)

    def why_not(self, device: str) -> str | None:
        """None if the C++ library or PyTorch runs this backend on the device, else the reason."""
        if self.why_not_native(device) is None:
            return None
        return self._why_not_torch(device)

    def runtimes(self, device: str) -> tuple[str, ...]:
        """The runtimes ("native", "torch") that run this backend on the device. `runtime=auto` prefers the first."""
        return (*(("native",) if self.why_not_native(device) is None else ()),
                *(("torch",) if self._why_not_torch(device) is None else ()))

    def _why_not_torch(self, device: str) -> str | None:
        return why_no_torch() or (_function("flash", "why_no_flash")(device) if self.flash_kernel else None)


BACKENDS = {
    b.name: b for b in (
        Backend("naive", "softmax", _from("naive", "naive"), "softmax attention written out; the oracle of flash", oracle=True),
        Backend("flash", "softmax", _from("flash", "flash"), "softmax attention, flash kernel", flash_kernel=True, native=True),
        Backend("grouped", "grouped", _from("flash", "grouped"), "grouped-query attention, flash kernel", flash_kernel=True,
                native=True),
        Backend("grouped_naive", "grouped", _from("naive", "grouped_naive"), "the oracle of grouped", oracle=True),
        Backend("latent", "latent", _from("latent", "latent"), "keys and values of one latent, flash kernel", flash_kernel=True,
                native=True),
        Backend("latent_naive", "latent", _from("latent", "latent_naive"), "the oracle of latent", oracle=True),
        Backend("linear", "linear", _from("linear", "linear"), "linear attention, elu + 1 feature map", native=True),
        Backend("linear_naive", "linear", _from("linear", "linear_naive"), "the oracle of linear", oracle=True),
        Backend("mhla", "mhla", _from("mhla", "mhla"), "linear attention, a summary per sub-band, mixed by learned weights",
                native=True),
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
    """The registry as `doctor` shows it, for one device.

    Returns:
        One row per backend: name, family, about, needs (of PyTorch), available (bool), runtimes (the preferred one first),
        kernel (PyTorch's choice, if it has one), reason (empty if available).
    """
    rows = []
    for b in BACKENDS.values():
        reason = b.why_not(device)
        kernel = _function("flash", "kernel_note")(device) if b.flash_kernel and not why_no_torch() else ""
        rows.append({"name": b.name, "family": b.family, "about": b.about, "needs": b.needs, "available": reason is None,
                     "runtimes": list(b.runtimes(device)), "kernel": kernel, "reason": reason or ""})
    return rows
