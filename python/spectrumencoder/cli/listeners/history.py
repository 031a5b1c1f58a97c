# SPDX-License-Identifier: GPL-3.0-or-later
"""``run --history SITE.db``: the history of a site, in an SQLite file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import NOTES, check_writable
from ..errors import UsageError

PANEL = "History"
MIN_MB, MAX_MB = 1.0, 1000.0
OPTIONS = {
    "history": (Annotated[Path | None, typer.Option(metavar="SITE.db", help="Keep alerts, emitters, occupancy, levels and health "
                                                    "in this file, after what it holds; `report` reads it.",
                                                    show_default=False, rich_help_panel=PANEL)], None),
    "history_days": (Annotated[float, typer.Option(min=0.0, help="Age, in days, from which on it is deleted there. 0: no limit.",
                                                   rich_help_panel=PANEL)], 0.0),
    "history_mb": (Annotated[float, typer.Option(min=0.0, help="Size of the file, MB, from which on the oldest is deleted. "
                                                 "0: no limit.", rich_help_panel=PANEL)], MAX_MB),
}


def open_listener(history: Path | None, history_days: float, history_mb: float):
    if history is None:
        if history_days or history_mb != MAX_MB:
            raise UsageError(f"--history-{'days' if history_days else 'mb'} is for --history SITE.db; leave it out, or add that")
        return None
    if 0 < history_mb < MIN_MB:
        raise UsageError(f"--history-mb {history_mb:g} is too small for a history; give {MIN_MB:g} or more, or 0 for no limit")
    from ...history.schema import HistoryError
    from ...session.history_listener import HistoryListener
    check_writable(history)
    try:
        return HistoryListener(history, history_days, history_mb, lambda line: NOTES.print(f"note: {line}", markup=False))
    except HistoryError as error:
        raise UsageError(f"--history {error}") from error
