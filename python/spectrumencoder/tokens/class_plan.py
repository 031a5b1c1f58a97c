# SPDX-License-Identifier: GPL-3.0-or-later
"""Which classes a signal can be of at a frequency: the plan is data, ``class_plan.toml``.

A spectrum alone does not tell a remote of 433 MHz from Bluetooth. Its frequency does.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

PLAN_PATH = Path(__file__).with_name("class_plan.toml")
_LOOKALIKE = 0.1  # of a signal that looks like a class which it cannot be: that it is of no class, against another one


@cache
def _places() -> dict[str, tuple[tuple[float, float], ...]]:
    """Class -> (lowest, highest) Hz of the places in which it may be."""
    plan = tomllib.loads(PLAN_PATH.read_text(encoding="utf-8"))["places"]
    return {name: tuple((low * 1e6, high * 1e6) for low, high in ranges) for name, ranges in plan.items()}


def may_be(label: str, freq_hz: float | None) -> bool:
    """Whether a signal of a class may be at a frequency (Hz). None: a frequency that is not known."""
    return freq_hz is None or label not in _places() or any(low <= freq_hz <= high for low, high in _places()[label])


def possible(probabilities: np.ndarray, labels: Sequence[str], freq_hz: float | None, unknown: int | None = None) -> np.ndarray:
    """The probabilities of classes, without those that cannot be at this frequency.

    Args:
        probabilities: (..., C), to any scale. labels: names of the first of them; those after are of no class.
        freq_hz: of the signal; None: not known, and all stay as they are.
        unknown: index of `unknown signal`. A tenth of what cannot be goes to it, and all is scaled to the sum from before:
            something that surely looks like an impossible class is none of the others either. None: there is no such class,
            and the others stay as they are.
    """
    out = [n for n, label in enumerate(labels) if not may_be(label, freq_hz)]
    if not out:
        return probabilities
    left = np.array(probabilities, np.float64)
    total, gone = left.sum(axis=-1, keepdims=True), left[..., out].sum(axis=-1)
    left[..., out] = 0.0
    if unknown is None:
        return left
    left[..., unknown] += _LOOKALIKE * gone
    rest = left.sum(axis=-1, keepdims=True)
    return left * np.divide(total, rest, out=np.zeros_like(rest), where=rest > 0.0)
