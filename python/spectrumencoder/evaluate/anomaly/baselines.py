# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors to compare with: each learns from clean frames with ``fit`` and scores frames, each for itself, with ``score``.

Frames are (F, N) float, bins in dB over the floor that the calibration frames had: one number for a recording, so that a floor
that rises stays visible. Scores are (F,) float; a higher score is more unusual. The evaluation sets all thresholds alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from scipy.linalg import eigh

COMPONENTS = 16
SCALES = (1, 8, 16, 64)  # bins of the moving means
_MIN_STD = 0.1  # dB, of a bin
_MIN_SPREAD = 0.05
_MAD_TO_STD = 1.4826
_CHUNK = 256  # frames at a time


class Baseline(Protocol):
    name: str

    def fit(self, frames: np.ndarray) -> None:
        """Learns from clean frames (F, N)."""

    def score(self, frames: np.ndarray) -> np.ndarray:
        """(F, N) -> (F,)."""


def make_baselines(seed: int = 0) -> list[Baseline]:
    """One of each kind, not fitted."""
    return [Energy(), CellAveraging(), OrderStatistic(), RobustZ(), MatchedResidual(), isolation_forest(seed), local_outliers(),
            one_class_svm(), AdversarialAutoencoder(seed)]


class Energy:
    """Power of the whole band, dB: its distance from the median of clean frames, up or down."""

    name = "energy"

    def fit(self, frames):
        self._median = np.median(_power_db(frames))

    def score(self, frames):
        return np.abs(_power_db(frames) - self._median)


class _Cfar:
    """Largest ratio, dB, of a bin to the level of `TRAINING` bins on each side beyond `GUARD` (wrapped at the edges).

    The window spreads a carrier over about 4 bins on each side, which are guarded. Knows nothing of the band; `fit` does nothing.
    """

    GUARD, TRAINING = 4, 16

    def fit(self, frames):
        pass

    def score(self, frames):
        out = np.empty(len(frames))
        for start in range(0, len(frames), _CHUNK):
            linear = 10.0 ** (np.asarray(frames[start:start + _CHUNK], np.float64) / 10.0)
            out[start:start + _CHUNK] = 10.0 * np.log10(np.max(linear / self._level(linear), axis=1))
        return out

    def _offsets(self) -> list[int]:
        side = range(self.GUARD + 1, self.GUARD + self.TRAINING + 1)
        return [*(-k for k in side), *side]


class CellAveraging(_Cfar):
    """CA-CFAR: the level is the mean of the training bins (Finn and Johnson 1968)."""

    name = "CA-CFAR"

    def _level(self, linear):
        return np.mean([np.roll(linear, k, axis=1) for k in self._offsets()], axis=0)


class OrderStatistic(_Cfar):
    """OS-CFAR: the level is the training bin of rank 3/4, which a second signal beside does not raise (Rohling 1983)."""

    name = "OS-CFAR"

    def _level(self, linear):
        cells = np.stack([np.roll(linear, k, axis=1) for k in self._offsets()])
        rank = 3 * len(cells) // 4
        return np.partition(cells, rank, axis=0)[rank]


class RobustZ:
    """Largest deviation of a bin from its median in robust deviations of that bin (1.4826 times the median deviation)."""

    name = "robust z"

    def fit(self, frames):
        self._median = np.median(frames, axis=0)
        spread = np.median(np.abs(frames - self._median), axis=0)
        self._std = np.maximum(_MAD_TO_STD * spread, _MIN_STD)

    def score(self, frames):
        return np.max(np.abs(frames - self._median) / self._std, axis=1).astype(float)


class Subspace:
    """Mean and first principal components of frames, and the rest of a frame in standard deviations of each bin."""

    def __init__(self, frames: np.ndarray):
        self._mean = frames.mean(axis=0, dtype=np.float64)
        centred = frames - self._mean
        n_bins = frames.shape[1]
        count = max(1, min(COMPONENTS, len(frames) // 4))
        _, vectors = eigh(centred.T @ centred, subset_by_index=[n_bins - count, n_bins - 1])
        self._components = vectors[:, ::-1].T
        self._std = np.maximum((centred - self.coefficients(frames) @ self._components).std(axis=0), _MIN_STD)

    def coefficients(self, frames: np.ndarray) -> np.ndarray:
        """(F, COMPONENTS), fewer where there were fewer than four frames for each."""
        return (frames - self._mean) @ self._components.T

    def residual(self, frames: np.ndarray) -> np.ndarray:
        """(F, N)."""
        centred = frames - self._mean
        return (centred - (centred @ self._components.T) @ self._components) / self._std


class MatchedResidual:
    """16 principal components; then the largest moving mean of the residual over 1, 8, 16 and 64 bins, up or down.

    The scales are put on one footing (median 0, 99 % quantile 1) by frames that the components were not learned from.
    """

    name = "PCA + matched residual"

    def fit(self, frames):
        learn = _two_thirds(frames)
        self._subspace = Subspace(learn)
        maxima = self._maxima(frames[len(learn):])
        self._median = np.median(maxima, axis=0)
        self._spread = np.maximum(np.quantile(maxima, 0.99, axis=0) - self._median, _MIN_SPREAD)

    def score(self, frames):
        return np.max((self._maxima(frames) - self._median) / self._spread, axis=1)

    def located(self, frames) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(F, N) -> score (F,), and the bins [low, high) of the moving mean that it is of, (F,) each."""
        means = self._means(frames)
        maxima = np.stack([m.max(axis=1) for m in means], axis=1)
        standard = (maxima - self._median) / self._spread
        best = standard.argmax(axis=1)
        low = np.stack([m.argmax(axis=1) for m in means], axis=1)[np.arange(len(best)), best]
        return standard.max(axis=1), low, low + np.array(SCALES)[best]

    def _maxima(self, frames) -> np.ndarray:
        return np.stack([m.max(axis=1) for m in self._means(frames)], axis=1)

    def _means(self, frames) -> list[np.ndarray]:
        """Of each scale s: moving sums of the residual over s bins, without sign, by the root of s, (F, N + 1 - s)."""
        residual = self._subspace.residual(frames)
        total = np.concatenate((np.zeros((len(residual), 1)), np.cumsum(residual, axis=1)), axis=1)
        return [np.abs(total[:, s:] - total[:, :-s]) / np.sqrt(s) for s in SCALES]


class _OnFeatures:
    """An estimator of scikit-learn on 16 coefficients and the log residual energy of 16 parts of the band, standardised.

    It is fitted on MAX_ROWS frames or fewer, evenly spaced, whose components were learned from others.
    """

    MAX_ROWS, PARTS = 1000, 16

    def __init__(self, name: str, make: Callable[[int], object]):
        self.name, self._make = name, make

    def fit(self, frames):
        learn = frames[::3]
        rest = np.delete(frames, np.s_[::3], axis=0)
        self._subspace = Subspace(learn)
        features = self._raw(rest[np.linspace(0, len(rest) - 1, min(len(rest), self.MAX_ROWS)).astype(int)])
        self._mean, self._std = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-3)
        self._estimator = self._make(len(features)).fit((features - self._mean) / self._std)

    def score(self, frames):
        return -self._estimator.score_samples((self._raw(frames) - self._mean) / self._std)

    def _raw(self, frames) -> np.ndarray:
        energy = np.square(self._subspace.residual(frames)).reshape(len(frames), self.PARTS, -1).mean(axis=2)
        return np.concatenate((self._subspace.coefficients(frames), np.log(energy + 1e-6)), axis=1)


def isolation_forest(seed: int = 0) -> Baseline:
    """Liu, Ting and Zhou 2008: 100 trees."""
    from sklearn.ensemble import IsolationForest
    return _OnFeatures("isolation forest", lambda rows: IsolationForest(n_estimators=100, random_state=seed))


def local_outliers() -> Baseline:
    """LOF, Breunig et al. 2000: 20 neighbours."""
    from sklearn.neighbors import LocalOutlierFactor
    return _OnFeatures("LOF", lambda rows: LocalOutlierFactor(n_neighbors=min(20, rows - 1), novelty=True))


def one_class_svm() -> Baseline:
    """Schölkopf et al. 2001: Gaussian kernel, nu = 0.01."""
    from sklearn.svm import OneClassSVM
    return _OnFeatures("one-class SVM", lambda rows: OneClassSVM(nu=0.01, gamma="scale"))


class AdversarialAutoencoder:
    """After SAIFE (Rajendran et al. 2018, arXiv:1807.08316), for single frames: convolutional encoder and decoder with 20 latent
    floats. A discriminator separates the latents from a standard normal draw.

    The score is the larger of two: the mean-square error of reconstruction, and the discriminator's logit of the latents. Each
    is standardised (median 0, 99 % quantile 1) by frames that the networks did not learn from. The class latents of the paper,
    which need labelled modulations, are left out.
    """

    name = "adversarial autoencoder"
    EPOCHS, BATCH, LATENT, RATE = 15, 64, 20, 1e-3

    def __init__(self, seed: int = 0):
        self._seed = seed

    def fit(self, frames):
        import torch

        learn = _two_thirds(frames)
        self._mean, self._std = float(learn.mean()), float(max(learn.std(), _MIN_STD))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            self._build(frames.shape[1])
            self._train(torch.from_numpy(self._scaled(learn)))
        parts = self._parts(frames[len(learn):])
        self._median = np.median(parts, axis=0)
        self._spread = np.maximum(np.quantile(parts, 0.99, axis=0) - self._median, 1e-3)

    def score(self, frames):
        return np.max((self._parts(frames) - self._median) / self._spread, axis=1)

    def _scaled(self, frames) -> np.ndarray:
        return np.ascontiguousarray((frames - self._mean) / self._std, np.float32)

    def _build(self, n_bins: int):
        from torch import nn

        short = n_bins // 64
        self.encoder = nn.Sequential(
            nn.Conv1d(1, 16, 7, 4, 3), nn.Tanh(), nn.Conv1d(16, 16, 7, 4, 3), nn.Tanh(), nn.Conv1d(16, 16, 7, 4, 3), nn.Tanh(),
            nn.Flatten(), nn.Linear(16 * short, self.LATENT))
        self.decoder = nn.Sequential(
            nn.Linear(self.LATENT, 16 * short), nn.Tanh(), nn.Unflatten(1, (16, short)),
            nn.ConvTranspose1d(16, 16, 8, 4, 2), nn.Tanh(), nn.ConvTranspose1d(16, 16, 8, 4, 2), nn.Tanh(),
            nn.ConvTranspose1d(16, 1, 8, 4, 2))
        self.discriminator = nn.Sequential(nn.Linear(self.LATENT, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))

    def _train(self, data):
        """Reconstruction, then the discriminator, then the encoder against it: each optimiser with its own weights only."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
        from torch.nn.functional import mse_loss

        rebuild = torch.optim.Adam([*self.encoder.parameters(), *self.decoder.parameters()], self.RATE)
        judge = torch.optim.Adam(self.discriminator.parameters(), self.RATE)
        fool = torch.optim.Adam(self.encoder.parameters(), 0.3 * self.RATE)
        for _ in range(self.EPOCHS):
            for rows in torch.randperm(len(data)).split(self.BATCH):
                x = data[rows, None]
                _step(rebuild, mse_loss(self.decoder(self.encoder(x)), x))
                latent = self.encoder(x)
                real = self.discriminator(torch.randn_like(latent))
                fake = self.discriminator(latent.detach())
                _step(judge, cross_entropy(real, torch.ones_like(real)) + cross_entropy(fake, torch.zeros_like(fake)))
                fake = self.discriminator(latent)
                _step(fool, cross_entropy(fake, torch.ones_like(fake)))

    def _parts(self, frames) -> np.ndarray:
        """(F, 2): mean-square error, negative logit of the discriminator."""
        import torch

        out = []
        with torch.inference_mode():
            for x in torch.from_numpy(self._scaled(frames)).split(_CHUNK):
                latent = self.encoder(x[:, None])
                error = (self.decoder(latent)[:, 0] - x).square().mean(dim=1)
                out.append(torch.stack((error, -self.discriminator(latent)[:, 0]), dim=1))
        return torch.cat(out).numpy().astype(float)


def _step(optimiser, loss):
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def _power_db(frames: np.ndarray) -> np.ndarray:
    return 10.0 * np.log10(np.mean(10.0 ** (np.asarray(frames, np.float64) / 10.0), axis=1))


def _two_thirds(frames: np.ndarray) -> np.ndarray:
    """The first two thirds of the frames; the rest must not be learned from."""
    return frames[:max(1, 2 * len(frames) // 3)]
