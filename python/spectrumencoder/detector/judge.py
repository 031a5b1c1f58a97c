# SPDX-License-Identifier: GPL-3.0-or-later
"""Judgements of frames: scores, p-values and flags of a batch, and for the few frames that matter the regions behind a flag.

Shape letters: F frames, N bins, P boxes of one frame, C columns of channel values.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .channels import FlaggedFrame
from .events import Frame, Sighting
from .frame_batch import FrameBatch
from .regions import strongest_excess
from .table import Table
from .threat_types import occupied_bins
from .windows import UNIT

MEAN_SQUARE = "mean_square"  # analysis_type of the fixed threshold
MARGIN = 1e-4  # relative: a region must not be lost to rounding when its frame was flagged


class FixedJudge(NamedTuple):
    """Places a frame that the fixed threshold has flagged."""

    threshold: float
    opening: float = -np.inf

    def deviation(self, residual: np.ndarray, level: np.ndarray) -> np.ndarray:
        """(N,) in units of what each bin does: the model's residual (N,)."""
        return residual

    def occupied(self) -> None:
        """No plan of the band is known."""
        return None

    def locate(self, frame: Frame, score: float) -> list[Sighting]:
        """The largest excess of the residual."""
        return [Sighting(strongest_excess(frame.standard, UNIT, score, MEAN_SQUARE), None)]


class Part(NamedTuple):
    """F frames that one table has judged at once."""

    numbers: np.ndarray  # (F,) in the batch of the detector, ascending
    thresholds: np.ndarray  # (F,)
    opening: float
    table: Table
    batch: FrameBatch
    values: np.ndarray  # (F, C) of the channels
    rows: dict[int, np.ndarray]  # place of a flagged frame -> (HISTORY + 1, P), if the band was learned
    curve: np.ndarray  # (N,) of the band's drift, dB


class TableJudge(NamedTuple):
    """Places a frame that a conformal table has flagged."""

    part: Part
    place: int  # of the frame in the part

    @property
    def threshold(self) -> float:
        return float(self.part.thresholds[self.place])

    @property
    def opening(self) -> float:
        return self.part.opening

    def deviation(self, residual: np.ndarray, level: np.ndarray) -> np.ndarray:
        """(N,) in units of what each bin does on this band. level: (N,) dB over the floor."""
        return self.part.table.deviation(residual, level - self.part.curve)

    def occupied(self) -> np.ndarray | None:
        """(N + 1,) of ``threat_types.occupied_bins``; None if no plan of the band was learned."""
        return None if self.part.table.band is None else occupied_bins(self.part.table.band)

    def locate(self, frame: Frame, score: float) -> list[Sighting]:
        """The regions that speak for a flagged frame's score, each with its own p-value; none if all of them are over."""
        part, table = self.part, self.part.table
        one = part.batch.of(slice(self.place, self.place + 1), table.search, part.rows.get(self.place))
        regions = table.locate(FlaggedFrame(frame, one, table.shown(part.values[self.place]), table.normalisers,
                                            self.threshold - MARGIN * abs(self.threshold), score))
        if not regions:
            return []
        p_values = table.p_values(np.array([r.score for r in regions], np.float32))
        return [Sighting(r, float(p)) for r, p in zip(regions, p_values, strict=True)]


Judge = FixedJudge | TableJudge


class Judgement:
    """The judgement of a batch of F frames.

    Attributes:
        scores: (F,) float32, NaN if a frame was not judged.
        p_values: (F,) float64, NaN likewise, and with the fixed threshold.
        flagged: (F,) bool. speaks: (F,) bool, flagged frames of which an event may open.
        n_uncalibrated: frames that no table fits.
        parts: of the tables. fixed: of the fixed threshold; None: tables have judged.
    """

    def __init__(self, count: int, fixed: FixedJudge | None = None):
        self.scores, self.p_values = np.empty(count, np.float32), np.empty(count)
        self.scores.fill(np.nan)
        self.p_values.fill(np.nan)
        self.flagged, self.speaks = np.zeros(count, bool), np.zeros(count, bool)
        self.n_uncalibrated = 0
        self.parts: list[Part] = []
        self.fixed = fixed

    def judge_of(self, frame: int) -> Judge:
        """Places the frame of this number. It is made on demand: nobody asks for it of most frames."""
        if self.fixed is not None:
            return self.fixed
        part = next(p for p in self.parts if p.numbers[0] <= frame <= p.numbers[-1] and frame in p.numbers)
        return TableJudge(part, int(np.searchsorted(part.numbers, frame)))


def judge_fixed(residual: np.ndarray, used: np.ndarray, threshold: float) -> Judgement:
    """Judges frames by their mean-square residual alone, without calibration.

    Args:
        residual: (F, N). used: (U,) numbers of the frames that are judged.

    Raises:
        ValueError: a residual is not finite.
    """
    judgement = Judgement(len(residual), FixedJudge(threshold))
    scores = judgement.scores[used] = mean_square(residual[used])
    check_finite(scores)
    judgement.flagged[used] = judgement.speaks[used] = scores > threshold
    return judgement


def mean_square(residual: np.ndarray) -> np.ndarray:
    """Mean-square residual of each frame, (F, N) -> (F,) float32: the score of the fixed threshold."""
    return np.array([np.dot(row, row) / len(row) for row in np.asarray(residual, np.float64)], np.float32)


def check_finite(scores: np.ndarray):
    """Raises ValueError if a score (F,) is not finite."""
    finite = np.isfinite(scores)
    if not finite.all():
        check_none_broken(int((~finite).sum()))


def check_none_broken(n_broken: int):
    """Raises ValueError if there are frames that are not finite."""
    if n_broken:
        raise ValueError(f"{n_broken} frames have a residual or logit that is not finite; the model or what feeds it is broken")
