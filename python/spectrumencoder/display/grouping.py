# SPDX-License-Identifier: GPL-3.0-or-later
"""Events that are about parts of one signal, as one: a picture says one thing about a station, however many alerts it gave."""

from __future__ import annotations

from .. import keys
from .appearance import N_ALERTS, number, threat_rank

MAX_PART = 1.5  # a part of a signal is at most so many times as wide as the signal


def join_by_signal(events: list[dict], listed: list[dict] | None) -> list[dict]:
    """The events, with those of several alerts in the place of one listed signal joined.

    A joined event has the place of that signal, the highest threat of its alerts, and the rest of the first of them; it has one
    box for each time that any of them was on. An alert that is alone in its place stays as it is.

    Args:
        events: one for each transmission, the most certain ones first. listed: rows of the list of signals; None: not known.
    """
    of_row: dict[int, list[dict]] = {}
    alone = []
    for event in events:
        row = next((n for n, one in enumerate(listed or []) if _is_part(event, one)), None)
        if row is None:
            alone.append(event)
        else:
            of_row.setdefault(row, []).append(event)
    joined = []
    for row, some in of_row.items():
        n_alerts = len({event.get(keys.EVENT_ID) for event in some})
        joined += _join(some, listed[row], n_alerts) if n_alerts > 1 else some
    return joined + alone


def _is_part(event: dict, row: dict) -> bool:
    """Whether an event meets the band of a signal, and is not much wider than that."""
    center, start, length = (number(event.get(key)) for key in (keys.FREQ_CENTER_HZ, keys.SAMPLE_START, keys.SAMPLE_COUNT))
    if center is None or start is None or length is None:
        return False
    width_hz, of_signal = (number(one.get(keys.BANDWIDTH_HZ)) or 0.0 for one in (event, row))
    return abs(center - row[keys.FREQ_CENTER_HZ]) < 0.5 * (width_hz + of_signal) and width_hz <= MAX_PART * of_signal


def _join(events: list[dict], row: dict, n_alerts: int) -> list[dict]:
    """One event for each stretch in which any of these was on."""
    common = events[0] | {
        keys.FREQ_CENTER_HZ: row[keys.FREQ_CENTER_HZ], keys.BANDWIDTH_HZ: row[keys.BANDWIDTH_HZ], N_ALERTS: n_alerts,
        keys.THREAT_LEVEL: max((event.get(keys.THREAT_LEVEL) for event in events), key=threat_rank)}
    stretches: list[list[int]] = []
    for start, stop in sorted((e[keys.SAMPLE_START], e[keys.SAMPLE_START] + e[keys.SAMPLE_COUNT]) for e in events):
        if stretches and start <= stretches[-1][1]:
            stretches[-1][1] = max(stretches[-1][1], stop)
        else:
            stretches.append([start, stop])
    return [common | {keys.SAMPLE_START: start, keys.SAMPLE_COUNT: stop - start} for start, stop in stretches]
