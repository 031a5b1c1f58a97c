# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks whether PyTorch is installed. Watching a band does not need it; code that does reports the reason given here.

Only `choose_device` imports PyTorch, if a GPU is possible: an import takes a second and 180 MB.
"""

from __future__ import annotations

import ctypes
import logging
import os
from importlib.util import find_spec

from ..extras import how_to_get

COMPUTE = "auto, cpu, cuda or cuda:n"


def why_no_torch() -> str | None:
    """None if PyTorch is installed, else what to do."""
    return None if find_spec("torch") is not None else f"it needs PyTorch, which is not installed; {how_to_get('torch')}"


def may_see_a_gpu() -> bool:
    """Whether a CUDA device is possible: PyTorch is installed, and so is a driver from NVIDIA or AMD."""
    if why_no_torch():
        return False
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return os.path.exists("/dev/kfd")
    return True


def log_fallback(device: str, error: Exception) -> str:
    """Log that `auto` runs on the CPU, as the CUDA device does not serve the settings. Returns the line."""
    note = f"compute auto: {device} does not serve these settings ({' '.join(str(error).split())[:200]}); running on the CPU"
    logging.getLogger("spectrumencoder").warning(note)
    return note


def device_kind(device: str) -> str:
    """The kind of a device: "cpu" -> "cpu", "cuda:1" -> "cuda"."""
    return device.partition(":")[0]


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
