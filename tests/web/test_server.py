# SPDX-License-Identifier: GPL-3.0-or-later
"""The server on loopback: what it answers, whom it refuses, and that no page can slow or end what it shows."""

import asyncio
import json
import os
import re
import socket
import time
from pathlib import Path

import numpy as np
import pytest
import websockets
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.session.errors import SettingError
from gnuradio.spectrumencoder.session.listening import News
from gnuradio.spectrumencoder.web import app, rows
from gnuradio.spectrumencoder.web.feed import Feed
from gnuradio.spectrumencoder.web.server import PageServer
from sensor import EVENT, row

TOKEN = "correct-horse-battery"


def unpack(message):
    found, at = [], 0
    while at < len(message):
        kind, coarse, n, number, t, center, rate, seconds = rows.HEADER.unpack_from(message, at)
        levels = np.frombuffer(message, np.uint8, n, at + rows.HEADER.size)
        found.append((number, t, rows.LOW_DBFS + rows.STEP_DB * levels.astype(float)))
        at += rows.HEADER.size + n
    return found


async def first(stream, wanted):
    """The first text of a kind, and the rows before it."""
    seen = []
    async for message in stream:
        if isinstance(message, bytes):
            seen += unpack(message)
        elif (content := json.loads(message))["type"] == wanted:
            return content, seen
    raise AssertionError("the stream has ended")


def test_a_page_gets_all_that_is_known_then_what_comes(serve, client, on_loop):
    server = serve()

    async def follow():
        async with client(server).open().follow() as stream:
            known, _ = await first(stream, "all")
            server.feed.take(News([row(1001.0, level=-50.3)], [("events", EVENT | {"state": "update", "timestamp": 1001.0})]))
            news, seen = await first(stream, "news")
            while len(seen) < 21:
                seen += unpack(await stream.recv())
            state, _ = await first(stream, "state")
            return known, news, seen, state
    known, news, seen, state = on_loop(follow())
    assert known["about"]["name"] == "roof" and known["about"]["samp_rate"] == 2.4e6
    assert known["state"]["learning"] == {"learning": True, "learned_s": 3.0, "learn_s": 20.0}
    assert known["emitters"] == [{"emitter_id": 5, "freq_center_hz": 433.5e6, "snr_db": None}]
    assert known["alerts"][0]["spans"] == [[1000.5, 1000.51]] and known["alerts"][0]["opened"] == 1000.5
    assert news["alerts"][0]["spans"] == [[1000.5, 1000.51], [1001.0, 1001.01]] and news["alerts"][0]["opened"] == 1000.5
    assert [number for number, _, _ in seen] == list(range(21)) and state["state"]["viewers"] == 1
    assert np.abs(seen[0][2] + 90.0).max() <= rows.STEP_DB / 2 and np.abs(seen[-1][2] + 50.3).max() <= rows.STEP_DB / 2


def test_four_slow_pages_lose_rows_and_slow_nobody(serve, client, on_loop):
    server, batch = serve(), 20
    opened = client(server).open()

    async def slow():
        lazy = socket.socket()
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect(("127.0.0.1", server.port))
        return await opened.follow(sock=lazy, max_queue=1, ping_interval=None)

    async def follow():
        lazy = [await slow() for _ in range(4)]
        longest, got = 0.0, []
        async with opened.follow() as stream:
            await first(stream, "all")
            for number in range(300):
                rows_now = [row(1002.0 + number + 0.05 * k, n_bins=4096) for k in range(batch)]
                began = time.perf_counter()
                server.feed.take(News(rows_now, []))
                longest = max(longest, time.perf_counter() - began)
                while not any(n == 20 + batch * (number + 1) - 1 for n, _, _ in got[-batch:]):
                    message = await stream.recv()
                    got += unpack(message) if isinstance(message, bytes) else []
        waiting = [viewer for viewer in server.feed._viewers]
        for one in lazy:
            one.transport.abort()
        return longest, got, waiting
    longest, got, waiting = on_loop(follow())
    assert [n for n, _, _ in got if n >= 20] == list(range(20, 20 + 300 * batch))  # the quick page missed nothing
    assert longest < 1.0
    assert len(waiting) == 4 and all(len(viewer._waiting) <= 130 for viewer in waiting)
    for _ in range(100):
        if server.feed.n_viewers == 0:
            break
        time.sleep(0.1)
    assert server.feed.lost_rows > 4 * 1000


def test_a_page_that_hangs_at_the_end_is_cut_off_without_a_traceback(serve, client, on_loop, caplog):
    server = serve()

    async def hang():
        lazy = socket.socket()
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect(("127.0.0.1", server.port))
        stream = await client(server).open().follow(sock=lazy, max_queue=1, ping_interval=None)
        for number in range(100):
            server.feed.take(News([row(1002.0 + number + 0.05 * k, n_bins=4096) for k in range(20)], []))
            await asyncio.sleep(0.005)
        await asyncio.to_thread(server.close)
        stream.transport.abort()
    on_loop(hang())
    assert not server._thread.is_alive()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_a_slow_page_learns_how_many_rows_it_lost(serve, client, on_loop, monkeypatch):
    server = serve()
    real = app._send

    async def late(stream, content):
        await asyncio.sleep(0.05)
        await real(stream, content)
    monkeypatch.setattr(app, "_send", late)

    async def follow():
        async with client(server).open().follow() as stream:
            await first(stream, "all")
            for number in range(60):
                server.feed.take(News([row(1002.0 + 0.05 * number)], []))
            return await first(stream, "lost")
    lost, _ = on_loop(follow())
    assert 0 < lost["rows"] < 60


@pytest.mark.parametrize("sent, code", [("hello", 1008), (b"\x00\xff" * 40, 1008), ("x" * 10_000_000, 1009),
                                        (b"y" * 10_000_000, 1009)], ids=["text", "bytes", "10 MB text", "10 MB bytes"])
def test_a_page_that_sends_anything_is_cut_off_and_the_others_go_on(serve, client, on_loop, sent, code):
    server = serve()
    opened = client(server).open()

    async def follow():
        async with opened.follow() as good, opened.follow() as bad:
            await first(good, "all")
            await first(bad, "all")
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await bad.send(sent)
                while True:
                    await bad.recv()
            server.feed.take(News([row(1005.0)], []))
            while not any(t == 1005.0 for message in [await good.recv()] if isinstance(message, bytes)
                          for _, t, _ in unpack(message)):
                pass
            return closed.value
    closed = on_loop(follow())
    assert (closed.rcvd is None or closed.rcvd.code == code)  # or it was cut before it could read why
    assert any("cut off 127.0.0.1: it sent what no page sends" in line for line in server.said)


def test_garbage_instead_of_http_is_answered_and_forgotten(serve, client):
    server = serve()
    for garbage in (b"\x16\x03\x01" + os.urandom(300), b"\r\n" * 1000,
                    b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), 10) as plain:
            try:
                plain.sendall(garbage)
                plain.shutdown(socket.SHUT_WR)
                plain.recv(1000)
            except ConnectionError:
                pass
    assert client(server).open().order({"accept": 5})[0] == 200 and server.sensor.sent == [{"accept": 5}]


def test_large_or_foreign_bodies_are_refused(serve, client):
    opened = client(serve()).open()
    try:
        assert opened.order(b"x" * 10_000_000, **{"Content-Type": "application/json"})[0] == 413
    except ConnectionError:
        pass  # it had closed before everything was sent
    assert opened.order(b"{}", **{"Content-Type": "text/plain"})[0] == 415  # what a form of another page could send
    assert opened.order(b"{", **{"Content-Type": "application/json"})[0] == 400
    assert opened.order(b"[" * 4000, **{"Content-Type": "application/json"})[0] == 400


@pytest.mark.parametrize("order, sent", [
    ({"accept": 5}, {"accept": 5}), ({"ignore": 5}, {"ignore": 5}), ({"ignore": [1e6, 2e6]}, {"ignore": [1e6, 2e6]}),
    ({"unignore": [1e6, 2e6]}, {"unignore": [1e6, 2e6]}), ({"name": [5, " Gate "]}, {"name": [5, "Gate"]}),
    ({"false_events_per_hour": 2}, {"false_events_per_hour": 2.0}), ({"dropout_rate": 0.5}, {"dropout_rate": 0.5}),
    ({"tune": {"gain": 20}}, {"gain": 20.0}), ({"tune": {"freq": 1e8}}, {"freq": 1e8})])
def test_orders_reach_the_run(serve, client, order, sent):
    server = serve()
    assert client(server).open().order(order)[0] == 200
    assert server.sensor.sent == [sent]


@pytest.mark.parametrize("order", [
    {}, [], 5, {"accept": "5"}, {"accept": True}, {"accept": -1}, {"accept": 5, "name": [5, "x"]}, {"stop": 1}, {"rate": 1e6},
    {"ignore": [2e6, 1e6]}, {"ignore": [1e6]}, {"unignore": 5}, {"name": [5]}, {"name": [5, "a\nb"]}, {"name": [5, "x" * 101]},
    {"name": ["5", "x"]}, {"dropout_rate": 1.0}, {"dropout_rate": "0"}, {"false_events_per_hour": 0}, {"tune": {"rate": 1e6}},
    {"tune": {"freq": "1"}}, {"tune": {}}, {"tune": {"gain": 1, "freq": 2}}, {"scan": {"pause": True}}, {"scan": {}},
    {"scan": 5}], ids=str)
def test_what_is_no_order_is_one_line_and_sends_nothing(serve, client, order):
    server = serve()
    status, _, answer = client(server).open().order(order)
    assert status == 400 and json.loads(answer)["error"] and "\n" not in json.loads(answer)["error"]
    assert server.sensor.sent == []


# -- who is let in


def test_a_token_is_asked_for_everywhere_but_on_the_bare_page(serve, client, on_loop):
    server = serve(token=TOKEN)
    plain = client(server)
    assert plain.ask("GET", "/")[0] == 200 and "set-cookie" not in plain.ask("GET", "/")[1]
    assert plain.ask("GET", "/api/feeds")[0] == 401 and plain.order({"accept": 5})[0] == 401
    assert plain.ask("POST", "/api/login", {"token": "wrong-horse-battery"})[0] == 403
    assert plain.ask("GET", "/api/feeds", Authorization="Bearer wrong-horse-battery")[0] == 401

    async def follow(**options):
        async with plain.follow(**options) as stream:
            return await first(stream, "all")
    with pytest.raises(websockets.InvalidStatus):
        on_loop(follow())
    assert server.sensor.sent == [] and server.n_refused == 5
    status, headers, _ = plain.ask("POST", "/api/login", {"token": TOKEN})
    assert status == 204 and "HttpOnly" in headers["set-cookie"] and "SameSite=strict" in headers["set-cookie"]
    plain.cookie = headers["set-cookie"].partition(";")[0]
    assert plain.order({"accept": 5})[0] == 200
    assert on_loop(follow())[0]["about"]["name"] == "roof"
    plain.cookie = ""
    assert plain.ask("GET", "/api/feeds", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert on_loop(follow(headers={"Authorization": f"Bearer {TOKEN}"}))[0]["about"]["name"] == "roof"
    assert any(re.search(r"web: refused 127\.0\.0\.1: ", line) for line in server.said)
    assert not any("\n" in line for line in server.said)
    assert TOKEN not in "".join(server.said)


def test_other_origins_and_names_are_refused(serve, client, on_loop):
    server = serve()
    opened = client(server).open()
    assert opened.order({"accept": 5}, origin="http://evil.example")[0] == 403
    assert opened.order({"accept": 5}, origin=None)[0] == 403
    assert opened.ask("GET", "/", host="evil.example")[0] == 421
    assert opened.ask("GET", "/api/feeds", host=f"evil.example:{server.port}")[0] == 421
    opened.origin = "http://evil.example"

    async def follow():
        async with opened.follow():
            pass
    with pytest.raises(websockets.InvalidStatus) as refused:
        on_loop(follow())
    assert refused.value.response.status_code == 403
    without = client(server)  # the right origin, of a browser that has not opened the page
    assert without.order({"accept": 5})[0] == 401
    assert server.sensor.sent == [] and server.n_refused == 6
    assert "refused 127.0.0.1: from the origin 'http://evil.example'" in server.said[0]


def test_a_page_may_load_nothing_from_elsewhere(serve, client):
    opened = client(serve())
    for path in ("/", "/static/style.css", "/static/js/main.js"):
        status, headers, body = opened.ask("GET", path)
        policy = headers["content-security-policy"]
        assert status == 200 and "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert not re.search(rb"""(src|href)\s*=\s*["']?(https?:)?//""", body)
    page = opened.ask("GET", "/")[2].decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|style=", page)
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd",
                 "/api/feeds/run/snippets/..%2f..%2fx/sigmf"):
        assert opened.open().ask("GET", path)[0] in (404, 405), path


def listening():
    """Addresses on which this process listens, as hex:port of /proc."""
    inodes = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            inodes.add(os.readlink(link))
        except OSError:
            continue
    found = []
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:] if Path(table).exists() else ():
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.append(fields[1])
    return found


def test_nothing_listens_except_where_it_was_asked_to(serve):
    before = set(listening())
    server = serve()
    assert set(listening()) - before == {f"0100007F:{server.port:04X}"}
    server.close()
    assert set(listening()) == before


def test_a_taken_port_is_one_line(serve):
    server = serve()
    with pytest.raises(SettingError, match=rf"--web 127\.0\.0\.1:{server.port} cannot be opened \(Address already in use\)"):
        PageServer(f"127.0.0.1:{server.port}")


def test_more_pages_than_there_is_room_for_are_sent_away(serve, client, on_loop, monkeypatch):
    monkeypatch.setattr(app, "MAX_VIEWERS", 2)
    server = serve()
    opened = client(server).open()

    async def follow():
        async with opened.follow() as one, opened.follow() as two:
            await first(one, "all")
            await first(two, "all")
            async with opened.follow() as three:
                with pytest.raises(websockets.ConnectionClosed) as closed:
                    await three.recv()
        return closed.value.rcvd.code
    assert on_loop(follow()) == 1013 and "2 pages are open already" in server.said[-1]


# -- several feeds, ends, snippets


def test_several_feeds_are_listed_and_followed_apart(serve, client, on_loop):
    server = serve()
    garden = Feed("garden", "Garden")
    server.add(garden)
    opened = client(server).open()
    listed = json.loads(opened.ask("GET", "/api/feeds")[2])
    assert listed == [{"id": "run", "name": "roof", "running": True}, {"id": "garden", "name": "Garden", "running": False}]
    assert opened.ask("POST", "/api/feeds/garden/order", {"accept": 1})[0] == 409
    assert opened.ask("POST", "/api/feeds/cellar/order", {"accept": 1})[0] == 404
    server.remove(garden)
    assert len(json.loads(opened.ask("GET", "/api/feeds")[2])) == 1


def test_a_page_sees_the_end_of_a_run_and_the_next_one(serve, client, on_loop):
    server = serve()

    async def follow():
        async with client(server).open().follow() as stream:
            assert (await first(stream, "all"))[0]["ended"] is None
            server.feed.end(["12 frames were short"])
            ended, _ = await first(stream, "all")
            server.feed.begin(server.sensor)
            return ended, (await first(stream, "all"))[0]
    ended, again = on_loop(follow())
    assert ended["ended"] == ["12 frames were short"] and len(ended["alerts"]) == 1
    assert again["ended"] is None and again["alerts"] == []


def test_a_page_that_text_comes_too_fast_for_is_sent_everything_anew(serve):
    from gnuradio.spectrumencoder.web.feed import MAX_TEXTS, Viewer
    woken = []
    viewer = Viewer(lambda: woken.append(1))
    viewer.offer("before it entered")
    assert viewer.next() is None
    viewer.stale = False
    for number in range(MAX_TEXTS):
        viewer.offer(str(number))
    assert not viewer.stale and viewer.next() == "0"
    viewer.offer("a"), viewer.offer("b")
    assert viewer.stale and viewer.next() is None


def test_a_snippet_is_a_picture_and_a_sigmf_archive(serve, client, tmp_path):
    from gnuradio.spectrumencoder.blocks.snippet_file import write_snippet
    from gnuradio.spectrumencoder.recordings import open_recording
    server = serve()
    opened = client(server).open()
    assert opened.ask("GET", "/api/feeds/run/snippets/e1/rows")[0] == 404  # none are kept
    server.sensor.snippets = tmp_path
    t = np.arange(480_000)
    iq = (0.1 * np.exp(2j * np.pi * -500e3 / 2.4e6 * t)).astype(np.complex64)
    event = EVENT | {keys.TIME_SOURCE: "host", keys.SAMPLE_START: 1000}
    write_snippet(tmp_path, 1e9, event, 500, iq, 2.4e6, 434e6)
    write_snippet(tmp_path, 1e9, event | {"event_id": "unknown to the page"}, 500, iq[:1000], 2.4e6, 434e6)
    server.feed.refresh()
    assert server.feed._state["snippets"] == ["e1"]
    status, _, picture = opened.ask("GET", "/api/feeds/run/snippets/e1/rows")
    seen = unpack(picture)
    assert status == 200 and 100 < len(seen) <= 400
    assert seen[0][2].argmax() == round(512 + -500e3 / 2.4e6 * 1024) and seen[0][2].max() == pytest.approx(-20.0, abs=1.5)
    status, headers, archive = opened.ask("GET", "/api/feeds/run/snippets/e1/sigmf")
    assert status == 200 and headers["content-disposition"].endswith('-e1.sigmf"')
    (tmp_path / "it.sigmf").write_bytes(archive)
    read = open_recording(tmp_path / "it.sigmf")
    assert np.array_equal(read.read(0, read.n_samples), iq)
    assert opened.ask("GET", "/api/feeds/run/snippets/unknown%20to%20the%20page/sigmf")[0] == 404


def test_rows_older_than_half_a_minute_are_kept_coarsely_for_ten_minutes():
    ring = rows.RowRing()
    for number in range(15_000):  # 12.5 minutes
        packed = rows.pack(row(1e6 + 0.05 * number, n_bins=16, level=-60.0 if number % 10 == 3 else -90.0))
        ring.add(number, packed)
    kept = [one for message in ring.messages() for one in unpack(message)]
    times = np.array([t for _, t, _ in kept])
    assert (np.diff(times) > 0).all() and 599 < times[-1] - times[0] <= 600.1
    assert len(kept) == pytest.approx(600 + 570 / 0.5, abs=8)
    coarse = [levels.max() for _, t, levels in kept if t < times[-1] - 31]
    assert np.mean(np.array(coarse[1:-1]) > -61) > 0.99  # the maximum stays
