# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that a bench runs on, and the head that every bench's JSON begins with."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import platform
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import numpy as np
import torch

from .provenance import commit
from .timing import cpu_model

REPORTED_FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_tile", "amx_bf16", "amx_int8")


def machine() -> dict:
    """CPU, its flags, cores that this process may use, versions, load and date. A value that is not known is None."""
    return {"cpu": cpu_model(), "cpu_flags": _flags(), "cores": len(os.sched_getaffinity(0)), "caches_kib": _caches(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "system": f"{platform.system()} {platform.release()}", "python": platform.python_version(),
            "torch": torch.__version__,
            "torch_capability": torch.backends.cpu.get_cpu_capability(), "numpy": np.__version__, "gnuradio": _gnuradio(),
            "volk_machine": _volk_machine(), "fftw": _fftw(), "commit": commit(), "load_at_start": list(os.getloadavg()),
            "date": datetime.now(UTC).isoformat(timespec="seconds")}


def head(bench: str, settings: dict) -> dict:
    """The first keys of a bench's result: its name, the settings it was run with, the machine."""
    return {"bench": bench, "settings": settings, "machine": machine()}


def _flags() -> list[str]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return [flag for flag in REPORTED_FLAGS if flag in flags]


def _caches() -> dict[str, int]:
    """KiB of each cache that the first core sees, as {"L2": 1024, ...}; instruction caches left out."""
    sizes = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction" and size.endswith("K"):
            sizes[f"L{level}"] = int(size[:-1])
    return sizes


def _gnuradio() -> str | None:
    try:
        return import_module("gnuradio.gr").version()
    except ImportError:
        return None


def _volk_machine() -> str | None:
    """The set of instructions that VOLK chose its kernels for."""
    library = ctypes.util.find_library("volk")
    if not library:
        return None
    function = ctypes.CDLL(library).volk_get_machine
    function.restype = ctypes.c_char_p
    return function().decode()


def _fftw() -> str | None:
    library = ctypes.util.find_library("fftw3f")
    if not library:
        return None
    return (ctypes.c_char * 40).in_dll(ctypes.CDLL(library), "fftwf_version").value.decode().removeprefix("fftw-")
