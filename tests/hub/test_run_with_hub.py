# SPDX-License-Identifier: GPL-3.0-or-later
"""``run --hub``: what a run finds arrives at a hub, with the sensor's key; without a hub it waits for the next run."""

import json
import signal
import socket
import subprocess

from gnuradio.spectrumencoder import hub_sender, keys
from gnuradio.spectrumencoder.blocks.messages import to_pmt
from gnuradio.spectrumencoder.encoder.pdu import unpack
from gnuradio.spectrumencoder.hub.message import ABOUT, ALERT, END, HEALTH, REPORT, SIGNAL, SPECTRA, read_json
from gnuradio.spectrumencoder.hub.store import HubStore
from hub_rig import alert, until


def run(program, *arguments):
    done = subprocess.run([*program, "run", *map(str, arguments)], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return done


def test_spectra_alerts_and_signals_of_two_runs_arrive(hub, key_folder, program, demo_scene, tmp_path):
    folder, _ = key_folder
    receiver = hub(keys=folder)
    address, port = receiver.address, receiver.port
    receiver.close()
    common = (demo_scene, "--hub", address, "--hub-key", folder / "roof.key", "--hub-spool", tmp_path / "s", "--position", "47,8")
    away = run(program, *common, "--events", tmp_path / "first.jsonl")
    assert "wait in" in away.stderr and "for the next run" in away.stderr
    receiver = hub(port=port, keys=folder)
    run(program, *common, "--events", tmp_path / "second.jsonl", "--hub-signals", "--json", tmp_path / "run.json")
    until(lambda: len(receiver.store.messages(END)) == 2)

    def rows(kind):
        return [row for row in sorted(receiver.store.messages(kind)) if row.sensor == "roof"]
    result = json.loads((tmp_path / "run.json").read_text())
    assert sum(unpack(row.payload)[0].n_frames for row in rows(SPECTRA)) == 2 * result["frames"]
    sent = [json.loads(row.payload) for row in rows(ALERT)]
    written = [json.loads(line) for name in ("first", "second") for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
    assert [(one["event_id"], one["state"], one["freq_center_hz"]) for one in sent] == [
        (one["event_id"], one["state"], one["freq_center_hz"]) for one in written] and sent
    assert rows(SIGNAL) and read_json(rows(ABOUT)[-1].payload)["latitude"] == 47.0
    assert result["hub"]["waiting_messages"] == result["hub"]["dropped_messages"] == 0


def test_the_block_sends_health_and_reports_and_says_how_the_link_is(hub, tmp_path):
    receiver = hub()
    block = hub_sender(receiver.address, "garage", position=(47.0, 8.0), spool=tmp_path / "g")
    assert block.start()
    block._inputs[keys.HEALTH](to_pmt({keys.BLOCK: "x", keys.FRAMES: 3, keys.FRAMES_PER_S: 5.0}))
    block._inputs[keys.HEALTH](to_pmt({keys.BLOCK: "x", keys.STATUS_STATE: "learned"}))
    block._inputs[keys.REPORTS](to_pmt({"timestamp": 5.0, "latitude": 47.5, "longitude": 8.5}))
    until(lambda: len(receiver.store.messages(REPORT)) == 1)
    health, = receiver.store.messages(HEALTH)
    sent = read_json(health.payload)
    assert sent.pop("waiting_messages") < 5 and sent == {"frames": 3, "frames_per_s": 5.0, "dropped_messages": 0}
    assert block.stop() and block.failure is None and "connected" in block.sender.state
    until(lambda: receiver.store.messages(END))


def test_options_that_make_no_sense(program, demo_scene, key_folder):
    folder, _ = key_folder
    for options, words in (
            (("--sensor", "roof"), "--sensor is for --hub"), (("--hub", "tcp://127.0.0.1:1"), "needs --sensor ID, or --hub-key"),
            (("--hub", "tcp://192.0.2.1:1", "--sensor", "a", "--hub-spool", folder / "s"), "without keys"),
            (("--hub", "tcp://127.0.0.1:1", "--sensor", "a b"), "is no id"),
            (("--hub", "tcp://127.0.0.1:1", "--sensor", "a", "--position", "north"), "is not LAT,LON"),
            (("--hub", "tcp://127.0.0.1:1", "--sensor", "a", "--position", "91,0"), "no place on earth"),
            (("--hub", "tcp://127.0.0.1:1", "--sensor", "attic", "--hub-key", folder / "roof.key", "--hub-spool", folder / "t"),
             "is of the sensor roof")):
        done = subprocess.run([*program, "run", str(demo_scene), *map(str, options)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_hub_that_is_killed_has_all_that_it_acknowledged(program, sensor, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [*program, "hub", "--listen", f"tcp://127.0.0.1:{port}", "--db", str(tmp_path / "hub.db"), "--quiet"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    one = sensor(port)
    for number in range(1, 201):
        one.send(ALERT, alert(number))
    until(lambda: one.n_stored > 20)
    process.kill()
    process.communicate()
    acknowledged = one.n_stored
    for number in range(201, 301):
        one.send(ALERT, alert(number))
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until(lambda: not one.n_waiting)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[1] == "" and process.returncode == 0 and acknowledged
    store = HubStore(tmp_path / "hub.db")
    found = [json.loads(row.payload)["event_id"] for row in sorted(store.messages(ALERT))]
    store.close()
    assert found == [f"e{number}" for number in range(1, 301)]
