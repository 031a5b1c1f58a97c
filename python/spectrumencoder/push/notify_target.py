# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages for people through apprise: ntfy, e-mail, Telegram, webhooks, and 130 services more."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

import apprise

from ..spool import Spool, SpoolError
from . import message
from .addresses import blanked, site
from .rules import Schedule
from .rules_file import Target
from .sender import Sender, unpacked
from .services import Heard, plugin

MIN_RETRY_S, MAX_RETRY_S = 2.0, 300.0
NEVER = re.compile(r"\berror=(400|410|413|422)\b")  # HTTP: the service will not take this message, whenever it comes
MAX_TRIES = 3  # of a message that gets such an answer
MAX_PEEKED = 1000
TICK_S = 60.0


class NotifyTarget(Sender):
    """Sends messages of one event, or of several together, by the rules of its target. An event leaves the spool when the service
    has taken its message; a process that dies in between sends it again.

    Args:
        target: with a url. spool: its queue `target.name` holds the events. site: name of this place, in titles.
        clock: POSIX time.
    """

    def __init__(self, target: Target, spool: Spool, site: str, clock: Callable[[], float] = time.time):
        super().__init__(target, spool)
        self._plugin, self._site, self._clock = plugin(target.url), site, clock
        self._schedule = Schedule(target.rules)
        self._changed = threading.Event()
        self._retry_s, self._not_before_s, self._tries = 0.0, 0.0, 0

    def wake(self):
        self._changed.set()

    def stop(self, deadline_s: float):
        self._deadline = deadline_s
        self._changed.set()

    def _work(self):
        while True:
            try:
                wait_s = self._step()
            except SpoolError as error:
                self.trouble, wait_s = str(error), MIN_RETRY_S
            if self._deadline is not None:
                wait_s = min(wait_s, self._deadline - time.monotonic())
                if wait_s <= 0 or self._is_done():
                    return
            self._changed.wait(min(max(wait_s, 0.0), TICK_S))
            self._changed.clear()

    def _step(self) -> float:
        """Sends one message if one may go. Returns how long to wait before the next step, s."""
        waiting = self.spool.peek(MAX_PEEKED, self.name)
        if not waiting:
            return TICK_S
        now_s = self._clock()
        wait_s = max(self._schedule.wait_s(now_s, unpacked(waiting[0][1])[1], self._deadline is not None),
                     self._not_before_s - time.monotonic())
        if wait_s > 0:
            return wait_s
        chosen = waiting[:self._schedule.take(now_s, len(waiting))]
        events = [event for event, _ in (unpacked(payload) for _, payload in chosen) if event]
        why = self._send(message.title(events, self._site), self._body(events, now_s)) if events else ""
        if why and not self._is_hopeless(why):
            self.trouble = why
            self._retry_s = min(max(2 * self._retry_s, MIN_RETRY_S), MAX_RETRY_S)
            self._not_before_s = time.monotonic() + self._retry_s
            return self._retry_s
        self.trouble, self._tries = "", 0
        self._retry_s = self._not_before_s = 0.0
        self._schedule.sent(now_s)
        if why:
            self.n_refused += len(events)
        else:
            self.n_sent += len(events)
        self.spool.acknowledge_until(chosen[-1][0], self.name)
        return 0.0

    def _is_hopeless(self, why: str) -> bool:
        self._tries += 1 if NEVER.search(why) else 0
        return self._tries >= MAX_TRIES

    def _is_done(self) -> bool:
        if self.trouble:
            return True  # what waits is for the next run
        try:
            waiting = self.spool.peek(1, self.name)
        except SpoolError:
            return True
        return not waiting or self._schedule.wait_s(self._clock(), unpacked(waiting[0][1])[1], True) > 0

    def _body(self, events: list[dict], now_s: float) -> str:
        rules = self.target.rules
        text = message.digest(events, now_s, rules.time_zone)
        return f"{text}\n{rules.link}" if rules.link else text

    def _send(self, title: str, body: str) -> str:
        return send(self._plugin, self.target.url, title, body)


def send(plugin: apprise.NotifyBase, url: str, title: str, body: str) -> str:
    """Sends a message at once. Returns "" if the service took it, else why not, without secrets."""
    with Heard() as heard:
        try:
            taken = plugin.notify(body=body, title=title, notify_type=apprise.NotifyType.WARNING, overflow="truncate")
        except Exception as error:  # noqa: BLE001 (130 services: whatever one raises is no reason to end)
            return blanked(f"{type(error).__name__}: {error}", url)
    return "" if taken else blanked(heard.last or f"{plugin.service_name} did not take it", url)


def test_service(target: Target) -> str:
    """Sends a test message. Returns "" if the service took it, else why not, without secrets."""
    return send(plugin(target.url), target.url, f"Test, {site()}",
                "This is how gr-spectrumencoder reaches you. Alerts will look like this: " + message.line(
                    {"alert": "new", "freq_center_hz": 433.92e6, "label": "LoRa", "snr_db": 14.0, "timestamp": time.time(),
                     "emitter_id": 7}, time.time(), target.rules.time_zone))
