# SPDX-License-Identifier: GPL-3.0-or-later
"""A radio through the whole chain, as `run soapy:...` does it: start, settings, faults, and how each ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.session.errors import SessionError, SettingError
from gnuradio.spectrumencoder.session.stats import RunStats, stats_line

FRAMES_PER_S = 250e3 / (16 * 128)


def test_it_runs_for_its_duration_and_tells_of_it(live_run, tmp_path):
    outcome = live_run(duration=1.0)
    assert outcome.seconds == 1.0 and outcome.n_frames == np.ceil(FRAMES_PER_S)  # the last one is a short one
    assert outcome.health[keys.OVERFLOWS] == 0 and outcome.n_dropped == 0 and not outcome.fault and not outcome.hung
    assert outcome.health[keys.DEVICE] == "driver=spectrumtest,pace=1"
    assert (tmp_path / "events.jsonl").is_file()


def test_an_overflow_is_counted_and_shortens_the_frame_it_falls_into(live_run):
    outcome = live_run("pace=0,overflow_every=10", duration=3.0)
    reads = outcome.seconds * 250e3 / 8192  # at least; 9 of them with samples to one without
    assert reads / 9 - 2 <= outcome.health[keys.OVERFLOWS] <= reads
    assert outcome.n_dropped == 0  # reads of 8192 samples: whole windows
    assert f"{outcome.health[keys.OVERFLOWS]} overflows" in outcome.line() and not outcome.fault


def test_timeouts_cost_time_and_nothing_else(live_run):
    outcome = live_run("pace=0,timeout_every=10", duration=2.0)
    assert outcome.seconds >= 2.0 and not outcome.fault and not outcome.hung


@pytest.mark.parametrize("fault", ["error_after=10", "timeout_every=1"])
def test_a_radio_that_gives_no_more_samples_ends_the_run(live_run, fault):
    began = time.monotonic()
    outcome = live_run(f"pace=0,{fault}", duration=60.0, silence_s=0.6)
    assert "no samples for 0.6 s" in outcome.fault and "still plugged in" in outcome.fault and not outcome.hung
    assert time.monotonic() - began < 10


def test_the_radio_is_set_as_asked(live_run, make_scene, tmp_path):
    scene = make_scene({"freq_hz": 100.05e6, "power_dbfs": -40})
    rows = []

    def look(flowgraph):
        source = flowgraph.source.block.source
        rows.append((source.get_gain(0), source.get_antenna(0), source.get_bandwidth(0), source.get_frequency_correction(0),
                     source.get_gain_mode(0), source.read_setting("dc_dbfs"), flowgraph.source.time_source))
    live_run(f"pace=0,hwtime=1,scene={scene}", gain=33.0, antenna="DUMMY", bandwidth=200e3, ppm=7.0, agc=True, watch=look)
    assert rows == [(33.0, "DUMMY", 200e3, 7.0, True, -200.0, "hardware")]


@pytest.mark.parametrize("options, said", [
    ({"freq": 7e9}, "freq 7e+09 is outside what the radio can do: 1e+06..6e+09"), ({"rate": 1e3}, "rate 1000 is outside"),
    ({"gain": 60.0}, "gain 60 is outside what the radio can do: 0..50"), ({"antenna": "TX"}, "the radio has RX, DUMMY"),
    ({"bandwidth": 1e9}, "bandwidth 1e+09 is outside"), ({"args": "scene=/no"}, "scene=/no cannot be read")])
def test_what_the_radio_cannot_do_is_refused_before_it_is_sent(live_run, options, said):
    with pytest.raises(SessionError) as refusal:
        live_run(**options)
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_setting_is_checked_and_written(small_model):
    from gnuradio.spectrumencoder.session.sources import RadioOptions, RadioSource
    device = "driver=spectrumtest,pace=0,seed=77"
    source = RadioSource(RadioOptions(device, 100e6, 250e3, settings=("dc_dbfs=-12",)))
    assert source.block.source.read_setting("dc_dbfs") == -12.0
    with pytest.raises(SessionError, match="no such setting; it has dc_dbfs, error_after"):
        RadioSource(RadioOptions(device, 100e6, 250e3, settings=("bias=1",)))
    with pytest.raises(SettingError, match="--setting bias is not KEY=VALUE"):
        RadioSource(RadioOptions(device, 100e6, 250e3, settings=("bias",)))


def test_a_radio_that_is_not_there_is_named(live_run):
    from gnuradio.spectrumencoder.session.sources import RadioOptions, RadioSource
    with pytest.raises(SessionError, match="driver=nonesuch: no such radio was found; `spectrumencoder devices` lists"):
        RadioSource(RadioOptions("driver=nonesuch", 100e6, 250e3))


def test_health_comes_each_second_on_status_as_line_and_to_prometheus(live_run):
    scraped, line, said = [], [], []
    with RunStats(said.append, metrics="127.0.0.1:0") as watch:
        def attach(flowgraph):
            watch.attach(flowgraph)

            def scrape():
                if flowgraph.monitor.health.n_reported == 2 and not scraped:
                    url = f"http://127.0.0.1:{watch.server.port}/metrics"
                    scraped.append(urllib.request.urlopen(url, timeout=5).read().decode())
                    line.append(stats_line(watch.snapshot()))
            flowgraph.on_poll.append(scrape)
        outcome = live_run(duration=2.9, watch=attach)
    health = outcome.health
    assert health[keys.FRAMES_PER_S] == pytest.approx(FRAMES_PER_S, rel=0.35)
    assert 0 <= health[keys.LATENCY_P50_MS] <= health[keys.LATENCY_P99_MS] < 2000
    for name in ("frames_total", "dropped_frames_total", "dropped_constant_total", "clipped_frames_total",
                 "overflows_total", "events_total", "queue_depth", "frames_per_second",
                 'latency_seconds{device="driver=spectrumtest,pace=1",quantile="0.99"}'):
        assert f"spectrumencoder_{name}" in scraped[0]
    assert len([text for text in said if "frames/s" in text]) in (2, 3)
    assert all(part in line[0] for part in ("latency p50", "queue", "0 overflows", "driver=spectrumtest"))


@pytest.mark.parametrize("address, said", [("9100", "not HOST:PORT"), ("127.0.0.1:x", "not HOST:PORT"),
                                           ("192.0.2.1:1", "cannot be opened")])
def test_a_bad_metrics_address_is_bad_usage(address, said):
    with pytest.raises(SettingError, match=said):
        RunStats(None, metrics=address)


def test_recordings_have_no_latency_and_count_no_device(demo_scene, small_model):
    from gnuradio.spectrumencoder.recordings import open_recording
    from gnuradio.spectrumencoder.session.flowgraph import RunSettings, run
    outcome = run(open_recording(demo_scene), RunSettings(model=small_model))
    assert outcome.health[keys.LATENCY_P50_MS] is None and outcome.health[keys.DEVICE] == ""
    assert outcome.health[keys.FRAMES] == outcome.n_frames


def _start(program, args, *options, **more):
    command = [*program, "run", f"soapy:driver=spectrumtest,{args}", "--freq", "100e6", "--rate", "250e3", *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def test_an_unplugged_radio_and_one_that_hangs_end_with_status_1_and_a_word(program, small_model, tmp_path):
    unplugged = _start(program, "unplug_after=20", "--model", small_model, "--json", tmp_path / "u.json")
    hanging = _start(program, "hang_after=20", "--model", small_model, "--json", tmp_path / "h.json", "--silence", 1)
    for process, name, said in ((unplugged, "u", "driver failed after"), (hanging, "h", "no samples for 1 s")):
        _, errors = process.communicate(timeout=60)
        told = [line for line in errors.splitlines() if not line.startswith("note: uncalibrated")]
        assert process.returncode == 1 and len(told) == 1 and said in told[0], errors
        assert json.loads((tmp_path / f"{name}.json").read_text())["frames"] > 10  # written all the same


def test_an_interrupt_ends_within_two_seconds_with_everything_written(small_model, tmp_path):
    script = os.path.join(os.path.dirname(sys.executable), "spectrumencoder")
    runs = {name: _start([sys.executable, script], f"pace=1,seed={name}", "--model", small_model, "--stats", "--json",
                         tmp_path / f"{name}.json", "--events", tmp_path / f"{name}.jsonl", "--encoded", tmp_path / f"{name}.bin",
                         preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # ignored where tests run with &
            for name in (int(signal.SIGINT), int(signal.SIGTERM))}
    for name, process in runs.items():
        while "frames/s" not in process.stderr.readline():
            assert process.poll() is None
        began = time.monotonic()
        process.send_signal(name)
        out, errors = process.communicate(timeout=30)
        assert time.monotonic() - began < 2.0
        assert process.returncode == 0, errors
        written = json.loads((tmp_path / f"{name}.json").read_text())
        assert written["frames"] > 20 and f"{written['frames']} frames" in out
        assert written["recordings"][0]["encoded_bytes"] == (tmp_path / f"{name}.bin").stat().st_size


def test_what_only_a_picture_needs_is_not_kept(live_run, make_scene, tmp_path):
    scene = make_scene({"freq_hz": 100.05e6, "power_dbfs": -40, "period_s": 0.5, "on_s": 0.1})
    flowgraphs = []
    live_run(f"pace=0,scene={scene}", duration=4.0, settings={"signals": tmp_path / "s.jsonl"}, watch=flowgraphs.append)
    assert (tmp_path / "s.jsonl").read_text().count("\n") > 4
    assert not flowgraphs[0].probe.boxes and not flowgraphs[0].probe.transmissions


def test_overflows_are_counted_in_the_reason_and_no_marks_are_printed(live_run, capfd):
    outcome = live_run("pace=0,overflow_every=1", duration=1.0, silence_s=0.6)
    assert "no samples for 0.6 s, after 0 s of signal and " in outcome.fault and " overflows; see whether" in outcome.fault
    assert capfd.readouterr().err == ""  # gr-soapy would print sOsOsO


def test_a_run_far_behind_the_clock_ends_with_a_word(small_model, tmp_path):
    """Every second read times out and loses half a second of samples; the run's clock is ten times as fast as the radio's."""
    from gnuradio.spectrumencoder.session.flowgraph import RunSettings, quiet_logs, run_source
    from gnuradio.spectrumencoder.session.sources import RadioOptions, RadioSource
    quiet_logs()
    source = RadioSource(RadioOptions("driver=spectrumtest,pace=1,timeout_every=2", 100e6, 250e3, duration=5.0, silence_s=600.0),
                         clock=lambda: 10.0 * time.monotonic())
    began = time.monotonic()
    outcome = run_source(source, RunSettings(model=small_model, events=tmp_path / "e.jsonl"))
    assert re.fullmatch(r"only [0-4]\.?\d* s of signal( and \d+ overflows?)? came in 1[5-9].* s: the radio, or this machine, "
                        r"loses samples; see --stats, and give a smaller --rate", outcome.fault), outcome.fault
    assert time.monotonic() - began < 60 and not outcome.hung and outcome.seconds < 5.0
