# SPDX-License-Identifier: GPL-3.0-or-later
"""WGS 84 and local metres, and the position of an emitter from the measurements of several receivers.

Local metres are east and north of an origin, taken at the origin's height, and the difference in height above the ellipsoid. A
fix without a height therefore has the same east and north as one with it. Lengths 100 km from the origin are 0.01 % short.

The fixer solves weighted least squares by Gauss-Newton (Foy 1976). It takes bearings from true north, and times of arrival with a
common unknown emission time, which equal time differences with their full covariance (Torrieri 1984). It refuses too few
measurements, a geometry that leaves the position undetermined, and measurements that contradict one another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPEED_OF_LIGHT_MPS = 299_792_458.0
MAX_GDOP = 50.0
_AXIS_M, _FLATTENING = 6378137.0, 1 / 298.257223563
_ECCENTRICITY2 = _FLATTENING * (2 - _FLATTENING)
_MAX_STEPS = 50
_CLOSE_ENOUGH_M = 1e-3
_AS_GOOD = 9.0  # a second solution is as good if its cost is above the best by no more than this
_CONTRADICTION = 1e-6  # measurements contradict one another if only this share of honest ones fits worse


class BadGeometry(ValueError):
    """The measurements give no position; the message says why in one line."""


@dataclass(frozen=True)
class Origin:
    """The place of 0, 0, 0 in local metres: degrees north, degrees east, metres above the ellipsoid.

    Raises:
        ValueError: it is no place on earth.
    """

    latitude: float
    longitude: float
    altitude_m: float = 0.0

    def __post_init__(self):
        if not (abs(self.latitude) <= 90 and abs(self.longitude) <= 360 and np.isfinite(self.altitude_m)):
            raise ValueError(f"origin {self.latitude}, {self.longitude}, {self.altitude_m} m is no place on earth; "
                             "give degrees north, degrees east, metres")


@dataclass(frozen=True)
class Heard:
    """The measurements of an emission by one receiver.

    Attributes:
        position_m: (2,), east and north of the receiver, in local metres.
        height_m: height of the receiver above the origin.
        azimuth_deg, azimuth_error_deg: bearing clockwise from true north, and its standard deviation; None if not measured.
        toa_s, toa_error_s: time of arrival from an epoch that all share, and its standard deviation; None if not measured.
    """

    position_m: np.ndarray
    height_m: float = 0.0
    azimuth_deg: float | None = None
    azimuth_error_deg: float | None = None
    toa_s: float | None = None
    toa_error_s: float | None = None


@dataclass(frozen=True)
class Solution:
    """The position of an emitter.

    Attributes:
        position_m, covariance_m2: (2,) and (2, 2), east and north.
        gdop: its error in metres for one metre of measurement error. The error of a bearing is taken across the line of sight.
        n_measurements: number of bearings and times used.
        receivers: number of places from which they came.
    """

    position_m: np.ndarray
    covariance_m2: np.ndarray
    gdop: float
    n_measurements: int
    receivers: int


def to_local(latitude, longitude, altitude_m, origin: Origin) -> np.ndarray:
    """Local metres (..., 3) about the origin of degrees, degrees, metres."""
    latitude, longitude = np.asarray(latitude, float), np.asarray(longitude, float)
    ground = np.full(np.broadcast(latitude, longitude).shape, origin.altitude_m)
    local = (_to_ecef(latitude, longitude, ground) - _to_ecef(*_degrees(origin))) @ _east_north_up(origin).T
    local[..., 2] = np.asarray(altitude_m, float) - origin.altitude_m
    return local


def to_geodetic(position_m: np.ndarray, origin: Origin) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Latitude and longitude (degrees) and altitude (m) of local metres (..., 2 or 3); the third axis is 0 if it is missing."""
    position_m = np.asarray(position_m, float)
    flat = np.zeros((*position_m.shape[:-1], 3))
    flat[..., :2] = position_m[..., :2]
    base, turn = _to_ecef(*_degrees(origin)), _east_north_up(origin)
    for _ in range(4):  # the point of the tangent plane that lies at the origin's height
        latitude, longitude, height = _from_ecef(base + flat @ turn)
        flat[..., 2] -= height - origin.altitude_m
    latitude, longitude, _ = _from_ecef(base + flat @ turn)
    up = position_m[..., 2] if position_m.shape[-1] == 3 else np.zeros(position_m.shape[:-1])
    return latitude, (longitude + 180) % 360 - 180, up + origin.altitude_m


def locate(heard: list[Heard], height_m: float = 0.0, max_gdop: float = MAX_GDOP) -> Solution:
    """The emitter, at a height of height_m above the origin, from bearings and times of arrival of several receivers.

    Raises:
        BadGeometry: fewer than two bearings and fewer than three times, parallel lines, a GDOP above max_gdop, no convergence,
            two solutions, or residuals that honest errors would give less than once in a million times.
    """
    bearings = [h for h in heard if h.azimuth_deg is not None]
    times = [h for h in heard if h.toa_s is not None]
    if len(times) == 1:
        times = []  # one time alone only gives the emission time
    n_equations = len(bearings) + max(0, len(times) - 1)
    if n_equations < 2:
        raise BadGeometry(f"{len(bearings)} bearings and {len(times)} times of arrival do not fix a position; two bearings or "
                          "three times do")
    _check_errors(bearings, times)
    solved = [s for start in _starts(bearings, times) if (s := _solve(start, bearings, times, height_m)) is not None]
    if not solved:
        raise BadGeometry("the least squares do not converge; the lines of position hardly cross")
    sharp = [s for s in solved if s[3] <= max_gdop]
    if not sharp:
        raise BadGeometry(f"GDOP {min(s[3] for s in solved):.3g} is above {max_gdop:g}; receivers and emitter are nearly in "
                          "line")
    position, cost, covariance, gdop = min(sharp, key=lambda s: s[1])
    apart_m = 10 * np.sqrt(np.trace(covariance)) + 1
    if any(s[1] < cost + _AS_GOOD and np.linalg.norm(s[0] - position) > apart_m for s in sharp):
        raise BadGeometry("two positions fit the measurements equally well; one more receiver tells them apart")
    spare = n_equations - 2
    if spare > 0 and cost > _max_cost(spare):
        raise BadGeometry(f"the measurements contradict one another (residuals {cost:.0f} with {spare} to spare)")
    places = {tuple(np.round(h.position_m, 3)) for h in (*bearings, *times)}
    return Solution(position, covariance, gdop, len(bearings) + len(times), len(places))


def _max_cost(spare: int) -> float:
    """Cost that honest measurements exceed with a probability of _CONTRADICTION: a quantile of chi-squared."""
    from scipy.special import chdtri
    return float(chdtri(spare, _CONTRADICTION))


def _check_errors(bearings, times):
    for h, name, value in [(h, "azimuth_error_deg", h.azimuth_error_deg) for h in bearings] + [
            (h, "toa_error_s", h.toa_error_s) for h in times]:
        if value is None or not 0 < value < np.inf:
            raise BadGeometry(f"{name} {value} of the receiver at {np.round(h.position_m)} m must be positive")


def _starts(bearings, times):
    """Starting points: the lines' crossing, and places around the receivers, since hyperbolas may cross twice."""
    places = np.array([h.position_m for h in (*bearings, *times)])
    if len(bearings) >= 2:
        normal = np.array([[np.cos(a), -np.sin(a)] for a in np.radians([h.azimuth_deg for h in bearings])])
        right = np.einsum("ij,ij->i", normal, np.array([h.position_m for h in bearings]))
        crossing, _, rank, _ = np.linalg.lstsq(normal, right, rcond=1e-6)
        if rank == 2:
            yield crossing
    middle, size = places.mean(axis=0), max(np.ptp(places, axis=0).max(), 1000.0)
    if times:
        yield middle
        for radius in (0.7, 2.0):
            for angle in np.arange(0, 2 * np.pi, np.pi / 4):
                yield middle + radius * size * np.array([np.sin(angle), np.cos(angle)])


def _solve(position, bearings, times, height_m):
    """Gauss-Newton with halved steps: position, cost, covariance and gdop; None if it fails."""
    position = np.array(position, float)
    cost = _equations(position, bearings, times, height_m)[2]
    for _ in range(_MAX_STEPS):
        jacobian, residual, _, _ = _equations(position, bearings, times, height_m)
        information = jacobian.T @ jacobian
        if np.linalg.cond(information) > 1e12:
            return None
        step = np.linalg.solve(information, jacobian.T @ residual)
        for _ in range(12):
            trial = _equations(position + step, bearings, times, height_m)[2]
            if trial <= cost:
                break
            step = step / 2
        else:
            break
        position, cost = position + step, trial
        if np.abs(step).max() < _CLOSE_ENOUGH_M:
            break
    else:
        return None
    jacobian, _, cost, metres = _equations(position, bearings, times, height_m)
    information, geometry = jacobian.T @ jacobian, metres.T @ metres
    if not np.isfinite(information).all() or max(np.linalg.cond(information), np.linalg.cond(geometry)) > 1e12:
        return None
    if any(_behind(position, h) for h in bearings):
        return None
    return position, cost, np.linalg.inv(information), float(np.sqrt(np.trace(np.linalg.inv(geometry))))


def _equations(position, bearings, times, height_m):
    """Whitened Jacobian (n, 2) and residual (n,), the cost, and the Jacobian in metres per metre."""
    rows, residuals, metres = [], [], []
    for h in bearings:
        east, north = position - h.position_m
        range2 = max(east**2 + north**2, 1.0)
        off = np.radians(h.azimuth_deg) - np.arctan2(east, north)
        slope = np.array([north, -east]) / range2
        sigma = np.radians(h.azimuth_error_deg)
        rows.append(slope / sigma)
        residuals.append((off + np.pi) % (2 * np.pi) - np.pi)
        residuals[-1] /= sigma
        metres.append(slope * np.sqrt(range2))
    if times:
        span = np.array([[*(position - h.position_m), height_m - h.height_m] for h in times])
        distance = np.maximum(np.linalg.norm(span, axis=1), 1.0)
        unit = span[:, :2] / distance[:, None]
        zero = min(h.toa_s for h in times)
        arrival = SPEED_OF_LIGHT_MPS * np.array([h.toa_s - zero for h in times])
        sigma = SPEED_OF_LIGHT_MPS * np.array([h.toa_error_s for h in times])
        weight = 1 / sigma**2
        off = arrival - distance  # plus the emission time, which is eliminated
        rows += list((unit - weight @ unit / weight.sum()) / sigma[:, None])
        residuals += list((off - weight @ off / weight.sum()) / sigma)
        metres += list(unit - unit.mean(axis=0))
    residual = np.array(residuals)
    return np.array(rows), residual, float(residual @ residual), np.array(metres)


def _behind(position, h: Heard) -> bool:
    azimuth = np.radians(h.azimuth_deg)
    return (position - h.position_m) @ [np.sin(azimuth), np.cos(azimuth)] < 0


def _degrees(origin: Origin):
    return origin.latitude, origin.longitude, origin.altitude_m


def _east_north_up(origin: Origin) -> np.ndarray:
    lat, lon = np.radians([origin.latitude, origin.longitude])
    return np.array([[-np.sin(lon), np.cos(lon), 0.0],
                     [-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)],
                     [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]])


def _to_ecef(latitude, longitude, altitude_m) -> np.ndarray:
    lat, lon = np.radians(latitude), np.radians(longitude)
    normal = _AXIS_M / np.sqrt(1 - _ECCENTRICITY2 * np.sin(lat) ** 2)
    return np.stack([(normal + altitude_m) * np.cos(lat) * np.cos(lon), (normal + altitude_m) * np.cos(lat) * np.sin(lon),
                     (normal * (1 - _ECCENTRICITY2) + altitude_m) * np.sin(lat)], axis=-1)


def _from_ecef(ecef: np.ndarray):
    """Degrees, degrees, metres, by iteration on the latitude; exact to a micrometre near the ground."""
    x, y, z = ecef[..., 0], ecef[..., 1], ecef[..., 2]
    across = np.hypot(x, y)
    lat = np.arctan2(z, across * (1 - _ECCENTRICITY2))
    for _ in range(6):
        normal = _AXIS_M / np.sqrt(1 - _ECCENTRICITY2 * np.sin(lat) ** 2)
        lat = np.arctan2(z + _ECCENTRICITY2 * normal * np.sin(lat), across)
    normal = _AXIS_M / np.sqrt(1 - _ECCENTRICITY2 * np.sin(lat) ** 2)
    height = across * np.cos(lat) + z * np.sin(lat) - _AXIS_M**2 / normal
    return np.degrees(lat), np.degrees(np.arctan2(y, x)), height
