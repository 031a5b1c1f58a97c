# SPDX-License-Identifier: GPL-3.0-or-later
"""Source block: a recording of any format, or raw IQ, as complex samples with the tags that a radio would give."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pmt
from gnuradio import gr

from .. import keys
from ..recordings import Recording, open_recording
from .safe_block import WORK_DONE, SafeBlock

_RX_FREQ, _RX_RATE, _RX_TIME = (pmt.intern(key) for key in (keys.RX_FREQ, keys.RX_RATE, keys.RX_TIME))
_CHUNK = 1 << 18  # samples in the output buffer; a call fills half of it, so calls are few and cheap
_THROTTLE_STEP_S = 0.01


class sigmf_source(SafeBlock, gr.sync_block):
    """Plays a recording once or repeatedly.

    Output 0: complex samples, full scale = 1.0. Message output: `status`.

    Tags ``rx_freq`` (Hz), ``rx_rate`` (Hz) and ``rx_time`` (tuple of whole seconds and fraction) come at the first
    sample and wherever a capture starts, as far as the metadata states them; when the recording repeats they come again
    at the seam, so that no frame is averaged across it. Each start of the flowgraph plays from the beginning.

    Args:
        file: a ``Recording``; or the path of one, such as NAME.sigmf-meta, or of raw samples if their name or ``datatype`` says
            what they are.
        repeat: start again at the end.
        throttle: output samples no faster than ``samp_rate`` by the clock; else as fast as the flowgraph takes them.
        samp_rate: Hz; 0: as the file states. It goes before that, with a note.
        datatype: of raw samples only: a SigMF type such as "cf32_le" or a synonym such as "rtl".
        center_freq: Hz, of raw samples, or of captures that state none. If all captures state theirs, it goes before the first
            one's, and the others move with it. None: not stated; a capture without frequency among others is tagged NaN.
        start, count: the part to play, in samples; count 0 plays to the end.
        channel: of a file with several, counted from 0; -1: the first, with a note.
        freq_offset: Hz, added to each frequency: of a converter (LNB, upconverter).
        start_time: of the file's first sample, ISO 8601; "": as the file states.

    Raises:
        RecordingError: the file is missing, truncated or invalid, or an argument does not go with it.
        ValueError: an argument is out of range, or is for the path of a file and a ``Recording`` was given.
    """

    def __init__(self, file: Recording | str | Path, repeat: bool = False, throttle: bool = False, samp_rate: float = 0.0,
                 datatype: str = "", center_freq: float | None = None, start: int = 0, count: int = 0, channel: int = -1,
                 freq_offset: float = 0.0, start_time: str = "") -> None:
        gr.sync_block.__init__(self, "sigmf_source", None, [np.complex64])
        self.init_safe_block()
        of_file = {"samp_rate": samp_rate, "datatype": datatype, "channel": "" if channel < 0 else channel + 1,
                   "freq_offset": freq_offset, "start_time": start_time}
        if isinstance(file, Recording) and any(of_file.values()):
            raise ValueError(f"{next(name for name, value in of_file.items() if value)} is for the path of a file; leave it out "
                             f"for the recording {file.name}, which is open already")
        self.recording = file if isinstance(file, Recording) else _open(
            file, rate=samp_rate or None, datatype=datatype or None, freq=center_freq if datatype else None,
            channel=None if channel < 0 else int(channel), offset_hz=float(freq_offset), start=start_time or None)
        n_samples = self.recording.n_samples
        if not 0 <= start < n_samples:
            raise ValueError(f"start {start} is outside 0..{n_samples - 1}, the samples of {self.recording.name}")
        if not 0 <= count <= n_samples - start:
            raise ValueError(f"count {count} is outside 0..{n_samples - start}, the samples of {self.recording.name} "
                             f"from {start} on")
        self.samp_rate = self.recording.samp_rate
        self._first, self._last = int(start), int(start + count) if count else n_samples
        self._repeat, self._throttle = bool(repeat), bool(throttle)
        self._position = self._first
        self._frequencies = _frequencies(self.recording, self._first, self._last, None if datatype else center_freq)
        self._tag_samples = sorted({self._first} | {capture.sample_start for capture in self.recording.captures
                                                    if self._first < capture.sample_start < self._last})
        self._clock_start: float | None = None
        self._clock_samples = 0
        self.set_min_output_buffer(_CHUNK)

    def _start(self):
        self._position = self._first
        self._clock_start = None
        self.publish_status("running", f"{self.recording.name}: {self._last - self._first} samples")
        for note in self.recording.notes:
            self.logger.info(f"{self.recording.name}: {note}")
            self.publish_status("note", note)

    def _stop(self):
        self.publish_status("stopped")

    def _work(self, input_items, output_items):
        if self._position >= self._last:
            if not self._repeat:
                return WORK_DONE
            self._position = self._first
        wanted = min(len(output_items[0]), self._last - self._position)
        if self._throttle:
            wanted = self._due(wanted)
        if wanted:
            self.recording.read_into(self._position, output_items[0][:wanted])
            self._tag(self._position, wanted)
            self._position += wanted
        return wanted

    def _tag(self, position: int, count: int):
        written = self.nitems_written(0)
        for sample in self._tag_samples:
            if position <= sample < position + count:
                offset = written + sample - position
                for key, value in self._tags_at(sample):
                    self.add_item_tag(0, offset, key, value)

    def _tags_at(self, sample: int):
        capture = self.recording.capture_at(sample)
        yield _RX_RATE, pmt.from_double(self.samp_rate)
        frequency_hz = self._frequencies(capture.frequency_hz)
        if frequency_hz is not None:
            yield _RX_FREQ, pmt.from_double(frequency_hz)
        if capture.time_parts is not None:
            seconds, fraction = capture.time_parts
            whole, fraction = divmod(fraction + (sample - capture.sample_start) / self.samp_rate, 1.0)
            yield _RX_TIME, pmt.make_tuple(pmt.from_uint64(seconds + int(whole)), pmt.from_double(fraction))

    def _due(self, wanted: int) -> int:
        """The number of wanted samples that the clock allows now; sleeps a step if there are none."""
        now = time.monotonic()
        if self._clock_start is None:
            self._clock_start, self._clock_samples = now, 0
        due = int((now - self._clock_start) * self.samp_rate) - self._clock_samples
        if due <= 0:
            time.sleep(min(_THROTTLE_STEP_S, (1 - due) / self.samp_rate))
            due = int((time.monotonic() - self._clock_start) * self.samp_rate) - self._clock_samples
        wanted = max(0, min(wanted, due))
        self._clock_samples += wanted
        return wanted


def _open(file, **stated) -> Recording:
    if not str(file):
        raise ValueError("file is empty; name a .sigmf-meta file, or raw samples with their samp_rate and datatype")
    return open_recording(file, **stated)


def _frequencies(recording: Recording, first: int, last: int, stated: float | None) -> Callable[[float | None], float | None]:
    """From the frequency (Hz) that a capture of samples [first, last) states to that of its tag. None: none, NaN: not known."""
    if stated is not None and not math.isfinite(stated):
        raise ValueError(f"center_freq {stated} is not a finite number of Hz")
    begun = recording.capture_at(first)
    played = [begun.frequency_hz, *(c.frequency_hz for c in recording.captures if first < c.sample_start < last)]
    known = [hz for hz in played if hz is not None]
    if len(known) < len(played):
        silent = math.nan if stated is None and known else stated
        return lambda hz: silent if hz is None else hz
    shift = 0.0 if stated is None else stated - known[0]
    return lambda hz: None if hz is None else hz + shift
