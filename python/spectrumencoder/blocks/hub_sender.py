# SPDX-License-Identifier: GPL-3.0-or-later
"""Sink block: compressed spectra, alerts, signals, health and position reports to a hub, by ``hub.sender``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gnuradio import gr

from .. import keys
from ..hub.message import ALERT, END, HEALTH, REPORT, SIGNAL, SPECTRA, json_bytes
from ..hub.outlet import SPOOL_MB, Outlet
from . import messages
from .safe_block import SafeBlock, handler


class to_hub(SafeBlock, gr.basic_block):
    """The message inputs of ``hub_sender``, for a sender that is open already and stays open.

    Args:
        sender: a ``hub.sender.Sender``.
    """

    def __init__(self, sender: Any = None, name: str = "to_hub"):
        gr.basic_block.__init__(self, name, None, None)
        self.init_safe_block()
        self.sender = sender
        for port, handle in ((keys.ENCODED, self.handle_encoded), (keys.EVENTS, self.handle_events),
                             (keys.SIGNALS, self.handle_signals), (keys.REPORTS, self.handle_reports),
                             (keys.HEALTH, self.handle_health)):
            self.add_input_port(port, handle)

    @handler
    def handle_encoded(self, message):
        self.sender.send(SPECTRA, messages.pdu_bytes(message))

    @handler
    def handle_events(self, message):
        self.sender.send(ALERT, json_bytes(messages.metadata(message)))

    @handler
    def handle_signals(self, message):
        self.sender.send(SIGNAL, json_bytes(messages.metadata(message)))

    @handler
    def handle_reports(self, message):
        self.sender.send(REPORT, json_bytes(messages.metadata(message)))

    @handler
    def handle_health(self, message):
        """Health, which ``spectrum_monitor`` publishes once a second; other statuses are left alone."""
        fields = messages.metadata(message)
        if keys.FRAMES_PER_S in fields:
            left_out = (keys.BLOCK, keys.STATUS_STATE, keys.MESSAGE, keys.MALFORMED)
            health = {key: value for key, value in fields.items() if key not in left_out}
            self.sender.send(HEALTH, json_bytes(health | self.link()))

    def link(self) -> dict[str, int]:
        """Counters of the link: what waits in the spool, and what was dropped."""
        return {keys.WAITING_MESSAGES: self.sender.n_waiting,
                keys.DROPPED_MESSAGES: self.sender.n_dropped + self.sender.n_overrun}


class hub_sender(to_hub):
    """Sends what a sensor finds to a hub (docs/hub.md), from a spool on disk, until the hub has stored it.

    Message inputs: `encoded`, PDUs of ``spectrum_encoder``; `events`, of ``anomaly_detector``; `signals`, of ``signal_list``;
    `reports`, dicts of positions or bearings as ``doma_tracker`` reads them; `health`, the `status` of ``spectrum_monitor``.
    Message output: `status`, when the link's state changes.

    A hub that is away stops nothing: what waits lies in the spool, also over a restart. If that is full, the oldest goes, and is
    counted.

    Args:
        address: of the hub, such as "tcp://hub.example:5570". Without a key only one on this machine.
        sensor: id of the sensor; "": that of the key.
        key: file of ``spectrumencoder hub keygen``; "": none.
        position: (latitude, longitude) in degrees; () if it is not known.
        spool: file for what waits; "": one in the user's state folder. spool_mb: its size, MB.

    Raises:
        ValueError: an argument is invalid, or contradicts the key.
    """

    def __init__(self, address: str = "tcp://127.0.0.1:5570", sensor: str = "sensor", key: str | Path = "",
                 position: tuple[float, float] | tuple[()] = (), spool: str | Path = "", spool_mb: float = SPOOL_MB) -> None:
        super().__init__(None, "hub_sender")
        place = (float(position[0]), float(position[1])) if position else None
        self._outlet = Outlet(str(address), str(sensor), str(key), place, str(spool), float(spool_mb))

    def counters(self) -> dict[str, Any]:
        return {} if self.sender is None else self.link() | {keys.SENT_BYTES: self.sender.n_bytes}

    def _start(self):
        self.sender = self._outlet.open(self._say)

    def _stop(self):
        if self.sender is not None:
            self.sender.send(END, json_bytes({}))
            self.sender.close()

    def _say(self, line: str) -> None:
        self.logger.info(line)
        self.publish_status(keys.LINK, line)

