# SPDX-License-Identifier: GPL-3.0-or-later
"""The other commands that know radios: calibrate, devices, and how `run` refuses what makes no sense."""

import json

import pytest
from gnuradio.spectrumencoder.cli.main import main

RADIO = "soapy:driver=spectrumtest,pace=0"


def command(capsys, *arguments):
    """(exit status, stdout, stderr) of a command line, run in this process."""
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_band_is_learned_from_a_radio_and_then_an_emitter_that_comes_is_found(make_scene, tmp_path, capsys):
    quiet = make_scene({"freq_hz": 433.9e6, "power_dbfs": -40}, name="quiet")
    busy = make_scene({"freq_hz": 433.9e6, "power_dbfs": -40}, {"freq_hz": 434.2e6, "power_dbfs": -40, "start_s": 1},
                      name="busy")
    common = ("--freq", "434e6", "--rate", "1e6", "--average", "4", "--detector", "boxes")
    status, out, err = command(capsys, "calibrate", f"{RADIO},scene={quiet}", *common, "--out",
                               tmp_path / "band.safetensors", "--model", "fast", "--json", tmp_path / "learned.json")
    assert status == 0, err
    assert "434 MHz" in out and not list(tmp_path.glob(".calibrate*"))
    assert next(iter(json.loads((tmp_path / "learned.json").read_text())["tables"].values()))["freq_hz"] == 434e6
    status, out, err = command(capsys, "run", f"{RADIO},scene={busy}", *common, "--model",
                               tmp_path / "band.safetensors", "--duration", "2", "--events", tmp_path / "events.jsonl")
    assert status == 0, err
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    new = [event for event in events if abs(event["freq_center_hz"] - 434.2e6) < 5e3]
    assert new and new[0]["sample_start"] == pytest.approx(1e6, abs=20e3)


def test_a_duration_too_short_to_learn_from_is_refused_before_the_radio_is_opened(capsys, tmp_path):
    status, _, err = command(capsys, "calibrate", "soapy:driver=nonesuch", "--detector", "boxes", "--freq", "434e6",
                             "--rate", "1e6", "--out",
                             tmp_path / "band.safetensors", "--duration", "0.5")
    assert status == 1 and "--duration 0.5 s is too short: a false-alarm rate of 0.01 takes 616 frames, 10.1 s" in err


def test_devices_lists_the_test_radio_and_says_what_it_can_do(capsys, tmp_path):
    status, out, _ = command(capsys, "devices", "driver=spectrumtest", "--probe", "--json", tmp_path / "d.json")
    assert status == 0 and out.startswith("soapy:driver=spectrumtest") and "1..6000" in out and "RX, DUMMY" in out
    assert json.loads((tmp_path / "d.json").read_text())["devices"][0]["device"] == "driver=spectrumtest"
    status, _, err = command(capsys, "devices", "driver=nonesuch")
    assert status == 1 and "no radio was found for driver=nonesuch" in err and len(err.splitlines()) == 1


@pytest.mark.parametrize("arguments, said", [
    (("run", RADIO), "a radio needs --rate HZ and --freq HZ"),
    (("run", "soapy:", "--freq", "1e8", "--rate", "1e6"), "names no radio; write soapy:driver=NAME"),
    (("run", RADIO, "--freq", "1e8", "--rate", "-1"), "--rate -1 is not a positive number"),
    (("run", RADIO, "--freq", "1e8", "--rate", "1e6", "--agc", "yes"), "--agc yes is neither on nor off"),
    (("run", RADIO, "--freq", "1e8", "--rate", "1e6", "--scan", "88e6:89e6"), "exclude each other"),
    (("run", RADIO, "--rate", "1e6", "--scan", "89e6:88e6"), "is not LOW:HIGH in Hz"),
    (("run", RADIO, "--freq", "1e8", "--rate", "1e6", "--annotate"), "--annotate of a radio needs a file"),
    (("run", RADIO, "--freq", "1e8", "--rate", "1e6", "--annotate-signals"), "name one: --annotate=FILE"),
    (("run", RADIO, "--scan", "88e6:108e6", "--rate", "1e6", "--annotate=x"), "--annotate is not for a scan: SigMF needs a"),
    (("run", RADIO, "--freq", "1e8", "--rate", "1e6", "--format", "cu8"), "--format is not for a radio"),
    (("run", RADIO, "--rate", "1e6", "--scan", "88e6:89e6", "--offset", "1e9"), "--offset is not for a scan"),
    (("run", RADIO, "--freq", "1e8", "--rate", "1e6", "--channel", "1"), "--channel is not for a radio"),
    (("run", "examples/recordings/demo_scene.sigmf-meta", "--scan", "88e6:89e6"), "--scan is for radios"),
    (("run", "examples/recordings/demo_scene.sigmf-meta", "--gain", "3"), "--gain is for radios"),
    (("run", RADIO, "--freq", "1e8", "--rate", "1e6", "--duration", "1e-2", "--average", "1"), None)])
def test_options_that_make_no_sense_are_bad_usage(capsys, monkeypatch, demo_scene, arguments, said):
    monkeypatch.chdir(demo_scene.parents[2])
    status, _, err = command(capsys, *arguments)
    if said is None:
        assert status == 0, err  # 10 ms are enough for a frame of one spectrum
    else:
        assert status in (1, 2) and said in err and len(err.splitlines()) == 1, err


def test_events_are_published_over_zmq(make_scene, small_model, live_run):
    zmq = pytest.importorskip("zmq", reason="pyzmq is not installed: apt install python3-zmq")
    import socket

    import pmt
    from gnuradio.spectrumencoder import keys
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    subscriber = zmq.Context.instance().socket(zmq.SUB)
    subscriber.setsockopt_string(zmq.SUBSCRIBE, "")
    subscriber.connect(address)
    got, posted = [], []

    def watch(flowgraph):
        from gnuradio.spectrumencoder.blocks.messages import pdu
        log = next(block for block in flowgraph._sinks if block._zmq_address)

        def feed():
            posted.append(None)
            if got or len(posted) > 10:  # a log that is never quiet does not end
                return
            log.to_basic_block()._post(pmt.intern(keys.EVENTS), pdu({keys.EVENT_ID: "7", keys.STATE: "open"}))
            if subscriber.poll(0):
                got.append(json.loads(subscriber.recv_string()))
        flowgraph.on_poll.append(feed)
    live_run(duration=1.5, watch=watch, settings={"zmq": address})
    subscriber.close(linger=0)
    assert got and got[0] == {"event_id": "7", "state": "open", "line": got[0]["line"]} and got[0]["line"] >= 1


def test_a_scan_from_the_command_line_writes_its_sweeps(make_scene, small_model, tmp_path, capsys):
    scene = make_scene({"freq_hz": 90.0e6}, {"freq_hz": 93.0e6})
    status, out, err = command(capsys, "run", f"soapy:driver=spectrumtest,scene={scene}", "--rate", "2.4e6", "--scan",
                               "88e6:96e6", "--dwell-ms", "50", "--settle-ms", "20", "--model", small_model, "--average", "32",
                               "--duration", "2", "--sweeps", tmp_path / "s.jsonl", "--json", tmp_path / "r.json",
                               "--plot", tmp_path / "s.svg")
    assert status == 0, err
    assert (tmp_path / "s.svg").read_text().startswith("<?xml") and "was not drawn" not in err
    first = json.loads((tmp_path / "s.jsonl").read_text().splitlines()[0])
    row = first["power_dbfs"]
    top = sorted(range(len(row)), key=row.__getitem__)[-2:]
    assert sorted(first["freq_start_hz"] + k * first["bin_width_hz"] for k in top) == pytest.approx([90e6, 93e6], abs=20e3)
    scan = json.loads((tmp_path / "r.json").read_text())["scan"]
    assert scan["sweeps"] >= 1 and 0.4 < scan["watched_share"] < 1 and "hops/s" in out


RTL = {"driver": "rtlsdr", "label": "Generic RTL2832U", "manufacturer": "Realtek", "product": "RTL2838UHIDIR", "tuner": "R820T"}


@pytest.mark.parametrize("found, expected", [
    # as SoapyAudio 0.1.1, SoapyRemote 0.5.2 and the test radio name themselves
    ([{"default_input": "True", "default_output": "False", "device_id": "0", "driver": "audio", "label": "Monitor of Output"}],
     ["driver=audio,device_id=0"]),
    ([{"device_id": "2", "driver": "remote", "label": "Monitor", "remote": "tcp://127.0.0.1:1", "remote:driver": "audio"}],
     ["driver=remote,remote=tcp://127.0.0.1:1,remote:driver=audio,device_id=2"]),
    # enumerating with remote=... lists this machine's own radio, too, and hands the words of the question back in it
    ([{"driver": "spectrumtest", "label": "Test", "remote": "127.0.0.1:1"}], ["driver=spectrumtest"]),
    # as their sources have it
    ([{"addr": "192.168.10.2", "driver": "uhd", "label": "B", "name": "", "serial": ""}], ["driver=uhd,addr=192.168.10.2"]),
    ([{"driver": "plutosdr", "label": "P", "uri": "ip:192.168.2.1"}], ["driver=plutosdr,uri=ip:192.168.2.1"]),
    ([RTL | {"serial": "1", "rtl": "0"}, RTL | {"serial": "2", "rtl": "1"}],
     ["driver=rtlsdr,serial=1", "driver=rtlsdr,serial=2"]),
    ([RTL | {"serial": "1", "rtl": "0"}, RTL | {"serial": "1", "rtl": "1"}],  # sticks are sold with equal serial numbers
     ["driver=rtlsdr,serial=1,rtl=0", "driver=rtlsdr,serial=1,rtl=1"])])
def test_an_address_opens_that_very_device(found, expected):
    from gnuradio.spectrumencoder.cli.devices import addresses
    assert addresses(found) == expected


@pytest.mark.parametrize("given, said", [
    ("prot", "--stream-arg prot is not KEY=VALUE, such as --stream-arg remote:prot=tcp"),
    ("a=b,c=d", "stream argument a=b,c=d: a key is not empty, and neither has a comma")])
def test_a_stream_argument_is_a_pair(capsys, given, said):
    status, _, err = command(capsys, "run", RADIO, "--freq", "1e8", "--rate", "1e6", "--duration", "0.1", "--stream-arg", given)
    assert status in (1, 2) and said in err and len(err.splitlines()) == 1
    status, _, err = command(capsys, "run", "examples/recordings/demo_scene.sigmf-meta", "--stream-arg", "a=b")
    assert status == 2 and "--stream-arg is for radios" in err


def test_a_converter_before_the_radio_is_added_to_all_frequencies(make_scene, tmp_path, capsys):
    scene = make_scene({"freq_hz": 433.9e6, "power_dbfs": -40}, {"freq_hz": 434.2e6, "power_dbfs": -40, "start_s": 1})
    status, out, err = command(capsys, "run", f"{RADIO},scene={scene}", "--freq", "434M", "--rate", "1M", "--offset", "9.75G",
                               "--average", "4", "--learn", "0.5", "--duration", "2", "--snippets", tmp_path / "iq",
                               "--events", tmp_path / "events.jsonl")
    assert status == 0, err
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    new = [event for event in events if event.get("alert") == "new"]
    assert new and abs(new[0]["freq_center_hz"] - 10.1842e9) < 5e3, events
    assert "10183.9" in out
    metas = [json.loads(path.read_text()) for path in (tmp_path / "iq").glob("*.sigmf-meta")]
    assert metas and metas[0]["captures"][0]["core:frequency"] == 10.184e9
