# SPDX-License-Identifier: GPL-3.0-or-later
"""What a `control` message may hold: a dict of live settings.

One message may go to every stage of a chain: each takes the settings that are its own and leaves the others to theirs.
"""

from __future__ import annotations

from .. import keys
from .messages import MalformedMessage, metadata

NUMBER = (int, float)
ENCODER = {keys.DROPOUT_RATE: NUMBER, keys.ROPE_MODE: str, keys.BACKEND: str, keys.DROPOUT_POLICY: str,
           keys.CONFIDENCE_THRESHOLD: NUMBER, keys.ENCODED_STEP: NUMBER, keys.KEEP_BANDS_HZ: list}
DETECTOR = {keys.FALSE_ALARM_RATE: NUMBER, keys.FALSE_EVENTS_PER_HOUR: NUMBER, keys.THRESHOLD_MODE: str,
            keys.THRESHOLD: NUMBER, keys.HOLD: int}
_ALL = ENCODER | DETECTOR


def changes(message, own: dict) -> dict:
    """The settings of a message that are a stage's own, {key: value}.

    Args:
        message: PMT, a PDU or a dict.
        own: ENCODER or DETECTOR.

    Raises:
        MalformedMessage: a key is no stage's or a value is of the wrong type; nothing of the message counts then.
    """
    values = metadata(message)
    for key, value in values.items():
        if key not in _ALL:
            raise MalformedMessage(f"unknown setting {key!r}; known are {', '.join(_ALL)}")
        if isinstance(value, bool) or not isinstance(value, _ALL[key]):
            raise MalformedMessage(f"{key} is {value!r}, which is of the wrong type")
    return {key: value for key, value in values.items() if key in own}
