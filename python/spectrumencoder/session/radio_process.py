# SPDX-License-Identifier: GPL-3.0-or-later
"""A radio in a process of its own: what the process does, and the handle by which ``reopened_radio`` holds it.

A driver that has lost its device cannot be trusted any more: it may throw wherever it is called, hang, hold locks, or end the
process. SoapySDR gives the same dead device again as long as anyone holds it. So the process goes, and another one opens the
radio.

Both ends send Python objects through a socket. To the process: options and frequency, then ``START``, then commands as bytes of
PMTs. From it: ``Opened`` or ``Failed``, then ``Piece`` after ``Piece``, statuses as bytes of PMTs, and at the end ``Failed``.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from typing import NamedTuple

from .sources import RadioOptions, driver_failure_text, open_soapy

START = "start"
OPEN_S = 30.0  # a driver that takes longer to open hangs
_END_S = 1.0  # patience with the end of a process


class Opened(NamedTuple):
    """The radio is open: samples per second, centre (Hz), whether it has a clock."""

    samp_rate: float
    center_freq: float
    has_clock: bool


class Failed(NamedTuple):
    """The radio could not be opened, or its driver failed. why: one line."""

    why: str


class Piece(NamedTuple):
    """Samples, and the tags on them.

    Attributes:
        samples: bytes of complex64. tags: (sample of this piece, key, bytes of the PMT).
        end_s: POSIX seconds at which the last sample came, by the computer's clock.
    """

    samples: bytes
    tags: list[tuple[int, str, bytes]]
    end_s: float


class RadioProcess:
    """Opens a radio in another process.

    Args:
        options: of the radio. freq: Hz, to tune it to. open_s: patience.

    Attributes: opened.

    Raises:
        RadioError: it cannot be opened; one line.
    """

    def __init__(self, options: RadioOptions, freq: float, open_s: float = OPEN_S):
        ours, its = socket.socketpair()
        code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve({its.fileno()})"
        # A session of its own: the terminal's Ctrl-C is for this process, which ends the other one.
        self._process = subprocess.Popen([sys.executable, "-c", code], pass_fds=[its.fileno()], start_new_session=True,
                                         stdin=subprocess.DEVNULL)
        its.close()
        self._connection, self._sending = Connection(ours.detach()), threading.Lock()
        from ..blocks.soapy_radio import RadioError
        try:
            self.send((options, freq))
            answer = self.receive() if self.ready(open_s) else Failed(
                f"{options.device}: the driver did not open the radio within {open_s:g} s")
        except (EOFError, OSError):
            answer = Failed(f"{options.device}: {self.ended}")
        if isinstance(answer, Failed):
            self.close()
            raise RadioError(answer.why)
        self.opened: Opened = answer

    @property
    def ended(self) -> str:
        """How the process ended, in words."""
        try:
            status = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return "the process of its driver does not answer"
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        return f"the process of its driver ended {how}"

    def ready(self, wait_s: float) -> bool:
        """Whether something can be received within this time. Raises OSError: the process is gone."""
        return self._connection.poll(wait_s)

    def receive(self):
        """The next object. Raises EOFError, OSError: the process is gone."""
        return self._connection.recv()

    def send(self, what) -> None:
        """Sends an object. Raises OSError: the process is gone."""
        with self._sending:
            self._connection.send(what)

    def close(self) -> None:
        """Ends the process, however busy it is."""
        self._process.kill()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            pass  # it waits for the kernel, and ends when that answers
        self._connection.close()


def serve(descriptor: int) -> None:
    """The process: opens the radio and sends what it gives, until the other end is closed.

    Args:
        descriptor: of its end of the socket.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a service manager sends it to all processes; the other one ends this one
    connection, lock = Connection(descriptor), threading.Lock()

    def send(what):
        with lock:
            connection.send(what)

    try:
        options, freq = connection.recv()
        why = _run(connection, send, options, freq)
        send(Failed(why))
    except (EOFError, OSError):
        pass  # the other end is closed
    os._exit(0)  # a normal exit would wait for a driver that hangs


def _run(connection: Connection, send, options: RadioOptions, freq: float) -> str:
    """Runs the radio; returns why it ended."""
    from dataclasses import replace

    from gnuradio import gr

    from .. import keys
    from ..blocks.run_flowgraph import run_flowgraph
    from ..tokens.tokenize import native_module
    from .errors import SessionError
    from .flowgraph import GRACE_S
    from .quiet_logs import quiet_logs
    from .radio_sender import radio_sender
    quiet_logs()
    try:
        radio = open_soapy(replace(options, freq=freq, duration=None))
    except SessionError as error:
        return str(error)
    send(Opened(radio.samp_rate, radio.center_freq, radio.has_clock))
    if connection.recv() != START:
        return "the radio was not started"
    sender, top = radio_sender(send), gr.top_block("spectrumencoder radio")
    top.connect(radio, sender)
    top.msg_connect(radio, keys.STATUS, sender, keys.STATUS)
    native = native_module()
    before, _ = native.driver_failures()
    threading.Thread(target=_pass_commands, args=(connection, radio), daemon=True).start()
    radio.set_clock()
    try:
        failure = run_flowgraph(top, [*radio.blocks, sender], grace_s=GRACE_S,
                                should_stop=lambda: native.driver_failures()[0] > before)
    except TimeoutError as error:
        failure = error
    failures, text = native.driver_failures()
    if failures > before:
        return driver_failure_text(sender.n_samples / radio.samp_rate, text)
    return str(failure or "the radio's stream ended")


def _pass_commands(connection: Connection, radio) -> None:
    import pmt

    from .. import keys
    try:
        while True:
            radio.blocks[0].to_basic_block()._post(pmt.intern(keys.CMD), pmt.deserialize_str(connection.recv()))
    except (EOFError, OSError):
        os._exit(0)
