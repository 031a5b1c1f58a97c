# SPDX-License-Identifier: GPL-3.0-or-later
"""The common part of what sends: a thread that empties one queue of the spool, and says what keeps it from that."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from typing import Any

from ..spool import Spool
from .rules import EventFilter
from .rules_file import Target


class Sender(ABC):
    """Sends what waits in the queue `name` of a spool, in order, on a thread of its own.

    Attributes: name: of the target; n_sent: events that arrived since the start; n_refused: events that the other side will never
        take; trouble: why nothing can be sent now, "" if nothing is known.
    """

    def __init__(self, target: Target, spool: Spool):
        self.target, self.name, self.spool = target, target.name, spool
        self.n_sent = self.n_refused = 0
        self.trouble = ""
        self._filter = EventFilter(target.rules)
        self._deadline: float | None = None  # monotonic time at which it ends, set by ``stop``
        self._thread = threading.Thread(target=self._run, name=f"push {self.name}", daemon=True)

    def start(self):
        """Begins to send what waits, of earlier runs too."""
        self._thread.start()

    def begin_run(self):
        """The events of another run follow."""
        self._filter.begin()

    def wants(self, event: dict[str, Any]) -> bool:
        """Whether the rules let this event through."""
        return self._filter.passes(event)

    @abstractmethod
    def wake(self):
        """Something was put into the queue."""

    @abstractmethod
    def stop(self, deadline_s: float):
        """Asks for the end: as soon as the queue is empty, at the latest at this time of time.monotonic()."""

    def join(self, timeout_s: float):
        """Waits for the end of the thread."""
        self._thread.join(max(0.0, timeout_s))

    def _run(self):
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 (the run goes on, and says so)
            self.trouble = f"sends nothing more: {type(error).__name__}: {error}"

    @abstractmethod
    def _work(self):
        ...


def packed(line: str, posix_s: float) -> bytes:
    """What the spool holds for an event. line: the event as JSON. posix_s: when it came."""
    return f'{{"came_s": {posix_s!r}, "event": {line}}}'.encode()


def unpacked(payload: bytes) -> tuple[dict[str, Any], float]:
    """The event and when it came. A payload that is none, as of a damaged file, gives an empty event."""
    try:
        content = json.loads(payload)
        return dict(content["event"]), float(content["came_s"])
    except (ValueError, KeyError, TypeError):
        return {}, 0.0
