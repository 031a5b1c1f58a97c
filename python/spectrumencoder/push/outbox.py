# SPDX-License-Identifier: GPL-3.0-or-later
"""The way into the spool: a queue of bounded length and a thread, so that a slow or full disk does not make the run wait."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from ..spool import Spool, SpoolError

MAX_HELD = 5_000  # payloads in memory
RETRY_S = 1.0


class Outbox:
    """Takes payloads at once, and appends them to the spool on a thread of its own.

    If the spool cannot be written, payloads are held in memory and tried again each second; beyond MAX_HELD the oldest go.

    Args:
        spool: where they go.
        stored: called on the thread with the queue of each payload that is now in the spool.

    Attributes: trouble: why the spool cannot be written, "" if it can; n_lost: payloads that never reached it.
    """

    def __init__(self, spool: Spool, stored: Callable[[str], None]):
        self._spool, self._stored = spool, stored
        self._held = deque[tuple[str, bytes]]()
        self._changed = threading.Condition()
        self._ending = self._busy = False
        self.trouble, self.n_lost = "", 0
        self._thread = threading.Thread(target=self._work, name="push-outbox", daemon=True)
        self._thread.start()

    def put(self, queue: str, payload: bytes):
        """Takes a payload for a queue of the spool; never waits."""
        with self._changed:
            if len(self._held) >= MAX_HELD:
                self._held.popleft()
                self.n_lost += 1
            self._held.append((queue, payload))
            self._changed.notify()

    def close(self, timeout_s: float):
        """Writes what is held, for so long at most; what is left then is lost, and counted."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._changed.notify()
            while (self._held or self._busy) and time.monotonic() < deadline:
                self._changed.wait(0.1)
            self._ending = True
            self._changed.notify()
        self._thread.join(RETRY_S + timeout_s)
        with self._changed:
            self.n_lost += len(self._held)
            self._held.clear()

    def _work(self):
        while True:
            with self._changed:
                while not self._held and not self._ending:
                    self._changed.wait()
                if self._ending:
                    return
                queue, payload = self._held.popleft()
                self._busy = True
            stored = self._append(queue, payload)
            with self._changed:
                self._busy = False
                if not stored and len(self._held) < MAX_HELD:
                    self._held.appendleft((queue, payload))
                elif not stored:
                    self.n_lost += 1
                self._changed.notify_all()
                if not stored and not self._ending:
                    self._changed.wait_for(lambda: self._ending, RETRY_S)
            if stored:
                self._stored(queue)

    def _append(self, queue: str, payload: bytes) -> bool:
        try:
            self._spool.append(payload, queue)
        except SpoolError as error:
            self.trouble = str(error)
            return False
        except ValueError:  # larger than the spool
            self.n_lost += 1
            return True
        self.trouble = ""
        return True
