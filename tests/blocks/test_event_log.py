# SPDX-License-Identifier: GPL-3.0-or-later
"""event_log: JSON lines to file, standard output and ZeroMQ."""

import json

import numpy as np
import pmt
import pytest
from flowgraphs import run_within, status_store, stored, wait_for
from gnuradio import gr
from gnuradio.spectrumencoder import event_log, keys
from gnuradio.spectrumencoder.blocks.messages import pdu, to_pmt

EVENT = {keys.EVENT_ID: "a1", keys.STATE: "open", keys.SAMPLE_START: 2**40, keys.FREQ_CENTER_HZ: 433.92e6,
         keys.IS_ANOMALY: True, keys.P_VALUE: np.float32(0.25), keys.SNR_DB: float("nan"),
         keys.POSSIBLE_THREATS: {"sweep": 0.75, "barrage": 0.125}, "note": "of another block"}
WRITTEN = {**EVENT, keys.P_VALUE: 0.25, keys.SNR_DB: None}
WRONG = [pmt.intern("event"), pmt.from_long(1), pmt.PMT_NIL, pmt.make_dict(), pmt.init_f32vector(1, [1.0]),
         pmt.cons(pmt.from_long(1), pmt.from_long(2)), pmt.cons(pmt.PMT_NIL, pmt.init_u8vector(1, [7]))]


def run_with(log, messages):
    """Runs the log alone; posts the messages, waits until all are dealt with, and ends it."""
    top = gr.top_block()
    debug = status_store(top, log)
    top.start()
    for message in messages:
        log.to_basic_block()._post(pmt.intern(keys.EVENTS), message)
    wait_for(lambda: log.failure is not None or log.n_events + log.malformed == len(messages))
    top.stop()
    top.wait()
    return stored(debug)


def test_lines_hold_the_events_in_vocabulary_order(tmp_path):
    log = event_log(str(tmp_path / "events.jsonl"))
    run_with(log, [to_pmt(EVENT), pdu(EVENT, np.arange(4))])
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [WRITTEN, WRITTEN]
    order = list(json.loads(lines[0]))
    assert list(json.loads(lines[0])[keys.POSSIBLE_THREATS]) == ["sweep", "barrage"]  # most likely first
    assert order == [key for key in keys.EVENT_FIELDS if key in EVENT] + ["note"]


def test_file_is_emptied_or_appended_to(tmp_path):
    path = tmp_path / "events.jsonl"
    for append, lines in ((False, 1), (False, 1), (True, 2)):
        run_with(event_log(str(path), append=append), [to_pmt(EVENT)])
        assert len(path.read_text().splitlines()) == lines


def test_the_recordings_name_is_put_into_each_line(tmp_path):
    run_with(event_log(str(tmp_path / "events.jsonl"), recording="north"), [to_pmt(EVENT)])
    assert json.loads((tmp_path / "events.jsonl").read_text()) == WRITTEN | {keys.RECORDING: "north"}


def test_a_line_is_there_as_soon_as_its_event(tmp_path):
    log, top = event_log(str(tmp_path / "events.jsonl")), gr.top_block()
    debug = status_store(top, log)
    top.start()
    log.to_basic_block()._post(pmt.intern(keys.EVENTS), to_pmt(EVENT))
    wait_for(lambda: (tmp_path / "events.jsonl").read_text().endswith("\n"))
    top.stop()
    top.wait()
    assert not [m for m in stored(debug) if m["status"] == "failed"]


def test_standard_output(capfd):
    run_with(event_log(stdout=True), [to_pmt(EVENT)])
    assert json.loads(capfd.readouterr().out) == WRITTEN


def test_zeromq():
    zmq = pytest.importorskip("zmq", reason="pyzmq is not installed")
    address = "ipc://@spectrumencoder-test"
    subscriber = zmq.Context.instance().socket(zmq.SUB)
    subscriber.setsockopt_string(zmq.SUBSCRIBE, "")
    subscriber.connect(address)
    log, top = event_log(zmq_address=address), gr.top_block()
    debug = status_store(top, log)
    top.start()

    def arrived():  # a subscriber that joins late misses the first ones
        log.to_basic_block()._post(pmt.intern(keys.EVENTS), to_pmt(EVENT))
        return subscriber.poll(50)
    wait_for(arrived)
    first = json.loads(subscriber.recv_string())
    assert first == WRITTEN | {keys.LINE: first[keys.LINE]} and 1 <= first[keys.LINE] <= log.n_events
    top.stop()
    top.wait()
    subscriber.close(linger=0)
    assert log.failure is None, stored(debug)


def test_a_slow_subscriber_loses_lines_with_a_word_and_a_fast_one_none():
    zmq = pytest.importorskip("zmq", reason="pyzmq is not installed")
    address = "ipc://@spectrumencoder-slow"
    slow, fast = (zmq.Context.instance().socket(zmq.SUB) for _ in range(2))
    slow.set_hwm(10)
    for subscriber in (slow, fast):
        subscriber.setsockopt_string(zmq.SUBSCRIBE, "")
        subscriber.connect(address)
    log, top = event_log(zmq_address=address), gr.top_block()
    debug = status_store(top, log)
    top.start()
    got, n = [], 4000

    def arrived():
        log.to_basic_block()._post(pmt.intern(keys.EVENTS), to_pmt(EVENT))
        return fast.poll(20) and slow.poll(20)
    wait_for(arrived)
    for _ in range(n // 500):
        handled = log.n_events + 500
        for _ in range(500):
            log.to_basic_block()._post(pmt.intern(keys.EVENTS), to_pmt(EVENT))
        wait_for(lambda handled=handled: log.n_events >= handled)
        while fast.poll(50):
            got.append(json.loads(fast.recv_string())[keys.LINE])
    top.stop()
    top.wait()
    slowly = []
    while slow.poll(200):
        slowly.append(json.loads(slow.recv_string())[keys.LINE])
    for subscriber in (slow, fast):
        subscriber.close(linger=0)
    assert got == list(range(got[0], log.n_events + 1))  # the fast one gets all
    assert len(slowly) < n and slowly == sorted(slowly)  # the numbers show each gap
    told = [m for m in stored(debug) if m["status"] == "slow_subscriber"]
    assert told and "too slow" in told[0]["message"] and told[0][keys.SLOW_SUBSCRIBERS] == 1 and log.failure is None
    assert int(told[0]["message"].split("from line ")[1].split()[0]) not in slowly


@pytest.mark.parametrize("message", WRONG)
def test_wrong_messages_are_counted(tmp_path, message):
    log = event_log(str(tmp_path / "events.jsonl"))
    statuses = run_with(log, [message, to_pmt(EVENT)])
    assert (log.malformed, log.n_events, log.failure) == (1, 1, None)
    assert [m["status"] for m in statuses] == ["malformed"]


@pytest.mark.parametrize("message", [pmt.intern("done"), pmt.from_long(1), pmt.cons(pmt.intern("halt"), pmt.from_long(1))])
def test_wrong_messages_on_the_system_port_too(tmp_path, message):
    log, top = event_log(str(tmp_path / "events.jsonl")), gr.top_block()
    debug = status_store(top, log)
    top.start()
    log.to_basic_block()._post(pmt.intern("system"), message)
    wait_for(lambda: log.malformed == 1)
    log.to_basic_block()._post(pmt.intern(keys.EVENTS), to_pmt(EVENT))
    wait_for(lambda: log.n_events == 1)
    top.stop()
    top.wait()
    assert [m["status"] for m in stored(debug)] == ["malformed"]


@pytest.mark.parametrize(("arguments", "text"), [({}, "nowhere to write"), ({"file": "/no/such/folder/e.jsonl"}, "folder")])
def test_wrong_arguments_say_what_to_do(arguments, text):
    with pytest.raises(ValueError, match=text):
        event_log(**arguments)


def test_full_disk_is_a_failure_that_the_runner_sees():
    log, top = event_log("/dev/full"), gr.top_block()
    debug = status_store(top, log)
    log.to_basic_block()._post(pmt.intern(keys.EVENTS), to_pmt(EVENT))
    failure = run_within(top, [log])
    assert isinstance(failure.error, OSError) and failure.where == "handle_events"
    assert str(failure).startswith("event_log: cannot write /dev/full: No space left on device")
    assert [m["status"] for m in stored(debug)][:1] == ["failed"]


def test_a_second_writer_is_refused(tmp_path):
    path = tmp_path / "events.jsonl"
    first = event_log(str(path), append=True)
    first.start()
    second, top = event_log(str(path)), gr.top_block()
    debug = status_store(top, second)
    failure = run_within(top, [second])
    assert "another program writes it" in str(failure) and stored(debug) is not None
    first.handle_events(to_pmt(EVENT))
    first.stop()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [WRITTEN]


def test_the_file_is_turned_over_by_its_size(tmp_path):
    path = tmp_path / "events.jsonl"
    run_with(event_log(str(path), max_mb=0.001), [to_pmt(EVENT | {"number": number}) for number in range(12)])
    files = [path, *(path.with_name(f"events.jsonl.{number}") for number in (1, 2, 3))]
    assert all(file.stat().st_size <= 1000 for file in files if file.exists()) and files[1].exists()
    lines = [json.loads(line) for file in reversed(files) if file.exists() for line in file.read_text().splitlines()]
    assert [line["number"] for line in lines] == list(range(12))
    with pytest.raises(ValueError, match="max_mb -1 is not a size"):
        event_log(str(path), max_mb=-1)


def test_address_in_use_is_a_failure_that_the_runner_sees():
    zmq = pytest.importorskip("zmq", reason="pyzmq is not installed")
    with zmq.Context.instance().socket(zmq.PUB) as other:
        port = other.bind_to_random_port("tcp://127.0.0.1")
        log, top = event_log(zmq_address=f"tcp://127.0.0.1:{port}"), gr.top_block()
        debug = status_store(top, log)
        failure = run_within(top, [log])
    assert failure.where == "start" and "in use" in str(failure)
    assert stored(debug) is not None
