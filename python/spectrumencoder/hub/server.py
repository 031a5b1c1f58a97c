# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole hub: receiver, store, site, histories, and the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .certificates import AllowList, load_hub
from .receiver import Accepted, Receiver
from .site import Follower, Site
from .store import HubStore


class Hub:
    """Runs from construction to ``close``.

    Args:
        listen: address for sensors. db: the hub's file. keys: folder of keys; None: this machine only.
        max_bytes: see ``HubStore``. history: folder of histories; None: none. web: HOST:PORT of the page; "": none.
        web_token, web_names: see ``web.server.PageServer``. say: gets lines for a person.

    Raises:
        KeyFileError, StoreError, ValueError, SettingError, OSError: something cannot be used; one line.
    """

    def __init__(self, listen: str, db: Path, keys: Path | None = None, *, max_bytes: int = 0, history: Path | None = None,
                 web: str = "", web_token: str = "", web_names: Iterable[str] = (),
                 say: Callable[[str], None] = lambda line: None):
        hub_keys, allowed = (None, None) if keys is None else (load_hub(keys), AllowList(keys))
        self._say, self._page, self._known = say, None, set()
        followers: list[Follower] = []
        store = HubStore(db, max_bytes)
        self.site: Site | None = None
        try:
            if history is not None:
                from .histories import Histories
                followers.append(Histories(history, say))
            if web:
                from .page import HubPage
                self._page = HubPage(web, web_token, web_names, say)
                followers.append(self._page)
            self.site = Site(store, followers, say)
            self._known |= set(self.site.stations)
            self.receiver = Receiver(listen, store, hub_keys, allowed, self._take, say)
        except BaseException:
            if self.site is not None:
                self.site.close()
            else:
                for follower in followers:
                    follower.close()
            store.close()
            raise
        if self._page is not None:
            self._page.show(self)
        known = f"{len(allowed)} sensors on its list" if allowed is not None else "no keys: sensors of this machine only"
        say(f"the hub listens at {self.receiver.address}; {known}")

    @property
    def failure(self) -> str:
        """What ended it; "": nothing."""
        return self.receiver.failure

    def close(self) -> None:
        """Ends it; sensors keep what was not acknowledged."""
        self.receiver.close()
        if self.site is not None:
            self.site.close()

    def overview(self) -> dict[str, Any]:
        """For the page: the site, and what was refused."""
        assert self.site is not None
        refused: Counter[str] = Counter()
        for (_, reason), count in self.receiver.counts.copy().items():
            refused[reason] += count
        return self.site.overview() | {"refused": dict(refused), "lost": dict(self.receiver.lost), "disk": self.receiver.disk,
                                       "stored": self.receiver.n_stored}

    def summary(self) -> dict[str, Any]:
        """Counters for the file of --json."""
        assert self.site is not None
        refused: dict[str, dict[str, int]] = {}
        for (sensor, reason), count in self.receiver.counts.items():
            refused.setdefault(sensor, {})[reason] = count
        sensors = {name: {"messages": one.budget.n_messages, "bytes": one.budget.n_bytes, "spectra": one.budget.n_spectra}
                   for name, one in self.site.stations.items()}
        return {"stored": self.receiver.n_stored, "bytes": self.receiver.n_bytes, "sensors": sensors, "refused": refused,
                "lost": dict(self.receiver.lost), "decoded": self.site.decoder.n_decoded,
                "left_out": self.site.decoder.n_left_out, "refused_reports": dict(self.site.refused_reports)}

    def lines(self) -> list[str]:
        """For a person at the end."""
        summary = self.summary()
        refused = sum(sum(counts.values()) for counts in summary["refused"].values())
        known = len(summary["sensors"])
        lines = [f"{summary['stored']} messages, {summary['bytes']} bytes; {known} "
                 f"{'sensor' if known == 1 else 'sensors'} known; {refused} refused"]
        if summary["left_out"]:
            lines.append(f"{summary['left_out']} groups of spectra were stored and not decoded, for lack of time")
        if any(summary["lost"].values()):
            lines.append(f"{sum(summary['lost'].values())} messages were dropped by sensors whose spool was full")
        return lines

    def _take(self, accepted: list[Accepted]) -> None:
        for sensor in {one.message.sensor for one in accepted} - self._known:
            self._known.add(sensor)
            self._say(f"sensor {sensor} is there")
        assert self.site is not None
        self.site.take(accepted)
