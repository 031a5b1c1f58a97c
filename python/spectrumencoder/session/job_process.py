# SPDX-License-Identifier: GPL-3.0-or-later
"""A process of its own for recordings, one after the other: a crash in it is the error of one recording.

Any thread of any process may start one, also a worker of Dask, whose own processes may have no children of ``multiprocessing``.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import SessionError
from .outcome import Outcome

if TYPE_CHECKING:
    from .jobs import Plan

LATE_S = 10.0  # what has not ended by then is ended
_PR_SET_PDEATHSIG = 1


class JobProcess:
    """A process that runs recordings by a plan. It ends with the thread that started it, and so with that thread's process.

    The terminal's Ctrl-C does not reach it: ``interrupt`` passes it on.

    Args:
        plan: how each recording is run.
        idle_s: it ends after that time without work, s; None: it waits for ever.

    Attributes:
        connection: ready to be read when a result has come, or when the process has ended.
        pid: of the process.
        is_spent: it has died, or ends because a block hangs in it; start another.
    """

    def __init__(self, plan: Plan, *, idle_s: float | None = None):
        ours, its = socket.socketpair()
        code = (f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; "
                f"serve({its.fileno()}, {os.getpid()})")
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # which it inherits, until it ignores the signal
        try:
            self._process = subprocess.Popen([sys.executable, "-c", code], pass_fds=[its.fileno()], stdin=subprocess.DEVNULL,
                                             process_group=0)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        its.close()
        self.connection, self.pid, self.is_spent = Connection(ours.detach()), self._process.pid, False
        self._send((plan, idle_s))

    def send(self, path: Path, files: dict[str, Path]) -> None:
        """Gives it a recording, and files in the place of the plan's. ``receive`` has the result, whatever happens."""
        self._send((path, files))

    def receive(self, name: str) -> Outcome | Exception:
        """Waits for the result; it is an error if the process has died. name: of the recording, for that error."""
        try:
            result = self.connection.recv()
            self.is_spent = isinstance(result, Outcome) and bool(result.hung)
            return result
        except (EOFError, OSError):
            self.is_spent, status = True, self._ended()
            return SessionError(f"{name}: its process ended with {status}; see whether memory was short, and run it alone")

    def interrupt(self) -> None:
        """Ends the running recording in good order; its result comes."""
        self._process.send_signal(signal.SIGINT)

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Ends it at once; its recording fails. Any thread may call it."""
        self._process.kill()
        self._process.wait()

    def close(self, *, busy: bool = False) -> None:
        """Ends it. busy: it is at work, so it is killed."""
        self.connection.close()  # one that waits for work ends by itself
        if busy:
            self._process.kill()
        self._ended()

    def _ended(self) -> int:
        try:
            return self._process.wait(LATE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _send(self, content) -> None:
        try:
            self.connection.send(content)
        except OSError:  # it has died: receive says so
            pass


def serve(descriptor: int, parent: int) -> None:
    """The process: runs the recordings sent to it, until the other end is closed.

    Args:
        descriptor: of the socket to the parent. parent: its process number.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    connection = Connection(descriptor)
    try:
        plan, idle_s = connection.recv()
        while connection.poll(idle_s):
            path, files = connection.recv()
            plan = _serve_one(connection, plan, path, files)
    except (EOFError, OSError):
        return


def _serve_one(connection: Connection, plan: Plan, path: Path, files: dict[str, Path]) -> Plan:
    """Runs a recording and sends its result. Returns the plan with its models loaded."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        plan = plan.loaded()
        result = plan.into(files).run(path)
    except KeyboardInterrupt:
        result = SessionError(f"{path.stem}: interrupted before it began")
    except Exception as error:  # noqa: BLE001 (the parent raises it)
        result = error
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection.send(_sendable(result))
    if isinstance(result, Outcome) and result.hung:
        os._exit(1)  # a normal exit would wait for the thread that hangs
    return plan


def _sendable(result):
    try:
        pickle.loads(pickle.dumps(result))
    except Exception as error:  # noqa: BLE001 (an exception's class may do anything)
        return SessionError(f"{type(result).__name__}: {result} ({error})")
    return result
