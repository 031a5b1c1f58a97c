# SPDX-License-Identifier: GPL-3.0-or-later
"""The learned motion field: what the recent past of a track says about where it goes besides what the IMM knows.

In the manner of DOMA (Zhang et al., CVPR 2024): a small network gives a local motion, here as a residual on the IMM's estimate,
a shift, a velocity and a fading acceleration in coordinates along and across the track,

    d(h) = dp + dv h + da tau (h - tau (1 - exp(-h / tau))),

in units of the IMM's own standard deviations, so that one network serves any scale. Mirrored tracks get mirrored motions. Its
inputs are the last innovations, their averages over longer pasts, time steps, model probabilities and the sharpness of the state. It was trained offline
(``tools/train_motion_field.py``); the last layer goes on learning live, per track, by recursive least squares on the
innovations. With no past there is no residual, and a residual that does not pay shrinks to zero.

Shape letters: T tracks, W past updates, M models, F inputs, K hidden.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .imm import Imm, ImmState

WINDOW = 10
AVERAGES = (6, 24, 96)  # updates over which innovations, their energy and the models are averaged, exponentially
FADE_S = 10.0
_DT_S = 3.0  # about which time steps are measured, in logarithms
_MOST = 5.0  # standard deviations; inputs are clipped there
N_OUTPUTS = 6  # shift along, across; velocity along, across; acceleration along, across
SHIPPED = Path(__file__).with_name("motion_field.json")


class Past(NamedTuple):
    """The last WINDOW updates of each track, newest first: innovation (T, W, 2) m, its standard deviation per axis sigma (T, W) m
    (0: no update), dt_s (T, W). average (T, A, 4 + M), over AVERAGES: the innovation in sigma (east, north), its energy per axis less
    one, how much more of it is along than across, and the probabilities of the models."""

    innovation: np.ndarray
    sigma: np.ndarray
    dt_s: np.ndarray
    average: np.ndarray

    def take(self, rows) -> Past:
        return Past(*(part[rows] for part in self))

    def put(self, rows, other: Past):
        for mine, its in zip(self, other, strict=True):
            mine[rows] = its


def no_past(n: int, n_models: int) -> Past:
    """Of n tracks that have had no update."""
    return Past(np.zeros((n, WINDOW, 2)), np.zeros((n, WINDOW)), np.zeros((n, WINDOW)), np.zeros((n, len(AVERAGES), 4 + n_models)))


def remember(past: Past, innovation, dt_s, probability, velocity_mps) -> Past:
    """The past with one more update: ``imm.Innovation``, the step (T,) before it, and probability (T, M) and velocity (T, 2) after."""
    sigma = np.sqrt(np.einsum("tii->t", innovation.covariance) / 2)
    standard = np.clip(innovation.residual / sigma[:, None], -_MOST, _MOST)
    energy = (standard**2).sum(axis=1)
    along = (standard * velocity_mps).sum(axis=1) / np.maximum(np.linalg.norm(velocity_mps, axis=1), 1e-6)
    news = np.concatenate([standard, energy[:, None] / 2 - 1, (2 * along**2 - energy)[:, None], probability], axis=1)
    gain = 1 / np.array(AVERAGES)[:, None]
    average = past.average + gain * (news[:, None] - past.average)
    newest = (innovation.residual, sigma, dt_s)
    return Past(*(np.concatenate([np.asarray(new)[:, None], old[:, :-1]], axis=1)
                  for new, old in zip(newest, past[:3], strict=True)), average)


class Frame(NamedTuple):
    """Of the IMM's combined estimate: along (T, 2), the unit vector of its velocity; sigma (T, 3) of position, velocity and
    acceleration, per axis; evidence (T,), the share of the window that is filled."""

    along: np.ndarray
    sigma: np.ndarray
    evidence: np.ndarray

    def to_east_north(self, track: np.ndarray) -> np.ndarray:
        """(T, ..., 2) along, across (to the left) -> east, north."""
        along = self.along.reshape(len(self.along), *([1] * (track.ndim - 2)), 2)
        left = np.stack([-along[..., 1], along[..., 0]], axis=-1)
        return track[..., :1] * along + track[..., 1:] * left

    def to_track(self, east_north: np.ndarray) -> np.ndarray:
        """(T, ..., 2) east, north -> along, across."""
        along = self.along.reshape(len(self.along), *([1] * (east_north.ndim - 2)), 2)
        left = np.stack([-along[..., 1], along[..., 0]], axis=-1)
        return np.stack([(east_north * along).sum(-1), (east_north * left).sum(-1)], axis=-1)


def frame_of(mean: np.ndarray, covariance: np.ndarray, past: Past) -> Frame:
    """From the IMM's combined mean (T, 6) and covariance (T, 6, 6)."""
    velocity = mean[:, 2:4]
    along = velocity / np.maximum(np.linalg.norm(velocity, axis=1, keepdims=True), 1e-6)
    variance = np.einsum("tii->ti", covariance).reshape(-1, 3, 2).mean(axis=2)
    return Frame(along, np.sqrt(variance), (past.sigma > 0).mean(axis=1))


def inputs(mean: np.ndarray, probability: np.ndarray, frame: Frame, past: Past) -> np.ndarray:
    """Network inputs (T, F); those in ``mirrored`` change sign when the track is mirrored."""
    seen = past.sigma > 0
    sigma = np.where(seen, past.sigma, 1.0)
    innovation = np.clip(frame.to_track(past.innovation) / sigma[..., None], -_MOST, _MOST) * seen[..., None]
    steps = np.where(seen, np.log(np.maximum(past.dt_s, 0.05) / _DT_S), 0.0)
    dt = np.where(seen[:, 0], past.dt_s[:, 0], _DT_S)
    acceleration = np.clip(frame.to_track(mean[:, 4:6]) * (dt**2 / sigma[:, 0])[:, None], -_MOST, _MOST)
    sharp = np.log(np.maximum(frame.sigma * np.stack([np.ones_like(dt), dt, dt**2], axis=1) / sigma[:, :1], 1e-6))
    speed = np.log(np.maximum(np.linalg.norm(mean[:, 2:4], axis=1), 1e-3) / frame.sigma[:, 1])
    n = len(mean)
    drift = frame.to_track(past.average[..., :2]) * np.sqrt(AVERAGES)[:, None]  # white innovations give one
    return np.concatenate([
        innovation[..., 1], acceleration[:, 1:], drift[..., 1],
        innovation[..., 0], acceleration[:, :1], drift[..., 0], past.average[..., 2], past.average[..., 3],
        steps, np.clip(sharp, -_MOST, _MOST), np.clip(speed, -_MOST, _MOST)[:, None], probability,
        past.average[:, 1:, 4:].reshape(n, -1), seen.mean(axis=1)[:, None], np.ones((n, 1))], axis=1)


def mirrored(n_inputs: int) -> np.ndarray:
    """Factors (F,) of the inputs of the mirrored track: -1 for what lies across."""
    factor = np.ones(n_inputs)
    factor[:WINDOW + 1 + len(AVERAGES)] = -1
    return factor


def ramp(horizon_s: np.ndarray) -> np.ndarray:
    """(..., 3): what a shift, a velocity and an acceleration that fades do in horizon_s."""
    h = np.asarray(horizon_s, float)
    return np.stack([np.ones_like(h), h, FADE_S * (h - FADE_S * (1 - np.exp(-h / FADE_S)))], axis=-1)


@dataclass(frozen=True)
class MotionField:
    """The network: two hidden layers of tanh, then the last layer (K, 6), and the spread of the residual's error.

    weights: first (F, H), second (H, K), last (K, 6). spread: (K, 2), the logarithm of the factor on the covariance, at once and
    per logarithm of 1 + h. n_models: of the IMM that it was trained with."""

    first: np.ndarray
    second: np.ndarray
    last: np.ndarray
    spread: np.ndarray
    n_models: int

    @staticmethod
    def load(path: Path = SHIPPED) -> MotionField:
        """Raises OSError: there is no such file. ValueError: it is none of ours."""
        content = json.loads(Path(path).read_text())
        try:
            layers = (np.array(content[name], float) for name in ("first", "second", "last", "spread"))
            return MotionField(*layers, int(content["n_models"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is no motion field ({error}); make one with tools/train_motion_field.py") from error

    def hidden(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Hidden values (T, K) of inputs (T, F), and those of the mirrored tracks."""
        both = np.concatenate([x, x * mirrored(x.shape[1])])
        values = np.tanh(np.tanh(both @ self.first) @ self.second)
        return values[:len(x)], values[len(x):]


class Correction(NamedTuple):
    """motion (T, 3, 2): shift, velocity, acceleration, in metres east and north; spread (T, 2): see ``MotionField``."""

    motion: np.ndarray
    spread: np.ndarray

    def at(self, horizon_s: float) -> np.ndarray:
        """(T, 2): what to add to the IMM's position at a horizon."""
        return np.einsum("i,tid->td", ramp(horizon_s), self.motion)

    def factor(self, horizon_s: float) -> np.ndarray:
        """(T,): by what to multiply the IMM's covariance there."""
        return np.exp(self.spread[:, 0] + self.spread[:, 1] * np.log1p(horizon_s))


def correct(field: MotionField, imm: Imm, bank: ImmState, past: Past, last: np.ndarray | None = None) -> Correction:
    """The field's residual for a bank at its last update. last: (T, K, 6), where it has gone on learning."""
    mean, covariance = imm.combined(bank)
    frame = frame_of(mean, covariance, past)
    one, other = field.hidden(inputs(mean, bank.probability, frame, past))
    weights = field.last if last is None else last
    product = "tk,ko->to" if weights.ndim == 2 else "tk,tko->to"
    straight = np.einsum(product, one, weights).reshape(-1, 3, 2)
    mirror = np.einsum(product, other, weights).reshape(-1, 3, 2) * (1, -1)
    motion = (straight + mirror) / 2 * frame.sigma[:, :, None] * frame.evidence[:, None, None]
    spread = (one + other) / 2 @ field.spread * frame.evidence[:, None]
    return Correction(frame.to_east_north(motion), spread)
