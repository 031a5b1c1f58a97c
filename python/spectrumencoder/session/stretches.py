# SPDX-License-Identifier: GPL-3.0-or-later
"""Stretches of a recording that no break divides, and the number of spectra per frame that serves the short ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..recordings.stated import difference_s

if TYPE_CHECKING:
    from ..recordings import Recording

_SHARE = 0.1  # of the captures may be shorter than the frame that is chosen for them


def stretches(recording: Recording) -> list[int]:
    """Lengths (samples) of the stretches between breaks. A capture that continues frequency and time begins none."""
    captures = [capture for capture in recording.captures if capture.sample_start < recording.n_samples]
    starts, frequency, time = [0], captures[0].frequency_hz, captures[0].time_parts
    known = captures[0].sample_start
    for capture in captures[1:]:
        breaks = capture.frequency_hz != frequency
        if capture.time_parts is not None:
            expected_s = (capture.sample_start - known) / recording.samp_rate
            breaks |= time is None or abs(difference_s(capture.time_parts, time) - expected_s) > 0.5 / recording.samp_rate + 1e-6
            time, known = capture.time_parts, capture.sample_start
        if breaks and capture.sample_start > starts[-1]:
            starts.append(capture.sample_start)
        frequency = capture.frequency_hz
    return [end - start for start, end in zip(starts, [*starts[1:], recording.n_samples], strict=True)]


def in_words(lengths: list[int], frame: int) -> str:
    """Captures that are shorter than a frame of so many samples, for a note."""
    captures = f"{len(lengths)} capture{'s' * (len(lengths) != 1)} of {min(lengths)} to {max(lengths)} samples"
    return f"captures shorter than a frame ({captures}, a frame of {frame})"


def fitting_average(lengths: list[int], fft_size: int, hop: int) -> int | None:
    """Spectra per frame that nine of ten stretches of at least one FFT can fill; None: no stretch is that long."""
    long_enough = sorted(length for length in lengths if length >= fft_size)
    return (long_enough[int(_SHARE * len(long_enough))] - fft_size) // hop + 1 if long_enough else None


def mostly_short(lengths: list[int], frame: int) -> bool:
    """Whether more than half of the samples lie in stretches shorter than a frame of so many."""
    return len(lengths) > 1 and 2 * sum(length for length in lengths if length < frame) > sum(lengths)
