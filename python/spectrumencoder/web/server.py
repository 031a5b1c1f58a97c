# SPDX-License-Identifier: GPL-3.0-or-later
"""The server of the page: uvicorn on a thread of its own, with a loop of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence

import uvicorn
from starlette.routing import BaseRoute

from ..session.errors import SettingError
from .access import Access
from .address import Address, url_host
from .app import RUN_PAGE, make_app, refresh_all
from .feed import Feed

MAX_MESSAGE = 1024  # bytes that a page may send over its websocket; it has nothing to say there
MAX_CONNECTIONS = 128
_END_S = 3.0


class _WithoutTheEnd(logging.Filter):
    """Leaves out what uvicorn logs, with tracebacks, of requests and pages that the end of the server cuts off."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not (isinstance(error, asyncio.CancelledError) or str(record.msg).startswith("Cancel %s running task"))


logging.getLogger("uvicorn.error").addFilter(_WithoutTheEnd())


class PageServer:
    """Serves the page and its feeds from construction to ``close``.

    Args:
        address: HOST:PORT. token, names: see ``Access``.
        log: takes a line about each refusal, one a second at most; on the server's thread.
        first, routes: see ``make_app``.

    Attributes: url (for a browser, with the token behind #, which no request carries), n_refused.

    Raises:
        SettingError: the address cannot be used, or the token is too short.
    """

    def __init__(self, address: str, token: str = "", names: Iterable[str] = (), log: Callable[[str], None] = lambda line: None,
                 first: str = RUN_PAGE, routes: Sequence[BaseRoute] = ()):
        where = Address.parse(address)
        try:
            self._access = Access(where, token, names)
        except ValueError as error:
            raise SettingError(f"--web-token: {error}") from None
        self._socket = where.open()
        self.port = self._access.port = self._socket.getsockname()[1]
        self.address = where._replace(port=self.port)
        self.n_refused, self._log, self._logged_s, self._unlogged = 0, log, -1e9, 0
        self._feeds: dict[str, Feed] = {}
        config = uvicorn.Config(
            make_app(self._feeds, self._access, self._refused, first, routes), loop="asyncio", http="h11", ws="websockets-sansio",
            lifespan="off", log_config=None, access_log=False, server_header=False, date_header=False, proxy_headers=False,
            ws_max_size=MAX_MESSAGE, ws_max_queue=2, ws_per_message_deflate=False, ws_ping_interval=20.0, ws_ping_timeout=30.0,
            timeout_keep_alive=10, limit_concurrency=MAX_CONNECTIONS, h11_max_incomplete_event_size=16384,
            timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._thread.start()

    @property
    def needs_token(self) -> bool:
        return bool(self._access.token)

    @property
    def url(self) -> str:
        host = self.address.host
        shown = "127.0.0.1" if host in ("0.0.0.0", "") else "::1" if host == "::" else host
        return f"http://{url_host(shown)}:{self.port}/" + (f"#token={self._access.token}" if self._access.token else "")

    def add(self, feed: Feed) -> None:
        """Serves a feed from here on."""
        self._feeds[feed.id] = feed

    def remove(self, feed: Feed) -> None:
        """Serves it no longer; pages that follow it stay open."""
        self._feeds.pop(feed.id, None)

    def close(self) -> None:
        """Ends the server; pages are told by the end of their connection."""
        self._server.should_exit = True
        self._thread.join(_END_S)
        self._server.force_exit = True
        self._thread.join(_END_S)
        self._socket.close()

    def _run(self):
        async def serve():
            refresher = asyncio.create_task(refresh_all(self._feeds))
            try:
                await self._server.serve(sockets=[self._socket])
            finally:
                refresher.cancel()
        asyncio.run(serve())

    def _refused(self, line: str):
        self.n_refused += 1
        now = time.monotonic()
        if now - self._logged_s < 1.0:
            self._unlogged += 1
            return
        more = f", and {self._unlogged} more" if self._unlogged else ""
        self._logged_s, self._unlogged = now, 0
        self._log(f"web: {line}{more}")
