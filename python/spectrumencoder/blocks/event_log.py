# SPDX-License-Identifier: GPL-3.0-or-later
"""Sink block: events or signals as JSON lines, into a file, to standard output, and over ZeroMQ."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from gnuradio import gr

from .. import keys
from ..lines_file import CannotWrite, LinesFile, close, finite
from . import messages
from .safe_block import SafeBlock, handler


class event_log(SafeBlock, gr.basic_block):
    """Writes one JSON object per message of an event or a signal, its keys in the order of the vocabulary.

    Message input: `events` (a PDU or a bare dict; a PDU's vector is not written); `signals` of ``signal_list`` fits there, too.
    Message output: `status`.

    Args:
        file: path of the JSON lines file, written line by line; "": none.
        append: keep what the file holds; else it is emptied at start. A last line that was cut off is removed.
        stdout: also write to standard output.
        zmq_address: also publish each line on a ZeroMQ PUB socket bound here, e.g. "tcp://*:5556"; "": none. There each bears its
            number, `line`. A subscriber that is too slow loses lines, which it sees by their numbers, until it has caught up.
            `slow_subscribers` of the status counts how often one began to.
        recording: name put into every line, for a file that holds the events of several recordings; "": none.
        max_mb: a file of that size becomes FILE.1, and FILE.1 becomes FILE.2, up to FILE.9; 0: it grows without limit.

    The file has one writer: it is locked, and a second one fails. A full disk leaves whole lines.

    Raises:
        ValueError: the file's folder does not exist, pyzmq is missing, or no destination is given.
    """

    def __init__(self, file: str | Path = "", append: bool = False, stdout: bool = False, zmq_address: str = "",
                 recording: str = "", max_mb: float = 0.0) -> None:
        gr.basic_block.__init__(self, "event_log", None, None)
        self.init_safe_block()
        self._path = Path(file) if file else None
        self._extra = {keys.RECORDING: str(recording)} if recording else {}
        self._append, self._stdout, self._zmq_address = bool(append), bool(stdout), str(zmq_address)
        if not (file or stdout or zmq_address):
            raise ValueError("event_log has nowhere to write: give file, stdout or zmq_address")
        if self._path is not None and not self._path.parent.is_dir():
            raise ValueError(f"file {file}: the folder {self._path.parent} does not exist; make it first")
        if not 0.0 <= max_mb < math.inf:
            raise ValueError(f"max_mb {max_mb:g} is not a size: it must be at least 0, which is without limit")
        self._max_bytes = round(max_mb * 1e6)
        if zmq_address:
            _import_zmq()
        self._file: LinesFile | None = None
        self._socket: Any = None
        self.n_events = self.n_slow_subscribers = 0
        self.add_input_port(keys.EVENTS, self.handle_events)

    def counters(self):
        return {keys.EVENTS: self.n_events} | ({keys.SLOW_SUBSCRIBERS: self.n_slow_subscribers} if self._zmq_address else {})

    def _start(self):
        self._open_file()
        if self._zmq_address:
            zmq = _import_zmq()
            self._socket = zmq.Context.instance().socket(zmq.PUB)
            try:
                self._socket.bind(self._zmq_address)
            except zmq.ZMQError as error:
                raise CannotWrite(f"cannot publish at {self._zmq_address}: {error.strerror}; give an address of this machine, "
                                  "such as tcp://127.0.0.1:5556") from error

    def _open_file(self):
        if self._path is not None and self._file is None:
            self._file = LinesFile(self._path, append=self._append, max_bytes=self._max_bytes)
            self._append = True  # events after a stop are appended to the same file

    def _stop(self):
        file, self._file = self._file, None
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close(linger=1000)
        close(file)

    @handler
    def handle_events(self, message):
        event = messages.metadata(message) | self._extra
        line = json_line(event)
        self.n_events += 1
        self._open_file()
        if self._file is not None:
            self._file.write(line)
        if self._stdout:
            self._print(line)
        if self._socket is not None:
            self._publish(json_line(event | {keys.LINE: self.n_events}))

    def _print(self, line: str):
        """Writes to standard output; once its reader is gone, no more."""
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except BrokenPipeError as error:
            self._stdout = False
            if self._path is None and self._socket is None:
                raise CannotWrite("cannot write to standard output: its reader is gone; give a file") from error
            text = "the reader of standard output is gone; events go on to the other destinations"
            self.logger.warn(text)
            self.publish_status("note", text)

    def _publish(self, line: str):
        """Sends a line to all subscribers that take it at once."""
        zmq = _import_zmq()
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)  # without it nobody learns of a loss
        try:
            self._socket.send_string(line, zmq.NOBLOCK)
        except zmq.Again:
            self._socket.setsockopt(zmq.XPUB_NODROP, 0)
            self._socket.send_string(line)
            self.n_slow_subscribers += 1
            if self.log_due("slow_subscriber"):
                text = f"{self._zmq_address}: a subscriber is too slow and loses lines, from line {self.n_events} on"
                self.logger.warn(text)
                self.publish_status("slow_subscriber", text)


def json_line(event: dict) -> str:
    """An event or a signal as one line of JSON: vocabulary order first; what is not a finite number becomes null."""
    fields = keys.SIGNAL_FIELDS if keys.SIGNAL_ID in event else keys.EVENT_FIELDS
    ordered = {key: event[key] for key in fields if key in event} | event
    return json.dumps(finite(ordered), allow_nan=False, default=str)


def _import_zmq():
    try:
        import zmq
    except ImportError as error:
        raise ValueError(f"zmq_address needs pyzmq ({error}); apt install python3-zmq, or leave it empty") from error
    return zmq
