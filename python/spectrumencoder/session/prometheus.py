# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain's health for a monitoring system: Prometheus text over HTTP. Off unless an address is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .. import keys
from .errors import SettingError

_PREFIX = "spectrumencoder_"
_COUNTERS = {keys.FRAMES: "Frames judged.", keys.DROPPED_FRAMES: "Frames lost at a gap or retune, or unusable.",
             keys.DROPPED_CONSTANT: "Frames dropped for a run of identical samples.",
             keys.CLIPPED_FRAMES: "Frames with samples at full scale.",
             keys.SKIPPED_FRAMES: "Frames passed unencoded for lack of time.", keys.OVERFLOWS: "Gaps that the radio reported.",
             keys.EVENTS: "Events opened."}
_LATENCIES = {keys.LATENCY_P50_MS: "0.5", keys.LATENCY_P99_MS: "0.99"}


class MetricsServer:
    """Answers GET /metrics until ``close``.

    Args:
        address: HOST:PORT; port 0 takes a free one.
        snapshot: returns the current figures by keys of the vocabulary.

    Attributes: port.

    Raises:
        SettingError: the address is not HOST:PORT, it cannot be bound, or prometheus-client is missing.
    """

    def __init__(self, address: str, snapshot: Callable[[], dict]):
        try:
            from prometheus_client import CollectorRegistry, start_http_server
        except ImportError as error:
            raise SettingError(f"--metrics needs prometheus-client ({error}); run `pip install prometheus-client`") from error
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise SettingError(f"--metrics {address} is not HOST:PORT, such as 127.0.0.1:9100")
        registry = CollectorRegistry()
        registry.register(_Collector(snapshot))
        try:
            self._server, self._thread = start_http_server(int(port), addr=host.strip("[]"), registry=registry)
        except OSError as error:
            raise SettingError(f"--metrics {address} cannot be opened ({error.strerror}); choose another port") from error
        self.port = self._server.server_port

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=2.0)


class _Collector:
    """The collector that prometheus-client calls at each scrape."""

    def __init__(self, snapshot: Callable[[], dict]):
        self._snapshot = snapshot

    def collect(self) -> Iterator:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
        figures = self._snapshot()
        labels = {"device": figures.get(keys.DEVICE) or "recording"}

        def family(kind, name: str, about: str, value, **more):
            metric = kind(_PREFIX + name, about, labels=[*labels, *more])
            metric.add_metric([*labels.values(), *more.values()], value)
            return metric
        for key, about in _COUNTERS.items():
            yield family(CounterMetricFamily, key, about, figures[key])
        yield family(GaugeMetricFamily, "frames_per_second", "Frames judged in the last second.", figures[keys.FRAMES_PER_S])
        yield family(GaugeMetricFamily, keys.QUEUE_DEPTH, "Frames between tokenizer and verdict.", figures[keys.QUEUE_DEPTH])
        latency = GaugeMetricFamily(_PREFIX + "latency_seconds", "From a frame's last sample to its verdict, of the last second.",
                                    labels=[*labels, "quantile"])
        for key, quantile in _LATENCIES.items():
            if figures[key] is not None:
                latency.add_metric([*labels.values(), quantile], figures[key] / 1e3)
        yield latency
