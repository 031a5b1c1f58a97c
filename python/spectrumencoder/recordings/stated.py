# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that decides where a recording's rate, frequency, time and data type come from.

What the user states goes before what the file states, that before what the file's name says; what nobody states is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from .names import Named
from .recording import END_OF_TIME, Annotation, Capture, Recording, RecordingArgumentError, iso_time, parse_time
from .sample_format import parse_datatype

STATED, NAME, UNKNOWN = "stated", "name", "unknown"  # among the values of ``Recording.origins``
_SAME_RATE = 1e-9  # relative: rates and frequencies that differ by less are the same number, written in two ways


class Stated(NamedTuple):
    """What the user states about a recording; None where nothing is stated. Its fields are those of ``open_recording``."""

    rate: float | None = None
    datatype: str | None = None
    freq: float | None = None
    start: str | tuple[int, float] | None = None
    channel: int | None = None
    offset_hz: float = 0.0
    skip_s: float = 0.0
    seconds: float | None = None

    def check(self, path: Path) -> None:
        """Raises RecordingArgumentError if one of them is not valid by itself."""
        if self.datatype is not None:
            parse_datatype(self.datatype)
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise RecordingArgumentError(f"{path}: sample_rate is {self.rate:g}; state a positive number of Hz, it places "
                                         "signals in frequency")
        if self.freq is not None and not math.isfinite(self.freq):
            raise RecordingArgumentError(f"{path}: centre frequency {self.freq:g} is not a finite number of Hz")
        if not math.isfinite(self.offset_hz):
            raise RecordingArgumentError(f"{path}: frequency offset {self.offset_hz:g} is not a finite number of Hz")
        if self.channel is not None and self.channel < 0:
            raise RecordingArgumentError(f"{path}: channel {self.channel} is asked for; channels are counted from 0")
        if not 0 <= self.skip_s < math.inf:
            raise RecordingArgumentError(f"{path}: skip {self.skip_s:g} is no number of seconds from 0 on")
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise RecordingArgumentError(f"{path}: seconds {self.seconds:g} is not a positive number")
        self.start_parts(path)

    def start_parts(self, path: Path) -> tuple[int, float] | None:
        """The stated time as (whole seconds, fraction) since 1970 UTC.

        Raises:
            RecordingArgumentError: it is none.
        """
        if self.start is None:
            return None
        try:
            parts = parse_time(self.start) if isinstance(self.start, str) else (int(self.start[0]), float(self.start[1]))
        except (ValueError, TypeError, OverflowError, IndexError):
            parts = (-1, 0.0)
        if not 0 <= parts[0] < END_OF_TIME or not 0 <= parts[1] < 1:
            raise RecordingArgumentError(f"{path}: start {self.start!r} is no time since 1970; write it like "
                                         "2026-01-31T12:00:00.5Z")
        return parts


def complete(recording: Recording, stated: Stated, named: Named, path: Path, need_rate: bool = True) -> Recording:
    """Gives a recording the values that it has by what is stated, in its file, and in its name. Returns it.

    Args:
        path: the file that the user named, for messages.
        need_rate: False leaves a rate that nobody states 0.0.

    Raises:
        RecordingArgumentError: the rate is still unknown, or one frequency is stated for captures of several.
    """
    _take_rate(recording, stated, named, path, need_rate)
    _take_time(recording, stated, named, path)
    if recording.samp_rate:
        recording.captures = recording.timed_captures()
    _take_frequency(recording, stated, named, path)
    if stated.datatype is not None:
        recording.origins["datatype"] = STATED
    for key, known in (("datatype", True), ("channels", True), ("frequency", recording.frequency_hz is not None),
                       ("time", any(c.time_parts is not None for c in recording.captures))):
        recording.origins.setdefault(key, recording.format_name if known else UNKNOWN)
    if recording.n_channels > 1 and stated.channel is None:
        others = f"--channel 1 to {recording.n_channels - 1} read the others" if recording.n_channels > 2 else \
            "--channel 1 reads the other"
        recording.notes.append(f"1 of {recording.n_channels} channels is read; {others}")
    taken = [key for key, origin in recording.origins.items() if origin == NAME]
    if taken:
        recording.notes.append(f"{_listed(taken)} {'is' if len(taken) == 1 else 'are'} taken from the file's name: "
                               + ", ".join(_value_text(recording, key) for key in taken))
    if recording.frequency_hz is None and len({c.frequency_hz for c in recording.captures}) == 1:
        recording.notes.append("the centre frequency is not known: frequencies count from it; --freq HZ states it")
    return recording


def _take_rate(recording: Recording, stated: Stated, named: Named, path: Path, need_rate: bool) -> None:
    inside = recording.samp_rate
    if stated.rate is not None:
        if inside and not math.isclose(inside, stated.rate, rel_tol=_SAME_RATE):
            recording.notes.append(f"the rate is {stated.rate:.10g} Hz as stated; {recording.format_name} says {inside:.10g} Hz")
        recording.samp_rate, recording.origins["samp_rate"] = float(stated.rate), STATED
    elif inside:
        recording.origins.setdefault("samp_rate", recording.format_name)
    elif named.rate is not None:
        recording.samp_rate, recording.origins["samp_rate"] = named.rate, NAME
    elif not need_rate:
        recording.origins["samp_rate"] = UNKNOWN
    else:
        raise RecordingArgumentError(f"{path}: neither the file nor its name states the sample rate; give its rate in Hz")


def _take_time(recording: Recording, stated: Stated, named: Named, path: Path) -> None:
    known = any(c.time_parts is not None for c in recording.captures)
    start, origin = stated.start_parts(path), STATED
    if start is None and not known:
        start, origin = named.start, NAME
    if start is None:
        return
    first = recording.captures[0]
    if first.sample_start and recording.samp_rate and first.sample_start / recording.samp_rate > END_OF_TIME:
        raise RecordingArgumentError(f"{path}: its rate is {recording.samp_rate:g} Hz; state the rate, too, if that is not right")
    begun = add_seconds(start, first.sample_start / recording.samp_rate if first.sample_start and recording.samp_rate else 0.0)
    if first.time_parts is not None and abs(difference_s(begun, first.time_parts)) > 1e-6:
        recording.notes.append(f"the time of the first sample is {iso_time(start)} as stated; {recording.format_name} says "
                               f"{iso_time(add_seconds(first.time_parts, -first.sample_start / recording.samp_rate))}")
    moved = 0.0 if first.time_parts is None else difference_s(begun, first.time_parts)
    recording.captures = [replace(first, time_parts=begun), *(
        c if c.time_parts is None else replace(c, time_parts=add_seconds(c.time_parts, moved)) for c in recording.captures[1:])]
    recording.origins["time"] = origin


def _take_frequency(recording: Recording, stated: Stated, named: Named, path: Path) -> None:
    inside = sorted({c.frequency_hz for c in recording.captures if c.frequency_hz is not None})
    freq, origin = stated.freq, STATED
    if freq is None and not inside:
        freq, origin = named.freq, NAME
    if freq is not None:
        if len(inside) > 1:
            raise RecordingArgumentError(f"{path}: one frequency, {freq:.12g} Hz, is stated, and the recording has captures from "
                                         f"{inside[0]:.12g} to {inside[-1]:.12g} Hz; leave it out, or state what to add to each "
                                         "as the offset (offset_hz)")
        if inside and not math.isclose(inside[0], freq, rel_tol=_SAME_RATE):
            recording.notes.append(f"the centre frequency is {freq:.12g} Hz as stated; {recording.format_name} says "
                                   f"{inside[0]:.12g} Hz")
        _move(recording, freq - inside[0] if inside else freq, lambda capture: freq)
        recording.origins["frequency"] = origin
    if stated.offset_hz and any(c.frequency_hz is not None for c in recording.captures):
        _move(recording, stated.offset_hz, lambda capture: None if capture.frequency_hz is None
              else capture.frequency_hz + stated.offset_hz)
        recording.origins["frequency"] += f" with the stated offset of {stated.offset_hz:+.12g} Hz" if "frequency" in \
            recording.origins else ""
    elif stated.offset_hz:
        recording.notes.append(f"the offset of {stated.offset_hz:+.12g} Hz is of no use without a frequency")


def _move(recording: Recording, by_hz: float, frequency: Callable[[Capture], float | None]) -> None:
    """Gives each capture its frequency, and moves the edges of annotations with it."""
    def edge(value: float | None) -> float | None:
        return None if value is None else value + by_hz
    recording.captures = [replace(c, frequency_hz=frequency(c)) for c in recording.captures]
    recording.annotations = [_with_edges(a, edge(a.freq_lower_hz), edge(a.freq_upper_hz)) for a in recording.annotations]


def _with_edges(annotation: Annotation, lower: float | None, upper: float | None) -> Annotation:
    return replace(annotation, freq_lower_hz=lower, freq_upper_hz=upper)


def add_seconds(time_parts: tuple[int, float], seconds: float) -> tuple[int, float]:
    """(whole seconds, fraction) so many seconds later."""
    whole = math.floor(seconds)
    carry, fraction = divmod(time_parts[1] + (seconds - whole), 1.0)
    return time_parts[0] + whole + int(carry), fraction


def difference_s(later: tuple[int, float], earlier: tuple[int, float]) -> float:
    """Seconds between two times."""
    return (later[0] - earlier[0]) + (later[1] - earlier[1])


def _listed(keys: list[str]) -> str:
    words = [{"samp_rate": "rate", "datatype": "data type"}.get(key, key) for key in keys]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _value_text(recording: Recording, key: str) -> str:
    first = recording.captures[0]
    return {"samp_rate": f"{recording.samp_rate:.10g} Hz", "frequency": f"{first.frequency_hz or 0:.12g} Hz",
            "time": iso_time(first.time_parts) if first.time_parts else "", "datatype": recording.datatype}.get(key, "")
