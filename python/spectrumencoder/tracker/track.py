# SPDX-License-Identifier: GPL-3.0-or-later
"""One position track: how it is described to others, and what the tracker knows of it besides its row in the bank."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from .estimate import Estimate
from .fix import Fix
from .impossible import MotionWatch, TrackAnomaly

TENTATIVE, CONFIRMED = "tentative", "confirmed"
_MAX_ANOMALY_IDS = 32


@dataclass(frozen=True)
class Track:
    """A track at one moment.

    Attributes:
        id: name of the track, unique within one tracker.
        state: tentative or confirmed.
        age_s: time since the first fix.
        updated_s: time of the last fix, POSIX.
        hits: number of fixes used.
        identity: name that the target reports; None if it reports none.
        source: source of the last fix.
        probability: (M,), of the horizontal motion models.
        estimate: position and velocity.
        anomaly_ids: events of the emissions by which the target was heard.
        anomaly: the last impossible motion; None before any.
    """

    id: str
    state: str
    age_s: float
    updated_s: float
    hits: int
    identity: str | None
    source: str
    probability: np.ndarray
    estimate: Estimate
    anomaly_ids: tuple[str, ...] = ()
    anomaly: TrackAnomaly | None = None


@dataclass
class TrackEntry:
    """A live track without its filter.

    Attributes:
        row: its row in the bank.
        born_s: time of the first fix.
        fix: the last fix.
        missed: number of scans in a row without a fix of this track.
        chances: for each of the last scans, whether it held a fix of this track.
        watch: impossible reports that wait for a verdict.
        moments: fixes to which late reports go back, oldest first (``reorder.Moment``).

    The others are those of ``Track``.
    """

    id: str
    row: int
    born_s: float
    fix: Fix
    identity: str | None
    state: str = TENTATIVE
    hits: int = 1
    missed: int = 0
    chances: deque = field(default_factory=lambda: deque([True]))
    watch: MotionWatch = field(default_factory=MotionWatch)
    moments: deque = field(default_factory=deque)
    anomaly_ids: deque = field(default_factory=lambda: deque(maxlen=_MAX_ANOMALY_IDS))
    anomaly: TrackAnomaly | None = None

    def hit(self, fix: Fix) -> None:
        """Notes a fix that the filter has taken."""
        self.hits += 1
        self.missed = 0
        self.fix = fix
        self.chances.append(True)
        if self.identity is None:
            self.identity = fix.identity
        self.note_anomaly(fix.anomaly_id)

    def miss(self) -> None:
        """Notes a scan without a fix of this track."""
        self.chances.append(False)
        self.missed += 1

    def note_anomaly(self, anomaly_id: str | None) -> None:
        """Notes the event of an emission of this target, once."""
        if anomaly_id is not None and anomaly_id not in self.anomaly_ids:
            self.anomaly_ids.append(anomaly_id)

    def confirm(self, hits: int, scans: int) -> None:
        """Confirms the track if it has `hits` fixes in its last `scans` scans."""
        while len(self.chances) > scans:
            self.chances.popleft()
        if self.state == TENTATIVE and sum(self.chances) >= hits:
            self.state = CONFIRMED
