# SPDX-License-Identifier: GPL-3.0-or-later
"""Events to a real broker: in order, once each, through its absence, through a kill; the retained state; who is refused."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gnuradio.spectrumencoder.push.pusher import Pusher, send_test
from gnuradio.spectrumencoder.push.rules_file import targets
from push_servers import MOSQUITTO, Broker, Subscriber, event, push, wait_for

MB = 1_000_000


@pytest.fixture
def opened(tmp_path):
    """Makes pushers, and closes those that are left open."""
    made = []

    def make(*arguments, path=tmp_path / "push.spool", max_bytes=MB, **options):
        made.append(Pusher(targets(*arguments, **options), path, max_bytes))
        return made[-1]
    yield make
    for pusher in made:
        pusher.close()


def numbers(events):
    return [int(one["event_id"].split("-")[0]) for one in events]


def test_events_arrive_in_order_with_what_tells_a_repeat(broker, subscriber, opened):
    pusher = opened(broker.url("attic/sdr"))
    push(pusher, *(event(number) for number in range(100)), event(0, "update"), event(0, "close"))
    wait_for(lambda: len(subscriber.events("attic/sdr")) == 102)
    found = subscriber.events("attic/sdr")
    assert numbers(found) == [*range(100), 0, 0] and [one["state"] for one in found[-2:]] == ["update", "close"]
    assert {key: found[7][key] for key in event(7)} == event(7)
    marks = [one["message_id"] for one in found]
    assert len(set(marks)) == 102 and all(mark.startswith(f"{pusher.spool.mark}-") for mark in marks)
    wait_for(lambda: pusher.n_waiting == 0)
    pusher.close()
    assert pusher.summary() == {"push": {"targets": [{"name": broker.url("attic/sdr"), "sent": 102, "refused": 0, "waiting": 0}],
                                         "dropped": 0}}
    assert pusher.lines() == []


def test_the_present_is_retained_for_who_comes_later_and_the_end_is_announced(broker, opened):
    pusher = opened(broker.url())
    pusher.retain(state={"alerts_hour": 3}, last_alert={"text": "New at 433.5 MHz"})
    early = Subscriber(broker.port, clean=True)
    wait_for(lambda: {"test/availability", "test/state", "test/last_alert"} <= {name for name, *_ in early.messages})
    late = Subscriber(broker.port, clean=True)
    wait_for(lambda: len(late.messages) == 4)
    assert all(retained for *_, retained in late.messages)
    assert late.of("test/availability") == ["online"] and late.of("test/state") == [{"alerts_hour": 3}]
    assert late.of("test/last_alert") == [{"text": "New at 433.5 MHz"}]
    introduced, = late.of("homeassistant/device/test/config")
    assert introduced["availability_topic"] == "test/availability"
    late._client.publish("homeassistant/status", "online", 1)  # Home Assistant has started
    wait_for(lambda: len(late.of("homeassistant/device/test/config")) == 2)
    pusher.close()
    wait_for(lambda: late.of("test/availability") == ["online", "offline"])
    for one in (early, late):
        one.close()


def test_a_broker_that_vanishes_and_comes_back_gets_all_in_order_and_once(broker, subscriber, opened):
    pusher = opened(broker.url())
    push(pusher, *(event(number) for number in range(20)))
    wait_for(lambda: len(subscriber.events()) == 20 and pusher.n_waiting == 0)
    broker.stop()
    wait_for(lambda: pusher.senders[0].trouble)
    assert any("connection lost" in line or "not reachable" in line for line in pusher.news())
    push(pusher, *(event(number) for number in range(20, 200)))
    wait_for(lambda: pusher.n_waiting == 180)
    broker.start()
    wait_for(lambda: len(subscriber.events()) >= 200)
    wait_for(lambda: pusher.n_waiting == 0)
    time.sleep(0.3)
    assert numbers(subscriber.events()) == list(range(200))
    assert f"push: {broker.url()}: works again" in pusher.news()
    assert subscriber.of("test/availability")[-1] == "online"


def test_a_broker_that_breaks_off_in_the_middle_gets_repeats_that_can_be_known_and_no_gap(broker, subscriber, opened):
    pusher = opened(broker.url())
    push(pusher, *(event(number) for number in range(1500)))
    wait_for(lambda: len(subscriber.events()) > 100)
    broker.stop()
    broker.start()
    wait_for(lambda: pusher.n_waiting == 0)
    wait_for(lambda: subscriber.events() and numbers(subscriber.events())[-1] == 1499)
    once = {one["message_id"]: one for one in subscriber.events()}
    assert numbers(once.values()) == list(range(1500))


KILLED = """
import json, sys, time
from pathlib import Path
from gnuradio.spectrumencoder.push.pusher import Pusher
from gnuradio.spectrumencoder.push.rules_file import targets
pusher = Pusher(targets(sys.argv[1]), Path(sys.argv[2]), 1_000_000)
for event in json.loads(sys.argv[3]):
    pusher.event(event, json.dumps(event))
while not eval(sys.argv[4]):
    time.sleep(0.01)
print("there", flush=True)
time.sleep(60)
"""


def killed(url, path, events, when, wait=lambda: None):
    """Runs a pusher in a process of its own, and kills it when an expression is true there, after a wait here."""
    with subprocess.Popen([sys.executable, "-c", KILLED, url, str(path), json.dumps(events), when],
                          stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "there\n"
        wait()
        os.kill(process.pid, signal.SIGKILL)


def test_what_waited_when_the_process_was_killed_is_sent_by_the_next(broker, subscriber, opened, tmp_path):
    broker.stop()
    killed(broker.url(), tmp_path / "push.spool", [event(number) for number in range(50)], "pusher.n_waiting == 50")
    broker.start()
    opened(broker.url())
    wait_for(lambda: len(subscriber.events()) >= 50)
    time.sleep(0.3)
    assert numbers(subscriber.events()) == list(range(50))


def test_a_monitor_that_is_killed_is_offline(broker, subscriber, tmp_path):
    killed(broker.url(), tmp_path / "push.spool", [], "True", lambda: wait_for(lambda: subscriber.of("test/availability")))
    wait_for(lambda: subscriber.of("test/availability") == ["online", "offline"])


def test_a_full_disk_is_one_line_and_counted_and_the_rest_goes_on(broker, subscriber, opened):
    broker.stop()
    pusher = opened(broker.url())
    push(pusher, event(0))
    wait_for(lambda: pusher.n_waiting == 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = Path(f"{pusher.spool.path}-wal")
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 5000, hard))
    try:
        push(pusher, *(event(number, label="x" * 4000) for number in range(1, 4)))
        wait_for(lambda: any("spool" in line for line in pusher.news()))
        assert not any("the spool" in line for line in pusher.news())
        pusher.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    lost = pusher.n_dropped
    assert 1 <= lost <= 3 and pusher.summary()["push"]["dropped"] == lost
    assert any(line.startswith(f"push: {lost} events were dropped: {pusher.spool.path}: ") for line in pusher.lines())
    broker.start()
    opened(broker.url())
    wait_for(lambda: len(subscriber.events()) == 4 - lost)
    assert numbers(subscriber.events()) == list(range(4 - lost))


def test_a_spool_that_is_full_drops_the_oldest_and_says_so(broker, subscriber, opened):
    broker.stop()
    pusher = opened(broker.url(), max_bytes=5000)
    push(pusher, *(event(number) for number in range(50)))
    wait_for(lambda: pusher.n_dropped + pusher.n_waiting == 50)
    kept = pusher.n_waiting
    pusher.close()
    assert f"push: {50 - kept} events were dropped: the spool was full" in pusher.lines()
    assert any(line.startswith(f"push: {broker.url()}: {kept} events wait in {pusher.spool.path}, for the next run")
               for line in pusher.lines())
    broker.start()
    opened(broker.url())
    wait_for(lambda: len(subscriber.events()) == kept)
    assert numbers(subscriber.events()) == list(range(50 - kept, 50))


@pytest.fixture
def guarded(tmp_path):
    """A broker that asks for user `sdr` and a password, over TLS; its certificate is in ca.pem."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key.pem", "-out",
                    tmp_path / "ca.pem", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    subprocess.run(["mosquitto_passwd", "-b", "-c", tmp_path / "users", "sdr", "geheim-123"], check=True, capture_output=True)
    broker = Broker(tmp_path, "allow_anonymous false", f"password_file {tmp_path}/users", f"certfile {tmp_path}/ca.pem",
                    f"keyfile {tmp_path}/key.pem")
    yield broker
    broker.stop()


def test_with_password_and_certificate_it_arrives_and_without_it_says_why(guarded, tmp_path, monkeypatch):
    rules, secret = tmp_path / "push.toml", tmp_path / "secret"
    secret.write_text("geheim-123\n")
    rules.write_text(f'[[target]]\nurl = "mqtts://sdr@127.0.0.1:{guarded.port}/x"\nca_file = "ca.pem"\n'
                     'password_file = "secret"\n')
    assert send_test(targets(rules_file=rules)[0]) == ""
    secret.write_text("wrong-geheim\n")
    assert "Not authorized" in send_test(targets(rules_file=rules)[0])
    url = f"mqtts://sdr@127.0.0.1:{guarded.port}/x"
    monkeypatch.setenv("SPECTRUMENCODER_MQTT_PASSWORD", "geheim-123")
    why = send_test(targets(url)[0])
    assert "CERTIFICATE_VERIFY_FAILED" in why and "geheim" not in why
    guarded.stop()
    assert send_test(targets(url)[0]) == "not reachable: Connection refused"
