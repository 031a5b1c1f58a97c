# SPDX-License-Identifier: GPL-3.0-or-later
"""A run with a page of its own: ``run --web``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .feed import Feed
from .server import PageServer


class WebListener(Feed):
    """A feed, and the server that shows it.

    Args:
        address, token, names: see ``PageServer``. say: takes lines for a person: the page's address at once, and refusals.

    Raises:
        SettingError: see ``PageServer``.
    """

    def __init__(self, address: str, token: str = "", names: Iterable[str] = (), say: Callable[[str], None] = lambda line: None):
        super().__init__("run")
        self.server = PageServer(address, token, names, say)
        self.server.add(self)
        said = f"the page is at {self.server.url}"
        if self.server.needs_token and not token:
            said += " (whoever has this address may steer the run; it is not shown again)"
        say(said)

    def close(self) -> None:
        self.server.close()

    def summary(self) -> dict[str, Any]:
        return {"web": {"viewers_max": self.max_viewers_seen, "lost_rows": self.lost_rows, "refused": self.server.n_refused}}

    def lines(self) -> list[str]:
        lines = []
        if self.lost_rows:
            lines.append(f"web: {self.lost_rows} rows of the waterfall were not sent, since a page took them too slowly; "
                         "no alert was left out")
        if self.server.n_refused:
            lines.append(f"web: {self.server.n_refused} requests were refused")
        return lines
