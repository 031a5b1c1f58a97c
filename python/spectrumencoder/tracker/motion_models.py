# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion models that share one state: position, velocity and acceleration of each axis.

A model is a transition of one axis, F (3, 3), the same for every axis, with process noise Q (3, 3):

* `cv`, constant velocity: white acceleration of spectral density q (m2/s3). The acceleration in its state carries no memory: it
  is redrawn from N(0, acceleration_mps2^2) at every step. When mixing hands this state to another model, a manoeuvre starts
  there.
* `ca`, acceleration that fades with a time constant (Singer 1970; a long one is constant acceleration), kept up by white
  noise to the standard deviation acceleration_mps2.
* `ct`, coordinated turn: the velocity turns at the rate omega = |v x a| / |v|^2 of the estimate, so that a' = -omega^2 v
  (Bar-Shalom, Li, Kirubarajan 2001, ch. 11.7, the planar constant-turn model with acceleration in the state); white jerk of
  spectral density q (m2/s5). On a single axis there is no turn, and the model is not used.

Shape letters: T tracks, D axes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(5)
KINDS = ("cv", "ca", "ct")
_MAX_TURN_RADPS = 0.6  # beyond what a fix a second can follow; keeps the linearisation sane


@dataclass(frozen=True)
class MotionModel:
    """One model of the IMM.

    Attributes:
        kind: "cv", "ca" or "ct".
        noise: q, in m2/s3 for cv and m2/s5 for ct; ca does not use it.
        acceleration_mps2: standard deviation, see the module.
        fade_s: time constant of ca.
        leave_per_s: rate at which a target leaves this model for another.
        along: ratio of the noise along the track to that across it. Errors of time stamps lie along, turns lie across.

    Raises:
        ValueError: a value is out of its range.
    """

    kind: str
    noise: float = 0.0
    acceleration_mps2: float = 3.0
    fade_s: float = 20.0
    leave_per_s: float = 0.05
    along: float = 1.0

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"motion model {self.kind!r} is not one of {', '.join(KINDS)}")
        for name in ("acceleration_mps2", "fade_s", "leave_per_s", "along"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} {getattr(self, name)} of a motion model must be positive")
        if not self.noise >= 0:
            raise ValueError(f"noise {self.noise} of a motion model must not be negative")

    def transition(self, dt_s: np.ndarray, turn_radps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """F and Q, (T, 3, 3) each, over the steps dt_s (T,). Only ct uses turn_radps (T,)."""
        return getattr(self, f"_{self.kind}")(dt_s, turn_radps)

    def _cv(self, dt, _turn):
        f, q = _zeros(dt), _zeros(dt)
        f[:, 0, 0] = f[:, 1, 1] = 1
        f[:, 0, 1] = dt
        q[:, 0, 0], q[:, 1, 1] = self.noise * dt**3 / 3, self.noise * dt
        q[:, 0, 1] = q[:, 1, 0] = self.noise * dt**2 / 2
        q[:, 2, 2] = self.acceleration_mps2**2
        return f, q

    def _ca(self, dt, _turn):
        """Singer's model in closed form; with rate r = 1 / fade_s and x = r dt."""
        r = 1 / self.fade_s
        x = r * dt
        e = np.exp(-x)
        f, q = _zeros(dt), _zeros(dt)
        f[:, 0, 0] = f[:, 1, 1] = 1
        f[:, 0, 1], f[:, 0, 2] = dt, (x - 1 + e) / r**2
        f[:, 1, 2], f[:, 2, 2] = (1 - e) / r, e
        # Q by quadrature of F(u) [0, 0, 1]' [0, 0, 1] F(u)': the closed form loses all its digits at small x
        u = (_NODES[:, None] + 1) / 2 * dt
        column = np.stack([(r * u - 1 + np.exp(-r * u)) / r**2, (1 - np.exp(-r * u)) / r, np.exp(-r * u)])
        density = 2 * r * self.acceleration_mps2**2
        q[:] = density * np.einsum("n,ant,bnt,t->tab", _WEIGHTS / 2, column, column, dt)
        return f, q

    def _ct(self, dt, turn):
        angle = np.minimum(turn, _MAX_TURN_RADPS) * dt
        sin_over, half = np.sinc(angle / np.pi) * dt, np.sinc(angle / (2 * np.pi)) * dt
        turn = angle / dt
        f, q = _zeros(dt), _zeros(dt)
        f[:, 0, 0] = 1
        f[:, 0, 1], f[:, 0, 2] = sin_over, half**2 / 2
        f[:, 1, 1], f[:, 1, 2] = np.cos(angle), sin_over
        f[:, 2, 1], f[:, 2, 2] = -turn * np.sin(angle), np.cos(angle)
        q[:, 0, 0], q[:, 1, 1], q[:, 2, 2] = dt**5 / 20, dt**3 / 3, dt
        q[:, 0, 1] = q[:, 1, 0] = dt**4 / 8
        q[:, 0, 2] = q[:, 2, 0] = dt**3 / 6
        q[:, 1, 2] = q[:, 2, 1] = dt**2 / 2
        return f, q * self.noise


def scaled(models: tuple[MotionModel, ...], process_noise: float) -> tuple[MotionModel, ...]:
    """The models with all noises (densities and squared accelerations) multiplied by a factor."""
    return tuple(replace(model, noise=model.noise * process_noise,
                         acceleration_mps2=model.acceleration_mps2 * process_noise**0.5) for model in models)


def turn_rate(mean: np.ndarray, dimensions: int) -> np.ndarray:
    """Turn rate (T,), rad/s, of means (T, 3 D): |v x a| / |v|^2; 0 on a single axis."""
    if dimensions == 1:
        return np.zeros(len(mean))
    vx, vy, ax, ay = mean[:, 2], mean[:, 3], mean[:, 4], mean[:, 5]
    return np.abs(vx * ay - vy * ax) / np.maximum(vx**2 + vy**2, 1.0)


def _zeros(dt: np.ndarray) -> np.ndarray:
    return np.zeros((len(dt), 3, 3))
