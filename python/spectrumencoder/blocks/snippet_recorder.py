# SPDX-License-Identifier: GPL-3.0-or-later
"""Sink block: the IQ around each event as a SigMF recording of its own, from shortly before it began."""

from __future__ import annotations

import contextlib
import queue
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pmt
from gnuradio import gr

from .. import keys
from ..recordings import DATA_SUFFIX, META_SUFFIX
from ..recordings.sigmf_writer import write_encoded
from .messages import MalformedMessage, metadata, tag_key
from .pre_roll import PreRoll
from .safe_block import SafeBlock, handler
from .sigmf_annotator import EXTENSION, annotation_of

_LATE_S = 2.0  # maximum delay of an event: twice max_latency of the encoder
_TOLD_S = 1.2  # within which an alert tells how long a transmission lasts, and a little
_QUEUE = 8     # snippets that wait to be written


@dataclass
class _Wanted:
    """An event whose samples are to be kept: numbers of the first and, so far, the end.

    wait: samples after that end, until an alert has told how long its first transmission lasts.
    """

    event: dict
    start: int
    stop: int
    wait: int = 0


class snippet_recorder(SafeBlock, gr.sync_block):
    """Keeps the last samples, and writes those around an event after it has closed or lasted ``max_s``.

    Input 0: the complex samples of the chain. Message input `events` (of ``anomaly_detector``). Message output: `status`.
    Each event becomes event-<time>-<id>.sigmf-meta and .sigmf-data (cf32), with the event as annotation; of an alert its first
    transmission, since an alert stays open. No snippet reaches across a retune or a gap. A thread of the block writes; if it
    cannot keep up, snippets are lost and counted.

    Args:
        folder: for the snippets; it is made.
        samp_rate, center_freq: Hz, until tags say otherwise.
        pre_s, post_s: seconds before and after the event.
        max_s: maximum duration of an event; only the beginning of a longer one is kept.
        max_mb: total size of the snippets in the folder; the oldest are deleted for a new one.

    Attributes: n_written, n_lost.

    Raises:
        ValueError: an argument is out of range. OSError: the folder cannot be made.
    """

    def __init__(self, folder: str | Path = "snippets", samp_rate: float = 1e6, center_freq: float = 0.0, pre_s: float = 0.05,
                 post_s: float = 0.05, max_s: float = 1.0, max_mb: float = 1000.0) -> None:
        gr.sync_block.__init__(self, "snippet_recorder", [np.complex64], None)
        self.init_safe_block()
        for name, value, low in (("samp_rate", samp_rate, 1e-9), ("pre_s", pre_s, 0), ("post_s", post_s, 0),
                                 ("max_s", max_s, 1e-6), ("max_mb", max_mb, 1e-6)):
            if not low <= value < float("inf"):
                raise ValueError(f"{name} {value:g} is out of range: it must be at least {low:g}")
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._rate, self._freq, self._max_bytes = float(samp_rate), float(center_freq), max_mb * 1e6
        self._pre, self._post, self._max = (round(value * self._rate) for value in (pre_s, post_s, max_s))
        self._ring = PreRoll(self._pre + self._max + self._post + round(_LATE_S * self._rate))
        self._cuts: list[tuple[int, float]] = [(0, self._freq)]  # positions of tags, and the frequency from there on
        self._wanted: dict[str, _Wanted] = {}
        self._lock = threading.Lock()
        self._queue: queue.Queue = queue.Queue(_QUEUE)
        self._writer = None
        self.n_written = self.n_lost = 0
        self.add_input_port(keys.EVENTS, self.handle_events)

    def counters(self):
        return {keys.EVENTS: self.n_written, keys.DROPPED_FRAMES: self.n_lost}

    @handler
    def handle_events(self, message):
        event = metadata(message)
        try:
            identity, start, count = str(event[keys.EVENT_ID]), int(event[keys.SAMPLE_START]), int(event[keys.SAMPLE_COUNT])
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedMessage(f"an event without event_id, sample_start, sample_count ({error})") from error
        with self._lock:
            wanted = self._wanted.get(identity)
            if wanted is None:
                if event.get(keys.STATE) != "open" or event.get(keys.ALERT) == "gone":
                    return  # written already, being long; or of an emitter that is silent
                wanted = self._wanted[identity] = _Wanted(event, start - self._pre, 0)
            first = wanted.event
            if event.get(keys.ALERT) and start > first[keys.SAMPLE_START] + first[keys.SAMPLE_COUNT]:
                start, count = first[keys.SAMPLE_START], first[keys.SAMPLE_COUNT]  # a later transmission: the first one is over
                over = True
            else:
                wanted.event, over = event, event.get(keys.STATE) == "close"
            longest = start + self._max + self._post
            wanted.stop = min(longest, start + count + self._post) if over else longest
            wanted.wait = round(_TOLD_S * self._rate) if event.get(keys.ALERT) and not over else 0
            self._hand_over(ended=False)

    def _work(self, input_items, output_items):
        samples = input_items[0]
        with self._lock:
            for tag in self.get_tags_in_window(0, 0, len(samples)):
                if tag_key(tag) in (keys.RX_FREQ, keys.RX_RATE, keys.RX_TIME):
                    if tag_key(tag) == keys.RX_FREQ:
                        self._freq = pmt.to_double(tag.value)
                    self._cuts.append((tag.offset, self._freq))
            self._cuts.sort()
            while len(self._cuts) > 1 and self._cuts[1][0] < self._ring.begin:
                self._cuts.pop(0)
            self._ring.add(samples)
            self._hand_over(ended=False)
        return len(samples)

    def _hand_over(self, ended: bool):
        """Gives the writer what is complete; when the stream has ended, all that there is."""
        for identity, wanted in list(self._wanted.items()):
            if self._ring.end < wanted.stop + wanted.wait and not ended:
                continue
            del self._wanted[identity]
            if wanted.wait:  # an alert stays open: its first transmission lasted for as long as was told
                event = wanted.event
                wanted.stop = min(wanted.stop, event[keys.SAMPLE_START] + event[keys.SAMPLE_COUNT] + self._post)
            first = wanted.start + self._pre  # the event itself
            cut, freq = max((c for c in self._cuts if c[0] <= first), default=self._cuts[0])
            stop = min([wanted.stop, *(c[0] for c in self._cuts if c[0] > first)])
            start, samples = self._ring.read(max(wanted.start, cut), stop)
            if len(samples):
                try:
                    self._queue.put_nowait((wanted.event, start, samples, freq))
                except queue.Full:
                    self.n_lost += 1
                    if self.log_due("lost"):
                        text = f"the disk is too slow: {self.n_lost} snippets lost so far"
                        self.logger.warn(text)
                        self.publish_status("lost_snippet", text)

    def _start(self):
        self._writer = threading.Thread(target=self._write_all, daemon=True)
        self._writer.start()

    def _stop(self):
        with self._lock:
            self._hand_over(ended=True)
        writer, self._writer = self._writer, None
        if writer is not None:
            self._queue.put(None)
            writer.join(timeout=10.0)
        while not self._queue.empty():  # snippets of events that were handled after the writer had ended
            self._write_one(self._queue.get())

    def _write_all(self):
        while (item := self._queue.get()) is not None:
            if not self._write_one(item):
                return

    def _write_one(self, item) -> bool:
        try:
            self._write(*item)
            return True
        except Exception as error:  # noqa: BLE001 (a thread of the block: the flowgraph must learn of it)
            self.fail("write", error)
            return False

    def _write(self, event: dict, start: int, samples: np.ndarray, freq: float):
        data = samples.astype("<c8").tobytes()
        self._make_room(len(data))
        note = annotation_of(event, -start)
        note["core:sample_count"] = max(1, min(note["core:sample_count"], len(samples) - note["core:sample_start"]))
        timestamp = event.get(keys.TIMESTAMP)
        began = None if timestamp is None else timestamp + (start - event[keys.SAMPLE_START]) / self._rate
        moment = datetime.fromtimestamp(began or 0.0, UTC)
        name = f"event-{moment:%Y%m%dT%H%M%S}-{event[keys.EVENT_ID]}"
        write_encoded(self._folder / name, data, self._rate, "cf32_le", description="samples around an event",
                      center_freq_hz=freq, datetime=None if began is None else f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z",
                      annotations=[note], extra={"core:recorder": "gr-spectrumencoder", "core:extensions": [EXTENSION]})
        self.n_written += 1

    def _make_room(self, n_bytes: int):
        """Deletes the oldest snippets until the new one fits."""
        files = sorted((f for f in self._folder.glob(f"event-*{DATA_SUFFIX}")), key=lambda f: f.stat().st_mtime)
        total = sum(f.stat().st_size for f in files)
        for file in files:
            if total + n_bytes <= self._max_bytes:
                break
            total -= file.stat().st_size
            with contextlib.suppress(FileNotFoundError):
                file.with_suffix(META_SUFFIX).unlink()
            file.unlink()
