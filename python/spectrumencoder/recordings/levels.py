# SPDX-License-Identifier: GPL-3.0-or-later
"""How strong the samples of a recording are: levels, a histogram, and the share at full scale."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .recording import Recording

MAX_SAMPLES = 1 << 24  # looked at; of longer recordings pieces that are spread over them
_PIECE = 1 << 16
_OCTAVES = 24  # rows of the histogram, of 6.02 dB


class Levels(NamedTuple):
    """Levels relative to full scale; None where there is nothing to tell.

    Fields:
        n_samples: that were looked at.
        rms_dbfs: of |x|.
        peak_dbfs: the largest of |I| and |Q|.
        mean_dbfs: of the mean, the line at 0 Hz.
        full_scale_share: of samples whose |I| or |Q| is the largest positive number of the data type, or more; of floats, 1.
        shares: of samples whose larger one of |I| and |Q| lies in (2^-(k+1), 2^-k] of full scale, for k = 0, 1, ...; what
            is beyond full scale counts in the first, what is weaker than all rows in none.
        not_finite: number of samples that are NaN or infinite; they count in no other figure.
    """

    n_samples: int
    rms_dbfs: float | None
    peak_dbfs: float | None
    mean_dbfs: float | None
    full_scale_share: float
    shares: list[float]
    not_finite: int


def measure_levels(recording: Recording) -> Levels:
    """Reads the samples, or MAX_SAMPLES of a longer recording.

    Raises:
        RecordingError: the samples cannot be read.
    """
    rail, octaves = _rail(recording.datatype), np.zeros(_OCTAVES, np.int64)
    n_samples = full = not_finite = 0
    power, total, peak = 0.0, 0j, 0.0
    for start in _starts(recording.n_samples):
        iq = recording.read(start, _PIECE)
        n_samples += len(iq)
        good = iq[np.isfinite(iq)]
        not_finite += len(iq) - len(good)
        if not len(good):
            continue
        larger = np.abs(good.view(np.float32)).reshape(-1, 2).max(axis=1)
        full += np.count_nonzero(larger >= rail)
        power += float(np.vdot(good, good).real)
        total += complex(good.sum(dtype=np.complex128))
        peak = max(peak, float(larger.max()))
        mantissas, exponents = np.frexp(larger[larger > 0])
        rows = np.maximum(0, -exponents + (mantissas == 0.5))  # 2^-k itself belongs to row k
        octaves += np.bincount(rows[rows < _OCTAVES], minlength=_OCTAVES)
    counted = n_samples - not_finite
    return Levels(n_samples, _db(math.sqrt(power / counted) if counted else 0), _db(peak),
                  _db(abs(total) / counted if counted else 0), full / counted if counted else 0.0,
                  (octaves / max(1, counted)).tolist(), not_finite)


def _starts(n_samples: int) -> range | list[int]:
    """First samples of the pieces that are looked at."""
    if n_samples <= MAX_SAMPLES:
        return range(0, n_samples, _PIECE)
    n_pieces = MAX_SAMPLES // _PIECE
    return [piece * (n_samples - _PIECE) // (n_pieces - 1) for piece in range(n_pieces)]


def _rail(datatype: str) -> float:
    """The smallest number that is at full scale: of a signed integer the largest positive one."""
    kind = datatype[1:].partition("_")[0]
    bits = {"i8": 8, "i16": 16, "i24": 24, "i24in32": 24}.get(kind)
    return 1.0 if bits is None else 1.0 - 2.0 ** (1 - bits)


def _db(amplitude: float) -> float | None:
    return 20 * math.log10(amplitude) if 0 < amplitude < math.inf else None
