# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the hub share: waiting, alerts, and a TCP proxy that cuts the line or changes what passes."""

import json
import select
import socket
import threading
import time

from gnuradio.spectrumencoder.hub.message import ALERT, json_bytes

PATIENCE_S = 40.0


def until(condition, what="", seconds=PATIENCE_S):
    """Waits until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def alert(number, freq_hz=433.5e6, time_s=1000.0, **more):
    """The bytes of an alert."""
    return json_bytes({"event_id": f"e{number}", "state": "open", "alert": "new", "timestamp": time_s, "freq_center_hz": freq_hz,
                       "bandwidth_hz": 20e3, **more})


def numbers(receiver, sensor=None):
    """The event ids of the stored alerts, in the order of storing."""
    rows = sorted(receiver.store.messages(ALERT, sensor, limit=100_000))
    return [json.loads(row.payload)["event_id"] for row in rows]


class Line:
    """A TCP proxy to a port of this machine. cut(): ends all connections, and takes none until mend(). change: bytes -> bytes."""

    def __init__(self, port):
        self._port, self.change, self._open, self._pairs = port, lambda data: data, True, []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._stopping = False
        threading.Thread(target=self._serve, daemon=True).start()

    def cut(self):
        self._open = False

    def mend(self):
        self._open = True

    def close(self):
        self._stopping = True

    def _serve(self):
        while not self._stopping:
            if not self._open:
                for one in self._pairs:
                    one.close()
                self._pairs = []
            ready, _, _ = select.select([self._server, *self._pairs], [], [], 0.02)
            for one in ready:
                self._accept() if one is self._server else self._pass(one)
        for one in (*self._pairs, self._server):
            one.close()

    def _accept(self):
        client, _ = self._server.accept()
        try:
            there = socket.create_connection(("127.0.0.1", self._port)) if self._open else None
        except OSError:
            there = None
        if there is None:
            client.close()
        else:
            self._pairs += [client, there]

    def _pass(self, one):
        if one not in self._pairs:
            return
        place = self._pairs.index(one)
        other = self._pairs[place ^ 1]
        try:
            data = one.recv(65536)
            if data:
                other.sendall(self.change(data) if place % 2 == 0 else data)
        except OSError:
            data = b""
        if not data:
            first = place & ~1
            for gone in self._pairs[first:first + 2]:
                gone.close()
            del self._pairs[first:first + 2]
