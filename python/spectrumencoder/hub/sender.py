# SPDX-License-Identifier: GPL-3.0-or-later
"""The sensor's end of the link: everything goes into a spool on disk, and from there to the hub until it has acknowledged it."""

from __future__ import annotations

import ipaddress
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, NamedTuple

from ..spool import Spool, SpoolError
from .certificates import SensorKeys
from .message import (
    ABOUT,
    KIND_NAMES,
    REFUSED,
    STORED,
    Message,
    MessageError,
    check_id,
    json_bytes,
    new_run,
    pack,
    record,
    unpack,
)

MAX_QUEUED = 4096  # messages that wait for the disk
MAX_WINDOW = 256  # messages sent and not acknowledged
WINDOW_BYTES = 1 << 18
ANSWER_S = 15.0  # without any answer, the connection is made anew
PAUSE_S = (0.2, 5.0)  # before connecting again: the first, the longest
REFUSED_PAUSE_S = 10.0
_POLL_MS = 20
_LOOPBACK = re.compile(r"(ipc|inproc)://.+")


class Sent(NamedTuple):
    """A message on its way: its id in the spool, its run and sequence, its bytes."""

    id: int
    run: bytes
    sequence: int
    size: int


class Sender:
    """Sends messages to a hub, on a thread of its own. ``send`` never waits.

    A message lies in the spool until the hub has stored it. So a hub that is away, a kill or a restart lose nothing, as long as
    the spool has room; what waits from an earlier run goes first. Order is kept.

    Args:
        address: such as tcp://hub.example:5570.
        sensor: id.
        spool: what waits on disk; closed by ``close``.
        keys: of the sensor; None only if the hub is on this machine.
        about: what the hub shall know of the sensor and its run: position, frequency, model.
        say: gets one line when the link's state changes, and once for each reason of a refusal.

    Attributes:
        n_sent, n_bytes: messages and bytes given to the network, repeats included. n_stored: acknowledged. n_overrun: not taken
        since the disk was too slow. n_failed: that the spool could not write. state: one line. sent: messages by kind. about,
        spool_path: as given.

    Raises:
        ValueError: keys are missing or of another sensor, or the address is none.
    """

    def __init__(self, address: str, sensor: str, spool: Spool, keys: SensorKeys | None, about: dict[str, Any],
                 say: Callable[[str], None] = lambda line: None, answer_s: float = ANSWER_S):
        check_id(sensor)
        if keys is None and not is_local(address):
            raise ValueError(f"{address} is another machine: without keys a sensor sends to 127.0.0.1 only; give --hub-key FILE")
        if keys is not None and keys.sensor != sensor:
            raise ValueError(f"the key is of the sensor {keys.sensor}, not of {sensor}; give its own, or --sensor {keys.sensor}")
        for _, data in spool.peek(1):
            other = unpack(data).sensor
            if other != sensor:
                raise ValueError(f"{spool.path} holds messages of the sensor {other}; give {sensor} another file by --hub-spool")
        import zmq
        self._zmq, self._context = zmq, zmq.Context()
        self.address, self.sensor, self._spool, self._keys, self._say = address, sensor, spool, keys, say
        self.about, self.spool_path, self._answer_s = about, spool.path, answer_s
        self.run, self._sequence, self._lock = new_run(), 0, threading.Lock()
        self._queue: deque[tuple[int, bytes, float]] = deque()
        self.n_sent = self.n_bytes = self.n_stored = self.n_overrun = self.n_failed = 0
        self.sent: Counter[str] = Counter()
        self.state, self._said = "not connected so far", ""
        self._flying: deque[Sent] = deque()
        self._socket: Any = None
        self._monitor: Any = None
        self._connect()  # an address that is none is an error here, not on the thread
        self._stopping = threading.Event()
        self._deadline_s = 0.0
        self.send(ABOUT, json_bytes(about))
        self._thread = threading.Thread(target=self._run, name="hub sender", daemon=True)
        self._thread.start()

    @property
    def n_waiting(self) -> int:
        """Messages that the hub has not acknowledged."""
        return self._spool.n_waiting + len(self._queue)

    @property
    def n_dropped(self) -> int:
        """Messages dropped from a full spool, since its file was made."""
        return self._spool.n_dropped

    def send(self, kind: int, payload: bytes) -> None:
        """Takes a message; from any thread. If 4096 wait for the disk already, it is dropped and counted."""
        with self._lock:
            if len(self._queue) >= MAX_QUEUED:
                self.n_overrun += 1
            else:
                self._queue.append((kind, payload, time.time()))

    def flush(self, wait_s: float) -> None:
        """Waits until the hub has all, as long as it is there, for a time at most."""
        deadline_s = time.monotonic() + wait_s
        while self.n_waiting and self._socket is not None and time.monotonic() < deadline_s:
            time.sleep(0.01)

    def close(self, wait_s: float = 3.0) -> None:
        """Ends the thread, as soon as nothing waits or the time is over. What still waits stays in the spool for the next run."""
        if self._thread.is_alive():
            self._deadline_s = time.monotonic() + wait_s
            self._stopping.set()
            self._thread.join()
            self._spool.close()

    # The thread

    def _run(self):
        pause_s, again_s, last_answer_s = PAUSE_S[0], 0.0, time.monotonic()
        cursor, before, window, fresh = 0, {}, 1, True
        while True:
            self._store()
            now = time.monotonic()
            if self._stopping.is_set() and (now > self._deadline_s or not self.n_waiting or self._socket is None):
                break
            if self._socket is None and now >= again_s:
                self._connect()
                cursor, before, window, fresh, last_answer_s = 0, {}, 1, True, now
            answers, failure = self._read() if self._socket is not None else ([], "")
            for answer in answers:
                if answer.kind == STORED:
                    last_answer_s, pause_s, window = now, PAUSE_S[0], min(2 * window, MAX_WINDOW)
                    fresh = False
                    self._stored(answer)
                else:
                    failure = f"refused: {answer.payload.decode('utf-8', 'replace')[:300]}" if answer.kind == REFUSED else "again"
            if not failure and self._flying and now - last_answer_s > self._answer_s:
                failure = "no answer" if fresh else "no answer any more"
            if failure:
                self._disconnect(failure)
                again_s = now + (REFUSED_PAUSE_S if failure.startswith("refused") else pause_s)
                pause_s = min(2 * pause_s, PAUSE_S[1])
                continue
            if self._socket is None:
                self._stopping.wait(min(_POLL_MS / 1000, max(0.0, again_s - now)))
                time.sleep(0.001)
                continue
            if not self._flying:
                last_answer_s = now
            cursor = self._fill(cursor, before, window)
            self._socket.poll(_POLL_MS)
        self._disconnect("ended")
        self._context.destroy(linger=0)

    def _store(self):
        """Moves what was taken into the spool. A full disk is counted, and tried again with the next message."""
        while True:
            with self._lock:
                if not self._queue:
                    return
                kind, payload, time_s = self._queue.popleft()
                self._sequence += 1
                sequence = self._sequence
            try:
                self._spool.append(record(Message(kind, self.sensor, self.run, sequence, time_s, payload)))
                self.sent[KIND_NAMES[kind]] += 1
            except (SpoolError, ValueError) as error:
                self.n_failed += 1
                self._tell(f"hub: a message is lost: {error}")

    def _fill(self, cursor: int, before: dict[bytes, int], window: int) -> int:
        """Sends from the spool until the window is full; returns the last id. before: of each run the last sequence sent."""
        room = window - len(self._flying)
        if room <= 0 or sum(one.size for one in self._flying) > WINDOW_BYTES:
            return cursor
        try:
            waiting = self._spool.peek(min(room, 32), after=cursor)
        except SpoolError as error:
            self._tell(f"hub: {error}")
            return cursor
        for number, data in waiting:
            try:
                message = unpack(data)
            except MessageError as error:  # damaged on the disk: nobody can use it
                self._tell(f"hub: a message of the spool is lost: {error}")
                self._spool.acknowledge(number)
                self.n_failed += 1
                cursor = number
                continue
            wire = pack(message._replace(after=before.get(message.run, 0), sensor=self.sensor))
            try:
                self._socket.send(wire, self._zmq.NOBLOCK)
            except self._zmq.Again:
                return cursor
            before[message.run] = message.sequence
            self._flying.append(Sent(number, message.run, message.sequence, len(wire)))
            self.n_sent, self.n_bytes, cursor = self.n_sent + 1, self.n_bytes + len(wire), number
        return cursor

    def _stored(self, answer: Message):
        """Removes what the hub has stored from the spool."""
        last = None
        while self._flying and self._flying[0].run == answer.run and self._flying[0].sequence <= answer.sequence:
            last = self._flying.popleft()
            self.n_stored += 1
        if last is not None:
            try:
                self._spool.acknowledge_until(last.id)
            except SpoolError as error:  # it will be sent again, and known as a repeat
                self._tell(f"hub: {error}")
        self._tell(f"hub {self.address}: connected", state=True)

    # The connection

    def _connect(self):
        zmq = self._zmq
        socket = self._context.socket(zmq.DEALER)
        socket.linger = 0
        socket.setsockopt(zmq.RECONNECT_IVL, -1)  # a new connection begins at the oldest message: it is a new socket
        socket.setsockopt(zmq.HEARTBEAT_IVL, 5000)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 30000)
        socket.setsockopt(zmq.SNDHWM, 2 * MAX_WINDOW)
        socket.setsockopt(zmq.MAXMSGSIZE, 1 << 16)
        if ":" in self.address.removeprefix("tcp://").rpartition(":")[0]:
            socket.setsockopt(zmq.IPV6, 1)
        if self._keys is not None:
            socket.curve_publickey, socket.curve_secretkey, socket.curve_serverkey = (
                self._keys.public, self._keys.secret, self._keys.hub)
        self._monitor = socket.get_monitor_socket()
        try:
            socket.connect(self.address)
        except zmq.ZMQError as error:
            socket.disable_monitor()
            socket.close()
            raise ValueError(f"{self.address} is no address of a hub ({error.strerror}); write tcp://HOST:PORT") from error
        self._socket = socket

    def _disconnect(self, why: str):
        if self._socket is not None:
            self._socket.disable_monitor()
            self._monitor.close(linger=0)
            self._socket.close(linger=0)
            self._socket = None
        self._flying.clear()
        if why not in ("ended", "again"):
            self._tell(f"hub {self.address}: {why}; what is to be sent waits in the spool", state=True)

    def _read(self) -> tuple[list[Message], str]:
        """The answers that have come, and what ended the connection."""
        from zmq.utils.monitor import recv_monitor_message
        zmq, answers, failure = self._zmq, [], ""
        while True:
            try:
                answers.append(unpack(self._socket.recv(zmq.NOBLOCK)))
            except zmq.Again:
                break
            except MessageError as error:
                failure = f"the hub answers nonsense: {error}"
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                failure = "refused: the hub does not know this sensor's key"
            elif event in (zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL):
                failure = "refused: the keys do not fit, or one side has none"
            elif event in (zmq.EVENT_DISCONNECTED, zmq.EVENT_CLOSED, zmq.EVENT_CONNECT_RETRIED):
                failure = failure or "not reached"
        return answers, failure

    def _tell(self, line: str, state: bool = False):
        """Says a line, unless it was the last one said."""
        if state:
            self.state = line
        if line != self._said:
            self._said = line
            self._say(line)


def is_local(address: str) -> bool:
    """Whether an address can only be reached from, or lies on, this machine: a loopback address or an ipc one.

    A name, such as localhost, counts as local only if it is that very name.
    """
    if _LOOPBACK.fullmatch(address):
        return True
    host = address.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

