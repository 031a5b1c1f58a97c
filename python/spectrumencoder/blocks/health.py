# SPDX-License-Identifier: GPL-3.0-or-later
"""health: the state of the chain, once a second on `status`. A part of spectrum_monitor."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

import numpy as np
from gnuradio import gr

from .. import keys
from .safe_block import SafeBlock

PERIOD_S = 1.0
_SETTINGS = (keys.DROPOUT_RATE, keys.ROPE_MODE, keys.BACKEND, keys.FALSE_EVENTS_PER_HOUR)


class health(SafeBlock, gr.sync_block):
    """Sink of the detector's scores, which only keep it alive. Message output: `status`, once a second.

    Set ``anomaly_detector.on_judged`` to ``judged``. Latency runs from the arrival of a frame's last sample
    (``fft_tokenizer.arrival_offset``) to its verdict, when its events are published. It is None for samples that no clock paces.

    Args:
        tokenizer, encoder, detector: their counters are reported too. `status` has the settings that a display's controls show,
            so that one that joins later, over a network, has them within a second.
        live: whether the source is paced by a clock.

    Attributes:
        device: reported with every status; set it.
        radio_lost: says since when the radio is lost, POSIX s (None: it is not); reported while it is. A function; set it.
        n_reported: statuses so far.
        history: None; a list set here receives arrays of the latencies of all frames, s, each second and at the end.
    """

    def __init__(self, tokenizer, encoder, detector, live: bool):
        gr.sync_block.__init__(self, "health", [np.float32], None)
        self.init_safe_block()
        self.set_tag_propagation_policy(gr.TPP_DONT)
        self.gateway.only_count()
        self.device = ""
        self.radio_lost: Callable[[], float | None] = lambda: None
        self.history: list[np.ndarray] | None = None
        self._tokenizer, self._encoder, self._detector, self._live = tokenizer, encoder, detector, bool(live)
        self._lock = threading.Lock()
        self._ending, self._thread = threading.Event(), None
        self._clear()

    def _clear(self):
        self._latest: dict = {}
        self.n_reported = 0
        self._n_frames = 0
        self._verdicts: list[tuple[float, int, int, float, int]] = []  # of runs of frames, see `judged`
        self._last_report = (time.monotonic(), 0)

    def snapshot(self) -> dict:
        """The last second's figures and the counters since the start, by keys of the vocabulary."""
        with self._lock:
            return self._counters() | self._latest

    def _start(self):
        with self._lock:
            self._clear()
        self._ending.clear()
        self._thread = threading.Thread(target=self._report_each_second, daemon=True)
        self._thread.start()

    def _stop(self):
        self._ending.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=1.0)
        with self._lock:
            self._latencies_s()

    def judged(self, count: int, first_sample: int, hop: int, rate: float):
        """The verdicts on `count` frames are out, `hop` samples apart, the first of which begins at that sample. rate: per s."""
        now, offset = time.monotonic(), self._tokenizer.arrival_offset() if self._live else math.nan
        with self._lock:
            self._n_frames += count
            if math.isfinite(offset):
                self._verdicts.append((now - offset, first_sample, hop, rate, count))

    def _latencies_s(self) -> np.ndarray:
        """Latencies of the frames since the last call, (n,)."""
        verdicts, self._verdicts = self._verdicts, []
        parts = [np.maximum(0.0, arrived - (first + hop * np.arange(1, count + 1)) / rate)
                 for arrived, first, hop, rate, count in verdicts]
        latencies_s = np.concatenate([np.zeros(0), *parts])
        if self.history is not None:
            self.history.append(latencies_s)
        return latencies_s

    def _report_each_second(self):
        while not self._ending.wait(PERIOD_S):
            try:
                with self._lock:
                    self._latest = self._last_second()
                    said = self._counters() | self._latest
                stated = self._encoder.counters() | self._detector.counters()
                self.publish_status("running", **said | {key: stated[key] for key in _SETTINGS})
                self.n_reported += 1
            except Exception as error:  # noqa: BLE001 (a thread of the block: the flowgraph must learn of it)
                self.fail("status", error)
                return

    def _last_second(self) -> dict:
        now, (then, frames) = time.monotonic(), self._last_report
        self._last_report = (now, self._n_frames)
        latencies_s = self._latencies_s()
        p50, p99 = 1e3 * np.percentile(latencies_s, (50, 99)) if len(latencies_s) else (None, None)
        return {keys.FRAMES_PER_S: (self._n_frames - frames) / (now - then),
                keys.LATENCY_P50_MS: None if p50 is None else float(p50),
                keys.LATENCY_P99_MS: None if p99 is None else float(p99)}

    def _counters(self) -> dict:
        tokenizer, lost_s = self._tokenizer, self.radio_lost()
        return {keys.FRAMES: self._n_frames, keys.FRAMES_PER_S: 0.0, keys.LATENCY_P50_MS: None, keys.LATENCY_P99_MS: None,
                keys.QUEUE_DEPTH: max(0, tokenizer.frames() - self._n_frames), keys.DROPPED_FRAMES: tokenizer.dropped_frames(),
                keys.DROPPED_CONSTANT: tokenizer.dropped_constant(), keys.CLIPPED_FRAMES: tokenizer.clipped_frames(),
                keys.SKIPPED_FRAMES: self._encoder.n_skipped, keys.OVERFLOWS: tokenizer.overflows(), keys.DEVICE: self.device,
                **({} if lost_s is None else {keys.RADIO_LOST: lost_s})}
