# SPDX-License-Identifier: GPL-3.0-or-later
"""Usual behaviour of each bin at one tuning: mean level, the components that bins share, and the deviation that is left.

A model that has learned all kinds of signals reconstructs a new one as well as an old one. On a band without a plan a new signal
is no anomaly. On a band with a plan, which calibration learns here, it is one: its bins are louder than they have ever been. The
coming and going of the plan's emitters is taken off first. It lies along those principal components of the calibration frames
whose variance noise alone cannot explain.

Shape letters: F frames, N bins, R components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..tokens.tokenize import optional_native_module

PROJECTION_LANES = 32  # sums over every 32nd bin, and then of those
PSEUDO_FRAMES = 50.0  # weight of the median bin's deviation in that of each bin
MIN_BIN_STD = 0.1  # dB
MAX_COMPONENTS = 16
# Share of the bins over which a component may be spread. A wider one would put a new signal, with the other sign, into all bins
MAX_COMPONENT_SPREAD = 0.25
EDGE_MARGIN = 1.5  # a component's variance must exceed the greatest of noise (Marchenko-Pastur edge) this many times


@dataclass(frozen=True, eq=False)
class BandStatistics:
    """Levels in dB over the frame's floor: mean (N,), std (N,) of what remains without the components (R, N).

    All are float32; components are orthonormal.

    Raises:
        ValueError: shapes do not fit, or values are out of range.
    """

    mean: np.ndarray
    std: np.ndarray
    components: np.ndarray

    def __post_init__(self):
        n_bins = len(self.mean)
        if self.std.shape != (n_bins,) or self.components.ndim != 2 or self.components.shape[1] != n_bins:
            raise ValueError(f"band statistics of {n_bins} means, deviations {self.std.shape} and components "
                             f"{self.components.shape} do not fit each other; calibrate again")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.components).all() and (self.std > 0).all()):
            raise ValueError("band statistics that are not finite, or deviations that are not positive; calibrate again")
        for name in ("mean", "std", "components"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), np.float32))

    @classmethod
    def learn(cls, level: np.ndarray) -> BandStatistics:
        """Learns from levels (F, N) of normal frames. The deviation of each bin is shrunk towards that of the median bin."""
        count, n_bins = level.shape
        mean = level.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred = level - mean
        components = principal_components(centred)
        left = centred - centred @ components.T @ components
        variance = np.square(left).sum(axis=0, dtype=np.float64) / max(count - 1 - len(components), 1)
        variance = (count * variance + PSEUDO_FRAMES * np.median(variance)) / (count + PSEUDO_FRAMES)
        return cls(mean, np.maximum(np.sqrt(variance), MIN_BIN_STD).astype(np.float32), components)

    def standardise(self, level: np.ndarray) -> np.ndarray:
        """Deviations (F, N) float32 of levels (F, N), in units of each bin's own. A row does not depend on its neighbours.

        Raises:
            ValueError: another number of bins.
        """
        if level.shape[-1] != len(self.mean):
            raise ValueError(f"spectra of {level.shape[-1]} bins, the conformal table was calibrated with {len(self.mean)}; "
                             "calibrate again with this fft_size")
        levels = np.ascontiguousarray(np.atleast_2d(level), np.float32)
        native = optional_native_module()
        given = standardise_numpy if native is None else native.standardise
        return given(levels, self.mean, self.std, self.components).reshape(np.shape(level))


def standardise_numpy(levels: np.ndarray, mean: np.ndarray, std: np.ndarray, components: np.ndarray) -> np.ndarray:
    """The same as the compiled module's ``standardise``, bit for bit: every sum in a stated order.

    The order of a BLAS differs between machines and batches, and a BLAS may start threads.
    """
    centred = levels - mean
    count, n_bins = components.shape
    products = np.zeros((count, -(-n_bins // PROJECTION_LANES) * PROJECTION_LANES), np.float32)
    for row in centred if count else ():
        np.multiply(components, row, out=products[:, :n_bins])
        lanes = np.add.accumulate(products.reshape(count, -1, PROJECTION_LANES), axis=1)[:, -1]
        shares = np.add.accumulate(lanes, axis=1)[:, -1:]
        row -= np.add.accumulate(shares * components, axis=0)[-1]
    return centred / std


def principal_components(centred: np.ndarray) -> np.ndarray:
    """Orthonormal rows (R, N) float32, R up to 16, of centred frames (F, N): components whose variance noise cannot explain.

    A component that is spread over much of the band (by its participation ratio, 1 / sum c^4) is left out.
    Noise of the median bin's variance s^2 has no eigenvalue above s^2 (1 + sqrt(N / F))^2 (Marchenko and Pastur 1967).
    """
    count, n_bins = centred.shape
    if count < 2:
        return np.zeros((0, n_bins), np.float32)
    values, vectors = np.linalg.eigh(centred.T.astype(np.float64) @ centred / count)
    noise = float(np.median(centred.var(axis=0, dtype=np.float64)))
    edge = EDGE_MARGIN * noise * (1.0 + np.sqrt(n_bins / count)) ** 2
    spread = 1.0 / np.sum(vectors**4, axis=0)
    usable = (values > max(edge, 1e-12)) & (spread <= MAX_COMPONENT_SPREAD * n_bins)
    chosen = np.flatnonzero(usable)[::-1][:min(MAX_COMPONENTS, count // 8)]
    return np.ascontiguousarray(vectors[:, chosen].T, np.float32)
