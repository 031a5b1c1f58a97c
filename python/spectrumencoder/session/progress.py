# SPDX-License-Identifier: GPL-3.0-or-later
"""How a run reports what it does to whoever started it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]  # what is being done, how much is done, how much there is (None: unknown)


def no_progress(what: str, done: int, total: int | None) -> None:
    """Reports nothing."""
