# SPDX-License-Identifier: GPL-3.0-or-later
"""The hub's end of the link: takes messages of many sensors, checks them, stores them, and only then acknowledges."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

from ..encoder import pdu
from .certificates import AllowList, HubKeys
from .decoding import begin_s
from .message import (
    KIND_NAMES,
    MAX_BYTES,
    MISSING,
    REFUSED,
    SPECTRA,
    STORED,
    Message,
    MessageError,
    pack,
    read_json,
    unpack,
)
from .sender import is_local
from .store import HubStore, Run, StoreError

# Why a message is refused; `repeat` is a message that is stored already, `missing` one before which another has to come
DAMAGED, FOREIGN, REPEAT, OUT_OF_ORDER, MALFORMED = "damaged", "foreign", "repeat", "missing", "malformed"
KEY_REFUSED, NO_KEY = "key refused", "no key"  # a connection, not a message
UNKNOWN = "?"  # the sensor that something is counted for, if it is not known who sent it
MAX_BATCH = 512
_BATCH_BYTES = 1 << 22
_POLL_MS = 50
_SAY_S = 10.0  # between two lines of the same reason and sensor
_PRUNE_S = 30.0
_DOMAIN = b"spectrumencoder"


class Accepted(NamedTuple):
    """A message that is stored. stored_s: POSIX s at which it was on the disk; size: bytes of the message."""

    message: Message
    stored_s: float
    size: int


class Receiver:
    """Listens at an address, on a thread of its own, until ``close``.

    Args:
        address: such as tcp://0.0.0.0:5570; port * or 0 takes a free one.
        store: where messages go; closed by ``close``.
        keys, allowed: the hub's keys, and the sensors that it knows. None: without keys, on this machine only.
        take: gets the messages of each commit, in order, on the receiver's thread.
        say: gets a line for each thing that is refused, at most one in ten seconds for the same reason and sensor.

    Attributes:
        address: with the port that is in use. counts: what was refused since the start, by (sensor, reason). n_stored, n_bytes:
        of messages. lost: messages that sensors dropped for lack of room, by sensor. disk: the last failure of the disk, or "".
        failure: what ended the thread, or "".

    Raises:
        ValueError: without keys at an address that others reach; the address is none, or taken.
    """

    def __init__(self, address: str, store: HubStore, keys: HubKeys | None = None, allowed: AllowList | None = None,
                 take: Callable[[list[Accepted]], None] = lambda accepted: None, say: Callable[[str], None] = lambda line: None):
        if keys is None and not is_local(address):
            raise ValueError(f"{address} can be reached from other machines: without keys a hub listens at 127.0.0.1 only; make "
                             "keys by `spectrumencoder hub keygen`, and give --keys DIR")
        import zmq
        self._zmq, self._context = zmq, zmq.Context()
        self._store, self._allowed, self._take, self._say = store, allowed, take, say
        self._runs: dict[bytes, Run] = store.runs()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.lost: Counter[str] = Counter()
        for one in self._runs.values():
            self.lost[one.sensor] += one.lost
        self.n_stored = self.n_bytes = 0
        self.disk = self.failure = ""
        self._said: dict[tuple[str, str], float] = {}
        self._refused_keys: deque[str] = deque(maxlen=1000)
        self._authenticator = self._authenticate(keys) if keys is not None else None
        socket = self._context.socket(zmq.ROUTER)
        socket.linger = 200
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_BYTES)
        socket.setsockopt(zmq.HEARTBEAT_IVL, 5000)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 30000)
        socket.setsockopt(zmq.HANDSHAKE_IVL, 5000)
        if keys is not None:
            socket.curve_server, socket.curve_secretkey, socket.curve_publickey = True, keys.secret, keys.public
            socket.zap_domain = _DOMAIN
        if "[" in address:
            socket.setsockopt(zmq.IPV6, 1)
        try:
            socket.bind(address)
        except zmq.ZMQError as error:
            socket.close()
            self._end()
            raise ValueError(f"cannot listen at {address} ({error.strerror}); give an address of this machine with a free port, "
                             "such as tcp://127.0.0.1:5570") from error
        self.address = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._socket, self._monitor = socket, socket.get_monitor_socket()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hub receiver", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and closes the store. Sensors keep what was not acknowledged."""
        self._stopping.set()
        self._thread.join()

    # The thread

    def _run(self):
        pruned_s = time.monotonic()
        try:
            while not self._stopping.is_set():
                self._socket.poll(_POLL_MS)
                batch = self._receive()
                if batch:
                    self._judge_and_store(batch)
                self._watch()
                if time.monotonic() - pruned_s > _PRUNE_S:
                    pruned_s = time.monotonic()
                    self._prune()
        except Exception as error:  # noqa: BLE001 (whatever it is, the thread ends, and the hub says why)
            self.failure = f"{type(error).__name__}: {error}"
        finally:
            self._socket.disable_monitor()
            self._monitor.close(linger=0)
            self._socket.close()
            self._end()
            self._store.close()

    def _end(self):
        if self._authenticator is not None:
            self._authenticator.stop()
        self._context.destroy(linger=200)

    def _receive(self) -> list[tuple[bytes, str | None, bytes]]:
        """What has come: (peer, the id that its key is bound to or None, bytes)."""
        batch, size = [], 0
        while len(batch) < MAX_BATCH and size < _BATCH_BYTES:
            try:
                frames = self._socket.recv_multipart(self._zmq.NOBLOCK, copy=False)
            except self._zmq.Again:
                break
            if len(frames) != 2:
                self._refuse(UNKNOWN, MALFORMED, f"a message of {len(frames) - 1} parts")
                continue
            batch.append((frames[0].bytes, self._sensor_of(frames[1]), frames[1].bytes))
            size += len(frames[1])
        return batch

    def _sensor_of(self, frame) -> str | None:
        """The sensor that the key of a frame's connection is bound to; None without keys, "" if it was removed from the list."""
        if self._allowed is None:
            return None
        return self._allowed.sensor(frame.get("User-Id")) or ""

    def _judge_and_store(self, batch: list[tuple[bytes, str | None, bytes]]):
        runs: dict[bytes, Run] = {}  # that this batch changes
        accepted: list[tuple[Message, int, int]] = []
        answers: dict[tuple[bytes, bytes], Message] = {}
        before = Counter(self.counts)
        for peer, bound, data in batch:
            try:
                message = unpack(data)
            except MessageError as error:
                self._refuse(bound or UNKNOWN, DAMAGED, str(error))
                continue
            if bound is not None and bound != message.sensor:
                whose = f"the key is of the sensor {bound}" if bound else "the key was taken from the list"
                self._refuse(bound or UNKNOWN, FOREIGN, f"a message of the sensor {message.sensor}: {whose}")
                answers[peer, b""] = message._replace(kind=REFUSED, payload=whose.encode(), after=0)
                continue
            known = runs.get(message.run) or self._runs.get(message.run) or Run(message.sensor, 0)
            answer = self._judge(message, known)
            if answer == STORED:
                lost = message.sequence - known.sequence - 1
                runs[message.run] = Run(message.sensor, message.sequence, known.lost + lost)
                accepted.append((message, lost, len(data)))
            elif answer == REPEAT:
                message, answer = message._replace(sequence=known.sequence), STORED
            text = "this run is of another sensor" if answer == REFUSED else ""
            answers[peer, message.run] = message._replace(kind=int(answer), payload=text.encode(), after=0)
        if self._write(accepted, self.counts - before):
            self._runs |= runs
            for (peer, _), answer in answers.items():
                self._answer(peer, answer)

    def _judge(self, message: Message, known: Run) -> int | str:
        """STORED: to be stored; REPEAT: it is already; REFUSED, MISSING: as they are answered."""
        if known.sensor != message.sensor:
            self._refuse(message.sensor, FOREIGN, f"a message of a run of the sensor {known.sensor}")
            return REFUSED
        if message.kind not in KIND_NAMES:
            self._refuse(message.sensor, MALFORMED, f"a message of kind {message.kind}, which only a hub sends")
            return REFUSED
        if message.sequence <= known.sequence:
            self._refuse(message.sensor, REPEAT, f"message {message.sequence}, which is stored already", quiet=True)
            return REPEAT
        if message.after > known.sequence:
            self._refuse(message.sensor, OUT_OF_ORDER, f"message {message.sequence} came before {known.sequence + 1}", quiet=True)
            return MISSING
        return STORED

    def _write(self, accepted: list[tuple[Message, int, int]], counted: Counter) -> bool:
        """Stores the messages; those whose payload is no good as a number alone. False if the disk fails: nothing is answered."""
        sound: list[tuple[Message, int, float]] = []
        passed: list[tuple[Message, int]] = []
        for message, lost, size in accepted:
            try:
                when_s = _begin_s(message)
                passed.append((message, size))
                sound.append((message, lost, when_s))
            except (MessageError, pdu.CodecError) as error:  # it would never be better: the sensor must not send it again
                self._refuse(message.sensor, MALFORMED, str(error))
                counted[message.sensor, MALFORMED] += 1
                sound.append((message._replace(kind=0, payload=b""), lost, message.time_s))
        try:
            self._store.add(sound, [(sensor, name, value) for (sensor, name), value in counted.items()])
        except StoreError as error:
            self.disk = str(error)
            self._line(UNKNOWN, "disk", f"{error}; sensors keep their messages until it can be written")
            return False
        self.disk, stored_s = "", time.time()
        for message, lost, _ in accepted:
            if lost:
                self.lost[message.sensor] += lost
                self._line(message.sensor, "lost", f"{message.sensor}: {lost} messages before {message.sequence} never come: the "
                           "sensor's spool was full, or its disk")
        if passed:
            self.n_stored += len(passed)
            self.n_bytes += sum(size for _, size in passed)
            self._take([Accepted(message, stored_s, size) for message, size in passed])
        return True

    def _answer(self, peer: bytes, answer: Message):
        try:
            self._socket.send_multipart([peer, pack(answer)], self._zmq.NOBLOCK)
        except self._zmq.ZMQError:
            pass  # it is gone: it will send again, and be answered then

    def _prune(self):
        try:
            self._store.prune()
        except StoreError as error:
            self._line(UNKNOWN, "disk", str(error))

    # What is refused

    def _authenticate(self, keys: HubKeys):
        from zmq.auth.thread import ThreadAuthenticator
        authenticator = ThreadAuthenticator(self._context)
        authenticator.start()
        authenticator.configure_curve_callback(domain=_DOMAIN.decode(), credentials_provider=self)
        return authenticator

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether a public key may connect; called by the authenticator on its thread."""
        if self._allowed is not None and self._allowed.sensor(key) is not None:
            return True
        self._refused_keys.append(key.decode("ascii", "replace"))
        return False

    def _watch(self):
        """Counts and reports connections that failed."""
        from zmq.utils.monitor import recv_monitor_message
        zmq = self._zmq
        while self._refused_keys:
            self._refuse(UNKNOWN, KEY_REFUSED, f"a connection: the key {self._refused_keys.popleft()} is not on the list")
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            if event in (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL):
                self._refuse(UNKNOWN, NO_KEY, "a connection without a key, or with another hub's key")

    def _refuse(self, sensor: str, reason: str, text: str, quiet: bool = False):
        """Counts what is refused; quiet: what happens after each lost connection is not reported."""
        self.counts[sensor, reason] += 1
        if not quiet:
            self._line(sensor, reason, f"refused ({sensor}): {text}")

    def _line(self, sensor: str, reason: str, text: str):
        now = time.monotonic()
        if now - self._said.get((sensor, reason), -_SAY_S) >= _SAY_S:
            self._said[sensor, reason] = now
            self._say(text)


def _begin_s(message: Message) -> float:
    """POSIX s of what a message is about.

    Raises:
        CodecError, MessageError: its payload is no good.
    """
    if message.kind == SPECTRA:
        return begin_s(pdu.unpack(message.payload)[0], message.time_s)
    read_json(message.payload)
    return message.time_s
