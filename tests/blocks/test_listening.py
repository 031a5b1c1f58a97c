# SPDX-License-Identifier: GPL-3.0-or-later
"""Listeners of a run: every row and message reaches them, whatever the pace of the source, and what they send is obeyed."""

from pathlib import Path

import numpy as np
import pytest
from gnuradio.spectrumencoder import session
from gnuradio.spectrumencoder.recordings import open_recording
from gnuradio.spectrumencoder.session.listening import SIGNALS, Clock, Listener, ListenPart
from gnuradio.spectrumencoder.session.radio import run_radio
from gnuradio.spectrumencoder.session.stats import RunStats

DEMO = Path(__file__).parents[2] / "examples/recordings/demo_scene.sigmf-meta"


class Collector(Listener):
    needs = frozenset((SIGNALS,))

    def __init__(self):
        self.rows, self.messages, self.n_frames, self.first_s, self.ended = [], [], 0, None, None

    def begin(self, run):
        self.run = run

    def frames(self, psd, tuning, posix_s, frame_s):
        self.first_s = posix_s if self.first_s is None else self.first_s
        self.n_frames += len(psd)

    def take(self, news):
        self.rows += news.rows
        self.messages += news.messages

    def end(self, notes):
        self.ended = list(notes)


def ports(collector):
    return {port for port, _ in collector.messages}


def test_a_listener_gets_every_row_event_and_signal_of_a_recording(tmp_path):
    collector = Collector()
    part = ListenPart([collector])
    recording = open_recording(DEMO)
    outcome = session.run(recording, session.RunSettings(events=tmp_path / "events.jsonl"), parts=[part])
    assert collector.n_frames == outcome.n_frames
    assert {"events", "signals", "status"} <= ports(collector)
    rows = collector.rows
    assert sum(row.seconds for row in rows) == pytest.approx(outcome.seconds, abs=2 * rows[0].seconds)
    assert np.diff([row.posix_s for row in rows]) == pytest.approx(rows[0].seconds, abs=1e-6)
    assert rows[0].tuning.center_hz == recording.captures[0].frequency_hz
    assert rows[0].psd.shape == (collector.run.fft_size,) and np.isfinite(rows[0].psd).all()
    assert collector.first_s == pytest.approx(rows[0].posix_s, abs=rows[0].seconds)
    assert list(outcome.notes) == collector.ended
    opened = [fields["event_id"] for port, fields in collector.messages if port == "events" and fields["state"] == "open"]
    assert len(opened) == len(set(opened)) == outcome.n_events


class Accepting(Collector):
    """Accepts the first emitter that alerts, and turns the gain down."""

    def take(self, news):
        super().take(news)
        for port, fields in news.messages:
            if port == "events" and fields.get("emitter_id") and not hasattr(self, "accepted"):
                self.accepted = fields["emitter_id"]
                self.run.control({"accept": self.accepted, "false_events_per_hour": 3.0})
                self.run.tune({"gain": 7.0})


def test_what_a_listener_sends_is_obeyed_by_chain_and_radio():
    listener = Accepting()
    options = session.RadioOptions("driver=spectrumtest,pace=0", 434e6, 2.4e6, duration=30.0)
    with RunStats(None, "") as stats:
        run_radio(options, session.RunSettings(learn_s=20.0), stats=stats, parts=[ListenPart([listener])])
    row, = (row for row in listener.run.emitters() if row["emitter_id"] == listener.accepted)
    assert row["accepted"] and row["belongs"]
    assert listener.run.settings()["false_events_per_hour"] == 3.0
    assert not any(fields.get("status") == "refused" for port, fields in listener.messages if port == "status")


def test_a_clock_takes_the_time_of_the_newest_tag_before_a_second():
    clock = Clock()
    clock.set(0.0, 1000.0)
    clock.set(10.0, 2000.0)
    assert [clock.posix_s(second) for second in (0.0, 9.0, 10.0, 11.0)] == [1000.0, 1009.0, 2000.0, 2001.0]
