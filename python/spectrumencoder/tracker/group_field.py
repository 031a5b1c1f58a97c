# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion field shared by a group: the position of a silent member, from how its neighbours have moved.

As in DOMA (Zhang et al., CVPR 2024), the field maps the place where a point was to the place where it is now. Here the map is
affine about the place x0 of a silent member at the time t0 when it was last heard,

    x(t) - x(t0) = b + A (x(t0) - x0).

Weighted, regularised least squares solve it on the displacements since t0 of the members that are still heard, each with its
errors at both ends. The prior says that the group moves as a whole (A = 0). Displacements serve better than velocities: at the
start of a turn the velocities of all filters lag alike. The map widens if members are farther off it than their errors explain.
The map and the member's own prediction start from the same fix, so they are joined by covariance intersection (Julier and Uhlmann
1997). If the two contradict one another, the map is taken: its members were heard since.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

_GRADIENT = 0.05  # prior standard deviation of A: 50 m over a kilometre
_SCATTER_MPS = 0.5  # standard deviation, per second of silence, of a member about the map
_ALIKE_MPS = 10.0  # max difference of velocities in one group, besides three standard deviations
_SILENT_S = 2.0  # after which a member is carried
_HOLD_S = 120.0  # a silent member stays in its group
_FRESH_S = 5.0  # a neighbour that was last heard before that is not used
_FAR_M = 1e5
_CONTRADICTION = 9.2  # squared distance of map and prediction; one in a hundred exceeds it


@dataclass
class _Member:
    """A track in a group, as it was when it was last heard: mean (4,) and covariance (4, 4) of position and velocity.

    others: its neighbours at that time, by id.
    """

    heard_s: float
    mean: np.ndarray
    covariance: np.ndarray
    others: dict[str, tuple[np.ndarray, float]] = field(default_factory=dict)  # position (2,), variance


class Groups:
    """Tracks that move together, and how a silent one has moved with the others.

    Args:
        radius_m: max distance of neighbours. A group is all tracks that are connected by neighbours.
    """

    def __init__(self, radius_m: float):
        self.radius_m = float(radius_m)
        self._members: dict[str, _Member] = {}

    def heard(self, time_s: float, ids: list[str], mean: np.ndarray, covariance: np.ndarray) -> None:
        """Takes the means (n, 4) and covariances (n, 4, 4) of position and velocity of tracks that were heard."""
        for track_id, m, p in zip(ids, mean, covariance, strict=True):
            if (member := self._members.get(track_id)) is not None:
                member.heard_s, member.mean, member.covariance = time_s, m.copy(), p.copy()
                member.others = {k: self._at(k, time_s) for k in member.others if k in self._members}

    def regroup(self, time_s: float, ids: list[str], mean: np.ndarray, covariance: np.ndarray) -> None:
        """Forms new groups of the tracks heard lately, with means (n, 4) and covariances (n, 4, 4). Silent members stay."""
        present, old = set(ids), self._members
        self._members = {k: m for k, m in old.items() if k not in present and time_s - m.heard_s <= _HOLD_S}
        labels = self._connected(mean, covariance)
        for k, track_id in enumerate(ids):
            self._members[track_id] = old.get(track_id) or _Member(time_s, mean[k].copy(), covariance[k].copy())
        for k, track_id in enumerate(ids):
            member = self._members[track_id]
            neighbours = {ids[j] for j in np.flatnonzero(labels == labels[k]) if j != k}
            member.others = {j: member.others.get(j) or self._at(j, member.heard_s) for j in neighbours}

    def joined(self, track_id: str, time_s: float, mean: np.ndarray, covariance: np.ndarray):
        """A track's predicted mean (4,) and covariance (4, 4) at a time, joined with the map if it is a silent member."""
        member = self._members.get(track_id)
        if member is None or time_s - member.heard_s < _SILENT_S:
            return mean, covariance
        moved = self._moved(member, time_s)
        if moved is None:
            return mean, covariance
        other, wide = moved
        off = other[:2] - mean[:2]
        if off @ np.linalg.solve(covariance[:2, :2] + wide[:2, :2], off) > _CONTRADICTION:
            return other, wide
        return intersect(mean, covariance, other, wide)

    def _at(self, track_id: str, time_s: float) -> tuple[np.ndarray, float]:
        """Position (2,) of a member at a time close to its last report, and the variance per axis."""
        member = self._members[track_id]
        dt = time_s - member.heard_s
        spread = np.einsum("ii->i", member.covariance)
        return member.mean[:2] + dt * member.mean[2:], float((spread[:2] + dt**2 * spread[2:]).mean())

    def _moved(self, member: _Member, time_s: float):
        """Mean (4,) and covariance (4, 4) of a silent member, by the map; None with fewer than two neighbours still heard."""
        newest = max((self._members[k].heard_s for k in member.others if k in self._members), default=-np.inf)
        heard = [k for k in member.others if k in self._members and newest - self._members[k].heard_s <= _FRESH_S]
        if len(heard) < 2 or newest <= member.heard_s:
            return None
        before = np.array([member.others[k][0] for k in heard])
        now = [self._at(k, time_s) for k in heard]
        displaced = np.array([place for place, _ in now]) - before
        variance = np.array([now[i][1] + member.others[k][1] for i, k in enumerate(heard)])
        silent_s = time_s - member.heard_s
        variance = variance + (_SCATTER_MPS * silent_s)**2
        rows = np.column_stack([np.ones(len(heard)), before - member.mean[:2]])
        prior = np.diag([_FAR_M**-2, _GRADIENT**-2, _GRADIENT**-2])
        information = prior + rows.T @ (rows / variance[:, None])
        solved = np.linalg.solve(information, rows.T @ (displaced / variance[:, None]))
        misfit = float(((displaced - rows @ solved)**2 / variance[:, None]).sum()) / (2 * len(heard))
        factor = max(misfit, 1.0)
        error = (np.linalg.inv(information)[0, 0] + (_SCATTER_MPS * silent_s)**2) * factor
        speeds = np.array([self._members[k].mean[2:] for k in heard])
        speed_error = np.mean([np.trace(self._members[k].covariance[2:, 2:]) / 2 for k in heard])
        mean = np.concatenate([member.mean[:2] + solved[0], speeds.mean(axis=0)])
        covariance = np.zeros((4, 4))
        covariance[:2, :2] = member.covariance[:2, :2] + np.eye(2) * error
        covariance[2:, 2:] = np.eye(2) * (speed_error + speeds.var(axis=0).mean())
        return mean, covariance

    def _connected(self, mean, covariance) -> np.ndarray:
        """Labels (n,): equal for tracks that are connected by neighbours of similar velocity."""
        apart = np.linalg.norm(mean[:, None, :2] - mean[None, :, :2], axis=2)
        differ = np.linalg.norm(mean[:, None, 2:] - mean[None, :, 2:], axis=2)
        sigma = np.sqrt(np.einsum("tii->t", covariance[:, 2:, 2:]))
        near = (apart <= self.radius_m) & (differ <= _ALIKE_MPS + 3 * np.hypot(sigma[:, None], sigma[None]))
        labels = np.arange(len(mean))
        while True:  # the smallest label of all neighbours, until nothing changes
            smallest = np.where(near, labels[None], len(mean)).min(axis=1, initial=len(mean))
            if (smallest == labels).all():
                return labels
            labels = smallest


def intersect(mean, covariance, other, other_covariance):
    """Covariance intersection of two estimates of one state (S,), whatever their errors have in common.

    Of 21 weights, the one with the smallest variance of the position is taken.
    """
    one, two = np.linalg.inv(covariance), np.linalg.inv(other_covariance)
    best = None
    for weight in np.linspace(0, 1, 21):
        joined = np.linalg.inv(weight * one + (1 - weight) * two)
        if best is None or joined[0, 0] + joined[1, 1] < best[0]:
            best = joined[0, 0] + joined[1, 1], joined, weight
    _, joined, weight = best
    return joined @ (weight * one @ mean + (1 - weight) * two @ other), joined
