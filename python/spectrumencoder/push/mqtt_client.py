# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection to an MQTT broker: credentials, TLS, why there is none, and a test message."""

from __future__ import annotations

import json
import queue
import secrets
import socket
import ssl
import time

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from .. import keys
from .rules_file import Target

KEEPALIVE_S = 30
CONNECT_S = 3.0


def made_client(target: Target) -> mqtt.Client:
    """A client of MQTT 3.1.1 for the broker of a target, with a clean session and an id of its own."""
    broker = _broker(target)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"spectrumencoder-{secrets.token_hex(4)}")
    if broker.user or target.password:
        client.username_pw_set(broker.user or "", target.password)
    if broker.tls:
        client.tls_set(ca_certs=None if target.ca_file is None else str(target.ca_file))
    return client


def why_unreachable(target: Target) -> str:
    """Why no connection came about: paho keeps that to itself, so it is tried once more."""
    broker = _broker(target)
    try:
        with socket.create_connection((broker.host, broker.port), CONNECT_S) as plain:
            if broker.tls:
                context = ssl.create_default_context(cafile=target.ca_file)
                with context.wrap_socket(plain, server_hostname=broker.host):
                    pass
    except OSError as error:
        return f"not reachable: {error.strerror or error}"
    return "not reachable"


def test_broker(target: Target, timeout_s: float = 10.0) -> str:
    """Publishes a test message on the topic ``test`` below the prefix. Returns "" if the broker acknowledged it, else why not."""
    broker, client = _broker(target), made_client(target)
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    client.on_connect = lambda client, data, flags, reason, more: answers.put(
        f"the broker refuses the connection: {reason}" if reason.is_failure else "")
    client.on_connect_fail = lambda client, data: answers.put(why_unreachable(target))
    client.connect_async(broker.host, broker.port, KEEPALIVE_S)
    client.loop_start()
    try:
        why = answers.get(timeout=timeout_s)
        if why:
            return why
        sent = client.publish(f"{broker.prefix}/test", json.dumps({keys.TIMESTAMP: time.time()}), qos=1)
        sent.wait_for_publish(timeout_s)
        return "" if sent.is_published() else f"no acknowledgement within {timeout_s:g} s"
    except queue.Empty:
        return f"no answer within {timeout_s:g} s"
    finally:
        client.disconnect()
        client.loop_stop()


def _broker(target: Target):
    assert target.broker is not None
    return target.broker
