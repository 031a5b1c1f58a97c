# SPDX-License-Identifier: GPL-3.0-or-later
"""run_probe: what the command line keeps of a run: events, messages of the blocks, waterfalls of bounded size."""

from __future__ import annotations

from collections import deque

import numpy as np
from gnuradio import gr

from .. import keys
from ..blocks.band_part import LEARNED, ON_AIR
from ..blocks.messages import MalformedMessage, metadata
from ..blocks.safe_block import SafeBlock, handler
from ..blocks.tags import frame_tags, known_freq
from ..detector.events import CLOSE, OPEN, UPDATE
from ..detector.notices import LEARN_AGAIN
from ..display.waterfall import Waterfall
from ..emitters.listing import utc
from .radio_states import RECONNECT_STATE

MAX_EVENTS = 10_000
MAX_BOXES = 10_000
MAX_MESSAGES = 100


class run_probe(SafeBlock, gr.sync_block):
    """Sink of the messages `events`, `signals` and `status`; with a waterfall also of psd and residual (fft_size floats each).

    Args:
        fft_size: bins per frame.
        samp_rate, center_freq: Hz, until tags say otherwise.
        max_rows: rows of the waterfall; 0 has no spectrum inputs.

    Attributes: news: what a person watching should see, oldest first, to be taken from the left: (line, rows of
    ``listing.describe``) when signals are on the air, when a band has been learned, when a radio is lost, tried and back, and the
    dict of each alert when it opens; alerts: their number by kind;
    n_events (distinct); transmissions: (event_id, first sample) -> the latest dict about that transmission (the first
    MAX_EVENTS), for a picture; boxes: the latest dict about each burst of each signal (the first MAX_BOXES): do not connect
    `signals` for a run that draws nothing;
    messages: (state, text) of the statuses received, each once (the first MAX_MESSAGES); waterfall (None with max_rows 0).
    """

    def __init__(self, fft_size: int = 1024, samp_rate: float = 1e6, center_freq: float = 0.0, max_rows: int = 0):
        vector = (np.float32, fft_size)
        gr.sync_block.__init__(self, "run_probe", [vector, vector] if max_rows else None, None)
        self.init_safe_block()
        self.set_tag_propagation_policy(gr.TPP_DONT)
        self.n_events = 0
        self.news: deque[tuple[str, list[dict]] | dict] = deque(maxlen=MAX_EVENTS)
        self.alerts: dict[str, int] = {}
        self.keep_transmissions = bool(max_rows)  # for a picture; another one may ask for them, too
        self._ids: set[str] = set()  # of events, the first MAX_EVENTS
        self.transmissions: dict[tuple[str, int], dict] = {}
        self._boxes: list[dict] = []  # an empty one for a burst that turned out to be a part of another
        self._open: dict[int, int] = {}  # signal_id -> place in `_boxes` of its open burst
        self.messages: dict[tuple[str, str], int] = {}  # -> how often
        self.waterfall = Waterfall(max_rows) if max_rows else None
        self._rate, self._center, self._hop = float(samp_rate), float(center_freq), fft_size
        self.add_input_port(keys.EVENTS, self.handle_event)
        self.add_input_port(keys.SIGNALS, self.handle_signal)
        self.add_input_port(keys.STATUS, self.handle_status)

    def _work(self, input_items, output_items) -> int:
        psd, residual = input_items
        begin, tags = self.nitems_read(0), frame_tags(self, len(psd))
        cuts = sorted({0, len(psd), *tags})
        for start, stop in zip(cuts, cuts[1:], strict=False):
            if start in tags:
                self._retag(tags[start], begin + start)
            elif not self.waterfall.segments:
                self.waterfall.begin(0, self._hop, self._center, self._rate)
            self.waterfall.add(psd[start:stop], residual[start:stop])
        return len(psd)

    def _retag(self, tags: dict, frame: int):
        self._center = known_freq(tags.get(keys.RX_FREQ), self._center) or 0.0
        self._rate = tags.get(keys.RX_RATE, self._rate)
        self._hop = tags.get(keys.FRAME_HOP, self._hop)
        start = tags.get(keys.FRAME_START, frame * self._hop)
        self.waterfall.begin(start, self._hop, self._center, self._rate)

    @property
    def boxes(self) -> list[dict]:
        """The bursts of signals, each by its latest message."""
        return [box for box in self._boxes if box]

    @handler
    def handle_event(self, message):
        event = metadata(message)
        if keys.EVENT_ID not in event:
            raise MalformedMessage(f"wants an event with {keys.EVENT_ID}, got the keys {', '.join(event)[:80]}")
        identity = str(event[keys.EVENT_ID])
        try:
            transmission = identity, int(event.get(keys.SAMPLE_START) or 0)
        except (TypeError, ValueError, OverflowError) as error:
            raise MalformedMessage(f"its {keys.SAMPLE_START} is no number ({error})") from error
        if event.get(keys.ALERT) and event.get(keys.STATE) == "open":
            kind = str(event[keys.ALERT])
            self.alerts[kind] = self.alerts.get(kind, 0) + 1
            self.news.append(event)
        if self.keep_transmissions and (transmission in self.transmissions or len(self.transmissions) < MAX_EVENTS):
            self.transmissions[transmission] = event
        if identity in self._ids or len(self._ids) < MAX_EVENTS:
            self.n_events += identity not in self._ids
            self._ids.add(identity)
        else:
            self.n_events += event.get(keys.STATE) == "open"

    @handler
    def handle_signal(self, message):
        signal = metadata(message)
        number, state = signal.get(keys.SIGNAL_ID), signal.get(keys.STATE)
        if not isinstance(number, int) or state not in (OPEN, UPDATE, CLOSE):
            raise MalformedMessage(f"wants a signal with {keys.SIGNAL_ID} and {keys.STATE}, got the keys "
                                   f"{', '.join(signal)[:80]}")
        if state == OPEN and len(self._boxes) < MAX_BOXES:
            self._open[number] = len(self._boxes)
            self._boxes.append(signal)
        elif number in self._open:
            self._boxes[self._open[number]] = signal if signal.get(keys.SAMPLE_COUNT) else {}
        if state == CLOSE:
            self._open.pop(number, None)

    @handler
    def handle_status(self, message):
        status = metadata(message)
        if status.get(keys.STATUS_STATE) == RECONNECT_STATE:
            self.news.append((f"{utc(status.get(keys.TIMESTAMP))}  {status.get(keys.MESSAGE)}", []))
        elif status.get(keys.STATUS_STATE) in (LEARNED, ON_AIR, LEARN_AGAIN):
            self.news.append((str(status.get(keys.MESSAGE)), _rows(status.get(keys.EMITTERS))))
        said = str(status.get(keys.STATUS_STATE)), str(status.get(keys.MESSAGE) or "")
        if said in self.messages or len(self.messages) < MAX_MESSAGES:
            self.messages[said] = self.messages.get(said, 0) + 1


def _rows(value) -> list[dict]:
    """The rows of ``listing.describe`` in a status; none of anything else."""
    return [row for row in value if isinstance(row, dict) and keys.EMITTER_ID in row] if isinstance(value, list) else []
