# SPDX-License-Identifier: GPL-3.0-or-later
"""Who watches the field bands. A row of ``DETECTORS`` is all that a further detector needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from ...emitters.watcher import EmitterDetector
from ...encoder.engine import Engine
from .alerts import Alert
from .bands import FieldBand
from .places import MaxHold, PcaResidual
from .tails import Dspot, GpdTail, OnlineConformal
from .watchers import Boxes, Ours, Settings

_JUDGED = ("evaluate/field/bands.py", "evaluate/field/alerts.py", "evaluate/field/matching.py")
_PLACES = (*_JUDGED, "evaluate/field/places.py")
_TAILS = (*_PLACES, "evaluate/field/tails.py")
_OURS = (*_JUDGED, "evaluate/field/watchers.py", "detector", "encoder", "tokens")


class FieldDetector(Protocol):
    """A detector at several operating points, all of which watch the same frames.

    Attributes:
        name: in tables. points: its operating points. unit: of the points.
    """

    name: str
    points: tuple[float, ...]
    unit: str

    def learn(self, band: FieldBand, first: int, stop: int) -> None:
        """Learns from frames [first, stop), in which nothing is wrong."""

    def watch(self, band: FieldBand, first: int, stop: int) -> dict[float, list[Alert]]:
        """Alerts of each point in frames [first, stop), which follow those that were learned."""


@dataclass(frozen=True)
class Entry:
    """How a detector is made, and the rooms whose sources decide what it finds (``run`` measures again if they change).

    Attributes:
        default: the point that tables show; None: the best one that stays within a budget of false alerts.
        uses_model: whether it encodes the frames.
        needs: a package that it needs beside those of the experiments.
    """

    make: Callable[[Callable[[], Engine]], FieldDetector]
    sources: tuple[str, ...]
    default: float | None = None
    uses_model: bool = False
    needs: str = ""

    @property
    def missing(self) -> bool:
        """True if a package that it needs is not installed."""
        return bool(self.needs) and find_spec(self.needs) is None


def _emitters(contract: dict, settings: Settings) -> EmitterDetector:
    return EmitterDetector(contract, learn_s=settings["learn_s"], false_events_per_hour=settings["false_events_per_hour"])


DETECTORS: dict[str, Entry] = {
    "emitters": Entry(lambda engine: Ours(engine(), "emitters", _emitters, encoded=False), (*_OURS, "emitters"), default=1.0,
                      uses_model=True),
    "boxes": Entry(lambda engine: Boxes(engine()), _OURS, default=1.0, uses_model=True),
    "max-hold": Entry(lambda engine: MaxHold(), _PLACES),
    "max-hold-8": Entry(lambda engine: MaxHold(4, 8), _PLACES),
    "pca": Entry(lambda engine: PcaResidual(), (*_PLACES, "evaluate/anomaly/baselines.py")),
    "gpd": Entry(lambda engine: GpdTail(), _TAILS),
    "gpd-8": Entry(lambda engine: GpdTail(4, 8), _TAILS),
    "gpd-ends": Entry(lambda engine: GpdTail(ends=True), _TAILS),
    "conformal": Entry(lambda engine: OnlineConformal(), _TAILS),
    "dspot": Entry(lambda engine: Dspot(), _TAILS, needs="libspot"),
}
SUBJECT = "emitters"  # the one that the page is about; all others are rivals
