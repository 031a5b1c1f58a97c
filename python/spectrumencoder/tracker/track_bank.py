# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of all tracks in one bank of arrays: each track is a row, and each step is a few array operations on rows.

Position east and north, and height, are filtered apart (``imm``), since heights may be missing. Beside them lies what the motion
field remembers of each track (``motion_field``). The bank knows neither identities nor states: ``spatial`` keeps those.

Shape letters: T rows of one call, H of them with a height, n rows of the bank.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .filters import add_field
from .fix import Fix
from .imm import Imm, ImmState, Innovation
from .motion_field import Gains, MotionField, Past, correct, learn, no_correction, no_gains, no_past, remember

_MIN_ROWS = 64


class Positions(NamedTuple):
    """Positions of T reports as arrays.

    position_m (T, 2) and covariance_m2 (T, 2, 2): east and north. tall (H,): numbers of the reports that have a height.
    height_m (H, 1) and height_m2 (H, 1, 1): those heights and their variances; None if H = 0.
    """

    position_m: np.ndarray
    covariance_m2: np.ndarray
    tall: Sequence[int] = ()
    height_m: np.ndarray | None = None
    height_m2: np.ndarray | None = None

    @staticmethod
    def of(fixes: Sequence[Fix]) -> Positions:
        position = np.array([fix.position_m[:2] for fix in fixes])
        covariance = np.array([fix.covariance_m2[:2, :2] for fix in fixes])
        tall = [k for k, fix in enumerate(fixes) if len(fix.position_m) == 3]
        if not tall:
            return Positions(position, covariance)
        return Positions(position, covariance, tall, np.array([fixes[k].position_m[2:] for k in tall]),
                         np.array([fixes[k].covariance_m2[2:, 2:] for k in tall]))


class Snapshot(NamedTuple):
    """A row as it was after an update: what ``TrackBank.put_back`` needs. height and height_s are None before any height."""

    seen_s: float
    horizontal: ImmState
    past: Past
    gains: Gains
    height: ImmState | None
    height_s: float | None


class Ahead(NamedTuple):
    """Predictions of T rows at one time, from which predictions at later times go on."""

    time_s: float
    horizontal: ImmState
    height: ImmState


class TrackBank:
    """Filters of many tracks.

    Args:
        horizontal: models of the motion east and north.
        vertical: models of the height.
        field: the motion field whose residual is added to estimates; None adds none.
        rows: room at the start; it doubles when needed.

    Attributes:
        seen_s: (n,), time of the last update of each row.
        height_s: (n,), time of the last height of each row; NaN before any.
        mean, covariance: (n, 6) and (n, 6, 6), the mixture of the horizontal models after the last update, without the field.
        horizontal: the models themselves, after the last update.
        imm: the horizontal models, see Args.

    Times and fixes are checked by the caller; a row must be reserved and restarted before it is used otherwise.
    """

    seen_s: np.ndarray
    height_s: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    horizontal: ImmState

    def __init__(self, horizontal: Imm, vertical: Imm, field: MotionField | None, rows: int = _MIN_ROWS):
        self.set_models(horizontal, vertical, field)
        self._free: list[int] = []
        self.allocate(rows)

    def fits(self, horizontal: Imm, vertical: Imm) -> bool:
        """Whether the rows can go on with other models: there must be as many."""
        return (len(horizontal.models), len(vertical.models)) == (len(self.imm.models), len(self._imm_height.models))

    def set_models(self, horizontal: Imm, vertical: Imm, field: MotionField | None) -> None:
        """Takes effect with the next prediction; the rows stay.

        Raises:
            ValueError: the field was trained with another number of models.
        """
        if field is not None and field.n_models != len(horizontal.models):
            raise ValueError(f"the motion field goes with {field.n_models} horizontal models, not {len(horizontal.models)}; set "
                             "motion_field=False")
        self.imm, self._imm_height, self._field = horizontal, vertical, field

    # Rows

    def __len__(self):
        """Number of rows, used or not."""
        return len(self.seen_s)

    def allocate(self, n: int) -> None:
        """Makes room for n tracks, at least as many as before; the rows in use stay."""
        m, m_height = len(self.imm.models), len(self._imm_height.models)
        banks = {
            "horizontal": ImmState(np.zeros((n, m, 6)), np.tile(np.eye(6), (n, m, 1, 1)), np.full((n, m), 1 / m)),
            "_height": ImmState(np.zeros((n, m_height, 3)), np.tile(np.eye(3), (n, m_height, 1, 1)),
                                np.full((n, m_height), 1 / m_height)),
            "_past": no_past(n, m), "_gains": no_gains(n), "_correction": no_correction(n)}
        arrays = {"seen_s": np.zeros(n), "height_s": np.full(n, np.nan), "mean": np.zeros((n, 6)),
                  "covariance": np.zeros((n, 6, 6))}
        used = len(self) if hasattr(self, "seen_s") else 0
        for name, bank in banks.items():
            if used:
                bank.put(slice(0, used), getattr(self, name))
            setattr(self, name, bank)
        for name, array in arrays.items():
            if used:
                array[:used] = getattr(self, name)
            setattr(self, name, array)
        self._ahead, self._is_ahead, self._ahead_s = self.horizontal.take(np.arange(n)), np.zeros(n, bool), None
        self._free = sorted([*self._free, *range(used, n)], reverse=True)

    def reserve(self, count: int) -> np.ndarray:
        """Rows (count,) that nobody uses, from now on in use."""
        while len(self._free) < count:
            self.allocate(2 * len(self))
        return np.array([self._free.pop() for _ in range(count)])

    def release(self, row: int) -> None:
        """The row is free again."""
        self._free.append(row)

    # Updates

    def restart(self, rows: np.ndarray, time_s: float | np.ndarray, reports: Positions) -> None:
        """Starts the filters of rows (T,) at T reports; time_s may be one time or (T,)."""
        self._write(rows, self.imm.start(reports.position_m, reports.covariance_m2), time_s)
        self._past.put(rows, no_past(len(rows), len(self.imm.models)))
        self._gains.put(rows, no_gains(len(rows)))
        self._correction.put(rows, no_correction(len(rows)))
        self.height_s[rows] = np.nan
        if len(reports.tall):
            self._write_height(rows[reports.tall], self._imm_height.start(reports.height_m, reports.height_m2))

    def update(self, rows: np.ndarray, time_s: float | np.ndarray, reports: Positions) -> None:
        """Takes T reports, none older than the last update of its row; time_s may be one time or (T,)."""
        dt = time_s - self.seen_s[rows]
        bank, innovation = self.imm.update(self._predict(rows, time_s), reports.position_m, reports.covariance_m2)
        self._write(rows, bank, time_s)
        self._learn(rows, dt, bank, innovation)
        if not len(reports.tall):
            return
        rows = rows[reports.tall]
        new = ~np.isfinite(self.height_s[rows])
        for chosen in (new, ~new):
            if chosen.any():
                some, z, r = rows[chosen], reports.height_m[chosen], reports.height_m2[chosen]
                if chosen is new:
                    bank = self._imm_height.start(z, r)
                else:
                    bank, _ = self._imm_height.update(self._predict_height(some, self.seen_s[some]), z, r)
                self._write_height(some, bank)

    def snapshot(self, rows: np.ndarray) -> list[Snapshot]:
        """Copies of T rows, one each."""
        horizontal, height = self.horizontal.take(rows), self._height.take(rows)
        past, gains = self._past.take(rows), self._gains.take(rows)
        seen_s, height_s = self.seen_s[rows].tolist(), self.height_s[rows].tolist()
        result = []
        for k, known in enumerate(np.isfinite(height_s)):
            one = slice(k, k + 1)
            result.append(Snapshot(seen_s[k], horizontal.take(one), past.take(one), gains.take(one),
                                   height.take(one) if known else None, height_s[k] if known else None))
        return result

    def put_back(self, row: int, before: Snapshot) -> None:
        """Makes a row what it was."""
        rows = np.array([row])
        self._write(rows, before.horizontal, before.seen_s)
        self._past.put(rows, before.past)
        self._gains.put(rows, before.gains)
        if self._field is not None:
            self._correct(rows)
        self.height_s[rows] = np.nan
        if before.height is not None:
            self._height.put(rows, before.height)
            self.height_s[rows] = before.height_s

    # Predictions

    def predicted(self, rows: np.ndarray, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Mean (T, 6) and covariance (T, 6, 6) at a time, without the field: what reports are held against."""
        return self.imm.combined(self._predict(rows, time_s))

    def predicted_height(self, rows: np.ndarray, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Mean (T, 3) and covariance (T, 3, 3) of height, climb and its change, of rows that have a height."""
        return self._imm_height.combined(self._predict_height(rows, time_s))

    def after(self, rows: np.ndarray, dt_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (T, 6) and covariance (T, 6, 6), dt_s (T,) after the last update of each row, with the field."""
        return self._with_field(rows, self.imm.predict(self.horizontal.take(rows), dt_s), dt_s)

    def estimates(self, rows: np.ndarray, time_s: float,
                  since: Ahead | None = None) -> tuple[Ahead, list[list[tuple[np.ndarray, np.ndarray]]]]:
        """Estimates of T rows at a time, with the field.

        Args:
            since: predictions of the same rows at an earlier time, to go on from; None goes on from the last updates.

        Returns:
            The predictions, and for each row what ``filters.assemble`` takes: mean (6,) and covariance (6, 6), and of a row with
            a height also (3,) and (3, 3).
        """
        known = np.isfinite(self.height_s[rows])
        if since is None:
            flat = self._predict(rows, time_s)
            tall = self._imm_height.predict(self._height.take(rows[known]), np.maximum(time_s - self.height_s[rows[known]], 0))
        else:
            flat = self.imm.predict(since.horizontal, np.full(len(rows), time_s - since.time_s))
            tall = self._imm_height.predict(since.height, np.full(int(known.sum()), time_s - since.time_s))
        mean, covariance = self._with_field(rows, flat, np.maximum(time_s - self.seen_s[rows], 0))
        heights = iter(zip(*self._imm_height.combined(tall), strict=True))
        parts = [[(mean[k], covariance[k])] + ([next(heights)] if known[k] else []) for k in range(len(rows))]
        return Ahead(time_s, flat, tall), parts

    def _predict(self, rows, time_s) -> ImmState:
        """The models of these rows at a time. A row that was predicted to that one time already is not predicted again."""
        one_time = time_s if np.ndim(time_s) == 0 else None
        if one_time is None or one_time != self._ahead_s:
            self._ahead_s = one_time
            self._is_ahead[:] = False
        missing = ~self._is_ahead[rows]
        new = rows[missing]
        if len(new):
            dt = np.maximum((time_s if one_time is not None else time_s[missing]) - self.seen_s[new], 0)
            self._ahead.put(new, self.imm.predict(self.horizontal.take(new), dt))
            self._is_ahead[new] = True
        return self._ahead.take(rows)

    def _predict_height(self, rows, time_s) -> ImmState:
        return self._imm_height.predict(self._height.take(rows), time_s - self.height_s[rows])

    def _with_field(self, rows, flat, dt_s):
        mean, covariance = self.imm.combined(flat)
        if self._field is None:
            return mean, covariance
        return add_field(self._correction.take(rows), mean, covariance, dt_s)

    # Writing

    def _write(self, rows, bank: ImmState, time_s):
        self.horizontal.put(rows, bank)
        self._is_ahead[rows] = False
        self.mean[rows], self.covariance[rows] = self.imm.combined(bank)
        self.seen_s[rows] = time_s

    def _write_height(self, rows, bank: ImmState):
        self._height.put(rows, bank)
        self.height_s[rows] = self.seen_s[rows]

    def _learn(self, rows, dt, bank: ImmState, innovation: Innovation):
        """The motion field's gains learn from an update, its past takes the update in, and its residual is made anew."""
        if self._field is None:
            return
        self._gains.put(rows, learn(self._gains.take(rows), self._correction.take(rows), innovation, dt))
        self._past.put(rows, remember(self._past.take(rows), innovation, dt, bank.probability, self.mean[rows, 2:4]))
        self._correct(rows)

    def _correct(self, rows):
        self._correction.put(rows, correct(self._field, self.mean[rows], self.covariance[rows],
                                           self.horizontal.probability[rows], self._past.take(rows), self._gains.take(rows)))
