# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a recording breaks off: at a capture that does not continue frequency and time."""

from __future__ import annotations

from .recording import Recording
from .stated import difference_s

_NEAR = 0.5  # samples; a time that is this near to the expected one continues
_ROUNDED_S = 1e-6  # of times that metadata state to the microsecond


def stretch_starts(recording: Recording) -> list[int]:
    """First samples of the stretches that no break divides; the first is 0."""
    first, starts = recording.capture_at(0), [0]
    frequency, time, known = first.frequency_hz, first.time_parts, 0
    for capture in recording.captures:
        if not 0 < capture.sample_start < recording.n_samples:
            continue
        breaks = capture.frequency_hz != frequency
        if capture.time_parts is not None:
            expected_s = (capture.sample_start - known) / recording.samp_rate
            breaks |= time is None or (
                abs(difference_s(capture.time_parts, time) - expected_s) > _NEAR / recording.samp_rate + _ROUNDED_S)
            time, known = capture.time_parts, capture.sample_start
        if breaks:
            starts.append(capture.sample_start)
        frequency = capture.frequency_hz
    return starts
