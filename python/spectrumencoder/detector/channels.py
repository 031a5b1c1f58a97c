# SPDX-License-Identifier: GPL-3.0-or-later
"""The channels of the anomaly score: what each frame is measured by, and where in frequency a measure speaks.

``CHANNELS`` is the one list. Calibration, tables, fusion, the names in model files and events, and the regions follow it. To
add a channel, write a subclass of ``Channel`` and put an object of it into the list; a new input comes from ``frame_batch``. A
table learned before does not know the new channel and goes on without it.

Shape letters: F frames, N bins, C columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ..encoder import features as layout
from .box_search import BOX_CHANNELS
from .events import Frame
from .frame_batch import FrameBatch
from .regions import LEVEL, MISSING, Region, box_regions, find_regions, strongest_excess
from .windows import UNIT, WINDOWS, residual_maxima


class FlaggedFrame(NamedTuple):
    """One frame whose score was flagged, as ``Channel.locate`` sees it."""

    frame: Frame
    batch: FrameBatch  # this frame alone: what the channels have measured
    shown: dict[str, float]  # standardised value of each channel of the table
    normalisers: dict[str, tuple[float, float]]  # (median, spread) of each channel of the table
    limit: float  # what speaks for the score is above this
    score: float


class Channel(ABC):
    """A measure of frames: one number for each of its names. Its values are calibrated and fused like those of all others.

    Attributes:
        names: of its columns, as in model files and in the ``analysis_type`` of events.
        on_learned, on_other: whether it is measured on bands whose plan was learned, and on others.
        of_head: it is left out if the anomaly head of the model was not trained.
        alone: it is asked for regions only if no channel before it in the list speaks.
        min_spread: lower bound on the 99 % quantile less the median of normal frames.
        counted_as: describes columns that are too many to be named one by one.
    """

    names: tuple[str, ...]
    on_learned = on_other = True
    of_head = alone = False
    min_spread = 0.05
    counted_as = ""

    @abstractmethod
    def values(self, batch: FrameBatch, out: np.ndarray) -> None:
        """Writes its columns, (F, len(names)) float32. A frame's values do not depend on how frames are batched."""

    def spreads(self, spread: np.ndarray) -> np.ndarray:
        """Lower-bounded spreads (C,) of its columns that a table uses."""
        return np.maximum(spread, self.min_spread)

    def locate(self, flagged: FlaggedFrame, found: list[Region]) -> list[Region] | None:
        """Regions of a frame that speak for its score, after those that earlier channels have found.

        Returns:
            `found` with its own; None if it does not speak. A channel without a place in frequency always returns None. If no
            other speaks, its name is given to the largest excess of the residual (``locate``).
        """
        return None


class BoxChannel(Channel):
    """Boxes of bins and frames, each against its own past (``box_search``)."""

    names = tuple(BOX_CHANNELS)
    on_other = False
    counted_as = "sizes of boxes of bins and frames"

    def values(self, batch: FrameBatch, out: np.ndarray) -> None:
        batch.search.maxima(batch.rows, out)

    def spreads(self, spread: np.ndarray) -> np.ndarray:
        spread = super().spreads(spread)
        return np.maximum(spread, 0.5 * np.median(spread))  # one that happened to be quiet must not come to speak for all

    def locate(self, flagged: FlaggedFrame, found: list[Region]) -> list[Region] | None:
        """Boxes of several frames speak for a while after their region is over: then `found` alone is returned."""
        regions = box_regions(flagged.batch.search, flagged.batch.rows, flagged.normalisers, flagged.limit)
        speaks = regions or max(flagged.shown[name] for name in self.names if name in flagged.shown) > flagged.limit
        return found + regions if speaks else None


class WindowChannel(Channel):
    """Moving sums of the model's residual (``windows``). Names: of each window, in the order of ``WINDOWS``."""

    def __init__(self, names: Iterable[str], *, on_learned: bool):
        """With `on_learned` it is measured on bands whose plan was learned, otherwise on the others."""
        self.names = tuple(names)
        self.on_learned, self.on_other, self.alone = on_learned, not on_learned, on_learned
        self._name_of = dict(zip(WINDOWS, self.names, strict=True))

    def values(self, batch: FrameBatch, out: np.ndarray) -> None:
        residual_maxima(batch.residual, out)

    def locate(self, flagged: FlaggedFrame, found: list[Region]) -> list[Region] | None:
        regions = find_regions(flagged.frame.residual, self.normalisers(flagged), flagged.limit)
        return found + [r._replace(channel=self._name_of[r.channel]) for r in regions] if regions else None

    def normalisers(self, flagged: FlaggedFrame) -> dict[str, tuple[float, float]]:
        """(median, spread) of each window that the table uses."""
        return {window: flagged.normalisers[name] for window, name in self._name_of.items() if name in flagged.normalisers}


class HeadChannel(Channel):
    """The anomaly logit that the encoder's head has learned. It has no place in frequency."""

    names = ("head",)
    of_head = True

    def values(self, batch: FrameBatch, out: np.ndarray) -> None:
        out[:, 0] = batch.features[:, layout.LOGIT]


class FloorChannel(Channel):
    """How far the frame's absolute noise floor is from its own slow track, in dB.

    Frames are normalised by their floor before the encoder sees them. Only this channel sees a barrage that raises the whole
    band.
    """

    names = ("floor",)
    min_spread = 0.25  # a receiver of perfectly steady gain must not turn 0.01 dB into an alarm

    def values(self, batch: FrameBatch, out: np.ndarray) -> None:
        np.abs(batch.floor_deviation, out=out[:, 0])

    def locate(self, flagged: FlaggedFrame, found: list[Region]) -> list[Region] | None:
        """The whole band. A risen floor hides what is there: nothing is reported as missing besides."""
        deviation = flagged.frame.floor_dbfs - flagged.frame.expected_floor_dbfs
        median, spread = flagged.normalisers[self.names[0]]
        level = (abs(deviation) - median) / spread
        if not level > flagged.limit:
            return None
        if deviation > 0:
            found = [r for r in found if r.kind != MISSING]
        return [*found, Region(LEVEL, 0, len(flagged.frame.standard) - 1, level, self.names[0])]


RESIDUAL = WindowChannel(WINDOWS, on_learned=False)
MODEL = WindowChannel((f"model_{name.removeprefix('residual_')}" for name in WINDOWS), on_learned=True)
HEAD, FLOOR = HeadChannel(), FloorChannel()
CHANNELS: tuple[Channel, ...] = (BoxChannel(), RESIDUAL, MODEL, HEAD, FLOOR)


def channels_on(learned: bool) -> list[Channel]:
    """The channels that frames of a band are measured by. learned: whether the plan of the band was learned."""
    return [c for c in CHANNELS if (c.on_learned if learned else c.on_other)]


def channel_names(learned: bool, head: bool = True) -> tuple[str, ...]:
    """Names of all columns on such a band. head: whether the model's anomaly head was trained."""
    return tuple(name for c in channels_on(learned) if head or not c.of_head for name in c.names)


class ChannelPlan:
    """The channels that one table uses. Those that it does not use are not measured.

    Args:
        names: of the columns in use, in the order of ``channel_names``. learned: whether the plan of the band was learned.

    Attributes:
        columns: (C,) uint32, of `names` in the result of ``values``.

    Raises:
        ValueError: a name is unknown, or there is none.
    """

    def __init__(self, names: Sequence[str], learned: bool):
        known = channel_names(learned)
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise ValueError(f"conformal table with channels {', '.join(unknown) or 'none'}; known are {', '.join(known)}; "
                             "calibrate again")
        self._names = tuple(names)
        self._parts: list[tuple[Channel, slice]] = []  # and its columns
        self._width, column_of = 0, {}
        for channel in channels_on(learned):
            if not set(channel.names).isdisjoint(names):
                columns = slice(self._width, self._width + len(channel.names))
                self._parts.append((channel, columns))
                column_of |= dict(zip(channel.names, range(columns.start, columns.stop), strict=True))
                self._width = columns.stop
        self.columns = np.array([column_of[name] for name in names], np.uint32)

    def values(self, batch: FrameBatch) -> np.ndarray:
        """All columns (F, all) float32 of the channels in use; ``columns`` says which of them are the table's."""
        out = np.empty((batch.n_frames, self._width), np.float32)
        for channel, columns in self._parts:
            channel.values(batch, out[:, columns])
        return out

    def spreads(self, spread: np.ndarray) -> np.ndarray:
        """Spreads (C,) of the columns in use, with the lower bounds of their channels; float64."""
        spread = np.array(spread, np.float64)
        for channel, _ in self._parts:
            mine = np.array([name in channel.names for name in self._names])
            spread[mine] = channel.spreads(spread[mine])
        return spread

    def locate(self, flagged: FlaggedFrame) -> list[Region]:
        """The regions that speak for a flagged frame's score; none if all that spoke for it is over."""
        found, spoken = [], False
        for channel, _ in self._parts:
            if not (spoken and channel.alone):
                given = channel.locate(flagged, found)
                if given is not None:
                    found, spoken = given, True
        if spoken:
            return found
        scales = next((c.normalisers(flagged) for c, _ in self._parts if isinstance(c, WindowChannel)), UNIT)
        name = max(flagged.shown, key=flagged.shown.get)  # a channel without a place
        return [strongest_excess(flagged.frame.standard, scales, flagged.score, name)]

    def words(self) -> str:
        """The columns in use, in plain language."""
        used = [(c, [name for name in self._names if name in c.names]) for c, _ in self._parts]
        counted = [f"{len(names)} {c.counted_as}, " for c, names in used if c.counted_as]
        named = [name for c, names in used if not c.counted_as for name in names]
        return "".join(counted) + "channels " + ", ".join(named)
