# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on a burst: is it one of the band's own, a side effect of something stronger, or something that is new?"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from . import alerts
from .bursts import Burst
from .emitter import Emitter
from .registry import Registry, Sign
from .steady import DC_BINS
from .tuning import TuningState

LEARNED, OWN, PART, CROWD, IGNORED, DC = "learned", "own", "part", "crowd", "ignored", "dc line"
REPORTED = (alerts.NEW, alerts.LOUDER)
MIN_SNR_DB = 0.0  # of a burst: in one of its frames, and over all of them in its whole occupied band
_WIDER = 1.5  # times its own bins, from which on what lies around a burst is looked at as a whole
_CROWD_PEAK = 2.5  # times the largest power that a crowd showed


class Verdict(NamedTuple):
    """The kind of a burst: one of the names above, of ``alerts`` or of ``bursts.SIDE_EFFECTS``; emitter: None for a new one."""

    kind: str
    emitter: Emitter | None = None


class Judge:
    """Judges bursts by a registry."""

    def __init__(self, registry: Registry):
        self._registry = registry

    def set_rate(self, false_per_hour: float):
        """Sets the alerts an hour that may be false. The power that an emitter may show follows from it."""
        self._registry.set_rate(false_per_hour)

    def verdict(self, burst: Burst, sign: Sign, tuning: TuningState, learning: bool,
                sign_of: Callable[[tuple[int, int]], Sign]) -> Verdict | None:
        """The verdict on a burst; None as long as it is too weak to say.

        Args:
            sign: of the burst. sign_of: the same for other bins, first and last.
        """
        if burst.max_snr_db < MIN_SNR_DB or sign.level_db < MIN_SNR_DB:
            return None
        if learning:
            return Verdict(LEARNED)
        registry = self._registry
        if registry.is_ignored(sign.center_hz - sign.bandwidth_hz / 2, sign.center_hz + sign.bandwidth_hz / 2):
            return Verdict(IGNORED)
        side = burst.side_effect()
        if side:
            return Verdict(side)
        low, high = burst.extent()
        middle = burst.n_bins // 2
        if middle - DC_BINS <= low and high <= middle + DC_BINS:
            return Verdict(DC)
        own = registry.own_at(sign)
        if own is None:
            whole = burst.whole(tuning.background.spectra)
            if whole[1] - whole[0] + 1 >= _WIDER * (high - low + 1):
                own = registry.own_at(sign_of(whole))
        if own is not None:
            return Verdict(alerts.LOUDER if self._is_louder(burst, own, tuning) else OWN, own)
        crowd = registry.crowd_at(sign)
        if crowd and float(sign.peak.max()) <= _CROWD_PEAK * max(float(e.profile.max()) for e in crowd):
            return Verdict(CROWD)
        return Verdict(alerts.NEW, registry.stranger_of(sign))

    def _is_louder(self, burst: Burst, emitter: Emitter, tuning: TuningState) -> bool:
        """Whether the emitter's whole place, not just an edge of it, is stronger than its next burst may be."""
        low, high = burst.extent()
        middle = tuning.grid.hz_of((low + high) / 2)
        low_hz, high_hz = min(emitter.places(), key=lambda place: abs(place[0] + place[1] - 2 * middle))
        low = min(low, max(round(tuning.grid.bin_of(low_hz)), 0))
        high = max(high, min(round(tuning.grid.bin_of(high_hz)), burst.n_bins - 1))
        return burst.level_db(low, high) > emitter.level_db.high + self._registry.margin_db(emitter)
