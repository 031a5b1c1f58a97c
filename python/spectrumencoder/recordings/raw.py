# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples that lie in a file as they are: raw IQ, and what other formats share with it."""

from __future__ import annotations

from collections.abc import Sequence
from io import RawIOBase
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .recording import Annotation, Capture, Recording, RecordingError
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
                         datatype=samples.format.name, data_paths=[samples.path])
        self.samples, self.data_path = samples, samples.path
        self.n_channels, self.channel, self.size_bytes = samples.n_channels, samples.channel, samples.size

    def _read_samples(self, start: int, out: np.ndarray) -> None:
        self.samples.read_into(start, out)


def open_raw(path: Path, datatype: str) -> FileRecording:
    """Opens a file of nothing but samples. Its rate and frequency are to be filled in.

    Args:
        datatype: SigMF name such as "cf32_le", "ci16_le", "cu8", or a synonym such as "rtl".

    Raises:
        RecordingArgumentError: the data type is not known. RecordingError: the file is missing or empty.
    """
    name = parse_datatype(datatype)
    if not path.is_file():
        raise RecordingError(f"{path}: no such file; check the path")
    return FileRecording(path.stem, SampleFile(path, name), 0.0)


def _read_all(file: RawIOBase, into: memoryview) -> int:
    """Bytes read: fewer than there is room for only at the end of the file."""
    done = 0
    while done < len(into) and (more := file.readinto(into[done:])):
        done += more
    return done
