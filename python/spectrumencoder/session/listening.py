# SPDX-License-Identifier: GPL-3.0-or-later
"""Listeners: what follows a run from outside the flowgraph, such as a page in the browser, a history, a hub.

A listener is called on the thread that runs the flowgraph, ten times a second, with all that came since. It must not wait there:
what may wait (a network, a disk that is slow) belongs on a thread of its own, behind a queue of bounded length."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import keys

if TYPE_CHECKING:
    import numpy as np

    from ..display.history import Tuning
    from ..emitters.background import Expected
    from .flowgraph import Flowgraph
    from .live_feed import live_feed
    from .scanning import ScanPart

ROW_S = 0.05
SIGNALS, ENCODED = keys.SIGNALS, keys.ENCODED  # what a listener may need: it costs processor time


class SpectrumRow(NamedTuple):
    """The frames of a twentieth of a second, merged: the maximum per bin.

    posix_s: time at which it begins (UTC; by the source's tags, else by this computer's clock); seconds: its length;
    psd: (n_bins,) float32, dBFS.
    """

    posix_s: float
    seconds: float
    tuning: Tuning
    psd: np.ndarray


class News(NamedTuple):
    """What came since the last call: rows, and messages as (port, dict), port one of `events`, `signals`, `tracks`, `status`.

    `status` is that of the chain and of the radio; one of the state `reconnect` says that it is lost, tried or back."""

    rows: list[SpectrumRow]
    messages: list[tuple[str, dict]]


class Listener:
    """Follows one run, or several one after the other. All methods have a body that does nothing.

    Attributes: needs: of SIGNALS, ENCODED. history: file of the history that it writes; None: none. say: shows a person a line
    at once, such as that a server is away; call it in ``take`` or ``end``. Who opens the listener sets it.
    """

    needs: frozenset[str] = frozenset()
    history: Path | None = None
    say: Callable[[str], None] = staticmethod(lambda line: None)

    def begin(self, run: FollowedRun) -> None:
        """A run begins; it has not played a sample yet."""

    def blocks(self, flowgraph: Flowgraph) -> list:
        """Connects blocks of its own to the flowgraph and returns them, before ``begin``."""
        return []

    def frames(self, psd: np.ndarray, tuning: Tuning, posix_s: float, frame_s: float) -> None:
        """Takes frames (F, n_bins) dBFS that follow each other, from posix_s on, `frame_s` seconds apart.

        Called on a thread of the scheduler for every frame: a vector operation is all there is time for. psd is only valid during
        the call.
        """

    def take(self, news: News) -> None:
        """Takes what came since the last call."""

    def end(self, notes: Sequence[str]) -> None:
        """The run has ended, whatever the reason; all news have been given. notes: what its summary says."""

    def close(self) -> None:
        """No further run comes."""

    def summary(self) -> dict[str, Any]:
        """What the file of ``--json`` says of it; keys with units."""
        return {}

    def lines(self) -> list[str]:
        """Lines for a person at the end, such as of what was lost."""
        return []


class FollowedRun:
    """A run as its listeners see it. All methods may be called on any thread.

    Attributes: name (of the source), samp_rate, center_freq_hz (at its begin), fft_size, average (spectra per frame), frame_s,
        model, is_radio, is_scan, scan_span_hz (of all ranges of a scan together, else 0); asked: the settings of the chain as the
        run began, by key; snippets: the folder in which the samples around events are written (None: they are not); history: the
        file of the run's history (None: none is written); can_steer: it obeys ``control``.
    """

    def __init__(self, flowgraph: Flowgraph, feed: live_feed, scan: ScanPart | None = None, snippets: Path | None = None):
        self._flowgraph, self._feed, self._scan = flowgraph, feed, scan
        self.is_scan, self.snippets = scan is not None, snippets
        self.history: Path | None = None
        self.can_steer = True
        self.scan_span_hz = scan.span_hz if scan is not None else 0.0
        source, settings = flowgraph.source, flowgraph.settings
        self.name, self.is_radio = source.name, source.recording is None and not source.finite
        self.samp_rate, self.center_freq_hz, self.fft_size = source.samp_rate, source.center_freq, flowgraph.monitor.fft_size
        self.frame_s = self.fft_size * flowgraph.average * (1 - settings.overlap) / source.samp_rate
        self.model, self.average, self.asked = flowgraph.model_name, flowgraph.average, settings.of_chain()

    @property
    def ending(self) -> str:
        """Why it ended: "ended", "stopped" by the user, or what failed; "" while it runs."""
        return self._flowgraph.ending

    def control(self, message: dict) -> None:
        """Sends settings or commands to the chain, as ``control`` messages have them: {"accept": 7}, {"dropout_rate": 0.5}."""
        self._feed.send(keys.CONTROL, message)

    def tune(self, command: dict) -> None:
        """Sends a command to the radio: any of freq (Hz, as the radio is tuned), gain (dB), rate, antenna, bandwidth.

        Raises:
            ValueError: the run has no radio, or a scan tunes it.
        """
        if not self.is_radio:
            raise ValueError(f"{self.name} is no radio")
        if self.is_scan and "freq" in command:
            raise ValueError("a scan tunes by itself")
        self._feed.send(keys.CMD, command)

    def scan(self, ranges: str | None = None, pause: bool | None = None) -> None:
        """Restarts the scan with other ranges (Hz, "88e6:108e6,433e6:435e6"), or holds it where it is, or lets it go on.

        Raises:
            ValueError: the run does not scan, or these are no ranges.
        """
        from ..scan.scan_plan import parse_ranges
        if self._scan is None:
            raise ValueError("this run does not scan; start it with --scan LOW:HIGH")
        if ranges is not None:
            parse_ranges(ranges)
            self._scan.scanner.set_ranges(ranges)
        if pause is not None:
            self._scan.scanner.set_pause(pause)

    def health(self) -> dict:
        """Counters of the run: frames, drops, latency, events (see ``stats``)."""
        return self._flowgraph.monitor.health.snapshot() | {keys.EVENTS: self._flowgraph.probe.n_events}

    def emitters(self) -> list[dict]:
        """Rows of ``emitters.listing.describe``; empty with the detector "boxes"."""
        return self._flowgraph.monitor.detector.emitter_rows()

    def ignored_hz(self) -> list[list[float]]:
        """Ranges that never alert, Hz."""
        return self._flowgraph.monitor.detector.ignored_ranges()

    def learning(self) -> dict:
        """How far the band is learned: {"learning", "learned_s", "learn_s"}; empty with the detector "boxes"."""
        counts, settings = self._flowgraph.monitor.detector.counters(), self._flowgraph.settings
        return {key: counts[key] for key in (keys.LEARNING, keys.LEARNED_S)} | {"learn_s": settings.learn_s} \
            if keys.LEARNING in counts else {}

    def expected(self) -> list[Expected]:
        """What each tuning's background says: the usual level of every bin. Empty before it is known, and with "boxes"."""
        return self._flowgraph.monitor.detector.expected()

    def settings(self) -> dict[str, Any]:
        """Values of the live settings of encoder, detector and tracker, by key, as the chain has them now."""
        from ..settings import of_monitor
        monitor = self._flowgraph.monitor
        values = {}
        for row in of_monitor():
            for stage in (monitor.encoder, monitor.detector, monitor.tracker):
                holder = getattr(stage, "engine", None) or getattr(stage, "detector", None) or stage
                if row.live and hasattr(holder, row.key):
                    values[row.key] = getattr(holder, row.key)
        return values


class ListenPart:
    """Connects a feed to a flowgraph, and gives what it collects to listeners. The block is made for each run, they are not.

    Args:
        scan: tunes the radio (None: nothing does). snippets: folder of the samples around events (None: they are not written).

    Attributes: needs: what the listeners need together.
    """

    def __init__(self, listeners: Iterable[Listener], scan: ScanPart | None = None, snippets: Path | None = None):
        self._listeners, self._scan, self._snippets = list(listeners), scan, snippets
        self.needs = frozenset().union(*(listener.needs for listener in self._listeners))
        self._feed: live_feed | None = None

    def __call__(self, flowgraph: Flowgraph) -> list:
        from .live_feed import live_feed
        source, monitor, top = flowgraph.source, flowgraph.monitor, flowgraph.top
        self._feed = feed = live_feed(monitor.fft_size, source.samp_rate, source.center_freq, ROW_S, self._listeners,
                                      hurried=source.finite)
        top.connect((monitor, 0), feed)
        top.msg_connect(monitor, keys.ANOMALIES, feed, keys.EVENTS)
        top.msg_connect(monitor, keys.TRACKS, feed, keys.TRACKS)
        top.msg_connect(monitor, keys.STATUS, feed, keys.STATUS)
        if monitor.signal_list is not None:
            top.msg_connect(monitor, keys.SIGNALS, feed, keys.SIGNALS)
        top.msg_connect(feed, keys.CONTROL, monitor, keys.CONTROL)
        run = FollowedRun(flowgraph, feed, self._scan, self._snippets)
        run.history = next((listener.history for listener in self._listeners if listener.history is not None), None)
        if run.is_radio:
            top.msg_connect(feed, keys.CMD, source.block, keys.CMD)
            top.msg_connect(source.block, keys.STATUS, feed, keys.STATUS)
        more = [block for listener in self._listeners for block in listener.blocks(flowgraph)]
        for listener in self._listeners:
            listener.begin(run)
        flowgraph.on_poll.append(feed.deliver)
        return [feed, *more]

    def end(self, notes: Sequence[str]) -> None:
        """Gives the last news to the listeners; call it when the flowgraph has ended."""
        if self._feed is None:
            return
        feed, self._feed = self._feed, None
        feed.deliver()
        for listener in self._listeners:
            listener.end(notes)


def listen_parts(listeners: Sequence[Listener], scan: ScanPart | None = None, snippets: Path | None = None) -> list[ListenPart]:
    """The part of one run for these listeners; none if there are none. Put it behind the part that scans."""
    return [ListenPart(listeners, scan, snippets)] if listeners else []


class Clock:
    """POSIX time of the stream's seconds: by the newest tag, before any by this computer's clock at the first frame."""

    def __init__(self):
        self._anchors: list[tuple[float, float]] = []  # (stream second, POSIX time)
        self._by_host = True  # no tag has come

    def set(self, stream_s: float, posix_s: float | None = None) -> None:
        """States the time at a stream second; None: now, if nothing is known so far."""
        if posix_s is None:
            if not self._anchors:
                self._anchors.append((stream_s, time.time()))
            return
        if self._by_host:
            self._anchors, self._by_host = [], False
        self._anchors = [*self._anchors[-7:], (stream_s, posix_s)]

    def agree(self, stream_s: float, posix_s: float) -> None:
        """Takes over the time that another block, by this computer's clock, gives a stream second. Tags hold before it."""
        if self._by_host and self._anchors:
            self._anchors = [(stream_s, posix_s)]

    def posix_s(self, stream_s: float) -> float:
        anchor = next((one for one in reversed(self._anchors) if one[0] <= stream_s + 1e-9), None) or self._anchors[0]
        return anchor[1] + stream_s - anchor[0]
