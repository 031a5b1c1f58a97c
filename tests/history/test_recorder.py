# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorder: a commit each second, and a run that goes on when the disk is full or the file is taken away."""

import resource
import time
from collections import Counter

import numpy as np
import pytest
from gnuradio.spectrumencoder.display.history import Tuning
from gnuradio.spectrumencoder.history import Reader
from gnuradio.spectrumencoder.history.document import to_markdown
from gnuradio.spectrumencoder.history.recorder import Recorder
from gnuradio.spectrumencoder.history.report import make_report
from gnuradio.spectrumencoder.history.report_words import write_report
from gnuradio.spectrumencoder.history.run import Source

TUNING, START, FRAME_S = Tuning(434e6, 2.4e6, 1024), 1_767_225_600.0, 7e-3
EMITTER = {"emitter_id": 7, "freq_center_hz": 434.2e6, "bandwidth_hz": 5e3, "bursts": 1, "first_heard": START,
           "last_heard": START, "hop_set_hz": []}


class Played:
    """Frames that follow each other, with a steady carrier at 434.2 MHz; and what a run says of itself."""

    def __init__(self):
        self.n_frames, rng = 0, np.random.default_rng(1)
        self.psd = (10 * np.log10(rng.gamma(16, 1 / 16, (50, 1024))) - 90).astype(np.float32)
        self.psd[:, 597] = -70.0

    def play(self, recorder, count=1):
        for _ in range(count):
            recorder.frames(self.psd, TUNING, START + FRAME_S * self.n_frames, FRAME_S)
            self.n_frames += len(self.psd)

    def source(self):
        return Source({"source": "test", "band": "", "samp_rate": 2.4e6}, 2.4e6, 16, poll=lambda: (
            {"frames": self.n_frames, "dropped_frames": self.n_frames // 100}, [EMITTER | {"bursts": self.n_frames}]))


@pytest.fixture
def recorder(tmp_path):
    recorder = Recorder(tmp_path / "site.db", say=lambda line: recorder.said.append(line))
    recorder.said = []
    yield recorder
    recorder.close()


def until(condition, limit_s=20.0):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def alert(number, state="open"):
    return {"event_id": f"{number}", "state": state, "alert": "new", "timestamp": START + number, "emitter_id": 7}


def test_a_run_is_in_the_history_while_it_goes_on_and_whole_at_its_end(recorder, tmp_path):
    played = Played()
    recorder.begin(played.source())
    played.play(recorder, 10)
    recorder.alert(alert(1))
    until(lambda: len(Reader(recorder.path).alerts()) == 1)
    reader = Reader(recorder.path)
    assert "why" not in reader.runs()[0]
    played.play(recorder, 300)  # over a minute and more
    recorder.alert(alert(1, "close"))
    assert recorder.end("stopped", ["a note"])
    run, = reader.runs()
    assert (run["why"], run["notes"], run["band_file"]) == ("stopped", ["a note"], "run 1")
    assert run["timestamp_end"] - run["timestamp"] == pytest.approx(FRAME_S * played.n_frames)
    health = reader.health()
    assert [row["frames"] for row in health] == [8572, played.n_frames - 8572]
    assert sum(row["dropped_frames"] for row in health) == played.n_frames // 100
    assert reader.emitters()[0]["bursts"] == played.n_frames
    assert [row["occupancy"] for row in reader.levels(7)] == [1.0, 1.0]
    assert reader.levels(7)[0]["mean_db"] == pytest.approx(20.0, abs=0.6)
    assert reader.alerts()[0]["state"] == "close"
    assert recorder.failures == 0 and recorder.said == []


def test_a_gap_of_five_seconds_is_in_the_report_with_its_reason(recorder):
    played = Played()
    recorder.begin(played.source())
    lost_s, found_s = START + FRAME_S * 1000, START + FRAME_S * 2000  # from 7 to 14 s of the minute
    played.play(recorder, 20)
    recorder.radio_lost(lost_s, "the device is gone")
    played.n_frames = 2000
    played.play(recorder, 20)
    played.n_frames += 1500  # 10.5 s for which nobody has a reason
    played.play(recorder, 20)
    played.n_frames += 500  # 3.5 s
    played.play(recorder, 20)
    assert recorder.end("ended")
    with Reader(recorder.path) as reader:
        since_s, until_s = reader.span()
        report = make_report(reader, since_s, until_s + 20.0, until_s)
        assert reader.gaps(since_s, until_s) == report.gaps[:2]
    assert [end - begin for begin, end in report.gaps] == pytest.approx([7.0, 10.5, 20.0]) and report.gaps[0][1] == found_s
    assert [row["why"] for row in report.as_dict()["gaps"]] == [
        "the radio was away: the device is gone", "no signal came", "the monitor did not run"]
    words = to_markdown(write_report(report))
    assert "| 7 s | the radio was away: the device is gone |" in words
    assert "No signal came 3 times (once because the radio was away), for at most 20 s" in words
    assert report.emitters[0]["duty"] == 1.0 and "The history begins" not in words
    with Reader(recorder.path) as reader:  # of a day, which is longer than the history
        report = make_report(reader, until_s - 86400.0, until_s, until_s)
    assert (report.since_s, len(report.gaps)) == (since_s, 2)
    assert "The history begins at Thu 01 Jan 00:00:00; nothing is known of the time before." in to_markdown(write_report(report))


def test_a_full_disk_is_said_once_and_what_waited_is_written_when_there_is_room(recorder):
    played, before = Played(), resource.getrlimit(resource.RLIMIT_FSIZE)
    recorder.begin(played.source())
    played.play(recorder, 3)
    until(lambda: Reader(recorder.path).health())
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # as on a full disk, no file grows
        for number in range(5):
            recorder.alert(alert(number))
            played.play(recorder, 100)
            time.sleep(0.3)
        until(lambda: recorder.failures >= 3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert Reader(recorder.path).alerts() == []
    recorder.alert(alert(9))
    assert recorder.end("ended")
    reader = Reader(recorder.path)
    assert len(reader.alerts()) == 6
    assert sum(row["frames"] for row in reader.health()) == played.n_frames
    failed, again = recorder.said
    assert "cannot be written" in failed and "the run goes on" in failed and "written again" in again
    assert (recorder.lost_alerts, recorder.lost_minutes, recorder.lost_frames) == (0, 0, 0)


def test_what_cannot_be_written_until_the_end_is_counted(recorder, monkeypatch):
    monkeypatch.setattr("gnuradio.spectrumencoder.history.recorder.END_S", 1.0)
    played, before = Played(), resource.getrlimit(resource.RLIMIT_FSIZE)
    recorder.begin(played.source())
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        recorder.alert(alert(1))
        played.play(recorder, 200)
        assert not recorder.end("ended")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (recorder.lost_alerts, recorder.lost_minutes) == (1, 2)


def test_a_file_that_is_taken_away_is_begun_anew(recorder):
    played = Played()
    recorder.begin(played.source())
    played.play(recorder, 3)
    until(lambda: Reader(recorder.path).health())
    for path in recorder.path.parent.glob("site.db*"):
        path.unlink()
    played.play(recorder, 3)
    assert recorder.end("ended")
    reader = Reader(recorder.path)
    assert [run["run_id"] for run in reader.runs()] == [1] and len(reader.emitters()) == 1
    assert sum(row["frames"] for row in reader.health()) == played.n_frames


def test_a_clock_that_goes_back_loses_nothing(recorder):
    played = Played()
    recorder.begin(played.source())
    for first in (0, 60_000, 120_000, 0):
        played.n_frames = first
        played.play(recorder, 2)
        time.sleep(1.0)
    assert recorder.end("ended")
    health = Reader(recorder.path).health()
    of_minutes = Counter()
    for row in health:
        of_minutes[row["timestamp"] // 60 - START // 60] += row["frames"]
    assert of_minutes == {0: 200, 7: 100, 14: 100}
