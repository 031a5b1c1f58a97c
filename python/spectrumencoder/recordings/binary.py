# SPDX-License-Identifier: GPL-3.0-or-later
"""What readers of binary containers share: bounded reads of headers, the choice of a channel, sums of times."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from .recording import RecordingArgumentError, RecordingError
from .stated import add_seconds

MAX_HEADER_BYTES = 1 << 20  # no header is believed beyond this
MAX_TIME_S = 10**11  # since 1970: the year 5138
MIN_RATE_HZ, MAX_RATE_HZ = 1e-3, 1e15  # what lies outside is damage
Time = tuple[int, float]  # (whole seconds, fraction) since 1970 UTC: a float of the sum could not keep the fraction's digits


def read_at(path: Path, start: int, n_bytes: int) -> bytes:
    """Bytes [start, start + n_bytes) of a file, fewer at its end; n_bytes is capped at MAX_HEADER_BYTES.

    Raises:
        RecordingError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(max(0, min(n_bytes, MAX_HEADER_BYTES)))
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error


def file_size(path: Path) -> int:
    """Bytes in a file.

    Raises:
        RecordingError: there is no such file.
    """
    try:
        return path.stat().st_size
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error


def pick_channel(path: Path, channel: int | None, n_channels: int) -> int:
    """The channel to read, counted from 0; None is the first.

    Raises:
        RecordingArgumentError: the file has no such channel.
    """
    if not 0 <= (channel or 0) < n_channels:
        raise RecordingArgumentError(f"{path}: channel {channel} is asked for; the file has {n_channels}, counted from 0")
    return channel or 0


def utc_parts(moment: datetime) -> Time:
    """A moment in UTC, whose zone is not looked at."""
    return int(moment.replace(microsecond=0, tzinfo=UTC).timestamp()), moment.microsecond / 1e6


def rate_or_unknown(rate: float | None) -> float:
    """A rate in Hz that a file states; 0.0 if it is none."""
    return rate if rate is not None and MIN_RATE_HZ <= rate <= MAX_RATE_HZ else 0.0


def after_samples(time: Time, n_samples: int, rate: float) -> Time:
    """The time of the sample that comes n_samples after the one at `time`; rate in Hz."""
    whole = int(n_samples / rate)
    return add_seconds((time[0] + whole, time[1]), (n_samples - whole * rate) / rate)
