# SPDX-License-Identifier: GPL-3.0-or-later
"""`run --history`: recordings, the test radio, a scan; and a process that is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gnuradio.spectrumencoder.history import HistoryError, Reader

DEMO = Path(__file__).parents[2] / "examples/recordings/demo_scene.sigmf-meta"
PROGRAM = Path(sys.executable).parent / "spectrumencoder"


def call(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=100)


def test_recordings_fill_one_history(tmp_path):
    path = tmp_path / "site.db"
    for _ in range(2):
        done = call("run", DEMO, "--history", path, "--json", tmp_path / "run.json")
        assert done.returncode == 0, done.stderr
    reader = Reader(path)
    assert [(run["source"], run["why"]) for run in reader.runs()] == [("demo_scene", "ended")] * 2
    alerts = reader.alerts()
    assert [(one["alert"], one["state"]) for one in alerts] == [("new", "close")] * 2
    assert alerts[0]["freq_center_hz"] == pytest.approx(869.164e6, abs=1e3)
    assert len({one["band_file"] for one in reader.emitters()}) == 2  # without a band file, numbers begin again
    assert [(row["frames"], row["events"]) for row in reader.health()] == [(64, 1)] * 2
    row = reader.occupancy()[0]
    channel = round((868.5e6 - row["freq_start_hz"]) / row["channel_hz"])
    assert row["occupancy"][channel] > 0.3 and min(row["occupancy"]) == 0.0


def test_a_scan_has_the_channels_of_all_hops(tmp_path):
    path = tmp_path / "site.db"
    done = call("run", "soapy:driver=spectrumtest,pace=0", "--scan", "88M:96M", "--rate", "2.4M", "--duration", "2", "--jitter",
                "0.2", "--history", path)
    assert done.returncode == 0, done.stderr
    rows = Reader(path).occupancy()
    heard = {round((row["freq_start_hz"] + n * row["channel_hz"]) / 25e3) for row in rows
             for n, frames in enumerate(row["frames"]) if frames}
    assert {row["channel_hz"] for row in rows} == {25e3}
    assert set(range(88_000_000 // 25_000, 96_000_000 // 25_000)) <= heard
    assert len(rows) <= 2 * (8e6 / 25e3 / 128 + 2)  # two minutes at most


def test_kill_9_loses_at_most_a_second(tmp_path):
    path = tmp_path / "site.db"
    run = subprocess.Popen([PROGRAM, "run", "soapy:driver=spectrumtest", "--freq", "434M", "--rate", "2.4M", "--learn", "3",
                            "--history", path, "--quiet"], stderr=subprocess.PIPE)
    try:
        end = time.monotonic() + 60.0
        while not (path.exists() and (rows := frames_in(path))) or rows < 2 * 146:
            assert time.monotonic() < end and run.poll() is None, run.stderr.read()
            time.sleep(0.1)
        os.kill(run.pid, signal.SIGKILL)
        killed_s = time.time()
    finally:
        run.kill()
        run.wait()
        run.stderr.close()
    reader = Reader(path)
    row, = reader.runs()
    assert "why" not in row
    lost_s = killed_s - row["timestamp_end"]
    # a second, and half a one for the way of a frame through the chain; a machine that is too slow is behind its radio anyway
    assert lost_s < (1.5 if os.getloadavg()[0] < 2 * os.cpu_count() else 15.0)
    assert len(reader.emitters()) >= 1
    assert call("run", DEMO, "--history", path).returncode == 0  # the next run goes on with it
    assert len(Reader(path).runs()) == 2


def frames_in(path):
    try:
        with Reader(path) as reader:
            return sum(row["frames"] for row in reader.health())
    except HistoryError:  # it is being made
        return 0


@pytest.mark.parametrize("options, words", [
    (("--history", "{}/none/site.db"), "there is no folder"),
    (("--history", DEMO), "is no history"),
    (("--history", "{}/site.db", "--history-mb", "0.1"), "--history-mb 0.1 is too small"),
    (("--history-days", "3"), "--history-days is for --history"),
])
def test_a_history_that_cannot_be_is_refused_in_one_line(tmp_path, options, words):
    done = call("run", DEMO, *(str(option).format(tmp_path) for option in options))
    assert done.returncode != 0 and words in done.stderr and done.stderr.count("\n") == 1
