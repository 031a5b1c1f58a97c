# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person who watches a run should see, as lines: what was learned, and each alert."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .run_probe import run_probe


def news_lines(probe: run_probe) -> list[str]:
    """Takes the news of a probe. What was learned and alerts come by two ports, so what was learned is put first."""
    from ..emitters import listing
    news = []
    while probe.news:
        news.append(probe.news.popleft())
    lines = []
    for said, rows in (entry for entry in news if isinstance(entry, tuple)):
        lines += [said, *(listing.table(rows) if rows else [])]
    return lines + [listing.alert_line(entry) for entry in news if isinstance(entry, dict)]
