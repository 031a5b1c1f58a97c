# SPDX-License-Identifier: GPL-3.0-or-later
"""``run soapy:... --scan``: a band_scanner between the chain and the radio."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .. import keys
from .dropped import count
from .errors import SessionError, SettingError


@dataclass(frozen=True)
class ScanOptions:
    """The options of ``run`` that concern a scan; units are those of band_scanner."""

    ranges: str
    dwell_ms: float = 100.0
    usable: float = 0.8
    overlap: float = 0.0
    dc_bins: int = 0
    jitter: float = 0.0
    hold_ms: float = 0.0
    sweeps: Path | None = None

    @property
    def span_hz(self) -> float:
        """Width of all ranges together."""
        from ..scan.scan_plan import parse_ranges
        return sum(high - low for low, high in parse_ranges(self.ranges))

    def first_freq(self, rate: float, fft_size: int = 1024) -> float:
        """Frequency to tune to before the scanner takes over, Hz.

        Raises:
            SettingError: an option is out of range.
        """
        from ..scan.scan_plan import ScanPlan, parse_ranges
        try:
            first = ScanPlan(parse_ranges(self.ranges), rate, fft_size, self.usable, self.overlap).plans[0]
        except ValueError as error:
            raise SettingError(f"--scan {self.ranges}: {error}") from error
        return first.frequency_hz(first.centers[0])


class ScanPart:
    """Connects scanner and log of the rows to a flowgraph; afterwards it can say how the scan went, and draw it.

    Args:
        plot: picture to draw at the end, with the signals named.
    """

    def __init__(self, options: ScanOptions, plot: Path | None = None):
        self._options, self.span_hz = options, options.span_hz
        self._plot, self._flowgraph = plot, None
        self.needs = frozenset({keys.SIGNALS} if plot is not None else ())
        self.scanner = self.log = None

    def __call__(self, flowgraph) -> list:
        from ..blocks.band_scanner import band_scanner
        from .sweep_log import sweep_log
        o, top, monitor, source = self._options, flowgraph.top, flowgraph.monitor, flowgraph.source
        try:
            self.scanner = band_scanner(
                o.ranges, samp_rate=source.samp_rate, center_freq=source.center_freq, fft_size=monitor.fft_size, usable=o.usable,
                dwell_ms=o.dwell_ms, overlap=o.overlap, dc_bins=o.dc_bins, jitter=o.jitter, hold_ms=o.hold_ms)
        except ValueError as error:
            raise SettingError(f"--scan {o.ranges}: {error}") from error
        self.log = sweep_log(str(o.sweeps) if o.sweeps else "", flowgraph.settings.events_max_mb,
                             keep=self._plot is not None)
        self._flowgraph = flowgraph
        flowgraph.probe.keep_transmissions |= self._plot is not None
        top.connect((monitor, 0), self.scanner)
        top.msg_connect(monitor, keys.ANOMALIES, self.scanner, keys.EVENTS)
        top.msg_connect(self.scanner, keys.CMD, source.block, keys.CMD)
        top.msg_connect(self.scanner, keys.SWEEPS, self.log, keys.SWEEPS)
        top.msg_connect(self.scanner, keys.STATUS, flowgraph.probe, keys.STATUS)
        return [self.scanner, self.log]

    def summary(self, samp_rate: float) -> dict:
        """Completed sweeps: their number, hops per second of signal, and the share of the signal that was watched."""
        log = self.log
        seconds = log.sample_count / samp_rate
        return {"sweeps": log.n_sweeps, "hops": log.n_hops, "hops_per_s": log.n_hops / seconds if seconds else None,
                "watched_share": log.dwell_samples / log.sample_count if log.sample_count else None}

    def draw(self) -> str:
        """Draws the picture that was asked for, when the run has ended. Returns a note for the user if there is none to draw.

        Raises:
            SessionError: it cannot be written.
        """
        from ..display.scan_picture import save_scan
        from ..emitters.listing import plain
        flowgraph, rows = self._flowgraph, self.log.rows
        if rows.n_sweeps == 0:
            return f"{self._plot} was not drawn: the scan ended before its first sweep was complete"
        listed, source = flowgraph.signals or [], flowgraph.source
        title = (f"{source.name}: {count(self.log.n_sweeps, 'sweep')}, {count(len(listed), 'signal')}, "
                 f"{count(flowgraph.probe.n_events, 'event')} in {plain(flowgraph.seconds)} s, model {flowgraph.model_name}")
        try:
            save_scan(self._plot, rows, list(flowgraph.probe.transmissions.values()), listed, title, source.samp_rate,
                      self._seams_hz())
        except OSError as error:
            raise SessionError(f"cannot write {self._plot}: {error.strerror}; name a file in a folder that exists") from error
        return ""

    def _seams_hz(self) -> list[float]:
        """Frequencies at which the hops of a row join."""
        from ..scan.scan_plan import ScanPlan, parse_ranges
        o, flowgraph = self._options, self._flowgraph
        plan = ScanPlan(parse_ranges(o.ranges), flowgraph.source.samp_rate, flowgraph.monitor.fft_size, o.usable, o.overlap)
        return [one.frequency_hz((left + right) / 2) for one in plan.plans
                for left, right in zip(one.centers, one.centers[1:], strict=False)]
