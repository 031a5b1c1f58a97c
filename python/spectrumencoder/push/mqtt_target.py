# SPDX-License-Identifier: GPL-3.0-or-later
"""Events to an MQTT broker: each with QoS 1, out of the spool when the broker has acknowledged it; the present state retained."""

from __future__ import annotations

import json
import queue
import time
from typing import Any

import paho.mqtt.client as mqtt

from .. import keys
from ..spool import Spool, SpoolError
from . import discovery
from .mqtt_client import KEEPALIVE_S, made_client, why_unreachable
from .rules_file import Target
from .sender import Sender, unpacked

WINDOW = 20  # events on the way at a time
TICK_S = 0.5
MAX_RECONNECT_S = 30
_QOS = 1


class MqttTarget(Sender):
    """Publishes below the broker's prefix: ``events`` one by one; ``availability``, ``state`` and ``last_alert`` retained.

    paho repeats what was on the way when the connection broke, in order. An event leaves the spool when its PUBACK is here: a
    process that dies in between sends it again. `message_id` is the same in a repeat.

    Args:
        target: with a broker. spool: its queue `target.name` holds the events. device_name: for Home Assistant.
    """

    def __init__(self, target: Target, spool: Spool, device_name: str):
        super().__init__(target, spool)
        assert target.broker is not None
        self._broker, self._topics = target.broker, discovery.Topics.below(target.broker.prefix)
        self._discovery = discovery.payload(target.broker.prefix, device_name) if target.discovery else None
        self._mail: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._on_the_way: dict[int, int] = {}  # paho's number of a message: id in the spool
        self._arrived: list[int] = []  # acknowledged, and still in the spool
        self._cursor = 0
        self._connected = False
        self._retained: dict[str, str] = {}  # newest content by topic
        self._published: dict[str, str] = {}
        self._client = made_client(target)
        self._set_up(self._client)

    def retain(self, state: dict[str, Any] | None = None, last_alert: dict[str, Any] | None = None):
        """States the present: the broker keeps it for whoever comes. From any thread."""
        for topic, content in ((self._topics.state, state), (self._topics.last_alert, last_alert)):
            if content is not None:
                self._mail.put(("retain", (topic, json.dumps(content, allow_nan=False))))

    def wake(self):
        self._mail.put(("wake", None))

    def stop(self, deadline_s: float):
        self._mail.put(("stop", deadline_s))

    def _set_up(self, client: mqtt.Client):
        client.max_inflight_messages_set(2 * WINDOW)
        client.reconnect_delay_set(1, MAX_RECONNECT_S)
        client.will_set(self._topics.availability, "offline", _QOS, retain=True)
        client.on_connect = self._on_connect
        client.on_connect_fail = lambda client, data: self._mail.put(("away", why_unreachable(self.target)))
        client.on_disconnect = lambda client, data, flags, reason, more: self._mail.put(("away", f"connection lost ({reason})"))
        client.on_publish = lambda client, data, number, reason, more: self._mail.put(("arrived", number))
        client.on_message = lambda client, data, message: self._mail.put(("birth", message.payload))

    def _on_connect(self, client, data, flags, reason, more):
        self._mail.put(("away", f"the broker refuses the connection: {reason}") if reason.is_failure else ("connected", None))

    def _work(self):
        self._client.connect_async(self._broker.host, self._broker.port, KEEPALIVE_S)
        self._client.loop_start()
        while True:
            self._take_mail()
            try:
                self._remove_arrived()
                if self._connected:
                    self._publish_retained()
                    self._publish_events()
            except SpoolError as error:
                self.trouble = str(error)
            if self._deadline is not None and (time.monotonic() > self._deadline or self._is_done()):
                break
        self._leave()

    def _is_done(self) -> bool:
        if self.trouble and not self._connected:
            return True  # what waits is for the next run
        try:
            return not self._on_the_way and not self._arrived and not self.spool.peek(1, self.name)
        except SpoolError:
            return True

    def _take_mail(self):
        """Waits for something to do, and takes note of all that has come."""
        try:
            kind, content = self._mail.get(timeout=TICK_S)
            while True:
                getattr(self, f"_take_{kind}")(content)
                kind, content = self._mail.get_nowait()
        except queue.Empty:
            pass

    def _take_wake(self, content):
        pass

    def _take_stop(self, deadline_s: float):
        self._deadline = deadline_s

    def _take_retain(self, content: tuple[str, str]):
        self._retained[content[0]] = content[1]

    def _take_connected(self, content):
        self._connected, self.trouble = True, ""
        self._published.clear()  # a broker that came back may have forgotten
        if self._discovery is not None:
            self._client.subscribe(f"{self.target.discovery}/status")
            self._retained[discovery.topic(self.target.discovery, self._broker.prefix)] = json.dumps(self._discovery)
        self._retained[self._topics.availability] = "online"

    def _take_away(self, why: str):
        self._connected, self.trouble = False, why

    def _take_arrived(self, number: int):
        if number in self._on_the_way:
            self._arrived.append(self._on_the_way.pop(number))
            self.n_sent += 1

    def _take_birth(self, payload: bytes):
        if payload == b"online":  # Home Assistant has started: it wants to be introduced again
            self._published.pop(discovery.topic(self.target.discovery, self._broker.prefix), None)

    def _remove_arrived(self):
        while self._arrived:
            self.spool.acknowledge(self._arrived[0])
            self._arrived.pop(0)

    def _publish_retained(self):
        for topic, content in self._retained.items():
            if self._published.get(topic) != content:
                self._client.publish(topic, content, _QOS, retain=True)
                self._published[topic] = content

    def _publish_events(self):
        room = WINDOW - len(self._on_the_way)
        for number, payload in self.spool.peek(room, self.name, self._cursor) if room else ():
            event, _ = unpacked(payload)
            body = json.dumps(event | {keys.MESSAGE_ID: f"{self.spool.mark}-{number}"})
            self._on_the_way[self._client.publish(self._topics.events, body, _QOS).mid] = number
            self._cursor = number

    def _leave(self):
        if self._connected:
            self._client.publish(self._topics.availability, "offline", _QOS, retain=True).wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()
