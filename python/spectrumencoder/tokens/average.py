# SPDX-License-Identifier: GPL-3.0-or-later
"""``average=auto``: number of spectra K that a frame averages. It depends on the sample rate alone, so it is reproducible."""

from __future__ import annotations

AUTO = "auto"
AUTO_FRAMES_PER_S = 1250.0  # maximum; the slower of the models for live use does more on one core
AUTO_MIN = 16  # the K of most training and calibration; shorter frames detect less


def auto_average(samp_rate: float, fft_size: int, overlap: float, average_range: tuple[int, int]) -> int:
    """The smallest of 16, 32, 64 that gives at most ``AUTO_FRAMES_PER_S`` frames/s; else the maximum of the model.

    Args:
        samp_rate: samples per second. overlap: of one spectrum with the next. average_range: minimum and maximum of the model.
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
