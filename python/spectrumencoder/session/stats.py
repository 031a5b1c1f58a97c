# SPDX-License-Identifier: GPL-3.0-or-later
"""``--stats`` and ``--metrics``: the state of a run while it goes on, for a person or a monitoring system."""

from __future__ import annotations

from collections.abc import Callable

from .. import keys
from .news import news_lines
from .prometheus import MetricsServer

_FIGURES = (keys.FRAMES, keys.DROPPED_FRAMES, keys.DROPPED_CONSTANT, keys.CLIPPED_FRAMES, keys.SKIPPED_FRAMES,
            keys.OVERFLOWS, keys.EVENTS, keys.FRAMES_PER_S, keys.QUEUE_DEPTH)


class RunStats:
    """Pass ``attach`` to ``run_source``, and leave the context when that has returned.

    Args:
        report: called with a line each second; None reports nothing.
        metrics: HOST:PORT of a Prometheus endpoint; "" opens none.
        news: called with lines for a person as they come: what was learned, and each alert; None: with none.
    """

    def __init__(self, report: Callable[[str], None] | None, metrics: str, news: Callable[[list[str]], None] | None = None):
        self._report, self._news, self._flowgraph, self._n_reported = report, news, None, 0
        self.server = MetricsServer(metrics, self.snapshot) if metrics else None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.server is not None:
            self.server.close()

    def attach(self, flowgraph):
        """Watches this flowgraph from now on."""
        self._flowgraph, self._n_reported = flowgraph, 0
        if self._report is not None:
            flowgraph.on_poll.append(self._poll)
        if self._news is not None:
            flowgraph.on_poll.append(self._poll_news)

    def snapshot(self) -> dict:
        if self._flowgraph is None:
            return dict.fromkeys(_FIGURES, 0) | {keys.LATENCY_P50_MS: None, keys.LATENCY_P99_MS: None}
        return self._flowgraph.monitor.health.snapshot() | {keys.EVENTS: self._flowgraph.probe.n_events}

    def _poll(self):
        n_reported = self._flowgraph.monitor.health.n_reported
        if n_reported > self._n_reported:
            self._n_reported = n_reported
            self._report(stats_line(self.snapshot()))

    def _poll_news(self):
        lines = news_lines(self._flowgraph.probe)
        if lines:
            self._news(lines)


def stats_line(figures: dict) -> str:
    """One second of a run as a line."""
    parts = [f"{figures[keys.FRAMES_PER_S]:.1f} frames/s"]
    if figures[keys.LATENCY_P50_MS] is not None:
        parts.append(f"latency p50 {figures[keys.LATENCY_P50_MS]:.1f} ms p99 {figures[keys.LATENCY_P99_MS]:.1f} ms")
    parts.append(f"queue {figures[keys.QUEUE_DEPTH]}")
    parts += [f"{figures[key]} {name}" for key, name in ((keys.DROPPED_FRAMES, "dropped"), (keys.CLIPPED_FRAMES, "clipped"),
                                                        (keys.SKIPPED_FRAMES, "skipped"),
                                                        (keys.OVERFLOWS, "overflows"), (keys.EVENTS, "events"))]
    device = figures.get(keys.DEVICE)
    return ", ".join(parts) + (f", {device}" if device else "")
