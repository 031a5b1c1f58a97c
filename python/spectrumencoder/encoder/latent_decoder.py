# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder of the latents and its derivative in NumPy, so that the codec of `encoded` PDUs runs without PyTorch.

It computes the mean of `bottleneck.Decoder` with the same weights, and `encoder.conditioning`. Tests use those two as oracles.
The derivative comes as two products: one with a direction in the latents, one with an error in the spectrum. The Jacobian itself
is too large to compute (Griewank and Walther, Evaluating Derivatives, SIAM 2008, chapter 3).

Shape letters: F frames, P latents of a frame (L x W), C conditioning values, H decoder width, N bins. All in fp32.
"""

from __future__ import annotations

import numpy as np

N_CONDITION = 4
MEAN_DB = 10.0  # one unit of the decoder's output


def conditioning(side: np.ndarray) -> np.ndarray:
    """Side values (F, 3: floor_dbfs, K_eff, bin_width_hz) -> (F, 4): log2 bin width about 1 kHz, log2 K, floor, 1 = known."""
    floor, k_eff, bin_width = np.asarray(side, np.float32).T
    out = np.ones((len(floor), N_CONDITION), np.float32)
    out[:, 0] = (np.log2(np.maximum(bin_width, np.float32(1e-3))) - 10.0) / 4.0
    out[:, 1] = np.log2(np.maximum(k_eff, np.float32(1.0))) / 3.0
    out[:, 2] = (floor + 80.0) / 40.0
    return out


class LatentDecoder:
    """Latents (F, P) and conditioning values (F, C) -> spectra (F, N), dB over the floor.

    Args:
        weights: weights of a network; names that begin with `decoder.` are used.
    """

    def __init__(self, weights: dict[str, np.ndarray]):
        part = lambda name: np.asarray(weights[f"decoder.{name}"], np.float32)  # noqa: E731
        self._first, self._first_bias = part("hidden.0.weight"), part("hidden.0.bias")  # (H, P + C)
        self._second, self._second_bias = part("hidden.2.weight"), part("hidden.2.bias")  # (H, H)
        # maps of the hidden values and of the latents themselves, joined into one product
        self._mean = MEAN_DB * np.concatenate((part("mean.weight"), part("direct.weight")), axis=1)  # (N, H + P)
        self._mean_bias = MEAN_DB * part("mean.bias")
        self._width, self._n_latents = self._mean.shape[1] - part("direct.weight").shape[1], part("direct.weight").shape[1]

    def mean_db(self, latents: np.ndarray, condition: np.ndarray) -> np.ndarray:
        """(F, P), (F, C) -> (F, N)."""
        return self.at(latents, condition).mean_db

    def at(self, latents: np.ndarray, condition: np.ndarray) -> Linearised:
        """The decoder's output at these latents, with its derivative there."""
        first, first_slope = _silu(np.concatenate((latents, condition), axis=1) @ self._first.T + self._first_bias)
        second, second_slope = _silu(first @ self._second.T + self._second_bias)
        mean_db = np.concatenate((second, latents), axis=1) @ self._mean.T
        mean_db += self._mean_bias
        return Linearised(self, mean_db, first_slope, second_slope)


class Linearised:
    """The decoder linearised at some latents; J is its Jacobian there. Attribute mean_db: (F, N)."""

    def __init__(self, decoder: LatentDecoder, mean_db: np.ndarray, first_slope: np.ndarray, second_slope: np.ndarray):
        self.mean_db = mean_db
        self._decoder, self._first_slope, self._second_slope = decoder, first_slope, second_slope

    def push(self, move: np.ndarray) -> np.ndarray:
        """J move for each frame: a direction in the latents (F, P) -> the spectrum's change along it (F, N)."""
        d = self._decoder
        first = (move @ d._first[:, :d._n_latents].T) * self._first_slope
        second = (first @ d._second.T) * self._second_slope
        return np.concatenate((second, move), axis=1) @ d._mean.T

    def pull(self, error: np.ndarray) -> np.ndarray:
        """J^T error for each frame: an error in the spectrum (F, N) -> the gradient of its product with the spectrum (F, P)."""
        d = self._decoder
        both = error @ d._mean
        second = both[:, :d._width] * self._second_slope
        first = (second @ d._second) * self._first_slope
        return first @ d._first[:, :d._n_latents] + both[:, d._width:]


def _silu(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x sigmoid(x) and its slope, sigmoid(x) (1 + x (1 - sigmoid(x)))."""
    share = 1.0 / (1.0 + np.exp(np.minimum(-x, np.float32(88.0))))  # beyond, exp overflows
    value = x * share
    return value, share + value * (1.0 - share)
