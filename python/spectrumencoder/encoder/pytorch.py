# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks whether PyTorch is installed. Watching a band does not need it; code that does reports the reason given here.

Nothing here imports PyTorch: an import takes a second and 180 MB.
"""

from __future__ import annotations

import ctypes
import os
from importlib.util import find_spec

from ..extras import how_to_get


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


def device_kind(device: str) -> str:
    """The kind of a device: "cpu" -> "cpu", "cuda:1" -> "cuda"."""
    return device.partition(":")[0]
