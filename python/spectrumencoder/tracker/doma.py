# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole tracker: dicts of positions and signals in, dicts of tracks and bands to keep out.

Reports of one moment make one scan. They are held until a report of another moment comes, or ``flush``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from .. import keys
from .clock import AHEAD, OLD, ON_TIME, RESET, Clock
from .describe import CLOSE, OPEN, UPDATE, spatial_dicts, spectral_dict
from .fix import Fix
from .fixes import FixReader, Refused
from .geo import Origin
from .settings import SpatialSettings
from .signals import SignalReader
from .spatial import SpatialTracker
from .spectral import SpectralSettings, SpectralTracker

HORIZONS_S = (1.0, 5.0, 10.0, 30.0)
_MAX_HORIZON_S = 300.0
_POSITION = ("latitude", "longitude", "position_m", "emitter_location", "receivers", "icao")
_NEAR_S = 5.0  # max time between an anomaly and the last fix of a track whose emission it may be
_BAND_SIGMAS = 2.0
_EXPIRE_S = 1.0
_MIN_CHANGE = 0.1  # share of a band's width; kept bands are sent again if one has moved more


class DomaTracker:
    """Both kinds of tracks, from dicts to dicts.

    Args:
        origin: of local metres; None takes the first position.
        position_error_m, altitude_error_m: standard deviations of a fix that carries none.
        weak_snr_db: fainter fixes start no track.
        interval_s: min time between two dicts of a track, by the clock of the reports.
        horizons_s: of the predictions in each dict.
        spatial, spectral: settings of position tracks and of emissions.

    Attributes:
        refused: number of refused reports by reason.
        n_reports: number of reports that were read.
        n_anomalies: number of impossible motions.

    Raises:
        ValueError: a value is out of its range.
    """

    def __init__(self, origin: Origin | None = None, position_error_m: float = 50.0, altitude_error_m: float = 30.0,
                 weak_snr_db: float = -1000.0, interval_s: float = 1.0, horizons_s: Sequence[float] = HORIZONS_S,
                 spatial: SpatialSettings | None = None, spectral: SpectralSettings | None = None):
        if not interval_s >= 0:
            raise ValueError(f"interval_s {interval_s} s must not be negative")
        self.reader = FixReader(origin, position_error_m, altitude_error_m, weak_snr_db)
        self._signals = SignalReader()
        self._spatial_settings, self._spectral_settings = spatial or SpatialSettings(), spectral or SpectralSettings()
        self.interval_s = float(interval_s)
        self.set_horizons(horizons_s)
        self.refused = self.reader.refused
        self.n_reports = self.n_anomalies = 0
        self.spatial, self.spectral = SpatialTracker(self._spatial_settings), SpectralTracker(self._spectral_settings)
        self._clock = Clock(self._spatial_settings.reorder_s)
        self._spectral_clock = Clock(self._spectral_settings.silence_s)
        self._held: list[Fix] = []
        self._reported: dict[str, float] = {}
        self._reported_spectral: dict[str, float] = {}
        self._sent_bands: list[tuple[float, float]] = []
        self._expired_s = self._controlled_s = float("-inf")  # when spectral tracks last expired, and bands were last sent

    # Live changes

    def set_horizons(self, horizons_s: Sequence[float]) -> None:
        """Sets the times ahead of the predictions. Raises ValueError: `horizons_s` do not rise, or are outside (0, 300] s."""
        horizons = tuple(float(h) for h in horizons_s)
        if not all(0 < h <= _MAX_HORIZON_S for h in horizons) or list(horizons) != sorted(set(horizons)):
            raise ValueError(f"horizons {', '.join(f'{h:g}' for h in horizons)} s must rise, within 0..{_MAX_HORIZON_S:g} s")
        self.horizons_s = horizons

    def set_gate(self, gate: float) -> None:
        """Sets the share of a track's own reports that fall into its `gate`, (0, 1)."""
        self._spatial_settings = replace(self._spatial_settings, gate_probability=float(gate))
        self.spatial.set_settings(self._spatial_settings)

    def set_process_noise(self, process_noise: float) -> None:
        """Sets the factor `process_noise` on the noises of all motion models."""
        self._spatial_settings = replace(self._spatial_settings, process_noise=float(process_noise))
        self.spatial.set_settings(self._spatial_settings)
        self._spectral_settings = replace(self._spectral_settings, process_noise=float(process_noise))
        self.spectral.set_settings(self._spectral_settings)

    # In

    def report(self, fields: dict) -> None:
        """Takes one report: a position if it holds one, else a signal.

        Args:
            fields: event or position, by the names of docs/doma_tracker.md.

        Raises:
            Refused: it gives neither; it is counted in ``refused``.
        """
        if any(name in fields or f"spatial:{name}" in fields for name in _POSITION):
            self._position(fields)
        elif keys.FREQ_CENTER_HZ in fields:
            self._signal(fields)
        else:
            raise self._refuse("kind", f"neither a position nor {keys.FREQ_CENTER_HZ} is in it")
        self.n_reports += 1

    @property
    def holds(self) -> bool:
        """Whether reports wait for others of their moment."""
        return bool(self._held)

    def flush(self) -> None:
        """Makes a scan of the reports that are held."""
        held, self._held = self._held, []
        if not held:
            return
        self.spatial.scan(held[0].time_s, held)
        self.reader.settled = self.reader.settled or self.spatial.any_confirmed
        self.n_anomalies += len(self.spatial.take_anomalies())

    def _position(self, fields: dict) -> None:
        origin = self.reader.origin
        fix = self.reader.read(fields)
        if origin is not None and self.reader.origin != origin:
            self._held.clear()
            self.spatial.restart()  # the position that gave the old origin has no track
        verdict = self._clock.judge(fix.time_s)
        if verdict == RESET:
            self.flush()
            self.spatial.restart()
        elif verdict != ON_TIME:
            raise self._refuse(verdict, _out_of_time(verdict, fix.time_s, self._clock))
        if self._held and fix.time_s != self._held[0].time_s:
            self.flush()
        self._held.append(fix)

    def _signal(self, fields: dict) -> None:
        try:
            signal = self._signals.read(fields)
        except Refused as refused:
            self.refused[refused.reason] += 1
            raise
        clock = self._spectral_clock
        if fields.get(keys.STATE) == CLOSE and clock.time_s is not None and signal.until_s < clock.time_s - clock.reorder_s:
            return  # an event ends long after its last transmission: nothing in it is new, and no clock was set
        verdict = clock.judge(signal.until_s)
        if verdict == RESET:
            self.spectral.restart()
            self._expired_s = self._controlled_s = float("-inf")
        elif verdict != ON_TIME:
            raise self._refuse(verdict, _out_of_time(verdict, signal.until_s, clock))
        self.spectral.add(signal)
        time_s = clock.time_s
        if time_s is not None and time_s - self._expired_s >= _EXPIRE_S:
            self._expired_s = time_s
            self.spectral.expire(self._expired_s)
        if signal.is_anomaly and signal.event_id is not None:
            self.spatial.correlate(signal.event_id, signal.time_s, signal.freq_center_hz, signal.bandwidth_hz, _NEAR_S)

    def _refuse(self, reason: str, text: str) -> Refused:
        self.refused[reason] += 1
        return Refused(reason, text)

    # Out

    def messages(self, everything: bool = False) -> list[dict]:
        """Dicts of the tracks that opened or closed since the last call, or whose newest report is an interval after their last
        dict.

        Args:
            everything: send all tracks that were updated, as at the end of a recording.
        """
        return self._spatial_messages(everything) + self._spectral_messages(everything)

    def control(self) -> dict | None:
        """The control message for the encoder, at most one an interval; None while its bands would change little."""
        time_s = self.spectral.time_s
        if time_s is None or time_s - self._controlled_s < self.interval_s:
            return None
        bands = self.predicted_bands()
        if bands:
            self._controlled_s = time_s
        if _alike(bands, self._sent_bands):
            return None
        self._sent_bands = bands
        return {keys.KEEP_BANDS_HZ: [list(band) for band in bands]}

    def predicted_bands(self) -> list[tuple[float, float]]:
        """Bands of the tracked signals until the first horizon: rising, separate pairs of frequencies."""
        if self.spectral.time_s is None or not self.horizons_s:
            return []
        bands = []
        for track in self.spectral.tracks():
            ahead = self.spectral.forecast(track.id, self.spectral.time_s + self.horizons_s[0])
            for estimate in (track.estimate, ahead):
                half = track.bandwidth_hz / 2 + min(_BAND_SIGMAS * float(estimate.covariance[0, 0]) ** 0.5, track.bandwidth_hz)
                centres = (estimate.freq_center_hz, *track.hop_set_hz)
                bands += [(centre - half, centre + half) for centre in centres]
        return _joined(bands)

    def _spatial_messages(self, everything: bool) -> list[dict]:
        origin = self.reader.origin
        ended = [track for track in self.spatial.take_ended() if self._reported.pop(track.id, None) is not None]
        due = self.spatial.updated_since(self._reported, 0.0 if everything else self.interval_s)
        states = [UPDATE if track.id in self._reported else OPEN for track in due]
        self._reported.update({track.id: track.updated_s for track in due})
        ahead = self.spatial.forecasts(self.horizons_s, ids={track.id for track in due}) if due else {}
        return (spatial_dicts(ended, [CLOSE] * len(ended), (), [[] for _ in ended], origin)
                + spatial_dicts(due, states, self.horizons_s, [ahead[track.id] for track in due], origin))

    def _spectral_messages(self, everything: bool) -> list[dict]:
        result = []
        for track in self.spectral.take_ended():
            if self._reported_spectral.pop(track.id, None) is not None:
                result.append(spectral_dict(track, CLOSE, (), []))
        for track in self.spectral.updated_since(self._reported_spectral, 0.0 if everything else self.interval_s):
            ahead = [self.spectral.forecast(track.id, track.estimate.time_s + h) for h in self.horizons_s]
            state = UPDATE if track.id in self._reported_spectral else OPEN
            result.append(spectral_dict(track, state, self.horizons_s, ahead))
            self._reported_spectral[track.id] = track.updated_s
        return result

    @property
    def counts(self) -> Counter:
        """Number of fixes and signals by what became of them; see the two trackers."""
        return self.spatial.counts + self.spectral.counts


def _out_of_time(verdict: str, time_s: float, clock: Clock) -> str:
    how, newest = {OLD: "older", AHEAD: "newer"}[verdict], time_s if clock.time_s is None else clock.time_s
    return f"a report of {time_s} s is {abs(time_s - newest):.0f} s {how} than the newest one"


def _joined(bands: list[tuple[float, float]]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for low, high in sorted(bands):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return joined


def _alike(bands: list[tuple[float, float]], others: list[tuple[float, float]]) -> bool:
    return len(bands) == len(others) and all(
        abs(a - b) <= _MIN_CHANGE * (band[1] - band[0])
        for band, other in zip(bands, others, strict=True) for a, b in zip(band, other, strict=True))
