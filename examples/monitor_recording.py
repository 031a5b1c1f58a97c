#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches a SigMF recording without GRC: spectrum_monitor in a flowgraph of a dozen lines, events as they come.

    .venv/bin/python examples/monitor_recording.py [RECORDING.sigmf-meta] [--model NAME] [--learn SECONDS]

For more (folders, raw IQ, pictures, annotations) there is `spectrumencoder run`.
"""

import argparse
import sys
from pathlib import Path

from gnuradio import gr, spectrumencoder
from gnuradio.spectrumencoder import SafeBlock, handler, keys, metadata, run_flowgraph
from gnuradio.spectrumencoder.recordings import open_recording

SCENE = Path(__file__).resolve().parent / "recordings" / "demo_scene.sigmf-meta"


class event_printer(SafeBlock, gr.basic_block):
    """One line per event that closes. A block of your own: SafeBlock keeps an exception in it from hanging the flowgraph."""

    def __init__(self):
        gr.basic_block.__init__(self, "event_printer", None, None)
        self.init_safe_block()
        self.add_input_port(keys.EVENTS, self.handle_event)
        self.n_events = 0

    @handler
    def handle_event(self, message):
        event = metadata(message)  # a dict; its keys are those of the vocabulary, keys.py
        if event[keys.STATE] == "close":
            self.n_events += 1
            start, stop = event[keys.SAMPLE_START], event[keys.SAMPLE_START] + event[keys.SAMPLE_COUNT]
            print(f"{event[keys.FREQ_CENTER_HZ] / 1e6:.4f} MHz, {event[keys.BANDWIDTH_HZ] / 1e3:.1f} kHz wide, "
                  f"samples {start} to {stop}: {event[keys.ALERT]}")


class monitor_recording(gr.top_block):
    """sigmf_source -> spectrum_monitor -> event_printer. All blocks are attributes: GNU Radio keeps no Python block alive."""

    def __init__(self, recording, model="base", learn_s=120.0):
        gr.top_block.__init__(self, "monitor_recording")
        self.source = spectrumencoder.sigmf_source(recording)
        self.monitor = spectrumencoder.spectrum_monitor(model, samp_rate=self.source.samp_rate, learn_s=learn_s)
        self.printer = event_printer()
        self.connect(self.source, self.monitor)
        self.msg_connect(self.monitor, keys.ANOMALIES, self.printer, keys.EVENTS)
        self.blocks = [self.source, *self.monitor.blocks, self.printer]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording", nargs="?", default=SCENE, help="a .sigmf-meta file (default: the bundled scene)")
    parser.add_argument("--model", default="base", help="name of a model or path of a .safetensors file")
    parser.add_argument("--learn", type=float, default=120.0, help="seconds to learn; half of a recording at most")
    arguments = parser.parse_args()
    recording = open_recording(arguments.recording)
    flowgraph = monitor_recording(recording, arguments.model, min(arguments.learn, recording.duration_s / 2))
    failure = run_flowgraph(flowgraph, flowgraph.blocks)
    if failure is not None:
        sys.exit(f"error: {failure}")
    counters = flowgraph.monitor.detector.counters()
    print(f"{counters[keys.FRAMES]} frames, {counters[keys.EMITTERS]} emitters, {flowgraph.printer.n_events} alerts")


if __name__ == "__main__":
    main()
