# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that GRC generates is stopped in a handler of SIGINT, in the drawing thread, at any line of a draw: it must end."""

import signal
import sys
import threading
import time

import numpy as np
import pmt
import pytest
from flowgraphs import frame_source
from gnuradio import gr
from gnuradio.spectrumencoder import anomaly_display, keys
from gnuradio.spectrumencoder.blocks.messages import to_pmt
from gnuradio.spectrumencoder.display import feed
from PyQt5 import QtWidgets

N, RATE, CENTER = 128, 1e6, 433.92e6
TAGS = {keys.RX_FREQ: CENTER, keys.RX_RATE: RATE, keys.FRAME_START: 0, keys.FRAME_HOP: 16 * N}
EVENT = {keys.EVENT_ID: "a", keys.FREQ_CENTER_HZ: CENTER, keys.SAMPLE_START: 0, keys.SAMPLE_COUNT: 1 << 40}
WAIT_S = 5.0


@pytest.fixture(scope="module")
def top():
    top = gr.top_block()
    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
    psd = np.random.default_rng(5).normal(-90, 1, (64, N)).astype(np.float32)
    top.source, top.display = frame_source(psd, tags={0: TAGS}, repeat=True), anomaly_display(N, model="")
    top.connect(top.source, top.display)
    top.display.widget.show()
    application.processEvents()
    return top


class Stopped:
    """Sends SIGINT at the n-th line of ``feed`` in what runs within it; the handler stops the flowgraph as GRC's programs do."""

    def __init__(self, top, line: int):
        self._top, self._left = top, line
        self.ended = None  # whether the flowgraph ended; None: no signal was sent

    def __enter__(self):
        self._handler = signal.signal(signal.SIGINT, self._stop)
        sys.settrace(self._trace)
        return self

    def __exit__(self, *error):
        sys.settrace(None)
        signal.signal(signal.SIGINT, self._handler)

    def _trace(self, frame, event, argument):
        if frame.f_code.co_filename != feed.__file__:
            return None
        if event == "line":
            self._left -= 1
            if self._left == 0:
                signal.raise_signal(signal.SIGINT)
        return self._trace

    def _stop(self, number, frame):
        self._top.stop()
        waiting = threading.Thread(target=self._top.wait, daemon=True)
        waiting.start()
        waiting.join(WAIT_S)
        self.ended = not waiting.is_alive()


def test_a_signal_at_any_line_of_a_draw_ends_the_flowgraph(top):
    ended, line = [], 0
    while not ended or ended[-1] is not None:
        line += 1
        generation = top.display.feed.generation
        top.start()
        top.display.to_basic_block()._post(pmt.intern(keys.EVENTS), to_pmt(EVENT))
        while top.display.feed.generation == generation or top.display.feed.n_frames < 64:
            time.sleep(0.001)
        with Stopped(top, line) as stopped:
            top.display.widget.draw()
        ended.append(stopped.ended)
        assert stopped.ended is not False, f"line {line} of the display's handover: the flowgraph did not end"
        if stopped.ended is None:
            top.stop()
            top.wait()
    assert len(ended) > 10
    assert top.display.failure is None
