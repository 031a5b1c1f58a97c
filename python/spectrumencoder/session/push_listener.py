# SPDX-License-Identifier: GPL-3.0-or-later
"""The listener of ``--mqtt``, ``--notify`` and ``--push-rules``: gives a run's events, and its present, to a pusher."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import keys
from ..blocks.event_log import json_line
from ..detector.events import CLOSE, OPEN
from ..push import message
from ..push.pusher import Pusher
from ..push.rules import FAULT
from ..push.run_state import RunState
from .listening import FollowedRun, Listener, News, SpectrumRow
from .radio_states import BACK, RECONNECT_STATE, TRY

STATE_S = 5.0  # between two messages about the present, unless there is an alert


class PushListener(Listener):
    """See the module. It closes the pusher."""

    def __init__(self, pusher: Pusher):
        self._pusher, self._state = pusher, RunState()
        self._run: FollowedRun | None = None
        self._row: SpectrumRow | None = None
        self._next_s = 0.0

    def begin(self, run: FollowedRun) -> None:
        self._run, self._next_s = run, 0.0
        self._state.begin()
        self._pusher.begin_run()

    def take(self, news: News) -> None:
        now_s, alert = time.time(), None
        for port, fields in news.messages:
            if port == keys.EVENTS:
                self._pusher.event(fields, json_line(fields))
                self._state.take_event(fields, now_s)
                alert = fields if fields.get(keys.STATE) == "open" else alert
            elif port == keys.STATUS and keys.FRAMES_PER_S in fields:
                self._state.take_health(fields, now_s)
            elif port == keys.STATUS and fields.get(keys.STATUS_STATE) == RECONNECT_STATE and fields[keys.RADIO] != TRY:
                self._take_radio(fields)
        if news.rows:
            self._row = news.rows[-1]
        if alert is not None or now_s >= self._next_s:
            self._next_s = now_s + STATE_S
            self._retain(alert, now_s)
        for line in self._pusher.news():
            self.say(line)

    def end(self, notes: Sequence[str]) -> None:
        now_s, why = time.time(), self._run.ending if self._run is not None else ""
        if why not in ("", "ended", "stopped"):
            fault = {keys.ALERT: FAULT, keys.MESSAGE: why, keys.TIMESTAMP: now_s}
            self._state.fail(why)
            self._pusher.event(fault, json_line(fault))
        self._retain(None, now_s)

    def close(self) -> None:
        self._pusher.close()

    def lines(self) -> list[str]:
        self._pusher.close()  # they are asked for when no further run comes: what can be sent is sent first
        return self._pusher.lines()

    def summary(self) -> dict[str, Any]:
        self._pusher.close()
        return self._pusher.summary()

    def _take_radio(self, status: dict):
        """The radio is lost, or back: a fault that opens and closes."""
        back = status[keys.RADIO] == BACK
        fault = {keys.ALERT: FAULT, keys.STATE: CLOSE if back else OPEN,
                 **{key: status[key] for key in (keys.MESSAGE, keys.TIMESTAMP, keys.RADIO_LOST, keys.WHY)}}
        self._pusher.event(fault, json_line(fault))
        self._state.take_radio(None if back else status[keys.RADIO_LOST])
        self._next_s = 0.0

    def _retain(self, alert: dict | None, now_s: float):
        if self._row is not None:
            self._state.take_noise(float(np.median(self._row.psd)))
        emitters = None if self._run is None else len(self._run.emitters())
        self._pusher.retain(state=self._state.figures(emitters, self._pusher.n_waiting, self._pusher.n_dropped, now_s),
                            last_alert=None if alert is None else alert | {"text": message.line(alert, now_s)})
