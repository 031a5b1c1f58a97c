# SPDX-License-Identifier: GPL-3.0-or-later
"""The device for a value of the setting `compute`."""

from __future__ import annotations

import logging

from .pytorch import may_see_a_gpu, why_no_torch

COMPUTE = "auto, cpu, cuda or cuda:n"


def choose_device(compute: str) -> str:
    """Device for auto | cpu | cuda[:n]: "cpu", "cuda" or "cuda:n"; `auto` takes CUDA if PyTorch sees one.

    Raises:
        ValueError: not one of these, or no such device.
    """
    if compute == "cpu" or (compute == "auto" and not may_see_a_gpu()):
        return "cpu"
    kind, _, number = compute.partition(":")
    if compute != "auto" and (kind != "cuda" or (number and not number.isdecimal()) or compute.endswith(":")):
        raise ValueError(f"compute {compute!r} is not {COMPUTE}")
    if reason := why_no_torch():
        raise ValueError(f"compute {compute!r}: {reason}; or use compute=cpu")
    import torch
    if compute == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not torch.cuda.is_available() or int(number or 0) >= torch.cuda.device_count():
        raise ValueError(f"compute {compute!r}: PyTorch {torch.__version__} sees {torch.cuda.device_count()} CUDA device(s); "
                         "use compute=cpu")
    return compute


def log_fallback(device: str, error: Exception) -> str:
    """Log that `auto` runs on the CPU, as the CUDA device does not serve the settings. Returns the line."""
    note = f"compute auto: {device} does not serve these settings ({' '.join(str(error).split())[:200]}); running on the CPU"
    logging.getLogger("spectrumencoder").warning(note)
    return note
