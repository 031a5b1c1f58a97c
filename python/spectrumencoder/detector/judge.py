# SPDX-License-Identifier: GPL-3.0-or-later
"""How a frame was judged, for those frames of which somebody asks: what in it speaks for its score, and where."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .box_search import BOX_CHANNELS
from .calibrate import Table
from .events import Frame, Sighting
from .regions import LEVEL, MISSING, Region, find_regions, scan_regions, strongest_excess
from .scores import FLOOR, HEAD, MODEL, WINDOWS
from .threat_types import occupied_bins

MEAN_SQUARE = "mean_square"  # analysis_type of the fixed threshold
MARGIN = 1e-4  # relative: a region must not be lost to rounding when its frame was flagged
_UNIT = {name: (0.0, 1.0) for name in WINDOWS}


class Part(NamedTuple):
    """Frames of one table that were judged at once: their numbers (F,), thresholds (F,), and as of TableJudge."""

    numbers: np.ndarray
    thresholds: np.ndarray
    opening: float
    table: Table
    rows: dict[int, np.ndarray]  # place of a flagged frame -> (HISTORY + 1, P), where a band was learned
    curve: np.ndarray


class Parts(list):
    """Those of one batch: of most frames nobody asks how they were judged."""

    def judge_of(self, frame: int) -> TableJudge:
        part = next(p for p in self if p.numbers[0] <= frame <= p.numbers[-1] and frame in p.numbers)
        place = int(np.searchsorted(part.numbers, frame))
        return TableJudge(float(part.thresholds[place]), part.opening, part.table, part.rows.get(place), part.curve)


class FixedJudge(NamedTuple):
    """Places what the fixed threshold has flagged."""

    threshold: float
    opening: float = -np.inf

    def deviation(self, residual, level):
        return residual

    def occupied(self):
        return None

    def locate(self, frame: Frame, score: float) -> list[Sighting]:
        return [Sighting(strongest_excess(frame.standard, _UNIT, score, MEAN_SQUARE), None)]


class TableJudge(NamedTuple):
    """Places what a conformal table has flagged."""

    threshold: float
    opening: float
    table: Table
    rows: np.ndarray | None  # (HISTORY + 1, P) of the band's boxes, the frame's own the last
    curve: np.ndarray  # of the band's drift, dB

    def deviation(self, residual, level):
        return self.table.deviation(residual, level - self.curve)

    def occupied(self):
        return None if self.table.band is None else occupied_bins(self.table.band)

    def locate(self, frame: Frame, score: float) -> list[Sighting]:
        """The regions that speak for a flagged frame's score, each with its own p-value; none where all that does is over."""
        table = self.table
        normalisers = {c: (float(m), float(s)) for c, m, s in zip(table.channels, table.median, table.spread, strict=True)}
        limit = self.threshold - MARGIN * abs(self.threshold)
        shown = 0.0  # by the boxes of a learned band
        if table.scan is None:
            regions = find_regions(frame.standard, normalisers, limit)
        else:
            regions = scan_regions(table.scan, self.rows, normalisers, limit)
            values = table.scan.maxima(self.rows)[0]
            shown = max((float(v) - normalisers[c][0]) / normalisers[c][1] for c, v in zip(BOX_CHANNELS, values, strict=True)
                        if c in normalisers)
            if not regions and shown <= limit:  # what is usual on this band, and yet not what the model expected
                window_of = {MODEL[c]: c for c in normalisers if c in MODEL}
                regions = [r._replace(channel=window_of[r.channel])
                           for r in find_regions(frame.residual, {w: normalisers[c] for w, c in window_of.items()}, limit)]
        deviation = frame.floor_dbfs - frame.expected_floor_dbfs
        if FLOOR in normalisers:
            median, spread = normalisers[FLOOR]
            level = (abs(deviation) - median) / spread
            if level > limit:
                if deviation > 0:  # a risen floor hides what is there: that is not missing besides
                    regions = [r for r in regions if r.kind != MISSING]
                regions.append(Region(LEVEL, 0, len(frame.standard) - 1, level, FLOOR))
        if not regions and shown <= limit:  # nothing but the head speaks for it
            scales = normalisers if table.scan is None else {w: normalisers[c] for c, w in MODEL.items() if c in normalisers}
            regions = [strongest_excess(frame.standard, scales, score, HEAD)]
        if not regions:
            return []
        p_values = table.p_values(np.array([r.score for r in regions], np.float32))
        return [Sighting(r, float(p)) for r, p in zip(regions, p_values, strict=True)]


Judge = FixedJudge | TableJudge
