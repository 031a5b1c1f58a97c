# SPDX-License-Identifier: GPL-3.0-or-later
"""The history of a site, in one SQLite file: alerts, emitters, occupancy and levels by the minute, health, runs.

``History`` writes, ``Reader`` reads at the same time, ``Recorder`` writes on a thread of its own what a run gives it. ``report``
makes a report out of it. Times are POSIX seconds (UTC) of the signal.
"""

from __future__ import annotations

from .reader import Reader
from .schema import HistoryError
from .store import History

__all__ = ["History", "HistoryError", "Reader"]
