# SPDX-License-Identifier: GPL-3.0-or-later
"""The orders that a page may give to a run: one key each, with its value checked.

accept, ignore, unignore, name: as ``control`` messages have them (``keys``). false_events_per_hour, dropout_rate: settings.
tune: {"freq": Hz} or {"gain": dB}. scan: {"ranges": text} or {"pause": bool}.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .. import keys
from ..settings import SETTINGS

if TYPE_CHECKING:
    from .feed import Followed

SETTABLE = (keys.FALSE_EVENTS_PER_HOUR, keys.DROPOUT_RATE)
MAX_NAME = 100


def carry_out(run: Followed, order: Any) -> None:
    """Sends the order to the run.

    Raises:
        ValueError: it is none of the known ones, or a value is of the wrong type or out of range; one line.
    """
    if not isinstance(order, dict) or len(order) != 1:
        raise ValueError("an order is an object of one key")
    (word, value), = order.items()
    if word in SETTABLE:
        run.control({word: float(SETTINGS[word].check(_number(word, value)))})
    elif word == keys.ACCEPT:
        run.control({word: _emitter(value)})
    elif word == keys.IGNORE:
        run.control({word: _ends(value) if isinstance(value, list) else _emitter(value)})
    elif word == keys.UNIGNORE:
        run.control({word: _ends(value)})
    elif word == keys.NAME:
        run.control({word: _name(value)})
    elif word == "tune" and isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("freq", "gain"):
        run.tune({key: _number(key, one) for key, one in value.items()})
    elif word == "scan" and isinstance(value, dict) and len(value) == 1:
        _scan(run, value)
    else:
        raise ValueError(f"{str(word)[:40]} is no order; use accept, ignore, unignore, name, {', '.join(SETTABLE)}, tune or scan")


def _scan(run: Followed, value: dict):
    if isinstance(ranges := value.get("ranges"), str) and len(ranges) <= 500:
        run.scan(ranges=ranges)
    elif isinstance(pause := value.get("pause"), bool):
        run.scan(pause=pause)
    else:
        raise ValueError("scan takes ranges in Hz such as 88e6:108e6, or pause true or false")


def _number(word: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{word} is {str(value)[:40]!r}, which is no number")
    return float(value)


def _emitter(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError(f"{str(value)[:40]!r} is no number of an emitter")
    return value


def _ends(value: Any) -> list[float]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("a range is [low, high] in Hz")
    low, high = (_number("a frequency", one) for one in value)
    if not low < high:
        raise ValueError(f"the range {low:g}:{high:g} Hz does not rise")
    return [low, high]


def _name(value: Any) -> list:
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], str):
        raise ValueError("name takes [number of an emitter, text]")
    text = value[1].strip()
    if len(text) > MAX_NAME or not text.isprintable():
        raise ValueError(f"a name is one line of {MAX_NAME} characters at most")
    return [_emitter(value[0]), text]
