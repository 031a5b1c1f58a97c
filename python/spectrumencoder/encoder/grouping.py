# SPDX-License-Identifier: GPL-3.0-or-later
"""Collects consecutive frames with the same settings into groups, and encodes groups into PDUs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from . import features
from .pdu import step_index, step_of
from .quantise import Codec, Group

if TYPE_CHECKING:
    from .engine import EncodedFrames

GROUP_RANGE = (16, 64)


@dataclass(frozen=True)
class Place:
    """A frame's place in the stream.

    Attributes:
        frame_start: number of its first sample.
        frame_hop: samples to the next frame.
        rx_rate: sample rate, Hz.
        rx_freq: centre frequency, Hz; None if unknown.
        rx_time: POSIX s of its first sample; None if unknown.
        band: name of the band.
        variant: name of the variant that encoded it.
    """

    frame_start: int
    frame_hop: int
    rx_rate: float
    rx_freq: float | None
    rx_time: float | None
    band: str
    variant: str

    def following(self) -> Place:
        """The place of the next frame if the stream continues without a break."""
        time = None if self.rx_time is None else self.rx_time + self.frame_hop / self.rx_rate
        return replace(self, frame_start=self.frame_start + self.frame_hop, rx_time=time)

    def continues(self, other: Place) -> bool:
        """Whether a frame at `other` follows this one without a break. Times may differ by half a sample's rounding."""
        expected = self.following()
        if (expected.rx_time is None) != (other.rx_time is None):
            return False
        late = 0.0 if expected.rx_time is None else abs(expected.rx_time - other.rx_time)
        return replace(expected, rx_time=None) == replace(other, rx_time=None) and late < max(0.5 / self.rx_rate, 1e-6)


class GroupBuilder:
    """Collects frames and gives a PDU when a group is full or a break ends it.

    Args:
        codec: codec of the model that encodes the frames.
        size: frames in a full group, 16..64.
        step: step of the quantiser, dB.
        detail: whether to code wavelet detail, see `Codec`.

    Raises:
        ValueError: size or step is out of range.
    """

    def __init__(self, codec: Codec, size: int, step: float, detail: bool = True):
        low, high = GROUP_RANGE
        if not low <= size <= high:
            raise ValueError(f"a group of {size} frames is outside {low}..{high}")
        self.codec, self.size, self.detail = codec, int(size), bool(detail)
        self.set_step(step)
        self._frames: list[tuple] = []
        self._places: list[Place] = []

    @property
    def step(self) -> float:
        """The step in use, dB: the one nearest to the requested step that a PDU can state."""
        return step_of(self._step)

    def set_step(self, step: float) -> None:
        """Set the step, in dB, from the next PDU on. Raises ValueError if it is out of range."""
        self._step = step_index(float(step))

    def add(self, encoded: EncodedFrames, level: np.ndarray, side: np.ndarray, places: list[Place]) -> list[bytes]:
        """Add frames and return the PDUs that they complete. A frame with non-finite values is left out and ends its group.

        Args:
            encoded: output of the engine. The label is the class with the largest probability.
            level: (F, N) dB over the floor.
            side: (F, 3) side values.
            places: place of each frame.
        """
        out = []
        probabilities = encoded.features[:, features.PROBABILITIES][:, :len(self.codec.labels)]
        finite = np.isfinite(encoded.latents).all(axis=(1, 2))
        for values in (level, side, probabilities):
            finite &= np.isfinite(values).all(axis=1)
        for index, place in enumerate(places):
            if self._places and not (finite[index] and self._places[-1].continues(place)):
                out += self.flush()
            if not finite[index]:
                continue
            self._frames.append((encoded.latents[index].copy(), level[index].copy(), float(side[index, 0]), int(side[index, 1]),
                                 probabilities[index].copy()))
            self._places.append(place)
            if len(self._places) == self.size:
                out += self.flush()
        return out

    def flush(self) -> list[bytes]:
        """The PDU of the collected frames, in a list; an empty list if there are none."""
        frames, places, self._frames, self._places = self._frames, self._places, [], []
        if not frames:
            return []
        latents, level, floor, average, probabilities = zip(*frames, strict=True)
        by_class = np.stack(probabilities)
        label, confidence = (by_class.argmax(axis=1), by_class.max(axis=1)) if self.codec.labels else (None, None)
        first = places[0]
        group = Group(np.stack(latents), np.stack(level), np.array(floor), average, first.variant, first.band, first.frame_start,
                      first.frame_hop, first.rx_rate, first.rx_freq, first.rx_time, label, confidence)
        return [self.codec.encode(group, step=self.step, detail=self.detail)]

    def clear(self) -> None:
        """Forget the collected frames."""
        self._frames, self._places = [], []
