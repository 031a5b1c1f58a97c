# SPDX-License-Identifier: GPL-3.0-or-later
"""The dict of a PDU becomes a ``Fix``, or is refused with a reason.

These fields are read, named as in SigMF's `spatial` extension 1.1, with or without its prefix:

* latitude, longitude (degrees), altitude (metres, may be missing), or `emitter_location`, a GeoJSON point;
* gr-adsb's decoded PDU as it is: altitude in feet, NaN if nothing was heard yet. It repeats the last position with every message
  of an aircraft; repeats are no fixes and are left out;
* `position_m`: local metres, [east, north] or [east, north, up];
* `receivers`: a list of {latitude, longitude, altitude or position_m; bearing {azimuth, az_error} (degrees) and/or toa_s,
  toa_error_s}, solved by ``geo``.

With any of them: `timestamp` (POSIX s), `covariance_m2` (4 or 9 numbers, row by row) or `position_error_m`, `altitude_error_m`
(standard deviations), `units` ({altitude: "ft"}, {position: "km"}), `icao` or `identity`, `snr`, `event_id`, `freq_center_hz`.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from typing import NamedTuple

import numpy as np

from .. import keys
from .fix import Fix
from .geo import BadGeometry, Heard, Origin, locate, to_local

METRES = {"m": 1.0, "km": 1000.0, "ft": 0.3048, "NM": 1852.0}
_SPATIAL = "spatial:"
_ADSB = ("icao", "df")
_REPEAT_S = 10.0  # the same place again is a repeat within this time; later it is news that nothing has moved
_MAX_IDENTITIES = 20_000
_SWAP_M = 20_000.0  # min length of a jump that exchanging latitude and longitude undoes, to be taken for an exchange
_MAX_IDENTITY = 64
_MAX_SPEED_MPS = 1000.0
_MAX_M = 1e9
_EARTH_M = 6.371e6
_FAR_M = 1.5e6  # from the origin; local metres are of no use beyond


class Refused(ValueError):
    """A dict gives no fix. `reason`: one word by which it is counted."""

    def __init__(self, reason: str, text: str):
        super().__init__(text)
        self.reason = reason


class _Last(NamedTuple):
    time_s: float
    latitude: float
    longitude: float


class FixReader:
    """Turns dicts into fixes, in local metres about one origin.

    Args:
        origin: None takes the first accepted position.
        position_error_m, altitude_error_m: standard deviations per axis of a fix that does not carry its own.
        weak_snr_db: a fainter fix starts no track.
        max_gdop: of a position from several receivers.

    Attributes:
        origin: the origin; None before any.
        settled: whether tracks have confirmed the origin. Until then the first position may have been an error, and the origin
            moves if the next position is far away.
        refused: number of refused dicts by reason.

    Raises:
        ValueError: a value is out of its range.
    """

    def __init__(self, origin: Origin | None = None, position_error_m: float = 50.0, altitude_error_m: float = 30.0,
                 weak_snr_db: float = -1000.0, max_gdop: float = 50.0):
        for name, value in (("position_error_m", position_error_m), ("altitude_error_m", altitude_error_m)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} {value} m must be positive")
        if not -1000 <= weak_snr_db <= 1000:
            raise ValueError(f"weak_snr_db {weak_snr_db} dB is outside -1000..1000")
        self.origin, self.settled = origin, origin is not None
        self.position_error_m, self.altitude_error_m = float(position_error_m), float(altitude_error_m)
        self.weak_snr_db, self.max_gdop = float(weak_snr_db), float(max_gdop)
        self.refused: Counter[str] = Counter()
        self._last: OrderedDict[str, _Last] = OrderedDict()  # accepted positions, by identity
        self._newest: _Last | None = None  # of the dict that is being read

    def read(self, fields: dict) -> Fix:
        """The fix of a dict.

        Raises:
            Refused: it gives none; it is counted in ``refused``.
        """
        origin, self._newest = self.origin, None
        try:
            fix = self._read({str(name).removeprefix(_SPATIAL): value for name, value in fields.items()})
        except Refused as refused:
            self.origin = origin  # a refused dict moves nothing
            self.refused[refused.reason] += 1
            raise
        if self._newest is not None:
            self._last[fix.identity] = self._newest
            self._last.move_to_end(fix.identity)
            if len(self._last) > _MAX_IDENTITIES:
                self._last.popitem(last=False)
        return fix

    def _read(self, fields: dict) -> Fix:
        time_s = _number(fields, keys.TIMESTAMP, "time")
        identity = _identity(fields)
        if "receivers" in fields:
            position, covariance, source = self._located(fields)
        elif "position_m" in fields:
            position = _vector(fields, "position_m", (2, 3)) * _unit(fields, "position", "m")
            covariance, source = self._covariance(fields, len(position)), "local"
        else:
            position, source = self._geographic(fields, time_s, identity)
            covariance = self._covariance(fields, len(position))
        if not np.abs(position).max() < _MAX_M:
            raise Refused("range", f"a position {np.abs(position).max():.3g} m away; local positions are within {_MAX_M:g} m")
        snr = _optional(fields, "snr", _optional(fields, keys.SNR_DB, math.inf))
        event = fields.get(keys.EVENT_ID)
        return Fix(time_s, position, covariance, identity, bool(snr < self.weak_snr_db), str(fields.get("source") or source)[:64],
                   str(event)[:64] if event is not None else None, _optional(fields, keys.FREQ_CENTER_HZ, None))

    def _geographic(self, fields, time_s, identity):
        latitude, longitude, altitude = _geodetic(fields)
        adsb = all(name in fields for name in _ADSB)
        altitude *= _unit(fields, "altitude", "ft" if adsb else "m")
        if abs(latitude) > 90:
            exchanged = abs(longitude) <= 90 and abs(latitude) <= 180
            raise Refused("swapped" if exchanged else "range", f"latitude {latitude:g} is outside -90..90 degrees" + (
                "; latitude and longitude are exchanged" if exchanged else ""))
        if abs(longitude) > 360:
            raise Refused("range", f"longitude {longitude:g} is outside -360..360 degrees")
        if self.origin is None:
            self.origin = Origin(latitude, longitude, altitude if math.isfinite(altitude) else 0.0)
        if self._off_m(latitude, longitude) > _FAR_M:
            if self.settled:
                exchanged = abs(longitude) <= 90 and self._off_m(longitude, latitude) < _FAR_M
                raise Refused("swapped" if exchanged else "range", f"{latitude:g}, {longitude:g} is more than "
                              f"{_FAR_M / 1000:g} km from the origin {self.origin.latitude:g}, {self.origin.longitude:g}")
            self.origin = Origin(latitude, longitude, self.origin.altitude_m)
        position = to_local(latitude, longitude, altitude, self.origin)
        if identity is not None:
            self._check_last(identity, time_s, latitude, longitude)
        return position if math.isfinite(altitude) else position[:2], "adsb" if adsb else "position"

    def _off_m(self, latitude, longitude) -> float:
        return _great_circle_m(self.origin.latitude, self.origin.longitude, latitude, longitude)

    def _check_last(self, identity, time_s, latitude, longitude):
        """Refuses a repeat of the last position, and one that is far away only because its coordinates are exchanged."""
        last = self._last.get(identity)
        if last is not None:
            if (latitude, longitude) == last[1:] and 0 <= time_s - last.time_s < _REPEAT_S:
                raise Refused("repeat", f"{identity}: the position of {last.time_s} s again")
            reach_m = _SWAP_M + _MAX_SPEED_MPS * abs(time_s - last.time_s)
            if self._apart_m(last, latitude, longitude) > reach_m and abs(longitude) <= 90 and (
                    self._apart_m(last, longitude, latitude) < reach_m):
                raise Refused("swapped", f"{identity} at {latitude:g}, {longitude:g}: latitude and longitude are exchanged")
        self._newest = _Last(time_s, latitude, longitude)

    @staticmethod
    def _apart_m(last, latitude, longitude) -> float:
        return _great_circle_m(last.latitude, last.longitude, latitude, longitude)

    def _located(self, fields):
        receivers = fields["receivers"]
        if not isinstance(receivers, list) or not all(isinstance(r, dict) for r in receivers) or len(receivers) > 256:
            raise Refused("malformed", "receivers is not a list of up to 256 dicts")
        heard = [self._heard({str(k).removeprefix(_SPATIAL): v for k, v in r.items()}) for r in receivers]
        height = _optional(fields, "altitude", None)
        up = 0.0 if height is None or self.origin is None else height * _unit(fields, "altitude", "m") - self.origin.altitude_m
        try:
            solution = locate(heard, up, self.max_gdop)
        except BadGeometry as error:
            raise Refused("geometry", str(error)) from error
        return solution.position_m, solution.covariance_m2, "tdoa" if any(h.toa_s is not None for h in heard) else "bearings"

    def _heard(self, receiver) -> Heard:
        if "position_m" in receiver:
            position = _vector(receiver, "position_m", (2, 3))
        else:
            latitude, longitude, altitude = _geodetic(receiver)
            if abs(latitude) > 90:
                raise Refused("range", f"latitude {latitude:g} of a receiver is outside -90..90 degrees")
            altitude = altitude if math.isfinite(altitude) else 0.0
            if self.origin is None:
                self.origin = Origin(latitude, longitude, altitude)
            position = to_local(latitude, longitude, altitude, self.origin)
        bearing = receiver.get("bearing") or {}
        if not isinstance(bearing, dict):
            raise Refused("malformed", "bearing is not a dict of azimuth and az_error")
        return Heard(position[:2], float(position[2]) if len(position) == 3 else 0.0, _optional(bearing, "azimuth", None),
                     _optional(bearing, "az_error", None), _optional(receiver, "toa_s", None),
                     _optional(receiver, "toa_error_s", None))

    def _covariance(self, fields, dimensions) -> np.ndarray:
        if fields.get("covariance_m2") is not None:
            return _given_covariance(fields, dimensions)
        across = _optional(fields, "position_error_m", self.position_error_m)
        up = _optional(fields, "altitude_error_m", self.altitude_error_m)
        if not (0 < across < _MAX_M and 0 < up < _MAX_M):
            raise Refused("covariance", f"position_error_m {across:g} and altitude_error_m {up:g} must be positive")
        return np.diag([across**2, across**2, up**2][:dimensions])


def _great_circle_m(latitude, longitude, other_latitude, other_longitude) -> float:
    """Distance by the haversine formula, which keeps its digits for near places."""
    a, b = math.radians(latitude), math.radians(other_latitude)
    half = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(math.radians(other_longitude - longitude) / 2) ** 2
    return 2 * _EARTH_M * math.asin(min(1.0, math.sqrt(half)))


def _geodetic(fields):
    """Latitude, longitude (degrees) and altitude (NaN: none) as they stand."""
    point = fields.get("emitter_location")
    if isinstance(point, dict):
        coordinates = _vector(point, "coordinates", (2, 3))
        return float(coordinates[1]), float(coordinates[0]), float(coordinates[2]) if len(coordinates) == 3 else math.nan
    altitude = _optional(fields, "altitude", math.nan)
    return _number(fields, "latitude", "no_position"), _number(fields, "longitude", "no_position"), altitude


def _given_covariance(fields, dimensions) -> np.ndarray:
    values = fields["covariance_m2"]
    flat = _vector({"covariance_m2": np.ravel(values).tolist() if _is_numeric(values) else values}, "covariance_m2", (4, 9))
    size = 2 if len(flat) == 4 else 3
    if size < dimensions:
        raise Refused("covariance", f"covariance_m2 has 4 numbers, the position {dimensions} axes; give 9")
    covariance = flat.reshape(size, size)[:dimensions, :dimensions]
    covariance = (covariance + covariance.T) / 2
    if not np.linalg.eigvalsh(covariance)[0] > 0:
        raise Refused("covariance", "covariance_m2 is not positive definite")
    return covariance


def _is_numeric(values) -> bool:
    try:
        return np.asarray(values, float).ndim in (1, 2)
    except (TypeError, ValueError):
        return False


def _identity(fields) -> str | None:
    for name in ("identity", "icao"):
        value = fields.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip().lower()[:_MAX_IDENTITY]
        if isinstance(value, int) and not isinstance(value, bool):
            return f"{value:06x}"
    return None


def _unit(fields, quantity: str, otherwise: str) -> float:
    """Metres of one unit of a quantity of the dict."""
    units = fields.get("units")
    if units is None:
        return METRES[otherwise]
    name = units.get(quantity, otherwise) if isinstance(units, dict) else units
    if not isinstance(name, str) or name not in METRES:
        raise Refused("unit", f"{quantity} in {str(name)[:40]!r}; known are {', '.join(METRES)}")
    return METRES[name]


def _number(fields, name: str, reason: str) -> float:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused(reason, f"{name} is {'missing' if value is None else 'no number'}")
    try:
        value = float(value)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise Refused(reason, f"{name} is {value}")
    return value


def _optional(fields, name: str, otherwise):
    """A number that may be missing or NaN."""
    value = fields.get(name)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return otherwise
    return _number(fields, name, "malformed")


def _vector(fields, name: str, sizes) -> np.ndarray:
    value = fields.get(name)
    if not isinstance(value, (list, tuple)) or len(value) not in sizes or any(
            isinstance(v, bool) or not isinstance(v, (int, float)) for v in value):
        raise Refused("malformed", f"{name} is not a list of {' or '.join(map(str, sizes))} numbers")
    vector = np.array([float(v) for v in value])
    if not np.isfinite(vector).all():
        raise Refused("not_finite", f"{name} holds a value that is not finite")
    return vector
