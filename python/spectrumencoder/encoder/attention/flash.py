# SPDX-License-Identifier: GPL-3.0-or-later
"""Softmax attention by PyTorch's flash kernel, forced: it runs on CPU and CUDA, or says why not, and never falls back."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..rope import rotate


def why_no_flash(device: torch.device) -> str | None:
    """None where the flash kernel of scaled_dot_product_attention exists, else the reason."""
    if device.type == "cpu":
        return None
    if device.type != "cuda":
        return f"PyTorch has no flash kernel for {device.type}; use backend=naive"
    if not torch.cuda.is_available():
        return "PyTorch sees no CUDA device; use compute=cpu"
    major, minor = torch.cuda.get_device_capability(device)
    if major < 8:
        return f"the flash kernel needs compute capability 8.0, this GPU has {major}.{minor}; use backend=naive"
    return None


def _attend(q, k, v, rotation, key_mask, grouped_query):
    if key_mask is not None:
        raise ValueError("the flash kernel takes no key mask: drop the tokens instead, or use the naive backend")
    q, k = rotate(q, rotation), rotate(k, rotation)
    dtype = q.dtype
    if q.is_cuda and dtype == torch.float32:  # the CUDA kernel exists in half precisions only
        q, k, v = q.bfloat16(), k.bfloat16(), v.bfloat16()
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return F.scaled_dot_product_attention(q, k, v.to(q.dtype), enable_gqa=grouped_query).to(dtype)


def flash(q, k, v, rotation=None, key_mask=None):
    """As `naive`, without the T x T matrix. Raises ValueError when given a key mask."""
    return _attend(q, k, v, rotation, key_mask, False)


def grouped(q, k, v, rotation=None, key_mask=None):
    """As `grouped_naive`: k, v (B, G, T, D) are shared by H / G heads inside the kernel."""
    return _attend(q, k, v, rotation, key_mask, True)
