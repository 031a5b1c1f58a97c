# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames as the detector takes them, in order, with all that is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Rows(NamedTuple):
    """Some frames, or one.

    Attributes:
        psd: (F, N) dBFS. residual: (F, N). features: (F, 256). starts: (F,) first samples.
        tokens: (F, M, L + 1) class probabilities, as ``box_classes.BoxClasses.read`` gives them.
    """

    psd: np.ndarray
    residual: np.ndarray
    features: np.ndarray
    starts: np.ndarray
    tokens: np.ndarray

    def part(self, which: slice | np.ndarray) -> Rows:
        """Some of the frames."""
        return Rows(*(column[which] for column in self))

    @property
    def count(self) -> int:
        """F."""
        return len(self.psd)

    def copies(self) -> list[Rows]:
        """Each frame by itself, which shares no memory with the others."""
        return [Rows(*(np.array(column[n]) for column in self)) for n in range(self.count)]

    @classmethod
    def join(cls, frames: Sequence[Rows]) -> Rows:
        """Frames by themselves as some frames."""
        return cls(*(np.stack(column) for column in zip(*frames, strict=True)))
