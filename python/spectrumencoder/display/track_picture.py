# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of tracks, from their messages: a map with prediction ellipses, and emissions over time and frequency."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .. import keys

_SIGMAS = 2.1460  # radius of the ellipse that holds 90 % of a plane's normal distribution
_SPATIAL, _SPECTRAL = "spatial", "spectral"


def by_track(messages: Iterable[dict], kind: str) -> dict[str, list[dict]]:
    """Messages of one kind of track, by id, in order."""
    tracks: dict[str, list[dict]] = {}
    for fields in messages:
        if fields.get(keys.KIND) == kind:
            tracks.setdefault(fields[keys.TRACK_ID], []).append(fields)
    return tracks


def draw_map(axes, messages: Iterable[dict]) -> int:
    """Draws position tracks in kilometres about the origin, each with the predictions of its last update; gives their number."""
    tracks = by_track(messages, _SPATIAL)
    for number, (track_id, rows) in enumerate(tracks.items()):
        colour = f"C{number % 10}"
        path = np.array([row[keys.POSITION_M][:2] for row in rows]) / 1e3
        axes.plot(*path.T, "-", lw=1.2, color=colour, label=rows[-1].get(keys.IDENTITY, track_id))
        predicting = [row for row in rows if row[keys.PREDICTIONS]]
        for ahead in predicting[-1][keys.PREDICTIONS] if predicting else ():
            _draw_ellipse(axes, ahead, colour)
        wrong = [row for row in rows if keys.TRACK_ANOMALY in row]
        if wrong:
            axes.plot(*(np.array(wrong[0][keys.POSITION_M][:2]) / 1e3), "x", ms=10, mew=2, color="red")
    axes.set(xlabel="east (km)", ylabel="north (km)", aspect="equal")
    return len(tracks)


def _draw_ellipse(axes, ahead: dict, colour: str):
    dimensions = len(ahead[keys.POSITION_M])
    covariance = np.reshape(ahead[keys.COVARIANCE], (dimensions, dimensions))[:2, :2]
    values, vectors = np.linalg.eigh(covariance)
    angle = np.linspace(0, 2 * np.pi, 60)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    outline = np.array(ahead[keys.POSITION_M][:2])[:, None] + _SIGMAS * vectors @ (np.sqrt(values)[:, None] * circle)
    axes.fill(*(outline / 1e3), facecolor=colour, alpha=0.15, edgecolor=colour, lw=0.8)


def draw_emissions(axes, messages: Iterable[dict], start_s: float, *, scale_hz: float = 1e6) -> int:
    """Draws spectral tracks over seconds since start_s (up) and frequency: the filtered middle, its predictions dashed, and the
    frequencies of a hop set; gives their number."""
    tracks = by_track(messages, _SPECTRAL)
    for number, (track_id, rows) in enumerate(tracks.items()):
        colour = f"C{number % 10}"
        seconds = np.array([row[keys.TIMESTAMP] for row in rows]) - start_s
        middle = np.array([row[keys.FREQ_CENTER_HZ] for row in rows]) / scale_hz
        hops = rows[-1].get(keys.HOP_SET_HZ) or []
        axes.plot(middle, seconds, "." if hops else "-", ms=3, lw=1.4, color=colour, label=rows[-1].get(keys.LABEL, track_id))
        for channel in hops:
            axes.axvline(channel / scale_hz, color=colour, lw=0.5, ls=":")
        predicting = [row for row in rows if row[keys.PREDICTIONS]]
        if predicting and not hops:
            last = predicting[-1]
            at = last[keys.TIMESTAMP] - start_s
            ahead = np.array([(p[keys.FREQ_CENTER_HZ] / scale_hz, at + p[keys.HORIZON_S]) for p in last[keys.PREDICTIONS]])
            axes.plot(*np.vstack([(last[keys.FREQ_CENTER_HZ] / scale_hz, at), ahead]).T, "--", lw=1.2, color=colour)
    return len(tracks)
