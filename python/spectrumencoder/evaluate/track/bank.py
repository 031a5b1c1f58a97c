# SPDX-License-Identifier: GPL-3.0-or-later
"""Our filter over many flights at once, in the tracker's own bank: the errors that ``single.judge`` gives for each flight alone.

Flights are rows of the bank, the longest first, so that the rows of those which have ended are left out. A test holds the two
ways together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...tracker.filters import make_filter
from ...tracker.motion_field import MotionField
from ...tracker.settings import SpatialSettings
from ...tracker.track_bank import Positions, TrackBank
from .flights import Flight
from .single import EVERY_S, FILTERED, HORIZONS_S, NEXT, SETTLED, Errors, judge, key

_TIMED = 200  # reports, on which the time of an update is measured


def judge_bank(settings: SpatialSettings, field: MotionField | None, flown: Sequence[tuple[Flight, int]], sigma_m: float,
               horizons_s: Sequence[float] = HORIZONS_S, longest_step_s: float = np.inf) -> list[Errors]:
    """Errors of the filter that ``make_filter`` makes, on each flight with the noise of its seed.

    Args:
        settings, field: of the filter.
        flown: flights and seeds.
        sigma_m, horizons_s, longest_step_s: as of ``judge``.
    """
    order = sorted(range(len(flown)), key=lambda k: -len(flown[k][0].time_s))
    flights, seeds = [flown[k][0] for k in order], [flown[k][1] for k in order]
    rows = _Rows(flights, seeds, sigma_m, horizons_s)
    bank = TrackBank(settings.horizontal_imm(), settings.vertical_imm(), field, len(flights))
    noise = np.tile(sigma_m**2 * np.eye(2), (len(flights), 1, 1))
    for k in range(rows.length):
        live = np.arange((rows.counts > k).sum())
        time_s, reports = rows.time_s[live, k], Positions(rows.reports[live, k], noise[live])
        if k == 0:
            bank.restart(bank.reserve(len(live)), time_s, reports)
        else:
            step = time_s - rows.time_s[live, k - 1]
            if k >= SETTLED:
                rows.note(NEXT, np.flatnonzero(step <= longest_step_s), k, *bank.after(live, step))
            bank.update(live, time_s, reports)
        if k < SETTLED:
            continue
        mean, covariance = bank.after(live, np.zeros(len(live)))
        rows.note(FILTERED, live, k, mean, covariance)
        rows.note_state(len(live), k, mean, covariance)
        due = np.flatnonzero(k % rows.every[live] == 0)
        for h in horizons_s if len(due) else ():
            mean, covariance = bank.after(live, np.full(len(live), float(h)))
            rows.note(key(h), due, k, mean, covariance)
    seconds = _seconds(settings, field, flights[0], sigma_m)
    errors = rows.errors(seconds)
    return [errors[order.index(k)] for k in range(len(flown))]


class _Rows:
    """Reports and truth of the flights, padded to the longest (T, L), and the errors noted of each."""

    def __init__(self, flights, seeds, sigma_m, horizons_s):
        self.flights, self.counts = flights, np.array([len(f.time_s) for f in flights])
        n, self.length = len(flights), int(self.counts.max())
        self.time_s, self.reports = np.zeros((n, self.length)), np.zeros((n, self.length, 2))
        self._velocity = np.zeros((n, self.length, 2))
        self._truth = {what: np.full((n, self.length, 2), np.nan) for what in (NEXT, FILTERED, *map(key, horizons_s))}
        for k, (flight, seed) in enumerate(zip(flights, seeds, strict=True)):
            row = (k, slice(len(flight.time_s)))
            self.time_s[row], self.reports[row] = flight.time_s, flight.noisy(sigma_m, seed)[:, :2]
            self._velocity[row] = flight.velocity_mps[:, :2]
            self._truth[NEXT][row] = self._truth[FILTERED][row] = flight.truth_m[:, :2]
            for h in horizons_s:
                self._truth[key(h)][row] = flight.truth_at(flight.time_s + h)[:, :2]
        self.every = np.array([max(1, round(EVERY_S / float(np.median(np.diff(f.time_s))))) for f in flights])
        self._squared = {what: np.full((n, self.length), np.nan) for what in self._truth}
        self._nees = {what: np.full((n, self.length), np.nan) for what in self._truth}
        self._state_nees = np.full((n, self.length), np.nan)

    def note(self, what, rows, k, mean, covariance):
        off = mean[rows, :2] - self._truth[what][rows, k]
        self._squared[what][rows, k] = (off**2).sum(axis=1)
        self._nees[what][rows, k] = _mahalanobis2(off, covariance[rows, :2, :2]) / 2

    def note_state(self, live, k, mean, covariance):
        off = mean[:, :4] - np.concatenate([self._truth[FILTERED][:live, k], self._velocity[:live, k]], axis=1)
        self._state_nees[:live, k] = _mahalanobis2(off, covariance[:, :4, :4]) / 4

    def errors(self, seconds) -> list[Errors]:
        def noted(values):
            return values[np.isfinite(values)]

        return [Errors(f.name, f.flight_class, {w: noted(v[k]) for w, v in self._squared.items()},
                       {w: noted(v[k]) for w, v in self._nees.items()}, noted(self._state_nees[k]), seconds)
                for k, f in enumerate(self.flights)]


def _mahalanobis2(off, covariance):
    return np.einsum("ti,ti->t", off, np.linalg.solve(covariance, off[..., None])[..., 0])


def _seconds(settings, field, flight: Flight, sigma_m: float) -> float:
    """Time of an update of the filter of one target."""
    return judge(lambda: make_filter(2, settings, field), flight.part(_TIMED), sigma_m, 0, ()).seconds_per_update
