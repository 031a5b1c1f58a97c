# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion field shared by a group: where a member is that is heard only now and then, from how its neighbours have moved.

As in DOMA (Zhang et al., CVPR 2024), the field maps where a point was to where it is now, here affinely about a silent member's
last place x0, at the time t0 when it was last heard,

    x(t) - x(t0) = b + A (x(t0) - x0),

solved by weighted, regularised least squares on the displacements since t0 of the members that are still heard, each with its own
errors at both ends; the prior says that the group moves as a whole (A = 0). Displacements serve better than velocities: at the
start of a turn the velocities of all filters lag alike. Where members are farther off the map than their errors explain, it
widens. The map and the member's own prediction are joined by covariance intersection (Julier and Uhlmann 1997), since both start
from the same fix. Where the two contradict one another the map is right: it has heard of what has happened since.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

_GRADIENT = 0.05  # prior standard deviation of A: 50 m over a kilometre
_SCATTER_MPS = 0.5  # standard deviation, per second of silence, of a member about the map
_ALIKE_MPS = 10.0  # and three standard deviations: velocities of one group differ by no more
_SILENT_S = 2.0  # after which a member is carried
_HOLD_S = 120.0  # a silent member stays in its group
_FRESH_S = 5.0  # a neighbour heard longer ago than that tells nothing
_FAR_M = 1e5
_CONTRADICTION = 9.2  # squared distance of map and prediction that one in a hundred exceeds


@dataclass
class _Member:
    """A track in a group: when it was last heard, and how it was then: mean (4,) and covariance (4, 4) of position and velocity;
    others: how its neighbours were then."""

    heard_s: float
    mean: np.ndarray
    covariance: np.ndarray
    others: dict[str, tuple[np.ndarray, float]] = field(default_factory=dict)  # position (2,), variance


class Groups:
    """Which tracks move together, and how a silent one has moved with the others.

    Args:
        radius_m: of neighbours; a group is all that hang together by them.
    """

    def __init__(self, radius_m: float):
        self.radius_m = float(radius_m)
        self._members: dict[str, _Member] = {}

    def heard(self, time_s: float, ids: list[str], mean: np.ndarray, covariance: np.ndarray) -> None:
        """Tracks were heard: their means (n, 4) and covariances (n, 4, 4) of position and velocity."""
        for track_id, m, p in zip(ids, mean, covariance, strict=True):
            if (member := self._members.get(track_id)) is not None:
                member.heard_s, member.mean, member.covariance = time_s, m.copy(), p.copy()
                member.others = {k: self._at(k, time_s) for k in member.others if k in self._members}

    def regroup(self, time_s: float, ids: list[str], mean: np.ndarray, covariance: np.ndarray) -> None:
        """Forms groups anew of tracks heard lately, (n, 4) and (n, 4, 4); silent members stay what they are."""
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
        """A track's predicted mean (4,) and covariance (4, 4) at a time, with the map where it is a silent member."""
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
        """Position of a member at a time close to its last report, and the variance per axis."""
        member = self._members[track_id]
        dt = time_s - member.heard_s
        spread = np.einsum("ii->i", member.covariance)
        return member.mean[:2] + dt * member.mean[2:], float((spread[:2] + dt**2 * spread[2:]).mean())

    def _moved(self, member: _Member, time_s: float):
        """Mean (4,) and covariance (4, 4) of a silent member, by the map; None with fewer than two neighbours still heard."""
        newest = max((self._members[k].heard_s for k in member.others if k in self._members), default=-np.inf)
        told = [k for k in member.others if k in self._members and newest - self._members[k].heard_s <= _FRESH_S]
        if len(told) < 2 or newest <= member.heard_s:
            return None
        before = np.array([member.others[k][0] for k in told])
        now = [self._at(k, time_s) for k in told]
        displaced = np.array([place for place, _ in now]) - before
        variance = np.array([now[i][1] + member.others[k][1] for i, k in enumerate(told)])
        silent_s = time_s - member.heard_s
        variance = variance + (_SCATTER_MPS * silent_s)**2
        rows = np.column_stack([np.ones(len(told)), before - member.mean[:2]])
        prior = np.diag([_FAR_M**-2, _GRADIENT**-2, _GRADIENT**-2])
        information = prior + rows.T @ (rows / variance[:, None])
        solved = np.linalg.solve(information, rows.T @ (displaced / variance[:, None]))
        misfit = float(((displaced - rows @ solved)**2 / variance[:, None]).sum()) / (2 * len(told))
        factor = max(misfit, 1.0)
        error = (np.linalg.inv(information)[0, 0] + (_SCATTER_MPS * silent_s)**2) * factor
        speeds = np.array([self._members[k].mean[2:] for k in told])
        speed_error = np.mean([np.trace(self._members[k].covariance[2:, 2:]) / 2 for k in told])
        mean = np.concatenate([member.mean[:2] + solved[0], speeds.mean(axis=0)])
        covariance = np.zeros((4, 4))
        covariance[:2, :2] = member.covariance[:2, :2] + np.eye(2) * error
        covariance[2:, 2:] = np.eye(2) * (speed_error + speeds.var(axis=0).mean())
        return mean, covariance

    def _connected(self, mean, covariance) -> np.ndarray:
        """Labels (n,): the same for tracks that hang together by neighbours alike in velocity."""
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
    """Covariance intersection of two estimates of one state (S,), whatever their errors have in common; of 21 weights the one
    that makes the position surest."""
    one, two = np.linalg.inv(covariance), np.linalg.inv(other_covariance)
    best = None
    for weight in np.linspace(0, 1, 21):
        joined = np.linalg.inv(weight * one + (1 - weight) * two)
        if best is None or joined[0, 0] + joined[1, 1] < best[0]:
            best = joined[0, 0] + joined[1, 1], joined, weight
    _, joined, weight = best
    return joined @ (weight * one @ mean + (1 - weight) * two @ other), joined
