# SPDX-License-Identifier: GPL-3.0-or-later
"""live_feed: hands the spectra and messages of a run to its listeners."""

from __future__ import annotations

import threading

import numpy as np
import pmt
from gnuradio import gr

from .. import keys
from ..blocks.messages import metadata, to_pmt
from ..blocks.safe_block import SafeBlock, handler
from ..blocks.tags import frame_tags
from ..display.feed import MAX_MESSAGES, Feed
from ..display.history import MAX_ROWS, Tuning
from .listening import Clock, Listener, News, SpectrumRow


class live_feed(SafeBlock, gr.sync_block):
    """Sink of psd (fft_size floats, dBFS) and of the messages `events`, `signals`, `tracks`, `status`.

    Message outputs: `control`, `cmd`: what listeners send.

    Args:
        fft_size: bins of a spectrum.
        samp_rate, center_freq: Hz, until tags say otherwise.
        row_s: seconds of a row.
        listeners: see ``listening``.
        hurried: the source may be faster than real time: news are also given on the scheduler's thread, so that none is lost.

    Attributes: lost_rows, lost_messages: dropped since nobody took them in time.
    """

    def __init__(self, fft_size: int, samp_rate: float, center_freq: float, row_s: float, listeners: list[Listener],
                 hurried: bool = False):
        gr.sync_block.__init__(self, "live_feed", [(np.float32, fft_size)], None)
        self.init_safe_block()
        self.set_tag_propagation_policy(gr.TPP_DONT)
        self._listeners, self._hurried, self._delivering = listeners, hurried, threading.Lock()
        self._of_frames = [one for one in listeners if type(one).frames is not Listener.frames]
        self._feed = Feed(fft_size, float(center_freq), float(samp_rate), MAX_ROWS * row_s)
        self._clock = Clock()
        self._tuning, self._hop, self._next_sample, self._n_waiting = None, fft_size, 0, 0
        self._stated = {keys.RX_FREQ: float(center_freq), keys.RX_RATE: float(samp_rate)}
        for port in (keys.CONTROL, keys.CMD):
            self.message_port_register_out(pmt.intern(port))
        for port, handle in ((keys.EVENTS, self.handle_events), (keys.SIGNALS, self.handle_signals),
                             (keys.TRACKS, self.handle_tracks), (keys.STATUS, self.handle_status)):
            self.add_input_port(port, handle)

    @property
    def lost_rows(self) -> int:
        return self._feed.lost_rows

    @property
    def lost_messages(self) -> int:
        return self._feed.lost_messages

    def send(self, port: str, message: dict):
        """Publishes a message on `control` or `cmd`; from any thread."""
        self.message_port_pub(pmt.intern(port), to_pmt(message))

    def deliver(self):
        """Gives the listeners what came since the last call; from any thread."""
        with self._delivering:
            update = self._feed.take()
            if not update.rows and not update.messages:
                return
            rows = [SpectrumRow(self._clock.posix_s(row.slot * row.scale.row_s), row.scale.row_s, row.tuning, row.psd)
                    for row in update.rows]
            news = News(rows, update.messages)
            for listener in self._listeners:
                listener.take(news)

    def _work(self, input_items, output_items) -> int:
        psd, = input_items
        tags = frame_tags(self, len(psd))
        cuts = sorted({0, len(psd), *tags})
        for first, stop in zip(cuts, cuts[1:], strict=False):
            if first in tags:
                self._retag(tags[first])
            if self._tuning is None:
                self._tuning = self._tuned()
                self._clock.set(0.0)
            self._add(psd[first:stop])
        if 0 in tags and len(cuts) == 1:
            self._retag(tags[0])
        self._n_waiting += len(psd)
        if self._hurried and self._n_waiting > MAX_ROWS // 2:
            self._n_waiting = 0
            self.deliver()
        return len(psd)

    def _add(self, frames: np.ndarray):
        frame_s = self._hop / self._stated[keys.RX_RATE]
        if self._of_frames:
            posix_s = self._clock.posix_s(float(self._feed.time_of(self._next_sample)))
            for listener in self._of_frames:
                listener.frames(frames, self._tuning, posix_s, frame_s)
        self._feed.add_frames(frames)
        self._next_sample += self._hop * len(frames)

    def _retag(self, tags: dict):
        self._feed.add_tags(tags)
        self._next_sample = tags.get(keys.FRAME_START, self._next_sample)
        self._hop = tags.get(keys.FRAME_HOP, self._hop)
        self._stated |= {key: tags[key] for key in self._stated if key in tags}
        self._tuning = self._tuned()
        self._clock.set(float(self._feed.time_of(self._next_sample)), tags.get(keys.RX_TIME))

    def _tuned(self) -> Tuning:
        freq = self._stated[keys.RX_FREQ]
        return Tuning(0.0 if np.isnan(freq) else freq, self._stated[keys.RX_RATE], self._feed.n_bins)

    def _stop(self):
        self._feed.flush()

    @handler
    def handle_events(self, message):
        self._take(keys.EVENTS, message)

    @handler
    def handle_signals(self, message):
        self._take(keys.SIGNALS, message)

    @handler
    def handle_tracks(self, message):
        self._take(keys.TRACKS, message)

    @handler
    def handle_status(self, message):
        self._take(keys.STATUS, message)

    def _take(self, port: str, message):
        fields = metadata(message)
        # Each block begins its clock with its own first frame: rows shall agree with events
        if fields.get(keys.TIME_SOURCE) == "host" and {keys.SAMPLE_START, keys.TIMESTAMP} <= fields.keys():
            self._clock.agree(float(self._feed.time_of(fields[keys.SAMPLE_START])), fields[keys.TIMESTAMP])
        self._feed.add_message(port, fields)
        self._n_waiting += MAX_ROWS / MAX_MESSAGES
