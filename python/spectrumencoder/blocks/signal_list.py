# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: frames of tokens, and what the model says of each token, in; a message for each burst of each signal out."""

from __future__ import annotations

import threading
import time

import numpy as np
import pmt
from gnuradio import gr
from gnuradio.gr.gateway import py_io_signature

from .. import keys
from ..detector.events import Segment
from ..encoder.ensemble import load_models
from ..encoder.token_classes import item_size
from ..settings import DEFAULT_RATE, DEFAULTS, SETTINGS
from ..signals.watch import SignalWatch
from ..tokens import layout
from ..tokens.band_plan import UNKNOWN, band_of
from .messages import to_pmt
from .safe_block import SafeBlock, setter
from .tags import frame_tags, known_freq

_SIGNALS = pmt.intern(keys.SIGNALS)


class signal_list(SafeBlock, gr.sync_block):
    """Lists the signals of a band: a box in frequency and time for each burst, its class, and the signal that it is a burst of.

    Nothing is learned before: a signal that is always there is listed, too. It says what is on the air; ``anomaly_detector`` says
    what does not belong.

    Inputs, aligned: 0 tokens (item_size floats, of ``fft_tokenizer``); 1 token_classes of ``spectrum_encoder``, which may stay
    unconnected: signals then have the class "unknown signal". Tags come from input 0.
    Message outputs: `signals`, a dict for each message (docs/contracts.md, "Signals"); `status`.

    Args:
        model: the model that the encoder runs, named in the same way: its labels are the classes.
        fft_size, stride, window: settings of the frames.
        samp_rate, center_freq: Hz, if the frames carry no tags; 0: not stated. Without a centre frequency, signals have
            ``freq_relative``.
        usable: share of the band's width, around its middle, in which signals are listed.
        time_source: kind of rx_time tags: "tag" (of a recording), "hardware" (of a radio with a clock), "host" (of this
            computer's clock).

    Raises:
        ModelError: the model file is missing or invalid.
        ValueError: an argument is out of range, or does not fit the model.
    """

    def __init__(self, model: str | list = DEFAULTS.model, fft_size: int = DEFAULTS.fft_size, stride: int = DEFAULTS.stride,
                 window: str = DEFAULTS.window, samp_rate: float = DEFAULTS.samp_rate, center_freq: float = DEFAULTS.center_freq,
                 usable: float = DEFAULTS.usable, time_source: str = DEFAULTS.time_source) -> None:
        file = load_models(model)[0]
        frame = layout.FrameLayout(int(SETTINGS["fft_size"].check(fft_size)), int(SETTINGS["stride"].check(stride)))
        encoder = file.contract["encoder"]
        if (frame.fft_size, frame.stride) != (encoder["fft_size"], encoder["stride"]):
            raise ValueError(f"fft_size is {fft_size} and stride {stride}, the model {file.name} was trained with "
                             f"{encoder['fft_size']} and {encoder['stride']}; set these in every stage, or choose another model")
        gr.sync_block.__init__(self, "signal_list", py_io_signature(1, 2, [
            (np.float32, frame.item_size), (np.float32, item_size(file.contract))]), None)
        self.init_safe_block()
        self.set_tag_propagation_policy(gr.TPP_DONT)
        self.message_port_register_out(_SIGNALS)
        self._layout, self._model = frame, file.contract["name"]
        self._watch = SignalWatch(file.contract["labels"], n_bins=frame.fft_size, stride=frame.stride,
                                  window=SETTINGS["window"].check(window), usable=SETTINGS["usable"].check(usable))
        self._samp_rate, self._center_freq = SETTINGS["samp_rate"].check(samp_rate), SETTINGS["center_freq"].check(center_freq)
        self._time_source = SETTINGS["time_source"].check(time_source)
        self._lock = threading.Lock()
        self._clear()

    def counters(self):
        return {keys.FRAMES: self._n_frames, keys.SIGNALS: self._watch.n_signals}

    def table(self) -> list[dict]:
        """A row for each signal so far, by frequency, with the keys of ``keys.SIGNAL_FIELDS``. From any thread."""
        with self._lock:
            return self._watch.table()

    # Live changes, from any thread

    @setter
    def set_samp_rate(self, samp_rate):
        """The rate of the next frames, if no rx_rate tag has come."""
        with self._lock:
            self._samp_rate, self._segment = SETTINGS["samp_rate"].check(samp_rate), None

    @setter
    def set_center_freq(self, center_freq):
        """The centre of the next frames, if no rx_freq tag has come."""
        with self._lock:
            self._center_freq, self._segment = SETTINGS["center_freq"].check(center_freq), None

    # Frames

    def _clear(self):
        """Resets at a new start of the flowgraph, which counts its samples from 0."""
        self._n_frames = 0
        self._watch.restart()
        self._tags: dict[str, float] = {}  # the latest of each
        self._segment: Segment | None = None  # None: tags or settings have changed
        self._anchor: tuple[tuple[float, int], str] | None = None  # of the time, and its source
        self._rate = 0.0  # that the anchor goes on with
        self._next_sample = 0

    def _start(self):
        with self._lock:
            self._clear()
        self.publish_status("running")

    def _stop(self):
        with self._lock:
            messages = self._watch.leave()
        self._publish(messages)
        self.publish_status("stopped")

    def _work(self, input_items, output_items):
        count = min(map(len, input_items))
        items, *more = input_items
        tags = frame_tags(self, count)
        starts = sorted({0, *tags})
        for first, stop in zip(starts, [*starts[1:], count], strict=True):
            if first < stop:
                with self._lock:
                    messages = self._take(items[first:stop], more[0][first:stop] if more else None, tags.get(first))
                self._publish(messages)
        return count

    def _take(self, items, token_classes, tags: dict | None) -> list[dict]:
        """The messages of frames of one segment, whose first one carries these tags."""
        if tags:
            self._next_sample = tags.get(keys.FRAME_START, self._next_sample)
            if keys.RX_TIME in tags:
                self._anchor = (tags[keys.RX_TIME], self._next_sample), self._time_source
            self._tags |= {key: value for key, value in tags.items() if key not in (keys.FRAME_START, keys.RX_TIME)}
            self._segment = None
        segment = self._segment = self._segment or self._segment_of(items[0])
        first = self._next_sample
        self._next_sample += segment.frame_hop * len(items)
        self._n_frames += len(items)
        return self._watch.update(items, token_classes, first, segment)

    def _segment_of(self, item) -> Segment:
        """Tuning, rate and time from here on. Without tags of the tokenizer a frame's own K_eff gives its length."""
        freq = known_freq(self._tags.get(keys.RX_FREQ), self._center_freq)
        rate = self._tags.get(keys.RX_RATE, self._samp_rate or DEFAULT_RATE)
        k_eff = max(1, int(self._layout.split(item[None])[1][0, layout.K_EFF]))
        if self._anchor is None:
            self._anchor = (time.time(), self._next_sample), "host"
        elif self._rate and rate != self._rate and self._anchor[0][1] != self._next_sample:  # time goes on at the change of rate
            (moment, sample), source = self._anchor
            self._anchor = (moment + (self._next_sample - sample) / self._rate, self._next_sample), source
        self._rate = rate
        return Segment(freq or 0.0, rate, UNKNOWN if freq is None else band_of(freq),
                       int(self._tags.get(keys.FRAME_HOP, k_eff * self._layout.fft_size)),
                       int(self._tags.get(keys.FRAME_AVERAGE, k_eff)), *self._anchor, freq is None)

    def _publish(self, messages: list[dict]):
        for message in messages:
            self.message_port_pub(_SIGNALS, to_pmt(message | {keys.MODEL: self._model}))
