# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the page share: a server on loopback that shows a sensor, and a browser's part of the talk."""

import asyncio
import http.client
import json
import threading

import pytest
from gnuradio.spectrumencoder.session.listening import News
from gnuradio.spectrumencoder.web.feed import Feed
from gnuradio.spectrumencoder.web.server import PageServer
from sensor import EVENT, Sensor, row


@pytest.fixture
def serve():
    """serve(address, **of PageServer) -> a server with the feed "run", which is Sensor's; ``server.said``: what it logged."""
    servers = []

    def make(address="127.0.0.1:0", **options):
        said = []
        server = PageServer(address, log=said.append, **options)
        servers.append(server)
        server.said, server.feed, server.sensor = said, Feed("run"), Sensor()
        server.feed.begin(server.sensor)
        server.add(server.feed)
        server.feed.take(News([row(1000.0 + 0.05 * k) for k in range(20)], [("events", EVENT)]))
        return server
    yield make
    for server in servers:
        server.close()


class Client:
    """A browser's part: cookie and origin of a page that was opened."""

    def __init__(self, server, origin=None):
        self.port, self.host = server.port, f"127.0.0.1:{server.port}"
        self.origin, self.cookie = origin or f"http://{self.host}", ""

    def open(self):
        status, headers, _ = self.ask("GET", "/", origin=None)
        self.cookie = headers.get("set-cookie", "").partition(";")[0]
        return self

    def ask(self, method, path, content=None, origin="own", host=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Host": host or self.host, **headers}
        if self.cookie:
            headers["Cookie"] = self.cookie
        if origin is not None:
            headers["Origin"] = self.origin if origin == "own" else origin
        body = content
        if content is not None and not isinstance(content, bytes):
            body, headers["Content-Type"] = json.dumps(content).encode(), "application/json"
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def order(self, content, **more):
        return self.ask("POST", "/api/feeds/run/order", content, **more)

    def follow(self, **options):
        """The stream, as a context of ``websockets``."""
        import websockets
        url, headers = f"ws://{self.host}/api/feeds/run/live", {"Cookie": self.cookie} if self.cookie else {}
        options = {"origin": self.origin, "max_size": None, "compression": None, "open_timeout": 20, "proxy": None} | options
        return websockets.connect(url, additional_headers=headers | options.pop("headers", {}), **options)


@pytest.fixture
def client():
    return Client


@pytest.fixture
def on_loop():
    """Runs a coroutine to its end, with a limit."""
    def run(coroutine, limit_s=60.0):
        return asyncio.run(asyncio.wait_for(coroutine, limit_s))
    return run


@pytest.fixture
def in_thread():
    """in_thread(function) -> the thread that runs it, joined at the end of the test."""
    threads = []

    def start(function):
        threads.append(threading.Thread(target=function, daemon=True))
        threads[-1].start()
        return threads[-1]
    yield start
    for thread in threads:
        thread.join(30.0)
