# SPDX-License-Identifier: GPL-3.0-or-later
"""Band of a centre frequency: "ism", "cellular", "gnss", "aero" or "unknown". The plan is data: ``band_plan.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

UNKNOWN = "unknown"
BANDS = ("ism", "cellular", "gnss", "aero", UNKNOWN)
PLAN_PATH = Path(__file__).with_name("band_plan.toml")


@dataclass(frozen=True)
class BandRange:
    """low_hz <= f < high_hz belongs to ``band``; ``what`` names the services there."""

    band: str
    low_hz: float
    high_hz: float
    what: str


@cache
def load_plan(path: Path = PLAN_PATH) -> tuple[BandRange, ...]:
    """Ranges of a plan, in order of precedence.

    Raises:
        ValueError: a range names a band that is not in ``BANDS``, or is empty.
    """
    ranges = []
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["range"]:
        if entry["band"] not in BANDS:
            raise ValueError(f"{path}: band {entry['band']!r} is none of {', '.join(BANDS)}")
        if not 0 <= entry["low_mhz"] < entry["high_mhz"]:
            raise ValueError(f"{path}: range {entry['low_mhz']}-{entry['high_mhz']} MHz is empty")
        ranges.append(BandRange(entry["band"], entry["low_mhz"] * 1e6, entry["high_mhz"] * 1e6, entry["what"]))
    return tuple(ranges)


def band_of(freq_hz: float | None) -> str:
    """Band of a centre frequency in Hz; "unknown" for None, 0 (no tuner) and frequencies of no range."""
    if freq_hz is None:
        return UNKNOWN
    return next((r.band for r in load_plan() if r.low_hz <= freq_hz < r.high_hz), UNKNOWN)
