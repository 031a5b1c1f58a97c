# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports that come late: each goes into the past of its track, and what came after it is filtered again.

A track keeps the moments of its last fixes, with the filter after each. A late report goes back to the moment before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .fix import Fix
from .track import CONFIRMED, TrackEntry
from .track_bank import Positions, Snapshot, TrackBank

USED, LATE, DUPLICATE = "used", "late", "duplicate"


@dataclass(frozen=True)
class Moment:
    """A fix that a track has taken, and the track's row in the bank after it."""

    fix: Fix
    after: Snapshot


def remember(bank: TrackBank, entries: Sequence[TrackEntry], fixes: Sequence[Fix], reorder_s: float) -> None:
    """Keeps the moment of each track's newest fix, and forgets those to which no report may go back any more."""
    snapshots = bank.snapshot(np.array([entry.row for entry in entries]))
    for entry, fix, after in zip(entries, fixes, snapshots, strict=True):
        moments = entry.moments
        moments.append(Moment(fix, after))
        oldest_s = fix.time_s - reorder_s
        while len(moments) > 1 and moments[1].fix.time_s <= oldest_s:
            moments.popleft()


def before(moments: Sequence[Moment], time_s: float, reorder_s: float) -> int | None:
    """Number of the last moment that is not after a time; None if that time is out of reach."""
    if time_s < moments[-1].fix.time_s - reorder_s:
        return None
    return max((k for k, moment in enumerate(moments) if moment.fix.time_s <= time_s), default=None)


def distance2(bank: TrackBank, moment: Moment, fix: Fix) -> float:
    """Squared Mahalanobis distance, horizontal, of a fix from where a track was going at an earlier moment."""
    ahead = bank.imm.predict(moment.after.horizontal, np.array([fix.time_s - moment.fix.time_s]))
    mean, s = bank.imm.measured(ahead, fix.covariance_m2[:2, :2])
    off = fix.position_m[:2] - mean[0]
    return float(off @ np.linalg.solve(s[0], off))


def closest(bank: TrackBank, entries: Iterable[TrackEntry], fix: Fix, gate2: float, reorder_s: float) -> TrackEntry | None:
    """The confirmed track that was nearest to a late fix; None if it falls into no gate."""
    best = None
    for entry in entries:
        number = before(entry.moments, fix.time_s, reorder_s)
        if number is None or entry.state != CONFIRMED or entry.moments[number].fix.time_s == fix.time_s:
            continue
        if fix.identity is not None and entry.identity is not None:
            continue
        off = distance2(bank, entry.moments[number], fix)
        if off <= gate2 and (best is None or off < best[0]):
            best = (off, entry)
    return None if best is None else best[1]


def late(bank: TrackBank, entry: TrackEntry, fix: Fix, gate2: float, reorder_s: float) -> str:
    """Puts a fix into the past of its track: USED, or why not: LATE (too old, or outside the gate) or DUPLICATE."""
    number = before(entry.moments, fix.time_s, reorder_s)
    if number is None:
        return LATE
    if entry.moments[number].fix.time_s == fix.time_s:
        return DUPLICATE
    if distance2(bank, entry.moments[number], fix) > gate2:
        return LATE
    replay(bank, entry, number, fix, reorder_s)
    return USED


def replay(bank: TrackBank, entry: TrackEntry, number: int, fix: Fix, reorder_s: float) -> None:
    """Takes a track back to a moment, then filters a fix and all that came after it."""
    moments = list(entry.moments)
    entry.moments = deque(moments[:number + 1])
    bank.put_back(entry.row, moments[number].after)
    for one in (fix, *(moment.fix for moment in moments[number + 1:])):
        bank.update(np.array([entry.row]), one.time_s, Positions.of([one]))
        remember(bank, [entry], [one], reorder_s)
