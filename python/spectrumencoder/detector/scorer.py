# SPDX-License-Identifier: GPL-3.0-or-later
"""The scorer: frames of a batch against the conformal tables. Levels, boxes, channels, fusion, p-values and drift meet here.

A redesign of the statistics changes this file, the channels, and the calibration that learns for them.

Shape letters: F frames, N bins, P boxes of one frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ..encoder import features as layout
from .band_drift import BandDrift
from .box_search import HISTORY, BoxRows, band_rows
from .events import Segment
from .frame_batch import FrameBatch, as_slice
from .judge import MARGIN, Judgement, Part, check_finite, check_none_broken
from .notices import RECALIBRATE, Notices
from .rolling import Rolling
from .table import Table
from .table_choice import Choice, Rates, TableChoice

_KEY_COLUMNS = [layout.VARIANT, layout.K_KEPT, layout.K_EFF, layout.POLICY, layout.DTYPE]  # that table_key reads
_KEY_SPAN = slice(min(_KEY_COLUMNS), max(_KEY_COLUMNS) + 1)  # from the first of these columns to the last
_KEY_PLACES = [column - _KEY_SPAN.start for column in _KEY_COLUMNS]
_CHUNK = 32  # frames at once: their boxes fit the second cache of a core
_NO_DRIFT = np.zeros(1, np.float32)  # the curve of a band that was not learned


class Scorer:
    """Judges frames in the order of time by conformal tables.

    Args:
        contract: of the model file. tables: by table key. n_bins: N. notices: hears what the user should know.
        judged: the bins that are judged. The model's residual is 0 in the others, and the tables are ``Table.within`` these.
    """

    def __init__(self, contract: dict, tables: Mapping[str, Table], n_bins: int, notices: Notices, judged: slice):
        self._notices = notices
        self._others = np.r_[:judged.start, judged.stop:n_bins]
        self._choice = TableChoice(contract, tables, notices)
        self._rows: tuple[str, BoxRows] | None = None  # table key, and the last rows of its band's boxes
        self._rows_go_on = False  # whether those are of the frames right before the next ones
        self._levels = np.empty((_CHUNK, n_bins), np.float32)
        self._drifts: dict[str, BandDrift] = {}  # by table key
        self._rolling: dict[str, Rolling] = {}

    def score(self, batch: FrameBatch, used: np.ndarray, segment: Segment, rates: Rates, *, rolling: bool,
              events_open: bool) -> Judgement:
        """Judges frames of one segment.

        Args:
            used: (U,) numbers of the frames that are judged, ascending.
            rolling: thresholds follow the last scores on the band, in place of the table's (``rolling``).
            events_open: events are open. The regions of flagged frames are then asked for, even if none may open.

        Raises:
            ValueError: a residual or logit is not finite, or features do not fit the model.
        """
        judgement = Judgement(batch.n_frames)
        for numbers, choice in self._groups(batch.features, used, segment, rates):
            if choice.table is None:
                judgement.n_uncalibrated += len(numbers)
                continue
            if choice.table.band is not None and choice.key not in self._drifts:
                self._drifts[choice.key] = BandDrift(choice.table.band)
            drift = self._drifts.get(choice.key)
            while len(numbers):
                taken = numbers[:min(_CHUNK, len(numbers) if drift is None else drift.left())]
                numbers = numbers[len(taken):]
                self._score_chunk(batch, taken, choice, drift, segment, rates, rolling, events_open, judgement)
        return judgement

    def discontinuity(self):
        """Time or tuning has jumped: the frames so far are not right before the next ones."""
        self._rows_go_on = False

    def repeat_notices(self):
        """Lets every notice be given again."""
        self._notices.repeat()
        self._choice.forget()

    def _score_chunk(self, batch: FrameBatch, numbers: np.ndarray, choice: Choice, drift: BandDrift | None, segment: Segment,
                     rates: Rates, rolling: bool, events_open: bool, judgement: Judgement):
        """Judges up to _CHUNK frames of one table, through which the curve of its drift holds."""
        some, (key, table, threshold, opening) = as_slice(numbers), choice
        chunk = batch if len(numbers) == batch.n_frames else batch.of(some)
        level, rows = self._level_and_rows(key, table, chunk)
        if rows is not None:
            chunk = chunk.with_boxes(table.search, rows)
        curve = _NO_DRIFT if drift is None else drift.curve
        values = table.values(chunk)
        scores = table.fuse(values)
        check_finite(scores)
        p_values, thresholds = table.p_values(scores), np.full(len(scores), threshold)
        if rolling:
            if key not in self._rolling:
                self._rolling[key] = Rolling(table.scores)
            p_values, thresholds = self._rolling[key].judge(scores, rates.false_alarm_rate, opening)
        judgement.scores[some], judgement.p_values[some] = scores, p_values
        flagged = scores > thresholds
        kept = {}
        if flagged.any():
            judgement.flagged[some] = flagged
            judgement.speaks[some] = flagged & (scores > opening - MARGIN * abs(opening))
            if rows is not None and (events_open or judgement.speaks.any()):  # otherwise nobody asks for regions
                kept = {place: rows[place:place + HISTORY + 1].copy() for place in flagged.nonzero()[0].tolist()}
        judgement.parts.append(Part(numbers, thresholds, opening, table, chunk, values, kept, curve))
        if drift is not None:
            drift.take(level, ~flagged, segment.frame_s)
            if drift.watch(p_values[scores <= opening], table.effective_n / table.n):
                self._notices.give(RECALIBRATE, key, "recalibrate: frames are no longer like those that the table "
                                   f"{key} was learned from, and no event explains it: the band or the receiver has changed; "
                                   "run `spectrumencoder calibrate` again")

    def _groups(self, features: np.ndarray, used: np.ndarray, segment: Segment,
                rates: Rates) -> Iterator[tuple[np.ndarray, Choice]]:
        """Numbers of the frames that were encoded alike, and the choice of their table."""
        if not len(used):
            return
        groups = [used]
        if len(used) > 1:
            settings = features[as_slice(used), _KEY_SPAN]
            if not (settings == settings[0])[:, _KEY_PLACES].all():  # seldom
                group_of = np.unique(settings[:, _KEY_PLACES], axis=0, return_inverse=True)[1]
                groups = sorted((used[group_of == group] for group in range(group_of.max() + 1)), key=lambda rows: rows[0])
        for numbers in groups:
            yield numbers, self._choice.choose(segment, features[numbers[0]], rates)

    def _level_and_rows(self, key: str, table: Table, chunk: FrameBatch) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Levels over the floor (F, N) of these frames, and rows (HISTORY + F, P) of the band's boxes.

        Both hold until the next call. Both are None if no band was learned.
        """
        psd, floor = chunk.psd, chunk.features[:, layout.FLOOR_DBFS]
        if table.search is None:
            self._rows_go_on = False
            check_finite(psd.sum(axis=1) + floor)
            return None, None
        if self._rows is None:
            self._rows = key, BoxRows(table.search)
        elif self._rows[0] != key or not self._rows_go_on:
            self._rows[1].restart(table.search)
            self._rows = key, self._rows[1]
        self._rows_go_on = True
        level, rows = self._levels[:len(psd)], self._rows[1].extend(len(psd))
        curve, others = self._drifts[key].curve, self._others
        if len(others):  # what is there must not show in the band's components, and so in other bins
            psd = psd.copy()
            psd[:, others] = floor[:, None] + (table.band.mean + curve)[others]
        check_none_broken(band_rows(psd, floor, curve, table.band, level, rows[HISTORY:]))
        return level, rows
