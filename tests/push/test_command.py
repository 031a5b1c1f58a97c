# SPDX-License-Identifier: GPL-3.0-or-later
"""The program: a run that reaches a broker and a web server, ``push test``, and what is refused."""

import json
import os
import re
import subprocess
import threading
import time

import pytest
from push_servers import wait_for


@pytest.fixture
def call(program, tmp_path):
    def run(*arguments, **environment):
        return subprocess.run([*program, *map(str, arguments)], capture_output=True, text=True, timeout=200, cwd=tmp_path,
                              env={**os.environ, "COLUMNS": "100", "XDG_STATE_HOME": str(tmp_path / "state"), **environment})
    return run


def test_a_run_reaches_broker_and_people_and_shows_no_secret(call, broker, subscriber, server, demo_scene, tmp_path):
    url = f"json://sdr:hunter22@127.0.0.1:{server.port}/T0KEN"
    done = call("run", demo_scene, "--mqtt", broker.url("attic"), "--notify", url, "--events", "events.jsonl", "--json",
                "run.json")
    assert done.returncode == 0, done.stderr
    kept = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    wait_for(lambda: len(subscriber.events("attic")) == len(kept))
    assert [{key: value for key, value in one.items() if key != "message_id"} for one in subscriber.events("attic")] == kept
    opened = [one for one in kept if one["state"] == "open"]
    assert len(server.posts) == len(opened) >= 1 and server.texts()[0].startswith("New at 869.164")
    assert subscriber.of("attic/last_alert")[-1]["text"].startswith("New at 869.164")
    wait_for(lambda: subscriber.of("attic/availability") == ["online", "offline"])
    state = subscriber.of("attic/state")[-1]
    assert state["alerts_hour"] == len(opened) and state["emitters"] >= 1 and state["problem"] == "" and state["floor_dbfs"] < -40
    summary = json.loads((tmp_path / "run.json").read_text())["push"]
    assert [target["sent"] for target in summary["targets"]] == [len(kept), len(opened)] and summary["dropped"] == 0
    said = done.stdout + done.stderr + (tmp_path / "run.json").read_text()
    assert "hunter22" not in said and "T0KEN" not in said
    assert (tmp_path / "state/spectrumencoder/push.spool").is_file()


def test_a_radio_that_is_lost_and_back_is_one_message_each(call, broker, subscriber, server, tmp_path):
    from small_models import write_small_model
    model, plug = write_small_model(tmp_path / "small.safetensors", "small", seed=1), tmp_path / "plug"
    plug.touch()
    lost = lambda: any("radio lost since" in one["problem"] for one in subscriber.of("attic/state"))  # noqa: E731

    def pull():
        wait_for(lambda: any(one["frames"] for one in subscriber.of("attic/state")))
        plug.unlink()
        wait_for(lambda: lost() and server.posts)
        time.sleep(2.0)  # longer than the first wait
        plug.touch()
    puller = threading.Thread(target=pull)
    puller.start()
    done = call("run", f"soapy:driver=spectrumtest,plug={plug}", "--freq", "100M", "--rate", "250k", "--model", model,
                "--reconnect", "--duration", "12", "--mqtt", broker.url("attic"), "--notify", f"json://127.0.0.1:{server.port}/x")
    puller.join(60)
    assert done.returncode == 0 and "radio back after" in done.stdout, done.stdout + done.stderr
    first, second = server.texts()
    assert re.match(r"Radio lost since [\d:]{8} UTC: the radio's driver failed .*the device is gone", first), first
    assert re.match(r"Radio back, [\d:]{8} UTC, after \d+ s", second), second
    wait_for(lambda: subscriber.of("attic/availability") == ["online", "offline"])
    assert lost() and "radio lost" not in subscriber.of("attic/state")[-1]["problem"]


def test_push_test_says_what_happened(call, broker, subscriber, server):
    done = call("push", "test", "--mqtt", broker.url("attic"), "--notify", "env:HOOK", HOOK=f"json://127.0.0.1:{server.port}/x")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == f"{broker.url('attic')}: arrived" and second.endswith(": arrived")
    assert "New at 433.9200 MHz, LoRa, 14 dB" in server.texts()[0]
    wait_for(lambda: subscriber.of("attic/test"))
    server.refuse = 401
    done = call("push", "test", "--notify", f"json://127.0.0.1:{server.port}/x")
    assert done.returncode == 1 and "failed: " in done.stdout and "401" in done.stdout
    assert done.stderr == "error: 1 of 1 targets did not take the message; the lines above say why\n"


def test_what_is_wrong_is_one_line(call, tmp_path):
    (tmp_path / "push.toml").write_text('[rules]\nquiet_hours = "late"\n')
    (tmp_path / "text").write_text("no spool " * 200)
    for options, status, words in (
            (("--mqtt", "mqtt://sdr:hunter22@localhost"), 2, "holds a password"),
            (("--push-rules", "push.toml"), 2, "push.toml: [rules]: quiet_hours = 'late' is not BEGIN-END"),
            (("--mqtt-password-file", "text"), 2, "is for --mqtt, which is not given"),
            (("--notify", "json://localhost:1", "--push-spool", "text"), 1, "text is no spool, or is damaged")):
        done = call("run", "soapy:driver=spectrumtest,pace=0", "--freq", "434M", "--rate", "2.4M", "--duration", "1", *options)
        assert done.returncode == status and words in done.stderr and "hunter22" not in done.stderr, done.stderr
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    done = call("push", "test")
    assert done.returncode == 2 and "name a target" in done.stderr
