# SPDX-License-Identifier: GPL-3.0-or-later
"""Spectra of PDUs, by a process of its own: the model that a PDU names is found among the models of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from ..encoder.model_file import ModelError, found_models, load
from ..encoder.pdu import CodecError, GroupHeader, unpack
from ..encoder.quantise import Codec, DecodedGroup, identity

MAX_WAITING = 256  # PDUs of all sensors; then those of the sensor with the most are dropped, the oldest first
MAX_OF_SENSOR = 32


_NICE = 5  # of the process: what sensors send is stored first
_codecs: dict[bytes, Codec | None] = {}  # of the process, by the identity in a PDU's header


def decode(data: bytes) -> DecodedGroup:
    """The spectra of a PDU.

    Raises:
        CodecError: no model here has encoded it, or it does not decode.
    """
    wanted = unpack(data)[0].identity
    if wanted not in _codecs:
        _codecs[wanted] = _find(wanted)
    codec = _codecs[wanted]
    if codec is None:
        raise CodecError(f"no model on this machine is {wanted.hex()}: copy the sensor's model here, into a folder that "
                         "SPECTRUMENCODER_MODELS names")
    return codec.decode(data)


def _begin_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the hub, which ends the process
    os.nice(_NICE)


def _find(wanted: bytes) -> Codec | None:
    for path in found_models():
        try:
            file = load(path)
        except ModelError:
            continue
        if identity(file) == wanted:
            return Codec(file)
    return None


class Decoder:
    """Decodes PDUs in the order of each sensor, the sensors in turn. If it falls behind, it leaves out the oldest, which are
    stored all the same.

    Args:
        take: gets sensor, POSIX s at which the message was made, and spectra, on the decoder's thread.
        say: gets a line for a sensor whose spectra do not decode, once.

    Attributes: n_decoded; n_left_out; n_failed: PDUs.
    """

    def __init__(self, take: Callable[[str, float, DecodedGroup], None], say: Callable[[str], None] = lambda line: None):
        self._pool, self._pool_lock = self._new_pool(), threading.Lock()
        self._take, self._say, self._said = take, say, set()
        self._waiting: OrderedDict[str, deque[tuple[float, bytes]]] = OrderedDict()
        self._n_waiting, self._news, self._closing = 0, threading.Condition(), False
        self.n_decoded = self.n_left_out = self.n_failed = 0
        self._thread = threading.Thread(target=self._run, name="hub decoder", daemon=True)
        self._thread.start()

    def add(self, sensor: str, time_s: float, data: bytes) -> None:
        """Takes a PDU; from any thread."""
        with self._news:
            queue = self._waiting.setdefault(sensor, deque())
            queue.append((time_s, data))
            self._n_waiting += 1
            if len(queue) > MAX_OF_SENSOR or self._n_waiting > MAX_WAITING:
                longest = queue if len(queue) > MAX_OF_SENSOR else max(self._waiting.values(), key=len)
                longest.popleft()
                self._n_waiting -= 1
                self.n_left_out += 1
            self._news.notify()

    @property
    def n_waiting(self) -> int:
        return self._n_waiting

    def decode(self, data: bytes) -> DecodedGroup:
        """The spectra of a PDU, by the process; from any thread, which waits.

        Raises:
            CodecError: it does not decode, or the process was killed meanwhile.
        """
        with self._pool_lock:
            pool = self._pool
        try:
            return pool.submit(decode, data).result()
        except (BrokenProcessPool, RuntimeError) as error:  # the second: it is being ended
            with self._pool_lock:
                if self._pool is pool and not self._closing:
                    self._pool = self._new_pool()
            raise CodecError(f"the process that decodes has ended ({error}); the next one decodes again") from error

    @staticmethod
    def _new_pool() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin_process)

    def close(self) -> None:
        """Ends thread and process; what waits is left out."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join()
        self._pool.shutdown(cancel_futures=True)

    def _run(self):
        while (one := self._next()) is not None:
            sensor, time_s, data = one
            try:
                group = self.decode(data)
            except CodecError as error:
                self.n_failed += 1
                if sensor not in self._said:
                    self._said.add(sensor)
                    self._say(f"{sensor}: its spectra cannot be shown: {error}")
                continue
            self.n_decoded += 1
            self._take(sensor, time_s, group)

    def _next(self) -> tuple[str, float, bytes] | None:
        with self._news:
            while not self._n_waiting and not self._closing:
                self._news.wait()
            if self._closing:
                return None
            sensor = next(name for name, queue in self._waiting.items() if queue)
            self._waiting.move_to_end(sensor)
            self._n_waiting -= 1
            return sensor, *self._waiting[sensor].popleft()


def begin_s(header: GroupHeader, made_s: float) -> float:
    """POSIX s of a group's first sample: by its header, else by the time at which its message was made."""
    if header.rx_time is not None:
        return header.rx_time
    return made_s - header.n_frames * header.frame_hop / header.rx_rate
