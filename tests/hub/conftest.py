# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub and sensors on loopback: real sockets, real files, and a proxy that cuts the line or flips bits."""

import select
import socket
import threading
import time

import pytest
from gnuradio.spectrumencoder.hub import certificates
from gnuradio.spectrumencoder.hub.message import ALERT, json_bytes

pytest.importorskip("zmq")

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


@pytest.fixture
def hub(tmp_path):
    """Starts hubs: with the keys of a folder, or without; the same file and, if given, the same port again after a stop."""
    from gnuradio.spectrumencoder.hub.receiver import Receiver
    from gnuradio.spectrumencoder.hub.store import HubStore
    running = []

    def start(port="*", keys=None, db="hub.db", **more):
        lines, taken = [], []
        allowed = None if keys is None else certificates.AllowList(keys)
        store = HubStore(tmp_path / db)
        receiver = Receiver(f"tcp://127.0.0.1:{port}", store, None if keys is None else certificates.load_hub(keys), allowed,
                            take=taken.extend, say=lines.append, **more)
        receiver.lines, receiver.taken, receiver.store = lines, taken, store
        receiver.port = int(receiver.address.rpartition(":")[2])
        running.append(receiver)
        return receiver
    yield start
    for one in running:
        one.close()


@pytest.fixture
def sensor(tmp_path):
    """Starts sensors."""
    from gnuradio.spectrumencoder.hub.sender import Sender
    from gnuradio.spectrumencoder.spool import Spool
    running = []

    def start(port, name="roof", keys=None, spool=None, max_bytes=1 << 24, **more):
        lines = []
        more = {"about": {"sensor": name}} | more
        kept = Spool(tmp_path / (spool or f"{name}.spool"), max_bytes)
        one = Sender(f"tcp://127.0.0.1:{port}", name, kept, keys, say=lines.append, **more)
        one.lines = lines
        running.append(one)
        return one
    yield start
    for one in running:
        one.close(wait_s=0.0)


@pytest.fixture
def key_folder(tmp_path):
    """A folder of keys of a hub and two sensors: (folder, {id: SensorKeys})."""
    folder = tmp_path / "keys"
    return folder, {name: certificates.load_sensor(certificates.make_sensor(folder, name)) for name in ("roof", "attic")}


def numbers(receiver, sensor=None):
    """The event ids of the stored alerts, in the order of storing."""
    import json
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


@pytest.fixture
def line():
    """Starts proxies."""
    made = []

    def start(port):
        made.append(Line(port))
        return made[-1]
    yield start
    for one in made:
        one.close()
