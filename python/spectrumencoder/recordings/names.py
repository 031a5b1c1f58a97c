# SPDX-License-Identifier: GPL-3.0-or-later
"""What the name of a file says about the samples in it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Named(NamedTuple):
    """What a name says; None where it says nothing, or nothing certain.

    Fields:
        datatype: SigMF name.
        rate, freq: Hz.
        start: time of the first sample, (whole seconds, fraction) since 1970 UTC.
    """

    datatype: str | None = None
    rate: float | None = None
    freq: float | None = None
    start: tuple[int, float] | None = None


SUFFIXES = {  # those that can mean one data type alone
    ".cfile": "cf32_le", ".fc32": "cf32_le", ".cf32": "cf32_le", ".cf64": "cf64_le", ".fc64": "cf64_le", ".cu8": "cu8",
    ".cs8": "ci8", ".sc8": "ci8", ".cs16": "ci16_le", ".sc16": "ci16_le", ".cs32": "ci32_le", ".sc32": "ci32_le"}


def parse_name(path: Path) -> Named:
    """What the name of a file says."""
    return Named(SUFFIXES.get(path.suffix.lower()))
