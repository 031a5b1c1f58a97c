# SPDX-License-Identifier: GPL-3.0-or-later
"""Interacting multiple models (Blom and Bar-Shalom 1988) over many tracks at once.

All models share the state [position (D), velocity (D), acceleration (D)] of ``motion_models``, so that mixing needs no maps
between them. Functions take and return whole banks of tracks and change nothing in place. A bank of one is a filter of one
target. Measurements are positions (D,).

Shape letters: T tracks, M models, D axes (1 or 2), S = 3 D state.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .motion_models import MotionModel, turn_rate

_MIN_PROBABILITY = 1e-6
_MAX_STEP_S = 5.0  # a longer prediction is made of several steps, so that models can change on the way
_MAX_STEPS = 12


class ImmState(NamedTuple):
    """A bank: mean (T, M, S), covariance (T, M, S, S), probability (T, M) of the models."""

    mean: np.ndarray
    covariance: np.ndarray
    probability: np.ndarray

    def take(self, rows) -> ImmState:
        """The tracks `rows` alone."""
        return ImmState(self.mean[rows], self.covariance[rows], self.probability[rows])

    def put(self, rows, other: ImmState):
        """Writes `other` over the tracks `rows`."""
        for mine, its in zip(self, other, strict=True):
            mine[rows] = its

    @staticmethod
    def join(banks) -> ImmState:
        return ImmState(*(np.concatenate(parts) for parts in zip(*banks, strict=True)))


class Innovation(NamedTuple):
    """The innovation of one update, of the mixture of models.

    residual (T, D), its covariance (T, D, D), its squared Mahalanobis distance2 (T,), and log_likelihood (T,) of the measurement.
    """

    residual: np.ndarray
    covariance: np.ndarray
    distance2: np.ndarray
    log_likelihood: np.ndarray


class Imm:
    """Prediction, update and mixing of a bank.

    Args:
        models: at least one; `ct` needs D = 2.
        dimensions: D.
        start_speed_mps: standard deviation of the velocity, per axis, of a target seen once.

    Raises:
        ValueError: D is neither 1 nor 2, or the models do not go with it.
    """

    def __init__(self, models: tuple[MotionModel, ...], dimensions: int, start_speed_mps: float = 150.0):
        if dimensions not in (1, 2):
            raise ValueError(f"an IMM has 1 or 2 axes, not {dimensions}")
        if not models or (dimensions == 1 and any(model.kind == "ct" for model in models)):
            raise ValueError("an IMM needs a model, and a turn needs two axes")
        self.models, self.dimensions, self.start_speed_mps = tuple(models), dimensions, float(start_speed_mps)
        self._rates, self._vectors, self._inverse, self._stationary = _switching(self.models)

    def start(self, position_m: np.ndarray, covariance_m2: np.ndarray) -> ImmState:
        """Tracks seen once, at positions (T, D) with covariances (T, D, D)."""
        n, d, m = len(position_m), self.dimensions, len(self.models)
        mean = np.zeros((n, m, 3 * d))
        covariance = np.zeros((n, m, 3 * d, 3 * d))
        mean[:, :, :d] = position_m[:, None]
        covariance[:, :, :d, :d] = covariance_m2[:, None]
        axis = np.arange(d)
        covariance[:, :, d + axis, d + axis] = self.start_speed_mps**2
        for number, model in enumerate(self.models):
            covariance[:, number, 2 * d + axis, 2 * d + axis] = model.acceleration_mps2**2
        return ImmState(mean, covariance, np.tile(self._stationary, (n, 1)))

    def predict(self, state: ImmState, dt_s: np.ndarray) -> ImmState:
        """The bank dt_s (T,) later. Each track goes in steps of at most 5 s, at most 12 of them; a step of 0 changes nothing."""
        dt_s = np.asarray(dt_s, float)
        n_steps = np.clip(np.ceil(dt_s / _MAX_STEP_S), 0, _MAX_STEPS).astype(int)
        step = dt_s / np.maximum(n_steps, 1)
        for k in range(n_steps.max(initial=0)):
            rows = np.flatnonzero(n_steps > k)
            if len(rows) == len(dt_s):
                state = self._step(state, step)
                continue
            if k == 0:
                state = state.take(np.arange(len(dt_s)))
            state.put(rows, self._step(state.take(rows), step[rows]))
        return state

    def update(self, state: ImmState, position_m: np.ndarray, covariance_m2: np.ndarray) -> tuple[ImmState, Innovation]:
        """Takes positions (T, D) with covariances (T, D, D): one Kalman update per model, then Bayes on the models."""
        d = self.dimensions
        residual = position_m[:, None] - state.mean[..., :d]  # (T, M, D)
        cross = state.covariance[..., :d]  # (T, M, S, D)
        s = state.covariance[..., :d, :d] + covariance_m2[:, None]
        inverse, determinant = _inverse(s)
        gain = cross @ inverse
        mean = state.mean + (gain @ residual[..., None])[..., 0]
        covariance = state.covariance - gain @ np.swapaxes(cross, -1, -2)
        covariance = (covariance + np.swapaxes(covariance, -1, -2)) / 2
        distance2 = np.einsum("tmi,tmij,tmj->tm", residual, inverse, residual)
        log_likelihood = -0.5 * (distance2 + np.log(determinant) + d * np.log(2 * np.pi))
        joint = np.log(state.probability) + log_likelihood
        top = joint.max(axis=1, keepdims=True)
        weight = np.exp(joint - top)
        total = weight.sum(axis=1, keepdims=True)
        probability = np.maximum(weight / total, _MIN_PROBABILITY)
        updated = ImmState(mean, covariance, probability / probability.sum(axis=1, keepdims=True))
        return updated, self._innovation(state, residual, s, (top + np.log(total))[:, 0])

    def combined(self, state: ImmState) -> tuple[np.ndarray, np.ndarray]:
        """Mean (T, S) and covariance (T, S, S) of the mixture."""
        mean = np.einsum("tm,tms->ts", state.probability, state.mean)
        spread = state.mean - mean[:, None]
        covariance = np.einsum("tm,tmij->tij", state.probability, state.covariance)
        return mean, covariance + np.einsum("tm,tmi,tmj->tij", state.probability, spread, spread)

    def measured(self, state: ImmState, covariance_m2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (T, D) and covariance (T, D, D) that a measurement of covariance (D, D) or (T, D, D) is expected to have."""
        mean, covariance = self.combined(state)
        d = self.dimensions
        return mean[:, :d], covariance[:, :d, :d] + covariance_m2

    def _innovation(self, state, residual, s, log_likelihood) -> Innovation:
        mixed = np.einsum("tm,tmd->td", state.probability, residual)
        spread = residual - mixed[:, None]
        covariance = np.einsum("tm,tmij->tij", state.probability, s)
        covariance = covariance + np.einsum("tm,tmi,tmj->tij", state.probability, spread, spread)
        inverse, _ = _inverse(covariance)
        return Innovation(mixed, covariance, np.einsum("ti,tij,tj->t", mixed, inverse, mixed), log_likelihood)

    def _step(self, state: ImmState, dt: np.ndarray) -> ImmState:
        mixed = self._mix(state, dt)
        mean, covariance = np.empty_like(mixed.mean), np.empty_like(mixed.covariance)
        for number, model in enumerate(self.models):
            turn = turn_rate(mixed.mean[:, number], self.dimensions) if model.kind == "ct" else dt
            f, q = model.transition(np.maximum(dt, 1e-9), turn)
            mean[:, number] = _apply(f, mixed.mean[:, number], self.dimensions)
            covariance[:, number] = self._carry(f, q, mixed.covariance[:, number])
            if model.along != 1 and self.dimensions == 2:
                heading = _heading(mixed.mean[:, number], mixed.covariance[:, number])
                covariance[:, number] += (model.along - 1) * np.einsum("tab,tij->taibj", q, heading).reshape(-1, 6, 6)
        still = dt <= 0
        if still.any():
            mean[still], covariance[still] = state.mean[still], state.covariance[still]
            mixed.probability[still] = state.probability[still]
        return ImmState(mean, covariance, mixed.probability)

    def _mix(self, state: ImmState, dt: np.ndarray) -> ImmState:
        if len(self.models) == 1:
            return ImmState(state.mean, state.covariance, state.probability.copy())
        switch = self._transition(dt)  # (T, from, to)
        joint = state.probability[:, :, None] * switch
        probability = np.maximum(joint.sum(axis=1), _MIN_PROBABILITY)
        weight = joint / probability[:, None]  # (T, from, to)
        mean = np.swapaxes(weight, 1, 2) @ state.mean
        spread = state.mean[:, :, None] - mean[:, None]  # (T, from, to, S)
        n, m, size = state.mean.shape
        covariance = (np.swapaxes(weight, 1, 2) @ state.covariance.reshape(n, m, -1)).reshape(n, m, size, size)
        weighted = np.moveaxis(spread * weight[..., None], 1, -1)  # (T, to, S, from)
        covariance = covariance + weighted @ np.moveaxis(spread, 1, 2)
        return ImmState(mean, covariance, probability / probability.sum(axis=1, keepdims=True))

    def _transition(self, dt: np.ndarray) -> np.ndarray:
        """exp(generator dt), (T, M, M)."""
        grown = np.exp(dt[:, None] * self._rates)
        return np.clip(np.einsum("ij,tj,jk->tik", self._vectors, grown, self._inverse).real, 0, 1)

    def _carry(self, f: np.ndarray, q: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """(F x I) P (F x I)' + Q x I."""
        n, d = len(f), self.dimensions
        half = (f @ covariance.reshape(n, 3, -1)).reshape(n, 3 * d, 3 * d)
        full = (f @ np.swapaxes(half, 1, 2).reshape(n, 3, -1)).reshape(n, 3 * d, 3 * d)
        for axis in range(d):
            full[:, axis::d, axis::d] += q
        return full


def _switching(models):
    """Eigen decomposition of the generator of the models' Markov chain, and its stationary probabilities."""
    m = len(models)
    generator = np.zeros((m, m))
    for number, model in enumerate(models):
        generator[number] = model.leave_per_s / max(m - 1, 1)
        generator[number, number] = -model.leave_per_s if m > 1 else 0
    rates, vectors = np.linalg.eig(generator)
    stationary = np.array([1 / model.leave_per_s for model in models])
    return rates, vectors, np.linalg.inv(vectors), stationary / stationary.sum()


def _apply(f: np.ndarray, mean: np.ndarray, dimensions: int) -> np.ndarray:
    return (f @ mean.reshape(len(mean), 3, dimensions)).reshape(mean.shape)


def _heading(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """u u' (T, 2, 2) of the direction of motion u. It fades to 0 as the velocity falls to its error."""
    velocity = mean[:, 2:4]
    spread = covariance[:, 2, 2] + covariance[:, 3, 3]
    return np.einsum("ti,tj->tij", velocity, velocity) / (np.einsum("ti,ti->t", velocity, velocity) + spread)[:, None, None]


def _inverse(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse and determinant of (..., D, D), D = 1 or 2."""
    if matrix.shape[-1] == 1:
        return 1 / matrix, matrix[..., 0, 0]
    a, b, c, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 0], matrix[..., 1, 1]
    determinant = a * d - b * c
    inverse = np.empty_like(matrix)
    inverse[..., 0, 0], inverse[..., 0, 1], inverse[..., 1, 0], inverse[..., 1, 1] = d, -b, -c, a
    return inverse / determinant[..., None, None], determinant
