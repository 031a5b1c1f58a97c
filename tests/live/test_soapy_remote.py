# SPDX-License-Identifier: GPL-3.0-or-later
"""The test radio over the network: SoapySDRServer on loopback, SoapyRemote as the driver."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from gnuradio.spectrumencoder import keys

FOLDER = Path(__file__).resolve().parent


@pytest.fixture
def server(tmp_path):
    """Address of a server of this machine's radios, the test radio among them."""
    program, compiler = shutil.which("SoapySDRServer"), shutil.which("cc") or shutil.which("gcc")
    if program is None:
        pytest.skip("SoapySDRServer is not installed: apt install soapyremote-server soapysdr-module-remote")
    if compiler is None:
        pytest.skip("no C compiler for the library that keeps the server off the system bus: apt install g++")
    library = tmp_path / "no_avahi.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, FOLDER / "no_avahi.c"], check=True, timeout=60)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    import os

    import gnuradio.spectrumencoder  # noqa: F401 (puts the test radio on the search path of the server too)
    process = subprocess.Popen([program, f"--bind=tcp://127.0.0.1:{port}"], env=os.environ | {"LD_PRELOAD": str(library)},
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    yield f"tcp://127.0.0.1:{port}", process
    process.kill()
    process.wait(timeout=10)


def remote_run(address, small_model, duration, on_poll=None):
    from gnuradio.spectrumencoder.session.flowgraph import RunSettings, quiet_logs, run_source
    from gnuradio.spectrumencoder.session.sources import RadioOptions, RadioSource
    quiet_logs()
    source = RadioSource(RadioOptions(f"driver=remote,remote={address},remote:driver=spectrumtest,remote:prot=tcp", 100e6, 500e3,
                                      gain=25.0, duration=duration, silence_s=1.5))

    def watch(flowgraph):
        if on_poll:
            flowgraph.on_poll.append(lambda: on_poll(flowgraph))
    return source, run_source(source, RunSettings(model=small_model), watch=watch)


def test_a_run_over_the_network(server, small_model):
    source, outcome = remote_run(server[0], small_model, duration=1.5)
    assert not outcome.fault and outcome.seconds >= 1.5
    assert outcome.health[keys.FRAMES] + outcome.n_dropped >= 0.95 * outcome.seconds * 500e3 / 2048
    assert source.block.source.get_gain(0) == 25.0


def test_stream_arguments_reach_the_driver(program, server):
    """SoapyRemote 0.5.2 says so itself: it refuses a protocol that it does not know."""
    address, _ = server
    listed = subprocess.run([*program, "devices", f"driver=remote,remote={address}", "--probe"], capture_output=True, text=True,
                            timeout=60).stdout
    assert f"soapy:driver=remote,remote={address},remote:driver=spectrumtest  " in listed and "remote:prot=udp" in listed
    command = [*program, "run", f"soapy:driver=remote,remote={address},remote:driver=spectrumtest", "--freq", "100e6", "--rate",
               "500e3", "--duration", "0.5", "-q", "--detector", "boxes"]
    told = subprocess.run([*command, "--stream-arg", "remote:prot=tcp", "--stream-arg", "remote:mtu=4000"], capture_output=True,
                          text=True, timeout=60)
    assert told.returncode == 0, told.stderr
    refused = subprocess.run([*command, "--stream-arg", "remote:prot=pigeon"], capture_output=True, text=True, timeout=30)
    assert refused.returncode == 1 and "pigeon" in refused.stderr


def test_a_server_that_dies_ends_the_run(program, server, small_model):
    address, process = server
    command = [*program, "run", f"soapy:driver=remote,remote={address},remote:driver=spectrumtest,remote:prot=tcp",
               "--freq", "100e6", "--rate", "500e3", "--model", small_model, "--silence", "1.5", "--stats"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in run.stderr:
        if "frames/s" in line:
            break
    process.kill()
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 1 and ("no samples for 1.5 s" in errors or "driver failed" in errors), errors
