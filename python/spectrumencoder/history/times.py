# SPDX-License-Identifier: GPL-3.0-or-later
"""Times in reports: what a person types, and what a person reads. All are UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def parse_time(text: str, now_s: float) -> float:
    """POSIX time of "24h" (that long before now: s, m, h, d, w), "now", or an ISO 8601 time, UTC if it names no zone.

    Raises:
        ValueError: it is none; one line.
    """
    text = text.strip()
    if text == "now":
        return now_s
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if match:
        return now_s - float(match[1]) * _UNITS_S[match[2]]
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time; write it like 24h, 7d, 2026-01-31 or 2026-01-31T18:00Z") from None
    return (when.replace(tzinfo=UTC) if when.tzinfo is None else when).timestamp()


def stamp(posix_s: float, seconds: bool = False) -> str:
    """ "2026-11-16 18:04", with seconds if wanted."""
    return datetime.fromtimestamp(posix_s, UTC).strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def short_stamp(posix_s: float, year: bool = False, seconds: bool = False) -> str:
    """ "Mon 16 Nov 18:04", "Mon 16 Nov 2026 18:04", "Mon 16 Nov 18:04:31"."""
    form = f"%a %d %b{' %Y' if year else ''} %H:%M{':%S' if seconds else ''}"
    return datetime.fromtimestamp(posix_s, UTC).strftime(form)


def length(seconds: float) -> str:
    """ "3 h 25 min", "2 days 4 h", "45 s": two units at most."""
    seconds = max(0.0, seconds)
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60.0)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(seconds / 3600.0), 24)
    return f"{days} days {hours} h" if hours else f"{days} days"
