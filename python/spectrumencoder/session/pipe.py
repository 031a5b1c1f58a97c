# SPDX-License-Identifier: GPL-3.0-or-later
"""A source of a run's samples beside those of ``sources``: a pipe, a FIFO, standard input."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from .errors import SessionError, SettingError
from .sources import RECORDING_BUFFER_FRAMES, RadioSource, RecordingSource

STDIN = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")


def is_pipe(source: str) -> bool:
    """Whether a source is a stream: standard input, or a path that is neither a file nor a folder."""
    if source in STDIN:
        return True
    try:
        mode = os.stat(source).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


class PipeSource:
    """Raw samples from a stream, up to its end. Nothing is dropped: the writer waits while the chain is busy.

    The attributes are those of RecordingSource; ``recording`` and ``total`` are None.

    Args:
        source: as of ``is_pipe``.
        stated: arguments of ``open_recording``: rate and datatype are needed; freq, start, offset_hz, skip_s and seconds
            may be given.

    Raises:
        SettingError: an argument is missing or not valid. SessionError: the stream cannot be opened.
    """

    overload, time_source, pad_batch, finite = "wait", "tag", 16, True
    recording = total = reconnects = None
    freq_offset = 0.0

    def __init__(self, source: str, stated: dict[str, Any]):
        from ..recordings import RecordingArgumentError
        from ..recordings.sample_format import SampleFormat, parse_datatype
        from ..recordings.stated import Stated, add_seconds
        from .pipe_source import pipe_source
        self.name = "standard input" if source in STDIN else Path(source).name
        wanted = Stated(**stated)
        try:
            wanted.check(Path(self.name))
            start = wanted.start_parts(Path(self.name))
        except RecordingArgumentError as error:
            raise SettingError(str(error)) from error
        missing = [word for word, value in (("--rate HZ", wanted.rate), ("--format TYPE", wanted.datatype)) if value is None]
        if wanted.rate is None or wanted.datatype is None:
            raise SettingError(f"{self.name}: a stream is samples alone; give {' and '.join(missing)}, such as --rate 2.4M "
                               "--format cu8")
        if wanted.channel is not None:
            raise SettingError(f"{self.name}: channel {wanted.channel} is asked for; a stream has one; leave it out")
        freq = None if wanted.freq is None else wanted.freq + wanted.offset_hz
        self._descriptor = self._open(source)
        self.samp_rate, self.center_freq = wanted.rate, freq or 0.0
        skip, count = (round(seconds * wanted.rate) for seconds in (wanted.skip_s, wanted.seconds or 0.0))
        if start is not None:
            start = add_seconds(start, skip / wanted.rate)
        self.block = pipe_source(self._descriptor, SampleFormat(parse_datatype(wanted.datatype)), wanted.rate, freq, start,
                                 skip, count)
        self.watched = [self.block]
        self.notes = () if freq is not None else ("the centre frequency is not known: frequencies count from it; --freq HZ "
                                                  "states it",)
        self._fft_size, self._skip_s = 1, wanted.skip_s

    def _open(self, source: str) -> int:
        try:
            if source not in STDIN:
                return os.open(source, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO's writer may come later
            if os.isatty(0):
                raise SessionError("standard input is a terminal; pipe samples into it, such as rtl_sdr ... - | "
                                   "spectrumencoder run -")
            os.fstat(0)
            return 0
        except OSError as error:
            raise SessionError(f"{self.name}: cannot be read ({error.strerror})") from error

    def buffer_frames(self, frame_hop: float) -> int:
        """Room between the stages, in frames of `frame_hop` samples."""
        return RECORDING_BUFFER_FRAMES

    def check(self, fft_size: int) -> None:
        """Takes note of the length of an FFT; the stream's length is not known yet."""
        self._fft_size = fft_size

    @property
    def n_samples(self) -> int:
        """Samples read so far."""
        return self.block.n_samples

    def begin(self) -> None:
        """Called right before the flowgraph starts."""

    def ended(self) -> bool:
        """Asked ten times a second: whether the run is to stop in good order. A stream ends by itself."""
        return False

    @property
    def fault(self) -> str:
        """Why there was nothing to analyse; "" if there was."""
        if self.block.refusal:
            return (f"the stream begins like a file of the format {self.block.refusal}, and is not read as samples; name the "
                    "file instead of piping it")
        if not self.n_samples and self._skip_s and self.block.n_read:
            return f"the stream ended before --skip {self._skip_s:g} s of it; give less"
        if not self.n_samples:
            return "the stream ended before its first sample; see whether the program that writes it works"
        if self.n_samples < self._fft_size:
            return (f"the stream ended after {self.n_samples} samples, fewer than one FFT of {self._fft_size}: there is nothing "
                    "to analyse")
        return ""


Source = RecordingSource | RadioSource | PipeSource
