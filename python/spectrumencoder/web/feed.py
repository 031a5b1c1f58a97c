# SPDX-License-Identifier: GPL-3.0-or-later
"""A source of news as a page follows it: a run, or one sensor at a hub. A server has several, by their ids.

A ``Feed`` is a ``session.listening.Listener``: ``begin`` gives it what it may ask and send (a ``FollowedRun``, or anything else
with those methods), ``take`` gives it rows and messages, ``end`` ends it. So a hub makes a ``Feed(id, name)`` for a sensor, calls
``begin`` with an object that answers for the sensor, ``take(News(rows, messages))`` as they come, and adds it to its server::

    feed = Feed("roof", "Roof, 433 MHz")
    server.add(feed)
    feed.begin(sensor)          # see ``Followed``
    feed.take(News(rows, [("events", event)]))

All methods may be called on any thread; none waits for a network. A ``Viewer`` is what one page has not been sent yet.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Protocol

from .. import keys
from ..session.listening import ROW_S, SIGNALS, Listener, News
from ..session.radio_states import TRY
from . import snippets, texts
from .rows import RowRing, pack

if TYPE_CHECKING:
    from ..emitters.background import Expected

MAX_ALERTS, MAX_SIGNALS, MAX_SPANS, MAX_TOLD = 500, 1500, 60, 50
MAX_BATCHES, MAX_TEXTS = 20, 100  # of a viewer: 2 s of rows; then rows are lost, or it is sent everything anew
_SIGNALS_AT_ONCE = 200
MAX_PAST = 100  # alerts of the history at once
EXPECTED_S = 5.0  # between two looks at what is expected


class Followed(Protocol):
    """What a feed asks of its run or sensor. ``session.listening.FollowedRun`` is one. Methods may be called on any thread."""

    name: str
    samp_rate: float
    center_freq_hz: float
    fft_size: int
    frame_s: float
    model: str
    is_radio: bool
    is_scan: bool
    can_steer: bool
    snippets: Path | None
    history: Path | None

    def control(self, message: dict) -> None: ...
    def tune(self, command: dict) -> None: ...
    def scan(self, ranges: str | None = None, pause: bool | None = None) -> None: ...
    def health(self) -> dict: ...
    def learning(self) -> dict: ...
    def emitters(self) -> list[dict]: ...
    def ignored_hz(self) -> list[list[float]]: ...
    def expected(self) -> list[Expected]: ...
    def settings(self) -> dict[str, Any]: ...


class Viewer:
    """What one page was not sent yet: bounded, filled on any thread. Text is never lost: if it is too much, the page has to be
    sent everything anew (``stale``).

    Args:
        wake: called when there is something to send; on any thread.

    Attributes: lost_rows: rows that came too fast for this page.
    """

    def __init__(self, wake: Callable[[], None]):
        self._wake, self._lock = wake, threading.Lock()
        self._waiting: deque[tuple[str | bytes, int]] = deque()
        self._n_batches = 0
        self.stale, self.lost_rows = True, 0

    def offer(self, content: str | bytes, n_rows: int = 0) -> None:
        """Takes a text, or rows and their number."""
        with self._lock:
            if self.stale:
                return  # everything will be sent, this too
            if n_rows and self._n_batches >= MAX_BATCHES:
                self._drop_oldest_rows()
            elif not n_rows and len(self._waiting) - self._n_batches >= MAX_TEXTS:
                self._waiting.clear()
                self._n_batches, self.stale = 0, True
                return
            self._waiting.append((content, n_rows))
            self._n_batches += n_rows > 0
        self._wake()

    def _drop_oldest_rows(self):
        for place, (_, n_rows) in enumerate(self._waiting):
            if n_rows:
                self.lost_rows += n_rows
                self._n_batches -= 1
                del self._waiting[place]
                return

    def next(self) -> str | bytes | None:
        """What is to be sent next; None: nothing."""
        with self._lock:
            if not self._waiting:
                return None
            content, n_rows = self._waiting.popleft()
            self._n_batches -= n_rows > 0
            return content


class Feed(Listener):
    """A source of news. See the module.

    Args:
        id: in addresses; letters, digits, - and _. name: for people; "": that of its run.
    """

    needs = frozenset((SIGNALS,))

    def __init__(self, id: str = "run", name: str = ""):
        self.id, self.name, self._given_name = id, name or id, name
        self._lock = threading.Lock()
        self._viewers: list[Viewer] = []
        self._run: Followed | None = None
        self.max_viewers_seen = self.lost_rows = 0
        self._clear()

    def _clear(self):
        self._ring, self._n_rows = RowRing(), 0
        self._alerts: OrderedDict[str, dict] = OrderedDict()
        self._signals: OrderedDict[tuple, dict] = OrderedDict()
        self._emitters: dict[int, dict] = {}
        self._told: deque[dict] = deque(maxlen=MAX_TOLD)
        self._state: dict[str, Any] = {}
        self._expected: list[dict] = []
        self._expected_s = -math.inf
        self._ended: list[str] | None = None

    # -- from the run: any thread

    def begin(self, run: Followed) -> None:
        with self._lock:
            self._clear()
            self._run, self.name = run, self._given_name or run.name
            self._say_all_anew()

    def take(self, news: News) -> None:
        rows = [pack(row) for row in news.rows]
        said = self._news(news.messages)
        with self._lock:
            parts = []
            for row in rows:
                self._ring.add(self._n_rows, row)
                parts.append(row.to_bytes(self._n_rows))
                self._n_rows += 1
            viewers = list(self._viewers)
        if viewers and said:
            text = texts.dumps({"type": "news", **said})
            for viewer in viewers:
                viewer.offer(text)
        if viewers and parts:
            batch = b"".join(parts)
            for viewer in viewers:
                viewer.offer(batch, len(parts))

    def end(self, notes: Sequence[str]) -> None:
        run = self._run
        state = {} if run is None else self._ask(run, with_expected=False)
        with self._lock:
            self._state |= state
            self._ended, self._run = list(notes), None
            self._say_all_anew()

    def _say_all_anew(self):
        for viewer in self._viewers:
            viewer.stale = True
            viewer._wake()

    def _news(self, messages: Iterable[tuple[str, dict]]) -> dict[str, Any]:
        """The part of messages that pages are sent."""
        alerts: dict[str, dict] = {}
        signals: dict[tuple, dict] = {}
        told = []
        for port, fields in messages:
            if port == keys.EVENTS and fields.get(keys.EVENT_ID):
                alert = self._take_alert(fields)
                alerts[alert[keys.EVENT_ID]] = alert
            elif port == keys.SIGNALS:
                signals[fields.get(keys.SIGNAL_ID), fields.get(keys.SAMPLE_START)] = self._spanned(fields)
            elif port == keys.STATUS and self._is_for_log(fields):
                told.append({key: fields.get(key) for key in (keys.BLOCK, keys.STATUS_STATE, keys.MESSAGE)})
                told[-1]["time"] = time.time()
        with self._lock:
            self._signals |= signals
            self._told += told
            while len(self._signals) > MAX_SIGNALS:
                self._signals.popitem(last=False)
        said = {"alerts": list(alerts.values()), "signals": list(signals.values())[-_SIGNALS_AT_ONCE:], "told": told[-20:]}
        return {key: value for key, value in said.items() if value}

    @staticmethod
    def _is_for_log(status: dict) -> bool:
        """Whether a status says something to a person. The tries to open a radio would push all else out of the log."""
        return bool(status.get(keys.MESSAGE)) and status.get(keys.STATUS_STATE) != keys.EMITTERS and status.get(keys.RADIO) != TRY

    def _take_alert(self, fields: dict) -> dict:
        """The row of an alert after one of its messages: the newest fields, when it opened, and the times it was seen."""
        identity = str(fields[keys.EVENT_ID])
        span = self._spanned(fields)["span"]
        with self._lock:
            old = self._alerts.get(identity)
            spans = [] if old is None else old["spans"]
            if span is not None:
                spans = [one for one in spans if abs(one[0] - span[0]) > 1e-6][-MAX_SPANS + 1:] + [span]
            opened = fields.get(keys.TIMESTAMP) if old is None else old["opened"]
            row = {**(old or {}), **fields, "opened": opened, "spans": spans}
            self._alerts[identity] = row
            while len(self._alerts) > MAX_ALERTS:
                self._alerts.popitem(last=False)
        return row

    def _spanned(self, fields: dict) -> dict:
        """The fields and "span": its first and last POSIX second; None if that is not stated."""
        start, count, rate = fields.get(keys.TIMESTAMP), fields.get(keys.SAMPLE_COUNT), self._rate()
        known = isinstance(start, (int, float)) and isinstance(count, (int, float)) and rate
        return {**fields, "span": [start, start + count / rate] if known else None}

    def _rate(self) -> float:
        run = self._run
        return 0.0 if run is None else float(run.samp_rate or 0.0)

    # -- to pages

    def enter(self, viewer: Viewer) -> None:
        """A page follows from here on."""
        with self._lock:
            self._viewers.append(viewer)
            self.max_viewers_seen = max(self.max_viewers_seen, len(self._viewers))

    def leave(self, viewer: Viewer) -> None:
        """The page has gone."""
        with self._lock:
            if viewer in self._viewers:
                self._viewers.remove(viewer)
                self.lost_rows += viewer.lost_rows

    @property
    def n_viewers(self) -> int:
        return len(self._viewers)

    def listed(self) -> dict:
        """Its row in the list of feeds."""
        run = self._run
        return {"id": self.id, "name": self.name, "running": run is not None}

    def everything(self, viewer: Viewer) -> list[str | bytes]:
        """All that a page has to know; what comes later is offered to the viewer. It asks the run: not on the server's loop."""
        self.refresh(force=True)
        with self._lock:
            viewer.stale = False
            text = texts.dumps({"type": "all", **self._listed_about(), "state": self._state, "expected": self._expected,
                                "emitters": list(self._emitters.values()), "alerts": list(self._alerts.values()),
                                "signals": list(self._signals.values()), "told": list(self._told), "ended": self._ended})
            return [text, *self._ring.messages()]

    def refresh(self, force: bool = False) -> None:
        """Asks the run how it is, and offers what has changed to all viewers; once a second. It may wait for the detector."""
        run = self._run
        if run is None:
            return
        with_expected = force or time.monotonic() - self._expected_s > EXPECTED_S
        state = self._ask(run, with_expected)
        emitters = {row[keys.EMITTER_ID]: row for row in state.pop(keys.EMITTERS)}
        expected = state.pop("expected", self._expected)
        with self._lock:
            changed = [row for number, row in emitters.items() if self._emitters.get(number) != row]
            gone = [number for number in self._emitters if number not in emitters]
            said: dict[str, Any] = {"type": "state", "state": state}
            if changed or gone:
                said |= {"emitters": changed, "removed": gone}
            if expected != self._expected:
                said["expected"] = expected
            self._state, self._emitters, self._expected = state, emitters, expected
            if with_expected:
                self._expected_s = time.monotonic()
            viewers = list(self._viewers)
        text = texts.dumps(said)
        for viewer in viewers:
            viewer.offer(text)

    def _ask(self, run: Followed, with_expected: bool) -> dict[str, Any]:
        state = {"time": time.time(), "health": run.health(), "learning": run.learning(), "settings": run.settings(),
                 keys.IGNORED: run.ignored_hz(), keys.EMITTERS: run.emitters(), "viewers": len(self._viewers),
                 "snippets": [] if run.snippets is None else sorted(snippets.identities(run.snippets) & {*self._alerts})}
        if with_expected:
            state["expected"] = [_expected_row(one, run.frame_s) for one in run.expected()]
        return state

    def _listed_about(self) -> dict:
        run = self._run
        about = {"id": self.id, "name": self.name, "row_s": ROW_S}
        if run is not None:
            about |= {"source": run.name, "samp_rate": run.samp_rate, "center_freq_hz": run.center_freq_hz,
                      "fft_size": run.fft_size, "frame_s": run.frame_s, "model": run.model, "is_radio": run.is_radio,
                      "is_scan": run.is_scan, "has_snippets": run.snippets is not None,
                      "has_history": run.history is not None, "can_steer": run.can_steer}
        return {"about": about}

    # -- what a page asks for

    def order(self, order: dict) -> None:
        """Carries out an order of a page: see ``orders``.

        Raises:
            ValueError: it is none, or its value is out of range; one line. RuntimeError: the run has ended.
        """
        from .orders import carry_out
        run = self._run
        if run is None:
            raise RuntimeError("the run has ended")
        carry_out(run, order)

    def past(self, until_s: float) -> list[dict]:
        """The last alerts from before a time (POSIX, s) that the run's history holds, newest first; [] without a history.

        Raises:
            HistoryError: it cannot be read; one line.
        """
        run = self._run
        if run is None or run.history is None:
            return []
        from ..history.reader import Reader
        with Reader(run.history) as reader:
            return reader.alerts(until_s=until_s, limit=MAX_PAST)

    def snippet(self, event_id: str) -> snippets.Snippet | None:
        """The samples around an alert that the feed knows; None: there are none."""
        run = self._run
        if run is None or run.snippets is None or event_id not in self._alerts:
            return None
        return snippets.find(run.snippets, event_id)


def _expected_row(expected: Expected, frame_s: float) -> dict:
    """What a row of the background alone is expected to show: a row is the maximum of the frames of ROW_S.

    A frame is gamma distributed around the mean. The median of the maximum of n frames is its quantile 0.5^(1/n) (Wilson and
    Hilferty 1931).
    """
    frames = max(1.0, ROW_S / frame_s)
    spread = 1.0 / (9.0 * expected.spectra)
    quantile = (1.0 - spread + NormalDist().inv_cdf(0.5 ** (1.0 / frames)) * math.sqrt(spread)) ** 3
    levels = expected.mean_dbfs + 10.0 * math.log10(max(quantile, 1e-3))
    return {"center_hz": expected.freq_hz, "rate_hz": expected.samp_rate, "dbfs": [round(level, 1) for level in levels.tolist()]}
