# SPDX-License-Identifier: GPL-3.0-or-later
"""The stream tags of frames (those of ``fft_tokenizer``) as Python values, each checked."""

from __future__ import annotations

import numpy as np
import pmt

from .. import keys
from .messages import kind, tag_key


def frame_tags(block, count: int, port: int = 0) -> dict[int, dict]:
    """{frame of this batch: {key: value}} of the tags on the first `count` items of an input.

    Tags outside the vocabulary are left out. An invalid value is counted in the block's ``malformed`` and logged.
    """
    begin, found = block.nitems_read(port), {}
    for tag in block.get_tags_in_window(port, 0, count):
        key = tag_key(tag)
        if key not in _VALUES:
            continue
        try:
            value = _VALUES[key](tag.value)
        except ValueError as error:
            block.malformed += 1
            if block.log_due("malformed"):
                block.logger.warn(f"tag {key} ignored: {error}")
        else:
            found.setdefault(tag.offset - begin, {})[key] = value
    return found


def positive(value) -> float:
    """The number, a Python one or a PMT. Raises ValueError if it is not finite and positive."""
    value = _number(value) if isinstance(value, pmt.pmt_base) else float(value)
    if not 0 < value < np.inf:
        raise ValueError(f"{value} is not a positive number")
    return value


def _number(value) -> float:
    if not pmt.is_number(value) or pmt.is_complex(value):
        raise ValueError(f"{kind(value)} is no number")
    return float(pmt.to_python(value))


def _finite(value) -> float:
    number = _number(value)
    if not np.isfinite(number):
        raise ValueError(f"{number} is not finite")
    return number


def _count(value) -> int:
    number = _number(value)
    if not 0 <= number < 2**64 or number != int(number):
        raise ValueError(f"{number} is not a whole number")
    return int(pmt.to_python(value))


def _positive_count(value) -> int:
    return int(positive(float(_count(value))))


def _time(value) -> float:
    if not pmt.is_tuple(value) or pmt.length(value) != 2:
        raise ValueError(f"{kind(value)} is not a tuple of seconds and fraction")
    return _number(pmt.tuple_ref(value, 0)) + _number(pmt.tuple_ref(value, 1))


_VALUES = {keys.RX_FREQ: _finite, keys.RX_RATE: positive, keys.RX_TIME: _time, keys.FRAME_START: _count,
           keys.FRAME_HOP: _positive_count, keys.FRAME_AVERAGE: _positive_count}
