# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain's health for a monitoring system: Prometheus text over HTTP. Off unless an address is given."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from .. import keys
from .errors import SettingError

_PREFIX = "spectrumencoder_"
_COUNTERS = {keys.FRAMES: "Frames judged.", keys.DROPPED_FRAMES: "Frames lost at a gap or retune, or unusable.",
             keys.DROPPED_CONSTANT: "Frames dropped for a run of identical samples.",
             keys.CLIPPED_FRAMES: "Frames with samples at full scale.",
             keys.SKIPPED_FRAMES: "Frames passed unencoded for lack of time.", keys.OVERFLOWS: "Gaps that the radio reported.",
             keys.EVENTS: "Events opened."}
MAX_CONNECTIONS = 16  # at one time; a further one ends the oldest
_REQUEST_S = 5.0  # within which a request must come
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
            from prometheus_client import CollectorRegistry, make_wsgi_app
        except ImportError as error:
            raise SettingError(f"--metrics needs prometheus-client ({error}); run `pip install prometheus-client`") from error
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise SettingError(f"--metrics {address} is not HOST:PORT, such as 127.0.0.1:9100")
        registry = CollectorRegistry()
        registry.register(_Collector(snapshot))
        try:
            self._server = _server(host.strip("[]"), int(port))
        except OSError as error:
            raise SettingError(f"--metrics {address} cannot be opened ({error.strerror}); choose another port") from error
        self._server.set_app(make_wsgi_app(registry))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.port = self._server.server_port

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=2.0)


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each connection, MAX_CONNECTIONS at one time: half-open ones cost no more than that."""

    daemon_threads, request_queue_size = True, 64

    def __init__(self, address: tuple, family: socket.AddressFamily):
        self.address_family = family
        self._connections: dict[socket.socket, None] = {}
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def server_bind(self):
        """As WSGIServer's, without the look-up of the host's name, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]
        self.setup_environ()

    def process_request(self, request, client_address):
        with self._lock:
            self._connections[request] = None
            if len(self._connections) > MAX_CONNECTIONS:
                oldest = next(iter(self._connections))
                del self._connections[oldest]
                try:
                    oldest.shutdown(socket.SHUT_RDWR)  # its thread then reads the end
                except OSError:
                    pass
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        with self._lock:
            self._connections.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        """A connection that broke off is not worth a word."""


class _Handler(WSGIRequestHandler):
    timeout = _REQUEST_S

    def log_message(self, format, *arguments):
        pass


def _server(host: str, port: int) -> _Server:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return _Server(address, socket.AddressFamily(family))


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
