# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals over all tunings of a stream: a radio that is retuned, a scan, a recording with captures.

Each tuning has a ``SignalList`` of its own, which rests while the radio is elsewhere. Numbers of signals are those of the whole
stream, and so are times. A signal that is on at the end of one visit and at the begin of the next counts as one burst.

Shape letters: F frames, N bins, M tokens, L labels.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import keys
from ..detector.events import CLOSE, OPEN, Segment
from ..tokens import layout
from ..tokens.layout import FrameLayout, usable_bins
from .inventory import Place, inventory
from .signal_list import SignalList

MAX_TUNINGS = 512  # whose signals are kept; beyond, those of the tuning that was left first are forgotten
_DOUBT = 1e-4  # probability up to which a signal that is listed may be noise
_WINDOW_BINS = 2.0  # by which the window's main lobe makes neighbouring bins alike
_OF_A_MESSAGE = (keys.STATE, keys.SAMPLE_START, keys.SAMPLE_COUNT)
_AT_END = 1.5  # frames from the begin or end of a visit within which a burst reaches beyond it

_Key = tuple[float, float, int, int, bool]


@dataclass
class _Known:
    """What is known of a signal over all its bursts. Weights are frames."""

    id: int
    first_s: float
    last_s: float = 0.0
    bursts: int = 0
    left_on: int = -2  # number of the visit at whose end it was on
    weight: float = 0.0  # of closed bursts
    power: float = 0.0  # dBFS times weight
    snr: float = 0.0
    votes: Counter = field(default_factory=Counter)  # label -> confidence times weight


@dataclass
class _Tuning:
    """A tuning. begin, end: first sample of its present visit, and the one after the last. visits: number of those before."""

    list: SignalList
    segment: Segment
    begin: int
    end: int
    visits: int = 0
    known: dict[int, _Known] = field(default_factory=dict)  # by the number in its list


class SignalWatch:
    """The signals of a stream of frames.

    Args:
        labels: L classes of the model, in its order; () without one.
        n_bins: N. stride: bins in a token. window: of the tokenizer. usable: share of the band, around its middle, that is looked
            at.

    Attributes:
        n_signals, n_frames: number of signals and of whole frames so far. tunings: number of tunings kept.

    Raises:
        ValueError: usable is outside (0, 1].
    """

    def __init__(self, labels: Sequence[str] = (), *, n_bins: int = 1024, stride: int = 8, window: str = "blackmanharris",
                 usable: float = 1.0):
        if not 0.0 < usable <= 1.0:
            raise ValueError(f"usable {usable} is outside (0, 1]")
        self._labels, self._window, self._usable = tuple(labels), window, usable
        self._layout = FrameLayout(n_bins, stride)
        self.restart()

    def restart(self):
        """Forgets all frames so far."""
        self._tunings: OrderedDict[_Key, _Tuning] = OrderedDict()  # the present one is the last
        self._on: _Tuning | None = None
        self.n_signals = self.n_frames = 0

    @property
    def tunings(self) -> int:
        return len(self._tunings)

    def update(self, items: np.ndarray, token_classes: np.ndarray | None, first_sample: int,
               segment: Segment) -> list[dict[str, Any]]:
        """Takes frames that follow each other, all of one segment; the messages that they cause, in order.

        Args:
            items: (F, item_size) of the tokenizer. token_classes: (F, M (L + 2)) of the encoder; None: without a model.
            first_sample: number of the first frame's first sample. segment: tuning, rate and time of these frames.

        Raises:
            ValueError: items or classes do not have this shape.
        """
        whole = self._layout.split(items)[1][:, layout.K_EFF] >= segment.frame_average
        out, at = [], 0
        cuts = [*np.flatnonzero(np.diff(whole)).tolist(), len(whole) - 1]  # a short frame follows another law of noise
        for last in cuts:
            part = slice(at, last + 1)
            if last >= at and whole[at]:
                out += self._take(items[part], None if token_classes is None else token_classes[part],
                                  first_sample + at * segment.frame_hop, segment)
            at = last + 1
        return out

    def _take(self, items, token_classes, first: int, segment: Segment) -> list[dict[str, Any]]:
        key = (segment.rx_freq, segment.rx_rate, segment.frame_hop, segment.frame_average, segment.freq_relative)
        out = []
        tuning = self._tunings.get(key)
        if tuning is None or tuning is not self._on or tuning.end != first:
            out += self.leave()
            tuning = self._visit(key, first, segment)
        tuning.segment = segment
        self.n_frames += len(items)
        messages = tuning.list.update(items, token_classes)
        tuning.end = first + len(items) * segment.frame_hop
        return out + [self._own(tuning, row) for row in messages]

    def leave(self) -> list[dict[str, Any]]:
        """Time or tuning jumps, or the stream ends: ends all bursts; the messages of that."""
        tuning, self._on = self._on, None
        if tuning is None:
            return []
        return [self._own(tuning, row) for row in tuning.list.flush()]

    def table(self) -> list[dict[str, Any]]:
        """A row for each signal that noise does not explain, by frequency, with the keys of ``keys.SIGNAL_FIELDS``.

        Values are over all bursts. A message may be of a peak of noise, a few an hour; a row must be surer: see ``_is_sure``. A
        signal that two tunings have seen, or of which each has seen a part, is one row: see ``inventory``.
        """
        return inventory([place for tuning in self._tunings.values() for place in self._places(tuning)])

    # -- parts

    def _visit(self, key: _Key, first: int, segment: Segment) -> _Tuning:
        """Begins a visit of a tuning."""
        tuning = self._tunings.get(key)
        if tuning is None:
            freq_hz = None if segment.freq_relative else segment.rx_freq
            made = SignalList(segment.rx_rate, freq_hz, segment.frame_hop, self._labels, average=segment.frame_average,
                              n_bins=self._layout.fft_size, stride=self._layout.stride, window=self._window,
                              first_sample=first, start_s=segment.time_of(first), usable=self._usable)
            tuning = self._tunings[key] = _Tuning(made, segment, first, first)
            if len(self._tunings) > MAX_TUNINGS:
                self._tunings.popitem(last=False)
        else:
            self._tunings.move_to_end(key)
            tuning.list.resume(first, segment.time_of(first))
            tuning.begin, tuning.end, tuning.visits = first, first, tuning.visits + 1
        self._on = tuning
        return tuning

    def _own(self, tuning: _Tuning, row: dict[str, Any]) -> dict[str, Any]:
        """A message of a tuning's list as one of the whole stream."""
        segment, hop = tuning.segment, tuning.segment.frame_hop
        start = row[keys.SAMPLE_START]
        stop = start + row[keys.SAMPLE_COUNT]
        known = tuning.known.get(row[keys.SIGNAL_ID])
        if known is None:
            self.n_signals += 1
            known = tuning.known[row[keys.SIGNAL_ID]] = _Known(self.n_signals, segment.time_of(start))
        if row[keys.STATE] == OPEN:
            known.bursts += not (known.left_on == tuning.visits - 1 and start - tuning.begin < _AT_END * hop)
        known.last_s = max(known.last_s, segment.time_of(stop))
        if row[keys.STATE] == CLOSE and start == stop:  # it turned out to be a part of another burst
            known.bursts -= 1
        elif row[keys.STATE] == CLOSE:
            known.left_on = tuning.visits if tuning.end - stop < _AT_END * hop else -2
            weight = (stop - start) / hop
            known.weight += weight
            known.power += weight * row[keys.POWER_DBFS]
            known.snr += weight * row[keys.SNR_DB]
            known.votes[row[keys.LABEL]] += weight * row[keys.CONFIDENCE]
        made = row | {
            keys.SIGNAL_ID: known.id, keys.TIMESTAMP: segment.time_of(start), keys.TIME_SOURCE: segment.time_source,
            keys.BAND: segment.band, keys.BURSTS: known.bursts, keys.FIRST_HEARD: known.first_s, keys.LAST_HEARD: known.last_s}
        if not made.get(keys.FREQ_RELATIVE):
            made.pop(keys.FREQ_RELATIVE, None)
        return {key: made[key] for key in keys.SIGNAL_FIELDS if key in made} | made

    def _places(self, tuning: _Tuning) -> list[Place]:
        """The rows of a tuning, and where its usable band ends."""
        segment = tuning.segment
        bin_hz = segment.rx_rate / self._layout.fft_size
        usable = usable_bins(self._layout.fft_size, self._usable)
        low, high = (segment.rx_freq + (end - self._layout.fft_size // 2 - 0.5) * bin_hz for end in (usable.start, usable.stop))
        places = []
        for row in tuning.list.table():
            known = tuning.known.get(row[keys.SIGNAL_ID])
            frames, watched = tuning.list.on_air(row[keys.SIGNAL_ID])
            if known is None or not self._is_sure(tuning, row, frames):
                continue
            made = _over_all(row | {keys.BAND: segment.band, keys.DUTY_CYCLE: min(1.0, frames / max(watched, 1))}, known)
            places.append(Place(made, low, high, bin_hz, frames * segment.frame_s))
        return places

    def _is_sure(self, tuning: _Tuning, row: dict[str, Any], frames: int) -> bool:
        """Whether noise explains a signal in one of 1 / _DOUBT surveys at most.

        The mean of n independent spectra of noise exceeds 1 + e with a probability of at most exp(-n (e - ln(1 + e))): Chernoff's
        bound of a gamma variable. Each burst is the largest one of as many boxes as there are bins and frames.
        """
        known, segment = tuning.known[row[keys.SIGNAL_ID]], tuning.segment
        snr_db = known.snr / known.weight if known.weight > 0.0 else row[keys.SNR_DB]
        excess = 10.0 ** (0.1 * snr_db)
        bins = max(row[keys.BANDWIDTH_HZ] * self._layout.fft_size / segment.rx_rate / _WINDOW_BINS, 1.0)
        boxes = self._layout.fft_size * max(self.n_frames, 1)
        log_noise = -tuning.list.spectra * max(frames, 1) * bins * (excess - math.log1p(excess))
        return log_noise + max(known.bursts, 1) * math.log(boxes) < math.log(_DOUBT)


def _over_all(row: dict[str, Any], known: _Known) -> dict[str, Any]:
    """A row of a list with what is known of all bursts, and without what is of one message."""
    made = row | {keys.SIGNAL_ID: known.id, keys.BURSTS: known.bursts, keys.FIRST_HEARD: known.first_s,
                  keys.LAST_HEARD: known.last_s}
    if known.weight > 0.0:
        label, votes = max(known.votes.items(), key=lambda item: item[1])
        made |= {keys.POWER_DBFS: known.power / known.weight, keys.SNR_DB: known.snr / known.weight, keys.LABEL: label,
                 keys.CONFIDENCE: votes / known.weight}
    if not made.get(keys.FREQ_RELATIVE):
        made.pop(keys.FREQ_RELATIVE, None)
    return {key: made[key] for key in keys.SIGNAL_FIELDS if key in made and key not in _OF_A_MESSAGE}
