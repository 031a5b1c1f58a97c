# SPDX-License-Identifier: GPL-3.0-or-later
"""The mixin through which every Python entry point of a block goes, so that no exception can hang a flowgraph.

GNU Radio 3.10 answers a Python exception in ``work`` or a message handler by ending that block's thread alone
(``top_block.wait`` then never returns), one in ``start`` by waiting forever on its start barrier, and one in ``stop``
by aborting the process. So a block here writes ``_work``, ``_start`` and ``_stop`` and marks its handlers and setters:

    class my_block(SafeBlock, gr.sync_block):
        def __init__(self):
            gr.sync_block.__init__(self, "my_block", [np.float32], [np.float32])
            self.init_safe_block()
            self.add_input_port("control", self.handle_control)   # a bound method: GNU Radio finds handlers by name

        def _work(self, input_items, output_items): ...           # returns an int
        @handler
        def handle_control(self, message): ...                    # raise MalformedMessage for unusable content
        @setter
        def set_gain(self, gain): ...                             # raise ValueError to refuse and keep the old value

A failure is logged with its traceback, kept in ``failure`` (the runner of the flowgraph polls it: ``first_failure``),
published on ``status``, and ends the flowgraph: ``work`` returns -1 from then on. A block without streams cannot end
it: it ignores every later message, and the runner sees ``failure``.

Messages published in ``stop`` reach the neighbours only after GNU Radio has signalled them that the block is done.
A message sink may have ended by then. Sinks here therefore linger a moment, and ``run_flowgraph`` calls ``drain``
on every block once all have stopped, so that nothing is lost.
"""

from __future__ import annotations

import functools
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import pmt

from .. import keys
from ..lines_file import CannotWrite
from ..recordings.recording import RecordingError
from ..tokens.tokenize import native_module
from .messages import MalformedMessage, kind, to_pmt

WORK_DONE = -1  # the int: returning the enum gr.WORK_DONE fails in the gateway
_STATUS = pmt.intern(keys.STATUS)
_SYSTEM = pmt.intern("system")
_DONE = pmt.intern("done")
_LOG_INTERVAL_S = 1.0
_LINGER_S = 0.2
_MAX_TYPES = 16  # ports of a block that differ; further ones are like the last
AT_ONCE = 256  # max items that a block with outputs gets in one call
Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass(frozen=True)
class Failure:
    """A failure that ended a block: name, the entry point ("work", "start", ...), the exception, the monotonic time in s."""

    block: str
    where: str
    error: BaseException
    time: float

    def __str__(self) -> str:
        if isinstance(self.error, (CannotWrite, RecordingError)):  # their lines say all
            return f"{self.block}: {self.error}"
        return f"{self.block}: {self.where} failed: {type(self.error).__name__}: {self.error}"


def first_failure(blocks: Iterable[object]) -> Failure | None:
    """The earliest failure among blocks. Blocks without a ``failure`` attribute, such as C++ blocks, are passed over."""
    failures = [failure for block in blocks if (failure := getattr(block, "failure", None)) is not None]
    return min(failures, key=lambda failure: failure.time, default=None)


def status_message(block: str, state: str, message: str = "", **counters: Any) -> Any:
    """A status PMT: the dict {block, status, message, counters...} of the vocabulary."""
    return to_pmt({keys.BLOCK: block, keys.STATUS_STATE: state, keys.MESSAGE: message, **counters})


def handler(method: Method) -> Callable[..., None]:
    """Marks a message handler: malformed messages are counted, any other exception is the block's failure.

    Args:
        method: ``method(self, message)``, message a PMT. It raises MalformedMessage for a message that it cannot use.
    """
    @functools.wraps(method)
    def guarded(self: SafeBlock, message: Any) -> None:
        if self.failure is not None:
            return
        try:
            method(self, message)
        except MalformedMessage as error:
            self._count_malformed(method.__name__, error)
        except Exception as error:  # noqa: BLE001 (no exception may reach GNU Radio)
            self.fail(method.__name__, error)
    return guarded


def setter(method: Method) -> Callable[..., bool]:
    """Marks a live setter, which then returns whether the value was taken.

    Args:
        method: ``method(self, value)``. It raises ValueError to refuse: that is logged and published on `status`, and the old
            value stays. Any other exception is the block's failure.
    """
    @functools.wraps(method)
    def guarded(self: SafeBlock, *args: Any, **kwargs: Any) -> bool:
        try:
            method(self, *args, **kwargs)
            return True
        except ValueError as error:
            self.refuse(str(error))
        except Exception as error:  # noqa: BLE001 (no exception may reach GNU Radio)
            self.fail(method.__name__, error)
        return False
    return guarded


class SafeBlock:
    """The mixin that keeps exceptions away from GNU Radio. Put it before the gr base class; the module shows how.

    Attributes:
        failure: the ``Failure`` that ended the block; None while all is well.
        malformed: messages ignored because they could not be used.
        n_waiting: items that every input held at the last call of work.
    """

    # Members of the gr base class
    name: Callable[[], str]
    in_sig: Callable[[], Any]
    out_sig: Callable[[], Any]
    message_port_register_in: Callable[[Any], None]
    message_port_register_out: Callable[[Any], None]
    message_port_pub: Callable[[Any, Any], None]
    set_msg_handler: Callable[[Any, Callable[[Any], None]], None]
    set_max_noutput_items: Callable[[int], None]
    delete_head_nowait: Callable[[Any], Any]
    gateway: Any
    logger: Any

    def init_safe_block(self) -> None:
        """Call right after the gr base's __init__. Registers the message output `status`."""
        signatures = self.in_sig(), self.out_sig()
        self.gateway = native_module().python_block(self.gateway.name(), *(s.gr_io_signature() for s in signatures), self,
                                                    *(s.port_types(_MAX_TYPES) for s in signatures))
        self._tagged = True
        self._lingered = False
        self.n_waiting = 0  # items that every input held when work was called last
        self.failure: Failure | None = None
        self.malformed = 0
        self._failure_lock = threading.Lock()
        self._last_logged: dict[str, float] = {}
        self._inputs: dict[str, Callable[[Any], None]] = {}
        self.message_port_register_out(_STATUS)
        inputs, outputs = len(self.in_sig().port_types(1)), len(self.out_sig().port_types(1))
        if not inputs and not outputs:
            self.set_msg_handler(_SYSTEM, self.handle_system)
        elif inputs and outputs:
            self.set_max_noutput_items(AT_ONCE)

    # Overridden by blocks

    def _work(self, input_items: list, output_items: list) -> int:
        raise TypeError(f"{self.name()} has no streams")

    def _start(self) -> None:
        """Override to open what is needed; an exception is remembered and the first work ends the flowgraph."""

    def _stop(self) -> None:
        """Override to close; must stand being called twice and without a single work."""

    def counters(self) -> dict:
        """Override to add this block's counters to every status message."""
        return {}

    # Called by GNU Radio

    def called(self, input_items: list, output_items: list, n_waiting: int, tagged: bool) -> int:
        """The call of work by ``python_block``. Returns the items produced, or -1 for the end.

        Args:
            input_items: an array per input, of all items that wait there. output_items: an array per output, of all its room.
            n_waiting: items that wait on every input.
            tagged: whether these items of input 0 bear tags.
        """
        self.n_waiting, self._tagged = n_waiting, tagged
        return self.work(input_items, output_items)

    def work(self, input_items: list, output_items: list) -> int:
        """Calls ``_work``; an exception becomes the block's failure.

        Args:
            input_items: an array per input. output_items: an array per output.
        """
        if self.failure is not None:
            return WORK_DONE
        try:
            return int(self._work(input_items, output_items))
        except Exception as error:  # noqa: BLE001 (no exception may reach GNU Radio)
            self.fail("work", error)
            return WORK_DONE

    def start(self) -> bool:
        """Calls ``_start``; an exception becomes the block's failure."""
        self._lingered = False
        try:
            self._start()
        except Exception as error:  # noqa: BLE001 (no exception may reach GNU Radio)
            self.fail("start", error)
        return True  # GNU Radio ignores False, and hangs on an exception

    def stop(self) -> bool:
        """Calls ``_stop``; an exception becomes the block's failure."""
        try:
            self._stop()
        except Exception as error:  # noqa: BLE001 (no exception may reach GNU Radio)
            self.fail("stop", error)
        return True

    def handle_system(self, message: Any) -> None:
        """The system port of a block without streams: ends it, a moment after its last neighbour's work is done.

        Args:
            message: the PMT (done . 1).
        """
        if not pmt.is_pair(message) or not pmt.eqv(pmt.car(message), _DONE):
            self._count_malformed("system", MalformedMessage(f"wants (done . 1), got {kind(message)}"))
            return
        quiet_since = time.monotonic()
        while not self._lingered and time.monotonic() - quiet_since < _LINGER_S:
            if self._handle_queued():
                quiet_since = time.monotonic()
            time.sleep(0.01)
        self._lingered = True  # each neighbour says that it is done, and the first one ends the block
        self.gateway.system_handler(message)

    def drain(self) -> None:
        """Handles the messages that are still queued, then stops again; call it when the flowgraph has ended."""
        if self._handle_queued():
            self.stop()

    def _handle_queued(self) -> int:
        count = 0
        for key, method in self._inputs.items():
            while (message := self.delete_head_nowait(pmt.intern(key))) is not None:
                method(message)
                count += 1
        return count

    # Tools for blocks

    def get_tags_in_window(self, port: int, start: int, stop: int) -> list:
        """The tags of an input in this call of work, as ``gr.block`` has it. Input 0 is asked only if it bears any.

        Args:
            port: input. start, stop: items from the first of this call.
        """
        return self.gateway.get_tags_in_window(port, start, stop) if port or self._tagged else []

    def add_input_port(self, port: str, method: Callable[[Any], None]) -> None:
        """Registers a message input.

        Args:
            port: its name.
            method: a bound method, marked with ``@handler``, that takes each message.
        """
        key = pmt.intern(port)
        self._inputs[port] = method
        self.message_port_register_in(key)
        self.set_msg_handler(key, method)

    def fail(self, where: str, error: BaseException) -> None:
        """Records the first failure, logs it with its traceback and publishes it.

        Args:
            where: the entry point. error: the exception.
        """
        with self._failure_lock:
            if self.failure is not None:
                self.logger.error(f"{where}, after an earlier failure: {type(error).__name__}: {error}")
                return
            self.failure = Failure(self.name(), where, error, time.monotonic())
        trace = "".join(traceback.format_exception(error)).rstrip()
        self.logger.error(f"{self.name()}: {where} failed: {type(error).__name__}: {error}\n{trace}")
        self.publish_status("failed", str(self.failure))

    def refuse(self, message: str) -> None:
        """Logs a live change that cannot be done, and publishes it as `refused`.

        Args:
            message: one line: the value, and what is possible.
        """
        self.logger.warn(f"refused: {message}")
        self.publish_status("refused", message)

    def publish_status(self, state: str, message: str = "", **counters: Any) -> None:
        """Publishes a dict on `status`: the block's name, state, message, ``counters()`` and those given.

        Args:
            state: one word, such as "running". message: one line. counters: further entries.
        """
        every = {keys.MALFORMED: self.malformed, **self.counters(), **counters}
        self.message_port_pub(_STATUS, status_message(self.name(), state, message, **every))

    def log_due(self, subject: str) -> bool:
        """True at most once a second for a subject. Ask before logging a condition that may recur with every frame.

        Args:
            subject: any name.
        """
        now = time.monotonic()
        if now - self._last_logged.get(subject, -_LOG_INTERVAL_S) < _LOG_INTERVAL_S:
            return False
        self._last_logged[subject] = now
        return True

    def _count_malformed(self, where: str, error: MalformedMessage) -> None:
        self.malformed += 1
        if self.log_due("malformed"):
            text = f"{where}: malformed message ignored: {error} ({self.malformed} so far)"
            self.logger.warn(text)
            self.publish_status("malformed", text)
