# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages for people through apprise, to a real web server: order, digest, what is refused, and no secret in any line."""

import json
import time

import pytest
from gnuradio.spectrumencoder.push import addresses, notify_target
from gnuradio.spectrumencoder.push import pusher as pusher_module
from gnuradio.spectrumencoder.push.pusher import Pusher, send_test
from gnuradio.spectrumencoder.push.rules_file import targets
from push_servers import event, push, wait_for


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(notify_target, "MIN_RETRY_S", 0.1)
    monkeypatch.setattr(pusher_module, "FLUSH_S", 30.0)  # on a busy machine


@pytest.fixture
def opened(tmp_path):
    """Makes pushers from the text of a file of rules, or from addresses, and closes them."""
    made = []

    def make(rules="", notify=()):
        file = tmp_path / "push.toml"
        file.write_text(rules)
        made.append(Pusher(targets("", notify, file if rules else None), tmp_path / "push.spool", 1_000_000))
        return made[-1]
    yield make
    for pusher in made:
        pusher.close()


def test_each_alert_is_a_message_that_a_person_can_read(server, opened):
    pusher = opened(notify=[f"json://127.0.0.1:{server.port}/hook"])
    now = time.time()
    push(pusher, event(1, timestamp=now), event(1, "update", timestamp=now), event(1, "close", timestamp=now),
         event(2, alert="gone", timestamp=now), event(3, alert="burst"))
    wait_for(lambda: len(server.posts) == 2)
    path, content = server.posts[0]
    clock = time.strftime("%H:%M:%S UTC", time.gmtime(now))
    assert path == "/hook" and content["title"] == f"Spectrum alert, {addresses.site()}" and content["type"] == "warning"
    assert server.texts() == [f"New at 433.5000 MHz, LoRa, 14 dB, {clock} (emitter 5)",
                              f"Gone from 433.5000 MHz, LoRa, {clock} (emitter 5)"]


def test_ntfy_gets_what_ntfy_expects(server, opened):
    pusher = opened(notify=[f"ntfy://127.0.0.1:{server.port}/spectrum"])
    push(pusher, event(1))
    wait_for(lambda: server.posts)
    (path, content), = server.posts
    assert content["topic"] == "spectrum" and content["message"].startswith("New at 433.5000 MHz") and path == "/"


def test_a_server_that_is_away_gets_all_in_order_and_once_when_it_is_back(server, opened):
    pusher = opened(f'[[target]]\nname = "hook"\nurl = "json://127.0.0.1:{server.port}"\ndigest_above = 0\nmax_per_hour = 100\n')
    push(pusher, event(0))
    wait_for(lambda: len(server.posts) == 1)
    server.stop()
    push(pusher, *(event(number, emitter_id=number) for number in range(1, 9)))
    wait_for(lambda: pusher.senders[0].trouble)
    assert [line for line in pusher.news() if line.startswith("push: hook: A Connection error occurred")]
    server.start()
    wait_for(lambda: len(server.posts) == 9)
    assert [int(text.rpartition("emitter ")[2][:-1]) for text in server.texts()] == [5, *range(1, 9)]
    wait_for(lambda: pusher.n_waiting == 0)
    assert pusher.news() == ["push: hook: works again"]


def test_if_many_wait_one_message_has_them_all(server, opened):
    server.refuse = 503
    pusher = opened(f'[[target]]\nname = "hook"\nurl = "json://127.0.0.1:{server.port}"\nlink = "http://attic:8080"\n')
    push(pusher, *(event(number, emitter_id=number) for number in range(40)))
    wait_for(lambda: pusher.n_waiting == 40 and pusher.senders[0].trouble)
    server.refuse = 0
    wait_for(lambda: server.posts)
    content, = (content for _, content in server.posts)
    lines = content["message"].splitlines()
    assert content["title"].startswith("40 spectrum alerts, ")
    assert [int(line.rpartition("emitter ")[2][:-1]) for line in lines[:30]] == list(range(30))
    assert lines[30:] == ["and 10 more: 10 new", "http://attic:8080"]
    wait_for(lambda: pusher.n_waiting == 0)


def test_a_message_that_a_service_never_takes_is_counted_and_does_not_block_the_next(server, opened):
    server.refuse = 400
    pusher = opened(notify=[f"json://127.0.0.1:{server.port}"])
    push(pusher, event(1))
    wait_for(lambda: pusher.senders[0].n_refused == 1)
    server.refuse = 0
    push(pusher, event(2))
    wait_for(lambda: server.posts)
    pusher.close()
    assert [line for line in pusher.lines() if line.endswith("refused 1 events")]
    assert pusher.summary()["push"]["targets"][0]["sent"] == 1


def test_what_waits_for_a_digest_goes_when_the_run_ends_and_quiet_hours_hold_it_over(server, opened):
    at = f'url = "json://127.0.0.1:{server.port}"\n'
    quiet = time.strftime("%H:%M", time.gmtime(time.time() - 7200)) + time.strftime("-%H:%M", time.gmtime(time.time() + 7200))
    pusher = opened(f'[[target]]\nname = "digest"\n{at}digest_minutes = 60\n\n'
                    f'[[target]]\nname = "night"\n{at}quiet_hours = "{quiet}"\n')
    push(pusher, event(1), event(2))
    wait_for(lambda: pusher.n_waiting == 4)
    time.sleep(0.3)
    assert not server.posts
    pusher.close()
    (_, content), = server.posts
    assert content["message"].count("New at") == 2
    assert [line.split(" in ")[0] for line in pusher.lines()] == ["push: night: 2 events wait"]
    again = opened(f'[[target]]\nname = "other"\n{at}')
    assert any("holds messages for night, which this run does not have" in line for line in again.news())


def test_no_line_shows_a_secret(server, opened, capfd):
    server.stop()
    secret = f"json://sdr:hunter22@127.0.0.1:{server.port}/T0KEN/hook?+X-Key=k3yk3y"
    pusher = opened(notify=[secret])
    push(pusher, event(1))
    wait_for(lambda: pusher.senders[0].trouble)
    why = send_test(targets(notify=[secret])[0])
    pusher.close()
    said = json.dumps([*pusher.news(), *pusher.lines(), pusher.summary(), why, repr(targets(notify=[secret]))])
    said += "".join(capfd.readouterr())
    assert "Connection error" in said
    for word in ("hunter22", "T0KEN", "k3yk3y", "sdr:"):
        assert word not in said
    server.start()
