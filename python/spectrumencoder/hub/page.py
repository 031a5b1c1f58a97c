# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the hub: all sensors on a map, alerts side by side, links; and each sensor's own page, as a run has it.

    GET  /                             all sensors
    GET  /run?feed=ID                  one sensor, see ``web.app``
    GET  /api/hub                      ``Hub.overview``
    GET  /api/hub/hears/SENSOR/EVENT   ``Site.who_hears``
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..session.listening import News
from ..web import texts
from ..web.feed import Feed
from ..web.server import PageServer
from .site import Follower
from .station import Station

if TYPE_CHECKING:
    from .server import Hub

FRESH_S = 0.9  # an overview is made once for all pages that ask


class HubPage(Follower):
    """Serves the page, with a feed for each sensor.

    Args:
        address, token, names: see ``web.server.PageServer``. say: takes the page's address, and a line for each refusal.

    Raises:
        SettingError: the address cannot be used, or the token is too short.
    """

    def __init__(self, address: str, token: str, names: Iterable[str], say: Callable[[str], None]):
        self._hub: Hub | None = None
        self._feeds: dict[str, Feed] = {}
        self._overview, self._made_s, self._making = "", 0.0, asyncio.Lock()
        self._server = PageServer(address, token, names, say, "hub.html", [
            Route("/api/hub", self._answer_overview), Route("/api/hub/hears/{sensor}/{event}", self._answer_hears)])
        say(f"the page is at {self._server.url}")

    @property
    def url(self) -> str:
        return self._server.url

    def show(self, hub: Hub) -> None:
        """Shows this hub from here on."""
        self._hub = hub

    def begin(self, station: Station) -> None:
        self._feed(station).begin(station)

    def news(self, station: Station, news: News) -> None:
        self._feed(station).take(news)

    def end(self, station: Station, notes: list[str]) -> None:
        self._feed(station).end(notes)

    def close(self) -> None:
        self._server.close()

    def _feed(self, station: Station) -> Feed:
        feed = self._feeds.get(station.sensor)
        if feed is None:
            feed = self._feeds[station.sensor] = Feed(station.sensor, station.sensor)
            self._server.add(feed)
            feed.begin(station)
        return feed

    async def _answer_overview(self, request: Request) -> Response:
        async with self._making:
            if time.monotonic() - self._made_s > FRESH_S:
                self._overview = texts.dumps(await asyncio.to_thread(self._there().overview))
                self._made_s = time.monotonic()
        return Response(self._overview, media_type="application/json")

    async def _answer_hears(self, request: Request) -> Response:
        hub, names = self._there(), request.path_params
        assert hub.site is not None
        try:
            rows: list[dict[str, Any]] = await asyncio.to_thread(hub.site.who_hears, names["sensor"], names["event"])
        except KeyError:
            raise HTTPException(404, "there is no such alert") from None
        return Response(texts.dumps(rows), media_type="application/json")

    def _there(self) -> Hub:
        if self._hub is None:
            raise HTTPException(503, "the hub begins")
        return self._hub
