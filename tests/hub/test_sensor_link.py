# SPDX-License-Identifier: GPL-3.0-or-later
"""Sensor and hub over real sockets: nothing is lost, nothing is stored twice, and what does not belong is refused and counted."""

import signal
import subprocess
import sys
import time

import pytest
import zmq
from gnuradio.spectrumencoder.hub import certificates
from gnuradio.spectrumencoder.hub.message import ALERT, SPECTRA, Message, new_run, pack
from gnuradio.spectrumencoder.hub.receiver import Receiver
from gnuradio.spectrumencoder.hub.sender import Sender, is_local
from gnuradio.spectrumencoder.hub.store import HubStore, StoreError
from gnuradio.spectrumencoder.spool import Spool
from hub_rig import alert, numbers, until


def ids(first, last):
    return [f"e{number}" for number in range(first, last + 1)]


def send(one, first, last):
    for number in range(first, last + 1):
        one.send(ALERT, alert(number))


def test_messages_of_two_sensors_with_keys_arrive_in_order(hub, sensor, key_folder):
    folder, keys = key_folder
    receiver = hub(keys=folder)
    roof, attic = (sensor(receiver.port, name, keys[name]) for name in ("roof", "attic"))
    send(roof, 1, 300)
    send(attic, 1, 50)
    until(lambda: not roof.n_waiting + attic.n_waiting, "all is acknowledged")
    assert numbers(receiver, "roof") == ids(1, 300) and numbers(receiver, "attic") == ids(1, 50)
    assert [one.message.sequence for one in receiver.taken if one.message.sensor == "roof"] == list(range(1, 302))
    assert not receiver.counts and not receiver.lines and "connected" in roof.state


def test_a_wrong_key_is_refused_reported_and_counted(hub, sensor, key_folder, tmp_path):
    folder, _ = key_folder
    receiver = hub(keys=folder)
    stranger = certificates.load_sensor(certificates.make_sensor(tmp_path / "other", "roof"))
    strange_hub = sensor(receiver.port, "roof", stranger, spool="a")
    until(lambda: receiver.counts["?", "no key"], "another hub's key")
    listed = certificates.SensorKeys("roof", stranger.public, stranger.secret, certificates.load_hub(folder).public)
    unknown = sensor(receiver.port, "roof", listed, spool="b")
    until(lambda: receiver.counts["?", "key refused"], "a key that is not on the list")
    until(lambda: "keys do not fit" in strange_hub.state and "does not know" in unknown.state)
    assert unknown.n_waiting and strange_hub.n_waiting and not receiver.n_stored
    assert sum(stranger.public.decode() in line for line in receiver.lines) == 1
    plain = zmq.Context()
    with plain.socket(zmq.DEALER) as bare:
        before = receiver.counts["?", "no key"]
        bare.linger = 0
        bare.connect(f"tcp://127.0.0.1:{receiver.port}")
        bare.send(pack(Message(ALERT, "roof", new_run(), 1, 1.0, alert(1))))
        until(lambda: receiver.counts["?", "no key"] > before)
    plain.destroy()
    assert not receiver.n_stored


def test_a_key_speaks_for_its_own_sensor_only_and_until_it_is_taken_from_the_list(hub, sensor, key_folder):
    folder, keys = key_folder
    receiver = hub(keys=folder)
    claims = certificates.SensorKeys("attic", keys["roof"].public, keys["roof"].secret, keys["roof"].hub)
    liar = sensor(receiver.port, "attic", claims)
    until(lambda: receiver.counts["roof", "foreign"])
    until(lambda: "key is of the sensor roof" in liar.state)
    assert any("refused (roof): a message of the sensor attic" in line for line in receiver.lines) and not receiver.n_stored
    honest = sensor(receiver.port, "roof", keys["roof"])
    until(lambda: not honest.n_waiting)
    (folder / "sensors" / "roof.pub").unlink()
    time.sleep(2.1)
    send(honest, 1, 3)
    until(lambda: "taken from the list" in honest.state)
    assert numbers(receiver) == []


class Bare:
    """A client that sends any bytes, without spool and keys."""

    def __init__(self, port):
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(f"tcp://127.0.0.1:{port}")

    def close(self):
        self.socket.close()
        self._context.destroy()


@pytest.fixture
def bare():
    made = []

    def start(port):
        made.append(Bare(port))
        return made[-1].socket
    yield start
    for one in made:
        one.close()


def test_replayed_damaged_foreign_and_malformed_messages_are_counted_and_not_stored(hub, sensor, bare):
    receiver = hub()
    one = sensor(receiver.port)
    send(one, 1, 5)
    until(lambda: not one.n_waiting)
    socket = bare(receiver.port)
    for sequence in range(1, 7):
        socket.send(pack(Message(ALERT, "roof", one.run, sequence, 1.0, alert(99), sequence - 1)))
    until(lambda: receiver.counts["roof", "repeat"] == 6)
    socket.send(pack(Message(ALERT, "attic", one.run, 7, 1.0, alert(99))))
    until(lambda: receiver.counts["attic", "foreign"] == 1)
    good = pack(Message(ALERT, "roof", one.run, 7, 1.0, alert(99), 6))
    for place in range(0, len(good), 5):
        socket.send(good[:place] + bytes((good[place] ^ 16,)) + good[place + 1:])
    socket.send(b"")
    socket.send(b"GET / HTTP/1.1")
    socket.send(good[:-1])
    until(lambda: receiver.counts["?", "damaged"] == len(range(0, len(good), 5)) + 3)
    socket.send_multipart([good, b"more"])
    until(lambda: receiver.counts["?", "malformed"] == 1)
    socket.send(pack(Message(ALERT, "roof", one.run, 9, 1.0, alert(99), 8)))
    until(lambda: receiver.counts["roof", "missing"] == 1)
    assert numbers(receiver) == ids(1, 5)
    run = new_run()
    socket.send(pack(Message(SPECTRA, "garage", run, 1, 1.0, b"no PDU")))
    socket.send(pack(Message(ALERT, "garage", run, 2, 1.0, b"[]", 1)))
    socket.send(pack(Message(ALERT, "garage", run, 3, 1.0, alert(3), 2)))
    until(lambda: numbers(receiver, "garage") == ids(3, 3))
    assert receiver.counts["garage", "malformed"] == 2
    assert receiver.store.counts()["roof", "repeat"] == 6
    assert len(receiver.lines) <= 6  # one for each sensor and reason


def test_the_hub_restarts_and_neither_loses_nor_repeats(hub, sensor):
    first = hub()
    one = sensor(first.port)
    send(one, 1, 100)
    until(lambda: first.n_stored > 20)
    first.close()
    stored = first.n_stored
    send(one, 101, 150)
    time.sleep(0.3)
    second = hub(port=first.port)
    until(lambda: not one.n_waiting)
    assert numbers(second) == ids(1, 150)
    assert second.n_stored == 151 - stored and not any(second.lost.values())


def test_a_line_that_is_cut_again_and_again_loses_nothing(hub, sensor, line):
    receiver = hub()
    wire = line(receiver.port)
    one = sensor(wire.port)
    for number in range(1, 301):
        one.send(ALERT, alert(number))
        time.sleep(0.005)
        if number % 100 == 0:
            wire.cut()
            time.sleep(0.2)
            wire.mend()
    until(lambda: not one.n_waiting)
    assert numbers(receiver) == ids(1, 300) and not any(receiver.lost.values())


def test_bits_that_flip_on_the_way_are_noticed_and_sent_again(hub, sensor, line):
    receiver = hub()
    wire = line(receiver.port)
    count = [0]

    def flip(data):
        count[0] += 1
        place = data.find(b"freq_center_hz")
        return data[:place] + b"x" + data[place + 1:] if place > 0 and count[0] % 7 == 0 else data
    wire.change = flip
    one = sensor(wire.port, answer_s=1.0)
    for number in range(1, 61):
        one.send(ALERT, alert(number))
        time.sleep(0.03)
    until(lambda: receiver.counts["?", "damaged"] >= 2)
    wire.change = lambda data: data
    until(lambda: not one.n_waiting)
    assert numbers(receiver) == ids(1, 60)


def test_a_sensor_without_a_hub_keeps_what_has_room_and_says_what_it_dropped(hub, sensor):
    receiver = hub()
    port = receiver.port
    receiver.close()
    one = sensor(port, max_bytes=20_000)
    send(one, 1, 300)
    until(lambda: one.sent["alert"] == 300)
    assert one.n_dropped > 150 and 50 < one.n_waiting < 150
    dropped = one.n_dropped
    again = hub(port=port)
    until(lambda: not one.n_waiting)
    assert numbers(again) == ids(300 - (300 - dropped), 300)
    assert again.lost["roof"] == dropped and any("never come" in line for line in again.lines)


SENSOR = """
import sys, time
from pathlib import Path
from gnuradio.spectrumencoder.hub.message import ALERT, json_bytes
from gnuradio.spectrumencoder.hub.sender import Sender
from gnuradio.spectrumencoder.spool import Spool
port, spool, first = sys.argv[1:]
one = Sender(f"tcp://127.0.0.1:{port}", "roof", Spool(spool, 1 << 24), None, {})
for number in range(int(first), 1_000_000):
    one.send(ALERT, json_bytes({"event_id": f"e{number}"}))
    while one.sent["alert"] <= number - int(first):
        time.sleep(0.001)
    print(number, flush=True)  # it is in the spool
    time.sleep(0.002)
"""


def test_a_sensor_that_is_killed_loses_nothing_of_its_spool(hub, sensor, tmp_path):
    receiver = hub()
    port, spooled, perhaps = receiver.port, set(), set()
    for hub_is_there in (True, False):
        first = max(spooled | perhaps, default=0) + 1
        process = subprocess.Popen([sys.executable, "-c", SENSOR, str(port), tmp_path / "roof.spool", str(first)],
                                   stdout=subprocess.PIPE, text=True)
        spooled |= {int(process.stdout.readline()) for _ in range(60)}
        if hub_is_there:
            receiver.close()
            spooled |= {int(process.stdout.readline()) for _ in range(40)}
        process.send_signal(signal.SIGKILL)
        spooled |= set(map(int, process.communicate()[0].split()))
        perhaps.add(max(spooled) + 1)  # it may lie in the spool: the kill came before the line
    receiver = hub(port=port)
    one = sensor(port, spool="roof.spool")
    until(lambda: not one.n_waiting)
    found = [int(number[1:]) for number in numbers(receiver)]
    assert found == sorted(set(found))
    assert spooled <= set(found) <= spooled | perhaps and len(spooled) >= 160
    assert not any(receiver.lost.values())


def test_without_keys_nothing_listens_and_nothing_sends_beyond_this_machine(tmp_path, key_folder):
    store, spool = HubStore(tmp_path / "a.db"), Spool(tmp_path / "a.spool", 1000)
    for address in ("tcp://0.0.0.0:5570", "tcp://*:5570", "tcp://192.0.2.1:5570", "tcp://hub.example:5570", "tcp://[::]:5570"):
        assert not is_local(address)
        with pytest.raises(ValueError, match="without keys"):
            Receiver(address, store)
        with pytest.raises(ValueError, match="without keys"):
            Sender(address, "roof", spool, None, {})
    assert all(map(is_local, ("tcp://127.0.0.1:1", "tcp://[::1]:1", "tcp://localhost:1", "tcp://127.3.2.1:9")))
    with pytest.raises(ValueError, match="of the sensor roof, not of attic"):
        Sender("tcp://127.0.0.1:1", "attic", spool, key_folder[1]["roof"], {})
    with pytest.raises(ValueError, match="no address of a hub"):
        Sender("tcp://127.0.0.1", "roof", spool, key_folder[1]["roof"], {})


def test_a_disk_that_fails_acknowledges_nothing(hub, sensor, monkeypatch):
    receiver = hub()
    receiver.store._db.execute("PRAGMA max_page_count = 30")
    one = sensor(receiver.port, answer_s=0.5)
    for number in range(1, 1001):
        one.send(ALERT, alert(number, more="x" * 200))
    until(lambda: receiver.disk, "the disk is full")
    stored = len(numbers(receiver))
    assert 0 < stored < 1000 and one.n_waiting >= 1000 - stored
    receiver.store._db.execute("PRAGMA max_page_count = 100000")
    until(lambda: not one.n_waiting)
    assert numbers(receiver) == ids(1, 1000) and not receiver.disk
    assert any("sensors keep their messages" in line for line in receiver.lines)


def test_files_of_others_are_refused(tmp_path, key_folder):
    import sqlite3
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE a (b)").connection.commit()
    with pytest.raises(StoreError, match="another program's"):
        HubStore(tmp_path / "other.db")
    (tmp_path / "text.db").write_text("hello " * 1000)
    with pytest.raises(StoreError, match="no file of a hub"):
        HubStore(tmp_path / "text.db")
    store = HubStore(tmp_path / "hub.db")
    with pytest.raises(StoreError, match="held by another hub"):
        HubStore(tmp_path / "hub.db")
    store.close()


def test_secrets_are_for_their_owner_only(key_folder, tmp_path):
    folder, _ = key_folder
    for path in (folder / "hub.key", folder / "roof.key"):
        assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o640)
    with pytest.raises(certificates.KeyFileError, match="chmod 600"):
        certificates.load_hub(folder)
    with pytest.raises(certificates.KeyFileError, match="chmod 600"):
        certificates.load_sensor(folder / "roof.key")
    (folder / "hub.key").chmod(0o600)
    with pytest.raises(certificates.KeyFileError, match="has keys"):
        certificates.make_sensor(folder, "roof")
    (tmp_path / "x.key").write_text("{}")
    (tmp_path / "x.key").chmod(0o600)
    with pytest.raises(certificates.KeyFileError, match="no key file of a sensor"):
        certificates.load_sensor(tmp_path / "x.key")
