# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts, and the plain rule by which the exceedances of a detector without a memory become alerts.

A place is ``width`` neighbouring bins. Exceedances of one place, or of places side by side, are one alert if at most ``GAP``
frames lie between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

GAP = 4  # frames


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert.

    Attributes:
        begin, end: frames [begin, end) of what it reports.
        opened: frame after which it was known.
        low, high: bins [low, high).
        kind: of the detector. score: its highest, on the detector's own scale.
        of: number of the emitter that it is of, by which a detector with a memory knows it again; None: it has no memory.
        again: no alert, but a further burst of an emitter for which there was one.
    """

    begin: int
    end: int
    opened: int
    low: float
    high: float
    kind: str = ""
    score: float = 0.0
    of: int | None = None
    again: bool = False


def joined(frame: np.ndarray, place: np.ndarray, score: np.ndarray, width: int) -> list[Alert]:
    """Alerts out of exceedances, in the order of time.

    Args:
        frame, place, score: (E,) of each exceedance, in any order. width: bins in a place.
    """
    if not len(frame):
        return []
    order = np.lexsort((frame, place))
    frame, place, score = frame[order].astype(np.int64), place[order].astype(np.int64), score[order]
    heads = np.flatnonzero(np.concatenate(([True], (np.diff(place) != 0) | (np.diff(frame) > GAP + 1))))
    tails = np.append(heads[1:], len(frame)) - 1
    begin, last, at = frame[heads], frame[tails], place[heads]
    label = _connected(begin, last, at)
    count = int(label.max()) + 1
    first, stop = np.full(count, np.iinfo(np.int64).max), np.zeros(count, np.int64)
    low, high, best = np.full(count, np.iinfo(np.int64).max), np.zeros(count, np.int64), np.full(count, -np.inf)
    np.minimum.at(first, label, begin)
    np.maximum.at(stop, label, last + 1)
    np.minimum.at(low, label, at)
    np.maximum.at(high, label, at + 1)
    np.maximum.at(best, label, np.maximum.reduceat(score, heads))
    return [Alert(int(first[k]), int(stop[k]), int(first[k]) + 1, int(low[k]) * width, int(high[k]) * width, "excess",
                  float(best[k])) for k in np.argsort(first, kind="stable")]


def _connected(begin: np.ndarray, last: np.ndarray, place: np.ndarray) -> np.ndarray:
    """A number (R,) for each run [begin, last] of one place: runs of neighbouring places that touch in time share it.

    Runs are ordered by place, then time; those of one place do not touch.
    """
    base = int(last.max()) + 4 * GAP  # of a place, so that the runs of all places lie on one line
    line = place * base + GAP + 1
    low = np.searchsorted(line + last, line + base + begin - GAP - 1, "left")
    high = np.searchsorted(line + begin, line + base + last + GAP + 1, "right")
    count = np.maximum(high - low, 0)
    one = np.repeat(np.arange(len(begin)), count)
    other = np.arange(len(one)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(low, count)
    edges = coo_matrix((np.ones(len(one), bool), (one, other)), (len(begin), len(begin)))
    return connected_components(edges, directed=False)[1]
