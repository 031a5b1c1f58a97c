# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples that lie in a file as they are: raw IQ, and what other formats share with it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import RawIOBase
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .recording import Annotation, Capture, Recording, RecordingError
from .sample_format import SampleFormat, parse_datatype

_PIECE = 16384  # samples read at a time: between file and result they stay in the second cache of a core
_SPAN = 1 << 18  # bytes of short runs read at a time
_ENDS = 4096  # bytes at the ends of a file by which it is known again
_MAX_HEADERS = 1000  # runs that SigMF metadata describe: of a pcap file there are millions
_MAX_JOINED = 4096  # short runs looked at together


class Run(NamedTuple):
    """Samples [first, last) that follow each other in the file from byte `byte_start` on."""

    first: int
    last: int
    byte_start: int


class SampleFile:
    """Samples of one data type in a file, in runs with other bytes between them.

    Args:
        path: of the file.
        datatype: SigMF name, or one of those that ``SampleFormat`` adds. RecordingError if none has it.
        n_channels, channel: of samples that are interleaved, and the one to read.
        byte_start: of the first sample, until ``runs`` are set.
        byte_stop: behind the last byte of a sample; None is the end of the file.

    Attributes:
        path; size: bytes in the file; n_samples: in all runs.
        stride_bytes: bytes from one sample of a channel to the next.
    """

    def __init__(self, path: Path, datatype: str, *, n_channels: int = 1, channel: int = 0, byte_start: int = 0,
                 byte_stop: int | None = None):
        self.path, self.format, self.n_channels, self.channel = Path(path), SampleFormat(datatype), n_channels, channel
        self.stride_bytes, self._opened = self.format.sample_bytes * n_channels, self.path.stat()
        self.size = self._opened.st_size
        self._print = self._fingerprint()
        stop = self.size if byte_stop is None else min(byte_stop, self.size)
        self.set_pieces([byte_start], [self.whole_samples(stop - byte_start)])

    @property
    def n_samples(self) -> int:
        return int(self._ends[-1])

    @property
    def n_runs(self) -> int:
        return len(self._starts)

    @property
    def runs(self) -> list[Run]:
        """The runs, by their samples."""
        return [Run(int(end - count), int(end), int(start))
                for start, count, end in zip(self._starts, self._counts, self._ends, strict=True)]

    @runs.setter
    def runs(self, runs: Sequence[Run]) -> None:
        self.set_pieces([run.byte_start for run in runs], [run.last - run.first for run in runs])

    def set_pieces(self, byte_starts: Sequence[int] | np.ndarray, counts: Sequence[int] | np.ndarray) -> None:
        """Sets the runs by the first byte and the samples of each, without an object for each of a million packets.

        Raises:
            RecordingError: they hold no sample.
        """
        self._starts, self._counts = np.asarray(byte_starts, np.int64), np.asarray(counts, np.int64)
        self._ends = np.cumsum(self._counts)
        if not len(self._ends) or self._ends[-1] < 1:
            raise RecordingError(f"{self.path}: no whole sample in its {self.size} bytes; it is empty or truncated")

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
            RecordingError: the file has been replaced or changed, or has become shorter or unreadable, since it was opened.
        """
        try:  # no memory map: one whose file is cut off kills the process
            with self.path.open("rb", buffering=0) as file:
                self._check_unchanged(file)
                if len(self._starts) == 1:
                    self._read_run(file, int(self._starts[0]) + start * self.stride_bytes, out)
                    return
                lows, sizes = self._parts(start, start + len(out))
                done = i = 0
                while i < len(lows):
                    n_runs = _short_runs(lows[i:i + _MAX_JOINED], sizes[i:i + _MAX_JOINED])
                    part = out[done:done + int(sizes[i:i + n_runs].sum()) // self.stride_bytes]
                    if n_runs > 1:
                        self._read_joined(file, lows[i:i + n_runs], sizes[i:i + n_runs], part)
                    else:
                        self._read_run(file, int(lows[i]), part)
                    done, i = done + len(part), i + n_runs
        except OSError as error:
            raise RecordingError(f"{self.path}: cannot be read ({error})") from error

    def _check_unchanged(self, file: RawIOBase) -> None:
        """Raises RecordingError if it is another file than was opened, or was written since. One that only grows is the same."""
        now, before = os.fstat(file.fileno()), self._opened
        if (now.st_dev, now.st_ino) != (before.st_dev, before.st_ino):
            raise RecordingError(f"{self.path}: was replaced since it was opened; open it again")
        if now.st_mtime_ns == before.st_mtime_ns or now.st_size < self.size:  # a shorter one is an error where it ends
            return
        if now.st_size == self.size or self._fingerprint() != self._print:
            raise RecordingError(f"{self.path}: was changed since it was opened; open it again")
        self._opened = now

    def _fingerprint(self) -> bytes:
        """The first bytes, and the last of those that were there when it was opened."""
        with self.path.open("rb", buffering=0) as file:
            head = os.pread(file.fileno(), _ENDS, 0)
            return head + os.pread(file.fileno(), _ENDS, max(0, self.size - _ENDS))

    def _parts(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """First byte and bytes of the runs, or parts of runs, with samples [start, stop)."""
        first, last = np.searchsorted(self._ends, (start, stop - 1), "right")
        runs = slice(int(first), int(last) + 1)
        begins, ends = self._ends[runs] - self._counts[runs], self._ends[runs]
        lows = self._starts[runs] + (np.maximum(begins, start) - begins) * self.stride_bytes
        return lows, (np.minimum(ends, stop) - np.maximum(begins, start)) * self.stride_bytes

    def _read_run(self, file: RawIOBase, byte_start: int, out: np.ndarray) -> None:
        raw = np.empty((min(len(out), _PIECE), self.stride_bytes), np.uint8)
        file.seek(byte_start)
        for done in range(0, len(out), _PIECE):
            piece = raw[:len(out) - done]
            self._fill(file, piece.data.cast("B"))
            self._decode(piece, out[done:done + len(piece)])

    def _read_joined(self, file: RawIOBase, lows: np.ndarray, sizes: np.ndarray, out: np.ndarray) -> None:
        """Short runs and what lies between them in one read."""
        file.seek(int(lows[0]))
        span = memoryview(bytearray(int(lows[-1] + sizes[-1] - lows[0])))
        self._fill(file, span)
        joined = b"".join([span[low:low + size] for low, size in zip((lows - lows[0]).tolist(), sizes.tolist(), strict=True)])
        self._decode(np.frombuffer(joined, np.uint8).reshape(-1, self.stride_bytes), out)

    def _fill(self, file: RawIOBase, into: memoryview) -> None:
        done = 0
        while done < len(into) and (more := file.readinto(into[done:])):
            done += more
        if done < len(into):
            raise RecordingError(f"{self.path}: has become shorter since it was opened; open it again")

    def _decode(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Bytes (n, stride_bytes) to out (n,)."""
        if self.n_channels > 1:
            rows = np.ascontiguousarray(rows.reshape(len(rows), self.n_channels, -1)[:, self.channel])
        self.format.decode_into(rows.reshape(-1), out)


def _short_runs(lows: np.ndarray, sizes: np.ndarray) -> int:
    """How many of these runs one read takes together: 1, or several that lie in order in _SPAN bytes."""
    highs = lows + sizes
    fits = (highs - lows[0] <= _SPAN) & (lows >= np.concatenate((lows[:1], highs[:-1])))
    return max(1, len(fits) if fits.all() else int(np.argmin(fits)))


class FileRecording(Recording):
    """A recording whose samples lie in one file. `path` is that file, unless another one names the recording.

    Attributes: samples (the SampleFile), data_path (its file; None if that is temporary), n_channels, channel; besides those of
    ``Recording``.
    """

    def __init__(self, name: str, samples: SampleFile, samp_rate: float, captures: Sequence[Capture] = (),
                 annotations: Sequence[Annotation] = (), *, path: Path | None = None):
        super().__init__(name, samp_rate, samples.n_samples, captures, annotations, path=path or samples.path,
                         datatype=samples.format.name, data_paths=[samples.path])
        self.samples = samples
        self.data_path: Path | None = samples.path
        self.n_channels, self.channel, self.size_bytes = samples.n_channels, samples.channel, samples.size

    def sigmf_meta(self, path: Path) -> dict:
        """As ``Recording.sigmf_meta``. In the folder of the samples it names them (``core:dataset``), and the other bytes between
        them (``core:header_bytes``, ``core:trailing_bytes``), so that others find each sample."""
        meta = super().sigmf_meta(path)
        sigmf_name = self.samples.format.sigmf_name
        meta["global"]["core:datatype"] = sigmf_name  # of samples that others cannot find it says no more than this
        if path.parent.resolve() != self.samples.path.parent.resolve() or sigmf_name != self.datatype \
                or self.samples.n_runs > _MAX_HEADERS:
            return meta
        captures, end = {capture["core:sample_start"]: capture for capture in meta["captures"]}, 0
        for run in self.samples.runs:
            if run.byte_start > end:
                before = self.capture_at(run.first)
                capture = captures.setdefault(run.first, {"core:sample_start": run.first} | (
                    {} if before.frequency_hz is None else {"core:frequency": before.frequency_hz}))
                capture["core:header_bytes"] = run.byte_start - end
            end = run.byte_start + (run.last - run.first) * self.samples.stride_bytes
        head = meta["global"] | {"core:dataset": self.samples.path.name}
        del head["core:metadata_only"]
        if self.samples.size > end:
            head["core:trailing_bytes"] = self.samples.size - end
        return meta | {"global": head, "captures": [captures[first] for first in sorted(captures)]}

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
        raise RecordingError(f"{path}: is a stream, no file; the command run reads one, others take files" if path.exists() else
                             f"{path}: no such file; check the path")
    return FileRecording(path.stem, SampleFile(path, name), 0.0)
