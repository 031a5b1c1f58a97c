# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress of a run, reported to its caller."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]  # (activity, done, total; None: unknown)


def no_progress(what: str, done: int, total: int | None) -> None:
    """Reports nothing."""
