# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: psd, residual and features in; scores and events out, by ``emitters.watcher`` or ``detector.detector``."""

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
from ..emitters.alerts import BURST
from ..emitters.background import Expected
from ..emitters.listing import count
from ..emitters.watcher import EmitterDetector
from ..encoder import features
from ..encoder.ensemble import load_models
from ..encoder.model_file import ModelFile
from ..encoder.token_classes import item_size
from ..settings import BOXES, DEFAULT_RATE, DEFAULTS, DETECTOR, SETTINGS, of_other_detector, refusal
from ..tokens.band_plan import UNKNOWN, band_of
from . import control
from .band_part import BandPart
from .messages import MalformedMessage, pdu
from .safe_block import SafeBlock, handler, setter
from .tags import frame_tags, known_freq

_ANOMALIES = pmt.intern(keys.ANOMALIES)


@control.obeys(DETECTOR)
class anomaly_detector(SafeBlock, gr.sync_block):
    """Learns the emitters of a band, and reports those that do not belong: alerts that open, update and close.

    Inputs, aligned: 0 psd (fft_size floats, dBFS, of ``fft_tokenizer``); 1 residual (fft_size floats), 2 features (256 floats)
    and 3 token_classes of ``spectrum_encoder``, which may stay unconnected, and is for "emitters" alone: with it an alert has the
    class of its own box, without it that of its whole frames. Output 0, which may stay unconnected: the anomaly score of each
    frame, 1 at the limit (NaN for a frame that was not judged; of "boxes": see ``detector.Detector``). Tags come from input 0.
    Message input `control`: a dict of live settings and commands; settings of other stages are ignored. A live change takes
    effect with the next batch. Commands, for the detector "emitters": `accept` (number of an emitter), `ignore` (number, or
    [low, high] in Hz), `unignore` ([low, high]), `name` ([number, text]), `list` (True: a status `emitters` with all of them).
    Message outputs: `anomalies`, PDUs of an event's dict and the residual of its strongest frame; `status`.

    Args:
        model: the model that the encoder runs, named in the same way.
        fft_size: must be the model's.
        samp_rate, center_freq: Hz, if the frames carry no tags; 0: not stated. The tokenizer's tags hold: it has decided already
            between what was stated and the tags of the samples. Without a centre frequency, events have ``freq_relative``.
        band: "auto" takes it from the centre frequency through the band plan; else one of the model's bands.
        time_source: kind of rx_time tags: "tag" (of a recording), "hardware" (of a radio with a clock), "host" (of this
            computer's clock).
        detector: "emitters", see ``emitters.watcher.EmitterDetector``; or "boxes", see ``detector.Detector``.
        band_file: of "emitters": what is known of the band. It is read at each start if it is there, and saved every 30 s, within
            two seconds of an alert, after each command, and at the end. Decisions that another program writes into it (``band
            accept``) are taken over.
        settings: of "emitters": learn_s, belongs_after, bursts, false_events_per_hour, hold, usable. Of "boxes":
            false_alarm_rate, threshold_mode, threshold, false_events_per_hour, hold, usable.

    Attributes:
        on_judged: None; a function set here is called after frames are judged. Its arguments: number of frames, first sample of
            the first one, samples from frame to frame, samples/s.
        on_segment: None; a function set here is called when another tuning or time begins. Its arguments: first sample, centre
            (Hz; None: not known), POSIX seconds of that sample.

    Raises:
        ModelError: the model file is missing or invalid. BandFileError: the band file is damaged, or of other frames.
        ValueError: an argument is out of range, does not fit the model, or is for the other detector; or "emitters" was given a
            calibrated model.
    """

    def __init__(self, model=DEFAULTS.model, fft_size=DEFAULTS.fft_size, samp_rate=DEFAULTS.samp_rate,
                 center_freq=DEFAULTS.center_freq, *, band=DEFAULTS.band, time_source=DEFAULTS.time_source,
                 detector=DEFAULTS.detector, band_file=DEFAULTS.band_file, **settings):
        files = load_models(model)
        n_inputs, spectrum = 3 if detector == BOXES else 4, (np.float32, fft_size)
        gr.sync_block.__init__(self, "anomaly_detector", py_io_signature(3, n_inputs, [
            spectrum, spectrum, (np.float32, features.N_FEATURES), (np.float32, item_size(files[0].contract))][:n_inputs]),
                               py_io_signature(0, 1, [np.float32]))
        self.init_safe_block()
        self.set_tag_propagation_policy(gr.TPP_DONT)  # each input would bring its own copy
        self.message_port_register_out(_ANOMALIES)
        self._lock = threading.Lock()
        self._file, self._models, self._kind = files[0], [file.name for file in files], detector
        if (row := of_other_detector(detector, settings | {"band_file": band_file})) is not None:
            raise ValueError(refusal(row, (settings | {"band_file": band_file})[row.key]))
        self._settings = {key: value for key, value in settings.items() if SETTINGS[key].only in ("", detector)}
        self._band_part = None if detector == BOXES else BandPart(self, self._lock, band_file)
        if self._band_part is not None:
            _refuse_calibrated(files[0])
        n_bins = int(files[0].contract["encoder"]["fft_size"])
        if fft_size != n_bins:
            raise ValueError(f"fft_size is {fft_size}, the model {files[0].name} was trained with {n_bins}; set "
                             f"fft_size={n_bins} in every stage, or choose another model")
        self._n_bins = n_bins
        self.detector = self._make_detector()
        bands = files[0].contract["bands"]
        if band != "auto" and band not in bands:
            raise ValueError(f"band {band!r} is none of the model's; use auto, {', '.join(bands)}")
        self._bands, self._fixed_band, self._time_source = bands, None if band == "auto" else band, time_source
        self.on_judged = self.on_segment = None
        self._samp_rate, self._center_freq = samp_rate, center_freq
        self._clear()
        self.add_input_port(keys.CONTROL, self.handle_control)

    def counters(self):
        judge = self.detector
        counts = {keys.FRAMES: judge.n_frames, keys.SKIPPED_FRAMES: judge.n_skipped, keys.FLAGGED_FRAMES: judge.n_flagged,
                  keys.UNCALIBRATED_FRAMES: judge.n_uncalibrated, keys.EVENTS: self._n_events,
                  keys.FALSE_EVENTS_PER_HOUR: self._settings["false_events_per_hour"]}
        if isinstance(judge, EmitterDetector):
            return counts | {keys.EMITTERS: judge.registry.n_whole, keys.LEARNED_S: judge.learned_s,
                             keys.LEARNING: judge.learning}
        return counts | {keys.SUPPRESSED_EVENTS: judge.tracker.n_suppressed, keys.FALSE_ALARM_RATE: judge.false_alarm_rate}

    def emitter_rows(self) -> list[dict]:
        """All emitters, as rows of ``listing.describe``; from any thread. Empty with the detector "boxes"."""
        return [] if self._band_part is None else self._band_part.rows()[0]

    def ignored_ranges(self) -> list[list[float]]:
        """Ranges in which nothing alerts, pairs of Hz; from any thread. Empty with the detector "boxes"."""
        return [] if self._band_part is None else self._band_part.rows()[1]

    def expected(self) -> list[Expected]:
        """The usual spectrum of each tuning, as far as it is known; from any thread. Empty with the detector "boxes"."""
        if self._band_part is None:
            return []
        with self._lock:
            return self.detector.expected()

    # Live changes, from any thread; the setters of the detector's settings are made from the rows, see ``control``

    @setter
    def set_samp_rate(self, samp_rate):
        """The rate of the next frames, if no rx_rate tag has come."""
        with self._lock:
            self._samp_rate, self._settled = SETTINGS["samp_rate"].check(samp_rate), False

    @setter
    def set_center_freq(self, center_freq):
        """The centre of the next frames, if no rx_freq tag has come."""
        with self._lock:
            self._center_freq, self._settled = SETTINGS["center_freq"].check(center_freq), False

    @handler
    def handle_control(self, message):
        for key, value in control.changes(message, DETECTOR).items():
            getattr(self, f"set_{key}")(value)
        if commands := control.commands(message):
            self._obey(commands)

    def _obey(self, commands: dict):
        if self._band_part is None:
            self.refuse(f"{', '.join(commands)}: for detector=emitters; the detector boxes keeps no emitters")
            return
        try:
            self._band_part.obey(commands)
        except MalformedMessage:
            raise
        except ValueError as error:
            self.refuse(str(error))

    def _change(self, key: str, value):
        if SETTINGS[key].only not in ("", self._kind):
            raise ValueError(refusal(SETTINGS[key], value))
        with self._lock:  # between batches, never inside one
            getattr(self.detector, f"set_{key}")(value)
            self._settings[key] = value
        self.publish_status("running", f"{key} is {value}")

    def finish_learning(self):
        """Of the detector "emitters": what was heard so far belongs, and the band file is written."""
        with self._lock:
            self.detector.finish_learning()
        self._band_part.save(changed=True)

    # Frames

    def _make_detector(self) -> Detector | EmitterDetector:
        """A detector with the present settings, and the band that the file holds."""
        if self._band_part is None:
            return Detector.from_model(self._file, models=self._models, **self._settings)
        return EmitterDetector.from_model(self._file, models=self._models, band=self._band_part.load(),
                                          learn_later=self._band_part.kept, **self._settings)

    def _clear(self):
        """Resets tags and detector at a new start of the flowgraph, which counts its samples from 0."""
        self._n_events = 0
        self.detector.reset()
        self._tags: dict[str, float] = {}  # the latest rx_freq, rx_rate, frame_hop, frame_average
        self._segment: Segment | None = None
        self._relative: set[str] = set()  # open events that began while the frequency was not known
        self._settled = False  # whether the segment holds until the next tag or setting
        self._next_sample = 0  # first sample of the next frame
        self._anchor: tuple[float, int] | None = None  # from a tag since the last segment

    def _start(self):
        if self._band_part is not None and self._band_part.kept and self.detector.n_frames:
            judge = self._make_detector()  # goes on with what the last run has learned
            with self._lock:
                self.detector = judge
        with self._lock:
            self._clear()
        judge = self.detector  # the encoder names the model
        self.publish_status("running", f"{count(judge.registry.n_whole, 'emitter')} known"
                            if isinstance(judge, EmitterDetector) else f"{len(judge.tables)} conformal tables")

    def _stop(self):
        with self._lock:
            emitted = self.detector.flush()
        self._publish(emitted)
        if self._band_part is not None:
            if self.detector.learning and self.detector.n_frames:
                self.detector.look_on_air()
                self._band_part.say_on_air()
                self._band_part.say_not_learned()
            self._band_part.finish()
        self.publish_status("stopped")

    def _work(self, input_items, output_items):
        psd, residual, rows, *more = input_items
        count = min(map(len, input_items))
        if self._band_part is not None:
            self._band_part.tend()
        with self._lock:
            changes = self._read_tags(count, output_items)
            starts = sorted({0, *changes}) if changes else [0]
            for first, stop in zip(starts, [*starts[1:], count], strict=True):
                if first < count:
                    scores = self._judge(psd[first:stop], residual[first:stop], rows[first:stop], changes.get(first),
                                         *(part[first:stop] for part in more))
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

    def _judge(self, psd, residual, rows, tags: dict | None, *token_classes) -> np.ndarray:
        """The scores of the frames of one segment, whose first frame carries these tags."""
        if tags:
            self._take(tags)
        segment = self._update_segment(rows)
        first = self._next_sample
        sample_start = first + segment.frame_hop * np.arange(len(psd))
        self._next_sample += segment.frame_hop * len(psd)
        n_learned = self.detector.n_learned if self._band_part is not None else 0
        result = self.detector.process(psd, residual, rows, sample_start, segment, *token_classes)
        for notice in result.notices:
            self.logger.warn(notice.text)
            self.publish_status(notice.state, notice.text)
        if self._band_part is not None:
            self._band_part.say_on_air()
            if self.detector.n_learned != n_learned:
                self._band_part.say_learned()
        self._publish(result.emitted)
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
        freq = known_freq(tagged.get(keys.RX_FREQ), self._center_freq)
        rx_freq, relative = freq or 0.0, freq is None
        rate = tagged.get(keys.RX_RATE, self._samp_rate or DEFAULT_RATE)
        if old is None:
            anchor, source = (time.time(), start), "host"
        else:
            anchor, source = old.time_anchor if rate == old.rx_rate else (old.time_of(start), start), old.time_source
            if (rx_freq, rate, relative) != (old.rx_freq, old.rx_rate, old.freq_relative):
                self._publish(self.detector.discontinuity())
        if self._anchor is not None:
            anchor, source, self._anchor = self._anchor, self._time_source, None
        band = self._fixed_band or (UNKNOWN if relative else band_of(rx_freq))
        k_eff = max(1, int(rows[0, features.K_EFF]))
        self._segment = Segment(rx_freq, rate, band if band in self._bands else UNKNOWN,
                                tagged.get(keys.FRAME_HOP, k_eff * self._n_bins),
                                tagged.get(keys.FRAME_AVERAGE, k_eff), anchor, source, relative)
        self._settled = True
        if self.on_segment is not None and (old is None or (rx_freq, relative) != (old.rx_freq, old.freq_relative)
                                            or abs(old.time_of(start) - self._segment.time_of(start)) > 0.5 / rate):
            self.on_segment(start, freq, self._segment.time_of(start))
        return self._segment

    def _publish(self, emitted: list[Emitted]):
        for event in emitted:
            self._n_events += event.fields[keys.STATE] == "open"
            self._mark_relative(event.fields)
            if (self._band_part is not None and event.fields[keys.STATE] == "open" and keys.EMITTER_ID in event.fields
                    and event.fields.get(keys.ALERT) != BURST):
                self._band_part.save_soon()
            self.message_port_pub(_ANOMALIES, pdu(event.fields, event.residual))

    def _mark_relative(self, fields: dict):
        """Marks an event whose frequencies count from the centre. It stays marked if the frequency becomes known meanwhile."""
        identity, state = str(fields[keys.EVENT_ID]), fields[keys.STATE]
        if state == "open" and self._segment is not None and self._segment.freq_relative:
            self._relative.add(identity)
        if identity in self._relative:
            fields[keys.FREQ_RELATIVE] = True
        if state == "close":
            self._relative.discard(identity)

    @property
    def takes_token_classes(self) -> bool:
        """Whether there is an input 3."""
        return self._kind != BOXES

    @property
    def freq_relative(self) -> bool:
        """Whether the centre frequency of the present frames is not known."""
        return self._segment is not None and self._segment.freq_relative


def _refuse_calibrated(file: ModelFile):
    """Raises ValueError if tables of a band were added to a model: the detector "emitters" does not use them."""
    own = [key for key, fields in file.tables.items() if "freq_hz" in fields or key.split("/")[1] != UNKNOWN]
    if own:
        raise ValueError(f"the model {file.name} holds tables of a calibrated band ({own[0]}), which are for the detector boxes; "
                         "give it detector=boxes, or a shipped model and let it learn (--learn, --band-file)")
