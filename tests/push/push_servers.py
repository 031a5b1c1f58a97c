# SPDX-License-Identifier: GPL-3.0-or-later
"""A real broker, a subscriber that misses nothing, and a web server that takes what is posted: all on the loopback."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def wait_for(condition, timeout_s=60.0):
    """Waits until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


class Broker:
    """Debian's mosquitto on a free port of the loopback; it keeps sessions and retained messages over a stop."""

    def __init__(self, folder: Path, *more: str):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._process = None
        self._config = folder / f"mosquitto_{self.port}.conf"
        user = ["user root"] if os.geteuid() == 0 else []
        self._config.write_text("\n".join([
            f"listener {self.port} 127.0.0.1", "persistence true", f"persistence_location {folder}/",
            f"persistence_file mosquitto_{self.port}.db", "max_queued_messages 0", *user,
            *(more or ("allow_anonymous true",))]) + "\n")
        self.start()

    def start(self):
        self._process = subprocess.Popen([MOSQUITTO, "-c", self._config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def answers():
            with socket.socket() as one:
                return one.connect_ex(("127.0.0.1", self.port)) == 0
        wait_for(answers)

    def stop(self):
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def url(self, prefix="test"):
        return f"mqtt://127.0.0.1:{self.port}/{prefix}"


class Subscriber:
    """Takes all messages, with a session that the broker keeps. messages: (topic, text, retained) in order."""

    def __init__(self, port: int, clean: bool = False):
        import paho.mqtt.client as mqtt
        self.messages, subscribed = [], threading.Event()
        self._client = client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="" if clean else "test-subscriber",
                                            clean_session=clean)
        client.reconnect_delay_set(1, 1)
        client.on_connect = lambda *_: client.subscribe("#", 1)
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_message = self._take
        client.connect("127.0.0.1", port)
        client.loop_start()
        assert subscribed.wait(10)

    def _take(self, client, data, message):
        one = (message.topic, message.payload.decode(), message.retain)
        if not (message.dup and one in self.messages):  # the broker's own repeat: it stopped before our acknowledgement
            self.messages.append(one)

    def of(self, topic):
        return [json.loads(text) if text.startswith("{") else text for name, text, _ in list(self.messages) if name == topic]

    def events(self, prefix="test"):
        return self.of(f"{prefix}/events")

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()


class Server:
    """A web server on the loopback. posts: (path, JSON) of what it took; refuse: status that it answers instead of 200."""

    def __init__(self):
        self.posts, self.refuse, self._server, self.port = [], 0, None, 0
        self.start()

    def start(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                if not outer.refuse:
                    outer.posts.append((self.path, json.loads(body)))
                answer = b"{}"
                self.send_response(outer.refuse or 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def texts(self):
        return [content["message"] for _, content in self.posts]


def event(number=0, state="open", **more):
    """An event as the detector reports it; each number is an event of its own."""
    return {"event_id": f"{number}-0", "state": state, "timestamp": 1795867130.0 + number, "freq_center_hz": 433.5e6 + number,
            "bandwidth_hz": 12e3, "snr_db": 14.2, "power_dbfs": -43.8, "threat_level": "LOW", "is_anomaly": True, "label": "LoRa",
            "alert": "new", "emitter_id": 5} | more


def push(pusher, *events):
    """Gives events to a pusher, as the listener does."""
    for one in events:
        pusher.event(one, json.dumps(one))
