# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples that lie in a file as they are: raw IQ, and what other formats share with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import RawIOBase
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .recording import Annotation, Capture, Recording, RecordingArgumentError, RecordingError
from .sample_format import SampleFormat, parse_datatype

_PIECE = 16384  # samples read at a time: between file and result they stay in the second cache of a core


class Run(NamedTuple):
    """Samples [first, last) that follow each other in the file from byte `byte_start` on."""

    first: int
    last: int
    byte_start: int


class SampleFile:
    """Samples of one data type in a file, in runs with other bytes between them.

    Args:
        path: of the file.
        datatype: SigMF name. RecordingError if none has it.
        n_channels, channel: of samples that are interleaved, and the one to read.
        byte_start: of the first sample, until ``runs`` are set.
        byte_stop: behind the last byte of a sample; None is the end of the file.

    Attributes:
        path, runs; size: bytes in the file; n_samples: in all runs.
        stride_bytes: bytes from one sample of a channel to the next.
    """

    def __init__(self, path: Path, datatype: str, *, n_channels: int = 1, channel: int = 0, byte_start: int = 0,
                 byte_stop: int | None = None):
        self.path, self.format, self.n_channels, self.channel = Path(path), SampleFormat(datatype), n_channels, channel
        self.stride_bytes, self.size = self.format.sample_bytes * n_channels, self.path.stat().st_size
        stop = self.size if byte_stop is None else min(byte_stop, self.size)
        self.runs = [Run(0, self.whole_samples(stop - byte_start), byte_start)]

    @property
    def n_samples(self) -> int:
        return self.runs[-1].last

    def whole_samples(self, n_bytes: int) -> int:
        """Samples in so many bytes; part of a sample at the end is left out.

        Raises:
            RecordingError: there is none.
        """
        if n_bytes < self.stride_bytes:
            raise RecordingError(f"{self.path}: no whole sample in its {self.size} bytes; it is empty or truncated")
        return n_bytes // self.stride_bytes

    def read_into(self, start: int, out: np.ndarray) -> None:
        """Samples [start, start + n), which all exist, into out (n,) complex64, contiguous.

        Raises:
            RecordingError: the file has become shorter or unreadable since it was opened.
        """
        for first, last, byte_start in self.runs:
            low, high = max(start, first), min(start + len(out), last)
            if low < high:
                self._read_run(byte_start + (low - first) * self.stride_bytes, out[low - start:high - start])

    def _read_run(self, byte_start: int, out: np.ndarray) -> None:
        raw = np.empty((min(len(out), _PIECE), self.stride_bytes), np.uint8)
        try:  # no memory map: one whose file is cut off kills the process
            with self.path.open("rb", buffering=0) as file:
                file.seek(byte_start)
                for done in range(0, len(out), _PIECE):
                    piece = raw[:len(out) - done]
                    if _read_all(file, piece.data.cast("B")) < piece.nbytes:
                        raise RecordingError(f"{self.path}: has become shorter since it was opened; open it again")
                    if self.n_channels > 1:
                        piece = np.ascontiguousarray(piece.reshape(len(piece), self.n_channels, -1)[:, self.channel])
                    self.format.decode_into(piece.reshape(-1), out[done:done + len(piece)])
        except OSError as error:
            raise RecordingError(f"{self.path}: cannot be read ({error})") from error


class FileRecording(Recording):
    """A recording whose samples lie in one file. `path` is that file, unless another one names the recording.

    Attributes: samples (the SampleFile), data_path (its file), n_channels, channel; besides those of ``Recording``.
    """

    def __init__(self, name: str, samples: SampleFile, samp_rate: float, captures: Sequence[Capture] = (),
                 annotations: Sequence[Annotation] = (), *, path: Path | None = None):
        super().__init__(name, samp_rate, samples.n_samples, captures, annotations, path=path or samples.path,
                         datatype=samples.format.name)
        self.samples, self.data_path = samples, samples.path
        self.n_channels, self.channel, self.size_bytes = samples.n_channels, samples.channel, samples.size

    def sigmf_meta(self, path: Path) -> dict:
        """As ``Recording.sigmf_meta``. In the folder of the samples it names them (``core:dataset``), and the other bytes between
        them (``core:header_bytes``, ``core:trailing_bytes``), so that others find each sample."""
        meta = super().sigmf_meta(path)
        if path.parent.resolve() != self.data_path.parent.resolve():
            return meta
        captures, end = {capture["core:sample_start"]: capture for capture in meta["captures"]}, 0
        for run in self.samples.runs:
            if run.byte_start > end:
                before = self.capture_at(run.first)
                capture = captures.setdefault(run.first, {"core:sample_start": run.first} | (
                    {} if before.frequency_hz is None else {"core:frequency": before.frequency_hz}))
                capture["core:header_bytes"] = run.byte_start - end
            end = run.byte_start + (run.last - run.first) * self.samples.stride_bytes
        head = meta["global"] | {"core:dataset": self.data_path.name}
        del head["core:metadata_only"]
        if self.samples.size > end:
            head["core:trailing_bytes"] = self.samples.size - end
        return meta | {"global": head, "captures": [captures[first] for first in sorted(captures)]}

    def _read_samples(self, start: int, out: np.ndarray) -> None:
        self.samples.read_into(start, out)


def open_raw(path: Path, rate: float, datatype: str, freq: float | None = None) -> FileRecording:
    """Opens a file of nothing but samples.

    Args:
        rate: Hz.
        datatype: SigMF name such as "cf32_le", "ci16_le", "cu8", or a synonym such as "rtl".
        freq: centre frequency in Hz; None: not known.

    Raises:
        RecordingArgumentError: an argument is not valid. RecordingError: the file is missing or empty.
    """
    check_arguments(path, rate, datatype, freq)
    if not path.is_file():
        raise RecordingError(f"{path}: no such file; check the path")
    capture = Capture(0, None if freq is None else float(freq))
    return FileRecording(path.stem, SampleFile(path, parse_datatype(datatype)), rate, [capture])


def check_arguments(path: Path, rate: float | None, datatype: str | None, freq: float | None) -> None:
    """Raises RecordingArgumentError if one of the arguments of ``open_raw`` is given and not valid."""
    if datatype is not None:
        parse_datatype(datatype)
    if rate is not None and not 0 < rate < math.inf:
        raise RecordingArgumentError(f"{path}: sample_rate is {rate:g}; state a positive number of Hz, it places signals in "
                                     "frequency")
    if freq is not None and not math.isfinite(freq):
        raise RecordingArgumentError(f"{path}: centre frequency {freq:g} is not a finite number of Hz")


def _read_all(file: RawIOBase, into: memoryview) -> int:
    """Bytes read: fewer than there is room for only at the end of the file."""
    done = 0
    while done < len(into) and (more := file.readinto(into[done:])):
        done += more
    return done
