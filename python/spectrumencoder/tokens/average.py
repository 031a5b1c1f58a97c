# SPDX-License-Identifier: GPL-3.0-or-later
"""``average=auto``: how many spectra K a frame averages. From the sample rate alone: a recording always gives the same."""

from __future__ import annotations

AUTO = "auto"
AUTO_FRAMES_PER_S = 1250.0  # as many at most: what the slower of the models for live use does on one core with room to spare
AUTO_MIN = 16  # what the models were mostly trained and calibrated with: shorter frames find less


def auto_average(samp_rate: float, fft_size: int, overlap: float, average_range: tuple[int, int]) -> int:
    """The least of 16, 32, 64 with which frames come no faster than ``AUTO_FRAMES_PER_S``; the most of the model where none does.

    Args:
        samp_rate: samples per second. overlap: of one spectrum with the next. average_range: least and most of the model.
    """
    low, high = average_range
    spectra_per_s = samp_rate / round(fft_size * (1.0 - overlap))
    average = AUTO_MIN
    while spectra_per_s / average > AUTO_FRAMES_PER_S and average < high:
        average *= 2
    return min(max(average, low), high)


def parse_average(text: int | str) -> int | str:
    """A whole number 1..64, or "auto".

    Raises:
        ValueError: it is neither.
    """
    if text == AUTO:
        return AUTO
    try:
        average = int(text)
    except (TypeError, ValueError):
        average = 0
    if str(text) != str(average) or not 1 <= average <= 64:
        raise ValueError(f"average {text} is neither a whole number of spectra in 1..64 nor auto")
    return average
