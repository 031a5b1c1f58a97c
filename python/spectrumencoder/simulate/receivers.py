# SPDX-License-Identifier: GPL-3.0-or-later
"""The effects of a receiver on a scene: channel filter, gain, IQ image, DC offset, quantisation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from scipy import fft

_TAPS = 255
_FFT = 2420  # FFT length with the least work for this number of taps
_STEP = _FFT - _TAPS + 1  # samples filtered by one transform
_ROWS = 64  # transforms at a time


@dataclass(frozen=True)
class Receiver:
    """A receiver at the scene's sample rate.

    Attributes:
        passband: width between the filter's -3 dB points, as a share of the rate (1: no filter).
        rolloff: width of each transition, as a share of the rate.
        stop_db: attenuation outside the passband.
        ripple_db: peak-to-peak ripple over the passband.
        tilt_db: upper edge relative to the lower edge.
        iq_image_db: level of the mirror image below the signal (None: perfect balance).
        dc_dbfs: level of the offset at 0 Hz (None: no offset).
        bits: bits of the converter, 2 to 16 (None: floating point, not clipped).
        gain_db: gain before the converter.
        seed: seed for the phases of ripple, image and offset.
    """

    passband: float = 1.0
    rolloff: float = 0.1
    stop_db: float = 60.0
    ripple_db: float = 0.0
    tilt_db: float = 0.0
    iq_image_db: float | None = None
    dc_dbfs: float | None = None
    bits: int | None = None
    gain_db: float = 0.0
    seed: int = 0

    def __post_init__(self):
        if not 0.05 <= self.passband <= 1:
            raise ValueError(f"passband {self.passband} is outside 0.05..1 of the sample rate")
        if not 0.01 <= self.rolloff <= 0.5:
            raise ValueError(f"rolloff {self.rolloff} is outside 0.01..0.5 of the sample rate")
        if self.bits is not None and not 2 <= self.bits <= 16:
            raise ValueError(f"bits {self.bits} is outside 2..16")

    @classmethod
    def random(cls, rng: np.random.Generator, *, bits: int | None = None) -> Receiver:
        """A typical receiver with 8, 12 or 16 bits (or the given number)."""
        return cls(passband=float(rng.uniform(0.75, 1.0)), rolloff=float(rng.uniform(0.02, 0.25)),
                   stop_db=float(rng.uniform(10, 60)), ripple_db=float(rng.uniform(0, 1.5)),
                   tilt_db=float(rng.normal(0, 0.7)), iq_image_db=float(rng.uniform(-60, -25)),
                   dc_dbfs=float(rng.uniform(-70, -35)), bits=bits or int(rng.choice([8, 8, 12, 16])),
                   seed=int(rng.integers(1 << 31)))

    @property
    def margin(self) -> int:
        """Reach of the filter before and after, in samples. As many at each end of the output of ``apply`` are settling."""
        return _TAPS // 2 if self._filters else 0

    def apply(self, iq: np.ndarray) -> np.ndarray:
        """complex64 (n,) -> complex64 (n,), time-aligned with the input; quantised values are multiples of 2^(1 - bits)."""
        return np.concatenate(list(self.stream([iq])) or [np.zeros(0, np.complex64)])

    def stream(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Like ``apply``, for samples in blocks: gives the same samples, in blocks of other lengths."""
        rng = np.random.default_rng([self.seed, 0x4C])
        turn = np.exp(2j * np.pi * rng.uniform(size=2))
        gain = np.float32(10 ** (self.gain_db / 20))
        blocks = (block * gain for block in blocks)
        if self._filters:
            blocks = _filtered(blocks, self._taps(rng.uniform(0, 2 * np.pi)))
        for out in blocks:
            if self.iq_image_db is not None:
                out = out + np.complex64(10 ** (self.iq_image_db / 20) * turn[0]) * np.conj(out)
            if self.dc_dbfs is not None:
                out = out + np.complex64(10 ** (self.dc_dbfs / 20) * turn[1])
            yield quantise(out, self.bits) if self.bits is not None else out.astype(np.complex64)

    @property
    def _filters(self) -> bool:
        return self.passband < 1 or self.ripple_db > 0 or self.tilt_db != 0

    def _taps(self, phase: float) -> np.ndarray:
        """Linear-phase complex taps of the response in frequency (asymmetric if tilted)."""
        size = 2048
        freq = np.fft.fftfreq(size)
        db = self.ripple_db / 2 * np.cos(6 * np.pi * freq / self.passband + phase) + self.tilt_db * freq / self.passband
        if self.passband < 1:
            place = np.clip((np.abs(freq) - (self.passband - self.rolloff) / 2) / self.rolloff, 0, 1)
            db += np.maximum(20 * np.log10(np.cos(np.pi / 2 * place) + 1e-9), -self.stop_db)
        impulse = np.fft.fftshift(np.fft.ifft(10 ** (db / 20)))
        middle = size // 2
        taps = impulse[middle - _TAPS // 2:middle + _TAPS // 2 + 1] * np.kaiser(_TAPS, 6.0)
        return taps.astype(np.complex64)


def _filtered(blocks: Iterable[np.ndarray], taps: np.ndarray) -> Iterator[np.ndarray]:
    """Convolution with (_TAPS,) taps by overlap and add (Stockham, AFIPS 1966), aligned with the input and equally long."""
    response, overlap = fft.fft(taps, _FFT), _TAPS - 1
    waiting, tail, n_taken, n_given = np.zeros(0, np.complex64), np.zeros(overlap, np.complex64), 0, -(overlap // 2)
    for block in chain(blocks, [None]):
        last = block is None
        if not last:
            n_taken += len(block)
            waiting = np.concatenate((waiting, block))
        n_rows = -(-(len(waiting) + overlap) // _STEP) if last else len(waiting) // (_ROWS * _STEP) * _ROWS
        for row in range(0, n_rows, _ROWS):
            part = waiting[row * _STEP:min(row + _ROWS, n_rows) * _STEP]
            rows = np.zeros((min(_ROWS, n_rows - row), _STEP), np.complex64)
            rows.reshape(-1)[:len(part)] = part
            made = fft.ifft(fft.fft(rows, _FFT) * response, overwrite_x=True)
            made[1:, :overlap] += made[:-1, _STEP:]
            made[0, :overlap] += tail
            tail = made[-1, _STEP:].copy()
            out = made[:, :_STEP].reshape(-1)
            begin, end = max(0, -n_given), n_taken - n_given if last else len(out)
            n_given += len(out)
            if begin < min(end, len(out)):
                yield out[begin:end]
        waiting = waiting[n_rows * _STEP:]


def quantise(iq: np.ndarray, bits: int) -> np.ndarray:
    """Round I and Q to ``bits`` and clip them at full scale; complex64, multiples of 2^(1 - bits)."""
    scale = np.float32(2 ** (bits - 1))
    parts = np.ascontiguousarray(iq, np.complex64).view(np.float32) * scale
    np.rint(parts, out=parts)
    np.clip(parts, -scale, scale - 1, out=parts)
    return (parts / scale).view(np.complex64)
