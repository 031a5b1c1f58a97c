# SPDX-License-Identifier: GPL-3.0-or-later
"""A track as the dict that goes out: message, JSON line, GeoJSON feature, Cursor-on-Target event."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import numpy as np

from .. import keys
from .estimate import Estimate
from .geo import Origin, to_geodetic
from .spectral import SpectralEstimate, SpectralTrack
from .track import Track

SPATIAL, SPECTRAL = "spatial", "spectral"
OPEN, UPDATE, CLOSE = "open", "update", "close"
COT_TYPE = "a-u-G"  # an atom of unknown affiliation, on the ground; _COT_AIR if it flies
_COT_AIR = "a-u-A"
_COT_UNKNOWN = "9999999.0"
_FLYING_MPS = 30.0


def spatial_dicts(tracks: list[Track], states: list[str], horizons_s, ahead: list[list[Estimate]],
                  origin: Origin | None) -> list[dict]:
    """The dicts of position tracks, with their predictions (``keys.TRACK_FIELDS``); with an origin, also in degrees."""
    estimates = [[track.estimate, *predictions] for track, predictions in zip(tracks, ahead, strict=True)]
    places = iter(_places([e.position_m for row in estimates for e in row], origin))
    return [_spatial_dict(track, state, horizons_s, row, [next(places) for _ in row])
            for track, state, row in zip(tracks, states, estimates, strict=True)]


def _spatial_dict(track, state, horizons_s, estimates, places) -> dict:
    estimate = track.estimate
    fields = {keys.TRACK_ID: track.id, keys.STATE: state, keys.TIMESTAMP: estimate.time_s, keys.KIND: SPATIAL,
              keys.AGE_S: track.age_s, keys.HITS: track.hits, keys.SOURCE: track.source, **places[0],
              keys.POSITION_M: estimate.position_m, keys.VELOCITY_MPS: estimate.velocity_mps,
              keys.COVARIANCE: estimate.covariance.ravel(), keys.MODE_PROBABILITIES: track.probability,
              keys.ANOMALY_IDS: list(track.anomaly_ids)}
    if track.identity is not None:
        fields[keys.IDENTITY] = track.identity
    if track.anomaly is not None:
        fields[keys.TRACK_ANOMALY] = {keys.KIND: track.anomaly.kind, keys.TIMESTAMP: track.anomaly.time_s,
                                      keys.DISTANCE_M: track.anomaly.distance_m, keys.SCORE: track.anomaly.score}
    fields[keys.PREDICTIONS] = [
        {keys.HORIZON_S: float(horizon), **place, keys.POSITION_M: e.position_m,
         keys.COVARIANCE: e.position_covariance_m2.ravel()}
        for horizon, e, place in zip(horizons_s, estimates[1:], places[1:], strict=True)]
    return fields


def spectral_dict(track: SpectralTrack, state: str, horizons_s, predictions: list[SpectralEstimate]) -> dict:
    """The dict of an emission's track."""
    estimate = track.estimate
    fields = {keys.TRACK_ID: track.id, keys.STATE: state, keys.TIMESTAMP: estimate.time_s, keys.KIND: SPECTRAL,
              keys.AGE_S: track.age_s, keys.HITS: track.hits, keys.FREQ_CENTER_HZ: estimate.freq_center_hz,
              keys.DRIFT_HZ_S: estimate.drift_hz_s, keys.BANDWIDTH_HZ: track.bandwidth_hz,
              keys.COVARIANCE: estimate.covariance.ravel(), keys.MODE_PROBABILITIES: track.probability,
              keys.ANOMALY_IDS: list(track.anomaly_ids)}
    if math.isfinite(track.power_dbfs):
        fields[keys.POWER_DBFS] = track.power_dbfs
    if track.relative:
        fields[keys.FREQ_RELATIVE] = True
    if track.label is not None:
        fields[keys.LABEL] = track.label
    if track.hop_set_hz:
        fields[keys.HOP_SET_HZ] = list(track.hop_set_hz)
    fields[keys.PREDICTIONS] = [{keys.HORIZON_S: float(horizon), keys.FREQ_CENTER_HZ: ahead.freq_center_hz,
                                 keys.DRIFT_HZ_S: ahead.drift_hz_s, keys.COVARIANCE: ahead.covariance.ravel()}
                                for horizon, ahead in zip(horizons_s, predictions, strict=True)]
    return fields


def feature(fields: dict) -> dict | None:
    """A GeoJSON feature (RFC 7946) of a track's dict, with the predictions as a line; None if it has no place on earth."""
    if keys.LATITUDE not in fields:
        return None
    point = {"type": "Point", "coordinates": _coordinates(fields)}
    line = [_coordinates(ahead) for ahead in fields[keys.PREDICTIONS] if keys.LATITUDE in ahead]
    geometry = point if not line else {"type": "GeometryCollection", "geometries": [
        point, {"type": "LineString", "coordinates": [_coordinates(fields), *line]}]}
    drop = (keys.LATITUDE, keys.LONGITUDE, keys.ALTITUDE)
    return {"type": "Feature", "id": fields[keys.TRACK_ID], "geometry": geometry,
            "properties": _plain({name: value for name, value in fields.items() if name not in drop})}


def cursor_on_target(fields: dict, stale_s: float = 120.0) -> bytes | None:
    """A Cursor-on-Target event (version 2.0) of a track's dict; None if it has no place on earth."""
    if keys.LATITUDE not in fields:
        return None
    velocity = fields[keys.VELOCITY_MPS]
    speed = math.hypot(*velocity[:2])
    dimensions = len(velocity)
    covariance = np.reshape(fields[keys.COVARIANCE], (2 * dimensions, 2 * dimensions))
    time_s = fields[keys.TIMESTAMP]
    from xml.etree import ElementTree
    event = ElementTree.Element("event", {
        "version": "2.0", "uid": f"spectrumencoder.{fields[keys.TRACK_ID]}", "how": "m-g",
        "type": _COT_AIR if speed > _FLYING_MPS and dimensions == 3 else COT_TYPE,
        "time": _iso(time_s), "start": _iso(time_s), "stale": _iso(time_s if fields[keys.STATE] == CLOSE else time_s + stale_s)})
    ElementTree.SubElement(event, "point", {
        "lat": f"{fields[keys.LATITUDE]:.7f}", "lon": f"{fields[keys.LONGITUDE]:.7f}",
        "hae": f"{fields[keys.ALTITUDE]:.1f}" if keys.ALTITUDE in fields else _COT_UNKNOWN,
        "ce": f"{math.sqrt(np.trace(covariance[:2, :2])):.1f}",
        "le": f"{math.sqrt(covariance[2, 2]):.1f}" if dimensions == 3 else _COT_UNKNOWN})
    detail = ElementTree.SubElement(event, "detail")
    course = math.degrees(math.atan2(velocity[0], velocity[1])) % 360
    ElementTree.SubElement(detail, "track", {"course": f"{course:.1f}", "speed": f"{speed:.2f}"})
    ElementTree.SubElement(detail, "contact", {"callsign": _printable(fields.get(keys.IDENTITY) or fields[keys.TRACK_ID])})
    if keys.TRACK_ANOMALY in fields:
        anomaly = fields[keys.TRACK_ANOMALY]
        ElementTree.SubElement(detail, "remarks").text = (
            f"impossible motion ({anomaly[keys.KIND]}), {anomaly[keys.DISTANCE_M]:.0f} m off at {_iso(anomaly[keys.TIMESTAMP])}")
    return ElementTree.tostring(event, encoding="utf-8", xml_declaration=True)


def json_line(fields: dict) -> str:
    """A track's dict as one line of JSON; numbers that are not finite become null."""
    return json.dumps(_plain(fields), allow_nan=False)


def _plain(value):
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _places(positions_m: list[np.ndarray], origin: Origin | None) -> list[dict]:
    """Degrees, and metres if there is a height, of all positions at once."""
    if origin is None or not positions_m:
        return [{} for _ in positions_m]
    up = np.array([[*p[:2], p[2] if len(p) == 3 else 0.0] for p in positions_m])
    places = []
    for position, latitude, longitude, altitude in zip(positions_m, *(a.tolist() for a in to_geodetic(up, origin)), strict=True):
        place = {keys.LATITUDE: latitude, keys.LONGITUDE: longitude}
        places.append(place | ({keys.ALTITUDE: altitude} if len(position) == 3 else {}))
    return places


def _coordinates(fields: dict) -> list[float]:
    place = [round(fields[keys.LONGITUDE], 7), round(fields[keys.LATITUDE], 7)]
    return [*place, round(fields[keys.ALTITUDE], 2)] if keys.ALTITUDE in fields else place


def _printable(text: str) -> str:
    """The text without characters that XML 1.0 cannot hold."""
    return "".join(c for c in text if c.isprintable())


def _iso(time_s: float) -> str:
    try:
        moment = datetime.fromtimestamp(time_s, UTC)
    except (OverflowError, ValueError, OSError):
        moment = datetime.fromtimestamp(0, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
