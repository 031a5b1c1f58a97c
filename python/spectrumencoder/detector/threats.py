# SPDX-License-Identifier: GPL-3.0-or-later
"""The threat level, the attention that an event deserves: a rule of four points that can be read in one glance.

One point each for

* strength: its p-value is at most a tenth of the false-alarm rate, or its score at least twice the threshold,
* extent: it covers at least 5 % of the band,
* persistence: it was seen in at least 8 frames,
* endurance: it was seen in at least 64 frames.

0 or 1 point: LOW, 2: MEDIUM, 3 or 4: HIGH. The rule says how unusual and how large something is; it does not know intent.
"""

from __future__ import annotations

LEVELS = ("LOW", "MEDIUM", "HIGH")
STRONG_P, STRONG_SCORE, WIDE, PERSISTENT, ENDURING = 0.1, 2.0, 0.05, 8, 64


def threat_level(*, score: float, threshold: float, p_value: float | None, false_alarm_rate: float, extent: float,
                 n_frames: int) -> str:
    """The level of an event by the module's rule.

    Args:
        score, threshold: anomaly score of its strongest frame and what it was compared with.
        p_value: of that frame; None if nothing was calibrated (only the score then says how strong it is).
        extent: its share of the band, 0..1. n_frames: frames in which it was seen.
    """
    strong = score >= STRONG_SCORE * threshold or (p_value is not None and p_value <= STRONG_P * false_alarm_rate)
    points = int(strong) + int(extent >= WIDE) + int(n_frames >= PERSISTENT) + int(n_frames >= ENDURING)
    return LEVELS[min(max(points - 1, 0), 2)]
