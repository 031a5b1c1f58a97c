# SPDX-License-Identifier: GPL-3.0-or-later
"""The attention families and backends that the native runtime (``native``) computes."""

from __future__ import annotations

from functools import cache

from ..tokens.tokenize import optional_native_module
from .pytorch import device_kind


@cache
def families() -> frozenset[str]:
    """The attention families that the installed C++ library computes; empty if it is not installed."""
    module = optional_native_module()
    return frozenset(module.EncoderNetwork.families()) if module is not None else frozenset()


def why_not(backend: str, family: str, served: bool, device: str) -> str | None:
    """None if the native runtime computes this backend on the device, else the reason.

    Args:
        backend: name of the attention backend.
        family: the backend's family of weights, as `EncoderConfig.attention` names it.
        served: True if the registry says that the C++ library computes this backend (`attention.Backend.native`).
        device: cpu, cuda, cuda:1, ...
    """
    if optional_native_module() is None:
        return "the C++ library is not installed"
    if device_kind(device) != "cpu":
        return f"it runs on a CPU, not on {device_kind(device)}"
    if family not in families():
        return f"the C++ library has no {family} attention; it has {', '.join(sorted(families()))}"
    if not served:
        return f"{backend!r} is computed by PyTorch only"
    return None
