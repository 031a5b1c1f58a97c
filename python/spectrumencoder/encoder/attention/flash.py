# SPDX-License-Identifier: GPL-3.0-or-later
"""Softmax attention by a flash kernel (FlashAttention-2, arXiv:2307.08691): on CPU and CUDA, or the reason why not.

The device alone determines the kernel. The choice is made once, and `describe_backends` reports it. A CUDA device uses the kernel
of the flash-attn package if it is installed and usable. Otherwise PyTorch's scaled_dot_product_attention (SDPA) is forced to its
flash kernel. Neither falls back to attention written out.
"""

from __future__ import annotations

import importlib
import warnings
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..rope import rotate

SDPA, FLASH_ATTN = "SDPA flash kernel", "flash-attn"


class Facts(NamedTuple):
    """Facts about one device that determine the choice."""

    kind: str  # cpu, cuda, ...
    capability: tuple[int, int] | None  # of a CUDA device; None if PyTorch sees none
    package: str | None  # version of flash-attn; None if it is not installed
    trouble: str | None  # why flash-attn, though installed, cannot be used


class Kernel(NamedTuple):
    name: str | None  # SDPA, FLASH_ATTN, or None: it cannot run there
    note: str  # description of the kernel, or the reason why it cannot run


def choose_kernel(facts: Facts) -> Kernel:
    """The flash kernel to use, from facts alone."""
    if facts.kind == "cpu":
        return Kernel(SDPA, f"PyTorch's {SDPA}")
    if facts.kind != "cuda":
        return Kernel(None, f"PyTorch has no flash kernel for {facts.kind}; use backend=naive")
    if facts.capability is None:
        return Kernel(None, "PyTorch sees no CUDA device; use compute=cpu")
    if facts.capability < (8, 0):
        return Kernel(None, "the flash kernel needs compute capability 8.0, this GPU has {}.{}; use backend=naive"
                      .format(*facts.capability))
    if facts.package is None:
        return Kernel(SDPA, f"PyTorch's {SDPA} (the flash-attn package is not installed)")
    if facts.trouble:
        return Kernel(SDPA, f"PyTorch's {SDPA} (flash-attn {facts.package} cannot be used: {facts.trouble})")
    return Kernel(FLASH_ATTN, f"the flash-attn package {facts.package}")


def package_facts(name: str = "flash_attn") -> tuple[str | None, str | None]:
    """Version and trouble of the flash-attn package, as in Facts; both None if it is not installed.

    A build for another PyTorch fails on import with an ImportError or OSError from the linker.
    """
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        return (None, None) if error.name == name else ("of unknown version", str(error))
    except (ImportError, OSError) as error:
        return "of unknown version", " ".join(str(error).split())[:120]
    version = str(getattr(module, "__version__", "of unknown version"))
    return version, None if hasattr(module, "flash_attn_func") else "it has no flash_attn_func; flash-attn 2 has"


@cache
def kernel_on(device: torch.device) -> Kernel:
    """The kernel for a device; looked up once, so that it cannot change between two frames."""
    capability, package = None, (None, None)
    if device.type == "cuda" and torch.cuda.is_available():
        capability, package = torch.cuda.get_device_capability(device), package_facts()
    return choose_kernel(Facts(device.type, capability, *package))


def why_no_flash(device: torch.device | str) -> str | None:
    """None if a flash kernel exists for the device, else the reason."""
    kernel = kernel_on(torch.device(device))
    return kernel.note if kernel.name is None else None


def kernel_note(device: torch.device | str) -> str:
    """Description of the flash kernel that runs on the device; empty if none does."""
    kernel = kernel_on(torch.device(device))
    return kernel.note if kernel.name else ""


@cache
def shares_heads(device: torch.device) -> bool:
    """Whether PyTorch's flash kernel on the device takes fewer key heads than query heads. PyTorch 2.6 on a CPU does not."""
    q = torch.zeros((1, 2, 1, 8), dtype=torch.bfloat16, device=device)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns of the reason before it raises
        try:
            F.scaled_dot_product_attention(q, q[:, :1], q[:, :1], enable_gqa=True)
        except RuntimeError:
            return False
    return True


def _attend(q, k, v, rotation, key_mask):
    if key_mask is not None:
        raise ValueError("the flash kernel takes no key mask: drop the tokens instead, or use the naive backend")
    q, k = rotate(q, rotation), rotate(k, rotation)
    dtype = q.dtype
    if q.is_cuda and dtype == torch.float32:  # the CUDA kernels exist in half precisions only
        q, k = q.bfloat16(), k.bfloat16()
    v = v.to(q.dtype)
    if kernel_on(q.device).name == FLASH_ATTN:
        flash_attn_func = importlib.import_module("flash_attn").flash_attn_func
        return flash_attn_func(*(x.transpose(1, 2) for x in (q, k, v))).transpose(1, 2).to(dtype)  # it takes (B, T, H, D)
    grouped = q.shape[1] != k.shape[1]
    if grouped and not shares_heads(q.device):
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
        grouped = False
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=grouped).to(dtype)


def flash(q, k, v, rotation=None, key_mask=None):
    """Like `naive`, without the T x T matrix. Raises ValueError if given a key mask."""
    return _attend(q, k, v, rotation, key_mask)


def grouped(q, k, v, rotation=None, key_mask=None):
    """Like `grouped_naive`: H / G heads share k, v (B, G, T, D), inside the kernel if it can."""
    return _attend(q, k, v, rotation, key_mask)
