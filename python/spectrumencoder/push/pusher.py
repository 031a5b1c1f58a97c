# SPDX-License-Identifier: GPL-3.0-or-later
"""All targets of a run: takes events, keeps them in the spool, has them sent, and says what became of them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..spool import Spool
from . import addresses
from .outbox import Outbox
from .rules_file import Target
from .sender import Sender, packed

FLUSH_S = 5.0  # at the end of a run
SAY_S = 60.0  # between two lines about one target


def default_spool() -> Path:
    """The spool if none is given: in the state folder of the service, else in that of the user.

    Raises:
        ValueError: there is none.
    """
    if os.environ.get("STATE_DIRECTORY"):  # of systemd
        return Path(os.environ["STATE_DIRECTORY"].split(":")[0]) / "push.spool"
    try:
        folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    except RuntimeError as error:
        raise ValueError("this user has no home folder for the spool; give --push-spool FILE") from error
    return folder / "spectrumencoder" / "push.spool"


class Pusher:
    """Sends events to targets. ``event`` never waits.

    Args:
        targets: see ``rules_file.targets``.
        path: of the spool. max_bytes: what waits there at most.

    Raises:
        SpoolError: the spool cannot be opened.
    """

    def __init__(self, targets: Sequence[Target], path: Path, max_bytes: int):
        site = addresses.site()
        self.spool = Spool(path, max_bytes)
        self._dropped_before = self.spool.n_dropped
        self.senders = [sender(target, self.spool, site) for target in targets]
        self._by_name = {one.name: one for one in self.senders}
        self._outbox = Outbox(self.spool, lambda queue: self._by_name[queue].wake())
        self._said: dict[str, tuple[str, float]] = {}
        self._closed = False
        self._left: dict[str, int] = {}  # what waits after the end, by target
        self._strangers = [name for name in self.spool.queues() if name not in self._by_name]
        for one in self.senders:
            one.start()

    @property
    def n_waiting(self) -> int:
        """Events that wait, for all targets."""
        return self.spool.n_waiting

    @property
    def n_dropped(self) -> int:
        """Events of this run that will not arrive: dropped for lack of room, or never written."""
        return self.spool.n_dropped - self._dropped_before + self._outbox.n_lost

    def begin_run(self):
        """The events of another run follow."""
        for one in self.senders:
            one.begin_run()

    def event(self, event: Mapping[str, Any], line: str):
        """Takes an event for all targets whose rules let it through. line: the event as JSON."""
        payload = packed(line, time.time())
        for one in self.senders:
            if one.wants(event):
                self._outbox.put(one.name, payload)

    def retain(self, **content: dict[str, Any] | None):
        """States the present to brokers; see ``MqttTarget.retain``."""
        for one in self.senders:
            if hasattr(one, "retain"):
                one.retain(**content)

    def news(self) -> list[str]:
        """Lines for a person about what has changed since the last call: a target that is away, or back."""
        lines = []
        if self._strangers:
            lines.append(f"push: {self.spool.path} holds messages for {', '.join(self._strangers)}, which this run does not "
                         "have; they wait there")
            self._strangers = []
        now_s = time.monotonic()
        for name, trouble in (("the spool", self._outbox.trouble), *((one.name, one.trouble) for one in self.senders)):
            before, then_s = self._said.get(name, ("", -SAY_S))
            if trouble == before or (now_s - then_s < SAY_S and trouble and before):
                continue
            self._said[name] = trouble, now_s
            lines.append(f"push: {name}: {trouble}; messages wait" if trouble else f"push: {name}: works again")
        return lines

    def close(self):
        """Sends what can be sent within FLUSH_S; the rest waits in the spool for the next run. Closing again does nothing."""
        if self._closed:
            return
        self._closed = True
        deadline = time.monotonic() + FLUSH_S
        self._outbox.close(1.0)
        for one in self.senders:
            one.stop(deadline)
        for one in self.senders:
            one.join(deadline + 2.0 - time.monotonic())
        try:
            self._left = {one.name: self.spool.waiting(one.name) for one in self.senders}
        except OSError:
            pass
        self.spool.close()

    def lines(self) -> list[str]:
        """Lines for a person about what was not sent; after ``close``."""
        lines = [f"push: {one.name}: {_messages(self._left[one.name])} in {self.spool.path}, for the next run with this target"
                 + (f" ({one.trouble})" if one.trouble else "") for one in self.senders if self._left.get(one.name)]
        lines += [f"push: {one.name}: refused {one.n_refused} events" for one in self.senders if one.n_refused]
        if self.n_dropped:
            lines.append(f"push: {self.n_dropped} events were dropped: {self._outbox.trouble or 'the spool was full'}")
        return lines

    def summary(self) -> dict[str, Any]:
        """Counts by target, as JSON takes them; after ``close``."""
        return {"push": {"targets": [{"name": one.name, "sent": one.n_sent, "refused": one.n_refused,
                                      "waiting": self._left.get(one.name, 0)} for one in self.senders],
                         "dropped": self.n_dropped}}


def sender(target: Target, spool: Spool, site: str) -> Sender:
    """The thread that serves a target. It imports the package that it needs."""
    if target.broker is not None:
        from .mqtt_target import MqttTarget
        return MqttTarget(target, spool, f"Spectrum monitor {site}")
    from .notify_target import NotifyTarget
    return NotifyTarget(target, spool, site)


def send_test(target: Target) -> str:
    """Sends a test message. Returns "" if it arrived, else why not, without secrets."""
    if target.broker is not None:
        from .mqtt_client import test_broker
        return test_broker(target)
    from .notify_target import test_service
    return test_service(target)


def _messages(number: int) -> str:
    return "1 event waits" if number == 1 else f"{number} events wait"
