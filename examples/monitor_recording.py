#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches a SigMF recording without GRC: spectrum_monitor in a flowgraph of a dozen lines, events as they come.

    .venv/bin/python examples/monitor_recording.py [RECORDING.sigmf-meta] [--model NAME] [--pfa RATE]

For more (folders, raw IQ, pictures, annotations) there is `spectrumencoder run`.
"""

import argparse
import sys
from pathlib import Path

from gnuradio import gr, spectrumencoder
from gnuradio.spectrumencoder import SafeBlock, handler, keys, metadata, run_flowgraph

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
                  f"samples {start} to {stop}: {event[keys.ANALYSIS_TYPE]}")


class monitor_recording(gr.top_block):
    """sigmf_source -> spectrum_monitor -> event_printer. All blocks are attributes: GNU Radio keeps no Python block alive."""

    def __init__(self, recording, model="base", false_alarm_rate=0.01):
        gr.top_block.__init__(self, "monitor_recording")
        self.source = spectrumencoder.sigmf_source(recording)
        self.monitor = spectrumencoder.spectrum_monitor(
            model, samp_rate=self.source.samp_rate, false_alarm_rate=false_alarm_rate)
        self.printer = event_printer()
        self.connect(self.source, self.monitor)
        self.msg_connect(self.monitor, keys.ANOMALIES, self.printer, keys.EVENTS)
        self.blocks = [self.source, *self.monitor.blocks, self.printer]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording", nargs="?", default=SCENE, help="a .sigmf-meta file (default: the bundled scene)")
    parser.add_argument("--model", default="base", help="name of a model or path of a .safetensors file")
    parser.add_argument("--pfa", type=float, default=0.01, help="share of normal frames that may be flagged")
    arguments = parser.parse_args()
    flowgraph = monitor_recording(arguments.recording, arguments.model, arguments.pfa)
    failure = run_flowgraph(flowgraph, flowgraph.blocks)
    if failure is not None:
        sys.exit(f"error: {failure}")
    counters = flowgraph.monitor.detector.counters()
    frames, uncalibrated = counters[keys.FRAMES], counters[keys.UNCALIBRATED_FRAMES]
    print(f"{frames} frames, {flowgraph.printer.n_events} events")
    if uncalibrated:
        print(f"{uncalibrated} frames could not be judged: run `spectrumencoder calibrate` on this band")


if __name__ == "__main__":
    main()
