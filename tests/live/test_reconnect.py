# SPDX-License-Identifier: GPL-3.0-or-later
"""``run --reconnect``: a radio that is unplugged, hangs or crashes is opened again, and the run goes on."""

import json
import os
import signal
import threading
import time

import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.cli.main import main
from gnuradio.spectrumencoder.session.errors import SessionError

USUAL = ({"freq_hz": 100.03e6}, {"freq_hz": 99.95e6, "period_s": 0.4, "on_s": 0.1})


def at(flowgraph, seconds, call):
    """Calls once this much signal has been played."""
    waiting = [call]
    flowgraph.on_poll.append(lambda: waiting and flowgraph.source.n_samples > 250e3 * seconds and waiting.pop()())


def events(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def shown(feed):
    """What a page is sent that opens now."""
    from gnuradio.spectrumencoder.web.feed import Viewer
    return json.loads(feed.everything(Viewer(lambda: None))[0])


@pytest.fixture
def plug(tmp_path):
    """The file that stands for the radio's plug."""
    path = tmp_path / "plug"
    path.touch()
    return path


def test_after_an_unplug_the_run_goes_on_and_what_is_new_then_has_the_right_time(live_run, make_scene, plug, tmp_path):
    from gnuradio.spectrumencoder.history import Reader
    from gnuradio.spectrumencoder.session.history_listener import HistoryListener
    from gnuradio.spectrumencoder.session.listening import ListenPart
    from gnuradio.spectrumencoder.web.feed import Feed
    scene, said, unplugged_s, lost_s = make_scene(*USUAL), [], [], []
    page, history = Feed(), HistoryListener(tmp_path / "site.db", 0.0, 0.0, print)

    def pull():
        plug.unlink()
        unplugged_s.append(time.time())
        make_scene(*USUAL, {"freq_hz": 99.98e6, "start_s": 0.6})  # what is on the air when it comes back

    def put_back(block):
        if block.gaps and block.gaps[0]["errors"] and not lost_s:
            lost_s.append(shown(page)["state"]["health"]["radio_lost"])
            plug.touch()

    def watch(flowgraph):
        at(flowgraph, 4.0, pull)
        flowgraph.on_poll.append(lambda: put_back(flowgraph.source.block))
        flowgraph.on_poll.append(lambda: said.extend(flowgraph.probe.news))
    outcome = live_run(f"pace=1,scene={scene},plug={plug}", duration=7.0, reconnect_s=0.0, watch=watch,
                       settings={"learn_s": 3.0}, parts=[ListenPart([page, history])])
    history.close()
    assert not outcome.fault and not outcome.hung and outcome.seconds == 7.0
    (gap,) = outcome.reconnects
    assert "driver failed" in gap["why"] and "the device is gone" in gap["why"] and gap["tries"] >= 2
    assert "plugged in" in gap["errors"][0] and 1.0 < gap["gap_s"] < 15.0
    assert gap[keys.TIMESTAMP] == pytest.approx(unplugged_s[0], abs=0.5)
    assert outcome.as_dict()["reconnects"] == [gap] and any("the radio was lost once" in note for note in outcome.notes)
    lines = [entry[0] for entry in said if isinstance(entry, tuple) and "radio" in entry[0]]
    assert any("radio lost: the radio's driver failed" in line for line in lines), lines
    assert any("try 1 to open the radio again: " in line for line in lines)
    assert any("radio back after" in line for line in lines)
    assert set(outcome.alerts) == {"new"} and outcome.alerts["new"] == 1, outcome.alerts  # nothing is gone
    # The page has seen it, and the history keeps it
    now = shown(page)
    assert lost_s == [gap[keys.TIMESTAMP]] and "radio_lost" not in now["state"]["health"]
    log = [line["message"] for line in now["told"] if line["status"] == "reconnect"]
    assert sum("model" in line["message"] for line in now["told"]) == 1  # not by each block
    assert [line.partition(":")[0].partition(" after")[0] for line in log] == ["radio lost", "radio back"], log
    with Reader(tmp_path / "site.db") as reader:
        assert [loss for row in reader.health() for loss in row.get(keys.LOSSES, [])] == [
            {keys.TIMESTAMP: gap[keys.TIMESTAMP], keys.WHY: gap["why"]}]
    (new,) = [event for event in events(tmp_path / "events.jsonl") if event["state"] == "open"]
    assert abs(new[keys.FREQ_CENTER_HZ] - 99.98e6) < 3e3 and new[keys.TIME_SOURCE] == "host"
    assert unplugged_s[0] + gap["gap_s"] - 0.5 < new[keys.TIMESTAMP] < unplugged_s[0] + gap["gap_s"] + 2.0


def test_a_driver_that_hangs_or_crashes_is_ended_and_the_radio_opened_again(live_run):
    outcome = live_run("pace=1,hang_after=40", duration=2.0, reconnect_s=0.0, silence_s=0.6)
    assert not outcome.fault and not outcome.hung and outcome.seconds == 2.0
    assert outcome.reconnects and all("no samples for 0.6 s" in gap["why"] for gap in outcome.reconnects)

    def watch(flowgraph):
        at(flowgraph, 0.5, lambda: os.kill(flowgraph.source.block._link._process.pid, signal.SIGSEGV))
    outcome = live_run("pace=1", duration=1.5, reconnect_s=0.0, watch=watch)
    (gap,) = outcome.reconnects
    assert not outcome.fault and gap["why"] == "the process of its driver ended by signal 11" and gap["gap_s"] > 0.9


def test_a_radio_that_does_not_come_back_in_time_ends_the_run_with_the_reason(small_model, plug, tmp_path, capsys):
    threading.Timer(5.0, plug.unlink).start()
    status = main(["run", f"soapy:driver=spectrumtest,plug={plug}", "--freq", "100M", "--rate", "250k", "--model",
                   str(small_model), "--reconnect=2", "--json", str(tmp_path / "s.json")])
    said = capsys.readouterr()
    assert status == 1 and "radio lost" in said.out and "  try 1 to open the radio again" in said.out
    last = said.err.splitlines()[-1]
    assert "the device is gone; it did not come back within 2 s (" in last and "no such device is plugged in" in last
    (run,) = json.loads((tmp_path / "s.json").read_text())["recordings"]
    assert run["n_frames"] > 10  # written all the same
    (gap,) = run["reconnects"]
    assert gap["gap_s"] is None and gap["tries"] >= 1


def test_a_scan_goes_on_where_it_was(live_run, make_scene, plug):
    from gnuradio.spectrumencoder.session.scanning import ScanOptions, ScanPart
    scan = ScanPart(ScanOptions("99.5e6:100.5e6", dwell_ms=40.0))

    def pull():
        plug.unlink()
        threading.Timer(0.5, plug.touch).start()
    outcome = live_run(f"pace=1,scene={make_scene(*USUAL)},plug={plug}", duration=4.0, reconnect_s=0.0, parts=[scan],
                       watch=lambda flowgraph: at(flowgraph, 1.0, pull))
    assert len(outcome.reconnects) == 1 and not outcome.fault
    assert scan.log.n_sweeps >= 2 and not any("still reports" in note for note in outcome.notes)


def test_a_radio_that_is_not_there_at_the_start_is_an_error(live_run):
    with pytest.raises(SessionError, match="no such radio was found; `spectrumencoder devices` lists"):
        live_run(reconnect_s=0.0, args="pace=1,driver=nonesuch")


@pytest.mark.parametrize("option, said", [("--reconnect=x", "write it like --reconnect=600"), ("--reconnect=-1", "no number of")])
def test_a_time_that_is_none_is_refused(option, said, capsys):
    assert main(["run", "soapy:driver=spectrumtest", "--freq", "100M", "--rate", "250k", option]) == 2
    assert said in capsys.readouterr().err
    assert main(["run", "nothing.wav", "--reconnect"]) in (1, 2)
