# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether PyTorch is installed. Watching a band needs none of it; whatever does need it says so with this reason.

Nothing here imports PyTorch: that takes a second and 180 MB.
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
    """Whether it is worth asking PyTorch for a CUDA device: it is installed, and so is a driver of NVIDIA's or AMD's."""
    if why_no_torch():
        return False
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return os.path.exists("/dev/kfd")
    return True


def device_kind(device: str) -> str:
    """cpu of "cpu", cuda of "cuda:1"."""
    return device.partition(":")[0]
