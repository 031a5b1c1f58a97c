# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub and sensors on loopback: real sockets, real files, and a proxy that cuts the line or flips bits."""

import pytest
from gnuradio.spectrumencoder.hub import certificates
from hub_rig import Line

pytest.importorskip("zmq")


@pytest.fixture
def hub(tmp_path):
    """Starts hubs: with the keys of a folder, or without; the same file and, if given, the same port again after a stop."""
    from gnuradio.spectrumencoder.hub.receiver import Receiver
    from gnuradio.spectrumencoder.hub.store import HubStore
    running = []

    def start(port="*", keys=None, db="hub.db", **more):
        lines, taken = [], []
        allowed = None if keys is None else certificates.AllowList(keys)
        store = HubStore(tmp_path / db)
        receiver = Receiver(f"tcp://127.0.0.1:{port}", store, None if keys is None else certificates.load_hub(keys), allowed,
                            take=taken.extend, say=lines.append, **more)
        receiver.lines, receiver.taken, receiver.store = lines, taken, store
        receiver.port = int(receiver.address.rpartition(":")[2])
        running.append(receiver)
        return receiver
    yield start
    for one in running:
        one.close()


@pytest.fixture
def sensor(tmp_path):
    """Starts sensors."""
    from gnuradio.spectrumencoder.hub.sender import Sender
    from gnuradio.spectrumencoder.spool import Spool
    running = []

    def start(port, name="roof", keys=None, spool=None, max_bytes=1 << 24, **more):
        lines = []
        more = {"about": {"sensor": name}} | more
        kept = Spool(tmp_path / (spool or f"{name}.spool"), max_bytes)
        one = Sender(f"tcp://127.0.0.1:{port}", name, kept, keys, say=lines.append, **more)
        one.lines = lines
        running.append(one)
        return one
    yield start
    for one in running:
        one.close(wait_s=0.0)


@pytest.fixture
def key_folder(tmp_path):
    """A folder of keys of a hub and two sensors: (folder, {id: SensorKeys})."""
    folder = tmp_path / "keys"
    return folder, {name: certificates.load_sensor(certificates.make_sensor(folder, name)) for name in ("roof", "attic")}


@pytest.fixture
def line():
    """Starts proxies."""
    made = []

    def start(port):
        made.append(Line(port))
        return made[-1]
    yield start
    for one in made:
        one.close()
