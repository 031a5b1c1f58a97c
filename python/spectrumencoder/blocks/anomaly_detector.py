# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: psd, residual and features in; scores and events out, by ``detector.detector``."""

from __future__ import annotations

import threading
import time

import numpy as np
import pmt
from gnuradio import gr
from gnuradio.gr.gateway import py_io_signature

from .. import keys
from ..detector.detector import Detector
from ..detector.events import Emitted, Segment
from ..encoder import features
from ..encoder.ensemble import load_models
from ..settings import DEFAULTS, DETECTOR
from ..tokens.band_plan import UNKNOWN, band_of
from . import control
from .messages import pdu
from .safe_block import SafeBlock, handler, setter
from .tags import frame_tags, positive

_ANOMALIES = pmt.intern(keys.ANOMALIES)


@control.obeys(DETECTOR)
class anomaly_detector(SafeBlock, gr.sync_block):
    """Judges each frame, and reports anomalies as events that open, update and close.

    Inputs, aligned: 0 psd (fft_size floats, dBFS, of ``fft_tokenizer``); 1 residual (fft_size floats) and 2 features
    (256 floats) of ``spectrum_encoder``. Output 0, which may stay unconnected: the anomaly score of each frame (NaN where a
    frame was not judged: skipped, or no conformal table). Tags come from input 0.
    Message input `control`: a dict of live settings; those of other stages are ignored. A live change takes effect with the next
    batch.
    Message outputs: `anomalies`, PDUs of an event's dict and the residual of its strongest frame; `status`.

    Args:
        model: the model that the encoder runs, named in the same way.
        fft_size: must be the model's.
        samp_rate, center_freq: Hz, if the stream carries no tags.
        band: "auto" takes it from the centre frequency through the band plan; else one of the model's bands.
        time_source: kind of rx_time tags: "tag" (of a recording) or "hardware" (of a radio with a clock).
        detector: the other settings of the detector, see ``detector.Detector``: false_alarm_rate, false_events_per_hour,
            threshold_mode, threshold, hold, usable.

    Attributes:
        on_judged: None; a function set here is called after frames are judged. Its arguments: number of frames, first sample of
            the first one, samples from frame to frame, samples/s.

    Raises:
        ModelError: the model file is missing or invalid.
        ValueError: an argument is out of range, or does not fit the model.
    """

    def __init__(self, model=DEFAULTS.model, fft_size=DEFAULTS.fft_size, samp_rate=DEFAULTS.samp_rate,
                 center_freq=DEFAULTS.center_freq, *, band=DEFAULTS.band, time_source=DEFAULTS.time_source, **detector):
        spectrum = (np.float32, fft_size)
        gr.sync_block.__init__(self, "anomaly_detector", [spectrum, spectrum, (np.float32, features.N_FEATURES)],
                               py_io_signature(0, 1, [np.float32]))
        self.init_safe_block()
        self.set_tag_propagation_policy(gr.TPP_DONT)  # each input would bring its own copy
        self.message_port_register_out(_ANOMALIES)
        files = load_models(model)
        self.detector = Detector.from_model(files[0], models=[file.name for file in files], **detector)
        if fft_size != self.detector.n_bins:
            raise ValueError(f"fft_size is {fft_size}, the model {files[0].name} was trained with {self.detector.n_bins}; set "
                             f"fft_size={self.detector.n_bins} in every stage, or choose another model")
        bands = self.detector.contract["bands"]
        if band != "auto" and band not in bands:
            raise ValueError(f"band {band!r} is none of the model's; use auto, {', '.join(bands)}")
        self._bands, self._fixed_band, self._time_source = bands, None if band == "auto" else band, time_source
        self._lock = threading.Lock()
        self.on_judged = None
        self._samp_rate, self._center_freq = samp_rate, center_freq
        self._clear()
        self.add_input_port(keys.CONTROL, self.handle_control)

    def counters(self):
        detector = self.detector
        return {keys.FRAMES: detector.n_frames, keys.SKIPPED_FRAMES: detector.n_skipped, keys.FLAGGED_FRAMES: detector.n_flagged,
                keys.UNCALIBRATED_FRAMES: detector.n_uncalibrated, keys.EVENTS: self._n_events,
                keys.SUPPRESSED_EVENTS: detector.tracker.n_suppressed, keys.FALSE_ALARM_RATE: detector.false_alarm_rate}

    # Live changes, from any thread; the setters of the detector's settings are made from the rows, see ``control``

    @setter
    def set_samp_rate(self, samp_rate):
        """The rate of the next frames, if no rx_rate tag has come."""
        with self._lock:
            self._samp_rate, self._settled = positive(samp_rate), False

    @setter
    def set_center_freq(self, center_freq):
        """The centre of the next frames, if no rx_freq tag has come."""
        with self._lock:
            self._center_freq, self._settled = float(center_freq), False

    @handler
    def handle_control(self, message):
        for key, value in control.changes(message, DETECTOR).items():
            getattr(self, f"set_{key}")(value)

    def _change(self, key: str, value):
        with self._lock:  # between batches, never inside one
            getattr(self.detector, f"set_{key}")(value)
        self.publish_status("running", f"{key} is {value}")

    # Frames

    def _clear(self):
        """Resets tags and detector at a new start of the flowgraph, which counts its samples from 0."""
        self._n_events = 0
        self.detector.reset()
        self._tags: dict[str, float] = {}  # the latest rx_freq, rx_rate, frame_hop, frame_average
        self._segment: Segment | None = None
        self._settled = False  # whether the segment holds until the next tag or setting
        self._next_sample = 0  # first sample of the next frame
        self._anchor: tuple[float, int] | None = None  # from a tag since the last segment

    def _start(self):
        with self._lock:
            self._clear()
        detector = self.detector
        self.publish_status("running", f"model {detector.contract['name']}, {len(detector.tables)} conformal tables")

    def _stop(self):
        with self._lock:
            emitted = self.detector.flush()
        self._publish(emitted)
        self.publish_status("stopped")

    def _work(self, input_items, output_items):
        psd, residual, rows = input_items
        count = min(map(len, input_items))
        with self._lock:
            changes = self._read_tags(count, output_items)
            starts = sorted({0, *changes}) if changes else [0]
            for first, stop in zip(starts, [*starts[1:], count], strict=True):
                if first < count:
                    scores = self._judge(psd[first:stop], residual[first:stop], rows[first:stop], changes.get(first))
                    if output_items:
                        output_items[0][first:stop] = scores
        return count

    def _read_tags(self, count: int, output_items) -> dict[int, dict]:
        """The tags on input 0 that concern the detector, by frame of this batch; passes all tags on."""
        if not self._tagged:
            return {}
        if output_items:
            for tag in self.get_tags_in_window(0, 0, count):
                self.add_item_tag(0, tag.offset, tag.key, tag.value, tag.srcid)
        return frame_tags(self, count)

    def _judge(self, psd, residual, rows, tags: dict | None) -> np.ndarray:
        """The scores of the frames of one segment, whose first frame carries these tags."""
        if tags:
            self._take(tags)
        segment = self._update_segment(rows)
        first = self._next_sample
        sample_start = first + segment.frame_hop * np.arange(len(psd))
        self._next_sample += segment.frame_hop * len(psd)
        result = self.detector.process(psd, residual, rows, sample_start, segment)
        self._publish(result.emitted)
        for notice in result.notices:
            self.logger.warn(notice.text)
            self.publish_status(notice.state, notice.text)
        if self.on_judged is not None:
            self.on_judged(len(psd), first, segment.frame_hop, segment.rx_rate)
        return result.scores

    def _take(self, tags: dict):
        """The new tags hold from here on; a jump in time closes the open events."""
        self._settled = False
        start = tags.get(keys.FRAME_START, self._next_sample)
        if self._segment is not None and start != self._next_sample:
            self._publish(self.detector.discontinuity())
        self._next_sample = start
        if keys.RX_TIME in tags:
            self._anchor = (tags[keys.RX_TIME], start)
        self._tags |= {key: value for key, value in tags.items() if key not in (keys.FRAME_START, keys.RX_TIME)}

    def _update_segment(self, rows) -> Segment:
        """The segment of these frames. Without tags of the tokenizer the frame's own K_eff gives its length.

        Another tuning closes the open events. Time continues from its value at the change of rate.
        """
        tagged, start, old = self._tags, self._next_sample, self._segment
        if self._settled and keys.FRAME_HOP in tagged and keys.FRAME_AVERAGE in tagged:
            return old
        rx_freq = tagged.get(keys.RX_FREQ, self._center_freq)
        rate = tagged.get(keys.RX_RATE, self._samp_rate)
        if old is None:
            anchor, source = (time.time(), start), "host"
        else:
            anchor, source = old.time_anchor if rate == old.rx_rate else (old.time_of(start), start), old.time_source
            if (rx_freq, rate) != (old.rx_freq, old.rx_rate):
                self._publish(self.detector.discontinuity())
        if self._anchor is not None:
            anchor, source, self._anchor = self._anchor, self._time_source, None
        band = self._fixed_band or band_of(rx_freq)
        k_eff = max(1, int(rows[0, features.K_EFF]))
        self._segment = Segment(rx_freq, rate, band if band in self._bands else UNKNOWN,
                                tagged.get(keys.FRAME_HOP, k_eff * self.detector.n_bins),
                                tagged.get(keys.FRAME_AVERAGE, k_eff), anchor, source)
        self._settled = True
        return self._segment

    def _publish(self, emitted: list[Emitted]):
        for event in emitted:
            self._n_events += event.fields[keys.STATE] == "open"
            self.message_port_pub(_ANOMALIES, pdu(event.fields, event.residual))
