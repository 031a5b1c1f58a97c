# SPDX-License-Identifier: GPL-3.0-or-later
"""Hier block: the whole chain, IQ in, anomalies and signals out. GRC, the command line and the tests all run this one."""

from __future__ import annotations

import math

from gnuradio import blocks, gr

from .. import keys
from ..encoder.ensemble import load_models
from ..settings import DEFAULT_RATE, DEFAULTS, DETECTOR, ENCODER, TRACKER
from ..tokens.average import AUTO, auto_average
from .anomaly_detector import anomaly_detector
from .control import own, passes_on
from .doma_tracker import doma_tracker
from .health import health
from .message_relay import IN, OUT, UNTIL, message_relay
from .native import fft_tokenizer
from .safe_block import first_failure
from .signal_list import signal_list
from .spectrum_encoder import spectrum_encoder


@passes_on
class spectrum_monitor(gr.hier_block2):
    """fft_tokenizer, spectrum_encoder, anomaly_detector and doma_tracker, connected.

    Input 0: complex samples. Outputs, one item per frame (any may stay unconnected): 0 psd (fft_size floats, dBFS); 1 residual
    (fft_size floats, standardised); 2 reconstruction (fft_size floats, dBFS); 3 score (one float). Message inputs: `control`,
    a dict of any live settings of the stages; `detections`, position fixes and signals for doma_tracker in addition to the
    anomalies. Message outputs: `anomalies` (events), `signals` (all signals of the band, if they are asked for), `tracks`,
    `encoded` (compressed spectra, of spectrum_encoder), `status` (of all stages, and once a second the health of the chain:
    frames per second, latency, queue, drops, overflows).

    A model with a token head says what each signal is: events then have the class of their own box.

    All settings of the stages that change live do so here. A value that is out of range or that the model cannot
    serve is refused: it is logged and published on `status`, and the old one stays.

    Args:
        model: name of a shipped model, or path of a .safetensors file; "speculative" or "speculative:FAST,LARGE" for two; or
            the result of ``load_models``.
        samp_rate, center_freq: Hz; 0: not stated. What is stated holds; tags are followed from there (docs/contracts.md, "Which
            value holds"). Without either the rate is 1e6, and events have ``freq_relative``.
        use_tags: False: rx_freq and rx_rate tags are ignored.
        rate_factor: rate here over rx_rate, such as 0.25 after a decimation by 4.
        freq_offset: Hz, centre here less rx_freq: of a converter (LNB, upconverter), or a filter that shifts.
        tag_channel: of tags that hold a value for each channel.
        average: spectra per frame, 1..64, in the range of the model; or "auto": chosen by samp_rate (``tokens.average``), again
            whenever that is set.
        fft_size, stride, window: 0, 0, "" take the model's own; other values must equal them.
        motion_aware: token dropout keeps the tokens in bands in which the tracker expects signals. The scheduler decides when
            such a message reaches the encoder, so events are then not bit for bit the same in every run.
        signals: a signal_list lists all signals of the band on the port `signals`. False: that port is silent and costs nothing.
        tracks_file: JSON lines of the tracks; "": none.
        stages: all other settings of the encoder and the detector, and the live ones of the tracker; see there.

    Attributes: tokenizer, encoder, detector, tracker (the stages), signal_list (None without), health, blocks (all of them),
    fft_size, failure (the first of any stage).

    Raises:
        ModelError: the model file is missing or invalid.
        ValueError: an argument is out of range or does not fit the model.
    """

    def __init__(self, model=DEFAULTS.model, samp_rate=DEFAULTS.samp_rate, center_freq=DEFAULTS.center_freq, fft_size=0, stride=0,
                 average=DEFAULTS.average, overlap=DEFAULTS.overlap, window="", settle_ms=DEFAULTS.settle_ms, *,
                 use_tags=DEFAULTS.use_tags, rate_factor=DEFAULTS.rate_factor, freq_offset=DEFAULTS.freq_offset,
                 tag_channel=DEFAULTS.tag_channel, band=DEFAULTS.band, overload=DEFAULTS.overload,
                 min_output_buffer=DEFAULTS.min_output_buffer,
                 motion_aware=DEFAULTS.motion_aware, signals=DEFAULTS.signals, tracks_file=DEFAULTS.tracks_file, **stages):
        models = load_models(model)
        contract = models[0].contract
        frame = contract["encoder"]
        self.fft_size, stride = int(fft_size or frame["fft_size"]), int(stride or frame["stride"])
        gr.hier_block2.__init__(self, "spectrum_monitor", gr.io_signature(1, 1, gr.sizeof_gr_complex),
                                gr.io_signature.makev(4, 4, [*[gr.sizeof_float * self.fft_size] * 3, gr.sizeof_float]))
        self._average_range = tuple(contract["average"])
        self._samp_rate, self._overlap, self._auto_average = samp_rate, overlap, average == AUTO
        average = self._checked_average(self._spectra(average))
        self.tokenizer = fft_tokenizer(
            fft_size=self.fft_size, stride=stride, average=average, overlap=overlap, window=window or frame["window"],
            samp_rate=samp_rate, center_freq=center_freq, settle_ms=settle_ms, min_output_buffer=min_output_buffer,
            live=overload == "skip", use_tags=use_tags, rate_factor=rate_factor, freq_offset=freq_offset, tag_channel=tag_channel)
        self.encoder = spectrum_encoder(
            model=models, fft_size=self.fft_size, stride=stride, window=window or frame["window"], band=band, overload=overload,
            min_output_buffer=min_output_buffer, **own(ENCODER, stages))
        self.detector = anomaly_detector(
            model=models, fft_size=self.fft_size, samp_rate=samp_rate, center_freq=center_freq, band=band,
            **own(DETECTOR, stages))
        self.signal_list = signal_list(
            model=models, fft_size=self.fft_size, stride=stride, samp_rate=samp_rate, center_freq=center_freq,
            window=window or frame["window"], usable=stages["usable"], time_source=stages["time_source"]) if signals else None
        self.tracker = doma_tracker(file=tracks_file, **own(TRACKER, stages))
        self.health = health(self.tokenizer, self.encoder, self.detector, live=overload == "skip")
        self.detector.on_judged = self.health.judged
        # also keeps them alive: GNU Radio does not
        self._relay, self._messages = message_relay(), []
        self.blocks = [self.tokenizer, self.encoder, self.detector, self.tracker, self.health, self._relay]
        if self.signal_list is not None:
            self.blocks.append(self.signal_list)
        self._connect(motion_aware, of_tokens=models[0].has_token_classes)

    def _connect(self, motion_aware, of_tokens: bool):
        for port in (keys.ANOMALIES, keys.SIGNALS, keys.TRACKS, keys.ENCODED, keys.STATUS):
            self.message_port_register_hier_out(port)
        for port in (keys.CONTROL, keys.DETECTIONS):
            self.message_port_register_hier_in(port)
        self.connect(self, self.tokenizer)
        self.connect((self.tokenizer, 0), self.encoder)
        self.connect((self.tokenizer, 1), (self.detector, 0))
        self.connect((self.encoder, 0), (self.detector, 1))
        self.connect((self.encoder, 1), (self.detector, 2))
        self.connect((self.detector, 0), self.health)
        self.connect((self.tokenizer, 1), (self, 0))
        self.connect((self.encoder, 0), (self, 1))
        self.connect((self.encoder, 2), (self, 2))
        self.connect((self.detector, 0), (self, 3))
        self._connect_tokens(of_tokens)
        self.msg_connect(self, keys.DETECTIONS, self.tracker, keys.DETECTIONS)
        self.msg_connect(self, keys.CONTROL, self._relay, IN)
        self._messages = [
            *((self._relay, OUT, stage, keys.CONTROL) for stage in (self.encoder, self.detector, self.tracker)),
            (self.detector, keys.ANOMALIES, self, keys.ANOMALIES),
            (self.detector, keys.ANOMALIES, self.tracker, keys.DETECTIONS),
            (self.detector, keys.STATUS, self._relay, UNTIL),
            (self.tracker, keys.TRACKS, self, keys.TRACKS),
            (self.encoder, keys.ENCODED, self, keys.ENCODED),
            *((block, keys.STATUS, self, keys.STATUS) for block in self.blocks)]
        if self.signal_list is not None:
            self._messages.append((self.signal_list, keys.SIGNALS, self, keys.SIGNALS))
        if motion_aware:
            self._messages.append((self.tracker, keys.CONTROL, self.encoder, keys.CONTROL))
        for connection in self._messages:
            self.msg_connect(*connection)

    def _connect_tokens(self, of_tokens: bool):
        """Connects what tokens are to those that want it. of_tokens: the model answers for each token."""
        takers = []
        if of_tokens and self.detector.takes_token_classes:
            takers.append((self.detector, 3))
        if self.signal_list is not None:
            self.connect((self.tokenizer, 0), (self.signal_list, 0))
            if of_tokens:
                takers.append((self.signal_list, 1))
        if takers:  # outputs have no gaps: the reconstruction goes somewhere, too
            self._unread = blocks.null_sink(gr.sizeof_float * self.fft_size)
            self.connect((self.encoder, 2), self._unread)
        for taker in takers:
            self.connect((self.encoder, 3), taker)

    @property
    def failure(self):
        """The first failure of any stage, or None."""
        return first_failure(self.blocks)

    def release(self):
        """Lets go of the stages; call it when the flowgraph has ended for good.

        GNU Radio keeps a hier block whose message ports are connected inside, and with it the buffers of its flowgraph, to the
        end of the process: after some hundred flowgraphs no memory can be mapped any more. A connection to a message *input*
        can never be undone (findings/hier_message_port_is_kept.sh), so such inputs lead to blocks without streams alone.
        """
        for connection in self._messages:
            self.msg_disconnect(*connection)
        self._messages = []
        self.disconnect_all()

    def drain(self):
        """Handles what still lies in the stages' message queues; call it when the flowgraph has ended."""
        for stage in (self.encoder, self.detector, self.signal_list, self.tracker, self.health):
            if stage is not None:
                stage.drain()

    # Live changes, from any thread; each returns True when taken. Those of a single stage are made from the rows, see ``control``

    def set_average(self, average):
        taken = self._tokenizer_change("average", self._spectra(average))
        if taken:
            self._auto_average = average == AUTO
        return taken

    def set_samp_rate(self, samp_rate):
        taken = self._tokenizer_change("samp_rate", samp_rate) and self.detector.set_samp_rate(samp_rate) and (
            self.signal_list is None or self.signal_list.set_samp_rate(samp_rate))
        if taken:
            self._samp_rate = samp_rate
            if self._auto_average:
                self._tokenizer_change("average", self._spectra(AUTO))
        return taken

    def set_center_freq(self, center_freq):
        taken = self._tokenizer_change("center_freq", center_freq)
        return taken and self.detector.set_center_freq(center_freq) and (
            self.signal_list is None or self.signal_list.set_center_freq(center_freq))

    def set_settle_ms(self, settle_ms):
        return self._tokenizer_change("settle_ms", settle_ms)

    def _tokenizer_change(self, name: str, value) -> bool:
        """Refuses like the other stages: the C++ block raises instead."""
        try:
            if name == "average":
                value = self._checked_average(value)
            getattr(self.tokenizer, f"set_{name}")(value)
        except (ValueError, TypeError) as error:
            self.encoder.refuse(f"{name} {value!r}: {str(error).splitlines()[0]}")
            return False
        return True

    def _spectra(self, average):
        if average != AUTO:
            return average
        return auto_average(self._samp_rate or DEFAULT_RATE, self.fft_size, self._overlap, self._average_range)

    def _checked_average(self, average) -> int:
        low, high = self._average_range
        if isinstance(average, str):
            raise ValueError(f"average {average!r} is neither {AUTO!r} nor a number in {low}..{high}")
        if not math.isfinite(average) or abs(average - round(average)) > 1e-6:  # a slider adds up its steps
            raise ValueError(f"average {average} is not a whole number in {low}..{high}")
        if not low <= average <= high:
            raise ValueError(f"average {average} is outside {low}..{high}, what the model was trained for")
        return round(average)
