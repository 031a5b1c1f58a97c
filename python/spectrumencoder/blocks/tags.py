# SPDX-License-Identifier: GPL-3.0-or-later
"""Stream tags as Python values, each checked: those of frames (of ``fft_tokenizer``), and those of samples (of a source).

The values of ``rx_freq``, ``rx_rate`` and ``rx_time`` are read by the same C++ code as those of ``fft_tokenizer``
(``lib/tag_values.h``), and ``SampleTags`` follows them by the same rules (``lib/stream_state.h``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pmt

from .. import keys
from ..tokens.tokenize import native_module
from .messages import kind, tag_key

_native = native_module()


def frame_tags(block, count: int, port: int = 0) -> dict[int, dict]:
    """{frame of this batch: {key: value}} of the tags on the first `count` items of an input.

    Tags outside the vocabulary are left out. An invalid value is counted in the block's ``malformed`` and logged. An ``rx_freq``
    of NaN says that the frequency is not known from here on.
    """
    begin, found = block.nitems_read(port), {}
    for tag in block.get_tags_in_window(port, 0, count):
        key = tag_key(tag)
        if key not in _VALUES:
            continue
        try:
            value = _VALUES[key](tag.value)
        except ValueError as error:
            _count_malformed(block, f"tag {key} ignored: {error}")
        else:
            found.setdefault(tag.offset - begin, {})[key] = value
    return found


def known_freq(tagged: float | None, stated: float = 0.0) -> float | None:
    """The centre frequency (Hz) of frames: by their tag (NaN: not known), else as stated (0: not). None: not known."""
    if tagged is None:
        return stated or None
    return None if np.isnan(tagged) else tagged


class Break(NamedTuple):
    """A place from which other values hold: number of the sample, samples per second, centre frequency (Hz; None: not known)."""

    offset: int
    samp_rate: float
    center_freq: float | None


class SampleTags:
    """Follows the tags of a stream of samples for a Python block, as ``fft_tokenizer`` does: docs/contracts.md.

    Args:
        block: the block, a ``SafeBlock``; malformed tags are counted and logged there, warnings are published on its `status`.
        samp_rate, center_freq, use_tags, rate_factor, freq_offset, tag_channel: see ``fft_tokenizer``.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, block, samp_rate: float = 0.0, center_freq: float = 0.0, **options):
        if not 0 <= samp_rate < np.inf:
            raise ValueError(f"samp_rate {samp_rate} is not a positive number of samples per second, nor 0 (not stated)")
        if not np.isfinite(center_freq):
            raise ValueError(f"center_freq {center_freq} is not a finite number of Hz")
        self._block, self._state = block, _native.stream_state(float(samp_rate), float(center_freq), **options)
        self._backward_said = False

    @property
    def samp_rate(self) -> float:
        return self._state.samp_rate

    @property
    def center_freq(self) -> float | None:
        """Hz; None: not known."""
        return self._state.center_freq

    def restart(self):
        """A new start of the flowgraph: no tag has been seen."""
        self._state.forget_tags()
        self._backward_said = False

    def take(self, tags: Iterable) -> list[Break]:
        """Takes the tags of the next samples. Returns the breaks: tags that continue what is known are none.

        ``rx_freq`` and ``rx_rate`` together, unchanged, in a stream without times are a break: so gr-soapy reports lost samples.
        """
        groups: dict[int, list] = {}
        for tag in tags:
            if tag_key(tag) in (keys.RX_FREQ, keys.RX_RATE, keys.RX_TIME):
                groups.setdefault(tag.offset, []).append(tag)
        breaks = []
        for offset, group in sorted(groups.items()):
            what = [self._take_one(tag) for tag in group]
            tuning = {tag_key(tag) for tag in group} >= {keys.RX_FREQ, keys.RX_RATE}
            if any(what) or (tuning and self._state.time_at(offset) is None):
                breaks.append(Break(offset, self.samp_rate, self.center_freq))
        self._warn()
        return breaks

    def _take_one(self, tag) -> str:
        what = self._state.take(tag)
        if what is None:
            _count_malformed(self._block, f"tag {tag_key(tag)} with the value {kind(tag.value)} ignored")
        return what or ""

    def _warn(self):
        for line in self._state.take_warnings():
            self._block.logger.warn(line)
            self._block.publish_status("contradicted", line)
        if self._state.backward and not self._backward_said:
            self._backward_said = True
            self._block.logger.warn("an rx_time tag lies before the time that was expected: times run backwards")


def positive(value) -> float:
    """The number, a Python one or a PMT. Raises ValueError if it is not finite and positive."""
    value = _number(value) if isinstance(value, pmt.pmt_base) else float(value)
    if not 0 < value < np.inf:
        raise ValueError(f"{value} is not a positive number")
    return value


def _count_malformed(block, text: str):
    block.malformed += 1
    if block.log_due("malformed"):
        block.logger.warn(text)
        block.publish_status("malformed", text)


def _number(value) -> float:
    if not pmt.is_number(value) or pmt.is_complex(value):
        raise ValueError(f"{kind(value)} is no number")
    return float(pmt.to_python(value))


def _freq(value) -> float:
    number = _native.tag_frequency(value)
    if number is None:
        raise ValueError(f"{kind(value)} is no frequency in Hz")
    return number


def _rate(value) -> float:
    number = _native.tag_rate(value)
    if number is None:
        raise ValueError(f"{kind(value)} is no positive rate in Hz")
    return number


def _count(value) -> int:
    number = _number(value)
    if not 0 <= number < 2**64 or number != int(number):
        raise ValueError(f"{number} is not a whole number")
    return int(pmt.to_python(value))


def _positive_count(value) -> int:
    return int(positive(float(_count(value))))


def _time(value) -> float:
    parts = _native.tag_time(value)
    if parts is None:
        raise ValueError(f"{kind(value)} is not a tuple of seconds and fraction")
    return float(parts[0]) + parts[1]


_VALUES = {keys.RX_FREQ: _freq, keys.RX_RATE: _rate, keys.RX_TIME: _time, keys.FRAME_START: _count,
           keys.FRAME_HOP: _positive_count, keys.FRAME_AVERAGE: _positive_count}
