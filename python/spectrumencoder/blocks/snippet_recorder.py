# SPDX-License-Identifier: GPL-3.0-or-later
"""Sink block: the IQ around each event as a SigMF recording of its own, from shortly before it began."""

from __future__ import annotations

import contextlib
import queue
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gnuradio import gr

from .. import keys
from .messages import MalformedMessage, metadata
from .pre_roll import PreRoll
from .safe_block import SafeBlock, handler
from .sigmf_annotator import annotation_of
from .snippet_file import file_name, write_snippet
from .tags import Break, SampleTags

_LATE_S = 2.0  # maximum delay of an event: twice max_latency of the encoder
_TOLD_S = 1.2  # within which an alert tells how long a transmission lasts, and a little
_QUEUE = 8     # snippets that wait to be written


@dataclass
class _Wanted:
    """An event whose samples are to be kept: number of the end, so far.

    wait: samples after that end, until an alert has told how long its first transmission lasts.
    """

    event: dict
    stop: int = 0
    wait: int = 0


class snippet_recorder(SafeBlock, gr.sync_block):
    """Keeps the last samples, and writes those around an event after it has closed or lasted ``max_s``.

    Input 0: the complex samples of the chain. Message input `events` (of ``anomaly_detector``). Message output: `status`.
    Each event becomes event-<time>-<id>.sigmf-meta and .sigmf-data (cf32), with the event as annotation; of an alert its first
    transmission, since an alert stays open. No snippet reaches across a retune or a gap. A thread of the block writes; if it
    cannot keep up, snippets are lost and counted.

    Args:
        folder: for the snippets; it is made.
        samp_rate, center_freq: Hz; 0: not stated. What is stated holds; tags are followed from there, as in ``fft_tokenizer``.
        pre_s, post_s: seconds before and after the event.
        max_s: maximum duration of an event; only the beginning of a longer one is kept.
        max_mb: total size of the snippets in the folder; the oldest are deleted for a new one.
        use_tags, rate_factor, freq_offset, tag_channel: see ``fft_tokenizer``; give both blocks the same.

    Attributes: n_written, n_lost.

    Raises:
        ValueError: an argument is out of range. OSError: the folder cannot be made.
    """

    def __init__(self, folder: str | Path = "snippets", samp_rate: float = 0.0, center_freq: float = 0.0, pre_s: float = 0.05,
                 post_s: float = 0.05, max_s: float = 1.0, max_mb: float = 1000.0, *, use_tags: bool = True,
                 rate_factor: float = 1.0, freq_offset: float = 0.0, tag_channel: int = 0) -> None:
        gr.sync_block.__init__(self, "snippet_recorder", [np.complex64], None)
        self.init_safe_block()
        for name, value, low in (("pre_s", pre_s, 0), ("post_s", post_s, 0), ("max_s", max_s, 1e-6), ("max_mb", max_mb, 1e-6)):
            if not low <= value < float("inf"):
                raise ValueError(f"{name} {value:g} is out of range: it must be at least {low:g}")
        self._tags = SampleTags(self, samp_rate, center_freq, use_tags=bool(use_tags), rate_factor=float(rate_factor),
                                freq_offset=float(freq_offset), tag_channel=int(tag_channel))
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._pre_s, self._post_s, self._max_s, self._max_bytes = float(pre_s), float(post_s), float(max_s), max_mb * 1e6
        self._begin()
        self._lock = threading.Lock()
        self._queue: queue.Queue = queue.Queue(_QUEUE)
        self._writer = None
        self.n_written = self.n_lost = 0
        self.add_input_port(keys.EVENTS, self.handle_events)

    def _begin(self):
        """A start: samples count from 0."""
        self._tags.restart()
        self._wanted: dict[str, _Wanted] = {}
        self._cuts = [Break(0, self._tags.samp_rate, self._tags.center_freq)]  # no snippet reaches across one
        self._ring = PreRoll(self._ring_size())

    def _ring_size(self) -> int:
        return round((self._pre_s + self._max_s + self._post_s + _LATE_S) * self._tags.samp_rate)

    def _cut_of(self, sample: int) -> Break:
        """The last break up to a sample: where its stretch begins, its rate and frequency."""
        return max((cut for cut in self._cuts if cut.offset <= sample), default=self._cuts[0], key=lambda cut: cut.offset)

    def counters(self):
        return {keys.EVENTS: self.n_written, keys.DROPPED_FRAMES: self.n_lost}

    @handler
    def handle_events(self, message):
        event = metadata(message)
        try:
            identity, start, count = str(event[keys.EVENT_ID]), int(event[keys.SAMPLE_START]), int(event[keys.SAMPLE_COUNT])
            file_name(event)  # what it takes to write it
            annotation_of(event)
        except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
            raise MalformedMessage(f"an event without event_id, sample_start, sample_count, or a time ({error})") from error
        event |= {keys.SAMPLE_START: start, keys.SAMPLE_COUNT: count}
        with self._lock:
            rate = self._cut_of(start).samp_rate
            post, most = round(self._post_s * rate), round(self._max_s * rate)
            wanted = self._wanted.get(identity)
            if wanted is None:
                if event.get(keys.STATE) != "open" or event.get(keys.ALERT) == "gone":
                    return  # written already, being long; or of an emitter that is silent
                wanted = self._wanted[identity] = _Wanted(event)
            first = wanted.event
            if event.get(keys.ALERT) and start > first[keys.SAMPLE_START] + first[keys.SAMPLE_COUNT]:
                start, count = first[keys.SAMPLE_START], first[keys.SAMPLE_COUNT]  # a later transmission: the first one is over
                over = True
            else:
                wanted.event, over = event, event.get(keys.STATE) == "close"
            longest = start + most + post
            wanted.stop = min(longest, start + count + post) if over else longest
            wanted.wait = round(_TOLD_S * rate) if event.get(keys.ALERT) and not over else 0
            self._hand_over(ended=False)

    def _work(self, input_items, output_items):
        samples, begin = input_items[0], self.nitems_read(0)
        with self._lock:
            done, rate = 0, self._tags.samp_rate
            for cut in self._tags.take(self.get_tags_in_window(0, 0, len(samples))):
                if cut.samp_rate != rate:  # the ring's length follows the rate
                    self._ring.add(samples[done:cut.offset - begin])
                    done, rate = cut.offset - begin, cut.samp_rate
                    self._renew_ring(cut)
                if cut.offset == self._cuts[-1].offset:
                    self._cuts.pop()
                self._cuts.append(cut)
            while len(self._cuts) > 1 and self._cuts[1].offset < self._ring.begin:
                self._cuts.pop(0)
            self._ring.add(samples[done:])
            self._hand_over(ended=False)
        return len(samples)

    def _renew_ring(self, cut: Break):
        """Another rate holds from the next sample on: what began before the cut is complete."""
        before = self._ring
        if before.end > before.begin:
            self._cuts.append(cut)  # for the end of what is handed over
            self._hand_over(ended=True, before=cut.offset)
            self._cuts.pop()
        self._ring = PreRoll(self._ring_size(), cut.offset)

    def _hand_over(self, ended: bool, before: int | None = None):
        """Gives the writer what is complete; when the stream has ended, all that there is. before: only what began before it."""
        for identity, wanted in list(self._wanted.items()):
            first = wanted.event[keys.SAMPLE_START]
            if (self._ring.end < wanted.stop + wanted.wait and not ended) or (before is not None and first >= before):
                continue
            del self._wanted[identity]
            cut = self._cut_of(first)
            if wanted.wait:  # an alert stays open: its first transmission lasted for as long as was told
                wanted.stop = min(wanted.stop, first + wanted.event[keys.SAMPLE_COUNT] + round(self._post_s * cut.samp_rate))
            stop = min([wanted.stop, *(c.offset for c in self._cuts if c.offset > first)])
            start, samples = self._ring.read(max(first - round(self._pre_s * cut.samp_rate), cut.offset), stop)
            if len(samples):
                try:
                    self._queue.put_nowait((wanted.event, start, samples, cut))
                except queue.Full:
                    self.n_lost += 1
                    if self.log_due("lost"):
                        text = f"the disk is too slow: {self.n_lost} snippets lost so far"
                        self.logger.warn(text)
                        self.publish_status("lost_snippet", text)

    def _start(self):
        with self._lock:
            if self.nitems_read(0) == 0 and self._ring.end:  # started again
                self._begin()
        self._writer = threading.Thread(target=self._write_all, daemon=True)
        self._writer.start()

    def _stop(self):
        with self._lock:
            self._hand_over(ended=True)
        writer, self._writer = self._writer, None
        while writer is not None and writer.is_alive():
            with contextlib.suppress(queue.Full):  # a writer that has failed empties it no more
                self._queue.put(None, timeout=0.1)
                writer.join(timeout=10.0)
                break
        while not self._queue.empty():  # snippets of events that were handled after the writer had ended
            if (item := self._queue.get()) is not None:
                self._write_one(item)

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

    def _write(self, event: dict, start: int, samples: np.ndarray, cut: Break):
        write_snippet(self._folder, self._max_bytes, event, start, samples, cut.samp_rate, cut.center_freq)
        self.n_written += 1
