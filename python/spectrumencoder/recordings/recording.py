# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface that all recordings share, whatever format their file has."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

_DATETIME = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)([.,]\d*)?\s*([Zz]|[+-]\d\d:?\d\d)?")
END_OF_TIME = 253402300800  # seconds since 1970: the year 10000, which no calendar of Python's has
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RecordingError(Exception):
    """A recording that is missing, truncated or not valid; one line that says what is wrong and what to do."""


class RecordingArgumentError(RecordingError, ValueError):
    """An argument that does not go with the file: a data type for a file that states its own, or one that is missing."""


@dataclass(frozen=True)
class Capture:
    """A stretch of samples from ``sample_start`` on, at one centre frequency (None: not stated).

    ``time_parts`` is the time of its first sample as (whole seconds, fraction) since 1970 UTC, or None: not stated.
    """

    sample_start: int
    frequency_hz: float | None = None
    time_parts: tuple[int, float] | None = None

    @property
    def posix_time(self) -> float | None:
        """Seconds since 1970 UTC as one float, which keeps about six digits of the fraction; None: not stated."""
        return None if self.time_parts is None else self.time_parts[0] + self.time_parts[1]


@dataclass(frozen=True)
class Annotation:
    """A marked stretch of samples; ``sample_count`` reaches to the end of the file if the file states none."""

    sample_start: int
    sample_count: int
    label: str = ""
    freq_lower_hz: float | None = None
    freq_upper_hz: float | None = None
    comment: str = ""


class Recording(ABC):
    """Complex samples with their rate, tunings, times and marks. A format supplies ``_read_samples``, and its facts to the
    constructor; everything else is the same for all of them.

    Sample numbers count from the first sample in the file.

    Args:
        name: of the recording, as results bear it.
        samp_rate: Hz.
        n_samples: samples in all, at least 1.
        captures: by their first sample; empty is one capture without frequency and time.
        annotations: marks that the file holds.
        path: the file that names the recording; None for one in memory.
        datatype: the samples' type in the file, as SigMF names it.
        data_paths: the files with the samples.

    Attributes:
        name, samp_rate, n_samples, captures, annotations, path, datatype, data_paths: as the arguments. A reader may leave
            samp_rate 0.0: its file does not state it. ``open_recording`` never does.
        format_name: as people call the file's format.
        origins: where "samp_rate", "frequency", "time", "datatype" and "channels" were taken from, such as "core:frequency",
            "auxi chunk", "name", "stated" or "unknown".
        notes: lines that the user should read.
        offset: what to add to sample numbers when they are written back (``core:offset`` of SigMF).
        n_channels, channel: channels in the file, and the one that this recording is, counted from 0.
        license: as the file states it; "" if it states none.
        size_bytes: of the file with the samples; 0 if they are in memory.
    """

    format_name: str = ""
    offset: int = 0
    n_channels: int = 1
    channel: int = 0
    license: str = ""
    size_bytes: int = 0

    def __init__(self, name: str, samp_rate: float, n_samples: int, captures: Sequence[Capture] = (),
                 annotations: Sequence[Annotation] = (), *, path: Path | None = None, datatype: str = "cf32_le",
                 data_paths: Sequence[Path] = ()):
        self.name, self.samp_rate, self.n_samples = name, float(samp_rate), int(n_samples)
        self.path, self.datatype, self.data_paths = path, datatype, list(data_paths)
        self.origins: dict[str, str] = {}
        self.notes: list[str] = []
        self.captures, self.annotations = list(captures) or [Capture(0)], list(annotations)

    @abstractmethod
    def _read_samples(self, start: int, out: np.ndarray) -> None:
        """Reads samples [start, start + n) into out (n,) complex64, contiguous, full scale = 1.0. All of them exist, n > 0.

        Raises:
            RecordingError: the file has become shorter or unreadable since it was opened.
        """

    def timed_captures(self) -> list[Capture]:
        """The captures, with the times that follow from others by the rate. ``open_recording`` asks once it knows both."""
        return self.captures

    @property
    def duration_s(self) -> float:
        """Seconds of signal."""
        return self.n_samples / self.samp_rate

    @property
    def frequency_hz(self) -> float | None:
        """Centre frequency of the first capture; None: not stated."""
        return self.captures[0].frequency_hz

    def capture_at(self, sample: int) -> Capture:
        """The capture that holds a sample."""
        return next((c for c in reversed(self.captures) if c.sample_start <= sample), self.captures[0])

    def read(self, start: int = 0, count: int | None = None) -> np.ndarray:
        """Samples [start, start + count) as complex64 (n,), full scale = 1.0.

        Fewer if the recording ends before; up to its end if count is None.

        Raises:
            ValueError: start or count is negative.
            RecordingError: the file has become shorter or unreadable since it was opened.
        """
        if start < 0 or (count is not None and count < 0):
            raise ValueError(f"read({start}, {count}): start and count must not be negative")
        stop = self.n_samples if count is None else min(start + count, self.n_samples)
        out = np.empty(max(0, stop - start), np.complex64)
        if len(out):
            self._read_samples(start, out)
        return out

    def read_into(self, start: int, out: np.ndarray) -> None:
        """As ``read``, into out (n,) complex64, contiguous: samples [start, start + n), all of which must exist.

        Raises:
            ValueError: start is negative, or there are fewer samples.
            RecordingError: the file has become shorter or unreadable since it was opened.
        """
        if start < 0 or start + len(out) > self.n_samples:
            raise ValueError(f"read_into({start}) of {len(out)} samples: there are {self.n_samples}")
        if len(out):
            self._read_samples(start, out)

    def verify(self) -> bool:
        """Compares the samples with the checksum that the file states; False if it states none.

        Raises:
            RecordingError: the samples are not those that the checksum was computed of.
        """
        return False

    def sigmf_meta(self, path: Path) -> dict:
        """SigMF metadata of this recording, for a file at `path`. Its samples stay where they are, in their own format.

        A capture that states no frequency gets none: edges of its annotations count from the middle of the band.
        """
        captures = [{"core:sample_start": c.sample_start,
                     **({} if c.frequency_hz is None else {"core:frequency": c.frequency_hz}),
                     **({} if c.time_parts is None else {"core:datetime": iso_time(c.time_parts)})} for c in self.captures]
        return {"global": {"core:datatype": self.datatype, "core:sample_rate": self.samp_rate, "core:version": "1.2.0",
                           **({"core:num_channels": self.n_channels} if self.n_channels > 1 else {}),
                           "core:metadata_only": True},
                "captures": captures, "annotations": []}

    def own_meta(self, path: Path) -> dict:
        """SigMF metadata of these samples, for a file at `path` that holds them alone."""
        return self.sigmf_meta(path)


def parse_time(text: str) -> tuple[int, float]:
    """ISO 8601 -> (whole seconds, fraction) since 1970 UTC: a float of the sum could not keep the fraction's digits.

    Raises:
        ValueError: it is no time.
    """
    match = _DATETIME.fullmatch(text.strip())
    if match is None:
        raise ValueError("not ISO 8601")
    zone = match[3] if match[3] and match[3] not in "Zz" else "+00:00"
    moment = datetime.fromisoformat(f"{match[1][:10]}T{match[1][11:]}{zone}")
    return (moment - _EPOCH) // timedelta(seconds=1), float(f"0.{(match[2] or '.0')[1:] or 0}")


def iso_time(time_parts: tuple[int, float]) -> str:
    """(whole seconds, fraction) since 1970 UTC -> ISO 8601 with nine digits of the fraction."""
    seconds, nanoseconds = divmod(time_parts[0] * 10**9 + round(time_parts[1] * 1e9), 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


class MemoryRecording(Recording):
    """Samples (n,) complex64 in memory, at one centre frequency (Hz; None: not stated). ``read`` gives views of them."""

    def __init__(self, name: str, iq: np.ndarray, samp_rate: float, freq_hz: float | None = None):
        super().__init__(name, samp_rate, len(iq), [Capture(0, freq_hz)])
        self._iq = iq

    def read(self, start: int = 0, count: int | None = None) -> np.ndarray:
        return self._iq[start:self.n_samples if count is None else min(start + count, self.n_samples)]

    def _read_samples(self, start: int, out: np.ndarray) -> None:
        out[:] = self._iq[start:start + len(out)]
