# SPDX-License-Identifier: GPL-3.0-or-later
"""A run as a sensor of a hub: ``run --hub``. What it sends, and the spool behind that, is in ``hub/``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .. import keys
from ..hub.message import ABOUT, END, json_bytes
from ..hub.outlet import Outlet
from .listening import ENCODED, SIGNALS, FollowedRun, Listener

if TYPE_CHECKING:
    from .flowgraph import Flowgraph

FLUSH_S = 5.0  # at the end of a run, for what waits


class HubListener(Listener):
    """Sends encoded spectra, alerts and health of each run to a hub.

    Args:
        outlet: where to, and as whom. signals: send each message of a signal, too. say: gets lines for a person.

    Raises:
        ValueError, SpoolError: see ``Outlet.open``.
    """

    def __init__(self, outlet: Outlet, signals: bool = False, say: Callable[[str], None] = lambda line: None):
        self.needs = frozenset((ENCODED, SIGNALS) if signals else (ENCODED,))
        self._signals, self._outlet = signals, outlet
        self._sender = outlet.open(say)
        self._dropped_before = self._sender.n_dropped

    def blocks(self, flowgraph: Flowgraph) -> list:
        from ..blocks.hub_sender import to_hub
        block, top, monitor = to_hub(self._sender), flowgraph.top, flowgraph.monitor
        top.msg_connect(monitor, keys.ENCODED, block, keys.ENCODED)
        top.msg_connect(monitor, keys.ANOMALIES, block, keys.EVENTS)
        top.msg_connect(monitor, keys.STATUS, block, keys.HEALTH)
        if self._signals:
            top.msg_connect(monitor, keys.SIGNALS, block, keys.SIGNALS)
        return [block]

    def begin(self, run: FollowedRun) -> None:
        self._sender.send(ABOUT, json_bytes(self._sender.about | {
            keys.SOURCE: run.name, keys.RX_RATE: run.samp_rate, keys.RX_FREQ: run.center_freq_hz, keys.MODEL: run.model,
            "fft_size": run.fft_size, "frame_s": run.frame_s}))

    def end(self, notes: Sequence[str]) -> None:
        self._sender.send(END, json_bytes({"notes": list(notes)}))
        self._sender.flush(FLUSH_S)

    def close(self) -> None:
        self._sender.close(0.0)

    def summary(self) -> dict[str, Any]:
        sender = self._sender
        return {"hub": {keys.SENSOR: sender.sensor, "address": sender.address, "messages": dict(sender.sent),
                        keys.SENT_BYTES: sender.n_bytes, "acknowledged": sender.n_stored, keys.WAITING_MESSAGES: sender.n_waiting,
                        keys.DROPPED_MESSAGES: self._n_dropped()}}

    def lines(self) -> list[str]:
        sender, lines = self._sender, []
        if sender.n_waiting:
            lines.append(f"hub {sender.address}: {sender.n_waiting} messages wait in {sender.spool_path} for the next run")
        if self._n_dropped():
            lines.append(f"hub: {self._n_dropped()} messages will not arrive: the spool was full, or the disk; --hub-spool-mb "
                         "gives it more room")
        return lines

    def _n_dropped(self) -> int:
        sender = self._sender
        return sender.n_dropped - self._dropped_before + sender.n_overrun + sender.n_failed
