# SPDX-License-Identifier: GPL-3.0-or-later
"""--metrics answers, whoever else holds connections open."""

import socket
import threading
import urllib.request

import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.session.errors import SettingError
from gnuradio.spectrumencoder.session.prometheus import MAX_CONNECTIONS, MetricsServer
from gnuradio.spectrumencoder.session.stats import RunStats


def test_half_open_connections_are_bounded():
    pytest.importorskip("prometheus_client")
    server = MetricsServer("127.0.0.1:0", lambda: RunStats(None, "").snapshot() | {keys.FRAMES: 7})
    before, held = threading.active_count(), []
    try:
        for _ in range(20 * MAX_CONNECTIONS):
            held.append(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            held[-1].sendall(b"GET /metr")
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
            assert b"spectrumencoder_frames_total" in answer.read()
        assert threading.active_count() - before <= MAX_CONNECTIONS + 8  # some are just ending
        with pytest.raises(SettingError, match="cannot be opened"):
            MetricsServer(f"127.0.0.1:{server.port}", dict)
    finally:
        for connection in held:
            connection.close()
        server.close()
