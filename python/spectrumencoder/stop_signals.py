# SPDX-License-Identifier: GPL-3.0-or-later
"""Ctrl-C and SIGTERM: the first one stops the work in good order, later ones do not disturb that."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN_S = 1.0      # after a KeyboardInterrupt, which a library may have swallowed: a further signal then raises another
PATIENCE_S = 10.0  # after the first signal: a further one then ends the process at once


class StopSignals:
    """The signals of this process that mean stop; there is one object, ``STOP``.

    Attributes:
        came: whether one came since ``begin``; without that, since the last ``deferred`` began.
    """

    def __init__(self):
        self.came = False
        self._begun = self._obeyed = self._deferred = False
        self._first_s = self._raised_s = 0.0

    def begin(self) -> None:
        """From here on a signal raises KeyboardInterrupt, until ``end``. The next ones are ignored for ``AGAIN_S``.

        An ignored signal (``nohup``) stays ignored. In a thread other than the main one, to which Python sends no signal, it
        does nothing.
        """
        if threading.current_thread() is threading.main_thread():
            self.came = self._obeyed = False
            self._begun = True
            self._install()

    def end(self) -> None:
        """The work is over: signals raise nothing more."""
        self._begun, self._obeyed = False, True

    @contextmanager
    def deferred(self) -> Iterator[StopSignals]:
        """Signals within raise nothing: ``came`` says whether there was one, and if so, later ones are ignored for good.

        An exception inside a callback of GNU Radio would abort the process, and one during a stop would lose what is not yet
        written. It too does nothing in another thread than the main one.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        if not self._begun:
            self.came = self._obeyed = False
        self._deferred = True
        self._install()
        try:
            yield self
        finally:
            self._deferred, self._obeyed = False, self.came
            for number, handler in before.items():
                if handler is not None:  # one that was not set from Python cannot be set again
                    signal.signal(number, handler)

    def _install(self):
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)

    def _handle(self, number, frame):
        now = time.monotonic()
        if not self.came:
            self.came, self._first_s = True, now
        elif now - self._first_s > PATIENCE_S:
            os._exit(1)
        if not (self._deferred or self._obeyed or now - self._raised_s < AGAIN_S):
            self._raised_s = now
            raise KeyboardInterrupt


STOP = StopSignals()
