# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses of the server and what they answer. Each request passes ``access`` first; every refusal is one line of the log.

    GET  /, /run, /static/...                 the page; nothing secret is in it
    POST /api/login                           {"token": ...} -> the session's cookie
    GET  /api/feeds                           the list of feeds
    WS   /api/feeds/ID/live                   texts (JSON) and rows, as ``feed`` offers them; the page sends nothing
    POST /api/feeds/ID/order                  an order, see ``orders``
    GET  /api/feeds/ID/past?until=POSIX       alerts of the run's history from before then
    GET  /api/feeds/ID/snippets/EVENT/rows    the spectra of a snippet, as rows
    GET  /api/feeds/ID/snippets/EVENT/sigmf   the snippet, a SigMF archive
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from .access import SESSION_S, Access, Refused
from .feed import Feed, Viewer

if TYPE_CHECKING:
    from .snippets import Snippet

STATIC = Path(__file__).parent / "static"
RUN_PAGE = "index.html"
MAX_BODY = 4096  # bytes
MAX_VIEWERS = 16
STATE_S = 1.0
SLOW_S = 30.0  # a page that takes nothing for so long is cut off
WRONG_TOKEN_S = 1.0  # what a wrong token costs
_TRY_LATER, _NOT_ALLOWED, _TOO_BIG = 1013, 1008, 1009  # codes of RFC 6455


def make_app(feeds: Mapping[str, Feed], access: Access, log: Callable[[str], None], first: str = RUN_PAGE,
             routes: Sequence[BaseRoute] = ()) -> Guard:
    """The ASGI application. feeds: by id; it may change. log: takes a line for each refusal.

    first: the page at /; that of a run is at /run, too. routes: more of them, below /api/ if they ask for a session.
    """
    pages = _Pages(feeds, access, log, first)
    app = Starlette(routes=[
        Route("/", pages.index),
        Route("/run", pages.run),
        *routes,
        Route("/api/login", pages.login, methods=["POST"]),
        Route("/api/feeds", pages.list_feeds),
        WebSocketRoute("/api/feeds/{id}/live", pages.live),
        Route("/api/feeds/{id}/order", pages.order, methods=["POST"]),
        Route("/api/feeds/{id}/past", pages.past),
        Route("/api/feeds/{id}/snippets/{event}/rows", pages.snippet_rows),
        Route("/api/feeds/{id}/snippets/{event}/sigmf", pages.snippet_archive),
        Mount("/static", StaticFiles(directory=STATIC)),
    ], exception_handlers={HTTPException: _say_error})
    return Guard(app, access, log)


class Guard:
    """Asks ``access`` before anything else, and adds the headers that keep other pages out of this one."""

    def __init__(self, app: Any, access: Access, log: Callable[[str], None]):
        self._app, self._access, self._log = app, access, log

    async def __call__(self, scope, receive, send):
        connection = HTTPConnection(scope)
        try:
            self._check(connection, scope.get("method", ""), scope["type"] == "websocket")
        except Refused as refused:
            where = connection.client.host if connection.client else "?"
            self._log(f"refused {where}: {refused} ({scope['path'][:80]})")
            await self._refuse(scope, receive, send, refused)
            return
        host = connection.headers.get("host", "")
        await self._app(scope, receive, send if scope["type"] == "websocket" else _with_headers(send, host))

    def _check(self, connection: HTTPConnection, method: str, websocket: bool):
        access, headers = self._access, connection.headers
        access.check_host(headers)
        access.check_origin(method, headers, websocket)
        path = connection.scope["path"]
        if path.startswith("/api/") and path != "/api/login":
            access.check_session(headers, connection.cookies)

    async def _refuse(self, scope, receive, send, refused: Refused):
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _NOT_ALLOWED})  # before it is accepted: 403
        else:
            await Response(status_code=refused.status, headers={"connection": "close"})(scope, receive, send)


class _Pages:
    def __init__(self, feeds: Mapping[str, Feed], access: Access, log: Callable[[str], None], first: str):
        self._feeds, self._access, self._log, self._first = feeds, access, log, first
        self._n_viewers = 0

    async def index(self, request: Request) -> Response:
        return self._page(self._first)

    async def run(self, request: Request) -> Response:
        return self._page(RUN_PAGE)

    def _page(self, name: str) -> Response:
        response = FileResponse(STATIC / name)
        if not self._access.token:
            self._give_session(response)
        return response

    async def login(self, request: Request) -> Response:
        content = await _json(request)
        token = content.get("token") if isinstance(content, dict) else None
        if not isinstance(token, str) or not self._access.is_token(token):
            self._log(f"refused {request.client.host if request.client else '?'}: a wrong token (/api/login)")
            await asyncio.sleep(WRONG_TOKEN_S)
            raise HTTPException(403, "this is not the token")
        response = Response(status_code=204)
        self._give_session(response)
        return response

    def _give_session(self, response: Response):
        response.set_cookie(self._access.cookie_name, self._access.new_session(), max_age=int(SESSION_S), httponly=True,
                            samesite="strict", path="/")

    async def list_feeds(self, request: Request) -> Response:
        return JSONResponse([feed.listed() for feed in self._feeds.values()])

    async def order(self, request: Request) -> Response:
        feed, content = self._feed(request), await _json(request)
        try:
            await asyncio.to_thread(feed.order, content)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        except RuntimeError as error:
            raise HTTPException(409, str(error)) from None
        return JSONResponse({"sent": True})

    async def past(self, request: Request) -> Response:
        from ..history.schema import HistoryError
        from .texts import dumps
        try:
            until_s = float(request.query_params.get("until", "inf"))
            alerts = await asyncio.to_thread(self._feed(request).past, until_s)
        except ValueError:
            raise HTTPException(400, "until is no time in seconds") from None
        except HistoryError as error:
            raise HTTPException(409, str(error)) from None
        return Response(dumps(alerts), media_type="application/json")

    async def snippet_rows(self, request: Request) -> Response:
        from ..recordings import RecordingError
        try:
            return Response(await asyncio.to_thread(self._snippet(request).picture), media_type="application/octet-stream")
        except (RecordingError, OSError) as error:
            raise HTTPException(404, str(error)) from None

    async def snippet_archive(self, request: Request) -> Response:
        snippet = self._snippet(request)
        name = snippet.meta.name.removesuffix(".sigmf-meta") + ".sigmf"
        return StreamingResponse(snippet.archive(), media_type="application/x-tar",
                                 headers={"content-disposition": f'attachment; filename="{name}"'})

    def _feed(self, connection: HTTPConnection) -> Feed:
        feed = self._feeds.get(connection.path_params["id"])
        if feed is None:
            raise HTTPException(404, "there is no such feed")
        return feed

    def _snippet(self, request: Request) -> Snippet:
        snippet = self._feed(request).snippet(request.path_params["event"])
        if snippet is None:
            raise HTTPException(404, "no samples are kept for this alert")
        return snippet

    # -- the stream

    async def live(self, socket: WebSocket):
        feed = self._feeds.get(socket.path_params["id"])
        if feed is None:
            await socket.close(_NOT_ALLOWED)
            return
        await socket.accept()
        where = socket.client.host if socket.client else "?"
        if self._n_viewers >= MAX_VIEWERS:
            self._log(f"refused {where}: {MAX_VIEWERS} pages are open already")
            await socket.close(_TRY_LATER)
            return
        self._n_viewers += 1
        try:
            await self._follow(socket, feed, where)
        finally:
            self._n_viewers -= 1

    async def _follow(self, socket: WebSocket, feed: Feed, where: str):
        """Sends until the page goes, or sends anything: it has nothing to say here."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        viewer = Viewer(lambda: loop.call_soon_threadsafe(news.set))
        feed.enter(viewer)
        sender = asyncio.create_task(_send_all(socket, feed, viewer, news))
        listener = asyncio.create_task(socket.receive())
        try:
            await asyncio.wait((sender, listener), return_when=asyncio.FIRST_COMPLETED)
            if listener.done() and not listener.cancelled() and listener.exception() is None:
                message = listener.result()
                if message["type"] == "websocket.receive" or message.get("code") == _TOO_BIG:
                    self._log(f"cut off {where}: it sent what no page sends")
                    if message["type"] == "websocket.receive":
                        await socket.close(_NOT_ALLOWED)
            elif sender.done() and isinstance(sender.exception(), TimeoutError):
                self._log(f"cut off {where}: it took nothing for {SLOW_S:g} s")
        finally:
            feed.leave(viewer)
            for task in (sender, listener):
                task.cancel()
            await asyncio.gather(sender, listener, return_exceptions=True)


async def _send_all(socket: WebSocket, feed: Feed, viewer: Viewer, news: asyncio.Event):
    """Sends what the viewer has waiting; everything, if it is stale."""
    told_lost = 0
    while True:
        if viewer.stale:
            for part in await asyncio.to_thread(feed.everything, viewer):
                await _send(socket, part)
        while (content := viewer.next()) is not None:
            await _send(socket, content)
        if viewer.lost_rows != told_lost:
            told_lost = viewer.lost_rows
            await _send(socket, json.dumps({"type": "lost", "rows": told_lost}))
        await news.wait()
        news.clear()


async def _send(socket: WebSocket, content: str | bytes):
    try:
        await asyncio.wait_for(socket.send_text(content) if isinstance(content, str) else socket.send_bytes(content), SLOW_S)
    except (WebSocketDisconnect, RuntimeError):  # it has gone: the listening side says how
        await asyncio.Event().wait()


async def refresh_all(feeds: Mapping[str, Feed]):
    """Once a second, asks the feeds that somebody follows how they are."""
    while True:
        await asyncio.sleep(STATE_S)
        for feed in list(feeds.values()):
            if feed.n_viewers:
                await asyncio.to_thread(feed.refresh)


async def _json(request: Request) -> Any:
    """The body of a request: JSON of MAX_BODY bytes at most."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "send application/json")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise HTTPException(413, f"more than {MAX_BODY} bytes", headers={"connection": "close"})
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, "this is no JSON") from None


def _say_error(request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _with_headers(send, host: str):
    """Adds the headers of security to a response. ws: is named, since not every browser counts it to 'self'."""
    policy = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
              f"connect-src 'self' ws://{host} wss://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
    more = [(b"content-security-policy", policy.encode("latin-1", "replace")), (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"), (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"), (b"x-frame-options", b"DENY"),
            (b"permissions-policy", b"camera=(), geolocation=(), microphone=()")]

    async def sending(message):
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", []), *more]
            if not any(key.lower() == b"cache-control" for key, _ in headers):
                headers.append((b"cache-control", b"no-cache"))
            message = {**message, "headers": headers}
        await send(message)
    return sending
