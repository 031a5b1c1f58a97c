# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts against the truth of a band: which anomalies they find, what the others are.

An alert finds an anomaly if it begins while the anomaly lasts (2 frames of tolerance) and overlaps it in frequency (tolerance: 2
places, or half the anomaly's width if that is more). What an alert that began earlier reports is something else. Rows of one
anomaly, such as the dwells of a hopper, are one anomaly.

Anomalies come where others were before. A detector that remembers emitters may take a later one for a further burst of an earlier
one, and then gives no alert. Such an anomaly is not found but *seen again*: a further burst is reported of an emitter whose alert
found an anomaly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...simulate.compose.anomalies import INR, KIND
from ...simulate.compose.emitters import EMITTER
from .alerts import Alert
from .bands import HOP, N_BINS, STRIDE, FieldBand

FRAMES = 2        # of tolerance in time
BINS = 2 * STRIDE  # of tolerance in frequency, at least
FIRST_HEARD, EMITTER_BURST, RECEIVER, NOTHING = CAUSES = ("first heard", "emitter", "receiver", "nothing")
# Not impulses and drifts, which are one row for all of their time: it would explain each alert
RECEIVER_SPELLS = ("receiver: gain step", "receiver: loss")
_AT_ONCE = 256    # alerts


@dataclass(frozen=True)
class Boxes:
    """R boxes of the truth: begin and end (R,) in frames, low and high (R,) in bins, all fractional. Bin k spans [k, k + 1)."""

    begin: np.ndarray
    end: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[dict], band: FieldBand) -> Boxes:
        """The boxes of annotations; one without frequencies spans the band."""
        step, left = band.rate_hz / N_BINS, band.freq_hz - band.rate_hz / 2
        begin = np.array([row["core:sample_start"] for row in rows], float) / HOP
        count = np.array([row["core:sample_count"] for row in rows], float) / HOP
        low = np.array([row.get("core:freq_lower_edge", left) for row in rows], float)
        high = np.array([row.get("core:freq_upper_edge", left + band.rate_hz) for row in rows], float)
        return cls(begin, begin + count, (low - left) / step + 0.5, (high - left) / step + 0.5)

    def met_by(self, begin: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """(A, R) bool: whether alerts that begin at these frames, with these bins (A,), find each box."""
        reach = np.maximum(BINS, (self.high - self.low) / 2)
        return ((begin[:, None] >= np.floor(self.begin) - FRAMES) & (begin[:, None] <= np.ceil(self.end) + FRAMES)
                & (low[:, None] < self.high + reach) & (high[:, None] > self.low - reach))


@dataclass(frozen=True)
class Anomaly:
    """An anomaly of the truth; onset in frames; rows are those of the boxes that are its own."""

    kind: str
    inr_db: float
    onset: float
    seconds: float
    rows: tuple[int, ...]


@dataclass
class Truth:
    """What happens in a band, as far as an alert is held against it. ``first``: whether a burst is the first of an emitter that
    the learning frames did not hold."""

    anomalies: list[Anomaly]
    of_anomalies: Boxes
    of_emitters: Boxes
    of_receiver: Boxes
    first: np.ndarray

    @classmethod
    def of(cls, band: FieldBand, learned_from: int) -> Truth:
        """The truth of a band whose frames [learned_from, band.learn) were learned."""
        foreign = [row for row in band.truth if KIND in row]
        own = [row for row in band.truth if EMITTER in row and KIND not in row]
        receiver = [row for row in band.truth if row["core:label"] in RECEIVER_SPELLS]
        boxes = Boxes.of(foreign, band)
        of_id: dict[str, list[int]] = {}
        for number, row in enumerate(foreign):
            of_id.setdefault(row[EMITTER], []).append(number)
        anomalies = [Anomaly(foreign[rows[0]][KIND], max(foreign[r][INR] for r in rows), float(boxes.begin[rows].min()),
                             float(boxes.end[rows].max() - boxes.begin[rows].min()) * band.frame_s, tuple(rows))
                     for rows in of_id.values()]
        emitters, heard, first = Boxes.of(own, band), set(), np.zeros(len(own), bool)
        for number, row in enumerate(own):
            if emitters.end[number] > learned_from and emitters.begin[number] < band.learn:
                heard.add(row[EMITTER])
        for number in np.argsort(emitters.begin, kind="stable"):
            name = own[number][EMITTER]
            if emitters.begin[number] >= band.learn and name not in heard:
                first[number] = True
                heard.add(name)
        return cls(anomalies, boxes, emitters, Boxes.of(receiver, band), first)


def judged(alerts: Sequence[Alert], truth: Truth, band: FieldBand) -> dict:
    """What a detector did on a band.

    Returns:
        ``quiet``: false alerts of the quiet part by cause; ``unmatched``: those of the anomalous part that find no anomaly;
        ``quiet_kinds`` and ``unmatched_kinds``: the same by the detector's kind. For each anomaly, in the order of the truth:
        ``found``; ``again``, found or seen again; ``delay_ms`` from its onset to the first alert; ``edges``, by how many bins
        that alert's edges lie beyond the box (negative: within). The last two are None if it was not found.
    """
    again, finds_again = _seen_again(alerts, truth, band)
    alerts = [alert for alert in alerts if not alert.again]
    begin, low, high = _places(alerts)
    quiet = np.array([a.opened <= band.quiet for a in alerts], bool)
    cause = _causes(begin, low, high, truth)
    finds = truth.of_anomalies.met_by(begin, low, high) & ~quiet[:, None]
    found, met, delays, edges = [], [], [], []
    raised = {a.of for a, any_found in zip(alerts, finds.any(axis=1), strict=True) if any_found}
    seen = finds_again[[a.of in raised for a in again]].any(axis=0)
    for anomaly in truth.anomalies:
        of_it = np.flatnonzero(finds[:, list(anomaly.rows)].any(axis=1))
        found.append(bool(len(of_it)))
        met.append(bool(len(of_it) or seen[list(anomaly.rows)].any()))
        if not len(of_it):
            delays.append(None)
            edges.append(None)
            continue
        alert = min((alerts[k] for k in of_it), key=lambda a: (a.opened, a.begin))
        number = min(of_it, key=lambda k: (alerts[k].opened, alerts[k].begin))
        row = next(r for r in anomaly.rows if finds[number, r])
        delays.append(round((alert.opened - anomaly.onset) * band.frame_s * 1e3, 1))
        edges.append([round(float(truth.of_anomalies.low[row] - alert.low), 1),
                      round(float(alert.high - truth.of_anomalies.high[row]), 1)])
    stray = ~quiet & ~finds.any(axis=1)
    return {"quiet": dict(Counter(c for c, now in zip(cause, quiet, strict=True) if now)),
            "unmatched": dict(Counter(c for c, now in zip(cause, stray, strict=True) if now)),
            "quiet_kinds": dict(Counter(a.kind for a, now in zip(alerts, quiet, strict=True) if now)),
            "unmatched_kinds": dict(Counter(a.kind for a, now in zip(alerts, stray, strict=True) if now)),
            "found": found, "again": met, "delay_ms": delays, "edges": edges}


def _places(alerts: Sequence[Alert]) -> list[np.ndarray]:
    """Begin, low and high of alerts, (A,) each."""
    return [np.array([getattr(a, key) for a in alerts], float) for key in ("begin", "low", "high")]


def _seen_again(alerts: Sequence[Alert], truth: Truth, band: FieldBand) -> tuple[list[Alert], np.ndarray]:
    """The further bursts after the quiet part, and which boxes of anomalies each meets, (A, R) bool."""
    again = [alert for alert in alerts if alert.again and alert.opened > band.quiet]
    return again, truth.of_anomalies.met_by(*_places(again))


def _causes(begin: np.ndarray, low: np.ndarray, high: np.ndarray, truth: Truth) -> list[str]:
    """What each alert saw, if it was no anomaly: one of CAUSES."""
    out: list[str] = []
    for start in range(0, len(begin), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        given = begin[part], low[part], high[part]
        emitters = truth.of_emitters.met_by(*given)
        new, known = emitters[:, truth.first].any(axis=1), emitters.any(axis=1)
        receiver = truth.of_receiver.met_by(*given).any(axis=1)
        out += [FIRST_HEARD if n else RECEIVER if r else EMITTER_BURST if k else NOTHING
                for n, k, r in zip(new, known, receiver, strict=True)]
    return out
