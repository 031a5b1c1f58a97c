# SPDX-License-Identifier: GPL-3.0-or-later
"""Spectra as bytes for a page, and those of the last ten minutes.

A row is a header of 40 bytes, little-endian, and a byte a bin: level in dBFS = LOW_DBFS + STEP_DB * byte. The header:

    uint8 ROW, uint8 1 for a coarse row, uint16 N, uint32 number of the row, float64 POSIX time (s) at which it begins,
    float64 centre (Hz), float64 rate (Hz), float32 length (s), 4 bytes unused

A message holds one row or several, one behind the other. Shape letters: N bins.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ..session.listening import SpectrumRow

LOW_DBFS, STEP_DB = -155.0, 0.625
HEADER = struct.Struct("<BBHIdddf4x")
ROW = 1
RING_S = 600.0
FINE_S, COARSE_S = 30.0, 0.5  # how long every row is kept, and the length of the rows that are kept longer
MAX_FINE, MAX_COARSE = 1200, 6000  # a scan has more rows than time alone would give


class Packed(NamedTuple):
    """A row whose levels are bytes (N,)."""

    posix_s: float
    seconds: float
    center_hz: float
    rate_hz: float
    levels: np.ndarray

    def to_bytes(self, number: int, coarse: bool = False) -> bytes:
        return HEADER.pack(ROW, coarse, len(self.levels), number & 0xFFFFFFFF, self.posix_s, self.center_hz, self.rate_hz,
                           self.seconds) + self.levels.tobytes()


def levels_of(psd: np.ndarray) -> np.ndarray:
    """dBFS to bytes, any shape. What is below the scale, or no number, is 0."""
    scaled = (psd - np.float32(LOW_DBFS)) * np.float32(1.0 / STEP_DB) + np.float32(0.5)
    return np.nan_to_num(np.clip(scaled, 0.0, 255.0), nan=0.0).astype(np.uint8)


def pack(row: SpectrumRow) -> Packed:
    """A row of a run, with its levels as bytes."""
    return Packed(row.posix_s, row.seconds, row.tuning.center_hz, row.tuning.rate_hz, levels_of(row.psd))


class RowRing:
    """The last rows: each one for FINE_S, then the maximum of COARSE_S per tuning, up to RING_S. Not safe for threads."""

    def __init__(self):
        self.clear()

    def clear(self):
        self._fine: deque[tuple[int, Packed]] = deque(maxlen=MAX_FINE)
        self._coarse: deque[tuple[int, Packed]] = deque(maxlen=MAX_COARSE)

    def add(self, number: int, row: Packed):
        if self._fine and row.posix_s < self._fine[-1][1].posix_s - 1.0:
            self.clear()  # the clock was set back: another recording, or another time
        self._fine.append((number, row))
        while self._fine[0][1].posix_s < row.posix_s - FINE_S or len(self._fine) == MAX_FINE:
            self._add_coarse(*self._fine.popleft())
        while self._coarse and self._coarse[0][1].posix_s < row.posix_s - RING_S:
            self._coarse.popleft()

    def _add_coarse(self, number: int, row: Packed):
        slot = row.posix_s // COARSE_S
        if self._coarse:
            last_number, last = self._coarse[-1]
            if (last.posix_s // COARSE_S, last.center_hz, last.rate_hz, len(last.levels)) == (
                    slot, row.center_hz, row.rate_hz, len(row.levels)):
                np.maximum(last.levels, row.levels, out=last.levels)
                self._coarse[-1] = last_number, last._replace(seconds=max(last.seconds, row.posix_s + row.seconds - last.posix_s))
                return
        self._coarse.append((number, row._replace(levels=row.levels.copy())))

    def messages(self, max_rows: int = 64) -> Iterable[bytes]:
        """Everything, the oldest first, in messages of some rows."""
        rows = [row.to_bytes(number, True) for number, row in self._coarse] + [row.to_bytes(number) for number, row in self._fine]
        for first in range(0, len(rows), max_rows):
            yield b"".join(rows[first:first + max_rows])

    def __len__(self) -> int:
        return len(self._fine) + len(self._coarse)
