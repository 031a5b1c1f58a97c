# SPDX-License-Identifier: GPL-3.0-or-later
"""Reduced precision of inference: the matrix products of the transformer blocks in bfloat16 or in 8-bit integers.

This module serves PyTorch's runtime. The native one (lib/encoder_product_kernel.h) computes the same, with the differences below.

* `bf16`: weights and activations of all linear maps in the blocks are in bfloat16, as is the work of attention and the
  feed-forward between them. The residual stream, the norms and the rotation of q and k stay in fp32, as do the sums of the flash
  kernel.
* `int8`: weights are symmetric per output channel. Activations are symmetric per token and quantised at run time ("dynamic").
  Products are summed in int32 (ZeroQuant, arXiv:2206.01861, section 4.1; LLM.int8(), arXiv:2208.07339, eq. 3, without its outlier
  path). Each token has its own scale, so a frame's numbers do not depend on its neighbours in the batch. With one scale per
  tensor, as in torch.ao.quantization.quantize_dynamic (deprecated since PyTorch 2.10), they would.

The native runtime folds the weights of the norms into the linear maps before it rounds them. With either dtype it computes
softmax attention in bf16: q, k and v, and the weights, with seven bits of mantissa; linear attention and mhla stay in fp32.

Embedding, token dropout, bottleneck, decoder and heads stay in fp32: the residual is a difference of levels. They are a small
part of the work: the decoder in bf16 would save 2 % and make the largest difference of a residual five times as large.
`evaluate precision` measures the losses and gains.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import nn

from .features import BF16, DTYPES, FP32, INT8

_PROBE_ROWS, _PROBE_DEPTH = 32, 512


class Bf16Linear(nn.Module):
    """A linear map with weights and input rounded to bfloat16; x (..., I) of any float type -> (..., O) bfloat16."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.register_buffer("weight", linear.weight.detach().bfloat16())
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().bfloat16())

    def forward(self, x):
        return F.linear(x.bfloat16(), self.weight, self.bias)


class Int8Linear(nn.Module):
    """A linear map in 8-bit integers, summed in int32; x (..., I) fp32 -> (..., O) fp32.

    Weight W_oi ~ s_o q_oi, activation x_ti ~ s_t p_ti, with q, p in -127..127 and s = max |.| / 127 per row.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        weight = linear.weight.detach()
        scale = _scale(weight)  # (O, 1)
        self.register_buffer("weight", torch.round(weight / scale).to(torch.int8).t().contiguous())  # (I, O)
        self.register_buffer("scale", scale.squeeze(1))  # (O,)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().clone())

    def forward(self, x):
        rows = x.reshape(-1, x.shape[-1])
        scale = _scale(rows)  # (T, 1)
        y = torch._int_mm(torch.round(rows / scale).to(torch.int8), self.weight).float().mul_(scale).mul_(self.scale)
        y = y if self.bias is None else y + self.bias
        return y.view(*x.shape[:-1], -1)


def _scale(x: torch.Tensor) -> torch.Tensor:
    """max |x| / 127 of each row of x (R, C) -> (R, 1), above zero."""
    return x.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12).div_(127.0)


_LINEAR = {BF16: Bf16Linear, INT8: Int8Linear}


def why_not(dtype: str, device: torch.device | str) -> str | None:
    """None if PyTorch runs this precision on the device, else the reason and what to do.

    Raises:
        ValueError: there is no such precision.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    device = torch.device(device)
    if dtype == INT8:
        if device.type != "cpu":
            return f"int8 runs on a CPU only, not on {device.type}; use compute=cpu, or dtype=bf16"
        return _why_no_int8()
    if dtype == BF16 and device.type == "cuda" and torch.cuda.get_device_capability(device)[0] < 8:
        return "bfloat16 needs compute capability 8.0; use dtype=fp32"
    return None


@cache
def _why_no_int8() -> str | None:
    """Test a product of the largest values. It must be exact: kernels without VNNI may saturate at 16 bits."""
    largest = torch.full((_PROBE_ROWS, _PROBE_DEPTH), 127, dtype=torch.int8)
    try:
        exact = bool((torch._int_mm(largest, largest.t().contiguous()) == 127 * 127 * _PROBE_DEPTH).all())
    except RuntimeError as error:
        return f"this PyTorch has no int8 product for this CPU ({' '.join(str(error).split())[:80]}); use dtype=fp32"
    return None if exact else "the int8 product of this CPU saturates and gives wrong sums; use dtype=fp32"


def reduce_precision(network: nn.Module, dtype: str) -> nn.Module:
    """Replace each linear map inside `network.blocks` by one with this precision, in place. fp32 changes nothing.

    Args:
        network: a SpectrumEncoder, in eval mode, on its device.
    """
    if dtype == FP32:
        return network
    for module in list(network.blocks.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, _LINEAR[dtype](child).to(child.weight.device))
    return network
