# SPDX-License-Identifier: GPL-3.0-or-later
"""Meters of energy: RAPL of the processor packages, NVML of a GPU, else an estimate from processor time and a wattage."""

from __future__ import annotations

import ctypes
import ctypes.util
import time
from pathlib import Path

RAPL = Path("/sys/class/powercap")
ESTIMATE = "estimate: processor seconds times {:g} W per core"


class Estimate:
    """Joules from the processor time of this process."""

    measured = False

    def __init__(self, watts_per_core: float):
        self.about = ESTIMATE.format(watts_per_core)
        self._watts = watts_per_core

    def joules(self) -> float:
        """Of this process so far; only differences mean something."""
        return time.process_time() * self._watts


class Rapl:
    """Joules of all processor packages, everything that runs on them included (Intel, and AMD since Linux 5.8)."""

    measured, about = True, "RAPL, all packages"

    def __init__(self, zones: list[Path]):
        self._zones = zones
        self._range = [int((zone / "max_energy_range_uj").read_text()) for zone in zones]
        self._last = self._read()
        self._total = 0

    def joules(self) -> float:
        now = self._read()
        self._total += sum((new - old) % (span + 1) for new, old, span in zip(now, self._last, self._range, strict=True))
        self._last = now
        return 1e-6 * self._total

    def _read(self) -> list[int]:
        return [int((zone / "energy_uj").read_text()) for zone in self._zones]


class Nvml:
    """Joules of one GPU.

    Raises:
        OSError: no library, no GPU, or one that does not count energy (before Volta).
    """

    measured = True

    def __init__(self, index: int = 0):
        self._library = ctypes.CDLL(ctypes.util.find_library("nvidia-ml") or "libnvidia-ml.so.1")
        self._handle = ctypes.c_void_p()
        self._check(self._library.nvmlInit_v2())
        self._check(self._library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(self._handle)))
        self.about = f"NVML, GPU {index}"
        self.joules()

    def joules(self) -> float:
        millijoules = ctypes.c_ulonglong()
        self._check(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle, ctypes.byref(millijoules)))
        return 1e-3 * millijoules.value

    @staticmethod
    def _check(status: int):
        if status:
            raise OSError(f"NVML answers with error {status}")


def rapl_zones(root: Path = RAPL) -> list[Path]:
    """Zones of whole packages whose counter this user may read."""
    zones = []
    for zone in sorted(root.glob("intel-rapl:*")):
        try:
            (zone / "energy_uj").read_text()
            if ":" not in zone.name.partition(":")[2]:  # those below belong to a package
                zones.append(zone)
        except OSError:
            continue
    return zones


def find_meter(device: str, watts_per_core: float, root: Path = RAPL):
    """The meter of that device: cpu or cuda.

    Raises:
        OSError: of cuda, where NVML does not tell; there is no estimate of a GPU.
    """
    if device.startswith("cuda"):
        return Nvml(int(device.partition(":")[2] or 0))
    zones = rapl_zones(root)
    return Rapl(zones) if zones else Estimate(watts_per_core)
