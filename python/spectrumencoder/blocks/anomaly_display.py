# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: spectra, events, signals, tracks and statuses on the screen, by ``display``."""

from __future__ import annotations

import numpy as np
import pmt
from gnuradio import gr
from gnuradio.gr.gateway import py_io_signature

from .. import keys
from ..display.appearance import number
from ..display.choices import choices_of
from ..display.feed import Feed
from .messages import MalformedMessage, metadata, to_pmt
from .radio_commands import FREQ, RADIOS, retune
from .safe_block import SafeBlock, handler, setter
from .tags import frame_tags, positive

try:
    from PyQt5 import QtCore, QtWidgets

    from ..display.widget import DisplayWidget
except ImportError as error:
    raise ImportError(f"the block 'anomaly_display' needs PyQt5 and pyqtgraph ({error}); run `apt install python3-pyqt5 "
                      "python3-pyqtgraph`, or use the chain without it") from error

_CONTROL, _CMD = pmt.intern(keys.CONTROL), pmt.intern(keys.CMD)
MAX_DRAW_RATE, MAX_OFFSET_HZ = 60.0, 1e12


class anomaly_display(SafeBlock, gr.sync_block):
    """Sink with a Qt widget: waterfall over absolute frequency with events and tracks, spectrum, residual, scores, controls.

    Inputs, aligned: 0 psd (fft_size floats, dBFS); optional, in this order: 1 residual, 2 reconstruction (fft_size floats each),
    3 score (one float). Tags come from input 0.
    Message inputs: `events` (of ``anomaly_detector``), `signals` (of ``signal_list``), `tracks` (dicts with a track_id and, to be
    drawn, freq_center_hz), `status` (of any block). Message outputs: `control`, a dict for each control that the user moves;
    `cmd`, a command for each control of the radio, to the port `cmd` of a gr-soapy source or `command` of a gr-uhd source;
    `status`.

    The scheduler's thread only merges frames to rows. A timer of Qt's thread draws, at most `draw_rate` times a second and in at
    most half of that thread's time. Skipped draws, and rows lost because of them, are counted.

    Args:
        fft_size: bins of a spectrum.
        samp_rate, center_freq: Hz, if the stream carries no tags.
        history_s: seconds that the waterfall shows.
        draw_rate: draws per second, (0, 60].
        level_min, level_max: dBFS of the darkest and the brightest colour; if they are equal, chosen from the data.
        model: the model that the chain runs, named in the same way. The controls offer what its file holds; "" shows no controls
            of settings.
        radio: "soapy" or "uhd" shows controls of frequency and gain, and is the format of their commands; "" shows none.
        freq_offset: Hz that the spectra's centre has more than the radio's: of a converter.

    Attributes: widget (a QWidget, to be put into a window).

    Raises:
        ValueError: an argument is out of range.
        ModelError: the model file is missing or invalid.
        RuntimeError: there is no QApplication yet, or this is not its thread.
    """

    def __init__(self, fft_size: int = 1024, samp_rate: float = 1e6, center_freq: float = 0.0, history_s: float = 10.0,
                 draw_rate: float = 20.0, level_min: float = 0.0, level_max: float = 0.0, model: str = "base",
                 radio: str = "", freq_offset: float = 0.0) -> None:
        spectrum = (np.float32, fft_size)
        gr.sync_block.__init__(self, "anomaly_display", py_io_signature(1, 4, [spectrum, spectrum, spectrum, np.float32]), None)
        self.init_safe_block()
        self.set_tag_propagation_policy(gr.TPP_DONT)
        _check_qt()
        if not 0 < draw_rate <= MAX_DRAW_RATE:
            raise ValueError(f"draw_rate {draw_rate} is outside 0..{MAX_DRAW_RATE:g} draws per second")
        if level_max < level_min:
            raise ValueError(f"level_max {level_max} dBFS is below level_min {level_min} dBFS")
        if radio not in ("", *RADIOS):
            raise ValueError(f"radio {radio!r} is not one of {', '.join(RADIOS)}, and not empty")
        if not abs(freq_offset) <= MAX_OFFSET_HZ:
            raise ValueError(f"freq_offset {freq_offset} is outside {-MAX_OFFSET_HZ:g}..{MAX_OFFSET_HZ:g} Hz")
        self._radio, self._freq_offset = radio, float(freq_offset)
        self.feed = Feed(fft_size, float(center_freq), positive(samp_rate), positive(history_s))
        self.widget = DisplayWidget(self.feed, float(draw_rate), (float(level_min), float(level_max)),
                                    choices_of(model) if model else None, bool(radio), self._send, self._command,
                                    self._draw_failed)
        self.message_port_register_out(_CONTROL)
        self.message_port_register_out(_CMD)
        self.add_input_port(keys.EVENTS, self.handle_events)
        self.add_input_port(keys.SIGNALS, self.handle_signals)
        self.add_input_port(keys.TRACKS, self.handle_tracks)
        self.add_input_port(keys.STATUS, self.handle_status)

    def counters(self):
        pace = self.widget.pace
        return {keys.FRAMES: self.feed.n_frames, keys.DRAWS: pace.draws, keys.SKIPPED_DRAWS: pace.skipped,
                keys.LOST_ROWS: self.feed.lost_rows, keys.LOST_MESSAGES: self.feed.lost_messages}

    # Live changes, from any thread

    @setter
    def set_samp_rate(self, samp_rate):
        """The rate of the next frames, if no rx_rate tag has been seen."""
        self.feed.set_untagged(keys.RX_RATE, positive(samp_rate))

    @setter
    def set_center_freq(self, center_freq):
        """The centre of the next frames, if no rx_freq tag has been seen."""
        self.feed.set_untagged(keys.RX_FREQ, float(center_freq))

    @setter
    def set_history_s(self, history_s):
        self.feed.set_history_s(positive(history_s))

    # Scheduler's thread

    def _start(self):
        self.feed.restart()
        self.publish_status("running")

    def _stop(self):
        self.feed.flush()
        self.publish_status("stopped")

    def _work(self, input_items, output_items):
        count = min(map(len, input_items))
        tags = frame_tags(self, count)
        starts = sorted({0, *tags})
        for first, stop in zip(starts, [*starts[1:], count], strict=True):
            if first in tags:
                self.feed.add_tags(tags[first])
            if first < stop:
                self.feed.add_frames(*(items[first:stop] for items in input_items))
        return count

    @handler
    def handle_events(self, message):
        self._take(keys.EVENTS, message, keys.EVENT_ID)

    @handler
    def handle_signals(self, message):
        self._take(keys.SIGNALS, message, keys.SIGNAL_ID)

    @handler
    def handle_tracks(self, message):
        self._take(keys.TRACKS, message, keys.TRACK_ID)

    @handler
    def handle_status(self, message):
        self._take(keys.STATUS, message, keys.STATUS_STATE)

    def _take(self, port: str, message, needed: str):
        fields = metadata(message)
        if needed not in fields:
            raise MalformedMessage(f"wants a dict with {needed}, got the keys {', '.join(fields)[:80]}")
        if number(fields.get(keys.FREQ_CENTER_HZ, 0)) is None:
            raise MalformedMessage(f"{keys.FREQ_CENTER_HZ} is {fields[keys.FREQ_CENTER_HZ]!r}, which is no number")
        self.feed.add_message(port, fields)

    # Qt's thread

    def _send(self, change: dict):
        self.message_port_pub(_CONTROL, to_pmt(change))

    def _command(self, change: dict):
        if FREQ in change:
            self.message_port_pub(_CMD, retune(change[FREQ] - self._freq_offset, self.feed.rate_hz, self._radio))
        else:
            self.message_port_pub(_CMD, to_pmt(change))

    def _draw_failed(self, error: Exception):
        self.fail("draw", error)


def _check_qt():
    """A widget made without an application, or in another thread than its own, would abort the process."""
    application = QtWidgets.QApplication.instance()
    if application is None:
        raise RuntimeError("anomaly_display needs a Qt application: make QApplication([]) first, or set the flowgraph's Generate "
                           "Options to QT GUI")
    if application.thread() is not QtCore.QThread.currentThread():
        raise RuntimeError("anomaly_display must be made in the thread of the Qt application")
