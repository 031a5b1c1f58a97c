# SPDX-License-Identifier: GPL-3.0-or-later
"""Stretches of a recording that no break divides, and the number of spectra per frame that serves the short ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..recordings import Recording

_SHARE = 0.1  # of the captures may be shorter than the frame that is chosen for them


def stretches(recording: Recording) -> list[int]:
    """Lengths (samples) of the stretches between breaks. A capture that continues frequency and time begins none."""
    from ..recordings.breaks import stretch_starts
    starts = stretch_starts(recording)
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
