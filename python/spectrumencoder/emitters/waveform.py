# SPDX-License-Identifier: GPL-3.0-or-later
"""How the transmissions of one of the band's own emitters look: width, length, shape of the spectrum, class.

Another waveform in its place is told by rank. If transmissions come in no particular order, the probability that the last k of
n + k are the k most extreme ones is 1 / C(n + k, k) (Lehmann and D'Abrera, Nonparametrics, 1975, section 1.2). No law of widths
or lengths is assumed. So the alert comes with the k-th transmission in a row that goes beyond all before it, in the same way.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

CELLS = 16  # of a place, for the shape of its spectrum
MIN_HEARD = 10  # transmissions before any of them may be another waveform
MIN_BEYOND = {"wider": 0.26, "narrower": 0.26, "longer": 0.69, "shorter": 0.69, "shape": 0.15}  # logarithms, but the shape's
_CLASS = "class "  # and its name: a way in which a transmission may differ
_WAYS = len(MIN_BEYOND) + 1  # in which a transmission may differ, with its class
_SHAPE_AFTER = 5  # transmissions


class Look(NamedTuple):
    """How one transmission looks: logarithms of its width and length, shape (CELLS,) or None, class or None."""

    log_width: float
    log_length: float
    shape: np.ndarray | None = None
    label: str | None = None


@dataclass
class Waveform:
    """What the transmissions of an emitter looked like.

    Attributes:
        heard: their number. width, length: smallest and largest logarithm. strange: largest distance from the mean shape.
        shape: (CELLS,) mean share of the power in each part of the place. classes: how often each was the best.
        odd: ways in which the last ones differ: how many in a row, and how far the farthest of them goes.
    """

    heard: int = 0
    width: list[float] = field(default_factory=lambda: [math.inf, -math.inf])
    length: list[float] = field(default_factory=lambda: [math.inf, -math.inf])
    strange: float = 0.0
    shape: list[float] = field(default_factory=list)
    shapes: int = 0
    classes: Counter = field(default_factory=Counter)
    odd: dict[str, list[float]] = field(default_factory=dict)

    def take(self, look: Look, probability: float) -> str | None:
        """Takes a transmission. Returns how the last ones differ from all before them, if chance would do that too rarely.

        Args:
            probability: with which a transmission may be called another waveform though it is none. 0: it is learned.
        """
        odd = self._odd(look) if self.heard >= MIN_HEARD and probability > 0.0 else {}
        for way in [way for way in self.odd if way not in odd]:  # it was chance: such ones happen
            self._know(way, self.odd.pop(way)[1])
        for way, value in odd.items():
            row = self.odd.setdefault(way, [0, value])
            row[0] += 1
            row[1] = max(row[1], value) if way in ("wider", "longer", "shape") else min(row[1], value)
        if not odd:
            self._learn(look)
            return None
        needed = in_a_row(self.heard, probability / _WAYS)
        found = next((way for way, (count, _) in self.odd.items() if count >= needed), None)
        if found is not None:
            for way in list(self.odd):
                self._know(way, self.odd.pop(way)[1])
        return found

    def _odd(self, look: Look) -> dict[str, float]:
        """The ways in which a transmission goes beyond all before it, with its value."""
        beyond = {"wider": (look.log_width - self.width[1], look.log_width),
                  "narrower": (self.width[0] - look.log_width, look.log_width),
                  "longer": (look.log_length - self.length[1], look.log_length),
                  "shorter": (self.length[0] - look.log_length, look.log_length)}
        if look.shape is not None and self.shapes >= MIN_HEARD:
            distance = self._distance(look.shape)
            beyond["shape"] = distance - self.strange, distance
        odd = {way: value for way, (far, value) in beyond.items() if far > MIN_BEYOND[way]}
        if look.label is not None and self.classes.total() >= MIN_HEARD and not self.classes[look.label]:
            odd[_CLASS + look.label] = 0.0
        return odd

    def _distance(self, shape: np.ndarray) -> float:
        """Half of the sum of differences of the shares: 0 to 1."""
        return 0.5 * float(np.abs(np.array(self.shape) - shape).sum())

    def _learn(self, look: Look):
        self.heard += 1
        for known, value in ((self.width, look.log_width), (self.length, look.log_length)):
            known[:] = min(known[0], value), max(known[1], value)
        if look.label is not None:
            self.classes[look.label] += 1
        if look.shape is None:
            return
        if self.shapes >= _SHAPE_AFTER:
            self.strange = max(self.strange, self._distance(look.shape))
        mean = np.array(self.shape) if self.shape else np.zeros(CELLS)
        self.shapes += 1
        self.shape = (mean + (look.shape - mean) / self.shapes).tolist()

    def _know(self, way: str, value: float):
        """What a transmission showed may happen again."""
        if way in ("wider", "narrower"):
            self.width[:] = min(self.width[0], value), max(self.width[1], value)
        elif way in ("longer", "shorter"):
            self.length[:] = min(self.length[0], value), max(self.length[1], value)
        elif way == "shape":
            self.strange = max(self.strange, value)
        else:
            self.classes[way.removeprefix(_CLASS)] += 1

    def forget_classes(self):
        """Forgets the classes, which are of another model."""
        self.classes = Counter()
        self.odd = {way: row for way, row in self.odd.items() if not way.startswith(_CLASS)}

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON takes them."""
        return {"heard": self.heard, "width": self.width if self.heard else None, "length": self.length if self.heard else None,
                "strange": self.strange, "shape": list(self.shape), "shapes": self.shapes, "classes": dict(self.classes),
                "odd": {way: list(row) for way, row in self.odd.items()}}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Waveform:
        """What ``as_dict`` made a dict of. Raises KeyError, TypeError, ValueError: a field is missing or of another kind."""
        known = {name: [float(end) for end in row[name]] for name in ("width", "length") if row[name] is not None}
        shape = [float(share) for share in row["shape"]]
        if len(shape) not in (0, CELLS):
            raise ValueError(f"the shape of a waveform has {len(shape)} parts of {CELLS}")
        return cls(heard=int(row["heard"]), strange=float(row["strange"]), shape=shape, shapes=int(row["shapes"]),
                   classes=Counter({str(name): int(n) for name, n in row["classes"].items()}),
                   odd={str(way): [int(count), float(value)] for way, (count, value) in row["odd"].items()}, **known)


def in_a_row(heard: int, probability: float) -> int:
    """The smallest k for which 1 / C(heard + k, k) is at most `probability`."""
    k, ways = 0, 1.0
    while ways * probability < 1.0:
        k += 1
        ways *= (heard + k) / k
    return max(k, 2)
