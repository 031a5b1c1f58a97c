# SPDX-License-Identifier: GPL-3.0-or-later
"""The learned motion field: a residual on the IMM's estimate, from the recent past of the track.

As in DOMA (Zhang et al., CVPR 2024), a small network gives a local motion. Here it is a residual on the IMM's estimate: a shift,
a velocity and a fading acceleration in coordinates along and across the track,

    d(h) = dp + dv h + da tau (h - tau (1 - exp(-h / tau))).

It is in units of the IMM's own standard deviations, so that one network serves any scale. Mirrored tracks get mirrored motions.
The inputs are the last innovations, their averages over longer pasts, time steps, model probabilities and the sharpness of the
state. The network was trained offline (``tools/train_motion_field.py``). Its last layer goes on learning live, for each track: a
gain on each of the six outputs starts at one and is solved by recursive least squares on the innovations. A track without a past
has no residual. The gains of a residual that does not help go to zero.

Shape letters: T tracks, W past updates, M models, F inputs, K hidden.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

WINDOW = 10
AVERAGES = (6, 24, 96)  # updates; lengths of the exponential averages of innovations, their energy and the models
FADE_S = 10.0
_DT_S = 3.0  # unit of time steps, which are taken in logarithms
_MAX_INPUT = 5.0  # standard deviations; inputs are clipped there
GAIN_SIGMA = 0.3  # standard deviation of the gains of tracks about one
GAIN_MEMORY_S = 300.0  # time constant with which gains go back to one
_MAX_SPREAD = 3.0  # of the logarithm of the factor on the covariance
SHIPPED = Path(__file__).with_name("motion_field.json")


class Past(NamedTuple):
    """The last WINDOW updates of each track, newest first.

    innovation (T, W, 2), in m. sigma (T, W), its standard deviation per axis in m; 0 is no update. dt_s (T, W), the step before.
    average (T, A, 4 + M), over AVERAGES: the innovation in sigma (east, north), its energy per axis less one, the excess of its
    energy along over that across, and the probabilities of the models.
    """

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
    """The past of n tracks that have had no update."""
    return Past(np.zeros((n, WINDOW, 2)), np.zeros((n, WINDOW)), np.zeros((n, WINDOW)),
                np.zeros((n, len(AVERAGES), 4 + n_models)))


def remember(past: Past, innovation, dt_s, probability, velocity_mps) -> Past:
    """The past and one more update: ``imm.Innovation``, the step (T,) before, probability (T, M) and velocity (T, 2) after."""
    sigma = np.sqrt(np.einsum("tii->t", innovation.covariance) / 2)
    standard = np.clip(innovation.residual / sigma[:, None], -_MAX_INPUT, _MAX_INPUT)
    energy = (standard**2).sum(axis=1)
    along = (standard * velocity_mps).sum(axis=1) / np.maximum(np.linalg.norm(velocity_mps, axis=1), 1e-6)
    news = np.concatenate([standard, energy[:, None] / 2 - 1, (2 * along**2 - energy)[:, None], probability], axis=1)
    gain = 1 / np.array(AVERAGES)[:, None]
    average = past.average + gain * (news[:, None] - past.average)
    newest = (innovation.residual, sigma, dt_s)
    return Past(*(np.concatenate([np.asarray(new)[:, None], old[:, :-1]], axis=1)
                  for new, old in zip(newest, past[:3], strict=True)), average)


class Frame(NamedTuple):
    """The track's own coordinates and scales, from the IMM's combined estimate.

    along (T, 2), the unit vector of its velocity. sigma (T, 3), standard deviations per axis of position, velocity and
    acceleration. evidence (T,), the filled share of the window.
    """

    along: np.ndarray
    sigma: np.ndarray
    evidence: np.ndarray

    def to_east_north(self, track: np.ndarray) -> np.ndarray:
        """East, north of (T, ..., 2) along, across (to the left)."""
        along = self.along.reshape(len(self.along), *([1] * (track.ndim - 2)), 2)
        left = np.stack([-along[..., 1], along[..., 0]], axis=-1)
        return track[..., :1] * along + track[..., 1:] * left

    def to_track(self, east_north: np.ndarray) -> np.ndarray:
        """Along, across of (T, ..., 2) east, north."""
        along = self.along.reshape(len(self.along), *([1] * (east_north.ndim - 2)), 2)
        left = np.stack([-along[..., 1], along[..., 0]], axis=-1)
        return np.stack([(east_north * along).sum(-1), (east_north * left).sum(-1)], axis=-1)


def frame_of(mean: np.ndarray, covariance: np.ndarray, past: Past) -> Frame:
    """The frame of the IMM's combined mean (T, 6) and covariance (T, 6, 6)."""
    velocity = mean[:, 2:4]
    along = velocity / np.maximum(np.linalg.norm(velocity, axis=1, keepdims=True), 1e-6)
    variance = np.einsum("tii->ti", covariance).reshape(-1, 3, 2).mean(axis=2)
    return Frame(along, np.sqrt(variance), (past.sigma > 0).mean(axis=1))


def inputs(mean: np.ndarray, probability: np.ndarray, frame: Frame, past: Past) -> np.ndarray:
    """Network inputs (T, F). Those that are -1 in ``mirrored`` change sign if the track is mirrored."""
    seen = past.sigma > 0
    sigma = np.where(seen, past.sigma, 1.0)
    innovation = np.clip(frame.to_track(past.innovation) / sigma[..., None], -_MAX_INPUT, _MAX_INPUT) * seen[..., None]
    steps = np.where(seen, np.log(np.maximum(past.dt_s, 0.05) / _DT_S), 0.0)
    dt = np.where(seen[:, 0], past.dt_s[:, 0], _DT_S)
    acceleration = np.clip(frame.to_track(mean[:, 4:6]) * (dt**2 / sigma[:, 0])[:, None], -_MAX_INPUT, _MAX_INPUT)
    sharp = np.log(np.maximum(frame.sigma * np.stack([np.ones_like(dt), dt, dt**2], axis=1) / sigma[:, :1], 1e-6))
    speed = np.log(np.maximum(np.linalg.norm(mean[:, 2:4], axis=1), 1e-3) / frame.sigma[:, 1])
    n = len(mean)
    drift = frame.to_track(past.average[..., :2]) * np.sqrt(AVERAGES)[:, None]  # white innovations give one
    return np.concatenate([
        innovation[..., 1], acceleration[:, 1:], drift[..., 1],
        innovation[..., 0], acceleration[:, :1], drift[..., 0], past.average[..., 2], past.average[..., 3],
        steps, np.clip(sharp, -_MAX_INPUT, _MAX_INPUT), np.clip(speed, -_MAX_INPUT, _MAX_INPUT)[:, None], probability,
        past.average[:, 1:, 4:].reshape(n, -1), seen.mean(axis=1)[:, None], np.ones((n, 1))], axis=1)


def mirrored(n_inputs: int) -> np.ndarray:
    """Factors (F,) on the inputs of a track that give those of the mirrored track: -1 for inputs across."""
    factor = np.ones(n_inputs)
    factor[:WINDOW + 1 + len(AVERAGES)] = -1
    return factor


def ramp(horizon_s: np.ndarray) -> np.ndarray:
    """Displacements (..., 3) in horizon_s of a unit shift, a unit velocity and a unit acceleration that fades."""
    h = np.asarray(horizon_s, float)
    return np.stack([np.ones_like(h), h, FADE_S * (h - FADE_S * (1 - np.exp(-h / FADE_S)))], axis=-1)


@dataclass(frozen=True)
class MotionField:
    """The network: two hidden layers of tanh, then the last layer, and the spread of the residual's error.

    Attributes:
        first, second, last: weights (F, H), (H, K) and (K, 6).
        spread: (K, 2), the logarithm of the factor on the covariance: at once, and per logarithm of 1 + h.
        n_models: number of models of the IMM with which it was trained.
    """

    first: np.ndarray
    second: np.ndarray
    last: np.ndarray
    spread: np.ndarray
    n_models: int

    @staticmethod
    def load(path: Path = SHIPPED) -> MotionField:
        """The field in a file.

        Raises:
            OSError: there is no such file.
            ValueError: it is no motion field.
        """
        content = json.loads(Path(path).read_text())
        try:
            layers = (np.array(content[name], float) for name in ("first", "second", "last", "spread"))
            return MotionField(*layers, int(content["n_models"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is no motion field ({error}); make one with tools/train_motion_field.py") from error

    @staticmethod
    @functools.cache
    def shipped() -> MotionField:
        """The field in the package, made for the default models."""
        return MotionField.load()

    def hidden(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Hidden values (T, K) of inputs (T, F), and those of the mirrored tracks."""
        both = np.concatenate([x, x * mirrored(x.shape[1])])
        values = np.tanh(np.tanh(both @ self.first) @ self.second)
        return values[:len(x)], values[len(x):]


class Gains(NamedTuple):
    """Gains that the last layer has learned live: value (T, 2, 3), of the outputs along and across, and its covariance
    (T, 2, 3, 3)."""

    value: np.ndarray
    covariance: np.ndarray

    def take(self, rows) -> Gains:
        return Gains(*(part[rows] for part in self))

    def put(self, rows, other: Gains):
        for mine, its in zip(self, other, strict=True):
            mine[rows] = its


def no_gains(n: int) -> Gains:
    """Gains of n tracks that have learned nothing: one, with the prior covariance."""
    return Gains(np.ones((n, 2, 3)), np.tile(np.eye(3) * GAIN_SIGMA**2, (n, 2, 1, 1)))


class Correction(NamedTuple):
    """The field's residual after an update.

    motion (T, 3, 2): shift, velocity, acceleration, in metres along and across the track, before gains. gains (T, 2, 3). frame.
    spread (T, 2), see ``MotionField``.
    """

    motion: np.ndarray
    gains: np.ndarray
    frame: Frame
    spread: np.ndarray

    def put(self, rows, other: Correction):
        self.motion[rows], self.gains[rows], self.spread[rows] = other.motion, other.gains, other.spread
        for mine, its in zip(self.frame, other.frame, strict=True):
            mine[rows] = its

    def take(self, rows) -> Correction:
        return Correction(self.motion[rows], self.gains[rows], Frame(*(part[rows] for part in self.frame)), self.spread[rows])

    def at(self, horizon_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals of the IMM's position (T, 2) and velocity (T, 2) at horizons (T,) after the update."""
        horizon_s = np.asarray(horizon_s, float)
        slope = np.stack([np.zeros_like(horizon_s), np.ones_like(horizon_s), FADE_S * (1 - np.exp(-horizon_s / FADE_S))], axis=-1)
        motion = self.motion * np.swapaxes(self.gains, 1, 2)
        return tuple(self.frame.to_east_north(np.einsum("ti,tid->td", part, motion)) for part in (ramp(horizon_s), slope))

    def factor(self, horizon_s: np.ndarray) -> np.ndarray:
        """Factor (T,) on the IMM's covariance at horizons (T,)."""
        return np.exp(np.clip(self.spread[:, 0] + self.spread[:, 1] * np.log1p(horizon_s), -_MAX_SPREAD, _MAX_SPREAD))


def no_correction(n: int) -> Correction:
    """The correction of n tracks without a residual."""
    frame = Frame(np.tile([1.0, 0.0], (n, 1)), np.ones((n, 3)), np.zeros(n))
    return Correction(np.zeros((n, 3, 2)), np.ones((n, 2, 3)), frame, np.zeros((n, 2)))


def correct(field: MotionField, mean: np.ndarray, covariance: np.ndarray, probability: np.ndarray, past: Past,
            gains: Gains) -> Correction:
    """The field's residual on the IMM's combined mean (T, 6), covariance (T, 6, 6) and probability (T, M), at the last update."""
    frame = frame_of(mean, covariance, past)
    one, other = field.hidden(inputs(mean, probability, frame, past))
    straight = (one @ field.last).reshape(-1, 3, 2)
    mirror = (other @ field.last).reshape(-1, 3, 2) * (1, -1)
    motion = (straight + mirror) / 2 * frame.sigma[:, :, None] * frame.evidence[:, None, None]
    return Correction(motion, gains.value, frame, (one + other) / 2 @ field.spread * frame.evidence[:, None])


def learn(gains: Gains, correction: Correction, innovation, dt_s: np.ndarray) -> Gains:
    """Gains after one step of recursive least squares.

    The innovation (``imm.Innovation``) that came dt_s (T,) after a correction measures what the correction should have been, with
    the innovation's covariance. The gains forget toward one.
    """
    keep = np.exp(-dt_s / GAIN_MEMORY_S)[:, None, None, None]
    value = 1 + keep[..., 0] * (gains.value - 1)
    covariance = keep**2 * gains.covariance + (1 - keep**2) * np.eye(3) * GAIN_SIGMA**2
    row = np.swapaxes(correction.motion * ramp(dt_s)[:, :, None], 1, 2)  # (T, 2, 3): what each output adds, along and across
    target = correction.frame.to_track(innovation.residual)
    noise = np.einsum("tii->t", innovation.covariance)[:, None] / 2
    carried = np.einsum("tdij,tdj->tdi", covariance, row)
    gain = carried / (np.einsum("tdi,tdi->td", row, carried) + noise)[..., None]
    off = np.clip(target - np.einsum("tdi,tdi->td", row, value), -3 * noise**0.5, 3 * noise**0.5)
    return Gains(value + gain * off[..., None], covariance - np.einsum("tdi,tdj->tdij", gain, carried))
