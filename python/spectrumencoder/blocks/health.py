# SPDX-License-Identifier: GPL-3.0-or-later
"""health: how the chain is doing, once a second on `status`. A part of spectrum_monitor."""

from __future__ import annotations

import math
import threading
import time

import numpy as np
import pmt
from gnuradio import gr

from .. import keys
from .messages import tag_key
from .safe_block import SafeBlock

PERIOD_S = 1.0
_COUNT_TAGS = (keys.FRAME_START, keys.FRAME_HOP)


class health(SafeBlock, gr.sync_block):
    """Sink of the detector's scores (one float per frame, tagged as they come). Message output: `status`, once a second.

    Latency is from the arrival of a frame's last sample, which ``fft_tokenizer.arrival_offset`` knows, to its score being here:
    by then its events are published. Where samples are not paced by a clock that has no meaning, and is None.

    Args:
        tokenizer, encoder: whose counters are told too.
        samp_rate: Hz, where the stream carries no rx_rate tag.
        live: the source keeps time.

    Attributes: device (told with every status; set it), samp_rate, n_told (statuses so far), history (None; a list set here gets
    arrays of the latencies of all frames, s).
    """

    def __init__(self, tokenizer, encoder, samp_rate, live: bool):
        gr.sync_block.__init__(self, "health", [np.float32], None)
        self.init_safe_block()
        self.set_tag_propagation_policy(gr.TPP_DONT)
        self.device = ""
        self.history: list[np.ndarray] | None = None
        self.samp_rate = float(samp_rate)
        self._tokenizer, self._encoder, self._live = tokenizer, encoder, bool(live)
        self._lock = threading.Lock()
        self._ending, self._thread = threading.Event(), None
        self._clear()

    def _clear(self):
        self._latest: dict = {}
        self.n_told = 0
        self._n_frames = 0
        self._next_sample, self._hop = 0, 0
        self._latencies_s: list[np.ndarray] = []
        self._told = (time.monotonic(), 0)

    def snapshot(self) -> dict:
        """The last second's figures and the counters since the start, by keys of the vocabulary."""
        with self._lock:
            return self._counters() | self._latest

    def _start(self):
        with self._lock:
            self._clear()
        self._ending.clear()
        self._thread = threading.Thread(target=self._tell_each_second, daemon=True)
        self._thread.start()

    def _stop(self):
        self._ending.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=1.0)

    def _work(self, input_items, output_items):
        count, now, begin = len(input_items[0]), time.monotonic(), self.nitems_read(0)
        changes: dict[int, dict] = {}
        for tag in self.get_tags_in_window(0, 0, count):
            changes.setdefault(tag.offset - begin, {})[tag_key(tag)] = tag.value
        with self._lock:
            cuts = sorted({0, count, *changes})
            for first, stop in zip(cuts, cuts[1:], strict=False):
                self._take(changes.get(first, {}))
                self._see(stop - first, now)
            self._n_frames += count
        return count

    def _take(self, tags: dict):
        if keys.RX_RATE in tags:
            self.samp_rate = pmt.to_double(tags[keys.RX_RATE])
        if all(key in tags for key in _COUNT_TAGS):
            self._next_sample, self._hop = (pmt.to_uint64(tags[key]) for key in _COUNT_TAGS)

    def _see(self, count: int, now: float):
        ends = self._next_sample + self._hop * np.arange(1, count + 1)
        self._next_sample += self._hop * count
        offset = self._tokenizer.arrival_offset()
        if self._live and self._hop and math.isfinite(offset):
            self._latencies_s.append(np.maximum(0.0, now - offset - ends / self.samp_rate))
            if self.history is not None:
                self.history.append(self._latencies_s[-1])

    def _tell_each_second(self):
        while not self._ending.wait(PERIOD_S):
            try:
                with self._lock:
                    self._latest = self._last_second()
                    said = self._counters() | self._latest
                self.publish_status("running", **said)
                self.n_told += 1
            except Exception as error:  # noqa: BLE001 (a thread of the block: the flowgraph must learn of it)
                self.fail("status", error)
                return

    def _last_second(self) -> dict:
        now, (then, frames) = time.monotonic(), self._told
        self._told = (now, self._n_frames)
        latencies, self._latencies_s = self._latencies_s, []
        p50, p99 = 1e3 * np.percentile(np.concatenate(latencies), (50, 99)) if latencies else (None, None)
        return {keys.FRAMES_PER_S: (self._n_frames - frames) / (now - then),
                keys.LATENCY_P50_MS: None if p50 is None else float(p50),
                keys.LATENCY_P99_MS: None if p99 is None else float(p99)}

    def _counters(self) -> dict:
        tokenizer = self._tokenizer
        return {keys.FRAMES: self._n_frames, keys.FRAMES_PER_S: 0.0, keys.LATENCY_P50_MS: None, keys.LATENCY_P99_MS: None,
                keys.QUEUE_DEPTH: max(0, tokenizer.frames() - self._n_frames), keys.DROPPED_FRAMES: tokenizer.dropped_frames(),
                keys.SKIPPED_FRAMES: self._encoder.n_skipped, keys.OVERFLOWS: tokenizer.overflows(), keys.DEVICE: self.device}
