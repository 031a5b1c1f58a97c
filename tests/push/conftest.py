# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers on the loopback, made and ended for each test."""

import pytest

pytest.importorskip("paho.mqtt.client")
pytest.importorskip("apprise")

from push_servers import MOSQUITTO, Broker, Server, Subscriber


@pytest.fixture
def broker(tmp_path):
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    broker = Broker(tmp_path)
    yield broker
    broker.stop()


@pytest.fixture
def subscriber(broker):
    subscriber = Subscriber(broker.port)
    yield subscriber
    subscriber.close()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def without_password(monkeypatch):
    monkeypatch.delenv("SPECTRUMENCODER_MQTT_PASSWORD", raising=False)
