# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: tokens in; residual, features, reconstruction and token classes out, one item per frame, by ``encoder.engine``."""

from __future__ import annotations

import math
import threading
import time
from itertools import pairwise

import numpy as np
import pmt
from gnuradio import gr
from gnuradio.gr.gateway import py_io_signature

from .. import keys
from ..encoder import features
from ..encoder.adaptive_dropout import OFF
from ..encoder.adaptive_encoder import AdaptiveEncoder
from ..encoder.engine import EncodedFrames, Engine
from ..encoder.ensemble import SpeculativeEngine, open_engine
from ..encoder.token_classes import columns
from ..settings import DEFAULTS, ENCODER
from ..tokens import layout
from ..tokens.band_plan import UNKNOWN, band_of
from . import control
from .backlog import MIN_FRAMES, Backlog, frames_at_once
from .safe_block import SafeBlock, handler, setter
from .tags import frame_tags, known_freq

_MAX_KEPT_BANDS = 1024
_SKIPPED = pmt.intern(keys.SKIPPED)
_ENCODED = pmt.intern(keys.ENCODED)
_TOKEN_CLASSES = 3  # number of the output


class FrameMismatch(ValueError):
    """A frame, or a frame setting, that the model was not made for; names the field and the cure."""


@control.obeys(ENCODER)
class spectrum_encoder(SafeBlock, gr.sync_block):
    """Encodes each frame with the model. A call takes all waiting frames: at most 256, and about 0.1 s of work. No
    frame is held back or dropped.

    Input 0: tokens (item_size floats, see ``fft_tokenizer``). Outputs, aligned with it, tags passed on:
    0 residual (fft_size floats, standardised); 1 features (256 floats, ``encoder.features``);
    2 reconstruction (fft_size floats, dBFS); 3 token_classes (M (labels + 2) floats, ``encoder.token_classes``; NaN without a
    token head). The last, or the last two, may stay unconnected. Token classes are computed only if they are connected.
    Message input `control`: a dict of live settings; those of other stages are ignored. `keep_bands_hz`, a list of pairs of
    frequencies that ``doma_tracker`` predicts, comes by message alone. Tokens that overlap one are kept before others,
    within the k of the dropout rate. An empty list ends this. With adaptive_dropout, frames with such a token are of interest.
    Message outputs: `encoded`, PDUs of bytes, each a group of compressed spectra (``spectrum_decoder`` decodes them); `status`.

    A live change takes effect with the next batch. If the model file has no weights for it, it is refused: logged, published on
    `status`, and the old setting stays.

    Args:
        model: name of a shipped model, or path of a .safetensors file; "speculative" or "speculative:FAST,LARGE" for two; or
            the result of ``load_models``.
        fft_size, stride, window: settings of the frames; must be the model's.
        band: "auto" takes it from rx_freq tags through the band plan; else one of the model's bands.
        overload: "wait" holds up the flowgraph. "skip" passes the oldest frames of a batch unencoded once the block is more than
            max_latency behind real time. They get a `skipped` tag and features[SKIPPED] = 1.
        max_latency: seconds.
        min_output_buffer: items, on every output.
        adaptive_dropout: "few" or "held": quiet frames are encoded with few tokens, or repeat the last answer, see
            ``encoder.adaptive_encoder``.
        encoded_group: frames to a PDU on `encoded`, 16..64; fewer at the end or before a change. 0: no PDUs.
        encoded_step: step of their quantiser, dB. A smaller step is more exact and takes more bytes. A speculative model
            compresses the spectra of its first member.
        engine: the other settings of the encoder, see ``encoder.engine.Engine`` and ``encoder.ensemble.open_engine``:
            dropout_rate, dropout_policy, rope_mode, backend, compute, dtype, runtime, threads, pad_batch, confidence_threshold.

    Raises:
        ModelError: the model file is missing or invalid.
        FrameMismatch: fft_size, stride or window is not the model's.
        ValueError: any other argument out of range.
    """

    def __init__(self, model=DEFAULTS.model, fft_size=DEFAULTS.fft_size, stride=DEFAULTS.stride, window=DEFAULTS.window, *,
                 band=DEFAULTS.band, overload=DEFAULTS.overload, max_latency=DEFAULTS.max_latency,
                 min_output_buffer=DEFAULTS.min_output_buffer, encoded_group=DEFAULTS.encoded_group,
                 encoded_step=DEFAULTS.encoded_step, adaptive_dropout=DEFAULTS.adaptive_dropout, **engine):
        wire = layout.FrameLayout(fft_size, stride)
        spectrum = (np.float32, fft_size)
        opened = open_engine(model, **engine)
        outputs = [spectrum, (np.float32, features.N_FEATURES), spectrum,
                   (np.float32, wire.n_tokens * len(columns(opened.labels)))]
        gr.sync_block.__init__(self, "spectrum_encoder", [(np.float32, wire.item_size)], py_io_signature(2, 4, outputs))
        self.init_safe_block()
        self.engine = opened
        self._adaptive = AdaptiveEncoder(self.engine, adaptive_dropout)
        _check_frame(self.engine, fft_size=fft_size, stride=stride, window=window)
        if band != "auto" and band not in self.engine.bands:
            raise ValueError(f"band {band!r} is none of the model's; use auto, {', '.join(self.engine.bands)}")
        self._layout, self._average_range = wire, tuple(self.engine.contract["average"])
        self._fixed_band = None if band == "auto" else band
        self._skip, self._max_latency = overload == "skip", float(max_latency)
        self._backlog = Backlog()
        self._lock = threading.Lock()
        self._at_once = MIN_FRAMES
        self._keep_bands = np.zeros((0, 2))  # Hz
        self._encoded = _encoded_output(self.engine, encoded_group, encoded_step) if encoded_group else None
        self._forget_tags()
        self.n_frames = self.n_skipped = 0
        self.message_port_register_out(_ENCODED)
        for port in range(len(outputs)):
            self.set_min_output_buffer(port, int(min_output_buffer))
        self.add_input_port(keys.CONTROL, self.handle_control)

    def counters(self):
        engine = self.engine
        refined = {keys.ACCEPTED_FRAMES: engine.n_accepted, keys.REFINED_FRAMES: engine.n_refined,
                   keys.CONFIDENCE_THRESHOLD: engine.confidence_threshold} if isinstance(engine, SpeculativeEngine) else {}
        encoded = {keys.ENCODED_PDUS: self._encoded.n_pdus, keys.ENCODED_BYTES: self._encoded.n_bytes,
                   keys.ENCODED_STEP: self._encoded.builder.step} if self._encoded else {}
        adaptive = self._adaptive
        by_effort = {} if adaptive.mode == OFF and not adaptive.n_few + adaptive.n_held else {
            keys.FULL_FRAMES: adaptive.n_full, keys.FEW_FRAMES: adaptive.n_few, keys.HELD_FRAMES: adaptive.n_held,
            keys.MEAN_TOKENS: float(adaptive.mean_tokens)}
        return {keys.FRAMES: self.n_frames, keys.SKIPPED_FRAMES: self.n_skipped,
                keys.ADAPTIVE_DROPOUT: adaptive.mode, **by_effort,
                keys.DROPOUT_RATE: float(engine.dropout_rate), keys.K_KEPT: int(engine.k_kept),
                keys.ROPE_MODE: engine.rope_mode, keys.BACKEND: engine.backend, keys.RUNTIME: engine.runtime,
                **refined, **encoded}

    # Live changes, from any thread; the setters of the engine's settings are made from the rows, see ``control``

    @setter
    def set_encoded_step(self, encoded_step):
        if self._encoded is None:
            raise ValueError(f"encoded_step {encoded_step} has nothing to act on; construct the block with encoded_group 16..64")
        with self._lock:
            self._encoded.builder.set_step(encoded_step)
        self.publish_status("running", f"encoded_step is {self._encoded.builder.step:g}")

    @setter
    def set_adaptive_dropout(self, adaptive_dropout):
        with self._lock:
            self._adaptive.set_mode(adaptive_dropout)
        self.publish_status("running", f"adaptive_dropout is {self._adaptive.mode}")

    @setter
    def set_keep_bands_hz(self, keep_bands_hz):
        bands = _keep_bands(keep_bands_hz)
        with self._lock:
            self._keep_bands = bands

    @handler
    def handle_control(self, message):
        for key, value in control.changes(message, ENCODER).items():
            getattr(self, f"set_{key}")(value)

    def _change(self, key: str, value):
        with self._lock:  # between batches, never inside one
            getattr(self.engine, f"set_{key}")(value)
            self._adaptive.settings_changed()
        self.publish_status("running", f"{key} is {getattr(self.engine, key) if value == '' else value}")

    # Frames

    def _forget_tags(self):
        self._band = self._fixed_band or UNKNOWN
        self._frame_hop: float | None = None  # samples
        self._next_sample = 0  # number of the next frame's first sample
        self._rx_freq, self._lost = None, False  # Hz of the last tag; samples were lost before these frames
        self._warned = False  # that token classes are not to be had
        self._gap = 0  # samples left out between the last call's frames and this one's, or between these

    def _start(self):
        self._forget_tags()
        self._backlog = Backlog()
        self.n_frames = self.n_skipped = 0
        with self._lock:
            self._adaptive.reset()
            if self._encoded is not None:
                self._encoded.restart()
        note = f"; {self.engine.device_note}" if self.engine.device_note else ""
        self.publish_status("running", f"model {self.engine.model_name}, runtime {self.engine.runtime}{note}")

    def _stop(self):
        if self._encoded is not None:
            with self._lock:
                self._publish_encoded(self._encoded.flush())
        self.publish_status("stopped")

    def _publish_encoded(self, pdus: list):
        for pdu in pdus:
            self.message_port_pub(_ENCODED, pdu)

    def _encode_pdus(self, tags: dict[int, dict], items: np.ndarray, bands: list[str], n_skip: int, encoded: EncodedFrames):
        self._publish_encoded(self._encoded.add(tags, items, encoded, bands, n_skip))

    def _work(self, input_items, output_items):
        n_frames = min(len(input_items[0]), self._at_once)
        items = input_items[0][:n_frames]
        tags = frame_tags(self, n_frames)
        bands, centres = self._follow(tags, n_frames)
        _, side = self._layout.split(items)
        self._check_average(side)
        n_skip = self._frames_to_skip(side) if self._skip else 0
        self._pass_unencoded(output_items, items, n_skip)
        with self._lock:  # the count too: a live change states the number of frames before it
            if n_skip < n_frames or self._encoded is not None:
                wanted = self._wanted(centres[n_skip:], side[n_skip:])
                began = time.perf_counter()
                encoded = self._encode(items[n_skip:], bands[n_skip:], wanted, centres[n_skip:],
                                       [output[n_skip:n_frames] for output in output_items])
                if n_skip < n_frames:
                    self._at_once = frames_at_once((time.perf_counter() - began) / (n_frames - n_skip))
                if self._encoded is not None:
                    self._encode_pdus(tags, items, bands, n_skip, encoded)
            self.n_frames += n_frames
        return n_frames

    def _encode(self, items: np.ndarray, bands: list[str], wanted: np.ndarray | None, centres: list[float | None],
                outputs: list[np.ndarray]) -> EncodedFrames:
        """Encodes frames into the outputs, of which the last two may be absent."""
        residual, rows, reconstruction, of_tokens = (*outputs, None, None)[:4]
        if of_tokens is not None and not self.engine.has_token_classes:
            of_tokens[:] = np.nan
            of_tokens = None
            if not self._warned:
                self.logger.warn(f"token_classes is NaN: model {self.engine.model_name} has no token head; use one that has, "
                                 "spectrumencoder models lists them")
            self._warned = True
        return self._adaptive.encode(items, bands, wanted, EncodedFrames(residual, rows, reconstruction, None), centres,
                                     token_classes=of_tokens)

    def _wanted(self, centres: list[float | None], side: np.ndarray) -> np.ndarray | None:
        """Mask of the tokens that overlap a band to be kept, (F, M); None if there is no such band."""
        if not len(self._keep_bands):
            return None
        n_tokens, stride = self._layout.n_tokens, self._layout.stride
        edges = np.arange(n_tokens + 1) * stride - self._layout.fft_size / 2 - 0.5  # bins from the centre
        centre = np.array([np.nan if c is None else c for c in centres])[:, None]
        edges = centre + edges * side[:, layout.BIN_WIDTH_HZ].astype(np.float64)[:, None]
        low, high = self._keep_bands[:, 0, None, None], self._keep_bands[:, 1, None, None]
        wanted = ((edges[:, :-1] < high) & (edges[:, 1:] > low)).any(axis=0)
        return wanted if wanted.any() else None

    def _follow(self, changes: dict[int, dict], n_frames: int) -> tuple[list[str], list[float | None]]:
        """The band and centre frequency of each frame; follows the frames' places in the sample stream (``_frame_hop``,
        ``_next_sample``, ``_gap``)."""
        bands, centres, self._gap, self._lost = [], [], 0, False
        cuts = sorted({0, n_frames, *changes})
        for first, stop in pairwise(cuts):
            if first in changes:
                self._take_tags(changes[first])
            self._next_sample += (stop - first) * (self._frame_hop or 0)
            bands += (stop - first) * [self._band]
            centres += (stop - first) * [self._rx_freq]
        return bands, centres

    def _take_tags(self, values: dict[str, float]):
        self._frame_hop = values.get(keys.FRAME_HOP, self._frame_hop)
        start = values.get(keys.FRAME_START, self._next_sample)
        if self._frame_hop:
            self._gap += max(0, start - self._next_sample)  # dropped by the tokenizer
        self._next_sample = start
        freq = known_freq(values.get(keys.RX_FREQ), self._rx_freq or 0.0)
        self._lost |= keys.FRAME_START in values and freq == self._rx_freq  # tagged again, nothing has changed: an overflow
        self._rx_freq = freq
        if keys.RX_FREQ in values and self._fixed_band is None:
            self._band = UNKNOWN if freq is None else band_of(freq)

    def _check_average(self, side: np.ndarray):
        averages = side[:, layout.K_EFF]
        low, high = self._average_range
        wrong = ~((averages >= low) & (averages <= high))  # NaN is wrong too
        if wrong.any():
            raise FrameMismatch(f"average: a frame is of {averages[wrong][0]:g} windows, the model "
                                f"{self.engine.model_name} takes {low}..{high}; set average of fft_tokenizer so")

    # Overload

    def _frames_to_skip(self, side: np.ndarray) -> int:
        """Number of the oldest frames to pass unencoded, so that the block is at most max_latency behind again."""
        rate = float(side[0, layout.BIN_WIDTH_HZ]) * self._layout.fft_size
        hop = self._frame_hop or float(side[0, layout.K_EFF]) * self._layout.fft_size
        if not rate > 0:
            return 0
        behind_s = self._backlog.enter(self.n_waiting, len(side) * hop / rate, self._gap / rate, self._lost)
        excess_s = behind_s - self._max_latency
        return 0 if excess_s <= 0 else min(len(side), math.ceil(excess_s * rate / hop))

    def _pass_unencoded(self, output_items, items: np.ndarray, n_skip: int):
        if not n_skip:
            return
        _, side = self._layout.split(items[:n_skip])
        for port, output in enumerate(output_items):
            output[:n_skip] = np.nan if port == _TOKEN_CLASSES else 0
        output_items[1][:n_skip, features.SKIPPED] = 1
        output_items[1][:n_skip, features.K_EFF] = side[:, layout.K_EFF]
        output_items[1][:n_skip, features.FLOOR_DBFS] = side[:, layout.FLOOR_DBFS]
        output_items[1][:n_skip, features.CLIPPED_SHARE] = self._layout.clipped_share(items[:n_skip])
        for port in range(len(output_items)):
            begin = self.nitems_written(port)
            for frame in range(n_skip):
                self.add_item_tag(port, begin + frame, _SKIPPED, pmt.PMT_T)
        self.n_skipped += n_skip
        if self.log_due("skipped"):
            text = f"more than {self._max_latency:g} s behind: {self.n_skipped} frames passed unencoded so far"
            self.logger.warn(text)
            self.publish_status("skipped", text)


def _encoded_output(engine, size: int, step: float):
    """Makes the codec. Its import is slow, and few runs need it."""
    from .encoded_output import EncodedOutput
    return EncodedOutput(engine, size, step)


def _check_frame(engine: Engine, **settings):
    """Compares the frame settings with those of the model's training."""
    for name, value in settings.items():
        wanted = engine.contract["encoder"][name]
        if value != wanted:
            raise FrameMismatch(f"{name} is {value!r}, the model {engine.model_name} was trained with {wanted!r}; set "
                                f"{name}={wanted!r} in fft_tokenizer and here, or choose another model")


def _keep_bands(pairs: list) -> np.ndarray:
    """Pairs of frequencies (n, 2). Raises ValueError if one is invalid, or there are too many."""
    if len(pairs) > _MAX_KEPT_BANDS:
        raise ValueError(f"keep_bands_hz has {len(pairs)} bands; up to {_MAX_KEPT_BANDS} can be kept")
    for pair in pairs:
        numbers = isinstance(pair, (list, tuple)) and len(pair) == 2 and all(
            isinstance(f, (int, float)) and not isinstance(f, bool) and math.isfinite(f) for f in pair)
        if not numbers or not pair[0] <= pair[1]:
            raise ValueError(f"keep_bands_hz holds {str(pair)[:60]}, which is no pair of a lower and an upper frequency in Hz")
    return np.array(pairs, float).reshape(-1, 2)
